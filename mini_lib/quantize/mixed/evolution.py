"""Bits by evolution: the core's evolutionary knapsack, each choice judged by a measurement of the whole model."""

from __future__ import annotations

from contextlib import suppress

from mini_lib.knapsack import Option, evolutionary
from mini_lib.quantize.mixed.allocate import Allocation, Budget, knapsack_options
from mini_lib.quantize.mixed.cost_table import CostTable
from mini_lib.quantize.mixed.evaluations import Evaluations, OutOfEvaluations, need_evaluations
from mini_lib.require import whole


def search_evolution(
    table: CostTable,
    evaluate: Evaluations,
    *,
    budget_bytes: float | None = None,
    budget_s: float | None = None,
    budget_joules: float | None = None,
    seed: int = 0,
    population: int = 16,
) -> Allocation:
    """Return the best allocation within the budget that evolution finds before the evaluations run out.

    Args:
        table: what each layer costs at each width.
        evaluate: measures an allocation, and counts; a new one for each search.
        budget_bytes, budget_s, budget_joules: exactly one, for the whole model.
        seed, population: those of `mini_lib.knapsack.evolutionary`.

    Raises:
        TypeError: `evaluate` is no Evaluations, or `seed` no whole number.
        TypeError, ValueError: as `allocate`; or `population` is below 2.

    Two layers that harm each other where both have few bits; no sum of errors knows that:

    >>> from mini_lib.quantize.mixed.cost_table import WidthCost
    >>> row = {bits: WidthCost(bits, 0.0, 0.0, 0.0) for bits in (8, 4, 2)}
    >>> table = CostTable("by hand", {"a": row, "b": row}, WidthCost(0, 0.0, 0.0, 0.0))
    >>> evaluate = Evaluations(lambda bits: 1 / bits["a"] / bits["b"], limit=9)
    >>> search_evolution(table, evaluate, budget_bytes=8).bits                    # 1 / 16; 2 and 4 or less give 1 / 8
    {'a': 4, 'b': 4}

    Source: Z. Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", 2020, section 3.4,
    which searches widths so.
    """
    budget = Budget.one_of(budget_bytes, budget_s, budget_joules)
    budget.prices(table)  # refuses what is no table, or too dear
    need_evaluations(evaluate)
    seed = whole("seed", seed, fix="any will do")
    nothing = {name: dict.fromkeys(row, 0.0) for name, row in table.costs.items()}
    options, room = knapsack_options(table, nothing, budget)

    def error_of(choice: dict[str, Option]) -> float:
        return evaluate({name: option.value for name, option in choice.items()})

    with suppress(OutOfEvaluations):  # so many generations are enough for each to bring but one new allocation
        evolutionary(options, room, error_of=error_of, seed=seed, population=population, generations=evaluate.limit)
    return evaluate.best(table, budget)
