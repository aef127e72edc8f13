"""The range of activations, seen batch by batch.

Weights are all there at once; activations come one batch at a time and are too many to keep. A fine histogram is kept
instead, which an observer then reads as if it were the values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.formats import IntFormat, Observer, choose_qparams
from mini_lib.quantize.granularity import PerTensor
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.validate import finite_float32, need_range
from mini_lib.require import callable_

BINS = 2**16  # at least 2**14 of them lie between 0 and the largest magnitude: 64 for each code of 8 bits


class RangeObserver:
    """Watches activations pass by and says which range their grid should cover.

    The lowest value, the highest value and the number of zeros are kept exactly; all other values as a histogram of
    BINS bins from -limit to limit, each of which stands for the mean of its values. When a value lies beyond the limit,
    the limit is doubled and the bins are joined in pairs, so the order of the batches hardly matters.

    Raises:
        TypeError: `fmt` is not an IntFormat.
        ValueError: its granularity is not PerTensor(): a scale that changes along the axis that a layer sums over could
            not be taken out of the sum.

    >>> watch = RangeObserver(IntFormat(2, symmetric=False, signed=False))
    >>> watch.update(torch.tensor([0.0, 1.0]))
    >>> watch.update(torch.tensor([[-1.0], [2.0]]))
    >>> watch.range()
    (tensor(-1.), tensor(2.))
    >>> watch.qparams()                                  # 4 codes, 3 steps of 1; code 1 is 0
    (tensor(1.), tensor(1, dtype=torch.int32))

    Source: Krishnamoorthi 2018, section 2.5; Nagel 2021, sections 2.4.2 and 3.1.
    """

    def __init__(self, fmt: IntFormat, observer: Observer = min_max):
        if not isinstance(fmt, IntFormat):
            raise TypeError(f"activations need an integer grid such as IntFormat(8), got {fmt!r}")
        if fmt.granularity != PerTensor():
            raise ValueError(
                f"activations share one scale, got {fmt.granularity!r}; use granularity=PerTensor(), since a scale "
                "that changes along the axis that a layer sums over cannot be taken out of the sum"
            )
        self.fmt = fmt
        self.observer = callable_("observer", observer, fix="min_max, mse and percentile(99.9) are some")
        self._low = torch.tensor(torch.inf)
        self._high = torch.tensor(-torch.inf)
        self._zeros = 0
        self._limit = 0.0
        self._counts = torch.zeros(BINS, dtype=torch.float64)
        self._sums = torch.zeros(BINS, dtype=torch.float64)

    def update(self, batch: Tensor) -> None:
        """Add one batch of activations (floats of any shape).

        Raises:
            TypeError: the batch does not hold floats.
            ValueError: it is empty, or holds NaN or infinity.
        """
        values = finite_float32("the batch", batch).reshape(-1)
        self._low = torch.minimum(self._low, values.amin())
        self._high = torch.maximum(self._high, values.amax())
        others = values[values != 0].double()
        self._zeros += values.numel() - others.numel()
        if others.numel():
            self._reach(float(others.abs().amax()))
            at = self._bins(others)
            self._counts += torch.bincount(at, minlength=BINS)
            self._sums += torch.bincount(at, weights=others, minlength=BINS)

    def range(self) -> tuple[Tensor, Tensor]:
        """Return the range that the observer chooses for all batches so far (two float32 numbers).

        Raises:
            ValueError: there was no batch yet.
        """
        if self._low > self._high:
            raise ValueError("no batch has been seen; call update(batch) with calibration data first")
        low, high = need_range(self.observer(*self._rows()))
        return low.squeeze(0), high.squeeze(0)

    def qparams(self) -> tuple[Tensor, Tensor]:
        """Return the scale (float32) and zero point (int32) of the grid that covers `range()`.

        Raises:
            ValueError: as `range` and `choose_qparams`.
        """
        return choose_qparams(*self.range(), self.fmt)

    def _rows(self) -> tuple[Tensor, IntFormat, Tensor]:
        """The values seen, in the form that an observer takes: one row of values, and how often each occurs."""
        counts, sums = self._counts.clone(), self._sums.clone()
        ends = torch.stack([self._low, self._high]).unique().double()
        for end in ends[ends != 0]:  # the ends are known exactly: take them out of their bins
            counts[self._bins(end)] -= 1
            sums[self._bins(end)] -= end
        filled = counts > 0
        zero = torch.zeros(1 if self._zeros else 0)
        values = torch.cat([ends, sums[filled] / counts[filled], zero])
        often = torch.cat([(ends != 0).double(), counts[filled], zero + self._zeros])
        return values.float()[None], self.fmt, often[None]

    def _reach(self, largest: float) -> None:
        """Extend the histogram to reach as far as `largest`."""
        if self._limit == 0:
            self._limit = largest
        while self._limit < largest:
            self._limit *= 2
            self._counts = _joined(self._counts)
            self._sums = _joined(self._sums)

    def _bins(self, values: Tensor) -> Tensor:
        return ((values / self._limit + 1) * (BINS // 2)).long().clamp(0, BINS - 1)


def _joined(bins: Tensor) -> Tensor:
    """The same bins over twice the range: neighbours joined, and nothing yet in the outer halves."""
    return torch.nn.functional.pad(bins.view(-1, 2).sum(dim=1), (BINS // 4, BINS // 4))
