"""Optimal brain damage and surgeon: the cost of removing a weight, and how the others make up for it.

Both ask for the change D of a layer's weights W that does the least harm to its output. With H = E[x x^T] the harm to
one row is half the mean squared output error,

    L(D) = 1/2 D H D^T

Damage removes weight q, leaves the others as they are, and pays  w_q^2 H_qq / 2.
Surgery removes weight q and moves the others to make up for it:  D = -w_q / [H^-1]_qq * [H^-1]_q, which pays
w_q^2 / (2 [H^-1]_qq), never more. This is the smallest L under the one condition D_q = -w_q (a Lagrange multiplier).

The papers take for H the second derivatives of the training loss. Here H belongs to the layer's own output error, for
which L is exact, since that error is quadratic.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, per_weight
from mini_lib.prune.scores import is_prunable, weight_name
from mini_lib.prune.second_order.inputs import input_mean_squares, input_second_moments, layers_of
from mini_lib.require import whole
from mini_lib.second_moments import by_group, cholesky, damped, inverse
from mini_lib.surgery import Where
from mini_lib.tensor_checks import need_tensor


def optimal_brain_damage(model: nn.Module, calibration: Calibration, where: Where = is_prunable) -> dict[str, Tensor]:
    """Score each weight by w^2 H_jj / 2: the harm of removing it alone and leaving the others as they are.

    It is half the square of `activation_weighted`, so within a row or a layer both give the same ranking.

    Arguments and result are those of `activation_weighted`.

    Raises:
        TypeError, ValueError: as `activation_weighted`.

    The weight 3 reads inputs of mean square 0.25, the weight -1 inputs of mean square 4: 9 / 8 and 4 / 2.

    >>> model = nn.Sequential(nn.Linear(2, 1)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[3.0, -1.0]]))
    >>> optimal_brain_damage(model, torch.tensor([[0.5, 2.0], [-0.5, 2.0]]))["0.weight"]
    tensor([[1.1250, 2.0000]], dtype=torch.float64)

    Source: Y. LeCun, J. Denker, S. Solla, "Optimal Brain Damage", 1990, section 2.2; here H belongs to the layer's
    output error.
    """
    squares = input_mean_squares(model, calibration, where)
    return {
        weight_name(name): layer.weight.detach().double().square() * per_weight(layer.weight, squares[name]) / 2
        for name, layer in layers_of(model, where).items()
    }


def optimal_brain_surgeon(
    model: nn.Module, calibration: Calibration, where: Where = is_prunable, *, damp: float = 0.01
) -> dict[str, Tensor]:
    """Score each weight by w^2 / (2 [H^-1]_jj): the harm of removing it alone while the others make up for it.

    A score is the cost of one removal. After it the other weights have moved, and their costs have changed too:
    `obs_prune_row` follows these changes, a mask of the many lowest scores at once does not.

    Args:
        model, calibration, where: as in `activation_weighted`.
        damp: the share of the mean of H_jj that is added to its diagonal, see `damped`.

    Returns:
        By parameter name, float64 of the weight's shape.

    Raises:
        TypeError, ValueError: as `activation_weighted`; or H is singular, which needs damp above 0.

    Inputs (1, 0) and (1, 1): H = [[1, .5], [.5, .5]], its inverse [[2, -2], [-2, 4]], so 9 / 4 and 1 / 8.

    >>> model = nn.Sequential(nn.Linear(2, 1)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[3.0, -1.0]]))
    >>> optimal_brain_surgeon(model, torch.tensor([[1.0, 0.0], [1.0, 1.0]]), damp=0)["0.weight"]
    tensor([[2.2500, 0.1250]], dtype=torch.float64)

    Source: B. Hassibi, D. Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", 1993, section
    2, equation 5, with H of the layer's output error.
    """
    moments = input_second_moments(model, calibration, where)
    scores = {}
    for name, layer in layers_of(model, where).items():
        diagonal = inverse(damped(moments[name], damp)).diagonal(dim1=-2, dim2=-1)
        scores[weight_name(name)] = layer.weight.detach().double().square() / (2 * per_weight(layer.weight, diagonal))
    return scores


@dataclass(frozen=True, eq=False)
class PrunedRow:
    """One row of weights after surgery.

    weights: float64 [k], zero where a weight is gone. kept: bool [k]. saliencies: float64, the cost of each removal in
    its turn; their sum is L(D), half the squared output error of all removals together.
    """

    weights: Tensor
    kept: Tensor
    saliencies: Tensor


def obs_step(row: Tensor, inverse_moments: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Return the row without weight `index`, the others moved to make up for it, and the inverse of H without it.

    The inverse comes from the old one by one step of elimination. Its row and column `index` are zero afterwards, so
    the next step moves only the weights that are left.

    Args:
        row: the weights [k].
        inverse_moments: H^-1 [k, k].
        index: the weight to remove.

    Raises:
        TypeError: an argument is not a tensor, or `index` not a whole number.
        ValueError: the shapes do not fit, a number is not finite, or there is no such weight, or it is gone already.

    Two inputs of H = [[1, .5], [.5, .5]]: the first does the work of the second and more. Without the second weight,
    the first moves by -(-1) / 4 * -2 = -0.5.

    >>> row, left = obs_step(torch.tensor([3.0, -1.0]), torch.tensor([[2.0, -2.0], [-2.0, 4.0]]), 1)
    >>> row, left
    (tensor([2.5000, 0.0000]), tensor([[1., 0.],
            [0., 0.]]))

    Source: B. Hassibi, D. Stork, "Optimal Brain Surgeon", 1993, section 2, equation 5; the step of elimination: E.
    Frantar, D. Alistarh, "Optimal Brain Compression", 2022, section 4, lemma 1.
    """
    row = need_tensor("row", row, finite=True, fix="pass one row of weight.flatten(1)")
    inverse_moments = need_tensor("inverse_moments", inverse_moments, finite=True, fix="invert damped second moments")
    if row.dim() != 1 or inverse_moments.shape != (len(row), len(row)):
        raise ValueError(
            f"expected a row [k] and an inverse [k, k], got {list(row.shape)} and {list(inverse_moments.shape)}; "
            "pass one row of weight.flatten(1)"
        )
    index = whole("index", index, low=0, high=len(row) - 1, fix="weights count from 0")
    price = inverse_moments[index, index]
    if price <= 0:
        raise ValueError(f"weight {index} is gone already; remove one that is left")
    moved = row - row[index] / price * inverse_moments[index]
    left = inverse_moments - torch.outer(inverse_moments[:, index], inverse_moments[index]) / price
    # make exactly zero what is zero in exact arithmetic
    moved[index] = left[index, :] = left[:, index] = 0
    return moved, left


def obs_prune_row(row: Tensor, second_moments: Tensor, keep: int, *, damp: float = 0.0) -> PrunedRow:
    """Remove weights one at a time, each time the one of the lowest saliency, until `keep` are left.

    Each step is the best possible one; their sequence is greedy, and another mask may do better. The work per row grows
    with the third power of k: SparseGPT makes it affordable.

    Args:
        row: the weights [k].
        second_moments: H [k, k].
        keep: how many stay, 1 to k.
        damp: see `damped`.

    Raises:
        TypeError: an argument is not a tensor, or `keep` not a whole number.
        ValueError: the shapes do not fit, a number is not finite, `keep` is outside 1 to k, or H is singular.

    Both ways to lose one weight, w^2 / (2 [H^-1]_jj): 9 / 4 for the first, 1 / 8 for the second.

    >>> pruned = obs_prune_row(torch.tensor([3.0, -1.0]), torch.tensor([[1.0, 0.5], [0.5, 0.5]]), keep=1)
    >>> pruned.weights, pruned.saliencies
    (tensor([2.5000, 0.0000], dtype=torch.float64), tensor([0.1250], dtype=torch.float64))

    Source: B. Hassibi, D. Stork, "Optimal Brain Surgeon", 1993, section 2; row by row: E. Frantar, D. Alistarh,
    "Optimal Brain Compression", 2022, section 4.
    """
    row = need_tensor("row", row, finite=True, fix="pass one row of weight.flatten(1)")
    keep = whole("keep", keep, fix="keep at least one weight")
    if row.dim() != 1 or not 1 <= keep <= len(row):
        raise ValueError(
            f"keep must lie in 1 to the length of one row, got keep={keep} for shape {list(row.shape)}; "
            "pass one row of weight.flatten(1), and keep at least one weight"
        )
    rows, moments = by_group(row[None], second_moments)
    row, left = rows[0, 0], inverse(damped(moments[0], damp))
    kept, saliencies = torch.ones(len(row), dtype=torch.bool, device=row.device), []
    for _ in range(len(row) - keep):
        prices = torch.where(kept, row.square() / (2 * left.diagonal()), torch.inf)
        index = int(prices.argmin())
        saliencies.append(prices[index])
        row, left = obs_step(row, left, index)
        kept[index] = False
    return PrunedRow(row, kept, torch.stack(saliencies) if saliencies else row.new_zeros(0))


def refit(weight: Tensor, kept: Tensor, second_moments: Tensor, *, damp: float = 0.01) -> Tensor:
    """Return the best weights for a given mask: those with the least output error that the mask allows.

    Each row is a least-squares problem of its own, so this is slow. Its error bounds that of every method with the same
    mask: a method that does better owes it to its mask.

    Args:
        weight: the weights before pruning, [out, ...].
        kept: bool of the same shape.
        second_moments: H of the layer, from `input_second_moments`.
        damp: see `damped`.

    Returns:
        A weight of the same shape and type, zero where `kept` is False.

    Raises:
        TypeError: an argument is not a tensor, or `kept` not of bool.
        ValueError: the shapes do not fit, a number is not finite, or the inputs that a row keeps have singular second
            moments, which needs damp above 0.

    >>> moments = torch.tensor([[1.0, 0.5], [0.5, 0.5]])
    >>> refit(torch.tensor([[3.0, -1.0]]), torch.tensor([[True, False]]), moments, damp=0)
    tensor([[2.5000, 0.0000]])
    """
    weight = need_tensor("weight", weight, finite=True, fix="pass layer.weight")
    if need_tensor("kept", kept, floating=False, fix="pass the layer's mask").dtype != torch.bool:
        raise TypeError(f"kept must be a bool tensor, got {kept.dtype}; pass the layer's mask")
    if kept.shape != weight.shape:
        raise ValueError(
            f"kept has shape {list(kept.shape)} and the weight {list(weight.shape)}; pass the layer's mask"
        )
    rows, moments = by_group(weight, second_moments)
    moments = damped(moments, damp)
    best = torch.zeros_like(rows)
    for group, matrix in enumerate(moments):
        wanted = rows[group] @ matrix
        for number, stays in enumerate(kept.reshape(rows.shape)[group]):
            if stays.any():
                factor = cholesky(matrix[stays][:, stays])
                best[group, number, stays] = torch.cholesky_solve(wanted[number, stays, None], factor)[:, 0]
    return best.reshape(weight.shape).to(weight.dtype)
