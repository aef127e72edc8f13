"""Bits by evolution: the core's evolutionary knapsack, with each choice judged by a measurement of the whole model."""

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
        table: the cost of each layer at each width.
        evaluate: measures an allocation, and counts its calls; a new one for each search.
        budget_bytes, budget_s, budget_joules: exactly one, for the whole model.
        seed, population: those of `mini_lib.knapsack.evolutionary`.

    Raises:
        TypeError: `evaluate` is not an Evaluations, or `seed` is not a whole number.
        TypeError, ValueError: as `allocate`; or `population` is below 2.

    These two layers harm each other where both have few bits, which no sum of errors can express:

    >>> from mini_lib.quantize.mixed.cost_table import WidthCost
    >>> row = {bits: WidthCost(bits, 0.0, 0.0, 0.0) for bits in (8, 4, 2)}
    >>> table = CostTable("by hand", {"a": row, "b": row}, WidthCost(0, 0.0, 0.0, 0.0))
    >>> evaluate = Evaluations(lambda bits: 1 / bits["a"] / bits["b"], limit=9)
    >>> search_evolution(table, evaluate, budget_bytes=8).bits                    # 1 / 16; 2 and 4 or less give 1 / 8
    {'a': 4, 'b': 4}

    Source: Z. Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", 2020, section 3.4,
    which searches widths this way.
    """
    budget = Budget.one_of(budget_bytes, budget_s, budget_joules)
    budget.prices(table)  # refuses an argument that is not a table, and a budget too small
    need_evaluations(evaluate)
    seed = whole("seed", seed, fix="any will do")
    nothing = {name: dict.fromkeys(row, 0.0) for name, row in table.costs.items()}
    options, room = knapsack_options(table, nothing, budget)

    def error_of(choice: dict[str, Option]) -> float:
        return evaluate({name: option.value for name, option in choice.items()})

    with suppress(OutOfEvaluations):  # enough generations even if each brings only one new allocation
        evolutionary(options, room, error_of=error_of, seed=seed, population=population, generations=evaluate.limit)
    return evaluate.best(table, budget)
