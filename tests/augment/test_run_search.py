"""The loop of a search: what it returns, where it runs, and its log, from which a search that was killed goes on."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import joblib
import pytest
import tiny_children as tiny
import torch

from mini_lib.augment.operations import rotate, warped_with
from mini_lib.augment.search import (
    ByChildren,
    ChildRecipe,
    ForwardSelection,
    Judged,
    RandomSearch,
    SearchOutcome,
    SearchSpace,
    Spent,
    run_search,
    train_children,
)

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = {"trials": 36, "together": 3, "groups": 2}


def says(message: str) -> str:
    return f"^{re.escape(message)}"


@pytest.fixture(scope="module")
def whole():
    """The search that nothing interrupts."""
    return run_search(tiny.evolution(), tiny.Worth(), **ROUNDS)


class Stop(Exception):
    """What an impatient learner does."""


def stop_after(count):
    seen = []

    def progress(judged):
        seen.append(judged)
        if len(seen) == count:
            raise Stop

    return progress


# --- the outcome ---------------------------------------------------------------------------------------------------


def test_trials_are_those_asked_for_with_their_rewards_and_costs(whole):
    policies = []
    method = tiny.evolution()
    while len(policies) < 36:
        asked = method.ask(6)
        method.tell(asked, [tiny.worth(policy) for policy in asked])
        policies += asked
    assert whole.trials == tuple(Judged(policy, tiny.worth(policy)) for policy in policies)
    assert whole.spent == Spent(3600, 360)


def test_best_history_and_joined_by_hand():
    policies = RandomSearch(tiny.SPACE, seed=0, sub_policies=2).ask(4)
    outcome = SearchOutcome(tuple(map(Judged, policies, (0.2, 0.5, 0.1, 0.5))), Spent())
    assert outcome.best == Judged(policies[1], 0.5)
    assert outcome.history == (0.2, 0.5, 0.5, 0.5)
    assert outcome.joined(3).sub_policies == sum((policies[i].sub_policies for i in (1, 3, 0)), ())
    with pytest.raises(ValueError, match=says("count must be a whole number from 1 to 4, got 5; AutoAugment joins 5")):
        outcome.joined(5)
    with pytest.raises(ValueError, match=says("an outcome needs at least one trial, got none; the method asked for")):
        SearchOutcome((), Spent())


def test_the_last_round_may_be_smaller_and_a_method_may_finish_before():
    assert len(run_search(tiny.evolution(), tiny.Worth(), trials=7, together=3).trials) == 7
    found = run_search(ForwardSelection(tiny.SPACE, seed=0, sub_policies=1, draws=1), tiny.Worth(), trials=100)
    assert len(found.trials) == 1 + 4 + 4 and found.best.reward == 0.4


def test_progress_sees_every_trial():
    seen = []
    found = run_search(tiny.evolution(), tiny.Worth(), trials=7, together=3, progress=seen.append)
    assert tuple(seen) == found.trials


def test_rewards_are_validation_accuracies_of_children_and_what_they_took_is_counted():
    train, validation = tiny.pictures(), tiny.pictures(40, seed=1)
    recipe = ChildRecipe(steps=6, batch_size=16)
    start = train_children(tiny.build, [None], train, validation, recipe, [9])[0]
    judge = ByChildren(tiny.build, train, validation, recipe, seeds=(0, 1), start=start)
    found = run_search(RandomSearch(tiny.SPACE, seed=0, sub_policies=1), judge, trials=4, together=2)
    first, second = found.trials[:2]
    children = train_children(
        tiny.build,
        [judge.wrap(policy) for policy in (first.policy, first.policy, second.policy, second.policy)],
        train,
        validation,
        recipe,
        [0, 1, 0, 1],
        start=start.weights,
    )
    accuracies = [child.validation_accuracy for child in children]
    assert [first.reward, second.reward] == [sum(accuracies[:2]) / 2, sum(accuracies[2:]) / 2]
    # By hand: four policies with two children each, and the start: 9 trainings of 6 steps of 16.
    assert found.spent == Spent(9 * 6 * 16, 9 * 40)
    assert judge.spent == Spent()  # counted on a copy, as in another process


def test_children_of_several_seeds_are_not_raced():
    train = tiny.pictures()
    with pytest.raises(ValueError, match=says("children need one seed, or several and a recipe that lets all finish")):
        ByChildren(tiny.build, train, train, ChildRecipe(steps=6, halve_at=(3,)), seeds=(0, 1))
    with pytest.raises(ValueError, match=says("children need one seed, or several")):
        ByChildren(tiny.build, train, train, ChildRecipe(steps=6), seeds=())


@pytest.mark.parametrize(
    "rewards, message",
    [
        ([0.1], "evaluate must give one reward per policy, got 1 for 3 policies"),
        ([0.1, float("inf"), 0.1], "a reward must be a finite number, got inf; find out why the child failed"),
    ],
)
def test_rewards_that_cannot_be(rewards, message):
    with pytest.raises(ValueError, match=says(message)):
        run_search(tiny.evolution(), lambda policies: rewards, trials=3, together=3)


# --- wherever it runs ----------------------------------------------------------------------------------------------


def test_processes_give_the_same_and_both_take_part(whole, tmp_path):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert run_search(tiny.evolution(), tiny.Worth(str(tmp_path)), **ROUNDS) == whole
    assert len(list(tmp_path.iterdir())) == 2


def test_threads_give_the_same_children_and_leave_the_global_random_state():
    """Each thread builds nets, for which torch's global state is seeded: without a lock, under each other's hands."""

    class Together:  # two threads meet at the beginning of a build, or the second waits for the first
        def __init__(self):
            self.barrier = threading.Barrier(2)

        def __call__(self, seed):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                with contextlib.suppress(threading.BrokenBarrierError):
                    self.barrier.wait(timeout=0.2)
                return tiny.build(int(torch.randint(1000, (1,))))

    def search(**backend):
        children = ByChildren(Together(), tiny.pictures(), tiny.pictures(40, seed=1), ChildRecipe(steps=1))
        with joblib.parallel_config(**backend):
            return run_search(RandomSearch(tiny.SPACE, seed=0), children, trials=4, together=2, groups=2)

    before = torch.get_rng_state()
    assert search(backend="threading", n_jobs=2) == search(backend="sequential")
    assert torch.equal(before, torch.get_rng_state())


def test_threads_count_what_they_took(whole):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert run_search(tiny.evolution(), tiny.Worth(slow_s=0.002), **ROUNDS) == whole


def test_a_local_cluster_gives_the_same_and_both_workers_take_part(whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    meet, log = tmp_path / "meet", tmp_path / "log.jsonl"
    meet.mkdir()
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        assert run_search(tiny.evolution(), tiny.Worth(str(meet)), log=log, **ROUNDS) == whole
        workers = client.run(os.getpid)
        assert {str(number) for number in workers.values()} == {path.name for path in meet.iterdir()}
    assert len(log.read_bytes().splitlines()) == 1 + 12  # written here, so workers need not share a disk


# --- stopped and resumed -------------------------------------------------------------------------------------------


def test_a_log_changes_nothing_and_a_finished_search_is_read_and_not_run(whole, tmp_path):
    log = tmp_path / "log.jsonl"
    assert run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS) == whole
    content = log.read_bytes()

    def unused(policies):
        raise AssertionError("nothing is left to judge")

    unused.__qualname__ = "Worth"
    assert run_search(tiny.evolution(), unused, log=log, **ROUNDS) == whole
    assert log.read_bytes() == content


def test_the_log_is_plain(whole, tmp_path):
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS)
    settings, *groups = map(json.loads, log.read_text().splitlines())
    assert settings["settings"]["together"] == 3 and settings["settings"]["method.population"] == 6
    assert [group["group"] for group in groups] == list(range(12))
    step = whole.trials[3].policy.sub_policies[0].steps[0]
    assert groups[1]["policies"][0][0][0] == [step.operation.name, step.probability, step.magnitude]
    assert groups[1]["rewards"] == [trial.reward for trial in whole.trials[3:6]]
    assert (groups[1]["trained_pictures"], groups[1]["judged_pictures"]) == (300, 30)


@pytest.mark.parametrize("calls", [1, 3, 4, 11, 36])
def test_stopped_anywhere_it_ends_as_if_it_had_not_been(calls, whole, tmp_path):
    log = tmp_path / "log.jsonl"
    with pytest.raises(Stop):
        run_search(tiny.evolution(), tiny.Worth(), log=log, progress=stop_after(calls), **ROUNDS)
    done = len(log.read_bytes().splitlines()) - 1
    assert done == -(-calls // 3)  # the group whose trial is shown has been written
    counted = []

    def counting(policies):
        counted.append(len(policies))
        return tiny.Worth()(policies)

    counting.__qualname__ = "Worth"
    again = run_search(tiny.evolution(), counting, log=log, **ROUNDS)
    assert again.trials == whole.trials and len(counted) == 12 - done  # nothing is judged twice


# As any search would be; SIGKILL leaves no time to clean up.
PROGRAM = """
import sys, time
import tiny_children as tiny
from mini_lib.augment.search import run_search

seen = 0

def wait_to_be_killed(judged):
    global seen
    seen += 1
    if seen == 10:                  # three groups of three are in the log, and the fourth
        print("ready", flush=True)
        time.sleep(600)

run_search(tiny.evolution(), tiny.Worth(), trials=36, together=3, groups=2, log=sys.argv[1], progress=wait_to_be_killed)
"""


def test_killed_it_goes_on_and_ends_as_if_it_had_not_been(whole, tmp_path):
    log = tmp_path / "log.jsonl"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(tiny.__file__).parent)))}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(log)], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.kill()
        assert process.wait(timeout=120) != 0
    finally:
        process.kill()
        process.stdout.close()
    content = log.read_bytes()
    assert len(content.splitlines()) == 1 + 4
    for cut in (0, 20):  # killed between two lines, and while it wrote one, whose last bytes never came to the disk
        log.write_bytes(content[: len(content) - cut])
        seen = []
        assert run_search(tiny.evolution(), tiny.Worth(), log=log, progress=seen.append, **ROUNDS) == whole
        assert len(seen) == 36
        assert [json.loads(line).get("group") for line in log.read_bytes().splitlines()] == [None, *range(12)]


@pytest.mark.parametrize("left", [0, 1, 5, -1, -30])
def test_a_line_that_was_cut_is_mended(left, whole, tmp_path):
    """From an empty file, over a part of the settings, to the last line without its end."""
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS)
    log.write_bytes(log.read_bytes()[:left])
    assert run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS) == whole
    assert len(log.read_bytes().splitlines()) == 1 + 12


# --- what does not belong together, and what is damaged --------------------------------------------------------------


@pytest.mark.parametrize(
    "given, name, before, now",
    [
        ({"together": 4}, "together", 3, 4),
        ({"groups": 1}, "groups", 2, 1),
        ({"method": tiny.evolution(seed=1)}, "method.seed", 0, 1),
        ({"method": RandomSearch(tiny.SPACE, seed=0, sub_policies=2)}, "method", "'Evolution'", "'RandomSearch'"),
        ({"evaluate": print}, "evaluate", "'Worth'", "'print'"),
    ],
)
def test_other_settings_are_refused_by_name(given, name, before, now, tmp_path):
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), log=log, **(ROUNDS | {"trials": 6}))
    given = {"method": tiny.evolution(), "evaluate": tiny.Worth(), **ROUNDS, **given}
    with pytest.raises(
        ValueError,
        match=says(
            f"{log} is the log of a search with {name} = {before}, and this one has {now}; give a new file, or the old"
        ),
    ):
        run_search(log=log, **given)


def test_operations_that_move_pixels_in_another_way_are_another_search(tmp_path):
    log = tmp_path / "log.jsonl"
    smooth = SearchSpace(operations=(warped_with(rotate, interpolation="bilinear"),))
    run_search(RandomSearch(SearchSpace(operations=(rotate,)), seed=0), tiny.Worth(), log=log, trials=1)
    with pytest.raises(ValueError, match="is the log of a search with method.operations = .*nearest.* has .*bilinear"):
        run_search(RandomSearch(smooth, seed=0), tiny.Worth(), log=log, trials=1)


@pytest.mark.parametrize("other", ["recipe", "train", "validation", "net", "seeds"])
def test_other_children_are_refused_by_name(other, tmp_path):
    train, validation = tiny.pictures(), tiny.pictures(40, seed=1)
    settings = {"build": tiny.build, "train": train, "validation": validation, "recipe": ChildRecipe(steps=1)}
    log, method = tmp_path / "log.jsonl", RandomSearch(tiny.SPACE, seed=0)
    run_search(method, ByChildren(**settings), trials=1, log=log)
    changed = {
        "recipe": {"recipe": ChildRecipe(steps=2)},
        "train": {"train": tiny.pictures(seed=5)},
        "validation": {"validation": tiny.pictures(40, seed=5)},
        "net": {"build": lambda seed: tiny.build(seed + 1)},
        "seeds": {"seeds": (0, 1)},
    }[other]
    name = "recipe.steps" if other == "recipe" else other
    with pytest.raises(ValueError, match=rf"is the log of a search with evaluate\.{name} = .*, and this one has "):
        run_search(RandomSearch(tiny.SPACE, seed=0), ByChildren(**settings | changed), trials=1, log=log)


def test_a_log_that_ended_with_fewer_trials_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), trials=4, together=3, log=log)
    with pytest.raises(ValueError, match=says(f"group 1 of {log} holds other policies than this search asks for: its")):
        run_search(tiny.evolution(), tiny.Worth(), trials=6, together=3, log=log)


def logged(**changed):
    """A line of the log with something else in it."""
    policy = [[["rotate", 0.5, 3]]]
    group = {"group": 1, "policies": [policy] * 3, "rewards": [0.5] * 3, "trained_pictures": 0, "judged_pictures": 0}
    return json.dumps(group | changed).encode()


@pytest.mark.parametrize(
    "line",
    [
        *(b"{]", b"3", b'{"group": 1}', b"\xff"),
        *(logged(rewards=rewards) for rewards in ([0.5], ["0.5"] * 3, [float("nan")] * 3, 0.5, None)),
        *(logged(group=group) for group in ("1", -1, True)),
        logged(trained_pictures=-1),
    ],
)
def test_a_damaged_line_is_named(line, tmp_path):
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS)
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]) + b"\n")
    with pytest.raises(ValueError, match=rf"^line 3 of {re.escape(str(log))} is damaged \(.+\); remove it and those"):
        run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS)


def test_a_flipped_bit_of_a_log_is_noticed_wherever_it_is(tmp_path):
    """But for that of the last new line: a line without one was cut short, and its group is judged again."""
    log = tmp_path / "log.jsonl"
    whole = run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS | {"trials": 6})
    content = log.read_bytes()
    for place in range(0, 8 * (len(content) - 1), 11):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        log.write_bytes(flipped)
        with pytest.raises(ValueError, match="damaged"):
            run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS | {"trials": 6})
    log.write_bytes(content[:-1] + b"\x0b")
    assert run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS | {"trials": 6}) == whole


def test_a_log_from_before_there_were_hashes_is_read(whole, tmp_path):
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS)
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    for line in lines:
        del line["sha256"]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS) == whole


@pytest.mark.parametrize(
    "content", [b'{"other": 1}\n', b'{"other": 1}', b"[1]\n", b"My thesis", b"My\nthesis", b"\n\xff"]
)
def test_a_file_that_is_no_log_stays_as_it_was(content, tmp_path):
    log = tmp_path / "thesis.txt"
    log.write_bytes(content)
    with pytest.raises(
        ValueError, match=says(f"{log} is not the log of a search, or its first line is damaged; give a new file")
    ):
        run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS)
    assert log.read_bytes() == content


def test_a_log_of_another_search_stays_as_it_was_with_its_last_line_cut(tmp_path):
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS)
    content = log.read_bytes()[:-20]
    log.write_bytes(content)
    with pytest.raises(ValueError, match="with method.seed = 0, and this one has 1"):
        run_search(tiny.evolution(seed=1), tiny.Worth(), log=log, **ROUNDS)
    assert log.read_bytes() == content


def test_a_log_needs_a_folder(tmp_path):
    with pytest.raises(ValueError, match=says(f"there is no folder {tmp_path / 'none'}; make it first, or choose")):
        run_search(tiny.evolution(), tiny.Worth(), log=tmp_path / "none" / "log.jsonl", **ROUNDS)
    with pytest.raises(ValueError, match=says(f"{tmp_path} is a folder; give the name of a file in it")):
        run_search(tiny.evolution(), tiny.Worth(), log=tmp_path, **ROUNDS)


def test_two_searches_that_begin_at_once_write_a_log_that_can_be_read(whole, tmp_path, monkeypatch):
    log = tmp_path / "log.jsonl"
    run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS | {"trials": 6})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_file", lambda path: False)  # neither finds the file of the other
        run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS | {"trials": 12})
    log.write_bytes(log.read_bytes() + log.read_bytes().split(b"\n", 1)[1])  # both write their groups: the same ones
    assert run_search(tiny.evolution(), tiny.Worth(), log=log, **ROUNDS) == whole


@pytest.mark.parametrize("name", ["trials", "together", "groups"])
def test_counts_that_cannot_be(name):
    with pytest.raises(ValueError, match=f"^{name} must be a whole number of 1 or more, got 0; "):
        run_search(tiny.evolution(), tiny.Worth(), **ROUNDS | {name: 0})
