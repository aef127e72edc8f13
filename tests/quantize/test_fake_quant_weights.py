"""Weights in training: what they compute with is what is stored, and their gradients, by hand and by differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib.quantize import (
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    IntFormat,
    NF4Format,
    PerChannel,
    PerGroup,
    PerTensor,
    TernaryFormat,
    from_parts,
    k_means,
    min_max,
    mse,
    quantize,
    ternarize,
)
from mini_lib.quantize.qtensor import QTensor
from mini_lib.quantize.train.step import LearnedStep
from mini_lib.quantize.train.weights import CodebookWeight, fake_quant_weight

HALF = torch.float16
FORMATS = [
    *(IntFormat(bits, granularity=PerChannel()) for bits in (2, 3, 4, 8)),
    IntFormat(4), IntFormat(3, symmetric=False), IntFormat(4, symmetric=False, signed=False, granularity=PerChannel(1)),
    IntFormat(2, granularity=PerGroup(6), scale_dtype=HALF), IntFormat(4, symmetric=False, granularity=PerGroup(9)),
    TernaryFormat(), TernaryFormat(PerChannel(), torch.bfloat16), BinaryFormat(), BinaryFormat(PerTensor(), HALF),
    BinaryFormat(PerGroup(9)), CodebookFormat(2), CodebookFormat(3, codebook_dtype=torch.bfloat16),
]  # fmt: skip
METHODS = ("lsq", "ste")


def parameter(*shape: int, seed: int = 0) -> nn.Parameter:
    return nn.Parameter(0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def trained(held, updates: int = 5, seed: int = 0):
    """After some steps of Adam towards other numbers."""
    goal = parameter(*held.shape, seed=seed + 1).detach()
    adam = torch.optim.Adam(held.parameters(), lr=0.05)
    for _ in range(updates):
        adam.zero_grad()
        (held() - goal).square().sum().backward()
        adam.step()
    return held


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.label)
def test_training_starts_at_post_training_quantization(fmt, method):
    weight = parameter(4, 6, 3, 3)
    assert torch.equal(
        fake_quant_weight(weight, fmt, method, min_max)(), quantize(weight, fmt, min_max).dequantize()
    ) or (
        isinstance(fmt, TernaryFormat) and method == "lsq"  # starts on the observer's grid, see below
    )


def test_a_learned_ternary_scale_starts_where_the_observer_says():
    weight = parameter(4, 6)
    two_bits = quantize(weight, IntFormat(2, granularity=PerChannel()), mse)
    held = fake_quant_weight(weight, TernaryFormat(PerChannel()), "lsq", mse)
    assert torch.equal(held(), two_bits.dequantize()) and torch.equal(held.fields()["codes"], two_bits.codes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.label)
@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 9999))
def test_what_is_stored_is_what_is_computed_with(fmt, method, seed):
    held = trained(fake_quant_weight(parameter(4, 6, 3, 3, seed=seed), fmt, method, mse), seed=seed)
    stored = QTensor(fmt, held.shape, held.fields())
    again = from_parts(stored.parts(), fmt, held.shape)  # dtypes and shapes are those of the layout
    assert torch.equal(again.dequantize(), held())
    assert held().is_contiguous()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.label)
def test_it_learns_in_every_layout(fmt, method):
    weight = parameter(4, 6, 3, 3)
    held = fake_quant_weight(weight, fmt, method, mse)
    apart = (held() - parameter(4, 6, 3, 3, seed=1)).square().sum()
    last = trained(held.to(memory_format=torch.channels_last), updates=30)
    assert (last() - parameter(4, 6, 3, 3, seed=1)).square().sum() < apart


def test_adam_moves_steps_of_every_size_by_the_same_share():
    start = torch.tensor([0.001, 1.0])
    step = LearnedStep(start, torch.float32)
    assert torch.equal(step(), start)
    adam = torch.optim.Adam(step.parameters(), lr=0.01)
    for updates in range(1, 501):
        adam.zero_grad()
        step().sum().backward()
        adam.step()
        if updates == 1:  # g / (|g| + 1e-8) is 1 - 1e-5 for the smaller gradient, 0.001
            assert step.growth.tolist() == pytest.approx([-0.01, -0.01], rel=2e-5)
    share = step().detach() / start
    assert 0 < share[0] < 0.2 and share[0].item() == pytest.approx(share[1].item(), rel=1e-2)


def test_a_step_is_on_the_values_of_its_dtype_and_its_gradient_passes():
    step = LearnedStep(torch.tensor([0.5]), torch.bfloat16)
    step.growth.data.fill_(0.1)
    value = step()
    assert value.item() == torch.tensor(0.5 * 2.718281828**0.1).bfloat16().item()
    value.sum().backward()
    assert step.growth.grad.item() == pytest.approx(0.5 * 2.718281828**0.1, rel=1e-6)  # d s exp(g) / dg


def test_a_step_that_cannot_be_stored_is_refused():
    step = LearnedStep(torch.tensor([1.0]), torch.float32)
    for growth, shown in ((200.0, "inf to inf"), (-200.0, "0 to 0"), (float("nan"), "nan to nan")):
        step.growth.data.fill_(growth)
        with pytest.raises(ValueError, match=f"a trained step is {shown}, and must be finite and at least 1.2e-38"):
            step.settled()


def test_ternary_weights_pass_their_gradient_unchanged():
    weight = parameter(2, 8)
    held = fake_quant_weight(weight, TernaryFormat(PerChannel()), "ste", mse)
    back = parameter(2, 8, seed=1).detach()
    held().backward(back)
    assert torch.equal(held.latent.grad, back)
    codes, scale = ternarize(weight)
    assert torch.equal(held(), codes * scale[:, None])


def test_binary_weights_have_the_papers_gradient():
    # row (1, -3): scale 2, weights +2 and -2. Equation: dL/dw_i = sign_i / n * sum_j g_j sign_j + g_i [|w_i| <= scale]
    held = fake_quant_weight(nn.Parameter(torch.tensor([[1.0, -3.0]])), BinaryFormat(), "ste", mse)
    value = held()
    value.backward(torch.tensor([[10.0, 1.0]]))
    assert value.tolist() == [[2, -2]]
    assert held.latent.grad.tolist() == [[(10 - 1) / 2 + 10, -(10 - 1) / 2 + 0]]


def test_a_learned_binary_scale_feels_every_sign():
    held = fake_quant_weight(nn.Parameter(torch.tensor([[1.0, -3.0]])), BinaryFormat(), "lsq", mse)
    held().backward(torch.tensor([[10.0, 1.0]]))
    assert held.latent.grad.tolist() == [[10, 0]]
    assert held.step.growth.grad.tolist() == [[2 * (10 - 1)]]  # scale * sum of sign * gradient


def test_a_row_of_zeros_stays_zero_where_it_can():
    weight = nn.Parameter(torch.zeros(2, 4))
    for fmt, method in ((BinaryFormat(), "ste"), (TernaryFormat(), "ste"), (IntFormat(2), "lsq")):
        held = fake_quant_weight(weight, fmt, method, mse)
        value = held()
        value.sum().backward()
        assert not value.any() and held.latent.grad.isfinite().all()
    with pytest.raises(ValueError, match="a row of zeros has no scale to learn from; method='ste' keeps it at zero"):
        fake_quant_weight(weight, BinaryFormat(), "lsq", mse)


@settings(max_examples=20)
@given(st.integers(0, 9999), st.integers(1, 3))
def test_the_gradient_of_a_centroid_is_the_sum_over_its_weights(seed, bits):
    weight = parameter(5, 7, seed=seed)
    held = CodebookWeight(weight, CodebookFormat(bits))
    back = parameter(5, 7, seed=seed + 1).detach()
    held().backward(back)
    codes, _ = k_means(weight, CodebookFormat(bits))
    by_hand = [sum(float(g) for g, c in zip(back.flatten(), codes.flatten()) if c == k) for k in range(2**bits)]
    # a sum of at most 35 terms below 1 in float32
    assert held.centroids.grad.tolist() == pytest.approx(by_hand, abs=35 * 35 * 2**-24)


def test_a_table_is_a_smooth_function_of_its_centroids():
    held = CodebookWeight(parameter(3, 5), CodebookFormat(2)).double()
    codes = held.codes

    def table(centroids):
        return centroids[codes]

    assert torch.autograd.gradcheck(table, held.centroids)
    held = CodebookWeight(parameter(3, 5), CodebookFormat(2))
    assert torch.equal(held(), table(held.centroids))


def test_centroids_that_passed_each_other_are_stored_ascending():
    held = CodebookWeight(nn.Parameter(torch.tensor([0.0, 1.0, 2.0, 3.0])), CodebookFormat(2))
    held.centroids.data.copy_(torch.tensor([5.0, -1.0, 2.0, 0.5]))
    fields = held.fields()
    assert fields["codebook"].tolist() == [-1, 0.5, 2, 5] and fields["codes"].tolist() == [3, 0, 2, 1]


def test_a_frozen_weight_stays_frozen():
    weight = parameter(2, 4).requires_grad_(False)
    assert not fake_quant_weight(weight, IntFormat(4), "lsq", mse).latent.requires_grad


@pytest.mark.parametrize("fmt", [FloatFormat(), NF4Format(8)], ids=lambda fmt: fmt.label)
def test_formats_that_are_not_trained_are_refused(fmt):
    with pytest.raises(ValueError, match=f"no training is known for {fmt.label}; use IntFormat, TernaryFormat, Bin"):
        fake_quant_weight(parameter(2, 8), fmt, "lsq", mse)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="group_size 5 does not divide the last axis"):
        fake_quant_weight(parameter(2, 8), IntFormat(4, granularity=PerGroup(5)), "lsq", mse)
    with pytest.raises(ValueError, match="the weight holds 1 NaN or infinite of 2 values"):
        fake_quant_weight(nn.Parameter(torch.tensor([1.0, torch.nan])), IntFormat(4), "lsq", mse)


@pytest.mark.parametrize("method", ["lsq", "ste"])
def test_a_binary_weight_keeps_its_sign_where_its_quotient_underflows(method):
    weight = torch.tensor([[100.0, -1e-45, 1e-45]])  # -1e-45 divided by the scale of 33.3 is -0.0
    held = fake_quant_weight(nn.Parameter(weight), BinaryFormat(), method, mse)
    assert held().sign().tolist() == [[1.0, -1.0, 1.0]]
    assert torch.equal(held(), QTensor(held.fmt, held.shape, held.fields()).dequantize())
