"""Lesson 06, exercise 6.6: when a difference between a ticket and its control is one."""

import math
import statistics

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

Tensors = dict[str, Tensor]


def paired_difference(ticket: dict[int, float], control: dict[int, float]) -> tuple[float, float]:
    """Mean and sample standard deviation of ticket minus control, seed by seed."""
    differences = [ticket[seed] - control[seed] for seed in ticket]
    return statistics.fmean(differences), statistics.stdev(differences)


def _paired_in_torch(ticket: dict[int, float], control: dict[int, float]) -> tuple[Tensor, Tensor]:
    seeds = sorted(ticket)
    differences = tensor([ticket[seed] for seed in seeds])
    differences -= tensor([control[seed] for seed in seeds])
    return differences.mean(), differences.std()


def _paired_by_hand(ticket: dict[int, float], control: dict[int, float]) -> list[float]:
    differences = [ticket[seed] - control[seed] for seed in ticket]
    mean = sum(differences) / len(differences)
    return [mean, math.sqrt(sum((one - mean) ** 2 for one in differences) / (len(differences) - 1))]


def _paired_in_float32(ticket: dict[int, float], control: dict[int, float]) -> tuple[np.float32, np.float32]:
    differences = np.float32([ticket[seed] for seed in ticket]) - np.float32([control[seed] for seed in ticket])
    return differences.mean(), differences.std(ddof=1)


def _paired_means(ticket: dict[int, float], control: dict[int, float]) -> tuple[Tensor, Tensor]:
    first, second = tensor(list(ticket.values())), tensor([control[seed] for seed in ticket])
    return first.mean() - second.mean(), (first - second).std()


def _differences(ticket: dict[int, float], control: dict[int, float]) -> list[float]:
    return [ticket[seed] - control[seed] for seed in ticket]


def _of(differences: list[float]) -> tuple[float, float]:
    return statistics.fmean(differences), statistics.stdev(differences)


def _with_std(std):
    """A wrong answer whose mean is right: `std(ticket's values, control's values)` is its spread."""

    def wrong(ticket: dict[int, float], control: dict[int, float]) -> tuple[float, float]:
        return paired_difference(ticket, control)[0], std(list(ticket.values()), list(control.values()))

    return wrong


def _best_seeds(ticket: dict[int, float], control: dict[int, float]) -> tuple[float, float]:
    return max(ticket.values()) - max(control.values()), paired_difference(ticket, control)[1]


def _seeds_case(generator: torch.Generator) -> Case:
    """The seed matters more than the arm, as it does in the study; the control lists its seeds in another order."""
    count = random_whole(generator, 3, 6)
    seeds = torch.randperm(100, generator=generator)[:count].tolist()
    level, gap, noise = torch.rand(3, count, generator=generator).mul(100).round().int().tolist()
    # Parts of 8192 are exact in float32, and so are their differences.
    ticket = {seed: (6500 + 10 * level[at] + noise[at]) / 8192 for at, seed in enumerate(seeds)}
    order = torch.randperm(count, generator=generator).tolist()
    return Case(ticket, {seeds[at]: ticket[seeds[at]] - (gap[at] - 30) / 8192 for at in order})


def _spread(says: str, *std) -> Symptom:
    """The symptom that the mean is right, and the spread is `std(ticket's values, control's values)`."""
    return variants(says, *(_with_std(one) for one in std))


def _of_differences(says: str, *pair) -> Symptom:
    return variants(says, *(lambda ticket, control, one=one: one(_differences(ticket, control)) for one in pair))


PAIRED_DIFFERENCE = Exercise(
    id="6.6",
    title="A difference, seed by seed",
    reference=paired_difference,
    cases=(
        Case({0: 0.75, 1: 0.5}, {0: 0.5, 1: 0.25}),
        Case({0: 0.75, 1: 0.5}, {1: 0.25, 0: 0.25}),
        Case({0: 0.75, 1: 0.5}, {1: 0.5, 0: 0.5}),
        Case({7: 0.75, 3: 0.5}, {3: 0.25, 7: 0.25}),
        Case({4: 0.25, 2: 0.5}, {2: 0.5, 4: 0.75}),
        Case({5: 0.5, 9: 0.25}, {9: 0.75, 5: 0.75}),
        Case({1: 0.25, 6: 0.75}, {6: 1.0, 1: 0.75}),
        Case({0: 0.875, 1: 0.625, 2: 0.75}, {2: 0.625, 0: 0.875, 1: 0.25}),
        Case({10: 0.875, 20: 0.625, 40: 0.75}, {40: 0.625, 10: 0.875, 20: 0.25}),
        *random_cases(8, seed=66, make=_seeds_case),
    ),
    mistakes=(
        Mistake(
            lambda ticket, control: (
                statistics.fmean(_differences(ticket, control)),
                statistics.pstdev(_differences(ticket, control)),
            ),
            "That divides by n, as if these seeds were all there are. They are a sample: divide by n - 1.",
        ),
        Mistake(
            _with_std(lambda a, b: math.sqrt(statistics.variance(a) + statistics.variance(b))),
            "That treats the two as unrelated. With the same seed they share initial weights and the order of the "
            "pictures: subtract first, seed by seed.",
        ),
        Mistake(
            _with_std(lambda a, b: statistics.stdev(a) - statistics.stdev(b)),
            "A difference of two spreads says nothing. Take the spread of the differences.",
        ),
        Mistake(
            lambda ticket, control: _of([a - b for a, b in zip(ticket.values(), control.values())]),
            "The two list their seeds in different orders. Look the control up by the seed: control[seed].",
        ),
        Mistake(
            _best_seeds,
            "That compares the best seed of one with the best seed of the other. The more seeds one tries, the better "
            "the best: take the mean.",
        ),
        Mistake(
            lambda ticket, control: _of([abs(one) for one in _differences(ticket, control)]),
            "A seed in which the control wins counts against the ticket: keep the sign.",
        ),
        Mistake(
            lambda ticket, control: (
                _of(_differences(ticket, control))[0],
                _of(_differences(ticket, control))[1] / math.sqrt(len(ticket)),
            ),
            "That is the error of the mean, which shrinks with the number of seeds. The exercise asks how much the "
            "seeds differ.",
        ),
        Mistake(
            lambda ticket, control: _of([control[seed] - ticket[seed] for seed in ticket]),
            "The sign is flipped: positive means that the ticket is better.",
        ),
    ),
    # In float32 two accuracies below 1 are off by 2**-24 each, and means of up to 6 by a few times that.
    atol=2.0**-20,
    symptoms=(
        _spread(
            "Take the spread of the *differences*, one for each seed, not the spread of the ticket or of the control.",
            *(
                lambda a, b, of=of: of(statistics.stdev(a), statistics.stdev(b))
                for of in (
                    lambda a, b: a,
                    lambda a, b: b,
                    lambda a, b: a + b,
                    lambda a, b: (a + b) / 2,
                    lambda a, b: abs(a - b),
                    lambda a, b: max(a, b),
                    lambda a, b: math.sqrt((a**2 + b**2) / 2),
                )
            ),
            lambda a, b: math.sqrt(statistics.pvariance(a) + statistics.pvariance(b)),
            lambda a, b: math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b)),
            lambda a, b: statistics.stdev([*a, *b]),
            lambda a, b: statistics.pstdev([*a, *b]),
            lambda a, b: statistics.pstdev(a),
        ),
        _of_differences(
            "The standard deviation of a sample is the root of the sum of squares divided by n - 1: divide only "
            "once, and take the root.",
            lambda d: (statistics.fmean(d), statistics.pstdev(d) / math.sqrt(len(d))),
            lambda d: (statistics.fmean(d), statistics.pvariance(d)),
            lambda d: (statistics.fmean(d), statistics.variance(d)),
            lambda d: (statistics.fmean(d), math.sqrt(sum((one - statistics.fmean(d)) ** 2 for one in d))),
            lambda d: (statistics.fmean(d), math.sqrt(sum(one**2 for one in d) / (len(d) - 1))),
            lambda d: (statistics.fmean(d), max(d) - min(d)),
            lambda d: (statistics.fmean(d), sum(abs(one - statistics.fmean(d)) for one in d) / len(d)),
        ),
        _of_differences(
            "The first value is the mean of the differences: their sum divided by the number of seeds.",
            lambda d: (sum(d), statistics.stdev(d)),
            lambda d: (statistics.median(d), statistics.stdev(d)),
            lambda d: (max(d), statistics.stdev(d)),
            lambda d: (sum(d) / (len(d) - 1), statistics.stdev(d)),
        ),
        _of_differences(
            "A seed in which the control wins counts against the ticket: the mean may be negative. Keep the sign.",
            lambda d: (abs(statistics.fmean(d)), statistics.stdev(d)),
        ),
        variants(
            "The two list their seeds in different orders: subtract control[seed] from ticket[seed].",
            *(
                lambda ticket, control, of=of, order=order: of(
                    [a - b for a, b in zip(order(ticket.values()), order(control.values()))]
                )
                for order, of in (
                    (list, lambda d: (statistics.fmean(d), statistics.pstdev(d))),
                    (sorted, lambda d: (statistics.fmean(d), statistics.stdev(d))),
                )
            ),
        ),
        variants(
            "The exercise asks for a difference, ticket minus control: it is not divided by anything.",
            lambda ticket, control: _of([(ticket[seed] - control[seed]) / control[seed] for seed in ticket]),
            lambda ticket, control: _of([ticket[seed] / control[seed] for seed in ticket]),
            lambda ticket, control: _of([(ticket[seed] - control[seed]) / ticket[seed] for seed in ticket]),
        ),
    ),
    also_correct=(_paired_in_torch, _paired_by_hand, _paired_in_float32, _paired_means),
)
