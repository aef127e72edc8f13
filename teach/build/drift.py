"""Comparing the notebooks on disk with what their sources would give today: content, ids and tags, cell by cell."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from . import claims, outputs, seconds
from .notebook import as_text, lesson_notebook, solution_notebook
from .source import Source


def orphans(root: Path) -> list[str]:
    """Notebooks without a source, and sources without their notebooks."""
    sources = {path.stem for path in (root / "solutions").glob("*.py")}
    found = []
    for folder in ("lessons", "solutions"):
        notebooks = {path.stem for path in (root / folder).glob("*.ipynb")}
        found += [
            f"{folder}/{stem}.ipynb has no source; write solutions/{stem}.py, or delete the notebook"
            for stem in sorted(notebooks - sources)
        ]
        found += [f"{folder}/{stem}.ipynb is missing; {_build(stem)}" for stem in sorted(sources - notebooks)]
    return found


def lesson_drift(source: Source, points: dict[str, float], path: Path) -> list[str]:
    """How `lessons/NN_topic.ipynb` differs from what its source gives; to the last byte."""
    wanted = lesson_notebook(source, points)
    found = _differences(path, wanted)
    if not found and path.read_text(encoding="utf-8") != as_text(wanted):
        found = [f"{_short(path)}: the same cells, but not the same file; {_build(path.stem)}"]
    return found


def solution_drift(source: Source, points: dict[str, float], path: Path, root: Path) -> list[str]:
    """How `solutions/NN_topic.ipynb` differs from its source, its outputs aside; and whether it was executed."""
    found = _differences(path, solution_notebook(source, points))
    if found:
        return found
    notebook = _read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)) or not any(cell.outputs for cell in code):
        found.append(f"{_short(path)}: not executed once from top to bottom (counts {counts}); {_build(path.stem)}")
    if path.stat().st_size >= outputs.LARGEST_BYTES:
        found.append(f"{_short(path)}: {path.stat().st_size} bytes; a notebook stays under {outputs.LARGEST_BYTES}")
    gone = sorted(seconds.recorded(source).cells.keys() - {cell.id for cell in code})
    found += [f"{path.parent.name}/seconds.json: there is no cell {name}; {_build(path.stem)}" for name in gone]
    wrong = outputs.problems(notebook, root) + claims.problems(source, notebook)
    return found + [f"{_short(path)}: {problem}" for problem in wrong]


def _differences(path: Path, wanted: NotebookNode) -> list[str]:
    try:
        found = _read(path)
    except (ValueError, AttributeError) as error:  # what nbformat raises on what is not a notebook
        return [f"{_short(path)}: not a notebook ({error}); {_build(path.stem)}"]
    ids, wanted_ids = [cell.id for cell in found.cells], [cell.id for cell in wanted.cells]
    if ids != wanted_ids:
        extra, missing = [i for i in ids if i not in wanted_ids], [i for i in wanted_ids if i not in ids]
        what = f"cells not in the source: {extra or 'none'}, cells missing: {missing or 'none'}"
        if not extra and not missing:
            what = "the same cells in another order"
        return [f"{_short(path)}: {what}; change the source, then {_build(path.stem)}"]
    if found.metadata != wanted.metadata:
        return [f"{_short(path)}: its metadata are not those that the builder writes; {_build(path.stem)}"]
    return [
        f"{_short(path)}: cell {cell.id} differs in its {part}; change the source, then {_build(path.stem)}"
        for cell, other in zip(found.cells, wanted.cells)
        for part in ("cell_type", "source", "metadata")
        if json.dumps(cell[part], sort_keys=True) != json.dumps(other[part], sort_keys=True)
    ]


def _read(path: Path) -> NotebookNode:
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    nbformat.validate(notebook)
    return notebook


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _build(stem: str) -> str:
    return f"run: python -m teach.build {stem[:2]}"
