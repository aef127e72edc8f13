"""Rows of a linear layer's matrix: how a tied head serves as the embedding table, in whatever form it is stored."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib.quantize.packed import PackedLinear


def weight_rows(layer: nn.Module, index: Tensor) -> Tensor:
    """Return rows of the layer's weight, float32 [*index.shape, columns]; only these rows of packed codes are unpacked.

    Raises:
        TypeError: the layer has no such matrix.

    >>> import torch
    >>> layer = nn.Linear(1, 3, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
    >>> weight_rows(layer, torch.tensor([2, 0])).tolist()
    [[3.0], [1.0]]
    """
    if isinstance(layer, PackedLinear):
        return layer.matrix.dense_rows(index.flatten().contiguous()).view(*index.shape, -1)
    if not isinstance(getattr(layer, "weight", None), Tensor):
        raise TypeError(
            f"a tied head is the embedding table too, and a {type(layer).__name__} has no weight whose rows can be "
            "looked up; leave the head as it is"
        )
    return F.embedding(index, layer.weight)
