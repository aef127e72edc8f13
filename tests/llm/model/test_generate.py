"""Generated text: what a model says token by token without a cache, and the ends of it."""

import pytest
import torch
from tiny_language_models import tiny_architecture, tiny_model, tiny_tokenizer
from torch import nn

from mini_lib.llm.model.generate import generate, stream
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.sampling import Sampling
from mini_lib.quantize import IntFormat, quantize_weights
from mini_lib.quantize.packed import pack_for_speed
from mini_lib.surgery import swap


@pytest.fixture(scope="module")
def tiny():
    return tiny_model(tokenizer=tiny_tokenizer())


@torch.no_grad()
def by_hand(model, ids, count, sampling=None, seed=0):
    """Each token from a pass over all tokens before it."""
    ids, chance = list(ids), torch.Generator().manual_seed(seed)
    for _ in range(count):
        logits = model(torch.tensor([ids]))[0, -1]
        ids.append((sampling or Sampling()).draw(logits, chance))
    return ids[-count:]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8, top_k=9)], ids=["greedy", "drawn"])
def test_tokens_are_those_of_a_model_without_a_cache(tiny, sampling):
    ids = [3, 1, 4, 1, 5]
    for seed in range(3):
        expected = by_hand(tiny, ids, 12, sampling, seed)
        assert list(stream(tiny, ids, 12, sampling=sampling, seed=seed, stop_at_end=False)) == expected
        assert generate(tiny, ids, 12, sampling=sampling, seed=seed, stop_at_end=False) == tiny.tokenizer.decode(
            expected
        )


def test_a_text_is_a_prompt(tiny):
    assert generate(tiny, "the", 5, stop_at_end=False) == generate(tiny, [31], 5, stop_at_end=False)


def test_every_form_of_the_layers_generates(tiny):
    """Packed layers run by a plan; what no plan takes (codes that are unpacked, two layers in a row) runs too."""
    quantized = quantize_weights(tiny, IntFormat(8))
    gate = tiny.blocks[0].feed_forward.gate
    split = nn.Sequential(nn.Linear(32, 32, bias=False), gate)
    split[0].weight.data = torch.eye(32)
    for model in (quantized, swap(tiny, {"blocks.0.feed_forward.gate": split}).eval()):
        assert list(stream(model, [3, 1], 6, stop_at_end=False)) == by_hand(model, [3, 1], 6)
    packed = pack_for_speed(quantized)
    assert len(list(stream(packed, [3, 1], 6, stop_at_end=False))) == 6


def test_it_stops_at_the_end_token(tiny):
    ids = list(stream(tiny, [3], 12, stop_at_end=False))
    tiny.tokenizer.end, before = ids[4], tiny.tokenizer.end
    try:
        until = ids.index(ids[4])
        assert list(stream(tiny, [3], 12)) == ids[:until]
        assert generate(tiny, [3], 12) == tiny.tokenizer.decode(ids[:until])
    finally:
        tiny.tokenizer.end = before


@pytest.mark.parametrize("bits", [8, 4])
def test_a_cache_of_few_bits_generates(tiny, bits):
    """The plan and the model agree on what such a cache holds: the same tokens as with the model alone."""
    ids, cache, other = [3, 1, 4], *(KVCache(tiny.architecture, 14, bits, group_size=8) for _ in range(2))
    found = list(stream(tiny, ids, 12, cache=cache, stop_at_end=False))
    with torch.no_grad():
        logits, expected = tiny(torch.tensor([ids]), other), []
        for _ in range(12):
            expected.append(int(logits[0, -1].argmax()))
            logits = tiny(torch.tensor([expected[-1:]]), other) if len(expected) < 12 else None
    assert found == expected and cache.length == other.length == 14


def test_the_model_generates_with_a_cache_of_8_bits(lm):
    prompt = lm.tokenizer.question("What is the capital of France?")
    text = generate(lm, prompt, 12, cache=KVCache(lm.architecture, len(prompt) + 11, bits=8))
    assert "Paris" in text


def test_none_and_one(tiny):
    assert generate(tiny, "the", 0) == "" and list(stream(tiny, [3], 0)) == []
    assert len(list(stream(tiny, [3], 1, cache=KVCache(tiny.architecture, 1), stop_at_end=False))) == 1


def test_a_cache_can_be_used_again_once_it_is_emptied(tiny):
    cache = KVCache(tiny.architecture, 8)
    first = list(stream(tiny, [3, 4], 5, cache=cache, stop_at_end=False))
    assert cache.length == 6
    with pytest.raises(
        ValueError, match=r"the cache holds 6 tokens already; call cache.shorten\(0\) or make a new one"
    ):
        next(stream(tiny, [3, 4], 5, cache=cache))
    cache.shorten(0)
    assert list(stream(tiny, [3, 4], 5, cache=cache, stop_at_end=False)) == first


def test_what_is_wrong_is_told_before_anything_is_generated(tiny):
    shape, other = tiny.architecture, tiny_architecture(layers=3)
    for arguments, changes, error, message in (
        (("", 3), {}, ValueError, "the prompt is empty, and the first token follows from it; pass at least one token"),
        (([], 3), {}, ValueError, "the prompt is empty"),
        (
            ([3, 32], 3),
            {},
            ValueError,
            "token 32 is not in the vocabulary, whose ids are 0 to 31; encode the text with",
        ),
        (([-1], 3), {}, ValueError, "token -1 is not in the vocabulary"),
        (([2**70], 3), {}, ValueError, "each token must fit into 64 bits"),
        (([3.5], 3), {}, TypeError, "each token must be a whole number, got 3.5"),
        (("thé", 3), {}, ValueError, "the vocabulary has no token for a byte of 'é'"),
        (([3], -1), {}, ValueError, "new_tokens must be a whole number of 0 or more, got -1; say how many"),
        (([3], 2.0), {}, TypeError, "new_tokens must be a whole number"),
        (([3, 4], 5), {"cache": KVCache(shape, 5)}, ValueError, "the cache has room for 5 tokens and holds 0; 6 more"),
        (([3, 4], 5), {"cache": KVCache(other, 9)}, ValueError, "the cache was made for tiny, and this is tiny"),
    ):
        with pytest.raises(error, match=message):
            generate(tiny, *arguments, **changes)


def test_a_model_without_tokenizer_says_ids_but_no_text():
    model = tiny_model()
    assert len(list(stream(model, [3], 4))) == 4
    with pytest.raises(ValueError, match=r"no tokenizer to turn tokens into text; stream\(...\) gives their ids"):
        generate(model, [3], 4)
    with pytest.raises(ValueError, match="this model has no tokenizer; pass token ids as the prompt"):
        next(stream(model, "the", 4))


def test_logits_that_are_no_numbers_end_it():
    model = tiny_model()
    model.norm.weight.data[0] = torch.nan
    with pytest.raises(ValueError, match="the largest logit is nan"):
        next(stream(model, [3], 4))
