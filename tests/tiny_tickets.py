"""Nets and pictures for the tests of lottery tickets: tiny, easily learned, and found by name in other processes."""

import os
import time
from pathlib import Path

import torch
from torch import nn

from mini_lib.data import Split, Splits


def pictures() -> Splits:
    """Pictures of 4 x 4 pixels in four classes: one quarter is bright. Nearly noiseless, so every net learns it."""
    return Splits(*(_split(count, seed) for seed, count in enumerate((96, 40, 48))))


def _split(count: int, seed: int) -> Split:
    labels = torch.arange(count) % 4
    images = 0.1 * torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    for image, label in zip(images, labels.tolist()):
        row, column = 2 * (label // 2), 2 * (label % 2)
        image[0, row : row + 2, column : column + 2] += 1
    return Split(images, labels)


def _from_seed(seed: int, make) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def build(seed: int = 0) -> nn.Sequential:
    """Weights to prune: 16 * 12 + 12 * 8 + 8 * 4 = 320."""
    return _from_seed(
        seed,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)),
    )


def build_conv(seed: int = 0) -> nn.Sequential:
    """Convolutions without batch norm; weights to prune: 1 * 6 * 9 + 6 * 4 * 9 + 16 * 4 = 334."""
    return _from_seed(
        seed,
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 4),
        ),
    )


class InDoubles(nn.Module):
    """A net that computes in doubles, on the same pictures: rounding is then far below any real difference."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images.double())


def build_in_doubles(seed: int = 0) -> InDoubles:
    return InDoubles(build(seed))


def build_conv_in_doubles(seed: int = 0) -> InDoubles:
    return InDoubles(build_conv(seed))


def build_slowly(seed: int = 0) -> nn.Sequential:
    """The same weights as `build`; in between, another thread has time to draw from the one random state."""

    def make() -> nn.Sequential:
        time.sleep(0.01)
        return build(seed)

    return _from_seed(seed, make)


def build_where_several_meet(folder: str, processes: int, seed: int = 0) -> nn.Sequential:
    """The same weights as `build`, once as many processes have come here; each leaves its number in the folder.

    A process that waits here cannot do the work of another. So it is sure that several take part.
    """
    (Path(folder) / str(os.getpid())).touch()
    end_s = time.monotonic() + 60
    while len(os.listdir(folder)) < processes and time.monotonic() < end_s:
        time.sleep(0.01)
    return build(seed)
