"""A decode step as a plan computes what the model computes, over one token or several, float or packed."""

from copy import deepcopy

import pytest
import torch
from tiny_language_models import TOKENS, tiny_architecture, tiny_model

from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.generate import stream
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.quantize import IntFormat, PerGroup, pack_for_speed, quantize_weights

IDS = [5, 9, 3, 30, 12, 7, 7, 21, 4, 28, 16, 3]
ROOM = 40


@pytest.fixture(scope="module")
def float_lm():
    return tiny_model(tiny_architecture(hidden=32, width=64))


@pytest.fixture(scope="module")
def packed_lm(float_lm):
    fmt = IntFormat(4, granularity=PerGroup(16), scale_dtype=torch.float16)
    return pack_for_speed(quantize_weights(float_lm, fmt))


def after_prompt(lm, bits=32):
    cache = KVCache(lm.architecture, ROOM, bits, group_size=8)
    lm(torch.tensor([IDS[:4]]), cache)
    return cache


@pytest.mark.parametrize("bits", [32, 8, 4])
def test_a_step_gives_the_logits_of_the_model(float_lm, bits):
    plan, other = DecodePlan(float_lm, after_prompt(float_lm, bits)), after_prompt(float_lm, bits)
    for token in IDS[4:]:
        expected = float_lm(torch.tensor([[token]]), other)[0, -1]
        # the same products in another order; logits are sums of 32 products of size 1
        torch.testing.assert_close(plan.step(token), expected, atol=2e-4 if bits == 32 else 2e-2, rtol=0)
    assert plan.cache.length == len(IDS)


@pytest.mark.parametrize("tokens", [2, 5, 8])
def test_several_tokens_of_a_packed_model_are_as_many_steps_to_the_last_bit(packed_lm, tokens):
    one = DecodePlan(packed_lm, after_prompt(packed_lm))
    steps = torch.stack([one.step(token).clone() for token in IDS[4 : 4 + tokens]])
    several = DecodePlan(packed_lm, after_prompt(packed_lm), tokens=tokens).run(IDS[4 : 4 + tokens])
    assert torch.equal(several, steps)


def test_several_tokens_of_a_float_model(float_lm):
    one = DecodePlan(float_lm, after_prompt(float_lm))
    steps = torch.stack([one.step(token).clone() for token in IDS[4:9]])
    several = DecodePlan(float_lm, after_prompt(float_lm), tokens=5).run(IDS[4:9])
    torch.testing.assert_close(several, steps, atol=2e-4, rtol=0)


def test_threads_change_nothing_at_a_short_context(packed_lm):
    logits = [DecodePlan(packed_lm, after_prompt(packed_lm), threads=n).step(9).clone() for n in (1, 2)]
    assert torch.equal(*logits)


def test_bytes_are_those_of_the_matrices(float_lm, packed_lm):
    a = float_lm.architecture
    weights = a.vocabulary * a.hidden + a.layers * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64)
    assert DecodePlan(float_lm, after_prompt(float_lm)).weight_bytes == 4 * weights
    # 4 bits, and a float16 scale for each 16 weights
    assert DecodePlan(packed_lm, after_prompt(packed_lm)).weight_bytes == weights // 2 + weights // 16 * 2


def test_what_a_plan_refuses(float_lm, packed_lm):
    cache = after_prompt(float_lm)
    with pytest.raises(TypeError, match="need a LanguageModel and a KVCache, got Linear and KVCache"):
        DecodePlan(torch.nn.Linear(2, 2), cache)
    with pytest.raises(ValueError, match="tokens must be"):
        DecodePlan(float_lm, cache, tokens=0)
    with pytest.raises(ValueError, match="the cache was made for"):
        DecodePlan(tiny_model(tiny_architecture(layers=3)), cache)
    plan = DecodePlan(float_lm, cache)
    with pytest.raises(ValueError, match="takes 1 tokens, got 2"):
        plan.run([1, 2])
    with pytest.raises(ValueError, match=f"token {len(TOKENS)} is not in the vocabulary"):
        plan.step(len(TOKENS))
    cache.length = ROOM
    with pytest.raises(ValueError, match="holds 40; 1 more do not fit"):
        plan.step(1)
    quantized = quantize_weights(float_lm, IntFormat(4, granularity=PerGroup(16)))
    with pytest.raises(ValueError, match="call pack_for_speed"):
        DecodePlan(quantized, after_prompt(quantized))


def hooked(lm):
    lm.blocks[1].feed_forward.down.register_forward_hook(lambda module, inputs, output: output * 5)


def patched(lm):
    old = lm.blocks[0].attention.out.forward
    lm.blocks[0].attention.out.forward = lambda x: old(x) + 1


def other_norm(lm):
    lm.blocks[0].attention_norm = torch.nn.LayerNorm(32)


@pytest.mark.parametrize("change", [hooked, patched, other_norm])
def test_a_model_that_computes_something_else_is_refused_and_generated_with_by_itself(change):
    lm = tiny_model(seed=3)
    change(lm)
    with pytest.raises(ValueError, match="which a plan"):
        DecodePlan(lm, KVCache(lm.architecture, ROOM))
    ids, by_hand = IDS[:3], []
    for _ in range(6):
        by_hand.append(int(lm(torch.tensor([[*ids, *by_hand]]))[0, -1].argmax()))
    assert list(stream(lm, ids, 6, stop_at_end=False)) == by_hand


def test_a_norm_keeps_its_own_epsilon():
    lm = tiny_model(seed=3)
    lm.blocks[0].attention_norm.eps = 1.0
    plan, other = DecodePlan(lm, after_prompt(lm)), after_prompt(lm)
    torch.testing.assert_close(plan.step(9), lm(torch.tensor([[9]]), other)[0, -1], atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    "replace",
    [
        lambda lm, cache: setattr(lm.blocks[0].attention.out, "weight", torch.nn.Parameter(torch.zeros(32, 32))),
        lambda lm, cache: setattr(lm.head.weight, "data", lm.head.weight.data.clone()),
        lambda lm, cache: setattr(lm.norm.weight, "data", lm.norm.weight.data.clone()),
        lambda lm, cache: setattr(cache.layers[0].keys, "data", cache.layers[0].keys.clone()),
        lambda lm, cache: setattr(lm, "rope_base", 500.0),
        lambda lm, cache: lm.train(),
    ],
)
def test_what_was_replaced_after_the_plan_is_told(replace):
    lm = tiny_model()
    cache = after_prompt(lm)
    plan = DecodePlan(lm, cache)
    replace(lm, cache)
    with pytest.raises(ValueError, match="make a new plan"):
        plan.step(9)


def test_a_plan_sees_weights_that_are_changed_in_place_and_is_not_copied():
    lm = tiny_model()
    cache = after_prompt(lm)
    plan = DecodePlan(lm, cache)
    lm.head.weight.mul_(2)
    before = cache.length
    doubled = plan.step(9).clone()
    cache.shorten(before)
    torch.testing.assert_close(doubled, lm(torch.tensor([[9]]), cache)[0, -1], atol=4e-4, rtol=0)
    with pytest.raises(TypeError, match="make another one"):
        deepcopy(plan)


@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("place", [0, 5, 15])
def test_nan_is_not_lost_in_a_cache(bits, place):
    lm = tiny_model(tiny_architecture(head_dim=64, heads=2, kv_heads=1, hidden=32))
    cache = KVCache(lm.architecture, ROOM, bits)
    lm(torch.tensor([IDS[:4]]), cache)
    plan = DecodePlan(lm, cache)
    lm.blocks[0].attention.value.weight[place] = torch.nan
    if bits == 32:
        assert plan.step(9).isnan().any()
        return
    message = f"a value of token 4 in layer 0 is NaN, infinite or too large for the steps of a cache of {bits} bits"
    with pytest.raises(ValueError, match=message):
        plan.step(9)
    assert cache.length == 4  # the step that failed is not counted


def test_what_the_model_itself_computes_is_not_blamed_on_the_cache():
    lm = tiny_model()
    plan = DecodePlan(lm, after_prompt(lm, 8))
    lm.norm.weight[0] = torch.nan
    assert plan.step(9).isnan().all()
