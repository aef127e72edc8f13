"""How many minutes a lesson takes, by one rule, from its source: to read, for the exercises, for the machine.

The title cell of a source says `{minutes}`, and the builder writes the words in its place.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from . import folding
from .names import parsed
from .source import Cell, Source

PLACEHOLDER = "{minutes}"

#: English non-fiction is read at 238 words per minute (Brysbaert, "How many words do we read per minute?", Journal of
#: Memory and Language 109, 2019). A page with formulas, to be learned from, takes half as long again.
WORDS_PER_MINUTE = 160
#: Our own choice, as are the next two: a line of code that is neither folded nor an import.
CODE_LINE_S = 3.0
#: A figure, a table, a prediction or its answer: what a cell shows when it is run.
OUTPUT_S = 20.0
PENCIL_MINUTES = 3.0

HINT = re.compile(r"<details.*?</details>", flags=re.DOTALL)
EXERCISE = re.compile(r"^### Exercise \d+\.\d+ - .* \((\d+) min\)$", flags=re.MULTILINE)
PENCIL = "## With pencil and paper"
PROBLEM = re.compile(r"^\*\*\d+\.\*\*", flags=re.MULTILINE)
ALONE = {"predict", "reveal", "print", "ledger", "progress", "calculator"} | folding.DRAWS


@dataclass(frozen=True)
class Minutes:
    """The minutes of a lesson: to read it, to do its exercises on screen and paper, to wait for the machine."""

    reading: float
    exercises: float
    machine: float = 0.0

    @property
    def total(self) -> int:
        """All minutes together, to the nearest five."""
        return _fives(self.reading + self.exercises + self.machine)

    def __str__(self) -> str:
        """The words of the title cell.

        >>> print(Minutes(reading=23.0, exercises=52.0, machine=1.7))
        about 75 minutes (25 to read, 50 for the exercises, 2 for the machine)
        """
        machine = f", {max(1, round(self.machine))} for the machine" if self.machine else ""
        parts = f"{_fives(self.reading)} to read, {_fives(self.exercises)} for the exercises{machine}"
        return f"about {self.total} minutes ({parts})"


def lesson_minutes(source: Source, machine_s: float = 0.0) -> Minutes:
    """The minutes of a lesson, computed from what its source has the learner do.

    Reading is the prose without hints and folded answers, the lines of code that can be seen, and what each cell shows.
    Exercises take the minutes of their headings, a problem for pencil and paper takes three. `machine_s` is how long
    the cells run, in seconds.
    """
    texts = [cell.text for cell in source.cells if cell.kind == "markdown" and cell.in_lesson]
    code = list(folding.counted(source))
    lines = sum(one.total for cell, one in code if not folding.is_folded(cell))
    outputs = sum(_shows(cell) for cell, _ in code)
    return Minutes(
        reading=sum(map(words, texts)) / WORDS_PER_MINUTE + (CODE_LINE_S * lines + OUTPUT_S * outputs) / 60,
        exercises=sum(int(one) for text in texts for one in EXERCISE.findall(text)) + PENCIL_MINUTES * pencil(source),
        machine=machine_s / 60,
    )


def words(text: str) -> int:
    """The words of a Markdown cell that is read from top to bottom, so without its folded hints.

    A formula between two spaces counts as a word, as does a number; the address of a link does not.

    >>> words("A *scale* is $s = 2$, see [01](01_measure.ipynb).\\n<details><summary>Hint</summary> No</details>")
    6
    """
    text = re.sub(r"\]\([^)]*\)", "]", HINT.sub(" ", text))
    text = re.sub(r"<[^>]+>", " ", re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$", "formula", text, flags=re.DOTALL))
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def pencil(source: Source) -> int:
    """How many problems for pencil and paper a lesson has."""
    texts = "\n".join(cell.text for cell in source.cells if cell.kind == "markdown" and cell.in_lesson)
    after = re.split(rf"^{re.escape(PENCIL)}$", texts, flags=re.MULTILINE)[1:]
    return len(PROBLEM.findall(re.split(r"^## ", after[0], flags=re.MULTILINE)[0])) if after else 0


def _shows(cell: Cell) -> bool:
    """Whether a cell has something to look at: it prints, or ends in a value."""
    tree = parsed(cell.text) or ast.Module([], [])
    calls = {one.func.id for one in ast.walk(tree) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)}
    return bool(calls & ALONE)


def _fives(minutes: float) -> int:
    """To the nearest five, and five at least.

    >>> _fives(22.4), _fives(22.6), _fives(1)
    (20, 25, 5)
    """
    return max(5, 5 * round(minutes / 5))
