"""A study in parts: settings that differ are named, a single changed bit is noticed, and old folders are still read."""

import json
import re
from pathlib import Path

import pytest

from mini_lib.files import UNSEALED, seal_holds
from studies.parts import open_parts, read_part, write_part

ROWS = [{"seed": 0, "loss": 0.1}, {"seed": 1, "loss": 2.5e-07}]


def rows(found: object) -> tuple[float, ...]:
    return tuple(row["loss"] for row in found)


def each_with_a_flipped_bit(path: Path):
    content = path.read_bytes()
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        yield
    path.write_bytes(content)


def test_a_part_comes_back_and_its_file_is_plain_json_with_a_seal(tmp_path):
    path = tmp_path / "part.json"
    write_part(path, ROWS)
    assert read_part(path, list) == ROWS
    values = json.loads(path.read_text())
    assert list(values) == ["sha256", "content"] and values["content"] == ROWS
    assert seal_holds(path.read_bytes(), values["sha256"]) and values["sha256"] != UNSEALED


def test_every_flipped_bit_of_a_part_and_of_its_settings_is_noticed(tmp_path):
    path = tmp_path / "part.json"
    write_part(path, ROWS)
    for _ in each_with_a_flipped_bit(path):
        with pytest.raises(ValueError, match="cannot read .*part.json .*; remove it, and it will be made again"):
            read_part(path, rows)
    open_parts(tmp_path, {"seed": 0, "rate": 0.5})
    for _ in each_with_a_flipped_bit(tmp_path / "settings.json"):
        with pytest.raises(ValueError, match="give a new folder"):
            open_parts(tmp_path, {"seed": 0, "rate": 0.5})
    open_parts(tmp_path, {"seed": 0, "rate": 0.5})
    assert read_part(path, list) == ROWS


def test_a_folder_from_before_there_were_hashes_is_read(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 0}))
    (tmp_path / "part.json").write_text(json.dumps(ROWS))
    open_parts(tmp_path, {"seed": 0})
    assert read_part(tmp_path / "part.json", list) == ROWS


@pytest.mark.parametrize(
    "found, wanted, says",
    [
        ({"a": 1}, {"a": 2}, "a = 1, and this one has 2; give a new folder, or the old settings"),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, "a = 1, and this one has 2 (one of 2 settings that differ); give a new"),
        ({"plan": {"epochs": 1, "rate": 0.1}}, {"plan": {"epochs": 2, "rate": 0.1}}, "plan.epochs = 1, and this one"),
        ({"a": 1}, {}, "a = 1, and this one has None"),
        ({}, {"a": 1}, "a = None, and this one has 1"),
    ],
)
def test_the_setting_that_differs_is_named(found, wanted, says, tmp_path):
    open_parts(tmp_path, found)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} holds a study with {says}")):
        open_parts(tmp_path, wanted)


@pytest.mark.parametrize(
    "content",
    ["", "{", "3", "null", "[1]", '"a"', "[" * 100_000, '{"a":' * 100_000, "\ufeff{", '{"sha256": 1, "content": {}}',
     '{"content": []}', f'{{"sha256": "{UNSEALED}", "content": []}}'],
)  # fmt: skip
def test_what_is_no_file_of_a_study_is_refused(content, tmp_path):
    for name in ("part.json", "settings.json"):
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="cannot read .*part.json"):
        read_part(tmp_path / "part.json", rows)
    with pytest.raises(ValueError, match="cannot read .*settings.json .*; give a new folder"):
        open_parts(tmp_path, {"seed": 0})
