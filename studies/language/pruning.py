"""Masks for one linear layer of a language model, by magnitude, by Wanda and by SparseGPT."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from mini_lib.prune.keep import keep_top
from mini_lib.prune.second_order.sparse_gpt import sparse_gpt_weight
from mini_lib.prune.structure.nm import keep_n_of_m

# (weight [out, in], second moments of its inputs, "50%" or "2:4") -> the weight with zeros
Prune = Callable[[Tensor, Tensor, str], Tensor]
MAGNITUDE, MAGNITUDE_BY_ROW, WANDA, SPARSE_GPT = "magnitude", "magnitude by row", "Wanda", "SparseGPT"


def density_of(pattern: str) -> float | None:
    """Return the share that stays if a given share is removed, or None for 2:4.

    >>> density_of("30%"), density_of("2:4")
    (0.7, None)
    """
    return None if pattern == "2:4" else (100 - int(pattern.rstrip("%"))) / 100


def by_magnitude(weight: Tensor, moments: Tensor, pattern: str) -> Tensor:
    """Keep the largest weights of the layer.

    >>> import torch
    >>> by_magnitude(torch.tensor([[4.0, 3.0], [2.0, -1.0]]), torch.eye(2), "50%")
    tensor([[4., 3.],
            [0., -0.]])
    """
    return weight * _mask(weight.abs(), pattern, "layer")


def by_magnitude_of_row(weight: Tensor, moments: Tensor, pattern: str) -> Tensor:
    """Keep the largest weights of each row: Wanda without its inputs.

    >>> import torch
    >>> by_magnitude_of_row(torch.tensor([[4.0, 3.0], [2.0, -1.0]]), torch.eye(2), "50%")
    tensor([[4., 0.],
            [2., -0.]])
    """
    return weight * _mask(weight.abs(), pattern, "row")


def by_wanda(weight: Tensor, moments: Tensor, pattern: str) -> Tensor:
    """Keep the weights of each row with the largest product of magnitude and strength of input, sqrt(E[x_j^2]).

    >>> import torch
    >>> by_wanda(torch.tensor([[4.0, 3.0]]), torch.diag(torch.tensor([1.0, 4.0])), "50%")
    tensor([[0., 3.]])

    Source: M. Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", 2024, section 3.
    """
    return weight * _mask(weight.abs().double() * moments.diagonal().sqrt(), pattern, "row")


def by_sparse_gpt(weight: Tensor, moments: Tensor, pattern: str) -> Tensor:
    """Prune with `sparse_gpt_weight`, which adjusts the weights that stay."""
    density = density_of(pattern)
    return sparse_gpt_weight(weight, moments, density=density, n_of_m=None if density else (2, 4))[0]


PRUNED_BY: Mapping[str, Prune] = {
    MAGNITUDE: by_magnitude,
    MAGNITUDE_BY_ROW: by_magnitude_of_row,
    WANDA: by_wanda,
    SPARSE_GPT: by_sparse_gpt,
}


def _mask(scores: Tensor, pattern: str, scope: str) -> Tensor:
    density = density_of(pattern)
    kept = keep_n_of_m({"weight": scores}) if density is None else keep_top({"weight": scores}, density, scope)
    return kept["weight"]
