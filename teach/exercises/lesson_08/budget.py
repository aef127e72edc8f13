"""Lesson 08, exercise 8.7: the ranks of two layers under one budget."""

import itertools
from typing import Any

import torch

from mini_lib import knapsack
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole

Options = list[tuple[int, float]]


def best_ranks(first: Options, second: Options, budget: int) -> tuple[int, int]:
    """The ranks (from 1 on) whose MACs fit into the budget together, and whose errors have the smallest sum."""
    affordable = [
        (error_1 + error_2, rank_1, rank_2)
        for rank_1, (macs_1, error_1) in enumerate(first, start=1)
        for rank_2, (macs_2, error_2) in enumerate(second, start=1)
        if macs_1 + macs_2 <= budget
    ]
    return min(affordable)[1:]


def _best_in_a_table(first, second, budget):
    """A row for each rank of the first layer, a column for each of the second."""
    total = torch.tensor([[a[1] + b[1] for b in second] for a in first], dtype=torch.float64)
    spent = torch.tensor([[a[0] + b[0] for b in second] for a in first])
    place = int(total.masked_fill(spent > budget, torch.inf).argmin())
    return [place // len(second) + 1, place % len(second) + 1]


def _best_by_sorting(first, second, budget):
    pairs = itertools.product(range(len(first)), range(len(second)))
    ranked = sorted(pairs, key=lambda pair: first[pair[0]][1] + second[pair[1]][1])
    return next((a + 1, b + 1) for a, b in ranked if first[a][0] + second[b][0] <= budget)


def _pairs(first: Options, second: Options) -> list[tuple[int, int, int, float, float]]:
    """(rank, rank, MACs of both, error, error)."""
    return [
        (a, b, first[a - 1][0] + second[b - 1][0], first[a - 1][1], second[b - 1][1])
        for a in range(1, len(first) + 1)
        for b in range(1, len(second) + 1)
    ]


def _greatest(options: Options, budget: int) -> int:
    return max([rank for rank, (macs, _) in enumerate(options, start=1) if macs <= budget], default=1)


def _first_served(first, second, budget):
    rank = _greatest(first, budget - second[0][0])
    return rank, _greatest(second, budget - first[rank - 1][0])


def _second_served(first, second, budget):
    return _first_served(second, first, budget)[::-1]


def _same_rank(first, second, budget):
    affordable = [a for a, b, macs, *_ in _pairs(first, second) if a == b and macs <= budget]
    return (max(affordable),) * 2


def _halves(first, second, budget):
    return _greatest(first, budget // 2), _greatest(second, budget // 2)


def _most_spent(first, second, budget):
    return max((pair for pair in _pairs(first, second) if pair[2] <= budget), key=lambda pair: pair[2])[:2]


def _most_ranks(first, second, budget):
    return max((pair for pair in _pairs(first, second) if pair[2] <= budget), key=lambda pair: pair[0] + pair[1])[:2]


def _cost(ranks: tuple[int, int], arguments: dict[str, Any]) -> int:
    return sum(arguments[name][rank - 1][0] for name, rank in zip(("first", "second"), ranks, strict=True))


def _spends(ranks: tuple[int, int], arguments: dict[str, Any]) -> bool:
    """Whether no affordable pair costs more, or has larger ranks."""
    cost, most = _cost(ranks, arguments), _cost(_most_spent(**arguments), arguments)
    return cost == most or (cost < most and sum(ranks) == sum(_most_ranks(**arguments)))


def _ranks_of(ranks: tuple[int, int], arguments: dict[str, Any], got: Any) -> bool:
    """Whether these are the entries at these ranks, or the costs or the errors in them."""
    entries = tuple(arguments[name][rank - 1] for name, rank in zip(("first", "second"), ranks, strict=True))
    return tuple(got) in (entries, tuple(macs for macs, _ in entries), tuple(error for _, error in entries))


def _by_errors(together):
    """A wrong answer: the affordable pair with the least `together(error, error)`."""
    return lambda first, second, budget: min(
        (pair for pair in _pairs(first, second) if pair[2] <= budget), key=lambda pair: together(*pair[3:])
    )[:2]


def _by_error_and_cost(together):
    """A wrong answer: the affordable pair with the least `together(sum of errors, MACs)`."""
    return lambda first, second, budget: min(
        (pair for pair in _pairs(first, second) if pair[2] <= budget),
        key=lambda pair: together(pair[3] + pair[4], pair[2]),
    )[:2]


def _smallest_worst(first, second, budget):
    return min((pair for pair in _pairs(first, second) if pair[2] <= budget), key=lambda pair: max(pair[3:]))[:2]


def _below(first, second, budget):
    return min((pair for pair in _pairs(first, second) if pair[2] < budget), key=lambda pair: pair[3] + pair[4])[:2]


def _step_by_step(first, second, budget):
    """From rank 1, always the step that lowers the error most for its MACs, as long as one is affordable."""
    ranks, layers = [1, 1], (first, second)
    while True:
        steps = []
        for at, options in enumerate(layers):
            if ranks[at] < len(options):
                more = options[ranks[at]][0] - options[ranks[at] - 1][0]
                spent = sum(layers[k][ranks[k] - 1][0] for k in (0, 1))
                if spent + more <= budget:
                    steps.append(((options[ranks[at] - 1][1] - options[ranks[at]][1]) / more, at))
        if not steps:
            return tuple(ranks)
        ranks[max(steps)[1]] += 1


def _without_a_budget(first, second, budget):
    return len(first), len(second)


def _budget_case(generator: torch.Generator) -> Case:
    """Costs that grow by the rank and errors that fall, with one best choice by a clear margin."""
    while True:
        layers = []
        for _ in range(2):
            count, step = random_whole(generator, 3, 5), random_whole(generator, 3, 12) * 10
            errors = torch.randperm(90, generator=generator)[:count].sort(descending=True).values
            layers.append([(step * rank, error / 100) for rank, error in enumerate(errors.tolist(), start=1)])
        pairs = _pairs(*layers)
        budget = pairs[random_whole(generator, 1, len(pairs) - 2)][2]
        errors = sorted(error + other for _, _, macs, error, other in pairs if macs <= budget)
        if len(errors) > 2 and errors[1] - errors[0] > 0.01:
            return Case(*layers, budget)


BEST_RANKS = Exercise(
    id="8.7",
    title="One budget, two layers",
    reference=best_ranks,
    cases=(
        Case([(10, 0.5), (20, 0.25)], [(10, 0.5), (20, 0.125)], 30),
        Case([(10, 0.5), (20, 0.25), (30, 0.0)], [(20, 0.875), (40, 0.125)], 60),
        Case([(10, 0.5), (20, 0.375), (30, 0.25)], [(25, 0.875), (50, 0.125)], 60),
        Case([(10, 0.75), (20, 0.5), (30, 0.0)], [(10, 0.5), (20, 0.125)], 40),
        Case([(10, 0.8), (20, 0.5)], [(10, 0.7), (20, 0.35)], 30),
        Case([(10, 0.5), (20, 0.45)], [(10, 0.2), (20, 0.1)], 30),
        *random_cases(10, seed=87, make=_budget_case),
    ),
    mistakes=(
        Mistake(
            _first_served,
            "The first layer chooses first, and the second gets the rest. Decide both together: one rank less here "
            "may buy far more there.",
        ),
        Mistake(_second_served, "The second layer chooses first, and the first gets the rest. Decide both together."),
        Mistake(
            _same_rank,
            "Both layers have the same rank. That is the control, not the optimum: a rank has a different cost and a "
            "different gain in each layer.",
        ),
        Mistake(
            _halves,
            "Each layer gets half of the budget. Nothing says that they need the same: try every pair of ranks.",
        ),
        Mistake(_smallest_worst, "That minimizes the larger of the two errors. Minimize their sum."),
        Mistake(
            _step_by_step,
            "That is greedy: it takes the step with the best gain per MAC, and a step that looks good may block a "
            "better one. With two layers you can try every pair.",
        ),
        Mistake(_below, "A pair that costs exactly the budget is affordable: <= and not <."),
        Mistake(
            lambda first, second, budget: tuple(rank - 1 for rank in best_ranks(first, second, budget)),
            "Those are indexes into the lists, which begin at 0. The first entry is rank 1.",
        ),
        Mistake(_without_a_budget, "That is full rank in both layers, which costs more than the budget."),
        Mistake(_by_errors(lambda one, other: one**2 + other**2), "The errors are squared. Add them up as they are."),
        Mistake(_by_errors(lambda one, other: one * other), "The errors are multiplied. Add them up."),
        Mistake(
            _by_errors(lambda one, other: -(1 - one) * (1 - other)),
            "That multiplies the kept shares. Add up the two errors.",
        ),
        Mistake(
            lambda first, second, budget: (1, 1),
            "That is the cheapest pair. An entry is (macs, error): look for the smallest error that the budget allows.",
        ),
        Mistake(
            _by_error_and_cost(lambda error, macs: error / macs),
            "That divides the error by the MACs, and so rewards the expensive pairs. Within the budget, only the sum "
            "of the errors counts.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: (
                abs(got - sum(arguments[name][rank - 1][1] for name, rank in zip(("first", "second"), expected))) < 1e-9
            ),
            "That is the smallest sum of errors. Return the two ranks that reach it.",
            examples=(
                lambda first, second, budget: min(
                    one[1] + other[1] for one in first for other in second if one[0] + other[0] <= budget
                ),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: _ranks_of(expected, arguments, got),
            "Those are the costs or the errors of the right pair. Return the ranks: the first entry has rank 1.",
            examples=(
                lambda first, second, budget: tuple(
                    options[rank - 1] for options, rank in zip((first, second), best_ranks(first, second, budget))
                ),
                lambda first, second, budget: tuple(
                    options[rank - 1][1] for options, rank in zip((first, second), best_ranks(first, second, budget))
                ),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: _cost(got, arguments) > arguments["budget"],
            "Together the two cost more than the budget. Both layers share one budget.",
            examples=(lambda first, second, budget: (_greatest(first, budget), _greatest(second, budget)),),
        ),
        Symptom(
            lambda got, expected, arguments: tuple(got) != tuple(expected) and _spends(got, arguments),
            "That spends as much of the budget as it can. Compare the errors: a cheaper pair may have the smaller "
            "error.",
            examples=(_most_spent, _most_ranks),
        ),
        Symptom(
            lambda got, expected, arguments: (
                _cost(got, arguments) <= arguments["budget"] and min(got) > 0 and tuple(got) != tuple(expected)
            ),
            "Another pair fits into the budget and has a smaller sum of errors. Try every pair.",
            examples=(
                lambda first, second, budget: min(
                    (e * c + g * d, a, b)
                    for a, (c, e) in enumerate(first, 1)
                    for b, (d, g) in enumerate(second, 1)
                    if c + d <= budget
                )[1:],
            ),
        ),
    ),
    also_correct=(_best_in_a_table, _best_by_sorting),
    forbidden=(knapsack.exact, knapsack.greedy, knapsack.evolutionary),
)
