"""What the builder tells an author without building: what the rules of a quiet page object to, and the minutes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import minutes, pages, seconds
from .folding import Lines, counted, is_folded
from .notebook import cell_ids
from .source import Source, read_source

#: The report names the cells that show so many lines or more: they are the first to fold or to split.
LONG_CELL = 15


def minutes_table(paths: Sequence[Path]) -> str:
    """The minutes of the lessons, one line each, as the title cells say them."""
    rows = [f"{'lesson':<24}{'minutes':>8}{'reading':>9}{'exercises':>11}{'machine':>9}   words in its title cell"]
    for path in paths:
        source = read_source(path)
        found = minutes_of(source)
        rows.append(
            f"{source.stem:<24}{found.total:>8}"
            f"{found.reading:>9.1f}{found.exercises:>11.1f}{found.machine:>9.1f}   {found}"
        )
    return "\n".join(rows)


def minutes_of(source: Source) -> minutes.Minutes:
    """The minutes of a lesson, the recorded time of its machine included."""
    return minutes.lesson_minutes(source, seconds.recorded(source).total_s)


def page(path: Path) -> str:
    """What an author of a quiet page wants to know of a lesson: problems, lines, slow cells, cells of the slides."""
    source = read_source(path)
    found = pages.problems(source)
    return "\n".join([*found, *_lines(source), *_slow(source), *_on_slides(source)])


def _lines(source: Source) -> Iterator[str]:
    """How much code is to be seen, and the cells that show most of it."""
    cells = list(counted(source))
    seen = sum((lines for cell, lines in cells if not is_folded(cell)), Lines())
    folded = sum((lines for cell, lines in cells if is_folded(cell)), Lines())
    yield (
        f"{source.stem}: {seen.total} visible lines of code ({seen.drawing} of them draw), "
        f"{folded.total} folded ({folded.computing} of them compute); {minutes_of(source)}"
    )
    for cell, lines in cells:
        if lines.total >= LONG_CELL and not is_folded(cell):
            what = cell.name or "a cell"
            yield f"{source.at(cell.line)}: {what} shows {lines.total} lines, {lines.drawing} of them draw"


def _slow(source: Source) -> Iterator[str]:
    for cell, took, _, has_bar in seconds.slow_cells(source, cell_ids(source)):
        yield f"{source.at(cell.line)}: about {took:g} seconds, {'with' if has_bar else 'without'} a progress bar"


def _on_slides(source: Source) -> Iterator[str]:
    """The cells of the lesson that a slide shows. Where the lesson can do without one, it is "solution-only"."""
    deck = source.path.parents[1] / "slides" / f"{source.stem}.md"
    text = deck.read_text(encoding="utf-8") if deck.is_file() else ""
    shown = {
        *re.findall(rf"figures/{source.stem[:2]}_([\w-]+)\.png", text),
        *re.findall(r"^```text ([\w-]+)", text, re.M),
    }
    for cell, lines in counted(source):
        if cell.name in shown:
            how = "folded" if is_folded(cell) else f"visible lines: {lines.total}"
            yield f"{source.at(cell.line)}: {cell.name} is on a slide, and in the lesson ({how})"
