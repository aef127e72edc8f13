"""Ternary weights: each weight becomes -scale, 0 or +scale."""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.validate import finite_rows

THRESHOLD = 0.7  # of the mean magnitude: near the optimum for normal (0.75) and uniform (0.667) weights


def ternarize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The ternary codes and the scale of each row: (int32 [rows, n] of -1, 0, 1; float32 [rows]).

    A weight is kept if its magnitude exceeds 0.7 times the row's mean magnitude; the scale is the mean
    magnitude of the kept ones, which is the scale with the least squared error for these codes.
    An all-zero row gets codes 0 and scale 1.

    >>> codes, scale = ternarize(torch.tensor([[1.0, -3.0, 0.5, 3.5]]))   # mean 2, threshold 1.4
    >>> codes, scale                                                      # (3 + 3.5) / 2
    (tensor([[ 0, -1,  0,  1]], dtype=torch.int32), tensor([3.2500]))

    Raises: TypeError or ValueError if `rows` is not a matrix of finite floats.

    Source: Li 2016, "Ternary Weight Networks", section 2.
    """
    rows = finite_rows(rows)
    size = rows.abs().double()  # a sum of float32 may overflow float32
    keep = size > THRESHOLD * size.mean(dim=1, keepdim=True)
    kept = keep.sum(dim=1)
    scale = ((size * keep).sum(dim=1) / kept.clamp(min=1)).float()
    return rows.sign().to(torch.int32) * keep, torch.where(kept == 0, torch.ones_like(scale), scale)
