"""Lesson 11, exercise 11.4: how strong an operation may be before it changes what a picture is."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.augment import LabelSafety
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole


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
            "Say None.",
        ),
        Mistake(
            lambda strengths, kept, at_least: (
                safe_strengths(strengths, kept.mean(dim=1, keepdim=True), at_least) * kept.shape[1]
            ),
            "The mean over the classes hides the one that suffers: a 6 turned round is lost although nine other digits "
            "are fine. Each class has its own limit.",
        ),
        Mistake(
            lambda strengths, kept, at_least: (
                safe_strengths(strengths, kept.amin(dim=1, keepdim=True), at_least) * kept.shape[1]
            ),
            "That is the strictest class for all. A zero may be turned much further than a six: column by column.",
        ),
        Mistake(
            lambda strengths, kept, at_least: safe_strengths(strengths, kept, at_least + 1e-6),
            "`at_least` itself is enough: >=, not >.",
        ),
        Mistake(
            lambda strengths, kept, at_least: [
                0.0 if limit is None else limit for limit in safe_strengths(strengths, kept, at_least)
            ],
            "Where not even the weakest strength is safe, say None. A limit of 0 would still apply the operation, and "
            "for some (invert) there is no harmless strength.",
        ),
    ),
    also_correct=(_by_running_product, _in_numpy),
    forbidden=(LabelSafety.limits,),
)
