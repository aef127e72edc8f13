"""Lesson 04, exercise 4.5: what a layer suffers, measured by its curvature."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


@dataclass(frozen=True, eq=False)
class TimesHessian:
    """v -> H v, and nothing else: a network gives no more of its Hessian than that."""

    rows: Tensor

    def __call__(self, vector: Tensor) -> Tensor:
        return self.rows @ vector.to(self.rows.dtype)

    def __repr__(self) -> str:
        return f"v -> {self.rows.tolist()} @ v" if len(self.rows) < 4 else f"v -> H @ v, H of {len(self.rows)} rows"


def trace_estimate(times_hessian: TimesHessian, probes: Tensor) -> Tensor:
    """The mean of v . (H v) over the probes v, the rows of `probes`."""
    return torch.stack([probe @ times_hessian(probe) for probe in probes]).mean()


def _trace_by_columns(times_hessian: TimesHessian, probes: Tensor) -> float:
    products = times_hessian(probes.T)
    return float((products * probes.T).sum()) / len(probes)


def _trace_by_hand(times_hessian: TimesHessian, probes: Tensor) -> float:
    found = [sum(a * b for a, b in zip(probe.tolist(), times_hessian(probe).tolist())) for probe in probes]
    return sum(found) / len(found)


def _hessian_case(generator: torch.Generator) -> Case:
    # Whole numbers: all sums are exact. Not positive definite, so that a sign is seen.
    size, count = random_whole(generator, 3, 6), random_whole(generator, 2, 4)
    half = torch.randint(-4, 5, (size, size), generator=generator).float()
    probes = 2.0 * torch.randint(0, 2, (count, size), generator=generator) - 1
    return Case(TimesHessian(half + half.T + 2 * torch.eye(size)), probes)


def _on_all(times_hessian: TimesHessian, probes: Tensor) -> Tensor:
    return torch.stack([times_hessian(probe) for probe in probes])


TRACE_ESTIMATE = Exercise(
    id="4.5",
    title="The trace of a matrix that nobody has",
    reference=trace_estimate,
    cases=(
        Case(TimesHessian(tensor([[2.0, 1.0], [1.0, 3.0]])), tensor([[1.0, -1.0]])),
        Case(TimesHessian(tensor([[2.0, 1.0], [1.0, 3.0]])), tensor([[1.0, -1.0], [1.0, 1.0]])),
        Case(TimesHessian(tensor([[1.0, 2.0], [2.0, -4.0]])), tensor([[1.0, 1.0], [1.0, -1.0]])),
        *random_cases(8, seed=45, make=_hessian_case),
    ),
    mistakes=(
        Mistake(
            lambda times_hessian, probes: trace_estimate(times_hessian, probes) * len(probes),
            "That adds up the probes. Each of them estimates the whole trace: take their mean.",
        ),
        Mistake(
            lambda times_hessian, probes: trace_estimate(times_hessian, probes) / probes.shape[1],
            "That divides by v . v, the number of weights. It estimates the *mean* of the diagonal; the trace is its "
            "sum.",
        ),
        Mistake(
            lambda times_hessian, probes: _on_all(times_hessian, probes).sum(1).mean(),
            "That adds up H v. Multiply it by v once more: only then is each diagonal element multiplied by v * v = 1.",
        ),
        Mistake(
            lambda times_hessian, probes: _on_all(times_hessian, probes).norm(dim=1).mean(),
            "That is the length of H v. The trace needs its product with v.",
        ),
        Mistake(
            lambda times_hessian, probes: _on_all(times_hessian, probes).square().sum(1).mean(),
            "The square of H v estimates the trace of H times H, and so loses every sign.",
        ),
        Mistake(
            lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).sum(1).abs().mean(),
            "One probe may well come out negative. With absolute values the errors no longer cancel.",
        ),
        Mistake(
            lambda times_hessian, probes: trace_estimate(times_hessian, probes[:1]),
            "That uses the first probe only. One probe is off by the elements outside the diagonal; the mean over "
            "several is better.",
        ),
        Mistake(
            lambda times_hessian, probes: probes.mean(0) @ times_hessian(probes.mean(0)),
            "You averaged the probes first, and then they cancel. Average the results.",
        ),
        Mistake(
            lambda times_hessian, probes: sum(times_hessian(unit) @ unit for unit in torch.eye(probes.shape[1])),
            "That is the trace itself, at one product per weight: 36,864 for conv4. Estimate it from the given probes.",
        ),
    ),
    symptoms=(
        variants(
            "That divides by the number of weights. Divide the sum over the probes by the number of *probes*.",
            lambda times_hessian, probes: trace_estimate(times_hessian, probes) * len(probes) / probes.shape[1],
            lambda times_hessian, probes: trace_estimate(times_hessian, probes) / probes.shape[1] ** 0.5,
        ),
        variants(
            "Those are magnitudes. The products of v and H v, element by element, have signs, and their errors cancel: "
            "add them up as they are.",
            lambda times_hessian, probes: _on_all(times_hessian, probes).abs().sum(1).mean(),
        ),
        variants(
            "`v` is used one time too few. Multiply H v by the same v, element by element, before you add up.",
            lambda times_hessian, probes: _on_all(times_hessian, probes).mean(),
            lambda times_hessian, probes: _on_all(times_hessian, probes).sum(),
        ),
        variants(
            "That divides by one probe too few. Their mean divides by how many there are.",
            lambda times_hessian, probes: trace_estimate(times_hessian, probes) * len(probes) / (len(probes) - 1 or 1),
        ),
        variants(
            "You added the probes up first, and then they cancel. Each probe gives its own v . (H v); take their mean.",
            lambda times_hessian, probes: probes.sum(0) @ times_hessian(probes.sum(0)),
            lambda times_hessian, probes: probes.sum(0) @ times_hessian(probes.sum(0)) / len(probes),
        ),
        variants(
            "Only one of the probes counts. Go through all of them, and take the mean at the end.",
            lambda times_hessian, probes: trace_estimate(times_hessian, probes[-1:]),
            lambda times_hessian, probes: trace_estimate(times_hessian, probes[:1]) / len(probes),
            lambda times_hessian, probes: trace_estimate(times_hessian, probes[-1:]) / len(probes),
        ),
        variants(
            "`v . (H v)` is the estimate itself: it is neither squared nor a square that needs a root.",
            lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).sum(1).square().mean(),
            lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).sum(1).square().mean().sqrt(),
        ),
        variants(
            "The estimate is the *mean* over the probes.",
            lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).sum(1).median(),
            lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).sum(1).max(),
            lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).sum(1).min(),
        ),
        Symptom(
            lambda got, expected, given: (
                len(got) == len(given["probes"])
                and math.isclose(sum(got) / len(got), expected, rel_tol=1e-5, abs_tol=1e-5)
            ),
            "Those are the estimates, one for each probe. Take their mean.",
            [lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).sum(1)],
        ),
        Symptom(
            lambda got, expected, given: math.isclose(sum(got), expected, rel_tol=1e-5),
            "Those are estimates of the elements of the diagonal. The trace is their sum.",
            [lambda times_hessian, probes: (_on_all(times_hessian, probes) * probes).mean(0)],
        ),
    ),
    also_correct=(_trace_by_columns, _trace_by_hand),
)
