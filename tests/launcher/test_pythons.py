"""The Pythons that the course runs on: those of pyproject.toml, and a sentence for any other."""

import tomllib
from pathlib import Path

import pytest

from launcher import Stop
from launcher.pythons import fits, need_python

ROOT = Path(__file__).resolve().parents[2]
REQUIRES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_those_that_pytorch_is_built_for_fit(version):
    need_python(version, REQUIRES)
    assert fits(version, REQUIRES)


@pytest.mark.parametrize("version", ["3.15", "3.100", "4.12", "3.10", "2.7"])
def test_any_other_is_told_which_one_to_install(version):
    with pytest.raises(Stop) as stop:
        need_python(version, ">=3.11,<3.15")
    assert str(stop.value) == (
        f"the course runs on Python 3.11 to 3.14, but this is Python {version}, which its packages are not built for: "
        "install Python 3.14 as well, then run `python3.14 course.py lab` (on Windows `py -3.14 course.py lab`)"
    )


def test_help_names_the_same_ones():
    oldest, above = REQUIRES.removeprefix(">=3.").split(",<3.")
    assert f"It needs Python 3.{oldest} to 3.{int(above) - 1} and nothing else." in (ROOT / "course.py").read_text()
