"""Observers: which range should the grid cover?

If it covers all values, a single outlier makes every step coarse; if it covers too little, the outliers are cut off.
Each function here answers the question in its own way. It takes values as a matrix with one row per grid, and the
format that will be used, and returns the low and the high end of each row's range.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor

from mini_lib.quantize.affine import nearest_codes, values_of
from mini_lib.quantize.formats import IntFormat, Observer, choose_qparams
from mini_lib.quantize.validate import finite_rows
from mini_lib.require import of_type, shown, whole
from mini_lib.tensor_checks import need_tensor

MOST_CANDIDATES = 100_000  # each takes one pass over all values
# Which ends of the range a search moves, pass after pass: (low, high).
SYMMETRIC_PASSES = ((True, True),)
AFFINE_PASSES = ((True, True), (False, True), (True, False), (False, True))


def min_max(rows: Tensor, fmt: IntFormat, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cover everything: the lowest and the highest value of each row.

    Raises:
        TypeError: `rows` does not hold floats, or `fmt` is not an IntFormat.
        ValueError: `rows` is not a matrix, is empty, or holds NaN or infinity; or the counts do not fit it.

    >>> min_max(torch.tensor([[-1.0, 0.5, 9.0]]), IntFormat(4))
    (tensor([-1.]), tensor([9.]))

    Source: Krishnamoorthi 2018, section 2.5; Nagel 2021, section 3.1.
    """
    rows, _ = checked_rows(rows, fmt, counts)
    return rows.amin(dim=1), rows.amax(dim=1)


def percentile(percent: float) -> Observer:
    """Return an observer that leaves at most (100 - percent)% of the values beyond each end of the range.

    Between two values it interpolates linearly, as numpy and torch do. Where nearly all values are 0, so that the range
    would be 0 to 0, it covers all values instead.

    Raises:
        ValueError: `percent` is not a number above 50 and up to 100.

    >>> observer = percentile(75)                                # of 5 values, the 2nd and the 4th
    >>> observer(torch.tensor([[-9.0, 0.0, 2.0, 3.0, 50.0]]), IntFormat(4))
    (tensor([0.]), tensor([3.]))

    Source: McKinstry 2018, "Discovering Low-Precision Networks Close to Full-Precision Networks for Efficient Embedded
    Inference"; Wu 2020, "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation".
    """
    if isinstance(percent, bool) or not isinstance(percent, Real) or not 50 < percent <= 100:
        raise ValueError(f"percent must lie above 50 and be at most 100, got {shown(percent)}; 99.9 is usual")

    def within_percentiles(rows: Tensor, fmt: IntFormat, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows, counts = checked_rows(rows, fmt, counts)
        values, order = rows.sort(dim=1)
        places = counts.double().gather(1, order).cumsum(dim=1)  # how many values are at or below each
        low = _quantile(values, places, (100 - percent) / 100)
        high = _quantile(values, places, percent / 100)
        nothing_left = (low == 0) & (high == 0)
        return torch.where(nothing_left, values[:, 0], low), torch.where(nothing_left, values[:, -1], high)

    return within_percentiles


def mse(rows: Tensor, fmt: IntFormat, counts: Tensor | None = None, candidates: int = 100) -> tuple[Tensor, Tensor]:
    """Choose the range that makes the squared error of the quantized values smallest.

    Tries `candidates` evenly spaced fractions of the full range: of both ends at once and then, where the
    grid is affine, of one end while the other stays, in turns. It is never worse than `min_max`.

    Ten ones and a four at 2 bits, codes -1, 0 and 1: up to 4, every 1 rounds to 0 and the error is 10;
    up to 1, only the 4 is wrong, by 3, and the error is 9.

    Raises:
        TypeError, ValueError: as `min_max`; or `candidates` is below 1.

    >>> mse(torch.tensor([[4.0] + 10 * [1.0]]), IntFormat(2), candidates=4)
    (tensor([0.]), tensor([1.]))

    Source: Nagel 2021, section 3.1; Banner 2019, "Post training 4-bit quantization of convolutional
    networks for rapid-deployment" (the same error, minimized analytically).
    """
    rows, counts = checked_rows(rows, fmt, counts)
    candidates = whole("candidates", candidates, low=1, high=MOST_CANDIDATES, fix="100 are plenty")
    wide, counts = rows.double(), counts.double()

    def squared_error(low: Tensor, high: Tensor) -> Tensor:
        scale, zero_point = (each[:, None] for each in choose_qparams(low, high, fmt))
        quantized = values_of(nearest_codes(rows, scale, zero_point, fmt.qmin, fmt.qmax), scale, zero_point)
        return ((quantized - wide).square() * counts).sum(dim=1)

    return _narrow(*min_max(rows, fmt), fmt, squared_error, candidates)


def entropy(
    rows: Tensor, fmt: IntFormat, counts: Tensor | None = None, candidates: int = 100, bins: int = 2048
) -> tuple[Tensor, Tensor]:
    """Choose the range that keeps most of the distribution's shape: the least Kullback-Leibler divergence.

    For each of the ranges that `mse` tries, the histogram of the values, with those outside moved
    into the outermost filled bins, is compared with what a quantized histogram can show: the mass of each code, spread
    evenly over that code's filled bins. Zeros are left out, since 0 is on every grid.

    The histogram has `bins` bins, or fewer where these would hold less than 8 values each on average.
    This method needs many values: where each code has a bin of its own, nothing is lost, and the full range wins. So a
    range must hold two filled bins for each code, or nine tenths of all filled bins.

    Raises:
        TypeError, ValueError: as `min_max`; `candidates` is below 1, or `bins` below 16.

    >>> values = torch.linspace(-1, 1, 10_001) ** 3                  # most of them near 0
    >>> values[0] = -8                                               # and one outlier
    >>> low, high = entropy(values[None], IntFormat(4))
    >>> bool(-low < 2)                                               # one value is not worth most of the codes
    True

    Source: Migacz 2017, "8-bit Inference with TensorRT", GTC talk S7310; Wu 2020.
    """
    rows, counts = checked_rows(rows, fmt, counts)
    candidates = whole("candidates", candidates, low=1, high=MOST_CANDIDATES, fix="100 are plenty")
    bins = whole("bins", bins, low=16, high=2**20, fix="2048 are usual")
    low, high = min_max(rows, fmt)
    bins = min(bins, max(16, int(counts.sum() / rows.shape[0] / 8)))
    codes_of = fmt.qmax - fmt.qmin + 1
    if bins < codes_of:  # fewer bins than codes show nothing
        return low.clamp(max=0), high.clamp(min=0)
    histogram, centres = _histogram(rows, counts.double() * (rows != 0), low, high, bins)
    filled = histogram > 0

    def divergence(low: Tensor, high: Tensor) -> Tensor:
        scale, zero_point = (each[:, None] for each in choose_qparams(low, high, fmt))
        unclipped = torch.round(centres / scale) + zero_point
        inside = filled & (unclipped >= fmt.qmin) & (unclipped <= fmt.qmax)
        code = unclipped.clamp(fmt.qmin, fmt.qmax).long() - fmt.qmin
        kept = histogram * inside
        per_code = kept.new_zeros(kept.shape[0], codes_of)
        mass = per_code.scatter_add(1, code, kept)
        bins_filled = per_code.scatter_add(1, code, inside.double())
        told = (mass / bins_filled.clamp(min=1)).gather(1, code) * inside
        lost = _kullback_leibler(_with_outliers(histogram, inside), told)
        # With fewer than two filled bins for each code hardly any shape is left to lose, and a range that cuts nearly
        # everything off would look perfect. A range may be that narrow only where it leaves few filled bins out.
        bins_inside = inside.sum(dim=1)
        too_few = (bins_inside < 2 * codes_of) & (bins_inside < 0.9 * filled.sum(dim=1))
        return torch.where(too_few, torch.inf, lost)

    return _narrow(low, high, fmt, divergence, candidates)


def checked_rows(rows: Tensor, fmt: IntFormat, counts: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the rows, and how often each value occurs: once unless `counts` says otherwise.

    Raises:
        TypeError: the rows do not hold floats, `fmt` is not an IntFormat, or the counts are not a tensor of numbers.
        ValueError: the rows are not a matrix, are empty, or hold NaN or infinity; or the counts do not fit them.
    """
    rows = finite_rows(rows)
    of_type("fmt", fmt, IntFormat, fix="other formats have no range to choose")
    if counts is None:
        return rows, torch.ones_like(rows, dtype=torch.float64)
    need_tensor("counts", counts, floating=False, finite=True, fix="say how often each value occurs")
    if counts.shape != rows.shape or (counts < 0).any() or not (counts.sum(dim=1) > 0).all():
        raise ValueError(
            f"counts must be [rows, n] = {list(rows.shape)}, none below 0 and one above in each row, got shape "
            f"{list(counts.shape)} from {counts.min()}; say how often each value occurs"
        )
    return rows, counts.double()


def _narrow(
    low: Tensor, high: Tensor, fmt: IntFormat, loss: Callable[[Tensor, Tensor], Tensor], candidates: int
) -> tuple[Tensor, Tensor]:
    """The fractions of the range low to high (each [rows]) with the smallest loss, row by row."""
    full_low, full_high = low.clamp(max=0), high.clamp(min=0)
    low, high, best = full_low, full_high, loss(full_low, full_high)
    passes = SYMMETRIC_PASSES if fmt.symmetric else AFFINE_PASSES
    for move_low, move_high in passes:
        for step in range(candidates, 0, -1):
            try_low = full_low * (step / candidates) if move_low else low
            try_high = full_high * (step / candidates) if move_high else high
            lost = loss(try_low, try_high)
            better = lost < best
            best = torch.where(better, lost, best)
            low, high = torch.where(better, try_low, low), torch.where(better, try_high, high)
    return low, high


def _quantile(values: Tensor, places: Tensor, fraction: float) -> Tensor:
    """The value at `fraction` of each ascending row, where places[:, -1] is the number of values that it stands for."""
    at = fraction * (places[:, -1:] - 1)
    last = values.shape[1] - 1
    below = values.gather(1, torch.searchsorted(places, at.floor(), right=True).clamp(max=last))
    above = values.gather(1, torch.searchsorted(places, at.ceil(), right=True).clamp(max=last))
    return torch.lerp(below.double(), above.double(), at.frac()).squeeze(1).float()


def _histogram(rows: Tensor, counts: Tensor, low: Tensor, high: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """How many values fall in each of `bins` equal bins of a row's range, and the centres of the bins."""
    width = ((high.double() - low.double()) / bins).clamp(min=1e-300)[:, None]
    at = ((rows.double() - low[:, None]) / width).long().clamp(0, bins - 1)
    histogram = torch.zeros(rows.shape[0], bins, dtype=torch.float64).scatter_add(1, at, counts)
    centres = low[:, None] + (torch.arange(bins, dtype=torch.float64) + 0.5) * width
    return histogram, centres.float()


def _with_outliers(histogram: Tensor, inside: Tensor) -> Tensor:
    """The histogram with the mass outside moved into the first and the last filled bin inside."""
    place = torch.arange(histogram.shape[1])
    first = torch.where(inside, place, place[-1]).amin(dim=1, keepdim=True)
    last = torch.where(inside, place, 0).amax(dim=1, keepdim=True)
    below = (histogram * (place < first)).sum(dim=1, keepdim=True)
    above = (histogram * (place > last)).sum(dim=1, keepdim=True)
    return (histogram * inside).scatter_add(1, first, below).scatter_add(1, last, above)


def _kullback_leibler(p: Tensor, q: Tensor) -> Tensor:
    """sum p log(p / q) of each row, both made to sum to 1; infinite where q is 0 and p is not."""
    p = p / p.sum(dim=1, keepdim=True).clamp(min=1e-300)
    q = q / q.sum(dim=1, keepdim=True).clamp(min=1e-300)
    return torch.where(p > 0, p * (p / q).log(), 0.0).sum(dim=1)
