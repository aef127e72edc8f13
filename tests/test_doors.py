"""Nothing that is handed to a public function ends in an error of torch, in NaN, or in a changed argument.

`door_fuzz.py` calls each public function with hostile arguments, one at a time, in its own process; `door_calls.py`
knows the right calls. Here a sample runs; `python tests/door_fuzz.py --all` takes every value.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from door_calls import NOT_CALLED, TOPICS, doors_of
from door_values import hostile, is_path

TESTS = Path(__file__).resolve().parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the calls run in a forked process")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict]:
    """What the fuzz found, by topic."""
    out = tmp_path_factory.mktemp("fuzz") / "found.json"
    command = [sys.executable, "-W", "ignore", str(TESTS / "door_fuzz.py"), "--json", str(out)]
    ran = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=out.parent
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    print(ran.stdout)
    return json.loads(out.read_text(encoding="utf-8"))


def listed(found: dict[str, dict], kind: str) -> str:
    return "\n".join(f"{what}: {why}" for topic in found.values() for what, why in topic["found"].get(kind, []))


def test_every_public_function_is_called(found):
    never = {name for topic in found.values() for name in topic["never"]}
    assert never <= NOT_CALLED.keys(), f"no right call is known; write a doctest, or a line in door_extra.py: {never}"


@pytest.mark.parametrize("kind", ["unfit", "crash", "hang", "foreign", "nan", "changed"])
def test_nothing_goes_wrong_at_the_doors(found, kind):
    assert not listed(found, kind), listed(found, kind)[:6000]


def test_what_names_a_place_on_disk_gets_nothing_that_could_be_one():
    for topic in TOPICS:
        for door in doors_of(topic):
            for name, parameter in door.signature.parameters.items():
                if is_path(name, parameter.annotation):
                    values = [make() for make in hostile(name, parameter.annotation, "x").values()]
                    # a whole number would be an open file, such as standard output
                    assert not any(isinstance(value, (str, bytes, int, os.PathLike)) for value in values), (
                        door.name,
                        name,
                    )


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("open", ("{outside}/file", "w", os.O_WRONLY | os.O_CREAT)),
        ("os.remove", ("{outside}/file", -1)),
        ("os.rename", ("{inside}/file", "{outside}/file", -1, -1)),
        ("os.rename", ("{outside}/file", "{inside}/file", -1, -1)),
        ("os.mkdir", ("{outside}/folder", 511, -1)),
        ("os.chmod", ("{outside}", 0, -1)),
        ("shutil.rmtree", ("{outside}", None)),
    ],
)
def test_the_guard_keeps_the_calls_in_their_folder(event, arguments, tmp_path):
    from door_fuzz import Guard

    guard = Guard(str(tmp_path / "inside"))
    (tmp_path / "inside").mkdir()

    def filled(outside: str) -> tuple:
        names = {"inside": tmp_path / "inside", "outside": outside}
        return tuple(each.format(**names) if isinstance(each, str) else each for each in arguments)

    guard(event, filled(str(tmp_path / "inside")))
    with pytest.raises(PermissionError):
        guard(event, filled(tempfile.gettempdir()))
