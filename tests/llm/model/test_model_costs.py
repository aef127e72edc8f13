"""The calculator meets the machine: FLOPs, parameters and bytes that are counted on paper are those of a run."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language_models import TOKENS, architectures, tiny_model
from torch.utils.flop_counter import FlopCounterMode

from mini_lib.costs import parameters, stored_bytes
from mini_lib.llm.cost import count_parameters, find_model, kv_bytes_per_token, operators, weight_bytes
from mini_lib.llm.model.kv_cache import KVCache


@torch.no_grad()
def executed_flops(model, batch, new_tokens, cache=None):
    """What torch counts in the matrix products of one pass."""
    ids = torch.zeros(batch, new_tokens, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(ids, cache)
    return counter.get_total_flops()


def planned_flops(shape, **sizes):
    """A plain implementation: it scores masked pairs too, and applies the head to every token."""
    return sum(row.flops for row in operators(shape, **sizes, causal=False, head_on="all"))


@given(architectures(), st.integers(1, 3), st.integers(1, 9), st.integers(2, 5))
@settings(max_examples=12)
def test_executed_flops_are_those_of_the_calculator(shape, batch, prompt, chunk):
    """A prompt, one token more, and a chunk: each after what the cache holds by then; and a batch without a cache."""
    model = tiny_model(shape)
    assert executed_flops(model, batch, prompt) == planned_flops(shape, batch=batch, new_tokens=prompt)
    cache = KVCache(shape, prompt + 1 + chunk)
    for new in (prompt, 1, chunk):
        expected = planned_flops(shape, new_tokens=new, context=cache.length)
        assert executed_flops(model, 1, new, cache) == expected


@given(architectures())
@settings(max_examples=40)
def test_parameters_and_bytes_are_those_of_the_calculator(shape):
    model, count = tiny_model(shape), count_parameters(shape)
    assert parameters(model) == count.total
    assert stored_bytes(model) == 4 * count.total
    assert parameters(model.norm) + sum(parameters(block.attention_norm) * 2 for block in model.blocks) == count.norms
    assert sum(parameters(block.attention) for block in model.blocks) == count.attention
    assert sum(parameters(block.feed_forward) for block in model.blocks) == count.feed_forward
    assert (model.table is None) == shape.tied


def test_a_tiny_model_by_hand():
    """Hidden 4, 1 layer, 2 heads of 2 on 1 KV head, width 3, 32 tokens, tied; 2 new tokens after 3.

    Weights of a layer: queries 16, key and value 8 each, out 16, and 3 * 12 in the feed-forward, so 84; the head 128.
    A pair of tokens costs 2 heads * 2 numbers MACs for its score and as many for the sum.
    """
    shape = tiny_model().architecture
    at = replace(shape.attention, heads=2, kv_heads=1, head_dim=2)
    shape = replace(shape, layers=1, hidden=4, attention=at, feed_forward=replace(shape.feed_forward, width=3))
    model, cache = tiny_model(shape), KVCache(shape, 5)
    assert parameters(model) == 84 + 128 + 3 * 4
    assert executed_flops(model, 1, 3, cache) == 2 * (3 * (84 + 128) + 3 * 3 * 8)
    assert executed_flops(model, 1, 2, cache) == 2 * (2 * (84 + 128) + 2 * 5 * 8)
    assert cache.bytes_per_token == 2 * 2 * 4 and len(TOKENS) == shape.vocabulary == 32


@pytest.fixture(scope="module")
def shape():
    return find_model("SmolLM2-135M")


def test_the_file_holds_the_model_that_the_calculator_knows(lm, shape):
    told = {"name": shape.name, "published_parameters": shape.published_parameters, "source": shape.source}
    assert replace(lm.architecture, **told) == shape
    assert parameters(lm) == count_parameters(shape).total == shape.published_parameters == 134_515_008
    assert stored_bytes(lm) == 4 * 134_515_008
    assert weight_bytes(shape, 32) == stored_bytes(lm) - 2 * 61 * 576  # engines keep the norms in 16 bits
    assert KVCache(lm.architecture, 3).bytes_per_token == kv_bytes_per_token(shape, kv_bits=32)


def test_flops_of_the_model_are_those_of_the_calculator(lm, shape):
    cache = KVCache(lm.architecture, 10)
    for new in (5, 1, 4):
        expected = planned_flops(shape, new_tokens=new, context=cache.length)
        assert executed_flops(lm, 1, new, cache) == expected
    # a decode step is two FLOPs for each weight in a matrix, and what attention adds
    matrices = 134_515_008 - 61 * 576
    assert planned_flops(shape, new_tokens=1, context=9) == 2 * matrices + 30 * 4 * 10 * 9 * 64
