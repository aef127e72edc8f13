"""Runs a study round after round, here or on other machines; a study that was stopped continues where it was."""

from collections.abc import Callable, Mapping
from pathlib import Path

from joblib import delayed

from mini_lib.parallel import as_they_are_done
from mini_lib.require import whole
from studies.tickets import store
from studies.tickets.results import Results, chosen
from studies.tickets.study import State, Study, advance


def run_study(
    study: Study,
    folder: str | Path | None = None,
    *,
    seeds_together: int | None = None,
    progress: Callable[[State], None] | None = None,
) -> Results:
    """Run a study and return its results.

    In each round, `seeds_together` seeds and all their arms are trained as one (all seeds, if it is None). Such a group
    is one task for joblib, which decides where it runs. By default it runs in this process, one group after the other.
    For one process per core, or for other machines, set another backend around the call:

        with joblib.parallel_config(backend="loky", n_jobs=2):
            run_study(study, seeds_together=1)

        client = distributed.Client(address)                # a scheduler of dask; its workers need this package
        with joblib.parallel_config(backend="dask"):
            run_study(study, seeds_together=1)

        ray.util.joblib.register_ray()
        with joblib.parallel_config(backend="ray", n_jobs=8):
            run_study(study, seeds_together=1)

    Results are the same wherever a group is trained, and bit for bit the same with the same `seeds_together` and number
    of threads.

    With a `folder`, each seed's state is written to it after each round. A study that was stopped continues from there,
    even with more seeds or more rounds. `progress(state)` is called after a seed has finished a round.

    Raises:
        ValueError: `seeds_together` is below 1, the folder holds a study with other settings, or a file in it is
            damaged.
    """
    if seeds_together is not None:
        seeds_together = whole("seeds_together", seeds_together, low=1, fix="None takes all seeds together")
    states = {seed: State(seed) for seed in study.seeds}
    if folder is not None:
        folder = Path(folder)
        store.open_folder(folder, study)
        states = {seed: store.load(folder, seed) for seed in study.seeds}
    while groups := _next_groups(study, states, seeds_together or len(study.seeds)):
        tasks = (delayed(advance)(study, group) for group in groups)
        for advanced in as_they_are_done(tasks):
            for state in advanced:
                states[state.seed] = state
                if folder is not None:
                    store.save(state, folder)
                if progress is not None:
                    progress(state)
    runs = [run for state in states.values() for run in state.runs]
    return Results(chosen(runs, study.seeds, study.rounds), study.recipe.evaluate_at)


def _next_groups(study: Study, states: Mapping[int, State], size: int) -> list[list[State]]:
    """The next task: the seeds that are furthest behind, `size` of them together.

    After a stop in the middle of a round, those that had not finished it catch up first, and then all go on together.
    """
    waiting = [state for state in states.values() if state.round <= study.rounds]
    behind = [state for state in waiting if state.round == min(other.round for other in waiting)]
    return [behind[first : first + size] for first in range(0, len(behind), size)]
