"""AdaRound: learn for each weight whether it is rounded up or down, so that the layer's output changes least.

Each weight has two neighbours on its grid. Choosing the best of the 2^n ways for a row of n weights is a binary
quadratic problem, min D H D^T, and too large to search. AdaRound lets each weight slide between its neighbours,

    w = below + h(v) * (above - below)        with h(v) = clamp(1.2 * sigmoid(v) - 0.1, 0, 1)

follows the gradient of the output error, and pushes every h to 0 or 1 with a penalty, the sum of 1 - |2 h - 1|^beta. At
first beta is 20, and the penalty affects only an h that is almost there; beta falls to 2, and by then it affects all of
them. Since h is a stretched sigmoid, it reaches 0 and 1 exactly, and stays there.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration
from mini_lib.quantize.choice import FormatChoice
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.qtensor import QTensor
from mini_lib.quantize.rounding.grids import fixed_grid
from mini_lib.quantize.rounding.layers import round_layers
from mini_lib.quantize.validate import finite_float32
from mini_lib.require import not_negative, whole
from mini_lib.second_moments import by_group, need_finite
from mini_lib.surgery import Where
from mini_lib.tensor_checks import need_tensor

STRETCH = 0.1  # h goes from -0.1 to 1.1 before it is clamped
NO_PENALTY = 0.2  # for this share of the steps
FIRST_BETA, LAST_BETA = 20.0, 2.0
LEARNING_RATE, FIRST_DECAY, SECOND_DECAY = 3e-2, 0.9, 0.999  # Adam's


def adaround(
    model: nn.Module,
    fmt: FormatChoice,
    calibration: Calibration,
    *,
    steps: int = 1000,
    penalty: float = 30.0,
    where: Where = is_weight_layer,
    observer: Observer = min_max,
) -> nn.Module:
    """Return a new model whose chosen layers hold weights rounded by AdaRound, as packed codes in the format `fmt`.

    The layers are rounded in the order in which they run, each for the inputs that the layers rounded before it give.
    Fold batch norm first, so that the rounded weights are those that are really used.

    Args:
        model: a model in eval mode; the argument stays as it is.
        fmt: as in `quantize_weights`. A layer in a float format is rounded to nearest.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        steps, penalty, observer: as in `adaround_weight`.
        where: `where(name, module) -> bool` chooses among the nn.Conv2d and nn.Linear layers.

    Raises:
        TypeError: `fmt` is neither a format nor a mapping or function that gives one, or a batch is not a tensor.
        ValueError: the model is in training mode, no layer is chosen, a chosen layer does not run, is masked or shares
            its weight, calibration is empty or holds NaN, or `adaround_weight` refuses a layer, which is named.

    The first two inputs are always the same, so 1.4 + 1.3 should stay near 2.7. To nearest it becomes 1 + 1:

    >>> model = nn.Sequential(nn.Linear(3, 1, bias=False)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.4, 1.3, 3.0]]))
    >>> from mini_lib.quantize import IntFormat
    >>> adaround(model, IntFormat(3), torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 1.0]]))[0].weight
    tensor([[2., 1., 3.]])

    Source: M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020, section 3.
    """
    round_weight = partial(adaround_weight, steps=steps, penalty=penalty, observer=observer)
    return round_layers(model, fmt, calibration, where, round_weight)


@torch.no_grad()
def adaround_weight(
    weight: Tensor,
    second_moments: Tensor,
    fmt: Format,
    *,
    steps: int = 1000,
    penalty: float = 30.0,
    observer: Observer = min_max,
) -> QTensor:
    """Return the weight of one layer, rounded by AdaRound to the format `fmt`.

    It minimizes the error of the layer's output before any activation, on all of the calibration data at once: tr(D H
    D^T) includes them all, so no batch is drawn and nothing is random. (The paper draws batches, and takes the error
    after the ReLU, which is not quadratic.) A row whose error is not below that of `quantize` keeps the rounding of
    `quantize`.

    Args:
        weight: [out, in], or [out, in / groups, kernel...] with the inputs in the order of `weight.flatten(1)`.
        second_moments: H of the layer, from `second_moments_of`.
        fmt: a format of 8 bits or fewer; integer grids of any width.
        steps: of Adam, each on the whole layer.
        penalty: the weight of the mean of 1 - |2 h - 1|^beta, where the output error to nearest counts as 1.
        observer: chooses the range of each integer grid.

    Raises:
        TypeError: as `quantize`, or `steps` or `penalty` is not a number, or second_moments is not a tensor.
        ValueError: as `quantize`; `steps` is below 1, `penalty` is negative, the shapes do not fit, or second_moments
            hold NaN or infinity.

    Rounding up by 0.6 and down by 0.3 leaves an error of 0.3 in the sum, to nearest leaves 0.7:

    >>> from mini_lib.quantize import IntFormat
    >>> adaround_weight(torch.tensor([[1.4, 1.3, 3.0]]), torch.ones(3, 3), IntFormat(3)).codes
    tensor([[2, 1, 3]], dtype=torch.int32)

    Source: Nagel et al. 2020, sections 3.2 and 3.3; the penalty and the stretched sigmoid are those of section 3.3.
    """
    steps = whole("steps", steps, low=1, fix="1000 is enough for a small layer")
    penalty = not_negative("penalty", penalty, fix="30 settles every weight")
    finite_float32("weight", weight)
    need_tensor("second_moments", second_moments, fix="second_moments_of gives them")
    rows, moments = by_group(weight, need_finite(second_moments))
    nearest, grid = fixed_grid(weight, fmt, observer, lambda each: each.reshape(rows.shape))

    def error(values: Tensor) -> Tensor:
        change = values.double().reshape(rows.shape) - rows
        return ((change @ moments) * change).sum(dim=-1, keepdim=True)

    before, codes = error(nearest.dequantize()), nearest.codes
    if before.sum() > 0:
        below, above = grid.neighbours(rows)
        up = _learn(rows, grid.values(below), grid.values(above), moments / before.sum(), steps, penalty)
        learned = torch.where(up, above, below)
        better = error(grid.values(learned)) < before
        codes = torch.where(better, grid.codes(learned), codes.reshape(rows.shape)).reshape(codes.shape)
    return QTensor(fmt, nearest.shape, nearest.fields | {"codes": codes})


def _learn(rows: Tensor, below: Tensor, above: Tensor, moments: Tensor, steps: int, penalty: float) -> Tensor:
    """Return which weights are rounded up, bool of the shape of `rows`."""
    gap = (above - below).float()
    share = ((rows - below) / gap.where(gap > 0, 1.0)).clamp(0, 1)
    # v such that h(v) is the share itself: sliding starts at the original weight
    v = torch.logit((share + STRETCH) / (1 + 2 * STRETCH)).float()
    start, moments = (below - rows).float(), moments.float()
    mean, square = torch.zeros_like(v), torch.zeros_like(v)  # of the gradient, as Adam follows it
    for step in range(steps):
        sigmoid = torch.sigmoid(v)
        h = ((1 + 2 * STRETCH) * sigmoid - STRETCH).clamp(0, 1)
        slope = 2 * ((start + h * gap) @ moments) * gap  # of D H D^T along h
        if step >= NO_PENALTY * steps:
            done = (step / steps - NO_PENALTY) / (1 - NO_PENALTY)
            beta, side = FIRST_BETA + (LAST_BETA - FIRST_BETA) * done, 2 * h - 1
            slope -= penalty / rows.numel() * 2 * beta * side.abs().pow(beta - 1) * side.sign()
        gradient = slope * (1 + 2 * STRETCH) * sigmoid * (1 - sigmoid) * ((h > 0) & (h < 1))
        mean.lerp_(gradient, 1 - FIRST_DECAY)
        square.lerp_(gradient.square(), 1 - SECOND_DECAY)
        size = (square / (1 - SECOND_DECAY ** (step + 1))).sqrt() + 1e-12
        v -= LEARNING_RATE * mean / (1 - FIRST_DECAY ** (step + 1)) / size
    return v >= 0
