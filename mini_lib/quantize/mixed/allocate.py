"""Which layer deserves which bits: the least error that fits a budget of bytes, seconds or joules.

Each layer has one option per width, with the cost from a `CostTable` and the error from a sensitivity; costs and errors
add up over the layers. That is a knapsack, which `mini_lib.knapsack` solves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log10

from mini_lib.knapsack import Option, exact, greedy
from mini_lib.quantize.choice import need_same_layers
from mini_lib.quantize.mixed.cost_table import CostTable, WidthCost
from mini_lib.require import not_negative, of_type, one_of, positive

Prices = dict[str, dict[int, float]]  # {layer: {bits: cost}}, in the unit of a budget

METHODS = {"exact": exact, "greedy": greedy}
FINENESS = 10**15  # a knapsack counts in whole numbers: a budget of seconds or joules is this many units


@dataclass(frozen=True)
class Allocation:
    """The bits of each layer, and the predicted cost and error of the model with them.

    `bits` goes into `quantize_weights(model, bits)`. The error is the one that decided the choice: a sum of the layers'
    sensitivities, or a measurement of the whole model.
    """

    bits: dict[str, int]
    cost: WidthCost
    error: float


@dataclass(frozen=True)
class Budget:
    """The most that a whole model may cost in one quantity: "stored_bytes", "median_s" or "joules".

    Raises:
        TypeError: the amount is not a number.
        ValueError: the amount is not finite or not above 0.
    """

    of: str
    amount: float

    def __post_init__(self) -> None:
        amount = positive(_ARGUMENT[self.of], self.amount, fix="give what the whole model may cost")
        object.__setattr__(self, "amount", amount)

    @classmethod
    def one_of(cls, budget_bytes: float | None, budget_s: float | None, budget_joules: float | None) -> Budget:
        """Return the only budget that is given.

        Raises:
            TypeError: it is not a number.
            ValueError: none or several are given, or it is not above 0.
        """
        given = {"stored_bytes": budget_bytes, "median_s": budget_s, "joules": budget_joules}
        found = [cls(of, amount) for of, amount in given.items() if amount is not None]
        if len(found) != 1:
            raise ValueError(f"give exactly one of budget_bytes, budget_s and budget_joules, got {len(found)} of them")
        return found[0]

    @property
    def most(self) -> float:
        """The amount, and for seconds and joules a margin for the rounding of their sum."""
        return self.amount if self.of == "stored_bytes" else self.amount * (1 + 1e-12)

    def cost(self, cost: WidthCost) -> float:
        """Return the part of a cost that the budget limits.

        Raises:
            ValueError: the table does not know this part.
        """
        found = getattr(cost, self.of)
        if found is None:
            raise ValueError("the table knows no joules of this machine; give budget_bytes or budget_s")
        return found

    def prices(self, table: CostTable) -> tuple[Prices, float]:
        """Return how much of the budget each width of each layer takes, and how much the rest of the model leaves.

        Bytes are exact; sums of seconds and joules depend on their order, so 1e-12 of the budget does not matter.

        Raises:
            ValueError: the table knows no joules, or the cheapest width of every layer exceeds the budget; the message
                gives the least cost.
        """
        of_type("table", table, CostTable, fix="measure_costs and accelerator_costs give one")
        prices = {name: {bits: self.cost(cost) for bits, cost in row.items()} for name, row in table.costs.items()}
        rest = self.cost(table.rest)
        least = sum(min(row.values()) for row in prices.values()) + rest
        if least > self.most:
            raise ValueError(
                f"{_ARGUMENT[self.of]} of {_shown(self.amount)} cannot be met: with the cheapest width of every layer "
                f"the model still costs {_shown(least)}; give {_shown(least)} or more"
            )
        return prices, self.most - rest


_ARGUMENT = {"stored_bytes": "budget_bytes", "median_s": "budget_s", "joules": "budget_joules"}


def allocate(
    table: CostTable,
    sensitivity: Mapping[str, Mapping[int, float]],
    *,
    budget_bytes: float | None = None,
    budget_s: float | None = None,
    budget_joules: float | None = None,
    method: str = "exact",
) -> Allocation:
    """Return the bits of all layers within the budget whose errors have the least sum.

    The budget is for the whole model: the cost of the rest of it is subtracted first.

    Args:
        table: the cost of each layer at each width.
        sensitivity: the error of each layer at each of these widths, `{layer: {bits: error}}`.
        budget_bytes, budget_s, budget_joules: exactly one of them.
        method: "exact" finds the optimum; "greedy" exchanges step by step, see `mini_lib.knapsack`.

    Raises:
        TypeError: a budget or an error is not a number, or a layer's errors are not a mapping.
        ValueError: not exactly one budget is given, or it cannot be met (the message gives the least cost); the layers
            or widths of the sensitivity are not those of the table; an error is negative or not finite; the table knows
            no joules; or `method` is unknown.

    Eight bits for both layers would take 16 bytes. Of 12 bytes, 4 are left to give one layer 8 bits; the second gains
    more from them than the first:

    >>> row = {8: WidthCost(8, 0.0, 0.0, 0.0), 4: WidthCost(4, 0.0, 0.0, 0.0)}
    >>> table = CostTable("by hand", {"a": row, "b": row}, rest=WidthCost(0, 0.0, 0.0, 0.0))
    >>> allocate(table, {"a": {8: 0.0, 4: 0.1}, "b": {8: 0.0, 4: 0.3}}, budget_bytes=12).bits
    {'a': 4, 'b': 8}

    Source: Z. Yao et al., "HAWQ-V3: Dyadic Neural Network Quantization", 2021, section 3.4: bits by an integer program.
    """
    choose = METHODS[one_of("method", method, tuple(METHODS), fix="'exact' is the optimum")]
    budget = Budget.one_of(budget_bytes, budget_s, budget_joules)
    options, room = knapsack_options(table, sensitivity, budget)
    taken = choose(options, room)
    bits = {name: option.value for name, option in taken.items()}
    return Allocation(bits, table.total(bits), sum(option.error for option in taken.values()))


def knapsack_options(
    table: CostTable, sensitivity: Mapping[str, Mapping[int, float]], budget: Budget
) -> tuple[dict[str, list[Option]], int]:
    """Return the options of a knapsack, and the budget that the rest of the model leaves for them.

    Bytes are whole numbers. Seconds and joules are counted in units of 1e-15 of the budget.

    Raises:
        TypeError, ValueError: as `allocate`.
    """
    prices, room = budget.prices(table)
    of_type("sensitivity", sensitivity, Mapping, fix="give {layer: {bits: error}}, as sensitivity_by_kl does")
    need_same_layers("sensitivity", sensitivity, table.layers)
    unit = 1 if budget.of == "stored_bytes" else budget.amount / FINENESS
    options: dict[str, list[Option]] = {}
    for name, row in prices.items():
        if not isinstance(sensitivity[name], Mapping):
            raise TypeError(
                f"sensitivity[{name!r}] must be {{bits: error}}, got {sensitivity[name]!r}; measure all widths"
            )
        if missing := [bits for bits in row if bits not in sensitivity[name]]:
            raise ValueError(f"sensitivity says nothing about {missing[0]} bits of layer {name!r}; measure all widths")
        options[name] = []
        for bits, price in row.items():
            error = not_negative(f"the error of layer {name!r} at {bits} bits", sensitivity[name][bits], fix="clamp it")
            options[name].append(Option(bits, ceil(price / unit), float(error)))
    return options, max(floor(room / unit), sum(min(option.cost for option in row) for row in options.values()))


def _shown(amount: float) -> str:
    """A cost with four digits, rounded up so that giving it is enough."""
    if amount >= 1000 or amount == int(amount):
        return f"{ceil(amount):,}"
    step = 10 ** (floor(log10(amount)) - 3)
    return f"{ceil(amount / step - 1e-9) * step:.4g}"
