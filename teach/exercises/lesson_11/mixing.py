"""Lesson 11, exercises 11.6 and 11.7: two pictures become one, and what their label is then."""

import numpy as np
import torch
from torch import Tensor, tensor
from torch.nn import functional as F

from mini_lib.augment import CutMix, Mixup
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 11.6 -----------------------------------------------------------------------------------------------

Mixed = tuple[Tensor, Tensor]


def mix_pairs(pictures: Tensor, labels: Tensor, partner: Tensor, shares: Tensor, classes: int) -> Mixed:
    """Pictures mixed with their partners, and labels as shares of the classes, float [N, classes]."""
    own = shares[:, None, None]
    hot = torch.eye(classes)[labels]
    return (own * pictures + (1 - own) * pictures[partner], own[:, 0] * hot + (1 - own[:, 0]) * hot[partner])


def _mix_by_loop(pictures, labels, partner, shares, classes):
    mixed, mixed_labels = [], []
    for at, (other, share) in enumerate(zip(partner.tolist(), shares.tolist())):
        mixed.append(share * pictures[at] + (1 - share) * pictures[other])
        row = [0.0] * classes
        row[labels[at]] += share
        row[labels[other]] += 1 - share
        mixed_labels.append(row)
    return torch.stack(mixed), mixed_labels


def _mix_in_numpy(pictures, labels, partner, shares, classes):
    pictures, labels, partner = pictures.numpy(), labels.numpy(), partner.numpy()
    hot = np.eye(classes)[labels]
    own = shares.numpy()[:, None]
    mixed = own[..., None] * pictures + (1 - own[..., None]) * pictures[partner]
    return mixed, own * hot + (1 - own) * hot[partner]


def _labels(pictures, labels, partner, shares, classes):
    return mix_pairs(pictures, labels, partner, shares, classes)[1]


def _two_ones(pictures, labels, partner, shares, classes):
    mixed, _ = mix_pairs(pictures, labels, partner, shares, classes)
    hot = F.one_hot(labels, classes).float()
    return mixed, (hot + hot[partner]).clamp(max=1)


def _overwritten(pictures, labels, partner, shares, classes):
    mixed, mixed_labels = mix_pairs(pictures, labels, partner, shares, classes)
    rows = torch.arange(len(labels))
    mixed_labels = torch.zeros_like(mixed_labels)
    mixed_labels[rows, labels] = shares
    mixed_labels[rows, labels[partner]] = 1 - shares
    return mixed, mixed_labels


def _pairs_case(generator: torch.Generator) -> Case:
    count, classes = random_whole(generator, 4, 6), random_whole(generator, 3, 4)
    labels = torch.randint(classes, (count,), generator=generator)
    labels[:3] = tensor([0, 1, 1])
    partner = tensor([1, 2, 0, *range(3, count)])  # the second has a partner of its own class; some are their own
    shares = torch.rand(count, generator=generator).round(decimals=2)
    shares[:2] = tensor([0.3, 0.8])
    return Case(torch.rand(count, 2, 2, generator=generator).round(decimals=1), labels, partner, shares, classes)


_PAIR = (tensor([[[0.0, 8.0]], [[4.0, 4.0]]]), tensor([0, 2]), tensor([1, 0]))

MIX_PAIRS = Exercise(
    id="11.6",
    title="Mix the labels as you mix the pictures",
    reference=mix_pairs,
    cases=(
        Case(*_PAIR, tensor([0.75, 0.625]), 3),
        Case(*_PAIR, tensor([1.0, 0.25]), 3),
        Case(_PAIR[0], tensor([1, 1]), tensor([1, 0]), tensor([0.25, 0.75]), 2),
        *random_cases(8, seed=116, make=_pairs_case),
    ),
    mistakes=(
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                F.one_hot(labels, classes).float(),
            ),
            "The labels are not mixed. Three quarters of a 6 and a quarter of a 1 would be called a 6 alone.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                _labels(pictures, labels, partner, 1 - shares, classes),
            ),
            "The shares of the labels are exchanged: shares[i] is for picture i itself, and the rest for its partner.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: mix_pairs(
                pictures, labels, partner, shares[:1].expand_as(shares), classes
            ),
            "One share for the whole batch. Picture i has its own, shares[i].",
        ),
        Mistake(
            _two_ones,
            "Both classes get a 1. A label is shares that add up to 1: `shares[i]` for its own class, the rest for the "
            "other.",
        ),
        Mistake(
            _overwritten,
            "Where both pictures are of one class, the second share overwrites the first. Add them up: that "
            "class has 1.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                pictures,
                _labels(pictures, labels, partner, shares, classes),
            ),
            "The labels are mixed, and the pictures are not.",
        ),
        Mistake(
            lambda pictures, labels, partner, shares, classes: (
                mix_pairs(pictures, labels, partner, shares, classes)[0],
                (_labels(pictures, labels, partner, shares, classes) > 0.5).float(),
            ),
            "Rounded, the label forgets the smaller part again. Leave the shares as they are.",
        ),
    ),
    also_correct=(_mix_by_loop, _mix_in_numpy),
    forbidden=(Mixup.__call__,),
)

# 11.7 -----------------------------------------------------------------------------------------------

Pair = tuple[int, int]


def pasted_share(picture: Pair, box: Pair, centre: Pair) -> float:
    """The share of the picture that a box covers whose part beyond the border is cut off."""
    area = 1
    for size, side, middle in zip(picture, box, centre):
        first = middle - side // 2
        area *= min(first + side, size) - max(first, 0)
    return area / (picture[0] * picture[1])


def _pasted_by_mask(picture, box, centre):
    top, left = (middle - side // 2 for middle, side in zip(centre, box))
    mask = torch.zeros(picture)
    mask[max(top, 0) : top + box[0], max(left, 0) : left + box[1]] = 1
    return mask.mean().item()


def _pasted_by_count(picture, box, centre):
    count = 0
    for row in range(centre[0] - box[0] // 2, centre[0] - box[0] // 2 + box[0]):
        for column in range(centre[1] - box[1] // 2, centre[1] - box[1] // 2 + box[1]):
            count += 0 <= row < picture[0] and 0 <= column < picture[1]
    return np.float64(count / (picture[0] * picture[1]))


def _clipped(picture, box, centre, *, low=True, high=True, whole=True):
    area = 1
    for size, side, middle in zip(picture, box, centre):
        first = middle - side // 2
        end = first + side if whole else middle + side // 2
        area *= (min(end, size) if high else end) - (max(first, 0) if low else first)
    return area / (picture[0] * picture[1])


def _box_case(generator: torch.Generator) -> Case:
    picture = (random_whole(generator, 6, 9), random_whole(generator, 6, 9))
    box = (random_whole(generator, 1, 2) * 2 + 1, random_whole(generator, 3, 5))
    return Case(picture, box, tuple(random_whole(generator, 0, size - 1) for size in picture))


PASTED_SHARE = Exercise(
    id="11.7",
    title="What was really pasted",
    reference=pasted_share,
    cases=(
        Case((4, 4), (2, 2), (2, 2)),
        Case((4, 4), (2, 2), (0, 0)),
        Case((5, 5), (3, 3), (4, 2)),
        *random_cases(12, seed=117, make=_box_case),
    ),
    mistakes=(
        Mistake(
            lambda picture, box, centre: box[0] * box[1] / (picture[0] * picture[1]),
            "That is the whole box. What lies beyond the border is not pasted: count the pixels inside the picture.",
        ),
        Mistake(
            lambda picture, box, centre: _clipped(picture, box, centre, low=False),
            "Cut off on one side only: near the top and the left the box begins before pixel 0.",
        ),
        Mistake(
            lambda picture, box, centre: _clipped(picture, box, centre, high=False),
            "Cut off on one side only: near the bottom and the right the box ends beyond the last pixel.",
        ),
        Mistake(
            lambda picture, box, centre: _clipped(picture, box, centre, whole=False),
            "Half of an odd side is no whole number: from `centre - side // 2` on there are `side` pixels, not "
            "2 * (side // 2).",
        ),
        Mistake(
            lambda picture, box, centre: 1 - pasted_share(picture, box, centre),
            "That is what is left of the picture itself. The answer is the share of the other one, which is pasted.",
        ),
        Mistake(
            lambda picture, box, centre: pasted_share(picture, box, centre) * picture[0] * picture[1],
            "Those are pixels. A share divides them by all pixels of the picture.",
        ),
    ),
    also_correct=(_pasted_by_mask, _pasted_by_count),
    forbidden=(CutMix.__call__,),
)
