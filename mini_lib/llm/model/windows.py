"""A long text cut into windows of equal length, the last of which is left out where it is not full."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mini_lib.require import whole


def windows_of(tokens: Tensor | Sequence[int], window: int) -> list[Tensor]:
    """Return windows [1, window] of token ids that do not overlap.

    Raises:
        TypeError: the tokens are not whole numbers.
        ValueError: they are not one row, there are fewer than a window of them, or a window is below 2 tokens.

    >>> windows_of([1, 2, 3, 4, 5], 2)
    [tensor([[1, 2]]), tensor([[3, 4]])]
    """
    window = whole("window", window, low=2, fix="256 is usual here")
    if isinstance(tokens, str):
        raise TypeError("tokens must be token ids, got a str; lm.tokenizer.encode(text) gives them")
    ids = torch.as_tensor(tokens)
    if ids.numel() and (ids.is_floating_point() or ids.dtype == torch.bool):
        raise TypeError(f"tokens must be whole numbers, got {ids.dtype}; lm.tokenizer.encode(text) gives them")
    if ids.dim() != 1:
        raise ValueError(f"tokens must be one row of ids, got shape {list(ids.shape)}; use tokens[0]")
    if len(ids) < window:
        raise ValueError(f"{len(ids)} tokens do not fill a window of {window}; give a longer text or a smaller window")
    return [part[None] for part in ids.long().split(window) if len(part) == window]
