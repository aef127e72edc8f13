"""Rotary positions: each pair of numbers of a query or key is turned by an angle that grows with the position.

A score depends on the angle between the turned query and key, so only on the distance of the two tokens. Pair i turns
by position * base^(-2 i / head_dim): the first pairs tell neighbours apart, the last ones tokens thousands apart.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_ROOM = 2048  # tables are made for a multiple of this many positions, so that few calls need a new one


def rotary_tables(positions: int, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the angles for positions 0 to `positions` - 1: float32 [positions, head_dim / 2].

    >>> cos, sin = rotary_tables(2, head_dim=4, base=10_000.0)               # angles 0 and 0, then 1 and 0.01
    >>> sin
    tensor([[0.0000, 0.0000],
            [0.8415, 0.0100]])

    Source: J. Su et al., "RoFormer", 2021, section 3.2.2.
    """
    cos, sin = _tables(-(-positions // _ROOM) * _ROOM, head_dim, base)
    return cos[:positions], sin[:positions]


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # the tables are kept, and a later call may be in training
def _tables(positions: int, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    frequencies = 1.0 / base ** (torch.arange(0, head_dim, 2).float() / head_dim)
    angles = torch.arange(positions).float()[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Return x [..., tokens, head_dim] with the pairs (i, i + head_dim / 2) turned by the angles of each token.

    >>> quarter = torch.tensor([[0.0]]), torch.tensor([[1.0]])               # cosine 0, sine 1
    >>> rotate(torch.tensor([[3.0, 4.0]]), quarter)
    tensor([[-4.,  3.]])
    """
    cos, sin = tables
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(x.dtype)  # the tables are float32, which angles need even in a model of half precision
