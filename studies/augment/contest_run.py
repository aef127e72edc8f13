"""Runs the contest part by part, here or on other machines: parts in the folder are kept, missing ones are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from joblib import delayed

from mini_lib.parallel import as_they_are_done
from studies.augment.contest import ALL_LABELS, SEARCHED, Contest, Final, Search
from studies.augment.contest_record import Results
from studies.augment.finals import train_final
from studies.augment.searches import search
from studies.parts import open_parts, read_part, write_part

Part = TypeVar("Part", Search, Final)


def run_contest(
    contest: Contest,
    folder: str | Path | None = None,
    *,
    machine: Mapping[str, object] | None = None,
    progress: Callable[[Search | Final], None] | None = None,
) -> Results:
    """Search with every method and seed, then train the final nets, and return all results.

    Each search is one task for joblib, and so are the final nets of each arm and seed. By default they run here, one
    after the other. For one process per core, or for other machines, set another backend around the call:

        with joblib.parallel_config(backend="loky", n_jobs=2):
            run_contest(contest, folder)

        client = distributed.Client(address)                # a scheduler of dask; its workers need this package
        with joblib.parallel_config(backend="dask"):
            run_contest(contest, folder)

    Apart from the seconds, results are the same wherever a task runs, if it has the same number of threads. With a
    `folder`, each result is written to it when it is done, and a contest that was stopped continues from there, even
    with more seeds or methods.

    Raises:
        ValueError: the folder holds a contest with other settings, or a file in it cannot be read.
    """
    store = None if folder is None else Path(folder)
    if store is not None:
        # Seeds and methods may be added.
        free = ("seeds", "methods")
        open_parts(store, {name: value for name, value in plain(contest).items() if name not in free}, "contest")
    searches = _made(
        Search,
        {
            f"search-{seed}-{method}": delayed(search)(contest, seed, method)
            for method in contest.methods
            for seed in contest.seeds
        },
        store,
        progress,
    )
    found = {(one.seed, one.method): one for one in searches}

    def tasks_of(arm: str, method: str) -> dict[str, object]:
        return {
            f"final-{seed}-{arm}": delayed(train_final)(contest, seed, arm, found.get((seed, method)))
            for seed in contest.seeds
        }

    tasks = {name: task for arm in contest.arms for name, task in tasks_of(arm, arm).items()}
    finals = _made(Final, tasks, store, progress)
    if best := best_searched(finals):
        finals += _made(Final, tasks_of(ALL_LABELS + best, best), store, progress)
    return Results(tuple(searches), tuple(finals), plain(contest) | {"machine": dict(machine or {}), "best": best})


def best_searched(finals: Iterable[Final]) -> str | None:
    """Return the searched method whose final nets have the highest *validation* accuracy, mean over the seeds."""
    means = {
        method: fmean(fmean(one.validation) for one in finals if one.arm == method)
        for method in SEARCHED
        if any(one.arm == method for one in finals)
    }
    return max(means, key=means.get, default=None)


def plain(contest: Contest) -> dict[str, object]:
    """Return the settings as plain values; functions are known by their names."""
    values = {one.name: getattr(contest, one.name) for one in fields(contest)}
    named = {name: _name_of(value) if callable(value) else value for name, value in values.items()}
    return json.loads(json.dumps(named))


def _name_of(function: Callable) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _made(
    kind: type[Part],
    tasks: Mapping[str, object],
    folder: Path | None,
    progress: Callable[[Search | Final], None] | None,
) -> list[Part]:
    """Make what is missing, and return all, in the order of the tasks."""
    arm = "method" if kind is Search else "arm"
    paths = {} if folder is None else {name: _path(folder, name) for name in tasks}
    found = {name: read_part(path, lambda values: kind(**values)) for name, path in paths.items() if path.exists()}
    for part in as_they_are_done(task for name, task in tasks.items() if name not in found):
        name = f"{kind.__name__.lower()}-{part.seed}-{getattr(part, arm)}"
        found[name] = part
        if folder is not None:
            write_part(paths[name], asdict(part))
        if progress is not None:
            progress(part)
    return [found[name] for name in tasks]


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(': ', '-').replace(', ', '-').replace(' ', '-')}.json"
