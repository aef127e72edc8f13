"""Exercises to test the machinery with: small enough to be worked by hand."""

import torch

from teach.exercise import Case, Exercise, Mistake, random_cases


def symmetric_scale(w, bits):
    """The reference: the step of a grid that is symmetric about zero."""
    return w.abs().max() / (2 ** (bits - 1) - 1)


LAST_CODE = "A signed 4-bit grid ends at +7, not +8: there are 2**(bits-1) - 1 positive codes."
MAGNITUDE = "The largest weight may be negative: take the largest magnitude."
ASYMMETRIC = "That is the scale of an asymmetric grid. A symmetric one is centred on zero."

SCALE = Exercise(
    id="2.1",
    title="Scale of a symmetric grid",
    reference=symmetric_scale,
    cases=[
        Case(torch.tensor([-1.0, 0.5]), bits=2),
        Case(torch.tensor([3.0]), bits=8),
        *random_cases(10, seed=0, make=lambda g: Case(torch.randn(20, generator=g), bits=4)),
    ],
    mistakes=[
        Mistake(lambda w, bits: w.abs().max() / 2 ** (bits - 1), LAST_CODE),
        Mistake(lambda w, bits: w.max() / (2 ** (bits - 1) - 1), MAGNITUDE),
        Mistake(lambda w, bits: (w.max() - w.min()) / (2**bits - 1), ASYMMETRIC),
    ],
    also_correct=[lambda w, bits: max(abs(float(x)) for x in w) / (2 ** (bits - 1) - 1)],
    points=2,
)


def asked(reference, *cases, mistakes=(), **more):
    """An exercise in one line."""
    return Exercise("1.1", "Small", reference, cases, mistakes, function="answer", **more)
