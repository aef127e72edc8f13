"""From cells to notebooks: the lesson with its answers cut out, the solution with its answers in."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mini_lib.files import write_file

from . import minutes, seconds
from .source import BEGIN, END, Cell, Source

#: The same on every machine: nbclient would write down this Python's exact version.
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def exercise_id(name: str | None) -> str | None:
    """The exercise that a cell's name stands for, or None.

    >>> exercise_id("ex-2-1")
    '2.1'
    """
    found = re.fullmatch(r"ex-(\d+)-(\d+)", name or "")
    return f"{found[1]}.{found[2]}" if found else None


def checked_id(text: str) -> str | None:
    """The exercise that a check cell checks, or None.

    >>> checked_id('check("2.1")')
    '2.1'
    """
    found = re.search(r"""\bcheck\(\s*["'](\d+\.\d+)["']""", text)
    return found[1] if found else None


def answer_of(text: str) -> str:
    """What stands between the markers, as it is indented there (empty where there is no region)."""
    lines = text.splitlines()
    marks = [i for i, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    return "\n".join(lines[marks[0] + 1 : marks[1]]) if len(marks) == 2 else ""


def stub(text: str, exercise: str) -> str:
    """An exercise cell as the learner gets it: the region becomes a `raise`, indented like its marker.

    >>> print(stub("def f(x):\\n    ### BEGIN SOLUTION\\n    return 2 * x\\n    ### END SOLUTION", "2.1"))
    def f(x):
        raise NotImplementedError("Exercise 2.1: write your answer here")
    """
    lines, inside = [], False
    for line in text.splitlines():
        if line.strip() == BEGIN:
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f'{indent}raise NotImplementedError("Exercise {exercise}: write your answer here")')
            inside = True
        elif line.strip() == END:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def answered(text: str) -> str:
    """An exercise cell as the solution shows it: the answer stays, the markers go."""
    return "\n".join(line for line in text.splitlines() if line.strip() not in (BEGIN, END))


def lesson_notebook(source: Source, points: dict[str, float]) -> NotebookNode:
    """The notebook that a learner gets: answers cut, solution-only cells gone, no outputs."""
    return _notebook(source, points, solved=False)


def solution_notebook(source: Source, points: dict[str, float]) -> NotebookNode:
    """The notebook with the answers in, not executed yet."""
    return _notebook(source, points, solved=True)


def _notebook(source: Source, points: dict[str, float], solved: bool) -> NotebookNode:
    pairs = [(cell, cell_id) for cell, cell_id in zip(source.cells, cell_ids(source)) if solved or cell.in_lesson]
    cells = [_cell(cell, cell_id, points, solved) for cell, cell_id in pairs]
    if cells and minutes.PLACEHOLDER in cells[0].source:  # the title cell
        words = str(minutes.lesson_minutes(source, seconds.recorded(source).total_s))
        cells[0].source = cells[0].source.replace(minutes.PLACEHOLDER, words)
    return nbformat.v4.new_notebook(cells=cells, metadata=NOTEBOOK_METADATA)


def cell_ids(source: Source) -> list[str]:
    """One id a cell: its name, a check's exercise, or a hash of its text; the same in lesson and solution.

    jupytext draws random ids, with which every build would be a diff. An id from the text lets a link, a comment or a
    translation find its cell again for as long as the cell says the same.
    """
    ids: list[str] = []
    for cell in source.cells:
        if cell.name:
            wanted = cell.name
        elif cell.is_check and checked_id(cell.text):
            wanted = "check-" + checked_id(cell.text).replace(".", "-")
        else:
            wanted = hashlib.sha256(f"{cell.kind}\n{cell.text}".encode()).hexdigest()[:10]
        same = sum(1 for taken in ids if re.fullmatch(re.escape(wanted) + r"(_\d+)?", taken))
        ids.append(wanted if not same else f"{wanted}_{same + 1}")
    return ids


def _cell(cell: Cell, cell_id: str, points: dict[str, float], solved: bool) -> NotebookNode:
    metadata = {"tags": list(cell.tags)} if cell.tags else {}
    if cell.kind == "markdown":
        return nbformat.v4.new_markdown_cell(cell.text, id=cell_id, metadata=metadata)
    text = cell.text
    if "hide-input" in cell.tags:  # folded in JupyterLab; the learner can open it
        metadata["jupyter"] = {"source_hidden": True}
    if cell.is_exercise:
        text = answered(text) if solved else stub(text, exercise_id(cell.name))
        metadata["nbgrader"] = _nbgrader(cell_id, solution=True)
    if cell.is_check:
        metadata |= {"deletable": False, "editable": False}
        metadata["nbgrader"] = _nbgrader(cell_id, solution=False) | {"points": points[checked_id(text)]}
    return nbformat.v4.new_code_cell(text, id=cell_id, metadata=metadata)


def _nbgrader(grade_id: str, solution: bool) -> dict:
    """Metadata as nbgrader writes it (schema 3): an answer is written, its check is locked and graded."""
    return {
        "grade": not solution,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }


def as_text(notebook: NotebookNode) -> str:
    """A notebook as it lies on disk: the same text for the same notebook, ending in one newline."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4, indent=1).rstrip("\n") + "\n"


def write(path: Path, text: str) -> None:
    """Write the file whole or not at all, with `\\n` newlines on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text.encode())
