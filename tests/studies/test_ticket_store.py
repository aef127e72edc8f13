"""A study that stops goes on where it was: killed by the system, killed while it writes, and with its files damaged."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import safetensors.torch
import tiny_tickets as tiny
import torch

from mini_lib.prune.tickets import Recipe
from studies.tickets import State, Study, advance, run_study, store

ROOT = Path(__file__).resolve().parents[2]


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def small(**given) -> Study:
    return Study(
        **{
            "recipe": Recipe(steps=12, batch_size=16, learning_rate=0.02, evaluate_at=(5,)),
            "seeds": (0, 1),
            "arms": ("ticket", "reinit", "shuffled", "random", "late", "lr_rewind"),
            "rounds": 2,
            "rate": 0.5,
            "rewind_to": 4,
            "build": tiny.build,
            "load_data": tiny.pictures,
            **given,
        }
    )


@cache
def uninterrupted():
    return run_study(small(), seeds_together=1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A study's folder as it was after each of the six calls of `progress`, by their number, and what it found."""
    top, count = tmp_path_factory.mktemp("kept"), iter(range(1, 7))
    folder = top / "new" / "folder"
    found = run_study(
        small(), folder, seeds_together=1, progress=lambda _: shutil.copytree(folder, top / str(next(count)))
    )
    assert next(count, None) is None  # two seeds, three rounds
    return top, found


@pytest.fixture
def after(kept, tmp_path):
    """Gives a folder of its own, as a study leaves it that ends after so many calls; it need not run for that again."""
    return lambda calls: shutil.copytree(kept[0] / str(calls), tmp_path / "study")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Stop(Exception):
    """What an impatient learner does."""


def stop_after(count):
    """A progress callback that stops the study when it is called for the last of `count` times."""
    seen = []

    def progress(state):
        seen.append(state)
        if len(seen) == count:
            raise Stop

    return progress


def assert_same_state(one: State, other: State) -> None:
    assert (one.seed, one.round, one.runs) == (other.seed, other.round, other.runs)
    for ours, theirs in ((one.masks, other.masks), (one.weights, other.weights)):
        assert list(ours) == list(theirs)
        for use, tensors in ours.items():
            assert list(tensors) == list(theirs[use])  # the order, too: places are drawn layer by layer
            assert all(torch.equal(tensors[name], theirs[use][name]) for name in tensors)


# --- a state on disk -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arms", [("ticket",), ("late",), ("ticket", "late", "lr_rewind")])
def test_a_state_comes_back_as_it_was(arms, tmp_path):
    states = [State(3)]
    for _ in range(3):
        states = advance(small(seeds=(3,), arms=arms), states)
        store.save(states[0], tmp_path)
        assert_same_state(store.load(tmp_path, 3), states[0])


def test_a_seed_without_a_file_is_at_its_beginning(tmp_path):
    assert_same_state(store.load(tmp_path, 7), State(7))


def test_nothing_but_finished_files_is_left(kept):
    names = sorted(contents(kept[0] / "new" / "folder"))
    assert names == ["seed-000000.safetensors", "seed-000001.safetensors", "study.json"]


# --- stopped and resumed -------------------------------------------------------------------------------------------


def test_a_folder_changes_nothing(kept):
    assert kept[1] == uninterrupted()


def test_a_stop_leaves_the_folder_as_it_is_at_that_moment(kept, tmp_path):
    """So a copy of that moment stands for a stop, below: also for one that a process does not survive."""
    with pytest.raises(Stop):
        run_study(small(), tmp_path, seeds_together=1, progress=stop_after(3))
    assert contents(tmp_path).keys() == contents(kept[0] / "3").keys()
    for seed, number in ((0, 2), (1, 1)):
        assert_same_state(store.load(tmp_path, seed), store.load(kept[0] / "3", seed))
        assert store.load(tmp_path, seed).round == number


@pytest.mark.parametrize("calls", range(1, 6))
def test_stopped_anywhere_it_ends_as_if_it_had_not_been(calls, after):
    seen = []
    resumed = run_study(small(), after(calls), seeds_together=1, progress=seen.append)
    assert len(seen) == 6 - calls  # nothing is trained twice
    assert resumed == uninterrupted()


def test_seeds_that_are_behind_catch_up_and_then_all_go_on_together(tmp_path, monkeypatch):
    study = small(seeds=(0, 1, 2), arms=("ticket",))
    with pytest.raises(Stop):
        # Seed 0 has finished round 1 then, and the others have not.
        run_study(study, tmp_path, progress=stop_after(4))
    groups = []

    def recording(study, states):
        groups.append([(state.seed, state.round) for state in states])
        return advance(study, states)

    monkeypatch.setattr("studies.tickets.run.advance", recording)
    run_study(study, tmp_path)
    assert groups == [[(1, 1), (2, 1)], [(0, 2), (1, 2), (2, 2)]]


def test_a_finished_study_is_read_and_not_run(after, monkeypatch):
    monkeypatch.setattr("studies.tickets.run.advance", None)
    assert run_study(small(), after(6)) == uninterrupted()


def test_more_rounds_and_more_seeds_go_on(tmp_path):
    run_study(small(rounds=1, arms=("ticket",)), tmp_path, seeds_together=1)
    seen, larger = [], small(rounds=3, seeds=(1, 4, 0), arms=("ticket",))
    more = run_study(larger, tmp_path, seeds_together=1, progress=seen.append)
    assert len(seen) == 2 * 2 + 4
    assert more == run_study(larger, seeds_together=1)


def test_fewer_rounds_and_seeds_are_a_part_of_what_is_there(after):
    seen = []
    fewer = run_study(small(rounds=1, seeds=(1,)), after(6), progress=seen.append)
    assert seen == [] and fewer == run_study(small(rounds=1, seeds=(1,)), seeds_together=1)


def test_a_round_can_be_saved_though_none_can_follow(tmp_path):
    """The mask of the next round is made at once. Where so few weights are left that it cannot be any smaller, that
    must not spoil the round that was asked for."""
    study = small(arms=("ticket",), scope="layer", rate=0.9, rounds=3, seeds=(0,))  # 32 * .55**3 = 5, 96 * .1**3 = 0
    assert run_study(study, tmp_path).rounds == (1, 2, 3)


# --- killed --------------------------------------------------------------------------------------------------------

# As any process of a study would be. It dies between two instructions, and has no time to clean up.
PROGRAM = """
import os, sys, torch
from test_ticket_store import small
from studies.tickets import run_study

torch.set_num_threads(1)
calls = 0

def die_before_the_file_has_its_name(source, target, replace=os.replace):
    global calls
    calls += 1
    if calls == 4:                              # the settings, round 0 of both seeds; then round 1 of seed 0
        os._exit(7)
    replace(source, target)

os.replace = die_before_the_file_has_its_name
run_study(small(), sys.argv[1], seeds_together=1)
"""


def test_killed_while_it_writes_it_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    """Killed between two rounds, it leaves what `after` gives."""
    found_in = (ROOT, Path(tiny.__file__).parent, Path(__file__).parent)  # mini_lib, tiny_tickets, and `small` above
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, found_in))}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    assert subprocess.run(command, env=environment, cwd=ROOT, timeout=120).returncode == 7
    assert len([path.name for path in tmp_path.iterdir() if path.suffix == ".part"]) == 1

    seen = []
    resumed = run_study(small(), tmp_path, seeds_together=1, progress=seen.append)
    assert len(seen) == 6 - 2  # round 0 of both seeds was written
    assert resumed == uninterrupted()


def test_half_written_files_do_no_harm(after):
    folder = after(5)
    for name, content in contents(folder).items():
        (folder / f"{name}.4242.part").write_bytes(content[:50])
    assert len(contents(folder)) == 6
    assert run_study(small(), folder, seeds_together=1) == uninterrupted()


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    study = small(seeds=(0,))
    states = advance(study, [State(0)])
    store.save(states[0], tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left on device")))
    with pytest.raises(OSError, match="no space left"):
        store.save(advance(study, states)[0], tmp_path)
    assert_same_state(store.load(tmp_path, 0), states[0])


def test_a_state_on_another_disk_stays_there(tmp_path):
    """A link, say to a larger disk, is written through, and a folder in the place of the file is left alone."""
    study = small(seeds=(0,))
    (tmp_path / "far").mkdir()
    (tmp_path / "seed-000000.safetensors").symlink_to(tmp_path / "far" / "state")
    [state] = advance(study, [State(0)])
    store.save(state, tmp_path)
    assert (tmp_path / "seed-000000.safetensors").is_symlink()
    assert_same_state(store.load(tmp_path, 0), state)
    (tmp_path / "seed-000001.safetensors").mkdir()
    with pytest.raises(ValueError, match="seed-000001.safetensors is a folder; give the name of a file in it"):
        store.save(State(1), tmp_path)


# --- what does not belong together, and what is damaged ------------------------------------------------------------

OTHERS = {
    "recipe.steps": ({"recipe": Recipe(steps=13, batch_size=16, learning_rate=0.02, evaluate_at=(5,))}, "12", "13"),
    "recipe.evaluate_at": ({"recipe": Recipe(steps=12, batch_size=16, learning_rate=0.02)}, "[5, 12]", "[12]"),
    "rate": ({"rate": 0.2}, "0.5", "0.2"),
    "scope": ({"scope": "layer"}, "'global'", "'layer'"),
    "rewind_to": ({"rewind_to": 5}, "4", "5"),
    "arms": ({"arms": ("ticket", "late")}, "['ticket', 'reinit', 'shuffled', 'random', 'late', 'lr_rewind']",
             "['ticket', 'late']"),
    "build": ({"build": tiny.build_conv}, "'tiny_tickets.build'", "'tiny_tickets.build_conv'"),
}  # fmt: skip


@pytest.mark.parametrize("setting", OTHERS)
def test_other_settings_are_refused_by_name(setting, tmp_path):
    given, before, now = OTHERS[setting]
    store.open_folder(tmp_path, small())
    # With the number of steps, the last step that is evaluated differs too.
    more = " (one of 2 settings that differ)" if setting == "recipe.steps" else ""
    with pytest.raises(
        ValueError,
        match=says(
            f"{tmp_path} holds a study with {setting} = {before}, and this one has {now}{more}; "
            "give a new folder, or the old settings"
        ),
    ):
        run_study(small(**given), tmp_path)


def test_settings_of_another_version_are_refused_too(tmp_path):
    store.open_folder(tmp_path, small())
    path = tmp_path / "study.json"
    path.write_text(json.dumps({**store.settings_of(small()), "colour": "blue"}))
    with pytest.raises(ValueError, match="holds a study with colour = 'blue', and this one has None"):
        run_study(small(), tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"recipe', b"\xff\xfe"])
def test_settings_that_cannot_be_read(content, tmp_path):
    (tmp_path / "study.json").write_bytes(content)
    message = rf"^cannot read {re.escape(str(tmp_path / 'study.json'))} \(.+\); give a new folder$"
    with pytest.raises(ValueError, match=message):
        run_study(small(), tmp_path)


@pytest.mark.parametrize("build", [lambda seed: tiny.build(seed), partial(tiny.build)])
def test_a_function_without_a_name_cannot_be_known_again(build, tmp_path):
    with pytest.raises(ValueError, match="^build must be a function from the top of a module, got .+; only by"):
        run_study(small(build=build), tmp_path / "study")


def damaged(content: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "no header": content.replace(b"__metadata__", b"__metadatb__", 1),
        "no runs": content.replace(b'"runs"', b'"runz"', 1),
        "other fields": content.replace(b"test_accuracy", b"test_accuracz", 1),
        "not ours": b"hello, this is a text file" * 10,
    }


@pytest.mark.parametrize("how", damaged(b""))
def test_a_damaged_file_is_said_and_all_files_are_kept(how, after):
    folder = after(6)
    path = folder / "seed-000001.safetensors"
    content = path.read_bytes()
    path.write_bytes(damaged(content)[how])
    assert path.read_bytes() != content
    before = contents(folder)
    message = rf"^{re.escape(str(path))} is damaged \((.|\n)+\); remove it, and this seed begins again$"
    with pytest.raises(ValueError, match=message):
        run_study(small(), folder)
    assert contents(folder) == before


def test_without_a_damaged_file_its_seed_alone_begins_again(after):
    folder, seen = after(6), []
    (folder / "seed-000001.safetensors").unlink()
    assert run_study(small(), folder, seeds_together=1, progress=seen.append) == uninterrupted()
    assert [state.seed for state in seen] == [1, 1, 1]


def saved(folder: Path) -> bytes:
    """The file of a seed after a round; about 20,000 bits."""
    [state] = advance(small(seeds=(0,), arms=("ticket",)), [State(0)])
    store.save(state, folder)
    return (folder / "seed-000000.safetensors").read_bytes()


def test_a_flipped_bit_in_a_file_is_noticed_wherever_it_is(tmp_path):
    content, path = saved(tmp_path), tmp_path / "seed-000000.safetensors"
    for place in {*range(0, 8 * len(content), 389), *range(0, 8 * 40, 3)}:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="is damaged"):
            store.load(tmp_path, 0)


def test_a_file_from_before_there_were_hashes_is_read(tmp_path):
    content, path = saved(tmp_path), tmp_path / "seed-000000.safetensors"
    state, tensors = store.load(tmp_path, 0), safetensors.torch.load(content)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    del metadata["sha256"]
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    assert_same_state(store.load(tmp_path, 0), state)


def test_a_file_of_another_seed_is_refused(after):
    folder = after(4)
    os.replace(folder / "seed-000000.safetensors", folder / "seed-000002.safetensors")
    with pytest.raises(ValueError, match=r"seed-000002.safetensors is damaged \(it holds seed 0\)"):
        run_study(small(rounds=1, seeds=(2,)), folder)


def test_settings_are_plain_values_without_what_may_grow():
    settings = store.settings_of(small())
    assert settings == json.loads(json.dumps(settings))
    assert settings == store.settings_of(replace(small(), seeds=(8,), rounds=9))
    assert settings["load_data"] == "tiny_tickets.pictures" and settings["recipe.learning_rate"] == 0.02
