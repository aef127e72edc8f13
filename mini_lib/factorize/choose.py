"""The cheapest way to take one option of each layer: a knapsack, solved to the optimum.

Each layer offers options: a rank, what the layer costs at it, and the error that it makes. One option is to leave the
layer alone. Exactly one option of each layer is to be taken, the costs must add up to no more than the budget, and the
errors should add up to as little as can be. That is a multiple-choice knapsack, an integer program of a few hundred
variables, which `scipy.optimize.milp` solves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite


@dataclass(frozen=True)
class Option:
    """What one layer can become: the rank, or ranks, of its factors (None: it is left alone), its cost and its error.

    Raises:
        ValueError: the cost is not a whole number from 0 up, or the error is negative or not finite.
    """

    rank: int | tuple[int, ...] | None
    cost: int
    error: float

    def __post_init__(self) -> None:
        if not isinstance(self.cost, int) or self.cost < 0:
            raise ValueError(
                f"cost must be a whole number from 0 up, got {self.cost!r}; give MACs, parameters or bytes"
            )
        if not (isfinite(self.error) and self.error >= 0):
            raise ValueError(f"error must be finite and at least 0, got {self.error}; give one that shall be small")


Options = Mapping[str, Sequence[Option]]


def choose(options: Options, budget: int) -> dict[str, Option]:
    """Return one option for each layer, such that the costs add up to `budget` at most and the errors to the least.

    Options of any method will do, as long as their costs, and their errors, mean the same in all layers.

    Args:
        options: by layer name, at least one each.
        budget: in the unit of the costs.

    Raises:
        ValueError: a layer has no option, or the budget cannot be met; the message says what the least cost is.

    6 will not buy the best of both layers; the second one gains more by it.

    >>> layers = {"a": [Option(1, 1, 3.0), Option(2, 4, 1.0)], "b": [Option(1, 2, 5.0), Option(2, 5, 0.5)]}
    >>> [(name, option.rank) for name, option in choose(layers, 6).items()]
    [('a', 1), ('b', 2)]

    Source: the multiple-choice knapsack problem; H. Kellerer, U. Pferschy, D. Pisinger, "Knapsack Problems", 2004,
    chapter 11.
    """
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    useful = {name: _worth_considering(name, choices) for name, choices in options.items()}
    if not useful:
        raise ValueError("options holds no layer; give at least one")
    least = sum(choices[0].cost for choices in useful.values())
    need_affordable(least, budget, "budget")
    # What an option costs beyond its layer's cheapest one; what alone is beyond the room for that is no option.
    room = budget - least
    flat = [
        (layer, option, option.cost - choices[0].cost)
        for layer, choices in enumerate(useful.values())
        for option in choices
        if option.cost - choices[0].cost <= room
    ]
    extra = np.array([cost for _, _, cost in flat], float)
    errors = np.array([option.error for _, option, _ in flat], float)
    one_each = np.zeros((len(useful), len(flat)))
    one_each[[layer for layer, _, _ in flat], range(len(flat))] = 1
    # The solver stops within 1e-6 of the best: on a scale where the largest error is 10^4 that is 1e-10 of it.
    errors *= 1e4 / max(errors.max(), 1e-300)
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(extra, -inf, room)]
    while True:
        # Its presolve calls a few solvable problems infeasible where costs of 10^8 differ by 1; without, it is slower.
        for presolve in (True, False):
            found = milp(
                errors,
                integrality=np.ones(len(flat)),
                bounds=Bounds(0, 1),
                constraints=constraints,
                options={"mip_rel_gap": 0, "presolve": presolve},
            )
            if found.x is not None:
                break
        else:
            raise RuntimeError(f"scipy.optimize.milp found no solution: {found.message}; give costs in larger units")
        share = found.x.round()
        taken = [option for (_, option, _), whole in zip(flat, share, strict=True) if whole]
        if sum(option.cost for option in taken) <= budget:
            return dict(zip(useful, taken, strict=True))
        # Overspent by less than the solver sees: forbid this one choice, and ask again.
        constraints.append(LinearConstraint(share, -inf, len(useful) - 1))


def need_affordable(least: int, budget: int, what: str) -> None:
    """Raise a ValueError that says what is possible if `budget` is below `least`."""
    if budget < least:
        raise ValueError(
            f"{what} of {budget:,} cannot be met: with the cheapest option of every layer it is still {least:,}; "
            f"give {least:,} or more"
        )


def _worth_considering(name: str, choices: Sequence[Option]) -> list[Option]:
    """The options from the cheapest on that make less error than all cheaper ones."""
    if not choices:
        raise ValueError(f"layer {name!r} has no option; give at least the one to leave it alone")
    front: list[Option] = []
    for option in sorted(choices, key=lambda option: (option.cost, option.error)):
        if not front or option.error < front[-1].error:
            front.append(option)
    return front
