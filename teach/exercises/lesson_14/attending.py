"""Lesson 14, exercise 14.1: the attention of one new token over the keys and values in the cache."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib.llm.model.attention import attend
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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


def _in_turn(part, group):
    return part.repeat(group, 1, 1)


def _neighbours(part, group):
    return part.repeat_interleave(group, dim=0)


def _of_heads(weighing, spread_keys=_neighbours, spread_values=_neighbours):
    """A wrong answer: `weighing(query, keys, values)` gives the heads' results, from a KV head for each query head."""

    def wrong(query, keys, values):
        group = len(query) // len(keys)
        return weighing(query, spread_keys(keys, group), spread_values(values, group))

    return wrong


def _attending(query, keys, values):
    scores = torch.einsum("hd,hcd->hc", query, keys) / query.shape[1] ** 0.5
    return torch.einsum("hc,hcd->hd", scores.softmax(dim=-1), values)


def _shares(query, keys, values):
    return (torch.einsum("hd,hcd->hc", query, keys) / query.shape[1] ** 0.5).softmax(dim=-1)


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
            "The scores are not divided by sqrt(head_dim). Wider heads make larger scores, and the softmax would look "
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
            "The softmax runs over the heads. Each head distributes its own attention over the tokens: the weights of "
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
            "The scores themselves are used as weights. They may be negative and do not add up to 1: the softmax "
            "over the tokens comes first.",
        ),
        Mistake(
            _weighted(lambda scores, head_dim: scores.softmax(dim=-1) / head_dim**0.5),
            "The division by sqrt(head_dim) comes after the softmax, and the weights no longer add up to 1. Divide the "
            "scores.",
        ),
    ),
    symptoms=(
        variants(
            "Head h is divided by kv_heads. Divide it by how many query heads share one KV head, heads // kv_heads.",
            lambda query, keys, values: _attending(
                query,
                *(part[(torch.arange(len(query)) // len(part)).clamp(max=len(part) - 1)] for part in (keys, values)),
            ),
        ),
        variants(
            "The scores are scaled by something else. It is the length of a key that makes scores large: *divide* by "
            "sqrt(head_dim).",
            _weighted(lambda scores, head_dim: (scores / scores.shape[0] ** 0.5).softmax(dim=-1)),
            _weighted(lambda scores, head_dim: (scores * head_dim**0.5).softmax(dim=-1)),
            _weighted(lambda scores, head_dim: (scores / head_dim**2).softmax(dim=-1)),
        ),
        variants(
            "The weights of a head do not add up to 1. A softmax is exp(scores) divided by the sum of exp over the "
            "tokens "
            "of the *same* head.",
            _weighted(lambda scores, head_dim: (scores / head_dim**0.5).exp()),
            _weighted(lambda scores, head_dim: (scores / head_dim**0.5).exp() / (scores / head_dim**0.5).exp().sum()),
            _weighted(lambda scores, head_dim: (scores / head_dim**0.5).sigmoid()),
            _weighted(lambda scores, head_dim: scores.exp()),
        ),
        variants(
            "Only the best token counts there. Attention is a mean of all values: the softmax gives each token its "
            "weight.",
            _weighted(lambda scores, head_dim: F.one_hot(scores.argmax(dim=-1), scores.shape[1]).to(scores)),
        ),
        variants(
            "Keys and values are mixed up. The query is compared with the *keys*, and the weights are for the "
            "*values*.",
            _of_heads(lambda query, keys, values: _attending(query, keys, keys)),
            _of_heads(lambda query, keys, values: _attending(query, values, values)),
            _of_heads(lambda query, keys, values: _attending(query, values, keys)),
        ),
        variants(
            "The keys and the values come from different KV heads. Repeat both in the same way, with "
            "`repeat_interleave`.",
            _of_heads(_attending, spread_values=_in_turn),
            _of_heads(_attending, spread_keys=_in_turn),
        ),
        variants(
            "All query heads read KV head 0. Head h reads KV head h // (heads // kv_heads).",
            lambda query, keys, values: _attending(
                query, keys[:1].expand(len(query), -1, -1), values[:1].expand(len(query), -1, -1)
            ),
        ),
        variants(
            "The signs of the scores are reversed: a token counts for *more* where its key agrees with the query.",
            _weighted(lambda scores, head_dim: (-scores / head_dim**0.5).softmax(dim=-1)),
        ),
        variants(
            "Two things: the scores are not divided by sqrt(head_dim), and the query heads read the wrong KV heads.",
            _weighted(lambda scores, head_dim: scores.softmax(dim=-1), spread=_in_turn),
        ),
        variants(
            "The new token's value is added as a whole. It takes part in the softmax like every other token.",
            _of_heads(lambda query, keys, values: _attending(query, keys[:, :-1], values[:, :-1]) + values[:, -1]),
        ),
        variants(
            "The softmax is taken twice, and the weights become nearly equal. Once is enough.",
            _weighted(lambda scores, head_dim: _softmax_scaled(scores, head_dim).softmax(dim=-1)),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got.shape == (len(expected), arguments["keys"].shape[1])
                and bool((got.sum(dim=1) - 1).abs().max() < 1e-4)
                and not torch.allclose(got.double(), expected.double())
                if got.shape == expected.shape
                else got.shape == (len(expected), arguments["keys"].shape[1])
            ),
            "Those are the weights. Return the mean of the values, weighted with them.",
            (_of_heads(_shares),),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got.shape == expected.shape
                and bool(
                    (got.abs().max() > 1.01 * arguments["values"].abs().max())
                    | ((arguments["values"] >= 0).all() & (got < -1e-3).any())
                )
            ),
            "A weighted mean cannot be outside the range of the values. The weights of a head are positive and add up "
            "to 1.",
            (lambda query, keys, values: attend_one(query, keys, values) + 99,),
        ),
    ),
    also_correct=(_by_loops, _in_numpy_by_groups, _token_by_token),
    forbidden=(attend, F.scaled_dot_product_attention),
    atol=ATTENTION_ATOL,
)
