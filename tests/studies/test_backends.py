"""The same study wherever joblib sends it: other processes, a local cluster, threads, and a backend like ray's."""

import os
import warnings
from functools import partial

import joblib
import pytest
import tiny_tickets as tiny
from joblib._parallel_backends import ThreadingBackend

from mini_lib.prune.tickets import Recipe
from studies.tickets import Study, run_study


def small(**given) -> Study:
    return Study(
        **{
            "recipe": Recipe(steps=12, batch_size=16, learning_rate=0.02, evaluate_at=(5,)),
            "seeds": (0, 1, 2, 3),
            "arms": ("ticket", "reinit", "random", "late", "lr_rewind"),
            "rounds": 2,
            "rate": 0.5,
            "rewind_to": 4,
            "build": tiny.build,
            "load_data": tiny.pictures,
            **given,
        }
    )


@pytest.fixture(scope="module")
def here(one_thread):
    """What the study gives in this process, one seed after the other."""
    return run_study(small(), seeds_together=1)


def meeting(folder, processes=2) -> Study:
    """The study, whose nets are built only once so many processes take part; they leave their numbers in the folder."""
    return small(build=partial(tiny.build_where_several_meet, str(folder), processes))


def test_processes_give_the_same_and_both_take_part(here, tmp_path):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert run_study(meeting(tmp_path), seeds_together=1) == here
    assert len(list(tmp_path.iterdir())) == 2


def test_functions_of_a_notebook_reach_other_processes(here):
    """They have no module that another process could import, so they travel as code."""
    with joblib.parallel_config(backend="loky", n_jobs=2):
        study = small(build=lambda seed: tiny.build(seed), load_data=lambda: tiny.pictures())
        assert run_study(study, seeds_together=1) == here


def test_a_local_cluster_gives_the_same_and_both_workers_take_part(here, tmp_path):
    distributed = pytest.importorskip("distributed")
    meet, folder = tmp_path / "meet", tmp_path / "study"
    meet.mkdir()
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        assert run_study(meeting(meet), seeds_together=1) == here
        assert run_study(small(), folder, seeds_together=1) == here
        workers = client.run(os.getpid)
        assert len(workers) == 2
        assert {str(number) for number in workers.values()} == {path.name for path in meet.iterdir()}
    assert len(list(folder.glob("seed-*.safetensors"))) == 4  # written here, so workers need not share a disk


def test_threads_do_not_take_each_others_initial_weights(here):
    """A worker of a cluster may have several threads, and torch one random state for all of them."""
    with joblib.parallel_config(backend="threading", n_jobs=4):
        assert run_study(small(build=tiny.build_slowly), seeds_together=1) == here


class AllInTheEnd(ThreadingBackend):
    """Like the backend of ray, it cannot give results one by one."""

    supports_return_generator = False


def test_a_backend_that_gives_its_results_in_the_end_will_do(here):
    joblib.register_parallel_backend("all in the end", AllInTheEnd)
    seen = []
    with joblib.parallel_config(backend="all in the end", n_jobs=2):
        assert run_study(small(), seeds_together=1, progress=seen.append) == here
    assert len(seen) == 12


def test_a_processes_study_can_be_stopped_and_goes_on_here(here, tmp_path):
    seen = []

    def stop(state):
        seen.append(state)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with joblib.parallel_config(backend="loky", n_jobs=2), pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_study(small(), tmp_path, seeds_together=1, progress=stop)
    assert run_study(small(), tmp_path, seeds_together=1, progress=seen.append) == here
    assert len(seen) >= 12  # what was on its way in another process is trained again
