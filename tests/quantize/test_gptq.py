"""GPTQ: exact identities, optimal brain quantization written out in dense algebra, and what it does for a model."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from mini_lib import data, zoo
from mini_lib.fit import predict
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import (
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    IntFormat,
    NF4Format,
    PerChannel,
    PerGroup,
    QuantizedLayer,
    TernaryFormat,
    gptq,
    gptq_weight,
    load_model,
    mse,
    quantize,
    quantize_weights,
    save_model,
)
from mini_lib.second_moments import damped, output_error, second_moments_of

INTEGERS = [
    IntFormat(4),
    IntFormat(3, granularity=PerChannel(0)),
    IntFormat(3, granularity=PerChannel(1)),
    IntFormat(2, granularity=PerGroup(4)),
    IntFormat(4, symmetric=False, signed=False, granularity=PerGroup(4), scale_dtype=torch.float16),
    IntFormat(2, symmetric=False, granularity=PerChannel(0)),
    IntFormat(16),
]
TABLES = [
    CodebookFormat(2),
    NF4Format(8),
    NF4Format(8, double_quantize=True),
    BinaryFormat(),
    BinaryFormat(PerGroup(4)),
]
by_label = dict(ids=lambda fmt: fmt.label)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def second_moments(inputs: int, seed: int, groups: int | None = None) -> torch.Tensor:
    """H of inputs that go together."""
    size = [groups] if groups else []
    x = normal(*size, 60, inputs, seed=seed + 1) @ (torch.eye(inputs) + 0.5 * normal(*size, inputs, inputs, seed=seed))
    return x.mT @ x / 60


def test_three_weights_by_hand():
    # H^-1 = U^T U with U = [[1, -1, 0], [0, 1, 1], [0, 0, 2]], so H = U^-1 U^-T
    upper = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0]], dtype=torch.float64)
    moments = torch.linalg.inv(upper.mT @ upper)
    weight = torch.tensor([[1.25, 1.0, 1.0], [3.0, 0.0, 0.0]])  # step 1
    # column 1: 1.25 -> 1, e = 1/4, so 1 + 1/4; column 2: 5/4 -> 1, e = 1/4, so 1 - 1/4; column 3: 3/4 -> 1, e = -1/8
    q = gptq_weight(weight, moments, IntFormat(3), damp=0)
    assert q.codes.tolist() == [[1, 1, 1], [3, 0, 0]] and q.scale == 1
    change = (q.dequantize() - weight).double()
    assert (change @ moments @ change.T).trace().item() == pytest.approx(1 / 16 + 1 / 16 + 1 / 64, rel=1e-9)


@pytest.mark.parametrize("fmt", INTEGERS + TABLES, **by_label)
@pytest.mark.parametrize("activation_order", [False, True])
def test_a_diagonal_hessian_makes_it_round_to_nearest(fmt, activation_order):
    weight = normal(5, 8, seed=3).float()
    moments = torch.diag(normal(8, seed=4).exp())
    q = gptq_weight(weight, moments, fmt, block_size=3, activation_order=activation_order)
    expected = quantize(weight, fmt)
    assert torch.equal(q.codes, expected.codes)
    assert q.codes.dtype == torch.int32 and q.fields.keys() == expected.fields.keys()
    assert all(torch.equal(q.fields[name], expected.fields[name]) for name in expected.fields)


def test_ternary_takes_the_nearest_of_its_three_values():
    # `ternarize` cuts at 0.7 of the mean magnitude, which is not halfway to its scale
    weight = normal(5, 8, seed=3).float()
    q = gptq_weight(weight, torch.eye(8), TernaryFormat(PerChannel(0)))
    levels = q.scale[:, None, None] * torch.tensor([-1.0, 0.0, 1.0]).expand(5, 8, 3)
    expected = levels.gather(2, (levels - weight[..., None]).abs().argmin(2, keepdim=True))[..., 0]
    assert torch.equal(q.dequantize(), expected)
    assert torch.equal(q.scale, quantize(weight, TernaryFormat(PerChannel(0))).scale)


@pytest.mark.parametrize("fmt", INTEGERS[:-1], **by_label)
@given(st.integers(1, 4), st.sampled_from([0.0, 0.01, 1.0]), st.integers(0, 9999))
@settings(max_examples=15)
def test_the_error_is_the_sum_of_what_each_column_cost(fmt, rows, damp, seed):
    # D = q - w. The moved weight of column i is q_i + e_i U_ii with e = -D U^-1, row by row, if the algorithm is right.
    # Then (1) q_i is its nearest value, and (2) since H^-1 = U^T U, D H D^T = e U H U^T e^T = e e^T: H is the one that
    # U belongs to, damping included. Condition below 10^4 (60 samples): errors below 10^4 * 8 * 2^-52 < 10^-10.
    weight, moments = normal(rows, 8, seed=seed).float(), second_moments(8, seed)
    used = damped(moments, damp)
    q = gptq_weight(weight, moments, fmt, damp=damp, block_size=3)
    change = q.dequantize().double() - weight.double()
    upper = torch.linalg.cholesky(torch.linalg.inv(used)).mT
    errors = -torch.linalg.solve_triangular(upper, change, upper=True, left=False)
    moved = q.dequantize().double() + errors * upper.diagonal()
    each = (-1, weight.numel() // q.scale.numel())
    scale = fmt.granularity.unrows(q.scale.double().reshape(-1, 1).expand(each), tuple(weight.shape))
    inside = (q.codes > fmt.qmin) & (q.codes < fmt.qmax)
    off = (moved - q.dequantize().double()).abs() / scale
    assert off[inside].max() <= 0.5 + 1e-5 if inside.any() else True  # the choice is made in float32
    total = (change @ used * change).sum()
    assert abs(errors.square().sum() - total) <= 1e-9 * total


def obq(weight: np.ndarray, moments: np.ndarray, nearest) -> np.ndarray:
    """Optimal brain quantization of columns from left to right, without shortcuts: a fresh inverse for each of them."""
    moved, done = weight.copy(), np.zeros_like(weight)
    for at in range(weight.shape[1]):
        left = np.linalg.inv(moments[at:, at:])  # the Hessian of the columns that may still move
        done[:, at] = nearest(moved[:, at], at)
        step = (moved[:, at] - done[:, at]) / left[0, 0]
        moved[:, at:] -= step[:, None] * left[0][None]
    return done


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fmt", [*INTEGERS[:-1], *TABLES, TernaryFormat(PerChannel(0))], **by_label)
def test_dense_algebra_gives_the_same(fmt, seed):
    weight, moments = normal(4, 16, seed=seed).float(), second_moments(16, seed + 10)
    rounded = quantize(weight, fmt)
    codes = {BinaryFormat: (-1, 1), TernaryFormat: (-1, 0, 1)}.get(type(fmt), range(2 ** int(fmt.bits)))
    if isinstance(fmt, IntFormat):
        codes = range(fmt.qmin, fmt.qmax + 1)
    whole = torch.stack(
        [fmt.decode(rounded.fields | {"codes": torch.full_like(rounded.codes, code)}, rounded.shape) for code in codes]
    ).double()

    def nearest(column: np.ndarray, at: int) -> np.ndarray:
        values = whole[:, :, at].numpy()
        return np.take_along_axis(values, np.abs(values - column).argmin(0)[None], 0)[0]

    expected = obq(weight.double().numpy(), damped(moments, 0.01).numpy(), nearest)
    q = gptq_weight(weight, moments, fmt)
    assert np.abs(q.dequantize().double().numpy() - expected).max() <= 1e-9


@pytest.mark.parametrize("activation_order", [False, True])
def test_the_block_changes_nothing_but_the_time(activation_order):
    weight, moments = normal(6, 20, seed=1), second_moments(20, 2)
    fmt = IntFormat(3, granularity=PerChannel(0))
    first, *others = (
        gptq_weight(weight, moments, fmt, block_size=size, activation_order=activation_order).codes
        for size in (1, 3, 7, 20, 128)
    )
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("groups", [1, 3])
def test_activation_order_is_a_permutation_of_the_inputs(groups):
    weight, moments = normal(6, 12, seed=1), second_moments(12, 2, groups)
    fmt = IntFormat(3, granularity=PerChannel(0))
    q = gptq_weight(weight, moments, fmt, activation_order=True)
    plain = gptq_weight(weight, moments, fmt)
    assert not torch.equal(q.codes, plain.codes)
    for group in range(groups):
        rows, own = slice(6 // groups * group, 6 // groups * (group + 1)), moments[group]
        order = own.diagonal().argsort(descending=True)
        alone = gptq_weight(weight[rows][:, order], own[order][:, order], fmt)
        assert torch.equal(q.codes[rows][:, order], alone.codes)


@pytest.mark.parametrize("shape", [(6, 2, 2, 2), (3, 1, 3, 3)])
@pytest.mark.parametrize("activation_order", [False, True])
def test_groups_are_layers_of_their_own(shape, activation_order):
    weight = normal(*shape, seed=1)
    moments, fmt = second_moments(weight[0].numel(), 2, groups=3), IntFormat(3, granularity=PerChannel(0))
    together = gptq_weight(weight, moments, fmt, activation_order=activation_order)
    for group in range(3):
        rows = slice(len(weight) // 3 * group, len(weight) // 3 * (group + 1))
        alone = gptq_weight(weight[rows], moments[group], fmt, activation_order=activation_order)
        assert torch.equal(together.codes[rows], alone.codes)


@pytest.mark.parametrize("activation_order", [False, True])
def test_scales_are_those_of_rounding_to_nearest(activation_order):
    weight, moments = normal(4, 16, seed=1), second_moments(16, 2)
    fmt = IntFormat(3, symmetric=False, granularity=PerGroup(4))
    q = gptq_weight(weight, moments, fmt, observer=mse, activation_order=activation_order)
    expected = quantize(weight, fmt, mse)
    assert torch.equal(q.scale, expected.scale) and torch.equal(q.zero_point, expected.zero_point)


def test_an_error_that_the_inputs_share_is_taken_back():
    # all inputs are the same up to a little noise, so only the sum of a row counts
    x = normal(200, 1) + 0.01 * normal(200, 16, seed=1)
    moments, weight = x.T @ x / 200, normal(32, 16, seed=2)
    fmt = IntFormat(3, granularity=PerChannel(0))
    nearest, rounded = quantize(weight, fmt).dequantize(), gptq_weight(weight, moments, fmt).dequantize()
    assert output_error(weight, rounded, moments) < 0.05 * output_error(weight, nearest, moments)
    # and the weights themselves are further away than they had to be
    assert (rounded - weight).norm() > (nearest - weight).norm()


# --- whole models ---------------------------------------------------------------------------------------------------


FMT = IntFormat(3, granularity=PerChannel(0))


def test_later_layers_read_what_rounded_ones_give():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 8)).eval()
    x = normal(50, 8).float()
    rounded = gptq(model, FMT, x)
    first = gptq_weight(model[0].weight, second_moments_of(model, x, {"0": model[0]})["0"], FMT)
    assert torch.equal(rounded[0].weight, first.dequantize())
    half = nn.Sequential(rounded[0], model[1], model[2]).eval()
    second = gptq_weight(model[2].weight, second_moments_of(half, x, {"2": half[2]})["2"], FMT)
    assert torch.equal(rounded[2].weight, second.dequantize())
    before = second_moments_of(model, x, {"2": model[2]})["2"]
    assert not torch.equal(second.codes, gptq_weight(model[2].weight, before, FMT).codes)


def mean_loss(model: nn.Module, split: data.Split) -> float:
    return F.cross_entropy(predict(model, split.images), split.labels).item()


@pytest.mark.parametrize("name", ["small_cnn", "depthwise_cnn"])
def test_it_lowers_output_error_and_loss_of_a_trained_model(name, tmp_path):
    splits = data.fashion()
    model = fold_batch_norm(zoo.load(name))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rounded, nearest = gptq(model, FMT, splits.train.first(64).images), quantize_weights(model, FMT)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    layers = {key: layer for key, layer in model.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}
    held_out = splits.validation.first(200)
    moments = second_moments_of(model, held_out.images, layers)
    for key, layer in layers.items():
        after, plain = (small.get_submodule(key).weight for small in (rounded, nearest))
        assert output_error(layer.weight, after, moments[key]) < output_error(layer.weight, plain, moments[key])
    assert mean_loss(rounded, held_out) < 0.8 * mean_loss(nearest, held_out)
    save_model(rounded, tmp_path / "m.safetensors")
    assert torch.equal(
        load_model(tmp_path / "m.safetensors", getattr(zoo, name))(held_out.images), rounded(held_out.images)
    )


def test_formats_by_name_and_layers_left_out():
    model, x = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3), nn.Linear(3, 3)).eval(), normal(50, 8).float()
    rounded = gptq(model, {"0": 2, "2": 16}, x, where=lambda name, module: name in ("0", "2"))
    assert rounded[0].weight_fmt.bits == 2 and isinstance(rounded[2].weight_fmt, FloatFormat)
    assert torch.equal(rounded[2].weight, model[2].weight.bfloat16().float())
    assert isinstance(rounded[3], nn.Linear) and sum(isinstance(m, QuantizedLayer) for m in rounded.modules()) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_cast_model_computes_in_its_own_type(dtype):
    model, x = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).to(dtype).eval(), normal(50, 8).to(dtype)
    rounded = gptq(model, FMT, x)
    assert rounded(x).dtype == dtype and rounded[0].bias.dtype == dtype
    expected = gptq_weight(model[0].weight, second_moments_of(model, x, {"0": model[0]})["0"], FMT)
    assert torch.equal(rounded[0].qweight.codes, expected.codes)


# --- what is refused ------------------------------------------------------------------------------------------------


class Double(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def pair(change=lambda model: None) -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    change(model)
    return model


def tied(model: nn.Module) -> None:
    model[2].weight = model[0].weight


def hold_nan(model: nn.Module) -> None:
    model[2].weight.data[0, 0] = torch.nan


def hold_nan_bias(model: nn.Module) -> None:
    model[2].bias.data[0] = torch.nan


def masked(model: nn.Module) -> None:
    parametrize.register_parametrization(model[2], "weight", Double())


def reflects(model: nn.Module) -> None:
    model[0] = nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 1, padding_mode="reflect"), nn.Flatten()
    ).eval()


X = normal(40, 4).float()
REFUSED = {
    "training": (lambda: gptq(pair().train(), FMT, X), "is in training mode"),
    "NaN images": (lambda: gptq(pair(), FMT, X / 0 * 0), "calibration batch 0 holds NaN or infinity"),
    "no images": (lambda: gptq(pair(), FMT, []), "calibration holds no batch"),
    "tied": (lambda: gptq(pair(tied), FMT, X), "layer '0' shares its weight with '2'"),
    "masked": (lambda: gptq(pair(masked), FMT, X), "layer '2': its weight is masked"),
    "NaN weight": (lambda: gptq(pair(hold_nan), FMT, X), "layer '2': weight holds 1 NaN or infinite"),
    "NaN bias": (lambda: gptq(pair(hold_nan_bias), FMT, X), "layer '2': the bias holds NaN"),
    "padding": (lambda: gptq(pair(reflects), FMT, X), "layer '0.1': a quantized convolution pads with zeros"),
    "singular": (lambda: gptq(pair(), FMT, X[:3], damp=0), "layer '0': second moments are singular: .*use damp=0.01"),
    "nothing chosen": (lambda: gptq(pair(), FMT, X, where=lambda name, module: False), "where chooses none of"),
    "nothing there": (lambda: gptq(nn.ReLU().eval(), FMT, X), "there is nothing to quantize"),
    "a layer forgotten": (lambda: gptq(pair(), {"0": 4}, X), "fmt says nothing about layer '2'"),
    "group": (
        lambda: gptq(pair(), IntFormat(4, granularity=PerGroup(3)), X),
        "layer '0': group_size 3 does not divide",
    ),
    "too many levels": (lambda: gptq(pair(), CodebookFormat(12), X), "layer '0': codebook of 4096 has no table of at"),
    "block": (lambda: gptq(pair(), FMT, X, block_size=0), "block_size must be a whole number of 1 or more, got 0"),
    "damp": (lambda: gptq(pair(), FMT, X, damp=-1.0), "damp must be a finite number of 0 or more, got -1.0"),
    "shapes": (lambda: gptq_weight(normal(2, 4), torch.eye(3), FMT), "do not fit a weight of shape"),
    "NaN moments": (
        lambda: gptq_weight(normal(2, 2), torch.full((2, 2), torch.nan), FMT),
        "second moments hold NaN or infinity",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_format_is_refused():
    with pytest.raises(TypeError, match="layer '0': fmt must be a format"):
        gptq(pair(), 4.5, X)
    with pytest.raises(TypeError, match="calibration batch 0 must be a tensor"):
        gptq(pair(), FMT, [(X, X)])


def test_what_is_no_tensor_is_refused():
    weight, moments = torch.ones(2, 3), torch.eye(3)
    with pytest.raises(TypeError, match="second_moments must be a tensor, got None; second_moments_of gives them"):
        gptq_weight(weight, None, IntFormat(4))
    with pytest.raises(TypeError, match="weight must be a tensor, got"):
        gptq_weight([[1.0]], moments, IntFormat(4))
    with pytest.raises(ValueError, match="weight is empty"):
        gptq_weight(torch.ones(0, 3), moments, IntFormat(4))
    with pytest.raises(TypeError, match="model must be an nn.Module, got NoneType"):
        gptq(None, IntFormat(4), torch.ones(1, 3))


def test_a_model_masked_by_torch_is_refused_before_it_is_copied():
    model = nn.Sequential(nn.Linear(3, 2)).eval()
    torch.nn.utils.prune.l1_unstructured(model[0], "weight", amount=0.5)
    model(torch.ones(1, 3))
    with pytest.raises(ValueError, match="layer '0': its weight is masked"):
        gptq(model, IntFormat(4), torch.ones(1, 3))
