"""With a cache a model says what it says without one, whatever the pieces; few bits lose what they must, no more."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language_models import TOKENS, architectures, tiny_architecture, tiny_model

from mini_lib.llm.cost import find_model, kv_bytes_per_token
from mini_lib.llm.model.kv_cache import KVCache

# Logits of size 1 from sums of up to 90 products, in another order: each is rounded at 2^-24, 6e-8, so 1e-5 is ample.
# The norms add 0.1, or they would magnify the rounding of a vector that happens to be small.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def some_ids(count, seed=0):
    return torch.randint(len(TOKENS), (1, count), generator=torch.Generator().manual_seed(seed))


@given(architectures(), st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=40)
@torch.no_grad()
def test_a_text_in_pieces_is_the_text_in_one_pass(shape, pieces, seed):
    model, ids = tiny_model(shape, seed, norm_eps=0.1), some_ids(sum(pieces), seed)
    cache = KVCache(shape, room_tokens=sum(pieces))
    found = [model(piece, cache) for piece in ids.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(found, dim=1), model(ids), **CLOSE)
    assert cache.length == sum(pieces)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 6), st.sampled_from([32, 8, 4]))
@settings(max_examples=40)
@torch.no_grad()
def test_after_tokens_were_forgotten_it_goes_on_as_if_they_had_never_been(first, kept, more, bits):
    """Bit for bit: the shapes of all products are the same, and the forgotten tokens are written over."""
    kept, model = min(first, kept), tiny_model()
    told, other = some_ids(first, 1), some_ids(more, 2)
    cache, fresh = (KVCache(model.architecture, 20, bits, group_size=8) for _ in range(2))
    model(told, cache)
    cache.shorten(kept)
    if kept:
        model(told, fresh)  # the same pass, so that the same numbers are kept
        fresh.shorten(kept)
        fresh.layers[0].keys[:, kept:] = 77
    assert cache.length == kept
    assert torch.equal(model(other, cache), model(other, fresh))
    assert cache.length == fresh.length == kept + more


@torch.no_grad()
def test_the_model_token_by_token(lm):
    """24 tokens of a text, one after the other and in one pass. Logits reach 30, where 1e-4 is 50 last places."""
    ids = torch.tensor(
        [lm.tokenizer.encode("The steam engine was invented to pump water out of mines, and soon it drove")]
    )
    cache = KVCache(lm.architecture, ids.shape[1])
    found = torch.cat([lm(one, cache) for one in ids.split(1, dim=1)], dim=1)
    assert (found - lm(ids)).abs().max() < 1e-4


@torch.no_grad()
def test_few_bits_move_the_model_by_little(lm):
    """The most likely next token stays at 8 bits; the loss of the text moves by a hundredth at 8 bits, a tenth at 4."""
    text = (
        "The steam engine was invented to pump water out of mines. Later it drove mills, ships and railways, and made"
    )
    ids = torch.tensor([lm.tokenizer.encode(text)])
    plain, losses = lm(ids), {}
    for bits in (32, 8, 4):
        logits = lm(ids, KVCache(lm.architecture, ids.shape[1], bits))
        losses[bits] = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]).item()
        if bits == 8:
            assert (logits.argmax(-1) == plain.argmax(-1)).float().mean() > 0.9
    assert abs(losses[8] - losses[32]) < 0.01 and abs(losses[4] - losses[32]) < 0.1


# --- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits, group_size", [(8, 2), (8, 8), (4, 4), (4, 8), (4, 2)])
def test_numbers_are_kept_within_half_a_step(bits, group_size):
    """A step is the range over 2^bits - 1. Step and lowest value are rounded to float16, by 2^-11 of themselves or,
    where they are tiny, by 2^-25: that moves a value by as much of the range and of the lowest value.
    """
    shape = tiny_architecture(layers=1)
    chance = torch.Generator().manual_seed(0)
    keys, values = (
        torch.randn(2, 50, 8, generator=chance) * 10.0 ** torch.randint(-6, 4, (2, 50, 1), generator=chance)
        for _ in range(2)
    )
    keys[0, 0], values[0, 0] = 0, -3.25  # no range at all
    cache = KVCache(shape, 60, bits, group_size)
    cache.append(0, keys[:, :20], values[:, :20])
    cache.advance(20)
    for kept, told in zip(cache.append(0, keys[:, 20:], values[:, 20:]), (keys, values)):
        groups = told.unflatten(-1, (-1, group_size))
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        rounding = 2.0**-11 * ((high - low) + low.abs()) + 2.0**bits * 2.0**-25
        allowed = (high - low) / (2**bits - 1) / 2 + rounding * 1.01
        assert ((kept.unflatten(-1, (-1, group_size)) - groups).abs() <= allowed).all()
    assert torch.equal(kept[0, 0], torch.full((8,), -3.25))


def test_eight_and_four_bits_by_hand():
    """0 to 255 in steps of 1 is exact at 8 bits; at 4 bits the step is 17."""
    shape = tiny_architecture(layers=1, kv_heads=1, heads=1, head_dim=4)
    told = torch.tensor([[[0.0, 1, 100, 255]]])
    for bits, expected in ((8, [0, 1, 100, 255]), (4, [0, 0, 102, 255])):  # 100 / 17 = 5.9, so 6 steps
        keys, values = KVCache(shape, 1, bits, group_size=4).append(0, told, -told)
        assert keys[0, 0].tolist() == expected
        assert values[0, 0].tolist() == [-one for one in expected]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), -70_000.0, 1e30])
def test_what_float16_cannot_hold_is_refused_in_few_bits_and_kept_in_32(bad):
    shape = tiny_architecture(layers=1)
    x = torch.zeros(2, 3, 8)
    x[1, 2, 5] = bad
    for bits in (8, 4):
        with pytest.raises(ValueError, match=f"NaN, infinite or too large for the steps of a cache of {bits} bits"):
            KVCache(shape, 4, bits, group_size=8).append(0, torch.zeros(2, 3, 8), x)
    assert torch.equal(KVCache(shape, 4).append(0, x, x)[0].nan_to_num(), x.nan_to_num())


# --- bytes -----------------------------------------------------------------------------------------------------------


@given(architectures())
@settings(max_examples=30)
def test_bytes_per_token_are_those_of_the_calculator(shape):
    """Below 32 bits each group of numbers has a step and a lowest value besides, of 2 bytes each."""
    assert KVCache(shape, 7).bytes_per_token == kv_bytes_per_token(shape, kv_bits=32)
    at = shape.attention
    groups = shape.layers * 2 * at.kv_heads  # with one group in each head
    for bits in (8, 4):
        if at.head_dim * bits % 8 == 0:
            cache = KVCache(shape, 7, bits, group_size=at.head_dim)
            assert cache.bytes_per_token == kv_bytes_per_token(shape, kv_bits=bits) + groups * 4


def test_bytes_of_the_model_by_hand():
    """30 layers, key and value, 3 heads of 64 numbers: 11,520 numbers in 360 groups of 32, of 4 bytes each."""
    shape = find_model("SmolLM2-135M")
    found = {bits: KVCache(shape, 5, bits).bytes_per_token for bits in (32, 8, 4)}
    assert found == {32: 11_520 * 4, 8: 11_520 + 360 * 4, 4: 11_520 // 2 + 360 * 4} == {32: 46_080, 8: 12_960, 4: 7_200}


# --- what is refused -------------------------------------------------------------------------------------------------


def test_wrong_caches_are_refused():
    shape = tiny_architecture()
    for arguments, error, message in (
        (("tiny", 4), TypeError, "need an Architecture with grouped-query attention, got str; pass lm.architecture"),
        ((find_model("DeepSeek-V3"), 4), TypeError, "with grouped-query attention, got Architecture"),
        ((shape, 0), ValueError, "room_tokens must be a whole number of 1 or more, got 0; count the prompt"),
        ((shape, 4.0), TypeError, "room_tokens must be a whole number"),
        ((shape, 4, 16), ValueError, "bits must be 32, 8 or 4, got 16"),
        ((shape, 4, 8, 3), ValueError, r"group_size must divide head_dim \(8\)"),
        ((shape, 4, 4, 1), ValueError, "fill whole bytes at 4 bits, got 1"),
    ):
        with pytest.raises(error, match=message):
            KVCache(*arguments)


@torch.no_grad()
def test_wrong_uses_are_refused_and_change_nothing():
    model, ids = tiny_model(), some_ids(3)
    cache = KVCache(model.architecture, 4)
    model(ids, cache)
    before = cache.layers[0].keys.clone()
    for tokens, message in (
        (
            some_ids(2),
            "the cache has room for 4 tokens and holds 3; 2 more do not fit: make it with a larger room_tokens",
        ),
        (some_ids(1).expand(2, 1), "a cache holds one sequence, got a batch of 2; use one cache for each"),
    ):
        with pytest.raises(ValueError, match=message):
            model(tokens, cache)
    other = tiny_model(tiny_architecture(layers=1))
    with pytest.raises(ValueError, match="the cache was made for tiny, and this is tiny; make a new one"):
        other(ids[:, :1], cache)
    for length, error, message in (
        (4, ValueError, "the cache holds 3 tokens, and 4 were to stay; give at most that many"),
        (-1, ValueError, "length must be a whole number of 0 or more, got -1; 0 empties the cache"),
        (1.0, TypeError, "length must be a whole number"),
    ):
        with pytest.raises(error, match=message):
            cache.shorten(length)
    assert cache.length == 3 and torch.equal(cache.layers[0].keys, before)


def test_no_gradient_passes_a_cache():
    model = tiny_model().requires_grad_(True)
    cache = KVCache(model.architecture, 6)
    for ids in some_ids(6).split(2, dim=1):
        logits = model(ids, cache)
    assert not cache.layers[0].keys.requires_grad
    logits.sum().backward()  # through the last pass alone
    assert model.blocks[0].attention.query.weight.grad.any()
    assert model.blocks[0].attention.key.weight.grad is None
