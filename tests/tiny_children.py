"""Nets, pictures and rewards for the tests of policy searches: tiny, and found by name in other processes."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mini_lib.augment import Policy
from mini_lib.augment.operations import identity, invert, rotate, shear_x
from mini_lib.augment.search import Evolution, SearchSpace, Spent
from mini_lib.data import PIXEL_MEAN, PIXEL_STD, Split

SPACE = SearchSpace(operations=(rotate, shear_x, invert, identity), probabilities=(0.5, 1.0), magnitudes=(0, 3, 9))


def pictures(count: int = 96, seed: int = 0) -> Split:
    """Standardised pictures of 8 x 8 bytes in four classes: one quarter is bright, the rest is noise."""
    labels = torch.arange(count) % 4
    bytes_ = torch.randint(60, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    for image, label in zip(bytes_, labels.tolist()):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[0, row : row + 4, column : column + 4] += 60
    return Split((bytes_.float() / 255 - PIXEL_MEAN) / PIXEL_STD, labels)


def build(seed: int = 0) -> nn.Sequential:
    """A convolution with batch norm, and a linear layer: 4 * 9 + 8 + 4 * 16 * 4 + 4 = 304 weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv = nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))


class InDoubles(nn.Module):
    """A net that computes in doubles, on the same pictures: rounding is then far below any real difference."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images.double())


def build_in_doubles(seed: int = 0) -> nn.Module:
    return InDoubles(build(seed))


class Worth:
    """A reward that is known: a tenth for each step that turns, a fifth for each that inverts."""

    def __init__(self, folder: str | None = None, slow_s: float = 0.0) -> None:
        self.folder, self.slow_s, self.spent = folder, slow_s, Spent()

    def __call__(self, policies: Sequence[Policy]) -> list[float]:
        if self.folder is not None:
            Path(self.folder, str(os.getpid())).touch()
            _wait_until_two_meet(Path(self.folder))
        time.sleep(self.slow_s)
        self.spent += Spent(100 * len(policies), 10 * len(policies))
        return [worth(policy) for policy in policies]


def worth(policy: Policy) -> float:
    """The reward of one policy."""
    names = [step.operation.name for one in policy.sub_policies for step in one.steps]
    return (names.count("rotate") + 2 * names.count("invert")) / 10


def evolution(seed: int = 0) -> Evolution:
    return Evolution(SPACE, seed=seed, sub_policies=2, population=6, sample=3)


def _wait_until_two_meet(folder: Path) -> None:
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.01)
