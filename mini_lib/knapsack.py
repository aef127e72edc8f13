"""One option for each layer under one budget: a knapsack, solved exactly, step by step, or by evolution.

Each layer offers options: what it could become (a rank, bits, a density), what that costs, and the error that it makes.
Exactly one option of each layer is taken, the costs must add up to no more than the budget, and the error should be as
small as it can be. Where the errors of the layers add up, `exact` finds the best choice and `greedy` nearly always a
good one. Where they do not, because a change to one layer affects the error of another, only a measurement of the whole
choice gives its error, and `evolutionary` searches by such measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum, inf
from random import Random

from mini_lib.require import callable_, checked, finite, not_negative, of_type, whole


@dataclass(frozen=True)
class Option:
    """One choice for a layer: its cost, its error, and the `value` that names it, such as bits or a rank.

    Raises:
        TypeError: the cost is not a whole number, or the error is not a number.
        ValueError: the cost or the error is below 0, or the error is not finite.
    """

    value: object
    cost: int
    error: float

    def __post_init__(self) -> None:
        checked(self, "cost", whole, low=0, fix="give MACs or bytes")
        checked(self, "error", not_negative, fix="an error is 0 or more; smaller is better")


Options = Mapping[str, Sequence[Option]]


def exact(options: Options, budget: int) -> dict[str, Option]:
    """Return one option for each layer, such that the costs add up to at most `budget` and the total error is smallest.

    Options of any kind will do, as long as costs and errors have the same meaning in all layers. It is an integer
    program, which `scipy.optimize.milp` solves: a few hundred options take well under a second.

    Args:
        options: by layer name, at least one each.
        budget: in the unit of the costs.

    Raises:
        TypeError: the budget is not a whole number, or the options are not Options by name.
        ValueError: there is no layer, a layer has no option, the errors add up to infinity, or the budget cannot be
            met; the message gives the least cost.
        RuntimeError: the solver found no solution.

    A budget of 6 cannot pay for the best options of both layers; the second layer gains more per unit of cost.

    >>> layers = {"a": [Option(1, 1, 3.0), Option(2, 4, 1.0)], "b": [Option(1, 2, 5.0), Option(2, 5, 0.5)]}
    >>> [(name, option.value) for name, option in exact(layers, 6).items()]
    [('a', 1), ('b', 2)]

    Source: the multiple-choice knapsack problem; H. Kellerer, U. Pferschy, D. Pisinger, "Knapsack Problems", 2004,
    chapter 11.
    """
    options, budget, _ = _checked(options, budget)
    useful = {name: _worth_considering(choices) for name, choices in options.items()}

    def excess(taken: Mapping[str, Option]) -> float:
        return fsum(option.error - useful[name][-1].error for name, option in taken.items())

    best = greedy(useful, budget)
    while known := excess(best):
        # An option that alone is worse than a whole choice is left out: next to an error of 10^12, the solver would not
        # see an error of 1.
        few = {
            name: [option for option in choices if option.error - choices[-1].error <= known]
            for name, choices in useful.items()
        }
        found = _solved(few, budget, known)
        if excess(found) <= known:
            best = found
        if excess(found) > known / 2:
            break
    return best


def greedy(options: Options, budget: int) -> dict[str, Option]:
    """Return one option for each layer, found step by step: always the step that saves the most error for its cost.

    All layers start at their cheapest option. A step leads to the next option on the lower convex hull of the layer's
    errors over its costs; a layer whose next step does not fit into the budget stays where it is.

    It is exact for the fractional problem, in which a step may be taken in part. So it finds the optimum where its
    steps spend the budget to the last unit. It may fail where a step does not fit: the optimum may leave out an earlier
    step to make room for that one, or take options that are not on the hull. Its error then exceeds the least one by
    less than the first step that did not fit would have saved.

    Args:
        options, budget: those of `exact`.

    Raises:
        TypeError, ValueError: as `exact`.

    The step of a saves 1 per unit of cost, and that of b only 9 / 10. After the step of a, that of b does not fit:

    >>> layers = {"a": [Option(1, 0, 1.0), Option(2, 1, 0.0)], "b": [Option(1, 0, 9.0), Option(2, 10, 0.0)]}
    >>> [(choose.__name__, sum(one.error for one in choose(layers, 10).values())) for choose in (greedy, exact)]
    [('greedy', 9.0), ('exact', 1.0)]

    Source: G. Dantzig, "Discrete-Variable Extremum Problems", 1957; Kellerer et al. 2004, section 11.2.
    """
    options, _, room = _checked(options, budget)
    hulls = {name: _hull(_worth_considering(choices)) for name, choices in options.items()}
    steps = sorted(
        (-_gain(hull[place - 1], hull[place]), name, place)
        for name, hull in hulls.items()
        for place in range(1, len(hull))
    )
    level = dict.fromkeys(hulls, 0)
    for _, name, place in steps:
        more = hulls[name][place].cost - hulls[name][place - 1].cost
        if level[name] == place - 1 and more <= room:
            level[name], room = place, room - more
    return {name: hulls[name][place] for name, place in level.items()}


def evolutionary(
    options: Options,
    budget: int,
    *,
    error_of: Callable[[dict[str, Option]], float] | None = None,
    seed: int = 0,
    population: int = 64,
    generations: int = 40,
) -> dict[str, Option]:
    """Return the best choice of a population that is crossed, mutated and selected over some generations.

    A child takes the option of each layer from one of two parents, then one layer or more change at random. A choice
    that costs too much is repaired: random layers take cheaper options until it fits. The best choices become the next
    parents and stay alive, so the best one is never lost. How close it comes to the optimum is not known.

    Args:
        options, budget: those of `exact`.
        error_of: the error of a whole choice, such as a measured loss of accuracy; the sum of the options' errors
            unless you say otherwise. It is called once per choice.
        seed: decides everything that is random; the same seed finds the same choice.
        population: the number of children per generation; the best choices, half as many, are their parents.
        generations: 0 takes the best of a random population.

    Raises:
        TypeError: `budget`, `seed`, `population` or `generations` is not a whole number, or `error_of` not a function.
        ValueError: as `exact`; or `population` is below 2, or `generations` below 0.

    Layers a and b harm each other at 2 bits, which no sum of errors can express:

    >>> layers = {"a": [Option(2, 2, 1.0), Option(4, 4, 0.0)], "b": [Option(2, 2, 1.0), Option(4, 4, 0.5)],
    ...           "c": [Option(2, 2, 2.0), Option(4, 4, 0.0)]}
    >>> def harm(choice):
    ...     return sum(one.error for one in choice.values()) + 9 * (choice["a"].value == choice["b"].value == 2)
    >>> [[one.value for one in found.values()]
    ...  for found in (exact(layers, 8), evolutionary(layers, 8, error_of=harm))]
    [[2, 2, 4], [4, 2, 2]]

    Source: Z. Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", 2020, algorithm 1.
    """
    options, budget, _ = _checked(options, budget)
    population = whole("population", population, low=2, fix="64 is enough for a dozen layers")
    generations = whole("generations", generations, low=0, fix="40 is enough for a dozen layers")
    seed = whole("seed", seed, fix="the same seed finds the same choice")
    error_of = None if error_of is None else callable_("error_of", error_of, fix="pass a function of a choice")
    random, layers = Random(seed), list(options.values())

    def choice(places: tuple[int, ...]) -> dict[str, Option]:
        return {name: choices[place] for (name, choices), place in zip(options.items(), places, strict=True)}

    @cache
    def error(places: tuple[int, ...]) -> float:
        chosen = choice(places)
        if error_of is None:
            return sum(option.error for option in chosen.values())
        return finite("error_of(choice)", error_of(chosen), fix="give one error for the whole choice")

    def repaired(places: list[int]) -> tuple[int, ...]:
        while sum(option.cost for option in choice(places).values()) > budget:
            layer = random.randrange(len(layers))
            now = layers[layer][places[layer]].cost
            places[layer] = random.choice([p for p, o in enumerate(layers[layer]) if o.cost < now] or [places[layer]])
        return tuple(places)

    def child(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
        places = [random.choice(both) for both in zip(one, other, strict=True)]
        for layer in {random.randrange(len(layers)), *(k for k in range(len(layers)) if random.random() < 0.1)}:
            places[layer] = random.randrange(len(layers[layer]))
        return repaired(places)

    alive = {repaired([random.randrange(len(choices)) for choices in layers]) for _ in range(population)}
    for _ in range(generations):
        parents = sorted(alive, key=lambda places: (error(places), places))[: population // 2]
        alive = {*parents, *(child(*random.choices(parents, k=2)) for _ in range(population))}
    return choice(min(alive, key=lambda places: (error(places), places)))


def need_affordable(least: int, budget: int, what: str) -> None:
    """Refuse a budget that is below the least possible cost; `what` names it in the message.

    Raises:
        ValueError: the budget is too small; the message gives the least budget.
    """
    least, budget = (whole(name, one, fix="count in whole units") for name, one in (("least", least), (what, budget)))
    if budget < least:
        raise ValueError(
            f"{what} of {budget:,} cannot be met: with the cheapest option of every layer it is still {least:,}; "
            f"give {least:,} or more"
        )


def _checked(options: Options, budget: int) -> tuple[dict[str, list[Option]], int, int]:
    """The options as lists, the budget, and what remains of it once every layer has its cheapest option."""
    budget = whole("budget", budget, fix="round it down with int()")
    if not of_type("options", options, Mapping, fix="give the options of each layer by name"):
        raise ValueError("options holds no layer; give at least one")
    options = {name: [*of_type(name, given, Iterable, fix="use a list of Option")] for name, given in options.items()}
    for name, choices in options.items():
        if not all(isinstance(option, Option) for option in choices):
            raise TypeError(f"each option of layer {name!r} must be an Option; use Option(value, cost, error)")
        if not choices:
            raise ValueError(f"layer {name!r} has no option; give at least the one to leave it alone")
    if sum(float(max(option.error for option in choices)) for choices in options.values()) == inf:
        raise ValueError("the errors must add up to a finite number; divide them all by the largest")
    least = sum(min(option.cost for option in choices) for choices in options.values())
    need_affordable(least, budget, "budget")
    return options, budget, budget - least


def _solved(options: Mapping[str, Sequence[Option]], budget: int, scale: float) -> dict[str, Option]:
    """The best choice, as exactly as the solver can: within 1e-10 of `scale`, an error that a choice reaches."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    least = {name: min(option.cost for option in choices) for name, choices in options.items()}
    room = budget - sum(least.values())
    # What an option costs beyond its layer's cheapest one; an option that alone exceeds the room is left out.
    flat = [
        (layer, option, option.cost - least[name], option.error - min(one.error for one in options[name]))
        for layer, name in enumerate(options)
        for option in options[name]
        if option.cost - least[name] <= room
    ]
    extra = np.array([cost for _, _, cost, _ in flat], float)
    one_each = np.zeros((len(options), len(flat)))
    one_each[[layer for layer, *_ in flat], range(len(flat))] = 1
    # The solver stops within 1e-6 of the best, and overspends by up to 1e-6: so errors go to 10^4, and costs to 10^7.
    errors = 1e4 * (np.array([error for *_, error in flat]) / scale)
    unit = max(1.0, room / 1e7)
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(extra / unit, -inf, room / unit)]
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
        picked = found.x.round()
        taken = [option for (_, option, *_), is_picked in zip(flat, picked, strict=True) if is_picked]
        if sum(option.cost for option in taken) <= budget:
            return dict(zip(options, taken, strict=True))
        # Overspent by less than the solver sees: forbid this one choice, and ask again.
        constraints.append(LinearConstraint(picked, -inf, len(options) - 1))


def _worth_considering(choices: Sequence[Option]) -> list[Option]:
    """The options from the cheapest on that make less error than all cheaper ones."""
    front: list[Option] = []
    for option in sorted(choices, key=lambda option: (option.cost, option.error)):
        if not front or option.error < front[-1].error:
            front.append(option)
    return front


def _hull(front: Sequence[Option]) -> list[Option]:
    """Of options with rising costs and falling errors, those at which the gain per cost falls from step to step."""
    hull: list[Option] = []
    for option in front:
        while len(hull) > 1 and _gain(hull[-1], option) >= _gain(hull[-2], hull[-1]):
            hull.pop()
        hull.append(option)
    return hull


def _gain(cheap: Option, dear: Option) -> float:
    return (cheap.error - dear.error) / (dear.cost - cheap.cost)
