"""SparseGPT: prune a layer column by column, and let the columns still to come make up for the loss.

Optimal brain surgeon needs its own inverse of H for each row, since each row loses different weights. SparseGPT visits
the columns in one fixed order for all rows, and lets a removal move only the columns to its right. Then one sequence of
inverses serves all rows: those of H without its first columns. All of them are in one triangular matrix, the Cholesky
factor U of H^-1 = U^T U. At column i

    a removal costs (w / U_ii)^2             and moves the weights to its right by -w / U_ii * U_i,i:

The mask is chosen as the columns come by, from costs that include all moves so far.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration
from mini_lib.compensation import inverse_factor, layer_by_layer, settle_columns
from mini_lib.copying import copied
from mini_lib.prune.checks import check_density
from mini_lib.prune.mask import Mask
from mini_lib.prune.scores import is_prunable, weight_name
from mini_lib.prune.second_order.inputs import layers_of
from mini_lib.require import whole
from mini_lib.second_moments import by_group, damped
from mini_lib.surgery import Where
from mini_lib.tensor_checks import need_tensor


@torch.no_grad()
def sparse_gpt(
    model: nn.Module,
    calibration: Calibration,
    *,
    density: float | None = None,
    n_of_m: tuple[int, int] | None = None,
    where: Where = is_prunable,
    block: int = 128,
    damp: float = 0.01,
) -> tuple[nn.Module, Mask]:
    """Return a pruned copy of `model`, its weights moved to make up for those removed, and the mask of those left.

    The layers are pruned in the order in which they run. Each reads the outputs of those pruned before it, as it will
    in use. The method keeps each layer's output error small, to which loud channels contribute most. But a batch norm
    after the layer makes quiet channels as loud as others. So leave depthwise layers out in `where`, or fold batch norm
    first: otherwise quiet channels vanish altogether.

    Args:
        model: a model in eval mode; the argument stays as it is.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        density: exactly round(density * n) of the n weights of each layer stay, see `sparse_gpt_weight`.
        n_of_m: (2, 4) keeps two of each four neighbours in `weight.flatten(1)`. Give this or `density`.
        where: picks linear layers, and convolutions in one or two dimensions.
        block: how many columns choose their mask together.
        damp: the share of the mean of H_jj that is added to its diagonal, see `damped`.

    Raises:
        TypeError: a layer of another kind is chosen, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer is not plain (`mini_lib.plain`) or
            does not run, two layers share their weight, calibration is empty, or `sparse_gpt_weight` refuses a layer,
            which is named.

    Both inputs are the same, so the weight that stays takes over from the one that goes, up to the damping.

    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, 3.0]]))
    >>> pruned, mask = sparse_gpt(model, torch.tensor([[1.0, 1.0], [2.0, 2.0]]), density=0.5)
    >>> pruned[0].weight.data.round(decimals=2), mask["0.weight"]
    (tensor([[0.0000, 3.9900]]), tensor([[False,  True]]))

    Source: E. Frantar, D. Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot", 2023,
    section 3 and algorithm 1.
    """
    pruned = copied(model)
    layers = layers_of(pruned, where)
    kept = dict.fromkeys(layers)  # in the order of the model, as in scores
    for name, layer, moments in layer_by_layer(pruned, calibration, layers):
        try:
            weight, kept[name] = sparse_gpt_weight(
                layer.weight, moments, density=density, n_of_m=n_of_m, block=block, damp=damp
            )
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
        layer.weight.copy_(weight)
    return pruned, Mask({weight_name(name): keep for name, keep in kept.items()})


@torch.no_grad()
def sparse_gpt_weight(
    weight: Tensor,
    second_moments: Tensor,
    *,
    density: float | None = None,
    n_of_m: tuple[int, int] | None = None,
    block: int = 128,
    damp: float = 0.01,
) -> tuple[Tensor, Tensor]:
    """Return the weight of one layer after pruning, and the mask of what stays.

    With `density`, all rows of a block of columns compete with each other when the first of these columns comes by.
    After b columns exactly round(density * rows * b) weights have stayed, so the layer's count is exact and that of a
    block is within one of its share. With `n_of_m`, each m neighbours of a row compete when the first of them comes by.

    Args:
        weight: [out, in], or [out, in / groups, kernel...] with the inputs in the order of `weight.flatten(1)`.
        second_moments: H of the layer, from `input_second_moments`.
        density, n_of_m, block, damp: as in `sparse_gpt`.

    Returns:
        A weight of the same shape and type, and a bool tensor of that shape.

    Raises:
        TypeError: `weight` or `second_moments` is not a tensor, or a setting is not a number.
        ValueError: `weight` holds NaN or infinity, neither or both of `density` and `n_of_m` are given, the density is
            outside (0, 1] or prunes to nothing, n is outside 1 to m, m does not divide the inputs or the block, the
            shapes do not fit, or H is singular and damp 0.

    H = [[1, .5], [.5, .5]] has the inverse [[2, -2], [-2, 4]], and U = [[sqrt 2, -sqrt 2], [0, sqrt 2]]. The costs are
    9 / 2 and 1 / 2. The second weight goes, and no column to its right is left to make up for it:

    >>> moments = torch.tensor([[1.0, 0.5], [0.5, 0.5]])
    >>> sparse_gpt_weight(torch.tensor([[3.0, -1.0]]), moments, density=0.5, damp=0)
    (tensor([[3., 0.]]), tensor([[ True, False]]))
    """
    rows, moments = by_group(need_tensor("weight", weight, finite=True, fix="pass layer.weight"), second_moments)
    density, n_of_m, block = check_choice(rows.shape[-1], rows.numel(), density, n_of_m, block)
    factor = inverse_factor(damped(moments, damp))
    diagonal = factor.diagonal(dim1=-2, dim2=-1)[:, None]  # [groups, 1, k]
    kept = torch.ones_like(rows, dtype=torch.bool)

    def prune(at: int, rows: Tensor) -> Tensor:
        if density is not None and at % block == 0:
            end = min(at + block, rows.shape[-1])
            stays = _share(density, rows, end) - _share(density, rows, at)
            prices = (rows[..., at:end] / diagonal[..., at:end]).square()
            kept[..., at:end] = best(prices.reshape(1, -1), stays).reshape(prices.shape)
        if n_of_m is not None and at % n_of_m[1] == 0:
            group = slice(at, at + n_of_m[1])
            kept[..., group] = best((rows[..., group] / diagonal[..., group]).square(), n_of_m[0])
        return torch.where(kept[..., at], rows[..., at], 0)

    rows = settle_columns(rows, factor, prune, block_size=block)
    return rows.reshape(weight.shape).to(weight.dtype), kept.reshape(weight.shape)


def _share(density: float, rows: Tensor, columns: int) -> int:
    """How many weights of the first columns stay."""
    return round(density * (rows.shape[0] * rows.shape[1] * columns))


def best(prices: Tensor, count: int) -> Tensor:
    """Return True at the `count` highest costs of the last axis; of equal costs at the first.

    >>> best(torch.tensor([[1.0, 3.0, 1.0, 0.0]]), 2)
    tensor([[ True,  True, False, False]])
    """
    order = prices.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(prices, dtype=torch.bool).scatter_(-1, order[..., :count], True)


def check_choice(
    inputs: int, total: int, density: float | None, n_of_m: tuple[int, int] | None, block: int
) -> tuple[float | None, tuple[int, int] | None, int]:
    """Return density, n_of_m and block if a layer of `total` weights in rows of `inputs` can be pruned as asked.

    Raises:
        ValueError: as `sparse_gpt_weight` says.

    >>> check_choice(9, 144, None, (2, 4), block=128)
    Traceback (most recent call last):
    ValueError: groups of 4 do not fill the 9 inputs of a row; leave the layer out in where
    """
    if (density is None) == (n_of_m is None):
        raise ValueError(f"give either density or n_of_m, got density={density} and n_of_m={n_of_m}; density=0.5, say")
    block = whole("block", block, low=1, fix="the paper has 128")
    if n_of_m is None:
        density = check_density(density)
        if round(density * total) == 0:
            raise ValueError(
                f"density {density:g} would prune it to nothing: 0 of {total} weights; use a higher density"
            )
        return density, None, block
    if not isinstance(n_of_m, (tuple, list)) or len(n_of_m) != 2:
        raise TypeError(f"n_of_m must be two whole numbers, got {n_of_m!r}; (2, 4) keeps two of each four")
    m = whole("n_of_m: m", n_of_m[1], low=1, fix="(2, 4) keeps two of each four")
    n = whole("n_of_m: n", n_of_m[0], low=1, high=m, fix="(2, 4) keeps two of each four")
    if inputs % m:
        raise ValueError(f"groups of {m} do not fill the {inputs} inputs of a row; leave the layer out in where")
    if block % m:
        raise ValueError(f"groups of {m} do not fill a block of {block} columns; use a block that {m} divides")
    return None, (n, m), block
