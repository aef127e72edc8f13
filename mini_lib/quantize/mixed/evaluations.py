"""The effort of a search: each allocation that it asks about is measured once, counted, and remembered.

Searches are compared at equal numbers of evaluations, so all of them measure through one kind of object. The random
search is their control.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random

from mini_lib.quantize.mixed.allocate import Allocation, Budget, Prices
from mini_lib.quantize.mixed.cost_table import CostTable
from mini_lib.quantize.mixed.trials import Bits
from mini_lib.require import callable_, not_negative, of_type, whole


class OutOfEvaluations(Exception):
    """A search asked for one evaluation more than it may."""


class Evaluations:
    """Calls `error_of(bits)` for each new allocation, at most `limit` times; a known one is answered from memory.

    Raises:
        TypeError: `limit` is not a whole number; when it is called, a width is not a whole number.
        ValueError: `limit` is below 1; when it is called, an error is below 0 or not finite.

    >>> evaluate = Evaluations(lambda bits: 1 / bits["fc"], limit=2)
    >>> evaluate({"fc": 2}), evaluate({"fc": 4}), evaluate({"fc": 2}), evaluate.count
    (0.5, 0.25, 0.5, 2)
    >>> evaluate({"fc": 8})
    Traceback (most recent call last):
    mini_lib.quantize.mixed.evaluations.OutOfEvaluations: 2 allocations have been measured
    """

    def __init__(self, error_of: Callable[[Bits], float], limit: int) -> None:
        self.limit = whole("limit", limit, low=1, fix="give the number of allocations that may be measured")
        self._error_of = callable_("error_of", error_of, fix="pass a function from {layer: bits} to an error")
        self._errors: dict[frozenset, tuple[dict[str, int], float]] = {}

    def __call__(self, bits: Bits) -> float:
        of_type("bits", bits, Mapping, fix="give {layer: bits}")
        bits = {name: whole(f"the width of {name!r}", width, fix="give bits") for name, width in bits.items()}
        key = frozenset(bits.items())
        if key not in self._errors:
            if self.count >= self.limit:
                raise OutOfEvaluations(f"{self.count} allocations have been measured")
            error = self._error_of(dict(bits))  # a copy, which it may change
            error = not_negative(f"the error of {bits}", error, fix="0 means no error; give a loss or KL, not a gain")
            self._errors[key] = bits, error
        return self._errors[key][1]

    @property
    def count(self) -> int:
        return len(self._errors)

    def best(self, table: CostTable, budget: Budget) -> Allocation:
        """Return the allocation with the least error among those measured that are within the budget.

        Raises:
            TypeError: the arguments are not a CostTable and a Budget.
            ValueError: there is none.
        """
        of_type("table", table, CostTable, fix="measure_costs and accelerator_costs give one")
        of_type("budget", budget, Budget, fix='give one such as Budget("stored_bytes", 10_000)')
        found = [
            Allocation(bits, cost, error)
            for bits, error in self._errors.values()
            if budget.cost(cost := table.total(bits)) <= budget.most
        ]
        if not found:
            raise ValueError("no allocation within the budget has been measured; run a search first")
        return min(found, key=lambda allocation: allocation.error)


def search_random(
    table: CostTable,
    evaluate: Evaluations,
    *,
    budget_bytes: float | None = None,
    budget_s: float | None = None,
    budget_joules: float | None = None,
    seed: int = 0,
) -> Allocation:
    """Return the best of random allocations within the budget: the control of every search.

    Each draws the width of every layer, and lowers those of random layers until it fits.

    Raises:
        TypeError: `evaluate` is not an Evaluations, or `seed` is not a whole number.
        TypeError, ValueError: as `allocate`.

    Of the four allocations, 8 + 8 exceeds the budget; of the other three, the best gives a its 8 bits:

    >>> from mini_lib.quantize.mixed.cost_table import WidthCost
    >>> row = {bits: WidthCost(bits, 0.0, 0.0, 0.0) for bits in (8, 4)}
    >>> table = CostTable("by hand", {"a": row, "b": row}, WidthCost(0, 0.0, 0.0, 0.0))
    >>> evaluate = Evaluations(lambda bits: 2 / bits["a"] + 1 / bits["b"], limit=10)
    >>> search_random(table, evaluate, budget_bytes=12).bits, evaluate.count
    ({'a': 8, 'b': 4}, 3)
    """
    budget = Budget.one_of(budget_bytes, budget_s, budget_joules)
    prices, room = budget.prices(table)
    need_evaluations(evaluate)
    random = Random(whole("seed", seed, fix="any will do"))
    with suppress(OutOfEvaluations):
        for _ in range(100 * evaluate.limit):  # if there are fewer allocations than evaluations, all will be met
            bits = {name: random.choice(table.widths) for name in table.layers}
            order = random.sample(table.layers, len(table.layers))
            evaluate(lowered(bits, prices, room, order))
    return evaluate.best(table, budget)


def need_evaluations(evaluate: object) -> None:
    """Refuse a bare function, whose calls are not counted.

    Raises:
        TypeError: it is not an Evaluations.
    """
    if not isinstance(evaluate, Evaluations):
        raise TypeError(f"evaluate must count its calls, got {evaluate!r}; use Evaluations(error_of, limit=100)")


def lowered(bits: Bits, prices: Prices, room: float, order: Sequence[str]) -> dict[str, int]:
    """Return the bits, lowered until they fit: the layers take turns in this `order`, one step each to a cheaper width.

    >>> prices = {"a": {8: 8, 4: 4, 2: 2}, "b": {8: 8, 4: 4, 2: 2}}
    >>> lowered({"a": 8, "b": 8}, prices, 9, ["a", "b"])                     # 4 + 8 is still above 9
    {'a': 4, 'b': 4}

    Source: K. Wang et al., "HAQ", 2019, section 3.2.
    """
    bits, turn = dict(bits), 0
    while sum(prices[name][width] for name, width in bits.items()) > room:
        name = order[turn % len(order)]
        row, turn = prices[name], turn + 1
        bits[name] = max((width for width in row if row[width] < row[bits[name]]), key=row.get, default=bits[name])
    return bits
