"""read.c bound: a pass over memory that only reads, to measure the most that a kernel can reach."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mini_lib.kernels.binding import bound, need_layout


def bind_read(memory: Tensor, result: Tensor) -> Callable[[], None]:
    """Return a call that reads uint8 [a multiple of 256] once, and leaves the bitwise or of its words in int64 [1].

    Raises:
        TypeError, ValueError, NoCompiler: as `need_layout` and `bound`.

    >>> memory, result = torch.zeros(256, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    >>> memory[8], memory[255] = 5, 1
    >>> bind_read(memory, result)()
    >>> int(result) == 5 + 2**56
    True
    """
    (size,) = need_layout("memory", memory, (torch.uint8,), (None,))
    if size % 256:
        raise ValueError(f"memory must be a multiple of 256 bytes, got {size}; leave out the rest")
    need_layout("result", result, (torch.int64,), (1,))
    return bound("read.c", "read_all", (size // 64, memory, result))
