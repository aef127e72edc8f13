"""SmoothQuant and AWQ for a transformer: the same function, the maxima of the formula, the best of all exponents."""

import pytest
import torch
from tiny_lm import some_tokens, tiny_lm

from mini_lib.llm.model.layerwise import in_blocks
from mini_lib.llm.model.rescale import scale_salient_lm, seams_of, smooth_lm
from mini_lib.llm.model.windows import windows_of
from mini_lib.quantize import IntFormat, PerGroup, quantize, quantize_weights
from mini_lib.second_moments import second_moments_of

FMT = IntFormat(3, granularity=PerGroup(8))
TOKENS = some_tokens()
WINDOW = 16


def inputs_of(lm, name):
    """What a layer reads over all windows, [tokens, in]."""
    seen = []
    with lm.get_submodule(name).register_forward_hook(lambda module, given, output: seen.append(given[0])):
        for part in windows_of(TOKENS, WINDOW):
            lm(part)
    return torch.cat(seen).flatten(0, 1).double()


def rescaled(how, lm):
    if isinstance(how, float):
        return smooth_lm(lm, TOKENS, how, window=WINDOW)
    return scale_salient_lm(lm, FMT, TOKENS, 5, window=WINDOW, shared_heads=how)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("how", [0.0, 0.5, 1.0, True, False])
def test_the_model_computes_the_same(how, kv_heads):
    lm = tiny_lm(kv_heads=kv_heads, dtype=torch.float64)
    scaled = rescaled(how, lm)
    moved = [name for name, value in lm.state_dict().items() if not torch.equal(value, scaled.state_dict()[name])]
    assert len(moved) >= 2 * 4  # something was scaled in each block
    # Each weight is rounded once more, by 2^-53. Sums of 64 terms, 14 matrices: some 1000 roundings of 1e-16.
    torch.testing.assert_close(scaled(TOKENS[None]), lm(TOKENS[None]), rtol=1e-12, atol=1e-12)


def test_in_float32_it_is_the_same_up_to_rounding():
    lm = tiny_lm()
    logits = lm(TOKENS[None])
    # as above with 2^-24 = 6e-8: 1000 roundings of logits of about 1, if all went the same way, are 6e-5
    torch.testing.assert_close(rescaled(0.5, lm)(TOKENS[None]), logits, rtol=0, atol=6e-5 * logits.abs().max().item())


@pytest.mark.parametrize("place", range(4))
def test_half_the_range_makes_the_maxima_of_inputs_and_weights_meet(place):
    lm = tiny_lm()
    seam, smoothed = seams_of(lm)[place], smooth_lm(lm, TOKENS, 0.5, window=WINDOW)
    for block in ("blocks.0", "blocks.1"):
        first = f"{block}.{seam.readers[0]}"  # which gives no channels to another place, so that its rows stay
        factors = (smoothed.get_submodule(first).weight.double() / lm.get_submodule(first).weight).mean(dim=0)
        columns = torch.cat([lm.get_submodule(f"{block}.{name}").weight for name in seam.readers]).abs().amax(dim=0)
        inputs = inputs_of(lm, first).abs().amax(dim=0)
        of_inputs, of_weights = (
            seam.per_channel(each, torch.amax) for each in (inputs / factors, columns.double() * factors)
        )
        # weights and inputs are float32: relative errors of some 1e-6
        torch.testing.assert_close(of_inputs, of_weights, rtol=1e-5, atol=0)


def test_query_heads_that_read_one_value_head_share_its_factors():
    lm = tiny_lm(kv_heads=2)
    for scaled in (rescaled(0.5, lm), rescaled(True, lm)):
        before, after = (each.blocks[0].attention.out.weight for each in (lm, scaled))
        factors = (after / before).mean(dim=0).view(2, 2, 8)  # [value heads, query heads of one, channels]
        torch.testing.assert_close(factors[:, 0], factors[:, 1], rtol=1e-5, atol=0)
        assert not torch.allclose(factors[0, 0], factors[1, 0])


def test_shared_heads_are_left_alone_on_request_but_not_heads_of_their_own():
    for kv_heads, stays in ((2, True), (4, False)):
        lm = tiny_lm(kv_heads=kv_heads)
        lm.blocks[1].attention.value.weight[::5] *= 20  # strong channels, which are worth scaling
        before, after = (each.blocks[1].attention.out.weight for each in (lm, rescaled(False, lm)))
        assert torch.equal(before, after) is stays


@pytest.mark.parametrize("place", range(4))
def test_alpha_is_the_best_of_all_that_are_tried(place):
    """Brute force: every exponent, the error of the output itself on all tokens, and not tr(D H D^T)."""
    lm, candidates = tiny_lm(), 5
    seam, scaled = seams_of(lm)[place], scale_salient_lm(lm, FMT, TOKENS, candidates, window=WINDOW)
    name = f"blocks.0.{seam.readers[0]}"
    x = inputs_of(lm, name)
    sizes = seam.per_channel(x.abs().mean(dim=0), torch.mean)
    errors, tried = [], []
    for step in range(candidates + 1):
        scale = sizes ** (step / candidates)
        columns = seam.per_column(scale / (scale.max() * scale.min()).sqrt())
        error = 0.0
        for reader in seam.readers:
            weight = lm.get_submodule(f"blocks.0.{reader}").weight.double()
            change = quantize((weight * columns).float(), FMT).dequantize() / columns - weight
            error += (x @ change.T).square().sum().item()
        errors.append(error)
        tried.append(columns)
    best = min(range(candidates + 1), key=errors.__getitem__)
    assert sorted(errors)[1] > errors[best] * 1.0001  # told apart by more than float32's rounding
    before, after = (each.get_submodule(name).weight.double() for each in (lm, scaled))
    # if the layer gives channels to the next place too, its rows are scaled as well: look at ratios within a row
    factors = after / before
    torch.testing.assert_close(
        factors / factors[:, :1], (tried[best] / tried[best][0]).expand_as(factors), rtol=1e-4, atol=0
    )


def test_planted_strong_channels_lose_less_than_to_nearest():
    lm = tiny_lm()
    for block in lm.blocks:
        for norm in (block.attention_norm, block.feed_forward_norm):
            norm.weight[::11] *= 30
    name = "blocks.0.attention.query"
    moments = second_moments_of(lm, windows_of(TOKENS, WINDOW), {name: lm.get_submodule(name)})[name]
    weight, logits = lm.get_submodule(name).weight.double(), lm(TOKENS[None])

    def harm(start):
        return (quantize_weights(start, FMT, in_blocks)(TOKENS[None]) - logits).square().mean().item()

    scaled = rescaled(True, lm)
    factors = scaled.blocks[0].attention_norm.weight.double() / lm.blocks[0].attention_norm.weight.double()
    change = quantize((weight / factors).float(), FMT).dequantize() * factors - weight
    nearest = quantize(weight.float(), FMT).dequantize() - weight
    assert ((change @ moments) * change).sum() < ((nearest @ moments) * nearest).sum()
    assert harm(scaled) < harm(lm)


def test_the_argument_stays_as_it_is():
    lm = tiny_lm()
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    rescaled(0.5, lm)
    rescaled(True, lm)
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())


def test_what_cannot_be_rescaled_is_refused():
    lm = tiny_lm()
    for how in (0.5, True):
        with pytest.raises(ValueError, match=r"blocks.0.attention.query is a QuantizedLinear"):
            rescaled(how, quantize_weights(lm, FMT, in_blocks))
        with pytest.raises(ValueError, match="training mode"):
            rescaled(how, tiny_lm().train())
        with pytest.raises(TypeError, match="need a LanguageModel, got Linear"):
            rescaled(how, torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="strength"):
        smooth_lm(lm, TOKENS, 1.5, window=WINDOW)
    with pytest.raises(ValueError, match="candidates"):
        scale_salient_lm(lm, FMT, TOKENS, 0, window=WINDOW)
    with pytest.raises(ValueError, match="group_size 7"):
        scale_salient_lm(lm, IntFormat(3, granularity=PerGroup(7)), TOKENS, 2, window=WINDOW)
