"""Evolution against its control, random search, from the same seeds and with the same number of trials."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mini_lib.loops.nest import Nest
from mini_lib.loops.search.search import NestCost, Progress, evolutionary_search, model_cost, random_search
from mini_lib.loops.search.space import Space


@dataclass(frozen=True)
class SearchComparison:
    """Evolution and its control, with the same number of trials: a history for each seed.

    `random` and `evolutionary` are float [seeds, trials], the lowest cost up to each trial.
    """

    random: np.ndarray
    evolutionary: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """How many times cheaper evolution's best is than chance's at the end, for each seed: float [seeds]."""
        return self.random[:, -1] / self.evolutionary[:, -1]


def compare_searches(
    nest: Nest,
    space: Space | None = None,
    *,
    trials: int = 24,
    seeds: Sequence[int] = (0, 1, 2),
    cost: NestCost = model_cost,
    progress: Progress | None = None,
) -> SearchComparison:
    """Run both searches from each seed with the same budget: what does evolution find that luck does not?

    Both begin with the same random schedules. A nest that was seen before keeps its cost, whoever saw it.

    Raises:
        ValueError: no seed; else as the searches.
    """
    if not seeds:
        raise ValueError("seeds must have at least one seed, got none; use (0, 1, 2)")
    known: dict[Nest, float] = {}

    def remembered(one: Nest) -> float:
        if one not in known:
            known[one] = cost(one)
        return known[one]

    histories: dict[object, list[tuple[float, ...]]] = {random_search: [], evolutionary_search: []}
    total, done = 2 * len(seeds) * trials, 0
    for seed in seeds:
        for search, found in histories.items():

            def step(count: int, _: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + count, total)

            result = search(nest, space, trials=trials, seed=seed, cost=remembered, progress=step)
            # a search that ran out of new schedules keeps its best
            rest = (result.history[-1],) * (trials - len(result.history))
            found.append(result.history + rest)
            done += trials
    chance, evolution = (np.array(found) for found in histories.values())
    return SearchComparison(chance, evolution)
