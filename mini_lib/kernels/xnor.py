"""xnor.c bound: products of signs with signs, 64 at a time, by an exclusive or and a count of ones.

Source: Rastegari 2016, "XNOR-Net", section 3.2 (binary dot products).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib import native
from mini_lib.kernels.binding import bound, need_layout
from mini_lib.packing import pack_mask
from mini_lib.require import whole
from mini_lib.tensor_checks import need_tensor


def pack_signs(values: Tensor) -> Tensor:
    """Return the signs of a matrix [n, columns] as bits, int64 [n, ceil(columns / 64)]: 1 for 0 or more.

    Raises:
        TypeError: `values` is not a tensor.
        ValueError: it is not a matrix, or holds NaN.

    >>> pack_signs(torch.tensor([[1.0, -2.0, 0.0]]))                       # 1 + 4
    tensor([[5]])
    """
    need_tensor("values", values, dims=2, floating=False, empty=True, fix="give a matrix [n, columns]")
    if bool(values.isnan().any()):
        raise ValueError(f"values must be a matrix without NaN, got shape {list(values.shape)}; a NaN has no sign")
    mask = F.pad(values >= 0, (0, -values.shape[1] % 64))
    return torch.from_numpy(pack_mask(mask).numpy().view(np.int64)).view(len(mask), mask.shape[1] // 64)


def xnor_product(weights: Tensor, x: Tensor, columns: int) -> Tensor:
    """Return the sums of products of signs, int32 [n, rows], of packed signs [rows, words] and [n, words].

    Without a C compiler the bits are unpacked and multiplied in torch.

    Raises:
        TypeError: the signs are not int64.
        ValueError: they do not belong to rows of `columns` signs.

    >>> xnor_product(pack_signs(torch.tensor([[1, -1, 1]])), pack_signs(torch.tensor([[1, 1, 1]])), 3)
    tensor([[1]], dtype=torch.int32)
    """
    columns = whole("columns", columns, low=1, fix="it is the number of signs in a row")
    words = -(-columns // 64)
    rows, _ = need_layout("weights", weights, (torch.int64,), (None, words))
    count, _ = need_layout("x", x, (torch.int64,), (None, words))
    try:
        native.find_compiler()
    except native.NoCompiler:
        return (_signs(x, columns) @ _signs(weights, columns).T).int()
    y = torch.empty(count, rows, dtype=torch.int32)
    bound("xnor.c", "xnor", (count, rows, words, columns, weights, x, y))()
    return y


def _signs(packed: Tensor, columns: int) -> Tensor:
    bits = np.unpackbits(packed.numpy().view(np.uint8), axis=1, count=columns, bitorder="little")
    return 2 * torch.from_numpy(bits).double() - 1
