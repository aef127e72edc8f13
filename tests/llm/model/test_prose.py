"""The shipped text: it is the file that is listed, and its two parts have nothing in common."""

import hashlib

import pytest

from mini_lib import _assets
from mini_lib.llm.model import prose


def test_the_file_is_the_one_that_the_readme_lists():
    content = prose.PROSE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == prose.SHA256
    row = f"| `llm/prose.txt.xz` | {len(content):,} | "
    readme = (_assets.ASSETS / "README.md").read_text(encoding="utf-8")
    assert any(line.startswith(row) and prose.SHA256 in line for line in readme.splitlines())


def test_the_parts_are_as_long_as_they_say_and_share_no_line():
    calibration, evaluation = prose.calibration_text(), prose.evaluation_text()
    assert (len(calibration), len(evaluation)) == (41_953, 61_484)
    stripped = [{line.strip() for line in text.splitlines()} for text in (calibration, evaluation)]
    one, other = ({line for line in lines if len(line) > 27} for lines in stripped)
    assert len(one) > 500 and len(other) > 500
    assert not one & other


def test_a_damaged_file_is_told(monkeypatch, tmp_path):
    cut = tmp_path / "prose.txt.xz"
    cut.write_bytes(prose.PROSE.read_bytes()[:-1])
    monkeypatch.setattr(prose, "PROSE", cut)
    with pytest.raises(ValueError, match="is damaged: .* run `git restore"):
        prose.evaluation_text()
