"""What is remembered survives crashes, damage, and several kernels at once."""

import json
import os
import subprocess
import sys

import pytest

from teach import store


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_an_entry_comes_back(home):
    store.save("notes", "2.1", {"state": "passed"})
    assert store.load("notes", "2.1") == {"key": "2.1", "state": "passed"}
    assert store.load_all("notes") == [{"key": "2.1", "state": "passed"}]
    assert store.load("notes", "2.2") is None and store.load_all("nothing") == []


def test_without_a_setting_it_lies_beside_the_notebook(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_HOME")
    monkeypatch.chdir(tmp_path)
    assert store.home() == tmp_path / ".course"


def test_keys_that_no_file_can_carry_stay_apart():
    keys = ["a/b", "a_b", "a b", "../../up", "é", "x" * 300, "x" * 301, "CON", "02 int4, per channel"]
    for number, key in enumerate(keys):
        store.save("notes", key, {"n": number})
    assert [store.load("notes", key)["n"] for key in keys] == list(range(len(keys)))
    assert {entry["key"] for entry in store.load_all("notes")} == set(keys)


def test_a_crash_while_writing_leaves_the_old_entry_whole(home, monkeypatch):
    store.save("notes", "2.1", {"n": 1})

    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        store.save("notes", "2.1", {"n": 2})
    assert store.load("notes", "2.1")["n"] == 1
    assert [path.name for path in (home / "notes").iterdir()] == ["2.1.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_place_that_is_taken_is_an_error_like_a_read_only_folder(home):
    """Those who call go on without the entry after an OSError."""
    (home / "notes").mkdir(parents=True)
    os.mkfifo(home / "notes" / "2.1.json")
    with pytest.raises(OSError, match="2.1.json is a named pipe; give the name of a file"):
        store.save("notes", "2.1", {"n": 1})
    assert [path.is_fifo() for path in (home / "notes").iterdir()] == [True]


@pytest.mark.parametrize("damage", [b"", b'{"key": "2.1", "n"', b"[1]", b"\xff\xfe\x00", b'{"n": 1}', b'{"key": [1]}'])
def test_a_damaged_file_is_set_aside_and_never_lost(home, damage):
    store.save("notes", "2.2", {"n": 2})
    for _ in range(2):
        (home / "notes" / "2.1.json").write_bytes(damage)
        assert store.load("notes", "2.1") is None
        assert [entry["key"] for entry in store.load_all("notes")] == ["2.2"]
    assert [path.read_bytes() for path in store.set_aside("notes")] == [damage, damage]
    store.save("notes", "2.1", {"n": 3})
    assert store.load("notes", "2.1")["n"] == 3


WRITER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("store", sys.argv[2])  # alone: the package would load torch
store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store)
for n in range(50):
    store.save("notes", "shared", {"by": sys.argv[1], "n": n, "filling": "x" * 5000})
    store.save("notes", sys.argv[1], {"n": n})
    assert store.load("notes", "shared")["filling"] == "x" * 5000
"""


def test_kernels_that_write_at_once_lose_nothing(home):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name, store.__file__]) for name in ("one", "two")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert {entry["key"]: entry["n"] for entry in store.load_all("notes")} == {"shared": 49, "one": 49, "two": 49}
    assert store.set_aside("notes") == [] and len(list((home / "notes").iterdir())) == 3
    json.loads((home / "notes" / "shared.json").read_text())
