"""The usual seconds of a lesson's slow cells: a build records them, the text says them, and a bar shows them pass.

`solutions/seconds.json` has, for each lesson, the seconds of the whole notebook and of each cell that took more than
`SLOW_S`. Times vary from run to run and from machine to machine, so they are rounded, and a build leaves a recorded
time alone while the new one is close to it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import floor, log10
from pathlib import Path

from mini_lib.files import write_file

from .names import parsed
from .source import Cell, Source

#: A cell that takes longer has a progress bar, and the text before it says its seconds.
SLOW_S = 3.0
#: A new time changes the record where it is more than so many times as long, or as short.
CLOSE = 2.0
#: So many times the recorded seconds is the most that the text may say; the least is as many times fewer.
SAID_WITHIN = 2.0

SAID = re.compile(r"\babout (?:(\d+) (second|minute)s?|(half a|a) minute)\b")
BAR = re.compile(r"\btqdm\b|\bprogress=|\bexplore\(")  # explore shows a bar of its own


@dataclass(frozen=True)
class Seconds:
    """What builds measured: the seconds of a lesson's cells together, and of the slow ones by cell id."""

    total_s: float = 0.0
    cells: Mapping[str, float] = field(default_factory=dict)


def read(folder: Path) -> dict[str, Seconds]:
    """The records of all lessons, by their stems, from the folder of the sources; none where there is no file."""
    path = folder / "seconds.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {stem: Seconds(**one) for stem, one in found.items()}


def recorded(source: Source) -> Seconds:
    """The record of a lesson; an empty one where no build has made one."""
    return read(source.path.parent).get(source.stem, Seconds())


def record(source: Source, cell_s: Mapping[str, float], lesson_ids: set[str]) -> None:
    """Write down what a build measured, where it is not close to what is written there.

    `cell_s` are the seconds of the solution's cells by id; `lesson_ids` are the ids of the cells of the lesson.
    """
    records = read(source.path.parent)
    before = records.get(source.stem, Seconds())
    ran = {name: seconds for name, seconds in cell_s.items() if name in lesson_ids}
    rounded = {name: settled(seconds, before.cells.get(name)) for name, seconds in ran.items()}
    slow = {name: seconds for name, seconds in rounded.items() if seconds > SLOW_S}
    records[source.stem] = Seconds(settled(sum(ran.values()), before.total_s), slow)
    if records[source.stem] != before:
        text = json.dumps({stem: asdict(records[stem]) for stem in sorted(records)}, indent=1, sort_keys=True)
        write_file(source.path.parent / "seconds.json", (text + "\n").encode())


def settled(seconds: float, before: float | None) -> float:
    """The seconds to record: those recorded before if they are close, else the new ones with one digit.

    >>> settled(8.4, None), settled(8.4, 6), settled(14.2, 6), settled(0.26, None)
    (8, 6, 10, 0.3)
    """
    if before and before / CLOSE <= seconds <= before * CLOSE:
        return before
    if seconds <= 0:
        return 0.0
    rounded = round(seconds, -floor(log10(seconds)))
    return int(rounded) if rounded >= 1 else rounded


def slow_cells(source: Source, ids: list[str]) -> Iterator[tuple[Cell, float, str, bool]]:
    """The slow cells of the lesson: each with its recorded seconds, the Markdown before it, and whether it shows a bar.

    A bar is in the cell itself, or in a function of an earlier cell that it calls.
    """
    text, slow, with_bar = "", recorded(source).cells, set()
    for cell, name in zip(source.cells, ids, strict=True):
        if not cell.in_lesson:
            continue
        if cell.kind == "markdown":
            text = cell.text
            continue
        tree = parsed(cell.text) or ast.Module([], [])
        if name in slow and not cell.is_check:
            called = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
            yield cell, slow[name], text, bool(BAR.search(cell.text) or called & with_bar)
        functions = (one for one in tree.body if isinstance(one, ast.FunctionDef))
        with_bar |= {one.name for one in functions if BAR.search(ast.unparse(one))}


def unannounced(source: Source, ids: list[str]) -> Iterator[tuple[int, str]]:
    """The slow cells without a bar, and those whose seconds the text before them does not say."""
    for cell, seconds, text, has_bar in slow_cells(source, ids):
        if not has_bar:
            yield (
                cell.line,
                f"this cell takes about {seconds:g} seconds and shows no progress; loop over tqdm(...), or hand "
                "progress= a callback",
            )
        said = said_s(text)
        if not any(seconds / SAID_WITHIN <= one <= seconds * SAID_WITHIN for one in said):
            found = ", ".join(f"{one:g}" for one in said) or "none"
            yield (
                cell.line,
                f"this cell took about {seconds:g} seconds, and the Markdown before it says {found}; write "
                f'"This takes about {seconds:g} seconds."',
            )


def said_s(text: str) -> list[float]:
    """The durations that a text says, in seconds.

    >>> said_s("This takes about 8 seconds, and the next cell about half a minute.")
    [8.0, 30.0]
    """
    return [
        float(number) * (60 if unit == "minute" else 1) if number else {"half a": 30.0, "a": 60.0}[word]
        for number, unit, word in SAID.findall(text)
    ]
