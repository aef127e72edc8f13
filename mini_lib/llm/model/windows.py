"""A long text cut into windows of equal length; a last window that is not full is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mini_lib.require import shown, whole
from mini_lib.tensor_checks import need_tensor


def windows_of(tokens: Tensor | Sequence[int], window: int) -> list[Tensor]:
    """Return windows [1, window] of token ids that do not overlap.

    Raises:
        TypeError: the tokens are not whole numbers.
        ValueError: they are not one row, there are fewer than a window of them, or a window is below 2 tokens.

    >>> windows_of([1, 2, 3, 4, 5], 2)
    [tensor([[1, 2]]), tensor([[3, 4]])]
    """
    window = whole("window", window, low=2, fix="256 is usual here")
    ids = torch.tensor(token_ids(tokens), dtype=torch.int64)
    if len(ids) < window:
        raise ValueError(f"{len(ids)} tokens do not fill a window of {window}; give a longer text or a smaller window")
    return [part[None] for part in ids.split(window) if len(part) == window]


def token_ids(tokens: Tensor | Iterable[int]) -> list[int]:
    """Return one row of token ids as plain numbers.

    Raises:
        TypeError: they are not whole numbers.
        ValueError: they are not one row.

    >>> token_ids(torch.tensor([3, 1]))
    [3, 1]
    """
    fix = "lm.tokenizer.encode(text) gives them"
    if isinstance(tokens, str) or not isinstance(tokens, Iterable):
        raise TypeError(f"tokens must be token ids, got {shown(tokens)}; {fix}")
    if hasattr(tokens, "shape") and len(tokens.shape) != 1:
        raise ValueError(f"tokens must be one row of ids, got shape {list(tokens.shape)}; use tokens[0]")
    if isinstance(tokens, Tensor):
        tokens = need_tensor("tokens", tokens, floating=False, empty=True, fix=fix).tolist()
    return [whole("each token", one, fix=fix) for one in tokens]
