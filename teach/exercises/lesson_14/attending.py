"""Lesson 14, exercise 14.1: the attention of one new token over the keys and values in the cache."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib.llm.model.attention import attend
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 14.1 -----------------------------------------------------------------------------------------------

# A score of 8 is a sum of at most 8 products: after 10 roundings it is off by less than 8 * 10 * 2**-24 = 5e-6, so
# its weight by 1e-5 of itself. A weighted mean of values up to 8 is then off by less than 8 * 1e-5.
ATTENTION_ATOL = 1e-4


def attend_one(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Each head's weighted mean of the values, [heads, head_dim], for a query [heads, head_dim]."""
    heads, head_dim = query.shape
    keys, values = (part.repeat_interleave(heads // len(part), dim=0) for part in (keys, values))
    scores = torch.einsum("hd,hcd->hc", query, keys) / head_dim**0.5
    return torch.einsum("hc,hcd->hd", scores.softmax(dim=-1), values)


def _by_loops(query, keys, values):
    query, keys, values = query.tolist(), keys.tolist(), values.tolist()
    group = len(query) // len(keys)
    mixed = []
    for head, asked in enumerate(query):
        seen, taken = keys[head // group], values[head // group]
        sizes = [math.exp(sum(q * k for q, k in zip(asked, key)) / math.sqrt(len(asked))) for key in seen]
        mixed.append([sum(s * v[d] for s, v in zip(sizes, taken)) / sum(sizes) for d in range(len(asked))])
    return mixed


def _in_numpy_by_groups(query, keys, values):
    query, keys, values = (part.double().numpy() for part in (query, keys, values))
    grouped = query.reshape(len(keys), -1, query.shape[1])  # [kv_heads, group, head_dim]
    scores = grouped @ keys.transpose(0, 2, 1) / np.sqrt(query.shape[1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ values).reshape(query.shape)


def _token_by_token(query, keys, values):
    """The softmax as fused kernels compute it: a running maximum, a running sum and a running mean."""
    group = len(query) // len(keys)
    mixed = torch.zeros_like(query)
    for head in range(len(query)):
        most, total = -math.inf, 0.0
        for key, value in zip(keys[head // group], values[head // group]):
            score = float(query[head] @ key) * query.shape[1] ** -0.5
            more = max(most, score)
            total, kept = total * math.exp(most - more) + math.exp(score - more), total * math.exp(most - more)
            mixed[head] = (mixed[head] * kept + value * math.exp(score - more)) / total
            most = more
    return mixed


def _weighted(weigh, spread=lambda part, group: part.repeat_interleave(group, dim=0)):
    """A wrong answer: `weigh(raw scores, head_dim)` gives the weights, `spread` a key head for each query head."""

    def wrong(query, keys, values):
        group = len(query) // len(keys)
        scores = torch.einsum("hd,hcd->hc", query, spread(keys, group))
        return torch.einsum("hc,hcd->hd", weigh(scores, query.shape[1]), spread(values, group))

    return wrong


def _softmax_scaled(scores, head_dim):
    return (scores / head_dim**0.5).softmax(dim=-1)


def _cache_case(generator: torch.Generator) -> Case:
    kv_heads, group = random_whole(generator, 1, 3), random_whole(generator, 2, 4)
    head_dim, context = 2 ** random_whole(generator, 1, 3), random_whole(generator, 3, 9)
    shapes = (kv_heads * group, head_dim), (kv_heads, context, head_dim), (kv_heads, context, head_dim)
    return Case(*(torch.randint(-8, 9, shape, generator=generator) / 4 for shape in shapes))


def _by_hand(query: list, keys: list, values: list) -> Case:
    return Case(*(torch.tensor(part, dtype=torch.float32) for part in (query, keys, values)))


ATTEND_ONE = Exercise(
    id="14.1",
    title="One new token looks back",
    reference=attend_one,
    cases=(
        _by_hand([[0, 0]], [[[1, 0], [0, 1]]], [[[4, 0], [8, 2]]]),
        _by_hand([[2, 0, 0, 0]], [[[1, 0, 0, 0], [0, 1, 0, 0]]], [[[4, 0, 0, 8], [0, 4, 0, 0]]]),
        _by_hand([[1, 2]], [[[1, 0], [0, 1], [1, 1], [2, 0]]], [[[8, 0], [0, 8], [0, 0], [4, 4]]]),
        _by_hand([[1, 0], [0, 3]], [[[1, 0], [0, 1], [2, 1]]], [[[3, 0], [0, 3], [6, 6]]]),
        _by_hand([[1], [1], [2], [2]], [[[0], [1]], [[2], [0]]], [[[0], [4]], [[8], [16]]]),
        _by_hand([[1], [2], [3], [4], [5], [6]], [[[0], [1]], [[1], [0]]], [[[0], [1]], [[2], [4]]]),
        *random_cases(5, seed=141, make=_cache_case),
    ),
    mistakes=(
        Mistake(
            _weighted(lambda scores, head_dim: scores.softmax(dim=-1)),
            "The scores are not divided by sqrt(head_dim). Longer heads make larger scores, and the softmax would look "
            "at one token only.",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: (scores / head_dim).softmax(dim=-1)),
            "The scores are divided by head_dim. A sum of head_dim random products grows like its square root: divide "
            "by sqrt(head_dim).",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: (scores / scores.shape[1] ** 0.5).softmax(dim=-1)),
            "The scores are divided by the square root of the number of tokens. It is the length of a key that makes "
            "scores large: divide by sqrt(head_dim).",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: (scores / head_dim**0.5).softmax(dim=0)),
            "The softmax runs over the heads. Each head shares out its own attention among the tokens: the weights of "
            "one head add up to 1.",
        ),
        Mistake(
            _weighted(_softmax_scaled, spread=lambda part, group: part.repeat(group, 1, 1)),
            "The query heads read the wrong KV heads. Neighbours share one: head h reads KV head h // (heads // "
            "kv_heads), which `repeat_interleave` gives. `repeat`, like h % kv_heads, deals them out in turn.",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: F.pad(_softmax_scaled(scores[:, :-1], head_dim), (0, 1))),
            "The last token is left out. It is the new token itself, and it sees its own key and value as well.",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: torch.full_like(scores, 1 / scores.shape[1])),
            "That is the plain mean of the values. A token counts for more where its key agrees with the query.",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: scores / head_dim**0.5),
            "The scores themselves are used as weights. They may be negative and need not add up to 1: the softmax "
            "over the tokens comes first.",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: scores.softmax(dim=-1) / head_dim**0.5),
            "The division by sqrt(head_dim) comes after the softmax, and the weights no longer add up to 1. Divide the "
            "scores.",
        ),
    ),
    also_correct=(_by_loops, _in_numpy_by_groups, _token_by_token),
    forbidden=(attend, F.scaled_dot_product_attention),
    atol=ATTENTION_ATOL,
)
