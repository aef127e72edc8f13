"""Binary weights: each weight becomes -scale or +scale."""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.validate import finite_rows


def binarize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The signs and the scale of each row: (int32 [rows, n] of -1 and 1; float32 [rows]).

    The scale is the row's mean magnitude, which has the least squared error. There is no code for 0: it
    becomes +1. An all-zero row gets scale 0, so that it stays zero (nothing is ever divided by it).

    >>> codes, scale = binarize(torch.tensor([[1.0, -3.0, 0.0, 4.0]]))
    >>> codes, scale                                             # (1 + 3 + 0 + 4) / 4
    (tensor([[ 1, -1,  1,  1]], dtype=torch.int32), tensor([2.]))

    Raises: TypeError or ValueError if `rows` is not a matrix of finite floats.

    Source: Rastegari 2016, "XNOR-Net", section 3.1.
    """
    rows = finite_rows(rows)
    codes = torch.where(rows < 0, -1, 1).to(torch.int32)
    return codes, rows.abs().double().mean(dim=1).float()  # a sum of float32 may overflow float32
