"""The KV cache: by hand, against a cache that is really filled token by token, and what bad numbers are told."""

import math
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward, LatentAttention
from mini_lib.llm.cost.kv_cache import kept_tokens, kv_bytes_per_token, kv_cache_bytes, kv_numbers_per_token

LLAMA_2_70B = Architecture("70B", 80, 8192, 32000, Attention(64, 8, 128), FeedForward(28672))
WINDOWED = Architecture("w", 3, 16, 10, Attention(4, 2, 4, window=5, windowed_layers=2), FeedForward(8))
LATENT = Architecture("v3", 61, 7168, 129280, LatentAttention(128, 1536, 512, 128, 64, 128), FeedForward(18432))


def test_a_token_of_a_grouped_query_model_by_hand():
    # a key and a value, 80 layers, 8 KV heads of 128 numbers, 2 bytes: the 64 query heads do not matter
    assert kv_numbers_per_token(LLAMA_2_70B) == 2 * 8 * 128
    assert kv_bytes_per_token(LLAMA_2_70B) == 2 * 80 * 8 * 128 * 2 == 327_680
    assert kv_bytes_per_token(replace(LLAMA_2_70B, attention=Attention(64, 64, 128))) == 8 * 327_680
    assert kv_bytes_per_token(replace(LLAMA_2_70B, attention=Attention(64, 1, 128))) == 327_680 / 8


def test_compressed_vectors_do_not_depend_on_the_heads():
    # 512 numbers, and 64 that carry the position, in each of 61 layers
    assert kv_bytes_per_token(LATENT) == 61 * (512 + 64) * 2 == 70_272
    assert kv_numbers_per_token(replace(LATENT, attention=replace(LATENT.attention, heads=1))) == 576


def test_a_window_is_kept_and_no_more():
    # 12 tokens: one layer keeps them all, two keep 5; a token is 2 * 2 * 4 numbers of 2 bytes in each layer
    assert kept_tokens(WINDOWED, 12) == 12 + 5 + 5
    assert kv_cache_bytes(WINDOWED, batch=1, context=12) == 22 * 16 * 2
    assert kv_cache_bytes(WINDOWED, batch=1, context=5) == 15 * 16 * 2
    assert kv_cache_bytes(WINDOWED, batch=1, context=0) == 0


@given(
    layers=st.integers(1, 4),
    windowed=st.integers(0, 4),
    window=st.integers(1, 9),
    batch=st.integers(1, 3),
    context=st.integers(0, 20),
    bits=st.sampled_from([4, 8, 16, 32]),
)
def test_a_cache_that_is_filled_token_by_token_is_as_large(layers, windowed, window, batch, context, bits):
    windowed = min(windowed, layers)
    sight = {"window": window, "windowed_layers": windowed} if windowed else {}
    shape = Architecture("any", layers, 16, 10, Attention(4, 2, 3, **sight), FeedForward(8))
    caches = [[deque(maxlen=window if layer < windowed else None) for layer in range(layers)] for _ in range(batch)]
    for sequence in caches:
        for token in range(context):
            for layer in sequence:
                layer.append({"key": [[token] * 3] * 2, "value": [[token] * 3] * 2})
    numbers = sum(
        len(head)
        for sequence in caches
        for layer in sequence
        for kept in layer
        for heads in kept.values()
        for head in heads
    )
    assert kv_cache_bytes(shape, batch, context, kv_bits=bits) == numbers * bits / 8


@given(
    st.sampled_from([LLAMA_2_70B, WINDOWED, LATENT]), st.integers(1, 8), st.integers(0, 5), st.sampled_from([4, 8, 16])
)
def test_bytes_grow_with_batch_and_bits_and_by_a_token_at_a_time(shape, batch, context, bits):
    one = kv_cache_bytes(shape, 1, context, bits)
    assert kv_cache_bytes(shape, batch, context, bits) == batch * one
    assert kv_cache_bytes(shape, 1, context, 2 * bits) == 2 * one
    if context < 5:  # while every window still has room
        assert kv_cache_bytes(shape, 1, context + 1, bits) - one == kv_bytes_per_token(shape, bits)


COUNT = "must be a whole number of 1 or more"
FROM_ZERO = "must be a whole number of 0 or more"
POSITIVE = "must be a finite number above 0"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: kv_bytes_per_token(WINDOWED, 0), ValueError, f"kv_bits {POSITIVE}, got 0; use 16, 8 or 4"),
        (lambda: kv_bytes_per_token(WINDOWED, math.nan), ValueError, f"kv_bits {POSITIVE}, got nan; use 16, 8 or 4"),
        (lambda: kv_bytes_per_token(WINDOWED, "fp8"), TypeError, f"kv_bits {POSITIVE}, got 'fp8'; use 16, 8 or 4"),
        (lambda: kv_cache_bytes(WINDOWED, 0, 9), ValueError, f"batch {COUNT}, got 0; use 1 for a single user"),
        (lambda: kv_cache_bytes(WINDOWED, 1.5, 9), TypeError, f"batch {COUNT}, got 1.5; use 1 for a single user"),
        (lambda: kv_cache_bytes(WINDOWED, 1, -1), ValueError, f"context {FROM_ZERO}, got -1; use 0 for an empty cache"),
        (lambda: kv_cache_bytes(WINDOWED, 1, 9, -8), ValueError, f"kv_bits {POSITIVE}, got -8; use 16, 8 or 4"),
    ],
)
def test_bad_numbers_say_what_is_expected(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
