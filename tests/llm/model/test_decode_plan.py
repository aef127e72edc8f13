"""A decode step as a plan computes what the model computes, over one token or several, float or packed."""

import pytest
import torch
from tiny_language_models import TOKENS, tiny_architecture, tiny_model

from mini_lib.llm.model.decode import DecodePlan
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
