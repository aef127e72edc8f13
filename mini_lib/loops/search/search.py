"""Look for a good schedule, at random or by evolution, with a given cost as the guide and a clock as the judge.

The cost guides the search (usually it is the model's estimate: no run, no noise); the few best schedules are then
measured. Source of the idea: Chen et al., "Learning to optimize tensor programs", NeurIPS 2018, and Zheng et al.,
"Ansor", OSDI 2020, which sample, evolve with a cost model, and measure the best.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from mini_lib.loops.machine.estimate import estimate_time
from mini_lib.loops.nest import Nest
from mini_lib.loops.search.space import Schedule, Space
from mini_lib.require import callable_, of_type, share, shown, whole

DRAWS_PER_TRIAL = 200  # this many refused or known schedules in a row end a search
NestCost = Callable[[Nest], float]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """A legal schedule, the nest that it makes, and its cost."""

    schedule: Schedule
    nest: Nest
    cost: float


@dataclass(frozen=True)
class Measured:
    """One of the best trials, with its measured seconds."""

    trial: Trial
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """All legal schedules that a search tried, in order, and how many drawn schedules were refused.

    `measured` holds the best by cost, fastest first; it is empty where nothing was measured.
    """

    trials: tuple[Trial, ...]
    refused: int
    measured: tuple[Measured, ...] = ()

    @property
    def history(self) -> tuple[float, ...]:
        """The lowest cost up to each trial."""
        return tuple(np.minimum.accumulate([trial.cost for trial in self.trials]).tolist())

    @property
    def best(self) -> Trial:
        """The fastest measured trial, or if none was measured, the first with the lowest cost."""
        if self.measured:
            return self.measured[0].trial
        return min(self.trials, key=lambda trial: trial.cost)


def model_cost(nest: Nest) -> float:
    """The seconds that `estimate_time` predicts for this machine: the usual guide of a search."""
    return estimate_time(nest).seconds


def random_search(
    nest: Nest,
    space: Space | None = None,
    *,
    trials: int = 32,
    seed: int = 0,
    cost: NestCost = model_cost,
    measure: NestCost | None = None,
    finalists: int = 3,
    progress: Progress | None = None,
) -> SearchResult:
    """Try `trials` different legal schedules, each drawn at random: the control for every cleverer search.

    `cost` says how good a nest is (less is better). With `measure`, which returns seconds, the `finalists` best by
    cost are measured, and the fastest is the result. `progress(done, trials)` is called after each trial.

    Raises:
        ValueError: `trials` or `finalists` is below 1; the space refuses nearly everything.

    >>> from mini_lib.loops import reduction
    >>> found = random_search(reduction(64), trials=3, cost=lambda nest: len(nest.loop_names))
    >>> len(found.trials), len(found.history)
    (3, 3)
    """
    run = _Run(nest, space, trials, seed, cost, progress)
    while run.goes_on:
        run.try_one(run.space.draw(run.random))
    return run.result(measure, finalists)


def evolutionary_search(
    nest: Nest,
    space: Space | None = None,
    *,
    trials: int = 32,
    seed: int = 0,
    cost: NestCost = model_cost,
    measure: NestCost | None = None,
    finalists: int = 3,
    progress: Progress | None = None,
    population: int = 8,
    elite: int = 2,
    mutation: float = 0.3,
) -> SearchResult:
    """Try `trials` different legal schedules, most of them derived from the best so far.

    The first `population` are drawn at random, the same as `random_search` draws with this seed. Then each child
    takes every choice from one of two parents (crossover) and changes each with a probability of `mutation`. In each
    generation the parents are the `elite` best of all so far, together with the newest.

    Raises:
        ValueError: as `random_search`; `population` or `elite` is below 2, or `mutation` is not in (0, 1].
    """
    population = whole("population", population, low=2, fix="use 8")
    elite = whole("elite", elite, low=2, high=population, fix="use 2; the population has room for no more")
    mutation = share("mutation", mutation, fix="use 0.3")
    run = _Run(nest, space, trials, seed, cost, progress)
    while run.goes_on and len(run.trials) < population:
        run.try_one(run.space.draw(run.random))
    while run.goes_on:
        newest = run.trials[-(population - elite) :]
        parents = {t.schedule: t for t in (*sorted(run.trials, key=_by_cost)[:elite], *newest)}
        one, two = (_tournament(list(parents.values()), run.random) for _ in range(2))
        child = run.space.cross(one.schedule, two.schedule, run.random)
        run.try_one(run.space.mutate(child, run.random, mutation))
    return run.result(measure, finalists)


def _by_cost(trial: Trial) -> float:
    return trial.cost


def _tournament(parents: Sequence[Trial], rng: random.Random) -> Trial:
    """The better of two at random."""
    return min(rng.choice(parents), rng.choice(parents), key=_by_cost)


def _number(name: str, value: object) -> float:
    """The value that a function of the caller returned, if it can be compared; an infinite cost is never the best."""
    if not isinstance(value, Real) or value != value:
        raise TypeError(f"{name} must return a number, got {shown(value)}; return seconds, or infinity for never")
    return value


@dataclass
class _Run:
    """A search in progress."""

    nest: Nest
    given_space: Space | None
    wanted: int
    seed: int
    cost: NestCost
    progress: Progress | None
    trials: list[Trial] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self.wanted = whole("trials", self.wanted, low=1, fix="use 32")
        callable_("cost", self.cost, fix="pass a function of a nest, such as model_cost")
        if self.progress is not None:
            callable_("progress", self.progress, fix="pass a function (done, trials), or leave it out")
        self.space = Space(self.nest) if self.given_space is None else self.given_space
        of_type("space", self.space, Space, fix="pass Space(nest), or leave it out")
        self.random = random.Random(whole("seed", self.seed, fix="pass any seed such as 0"))
        self.known: set[Nest] = set()
        self.since_last = 0

    @property
    def goes_on(self) -> bool:
        """Whether trials are left and new legal schedules are still found."""
        if self.since_last >= DRAWS_PER_TRIAL and not self.trials:
            raise ValueError(
                f"the first {self.since_last} schedules were all refused; give the space other tile sizes or lanes"
            )
        return len(self.trials) < self.wanted and self.since_last < DRAWS_PER_TRIAL

    def try_one(self, schedule: Schedule) -> None:
        self.since_last += 1
        try:
            nest = self.space.apply(schedule)  # IllegalRewrite is a ValueError
        except ValueError:
            self.refused += 1
            return
        if nest in self.known:
            return
        self.known.add(nest)
        self.since_last = 0
        self.trials.append(Trial(schedule, nest, _number("cost", self.cost(nest))))
        if self.progress is not None:
            self.progress(len(self.trials), self.wanted)

    def result(self, measure: NestCost | None, finalists: int) -> SearchResult:
        finalists = whole("finalists", finalists, low=1, fix="use 3")
        measured: list[Measured] = []
        if measure is not None:
            callable_("measure", measure, fix="pass a function that returns seconds, or leave it out")
            best = sorted(self.trials, key=_by_cost)[:finalists]
            measured = sorted((Measured(t, _number("measure", measure(t.nest))) for t in best), key=lambda m: m.seconds)
        return SearchResult(tuple(self.trials), self.refused, tuple(measured))
