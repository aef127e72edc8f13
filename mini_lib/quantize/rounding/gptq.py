"""GPTQ: round a layer column by column, and let the columns still to come make up for the loss.

Rounding to nearest keeps each weight's own error small. What matters to the network is the error of the layer's output,
D H D^T, in which errors of inputs that go together can cancel. GPTQ rounds one column of all rows to nearest, and then
moves the columns that are not rounded yet so that they undo as much of the output error as they can. With the upper
Cholesky factor U of the inverse, H^-1 = U^T U,

    column i costs e^2 = ((w - q) / U_ii)^2        and moves the weights to its right by -e * U_i,i:

so that the errors of all columns, squared, add up to tr(D H D^T) exactly. Here H is the matrix that U belongs to, with
its damping. Each column is rounded without regard to the next, so the sum is mostly below that of rounding to nearest,
but sometimes above. The loss does not have to fall with the sum either: the sum counts all outputs alike.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration
from mini_lib.compensation import inverse_factor, settle_columns
from mini_lib.quantize.choice import FormatChoice
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.qtensor import QTensor
from mini_lib.quantize.rounding.grids import fixed_grid
from mini_lib.quantize.rounding.layers import round_layers
from mini_lib.quantize.validate import finite_float32
from mini_lib.require import of_type, whole
from mini_lib.second_moments import by_group, damped, need_finite
from mini_lib.surgery import Where
from mini_lib.tensor_checks import need_tensor


def gptq(
    model: nn.Module,
    fmt: FormatChoice,
    calibration: Calibration,
    *,
    block_size: int = 128,
    damp: float = 0.01,
    activation_order: bool = False,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
) -> nn.Module:
    """Return a new model whose chosen layers hold weights rounded by GPTQ, as packed codes in the format `fmt`.

    The layers are rounded in the order in which they run. Each reads the outputs of those rounded before it, as it will
    in use. Fold batch norm first, or each layer's outputs are weighted as if the batch norm did not rescale them.

    Args:
        model: a model in eval mode; the argument stays as it is.
        fmt: as in `quantize_weights`. A layer in a float format is rounded to nearest.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        block_size, damp, activation_order, observer: as in `gptq_weight`.
        where: `where(name, module) -> bool` chooses among the nn.Conv2d and nn.Linear layers.

    Raises:
        TypeError: `fmt` is neither a format nor a mapping or function that gives one, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer does not run, is masked or shares
            its weight, calibration is empty or holds NaN, or `gptq_weight` refuses a layer, which is named.

    Both inputs are always the same, so 1.4 + 1.3 should stay near 2.7. To nearest it becomes 1 + 1:

    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.4, 1.3], [3.0, 0.0]]))
    >>> from mini_lib.quantize import IntFormat
    >>> gptq(model, IntFormat(3), torch.tensor([[1.0, 1.0], [2.0, 2.0]]))[0].weight
    tensor([[1., 2.],
            [3., 0.]])

    Source: E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative
    Pre-trained Transformers", 2023, section 3 and algorithm 1.
    """
    round_weight = partial(
        gptq_weight, block_size=block_size, damp=damp, activation_order=activation_order, observer=observer
    )
    return round_layers(model, fmt, calibration, where, round_weight)


@torch.no_grad()
def gptq_weight(
    weight: Tensor,
    second_moments: Tensor,
    fmt: Format,
    *,
    block_size: int = 128,
    damp: float = 0.01,
    activation_order: bool = False,
    observer: Observer = min_max,
) -> QTensor:
    """Return the weight of one layer, rounded by GPTQ to the format `fmt`.

    The scales are those of rounding to nearest: chosen from the original weight, for all groups, before the first
    column is rounded. (The authors' code takes a group's scale from the weights at the time when it reaches the group,
    or, as here, all scales at the start, which any order other than that of the groups requires.)

    Args:
        weight: [out, in], or [out, in / groups, kernel...] with the inputs in the order of `weight.flatten(1)`.
        second_moments: H of the layer, from `second_moments_of`.
        fmt: a format of 8 bits or fewer; integer grids of any width. A float format rounds to nearest.
        block_size: how many columns are rounded before the rest moves; it changes the time, not the result.
        damp: the share of the mean of H_jj that is added to its diagonal, see `damped`.
        activation_order: round the columns of the strongest inputs first, while there are most columns left to make
            up for them. Otherwise they go from left to right.
        observer: chooses the range of each integer grid.

    Raises:
        TypeError: as `quantize`, or `damp` is not a number, or second_moments is not a tensor.
        ValueError: as `quantize`; `block_size` is below 1, the shapes do not fit, second_moments hold NaN or infinity,
            or H is singular and damp 0.

    H = [[2, 1], [1, 1]] has U = [[1, -1], [0, 1]]: 1.4 becomes 1, and 1.3 + 0.4 becomes 2.

    >>> from mini_lib.quantize import IntFormat
    >>> moments = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    >>> gptq_weight(torch.tensor([[1.4, 1.3], [3.0, 0.0]]), moments, IntFormat(3), damp=0).codes
    tensor([[1, 2],
            [3, 0]], dtype=torch.int32)

    Source: Frantar et al. 2023, section 3 and algorithm 1. Activation order is as in the authors' code,
    https://github.com/IST-DASLab/gptq.
    """
    block_size = whole("block_size", block_size, low=1, fix="the paper has 128")
    of_type("activation_order", activation_order, bool, fix="True takes the strongest inputs first")
    finite_float32("weight", weight)
    need_tensor("second_moments", second_moments, fix="second_moments_of gives them")
    rows, moments = by_group(weight, need_finite(second_moments))
    order = torch.arange(rows.shape[-1]).expand(len(rows), -1)
    if activation_order:
        order = moments.diagonal(dim1=-2, dim2=-1).argsort(dim=-1, descending=True, stable=True)
    columns = order[:, None].expand_as(rows)
    moments = moments.gather(1, order[:, :, None].expand_as(moments)).gather(2, order[:, None].expand_as(moments))
    factor = inverse_factor(damped(moments, damp))
    nearest, grid = fixed_grid(weight, fmt, observer, lambda each: each.reshape(rows.shape).gather(2, columns))
    places = torch.zeros_like(rows, dtype=torch.int32)

    def settle(at: int, rows: Tensor) -> Tensor:
        places[..., at] = grid.nearest(rows[..., at], at)
        return grid.values(places[..., at], at)

    settle_columns(rows.gather(2, columns), factor, settle, block_size=block_size)
    codes = torch.zeros_like(places).scatter(2, columns, grid.codes(places))
    return QTensor(fmt, nearest.shape, nearest.fields | {"codes": codes.reshape(nearest.shape)})
