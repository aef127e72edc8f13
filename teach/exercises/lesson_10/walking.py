"""Lesson 10, exercise 10.3: the cache lines that a walk touches."""

import math

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def lines_of_walk(count: int, stride: int, element_bytes: int = 4, line_bytes: int = 64) -> int:
    """How many cache lines `count` elements touch that lie `stride` elements apart."""
    step_bytes = stride * element_bytes
    if step_bytes >= line_bytes:
        return count
    return (count - 1) * step_bytes // line_bytes + 1


def _lines_by_marking(count: int, stride: int, element_bytes: int = 4, line_bytes: int = 64) -> int:
    return len({at * stride * element_bytes // line_bytes for at in range(count)})


def _lines_in_numpy(count: int, stride: int, element_bytes: int = 4, line_bytes: int = 64) -> np.int64:
    addresses = np.arange(count) * (stride * element_bytes)
    return np.int64(len(np.unique(addresses // line_bytes)))


def _walk_case(generator: torch.Generator) -> Case:
    stride = (1, 2, 3, 4, 8, 16, 24, 100)[random_whole(generator, 0, 7)]
    element_bytes = (1, 2, 4, 8)[random_whole(generator, 0, 3)]
    short = {"line_bytes": 32} if random_whole(generator, 0, 1) else {}
    return Case(random_whole(generator, 2, 300), stride, element_bytes=element_bytes, **short)


def _lines_of(address):
    """A wrong answer: the lines of the addresses `address(at, stride, element_bytes)`."""
    return lambda count, stride, element_bytes=4, line_bytes=64: len(
        {address(at, stride, element_bytes) // line_bytes for at in range(count)}
    )


LINES_OF_WALK = Exercise(
    id="10.3",
    title="Cache lines of a walk",
    reference=lines_of_walk,
    cases=(
        Case(16, 1),
        Case(17, 1),
        Case(16, 2),
        Case(6, 6),
        Case(9, 3),
        Case(16, 3),
        Case(8, 4, element_bytes=4, line_bytes=32),
        Case(8, 4, element_bytes=4, line_bytes=128),
        Case(10, 16),
        Case(10, 100),
        *random_cases(10, seed=103, make=_walk_case),
    ),
    mistakes=(
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(count * element_bytes / line_bytes),
            "That is right only for neighbours. With a stride the elements are farther apart, and a line holds fewer "
            "of them.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(
                count * stride * element_bytes / line_bytes
            ),
            "A walk with long steps jumps over lines, and those are not fetched: never more lines than elements.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: (
                count if stride > 1 else math.ceil(count * element_bytes / line_bytes)
            ),
            "A small stride still has several elements in one line.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: count,
            "Neighbours share a line: the first access fetches it for all of them. Count each line once, by its "
            "whole number, address // line_bytes.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride, 1, line_bytes),
            "The stride is in elements, and a line in bytes: multiply by element_bytes.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: (
                (count - 1) * min(stride * element_bytes, line_bytes) // line_bytes
            ),
            "That is one too few: the line where the walk starts is fetched as well.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: min(
                count, math.ceil(count * stride * element_bytes / line_bytes)
            ),
            "That counts a step after the last element too: between `count` elements there are count - 1 steps.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(
                count / max(1, line_bytes // (stride * element_bytes))
            ),
            "Where the step does not divide a line, not every line holds equally many elements. Work out for each "
            "element which line it is in.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes % line_bytes for at in range(count)}
            ),
            "The remainder is the place *inside* a line. The number of the line is the quotient, `//`.",
        ),
        Mistake(
            _lines_of(lambda at, stride, element_bytes: at * (stride + 1) * element_bytes),
            "The stride is from one element to the next, not the gap between them: neighbours have stride 1.",
        ),
        Mistake(
            lambda count, stride, element_bytes=4, line_bytes=64: math.ceil(
                count * element_bytes / (stride * line_bytes)
            ),
            "A larger stride spreads the elements over more lines, not over fewer: it multiplies.",
        ),
    ),
    symptoms=(
        variants(
            "A line that is used in part is fetched as well, and rounding down leaves it out. Work out which line the "
            "last element is in.",
            lambda count, stride, element_bytes=4, line_bytes=64: (
                count if stride * element_bytes >= line_bytes else count * stride * element_bytes // line_bytes
            ),
            lambda count, stride, element_bytes=4, line_bytes=64: min(
                count, count * stride * element_bytes // line_bytes
            ),
            lambda count, stride, element_bytes=4, line_bytes=64: count * stride * element_bytes // line_bytes,
        ),
        variants(
            "The elements are numbered 0 to count - 1: the first begins at byte 0, and none comes after the last.",
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes // line_bytes for at in range(1, count + 1)}
            ),
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes // line_bytes for at in range(count + 1)}
            ),
            lambda count, stride, element_bytes=4, line_bytes=64: len(
                {at * stride * element_bytes // line_bytes for at in range(count - 1)}
            ),
        ),
        variants(
            "That is one line too few: lines are counted from 0, so there is one more than the last number says. "
            "And a long step jumps over lines.",
            lambda count, stride, element_bytes=4, line_bytes=64: (count - 1) * stride * element_bytes // line_bytes,
        ),
        variants(
            "A line is not always 64 bytes, nor an element 4: both are arguments.",
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride, element_bytes),
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride),
            lambda count, stride, element_bytes=4, line_bytes=64: lines_of_walk(count, stride, 4, line_bytes),
        ),
        variants(
            "The stride multiplies the number of the element. It is not an offset that is added.",
            _lines_of(lambda at, stride, element_bytes: at * element_bytes + stride),
            _lines_of(lambda at, stride, element_bytes: (at + stride) * element_bytes),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (set, list)),
            "Those are the lines themselves. Return how many there are.",
            examples=(
                lambda count, stride, element_bytes=4, line_bytes=64: {
                    at * stride * element_bytes // line_bytes for at in range(count)
                },
            ),
        ),
        Symptom(
            lambda got, expected, arguments: got > arguments["count"],
            "That is more lines than there are elements. A long step jumps over lines, and those are not fetched.",
            examples=(
                lambda count, stride, element_bytes=4, line_bytes=64: (
                    (count - 1) * stride * element_bytes // line_bytes + 1
                ),
            ),
        ),
    ),
    also_correct=(_lines_by_marking, _lines_in_numpy),
)
