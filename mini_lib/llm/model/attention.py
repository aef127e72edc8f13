"""Causal self-attention in which groups of query heads share a key and value head, written out.

Two matrix products with the softmax between them are the definition. Engines fuse them, so that the scores never reach
memory; here they do, so that you can look at them and count them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.llm.cost.architecture import Attention
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.rotary import rotate


class SelfAttention(nn.Module):
    """Attention as in the Llama family; takes and returns [batch, tokens, hidden]."""

    def __init__(self, hidden: int, shape: Attention) -> None:
        super().__init__()
        self.shape = shape
        self.query = nn.Linear(hidden, shape.heads * shape.head_dim, bias=False)
        self.key = nn.Linear(hidden, shape.kv_heads * shape.head_dim, bias=False)
        self.value = nn.Linear(hidden, shape.kv_heads * shape.head_dim, bias=False)
        self.out = nn.Linear(shape.heads * shape.head_dim, hidden, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], cache: KVCache | None, layer: int) -> Tensor:
        by_head = (-1, self.shape.head_dim)
        queries, keys, values = (
            matrix(x).unflatten(-1, by_head).transpose(1, 2) for matrix in (self.query, self.key, self.value)
        )  # [batch, heads, tokens, head_dim]
        queries, keys = rotate(queries, rotary), rotate(keys, rotary)
        if cache is not None:
            keys, values = (part[None] for part in cache.append(layer, keys[0], values[0]))
        mixed = attend(queries, keys, values)
        return self.out(mixed.transpose(1, 2).flatten(2))


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(head_dim)) v, where no token sees one after it.

    queries [batch, heads, tokens, head_dim]; keys and values [batch, kv_heads, context, head_dim], whose last `tokens`
    are those of the queries.

    The second token is equally far from both keys, so it gets the mean of both values; the first sees only its own.

    >>> q, k, v = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.tensor([[[[4.0, 0.0], [8.0, 2.0]]]])
    >>> attend(q, k, v)
    tensor([[[[4., 0.],
              [6., 1.]]]])

    Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1.
    """
    kv_heads, (tokens, head_dim), context = keys.shape[1], queries.shape[-2:], keys.shape[-2]
    # the query heads of one KV head become rows of one matrix: its keys and values are read once and never copied
    grouped = queries.unflatten(1, (kv_heads, -1)).flatten(2, 3)
    scores = (grouped @ keys.mT / head_dim**0.5).unflatten(2, (-1, tokens))
    if tokens > 1:
        later = torch.ones(tokens, context, dtype=torch.bool).triu(context - tokens + 1)
        scores = scores.masked_fill(later, -torch.inf)
    mixed = scores.softmax(dim=-1).flatten(2, 3) @ values
    return mixed.unflatten(2, (-1, tokens)).flatten(1, 2)
