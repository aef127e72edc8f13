"""Reads a notebook as JSON: its code is not run, not even parsed. A broken one is a ValueError that says why."""

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 32 * 2**20  # a lesson is under 1 MB; figures and outputs may add some
MOST_CELLS = 2000  # with code; a lesson has fewer than 100


@dataclass(frozen=True)
class Cell:
    """A code cell: its number among the code cells from 1, its id where it has one, its text."""

    number: int
    id: str
    text: str


def read_notebook(path: Path) -> tuple[Cell, ...]:
    """The code cells of a notebook.

    Raises:
        ValueError: it is no regular file, too big, not UTF-8, not JSON, not of format 4, or has no code.
    """
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        raise ValueError("is a link, expected the notebook itself: copy it here")
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("is not a regular file, expected a notebook")
    if about.st_size > MOST_BYTES:
        raise ValueError(
            f"has {about.st_size / 1e6:.0f} MB, expected at most {MOST_BYTES / 1e6:.0f} MB: clear its outputs"
        )
    if about.st_size == 0:
        raise ValueError("is empty, expected a notebook: save it again")
    return cells_of(path.read_bytes())


def cells_of(content: bytes) -> tuple[Cell, ...]:
    """The code cells in the bytes of a notebook file.

    >>> cells_of(b'{"nbformat": 4, "cells": [{"cell_type": "code", "id": "a", "source": ["x = 1"]}]}')
    (Cell(number=1, id='a', text='x = 1'),)

    Raises:
        ValueError: as in `read_notebook`.
    """
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"is not UTF-8 text (byte {error.start}), expected a notebook: save it again in JupyterLab"
        ) from None
    except RecursionError:
        raise ValueError("is JSON nested too deeply, expected a notebook") from None
    except ValueError as error:
        raise ValueError(f"is not JSON ({error}), expected a notebook: was the file cut off?") from None
    if not isinstance(notebook, dict):
        raise ValueError(f"is JSON, but a {type(notebook).__name__}, expected a notebook")
    if notebook.get("nbformat") != 4:
        raise ValueError(
            f"has nbformat {notebook.get('nbformat')!r:.40}, expected 4: open it in JupyterLab and save it again"
        )
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise ValueError("has no list of cells, expected a notebook")
    texts = [
        (cell, _text(cell.get("source")))
        for cell in cells
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]
    found = tuple(Cell(number, _id(cell), text) for number, (cell, text) in enumerate(texts, 1))
    if len(found) > MOST_CELLS:
        raise ValueError(f"has {len(found)} code cells, expected at most {MOST_CELLS}: keep those of the lesson")
    if not any(cell.text.strip() for cell in found):
        raise ValueError("has no code cell with code in it, expected a lesson")
    return found


def _text(source: Any) -> str:
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _id(cell: dict[str, Any]) -> str:
    return cell["id"] if isinstance(cell.get("id"), str) else ""
