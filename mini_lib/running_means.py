"""Means over all windows that a layer reads, gathered batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Mean:
    """The mean over all windows of what `total` sums up; for a single group without the axis of groups."""

    def __init__(self, total: Callable[[Tensor], Tensor]) -> None:
        self.total, self.sum, self.count = total, 0, 0

    def add_(self, windows: Tensor) -> None:
        """Add windows [groups, n, k]."""
        # in float64: the product of two float32 numbers is exact there, and long sums lose nothing that matters
        self.sum = self.sum + self.total(windows)
        self.count += windows.shape[1]

    def result(self) -> Tensor:
        """Return the mean, [groups, ...], or [...] of a single group."""
        mean = self.sum / self.count
        return mean[0] if len(mean) == 1 else mean


class MeanAndProducts:
    """A running mean and the running sum of products about it: sums of squares less n mean^2 would cancel."""

    def __init__(self, size: int) -> None:
        self.count, self.mean = 0, torch.zeros(size, dtype=torch.float64)
        self.products = torch.zeros(size, size, dtype=torch.float64)

    def add_(self, windows: Tensor) -> None:
        """Add windows [1, n, k]."""
        [values] = windows
        total, mean = self.count + len(values), values.mean(dim=0)
        values = values - mean
        step = mean - self.mean
        self.products += values.mT @ values + step.outer(step) * (self.count * len(values) / total)
        self.mean, self.count = self.mean + step * (len(values) / total), total

    def result(self) -> tuple[Tensor, Tensor, int]:
        """Return the mean, the covariance, and the number of inputs."""
        return self.mean, self.products / self.count, self.count
