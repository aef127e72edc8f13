"""Pictures and a net for the tests of the contest: tiny and easily learned."""

import torch
from torch import nn

from mini_lib.data import PIXEL_MEAN, PIXEL_STD, Split, Splits
from studies.augment.contest import Contest


def pictures() -> Splits:
    """Pictures of 8 x 8 bytes in two classes, standardised: the upper or the lower half is bright."""
    return Splits(*(_split(count, seed) for seed, count in enumerate((96, 8, 40))))


def _split(count: int, seed: int) -> Split:
    labels = torch.arange(count) % 2
    pixels = torch.randint(120, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    for picture, label in zip(pixels, labels.tolist()):
        picture[0, 4 * label : 4 * label + 4] += 60
    return Split((pixels / 255 - PIXEL_MEAN) / PIXEL_STD, labels)


def build(seed: int) -> nn.Module:
    """A net with batch norm, as that of the contest has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


def contest(**given) -> Contest:
    """A contest of seconds."""
    return Contest(
        **{
            "seeds": (0, 1),
            "methods": (),
            "train_pictures": 16,
            "validation_pictures": 16,
            "trials": 10,
            "child_steps": 2,
            "together": 5,
            "sub_policies": 2,
            "joined": 2,
            "again": 2,
            "nets": 2,
            "final_steps": 4,
            "batch_size": 4,
            "build": build,
            "load_data": pictures,
            **given,
        }
    )
