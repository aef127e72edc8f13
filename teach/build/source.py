"""Reading a lesson's source: a py:percent file in, cells that know their line out."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"

TAGS = (
    "exercise",
    "check",
    "solution-only",
    "widget",
    "hide-input",
    "nbval-check-output",
    "nbval-ignore-output",
    "raises-exception",
)


@dataclass(frozen=True)
class Cell:
    """One cell of a source: its text, its tags, its name if it has one, and the line of its `# %%`."""

    kind: str  # "code" or "markdown"
    text: str
    line: int
    tags: tuple[str, ...] = ()
    name: str | None = None

    @property
    def is_exercise(self) -> bool:
        """Whether the learner writes in this cell."""
        return "exercise" in self.tags

    @property
    def is_check(self) -> bool:
        """Whether this cell checks an exercise."""
        return "check" in self.tags

    @property
    def in_lesson(self) -> bool:
        """Whether the learner gets this cell at all."""
        return "solution-only" not in self.tags


@dataclass(frozen=True)
class Source:
    """A lesson's source: `path` is `.../solutions/02_bits.py`, `cells` are in reading order."""

    path: Path
    cells: tuple[Cell, ...]

    @property
    def stem(self) -> str:
        """The lesson's file name without its ending: `02_bits`."""
        return self.path.stem

    @property
    def lesson(self) -> int:
        """The lesson's number: 2 for `02_bits`."""
        return lesson_number(self.path.name)

    def at(self, line: int) -> str:
        """Where a line is, as an editor can open it: `solutions/02_bits.py:41`."""
        return f"{self.path.parent.name}/{self.path.name}:{line}"


def lesson_number(name: str) -> int:
    """The number at the front of a lesson's file name.

    >>> lesson_number("02_bits.py")
    2

    Raises:
        ValueError: the name does not start with two digits and an underscore.
    """
    found = re.fullmatch(r"(\d\d)_[a-z0-9_]+\.(py|ipynb)", name)
    if not found:
        raise ValueError(f"{name!r} is not a lesson's name: use two digits and a topic, such as '02_bits.py'")
    return int(found[1])


def read_source(path: Path | str) -> Source:
    """Read `NN_topic.py` into a `Source`.

    Raises:
        ValueError: the file is not py:percent, or a cell carries metadata that we do not know.
    """
    path = Path(path)
    lesson_number(path.name)
    return Source(path, _cells(path.read_text(encoding="utf-8"), path.name))


def _cells(text: str, name: str) -> tuple[Cell, ...]:
    import jupytext  # a tool of those who write lessons, not of those who read them

    found = jupytext.reads(text, fmt="py:percent").cells
    lines = _marker_lines(text, name)
    if len(lines) != len(found):
        raise ValueError(
            f"{name}: {len(found)} cells, but {len(lines)} lines that start with '# %%'; "
            "start the file with one, and put nothing before it"
        )
    return tuple(_cell(node, line, name) for node, line in zip(found, lines))


def _cell(node, line: int, name: str) -> Cell:
    known = {"name", "tags", "lines_to_next_cell"}  # the last is jupytext's own bookkeeping
    unknown = sorted(set(node.metadata) - known)
    if unknown:
        raise ValueError(f'{name}:{line}: unknown cell metadata {unknown}; use name="..." and tags=["..."] only')
    return Cell(
        kind=node.cell_type,
        text=node.source.rstrip(),
        line=line,
        tags=tuple(node.metadata.get("tags", ())),
        name=node.metadata.get("name"),
    )


def _marker_lines(text: str, name: str) -> list[int]:
    """The lines where a cell starts: comments, so that a `# %%` inside a string does not count."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError) as error:
        raise ValueError(f"{name}: not Python: {error}") from error
    return [t.start[0] for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip().startswith("# %%")]
