"""Lesson 13, exercise 13.1: what one token leaves in memory."""

import numpy as np
import torch

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward
from mini_lib.llm.cost.kv_cache import kv_bytes_per_token as kv_bytes_of
from mini_lib.llm.cost.kv_cache import kv_cache_bytes, kv_numbers_per_token
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 13.1 -----------------------------------------------------------------------------------------------


def kv_bytes_per_token(layers: int, hidden: int, heads: int, kv_heads: int, head_dim: int, bits: int) -> float:
    """The bytes that one token leaves in the KV cache of all layers."""
    attention = Attention(heads, kv_heads, head_dim)
    return kv_bytes_of(Architecture("model", layers, hidden, 1, attention, FeedForward(1)), bits)


def _kv_by_layers(layers, hidden, heads, kv_heads, head_dim, bits):
    stored = 0
    for _ in range(layers):
        for _ in ("key", "value"):
            stored += kv_heads * head_dim
    return stored * bits // 8  # a key and a value: always an even number of numbers


def _kv_in_numpy(layers, hidden, heads, kv_heads, head_dim, bits):
    return np.array([2, layers, kv_heads, head_dim, bits / 8]).prod()


def shape(generator: torch.Generator) -> tuple[int, int, int, int, int]:
    """Layers, hidden, heads, KV heads, head_dim: the heads together are seldom as wide as the model."""
    kv_heads = random_whole(generator, 1, 4)
    heads = kv_heads * random_whole(generator, 2, 4)
    return (
        random_whole(generator, 2, 12),
        8 * random_whole(generator, 2, 20),
        heads,
        kv_heads,
        4 * random_whole(generator, 1, 8),
    )


def _shape_case(generator: torch.Generator) -> Case:
    return Case(*shape(generator), (4, 8, 16)[random_whole(generator, 0, 2)])


KV_BYTES_PER_TOKEN = Exercise(
    id="13.1",
    title="What a token leaves behind",
    reference=kv_bytes_per_token,
    cases=(
        Case(1, 8, 2, 2, 4, bits=8),
        Case(1, 8, 2, 1, 4, bits=8),
        Case(3, 12, 4, 2, 5, bits=16),
        Case(32, 4096, 32, 32, 128, bits=16).called("Llama-2-7B in 16 bits"),
        Case(32, 4096, 32, 8, 128, bits=16).called("Llama-3-8B in 16 bits"),
        Case(1, 8, 2, 1, 4, bits=4),
        *random_cases(8, seed=131, make=_shape_case),
    ),
    mistakes=(
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, bits: layers * kv_heads * head_dim * bits / 8,
            "That is the keys or the values alone. A token leaves both in every layer: twice as much.",
        ),
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * heads * head_dim * bits / 8,
            "Those are the query heads. Queries are used at once and forgotten; only the KV heads leave something, "
            "and several query heads share one.",
        ),
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * head_dim * bits,
            "Those are bits. Memory is counted in bytes of 8 bits.",
        ),
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * kv_heads * head_dim * bits / 8,
            "That is one layer. Every layer has keys and values of its own.",
        ),
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * hidden * bits / 8,
            "`hidden` is the width between the layers. The cache is as wide as the KV heads together: kv_heads * "
            "head_dim.",
        ),
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * head_dim * 2,
            "That is always 2 bytes per number. A cache in 8 or 4 bits is smaller: a number takes bits / 8 bytes.",
        ),
        Mistake(
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * bits / 8,
            "A head's key is not one number but `head_dim` of them.",
        ),
    ),
    symptoms=(
        variants(
            "`hidden` is the width between the layers, and not part of the cache. The cache is as wide as the KV "
            "heads together: kv_heads * head_dim.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * hidden * kv_heads * bits / 8,
            lambda layers, hidden, heads, kv_heads, head_dim, bits: (
                2 * layers * hidden * kv_heads * head_dim * bits / 8
            ),
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * hidden * heads * head_dim * bits / 8,
            lambda layers, hidden, heads, kv_heads, head_dim, bits: layers * hidden * bits / 8,
        ),
        variants(
            "A head is `head_dim` wide, which does not have to be hidden / heads.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * hidden / heads * bits / 8,
            lambda layers, hidden, heads, kv_heads, head_dim, bits: (
                2 * layers * kv_heads * (hidden // heads) * bits / 8
            ),
        ),
        variants(
            "Two things: keys *and* values are kept, which makes it twice as much, and only for the KV heads, not for "
            "the query heads.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: layers * heads * head_dim * bits / 8,
        ),
        variants(
            "Two things: keys *and* values are kept, and memory is counted in bytes of 8 bits.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: layers * kv_heads * head_dim * bits,
        ),
        variants(
            "Queries are used at once and forgotten. A token leaves two things per layer, its keys and its values.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: (
                layers * (heads + 2 * kv_heads) * head_dim * bits / 8
            ),
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 3 * layers * kv_heads * head_dim * bits / 8,
            lambda layers, hidden, heads, kv_heads, head_dim, bits: (
                2 * layers * (heads + kv_heads) * head_dim * bits / 8
            ),
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 3 * layers * heads * head_dim * bits / 8,
        ),
        variants(
            "`heads // kv_heads` is how many query heads share one KV head. The cache holds the KV heads: kv_heads * "
            "head_dim numbers.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: (
                2 * layers * (heads // kv_heads) * head_dim * bits / 8
            ),
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * heads * kv_heads * head_dim * bits / 8,
        ),
        variants(
            "The KV heads are not multiplied in. Each of them keeps a key and a value of `head_dim` numbers.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * head_dim * bits / 8,
        ),
        variants(
            "Half a byte is rounded away. Count all the bits first, and divide by 8 at the end.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * head_dim * (bits // 8),
        ),
        variants(
            "Those are numbers, not bytes. A number takes bits / 8 bytes.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * head_dim,
        ),
        variants(
            "Divide the bits by 8: a byte has 8 bits, whatever the width of a number.",
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * head_dim * bits / 32,
            lambda layers, hidden, heads, kv_heads, head_dim, bits: 2 * layers * kv_heads * head_dim * bits * 8,
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, tuple)),
            "Those are several numbers. Return one: the bytes of keys and values together.",
            (lambda layers, hidden, heads, kv_heads, head_dim, bits: [layers * kv_heads * head_dim * bits / 8] * 2,),
        ),
    ),
    also_correct=(_kv_by_layers, _kv_in_numpy),
    forbidden=(kv_bytes_of, kv_cache_bytes, kv_numbers_per_token),
)
