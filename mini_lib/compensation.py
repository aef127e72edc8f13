"""Compensation: change a model's layers one after the other, and a layer's columns one after the other.

The columns after a changed column can partly make up for its loss, if their inputs go together; and the next layer
reads the changed output of the layer before it. Both orders are the same whether weights are pruned or rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, batches, running_order
from mini_lib.require import callable_, whole
from mini_lib.second_moments import Layers, inverse, second_moments_of
from mini_lib.tensor_checks import need_tensor


def layer_by_layer(
    model: nn.Module, calibration: Calibration, layers: Layers
) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield the name, the layer and its H = E[x x^T], layer by layer in the order in which they run.

    H is computed when its layer's turn comes. So a caller that changes each layer in place gets, for the next one, the
    second moments of the outputs of the changed layers.

    Raises:
        TypeError, ValueError: as `second_moments_of`.

    The first layer is doubled before the second has its turn, so the squares that the second reads are four times as
    large.

    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).eval()
    >>> for name, layer, moments in layer_by_layer(model, torch.ones(3, 1), dict(model.named_children())):
    ...     _ = layer.weight.data.fill_(2.0)
    ...     print(name, moments.tolist())
    0 [[1.0]]
    1 [[4.0]]
    """
    data = batches(calibration)
    for name in dict.fromkeys([*running_order(model, data, layers), *layers]):
        yield name, layers[name], second_moments_of(model, data, {name: layers[name]})[name]


def inverse_factor(moments: Tensor) -> Tensor:
    """Return the upper triangular U with U^T U = H^-1, for each matrix of [..., k, k].

    Its part from row and column i on is the factor for H without its first i inputs: one factor serves all columns.

    Raises:
        ValueError: as `cholesky`.

    The inverse is [[4, 2], [2, 5]]. Without the first input H is 1/4, and its inverse 2 * 2:

    >>> inverse_factor(torch.tensor([[5.0, -2.0], [-2.0, 4.0]]) / 16).round(decimals=4)
    tensor([[2., 1.],
            [0., 2.]])

    Source: E. Frantar, D. Alistarh, "SparseGPT", 2023, section 3.
    """
    return torch.linalg.cholesky(inverse(moments), upper=True)


def settle_columns(rows: Tensor, factor: Tensor, settle: Callable[[int, Tensor], Tensor], *, block_size: int) -> Tensor:
    """Return the rows after each column in turn took its final value, and the columns after it made up for the change.

    The columns after column i move by -e U_i,i+1: with e = (w - settle) / U_ii; the change of column i adds e^2 to the
    squared output error.

    Args:
        rows: [groups, rows, k], float64; the argument stays as it is.
        factor: U of `inverse_factor`, [groups, k, k].
        settle: gets a column's index and the rows as they are now, and returns the column's final values [groups,
            rows].
        block_size: columns after a block of this many columns move once for the whole block, as one matrix product.
            This changes the time and nothing else.

    Raises:
        TypeError: `rows` or `factor` is not a tensor, `settle` not a function, or `block_size` not a whole number.
        ValueError: the shapes do not fit, a number is not finite, or `block_size` is below 1.

    U is [[1, -1], [0, 1]]. The first column goes from 1.5 to 1, and the second takes over 0.5:

    >>> upper = torch.tensor([[[1.0, -1.0], [0.0, 1.0]]])
    >>> settle_columns(torch.tensor([[[1.5, 3.0]]]), upper, lambda at, rows: rows[..., at].floor(), block_size=128)
    tensor([[[1., 3.]]])

    Source: E. Frantar, D. Alistarh, "SparseGPT", 2023, section 3; E. Frantar et al., "GPTQ", 2023, algorithm 1.
    """
    block_size = whole("block_size", block_size, low=1, fix="128 is usual")
    callable_("settle", settle, fix="pass a function (index, rows) -> the final values of that column")
    rows = need_tensor("rows", rows, dims=3, finite=True, fix="[groups, rows, k]")
    wanted = (len(rows), rows.shape[-1], rows.shape[-1])
    if need_tensor("factor", factor, finite=True, fix="inverse_factor gives it").shape != wanted:
        raise ValueError(f"factor must be {list(wanted)}, got {list(factor.shape)}; inverse_factor gives it")
    rows, columns = rows.clone(), rows.shape[-1]
    diagonal = factor.diagonal(dim1=-2, dim2=-1)[:, None]  # [groups, 1, k]
    for start in range(0, columns, block_size):
        end = min(start + block_size, columns)
        errors = rows.new_zeros(*rows.shape[:-1], end - start)
        for at in range(start, end):
            settled = settle(at, rows)
            error = (rows[..., at] - settled) / diagonal[..., at]
            rows[..., at:end] -= error[..., None] * factor[:, None, at, at:end]
            rows[..., at] = settled  # exactly; the line above gives it up to rounding
            errors[..., at - start] = error
        # the columns after the block move once for the whole block: the same sum, as one matrix product
        rows[..., end:] -= errors @ factor[:, start:end, end:]
    return rows
