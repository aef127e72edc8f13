"""The time of a net of a study: trained one by one, many as one, and in one process per core."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial

from joblib import Parallel, delayed, parallel_config
from torch import nn

from mini_lib.data import Splits, fashion
from mini_lib.latency import Latency, compare_latency
from mini_lib.prune.keep import keep_top
from mini_lib.prune.mask import Mask
from mini_lib.prune.scores import random_scores
from mini_lib.prune.tickets.alone import train_alone
from mini_lib.prune.tickets.net import weights_of
from mini_lib.prune.tickets.recipe import Recipe, batch_order
from mini_lib.prune.tickets.together import train_together
from mini_lib.zoo import lenet_300_100
from studies.tickets.study import load_once


@dataclass(frozen=True)
class Way:
    """A way to train some nets, and its time: `time_s` is the time of one net, its share of the whole."""

    name: str
    nets: int
    time_s: Latency

    def times_faster_than(self, other: "Way") -> float:
        """Return the median of the ratios within each turn, in which the machine was in the same state for both."""
        return statistics.median(theirs / own for theirs, own in zip(other.time_s.times_s, self.time_s.times_s))


def compare_ways(
    recipe: Recipe,
    *,
    together: tuple[int, ...] = (4, 12),
    processes: int = 2,
    repeats: int = 5,
    build: Callable[[int], nn.Module] = lenet_300_100,
    load_data: Callable[[], Splits] = fashion,
    progress: Callable[[str], None] | None = None,
) -> tuple[Way, ...]:
    """Time all ways in turns, after one discarded turn, and return a row for each, "one by one" first.

    The nets keep a fifth of their weights. "one by one" and "together" use torch's present number of threads. In the
    last way each of `processes` has one thread, and trains the first count of `together` as one, as `run_study` does
    with seeds_together=1 and another joblib backend. `progress(name)` is called after each run of a way.

    Raises:
        ValueError: `together` is empty, or `repeats` or `processes` is below 1.
    """
    if not together or processes < 1:
        raise ValueError(f"give one count or more in together, and a process, got {together} and {processes}")
    train = partial(_train, build, load_data, recipe)
    calls: dict[str, tuple[int, Callable[[], object]]] = {"one by one": (1, partial(train, 1, alone=True))}
    calls |= {f"{nets} together": (nets, partial(train, nets)) for nets in together}
    calls[f"{processes} processes, {together[0]} together in each"] = (
        processes * together[0],
        lambda: _in_processes(delayed(train)(together[0]) for _ in range(processes)),
    )
    runs = {name: call if progress is None else _reported(call, name, progress) for name, (_, call) in calls.items()}
    times = compare_latency(runs, repeats=repeats, warmup=1)
    return tuple(
        Way(name, nets, Latency(tuple(time / nets for time in times[name].times_s)))
        for name, (nets, _) in calls.items()
    )


def _train(
    build: Callable[[int], nn.Module],
    load_data: Callable[[], Splits],
    recipe: Recipe,
    nets: int,
    *,
    alone: bool = False,
) -> None:
    splits = load_once(load_data)
    models = [build(seed) for seed in range(nets)]
    masks = [_a_fifth(build)] * nets  # the same for all, since the places of the zeros do not affect the time
    orders = [batch_order(len(splits.train), recipe, seed) for seed in range(nets)]
    starts = [weights_of(model) for model in models]
    if alone:
        for start, mask, order in zip(starts, masks, orders):
            train_alone(models[0], start, mask, order, splits, recipe)
    else:
        train_together(models[0], starts, masks, orders, splits, recipe)


def _reported(call: Callable[[], object], name: str, progress: Callable[[str], None]) -> Callable[[], object]:
    def run() -> None:
        call()
        progress(name)

    return run


@cache
def _a_fifth(build: Callable[[int], nn.Module]) -> Mask:
    return keep_top(random_scores(build(0), seed=0), 0.2)


def _in_processes(tasks: Iterable[object]) -> None:
    tasks = list(tasks)
    with parallel_config(backend="loky", inner_max_num_threads=1):
        Parallel(n_jobs=len(tasks), batch_size=1)(tasks)
