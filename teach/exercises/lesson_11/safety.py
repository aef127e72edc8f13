"""Lesson 11, exercise 11.4: how strong an operation may be before it changes what a picture is."""

import itertools
import math
import operator

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.augment import LabelSafety
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def safe_strengths(strengths: list[float], kept: Tensor, at_least: float) -> list[float | None]:
    """For each class the largest strength up to which all are safe; None where not even the smallest is."""
    limits = []
    for shares in kept.T.tolist():
        limit = None
        for strength, share in zip(strengths, shares):
            if share < at_least:
                break
            limit = strength
        limits.append(limit)
    return limits


def _by_running_product(strengths, kept, at_least):
    counts = (kept >= at_least).long().cumprod(dim=0).sum(dim=0).tolist()
    return [strengths[count - 1] if count else None for count in counts]


def _in_numpy(strengths, kept, at_least):
    lowest = np.minimum.accumulate(kept.numpy(), axis=0)
    counts = (lowest >= np.float32(at_least)).sum(axis=0)
    return [None if count == 0 else strengths[count - 1] for count in counts]


def _strongest_safe(strengths, kept, at_least):
    limits = []
    for shares in kept.T.tolist():
        safe = [strength for strength, share in zip(strengths, shares) if share >= at_least]
        limits.append(max(safe, default=None))
    return limits


def _first_unsafe(strengths, kept, at_least):
    limits = []
    for shares in kept.T.tolist():
        unsafe = [strength for strength, share in zip(strengths, shares) if share < at_least]
        limits.append(min(unsafe, default=strengths[-1]))
    return limits


def _one_before(strengths, kept, at_least):
    """The strength before the first unsafe one; index -1 is the last where that is the very first."""
    limits = []
    for shares in kept.T.tolist():
        unsafe = [at for at, share in enumerate(shares) if share < at_least]
        limits.append(strengths[unsafe[0] - 1] if unsafe else strengths[-1])
    return limits


def _table_case(generator: torch.Generator) -> Case:
    count, classes = random_whole(generator, 3, 4), random_whole(generator, 2, 3)
    kept = torch.randint(7, 11, (count, classes), generator=generator) / 10
    kept[:, 0] = tensor([0.9, 0.7, 1.0, 0.6])[:count]  # safe again beyond a gap
    if torch.rand((), generator=generator) < 0.5:
        kept[0, 1] = 0.5  # never safe
    return Case([15.0 * (at + 1) for at in range(count)], kept, 0.85)


def _per_class(limit):
    """A wrong answer: `limit(strengths, the class's shares, at_least)` for each class."""
    return lambda strengths, kept, at_least: [limit(strengths, shares, at_least) for shares in kept.T.tolist()]


def _count(strengths, shares, at_least):
    return len(list(itertools.takewhile(lambda share: share >= at_least, shares)))


def _some(limit, none):
    """A limit that is `none` where no strength is safe."""
    return _per_class(lambda *given: limit(*given) if _count(*given) else none(*given))


def _limit(strengths, shares, at_least):
    return strengths[_count(strengths, shares, at_least) - 1]


def _lost_at_the_end(strengths, shares, at_least):
    count = _count(strengths, shares, at_least)
    return strengths[count - 1] if 0 < count < len(strengths) else None


def _safe(strengths, shares, at_least):
    return [strength for strength, share in zip(strengths, shares) if share >= at_least]


def _while(compares):
    """A limit that goes on while `compares(share, at_least)`."""

    def limit(strengths, shares, at_least):
        count = len(list(itertools.takewhile(lambda share: compares(share, at_least), shares)))
        return strengths[count - 1] if count else None

    return limit


SAFE_STRENGTHS = Exercise(
    id="11.4",
    title="The strongest that is safe",
    reference=safe_strengths,
    cases=(
        Case([30.0, 90.0], tensor([[0.99], [0.6]]), 0.95),
        Case([30.0, 90.0, 180.0], tensor([[0.98, 0.9], [0.5, 0.2], [0.97, 0.1]]), 0.95),
        Case([10.0, 20.0], tensor([[1.0, 1.0], [1.0, 0.9]]), 1.0),
        Case([10.0, 20.0], tensor([[0.875, 1.0, 1.0], [0.75, 0.5, 1.0]]), 0.75),
        *random_cases(8, seed=114, make=_table_case),
    ),
    mistakes=(
        Mistake(
            _some(lambda strengths, *_: strengths[0], lambda *given: None),
            "That is the weakest safe strength. Go on while the next one is safe too, and remember the last.",
        ),
        Mistake(
            _strongest_safe,
            "A 1 turned by 180 degrees is a 1 again, but on the way it is not. All weaker strengths must be safe too: "
            "stop at the first that is not.",
        ),
        Mistake(
            _first_unsafe, "That is the first strength that is *not* safe. The limit is the one before it, or None."
        ),
        Mistake(
            _one_before,
            "Where the very first strength is unsafe, there is none before it, and `strengths[-1]` is the *last* one. "
            "Return None.",
        ),
        Mistake(
            lambda strengths, kept, at_least: (
                safe_strengths(strengths, kept.mean(dim=1, keepdim=True), at_least) * kept.shape[1]
            ),
            "The mean over the classes hides the one that suffers: a 6 turned upside down is lost although nine other "
            "digits are fine. Each class has its own limit.",
        ),
        Mistake(
            lambda strengths, kept, at_least: (
                safe_strengths(strengths, kept.amin(dim=1, keepdim=True), at_least) * kept.shape[1]
            ),
            "That applies the limit of the strictest class to all. A zero may be turned much further than a six: go "
            "column by column.",
        ),
        Mistake(
            lambda strengths, kept, at_least: safe_strengths(strengths, kept, at_least + 1e-6),
            "`at_least` itself is enough: >=, not >.",
        ),
        Mistake(
            lambda strengths, kept, at_least: [
                0.0 if limit is None else limit for limit in safe_strengths(strengths, kept, at_least)
            ],
            "Where not even the weakest strength is safe, return None. A limit of 0 would still apply the operation, "
            "and for some (invert) there is no harmless strength.",
        ),
    ),
    symptoms=(
        variants(
            "That is the weakest of the safe strengths. The limit is the last one before the first that is unsafe.",
            _per_class(lambda *given: min(_safe(*given), default=None)),
        ),
        variants(
            "Safe strengths are counted even after an unsafe one. Stop at the first that is not safe.",
            _per_class(lambda strengths, *rest: ([None, *strengths])[len(_safe(strengths, *rest))]),
        ),
        variants(
            "The comparison is the wrong way round. A strength is safe where the share is *at least* `at_least`.",
            _per_class(_while(operator.le)),
            _per_class(_while(operator.lt)),
        ),
        variants(
            "Where not even the weakest strength is safe, there is no limit: return None, not a strength.",
            _some(_limit, lambda strengths, shares, at_least: strengths[0]),
            _some(_limit, lambda strengths, shares, at_least: math.nan),
        ),
        variants(
            "That is a number of strengths or an index into the list. Return the strength itself, `strengths[...]`.",
            _some(lambda *given: _count(*given) - 1, lambda *given: None),
            _per_class(_count),
        ),
        variants(
            "Where all strengths are safe, the answer is None. There the limit is the last one: remember it before "
            "you look at the next one.",
            _per_class(_lost_at_the_end),
        ),
        variants(
            "That is the share that kept its label. Return the strength that belongs to it.",
            _some(
                lambda strengths, shares, at_least: shares[_count(strengths, shares, at_least) - 1], lambda *given: None
            ),
        ),
        variants(
            "`kept` is the share that *kept* its label, so a high one is safe: compare it with `at_least`, not with "
            "1 - at_least.",
            lambda strengths, kept, at_least: safe_strengths(strengths, kept, 1 - at_least),
        ),
        variants(
            "The rows were taken for classes. A row is a strength; a class is a column, `kept[:, label]`.",
            lambda strengths, kept, at_least: safe_strengths(strengths, kept.T, at_least),
        ),
        Symptom(
            lambda got, expected, arguments: not isinstance(got, (list, tuple, Tensor)),
            "That is one limit for all classes together. Return a list with one limit per class: go column by column.",
            (
                lambda strengths, kept, at_least: safe_strengths(strengths, kept.mean(dim=1, keepdim=True), at_least)[
                    0
                ],
                lambda strengths, kept, at_least: safe_strengths(strengths, kept.amin(dim=1, keepdim=True), at_least)[
                    0
                ],
            ),
        ),
        Symptom(
            lambda got, expected, arguments: any(isinstance(one, (list, tuple)) for one in got),
            "Each class has a list. Return one number per class: the last strength before the first unsafe one.",
            (
                lambda strengths, kept, at_least: [
                    [s for s, k in zip(strengths, shares) if k >= at_least] for shares in kept.T.tolist()
                ],
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                None in expected and list(got) == [one for one in expected if one is not None]
            ),
            "A class without a safe strength is left out, and those after it move up. It has an entry, too: None.",
            (
                lambda strengths, kept, at_least: [
                    one for one in safe_strengths(strengths, kept, at_least) if one is not None
                ],
            ),
        ),
    ),
    also_correct=(_by_running_product, _in_numpy),
    forbidden=(LabelSafety.limits,),
)
