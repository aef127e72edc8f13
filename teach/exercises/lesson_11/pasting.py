"""Lesson 11, exercise 11.7: the share of a picture that CutMix really covers."""

import math

import numpy as np
import torch

from mini_lib.augment import CutMix
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

# 11.7 -----------------------------------------------------------------------------------------------

Pair = tuple[int, int]


def pasted_share(picture: Pair, box: Pair, centre: Pair) -> float:
    """The share of the picture that a box covers, with its part beyond the border cut off."""
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


def _inside(length, share=lambda area, picture, box: area / (picture[0] * picture[1]), join=math.prod):
    """A wrong answer: `length(size, side, middle)` pixels in each direction, and a share of their product."""
    return lambda picture, box, centre: share(join(map(length, picture, box, centre)), picture, box)


def _length(size, side, middle):
    return min(middle - side // 2 + side, size) - max(middle - side // 2, 0)


def _share(size, side, middle):
    return _length(size, side, middle) / size


def _wrapped(picture, box, centre):
    top, left = (middle - side // 2 for middle, side in zip(centre, box))
    mask = torch.zeros(picture)
    mask[top : top + box[0], left : left + box[1]] = 1
    return mask.mean().item()


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
            "That is the whole box. The part beyond the border is not pasted: count the pixels inside the picture.",
        ),
        Mistake(
            lambda picture, box, centre: _clipped(picture, box, centre, low=False),
            "Near the top and the left the box begins before pixel 0, and that part is counted. Cut it off, but "
            "compute the end from the start before the cut.",
        ),
        Mistake(
            lambda picture, box, centre: _clipped(picture, box, centre, high=False),
            "Cut off on one side only: near the bottom and the right the box ends beyond the last pixel.",
        ),
        Mistake(
            lambda picture, box, centre: _clipped(picture, box, centre, whole=False),
            "Half of an odd side is not a whole number: from `centre - side // 2` on there are `side` pixels, not 2 * "
            "(side // 2).",
        ),
        Mistake(
            lambda picture, box, centre: 1 - pasted_share(picture, box, centre),
            "That is the part of the picture itself that is left. Return the share of the other one, which is pasted.",
        ),
        Mistake(
            lambda picture, box, centre: pasted_share(picture, box, centre) * picture[0] * picture[1],
            "Those are pixels. For a share, divide by the number of pixels in the picture.",
        ),
    ),
    symptoms=(
        variants(
            "That is a share of the box. The label needs the share of the *picture*: divide by its height times its "
            "width.",
            _inside(_length, lambda area, picture, box: area / (box[0] * box[1])),
            _inside(_length, lambda area, picture, box: 1 - area / (box[0] * box[1])),
        ),
        variants(
            "That is the part that is cut off. Count the part of the box inside the picture.",
            _inside(_length, lambda area, picture, box: (box[0] * box[1] - area) / (picture[0] * picture[1])),
        ),
        variants(
            "One pixel too many. From `first` to `end`, with `end` not included, there are end - first pixels.",
            _inside(lambda size, side, middle: _length(size, side, middle) + 1),
            _inside(lambda size, side, middle: min(middle + side // 2 + 1, size) - max(middle - side // 2, 0)),
        ),
        variants(
            "A row or column at the border is lost. Pixels run from 0 to size - 1, so `size` itself is the end that is "
            "not included.",
            _inside(lambda size, side, middle: min(middle - side // 2 + side, size - 1) - max(middle - side // 2, 0)),
            _inside(lambda size, side, middle: min(middle - side // 2 + side, size) - max(middle - side // 2, 1)),
        ),
        variants(
            "Half of an odd side is not a whole number of pixels. The box begins at `centre - side // 2`.",
            _inside(lambda size, side, middle: min(middle + side / 2, size) - max(middle - side / 2, 0)),
        ),
        variants(
            "The centre is taken for the first pixel. The box begins at `centre - side // 2`.",
            _inside(lambda size, side, middle: min(middle + side, size) - middle),
        ),
        variants(
            "Height and width are added. The pixels are rows times columns: multiply.", _inside(_length, join=sum)
        ),
        variants(
            "The shares of rows and columns are added or averaged. The pixels are rows times columns: multiply.",
            lambda picture, box, centre: sum(map(_share, picture, box, centre)) / 2,
            lambda picture, box, centre: sum(map(_share, picture, box, centre)),
        ),
        variants(
            "Row and column of the centre are swapped: the first number belongs to the height.",
            lambda picture, box, centre: pasted_share(picture, box, centre[::-1]),
        ),
        variants(
            "Height and width of the box are swapped: the first number belongs to the rows.",
            lambda picture, box, centre: pasted_share(picture, box[::-1], centre),
        ),
        variants(
            "The box is cut off in one direction only. It may reach beyond the border in the other one too.",
            lambda picture, box, centre: _length(picture[0], box[0], centre[0]) * box[1] / (picture[0] * picture[1]),
            lambda picture, box, centre: _length(picture[1], box[1], centre[1]) * box[0] / (picture[0] * picture[1]),
        ),
        variants(
            "That is the share of one direction. The box covers rows and columns: multiply both shares.",
            lambda picture, box, centre: _length(picture[0], box[0], centre[0]) / picture[0],
            lambda picture, box, centre: _length(picture[1], box[1], centre[1]) / picture[1],
        ),
        variants(
            "The picture has height times width pixels, and not the square of one of them.",
            _inside(_length, lambda area, picture, box: area / picture[0] ** 2),
            _inside(_length, lambda area, picture, box: area / picture[1] ** 2),
        ),
        variants(
            "A slice that begins below 0 counts from the end of the axis, so nothing or the wrong part is marked. "
            "Begin "
            "at max(first, 0).",
            _wrapped,
        ),
    ),
    also_correct=(_pasted_by_mask, _pasted_by_count),
    forbidden=(CutMix.__call__,),
)
