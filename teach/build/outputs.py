"""The outputs that a solution keeps: complete without a kernel, and silent about the machine that made them."""

from __future__ import annotations

import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

WIDGETS = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
LARGEST_BYTES = 1_000_000


def clean(notebook: NotebookNode) -> None:
    """Take out what only a live kernel or a terminal can show: widgets and progress bars.

    With `metadata.widgets` left in, static viewers fetch scripts from elsewhere and offline show nothing at all.
    """
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [output for output in _merged(cell.outputs) if _stays(output)]


def _merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Text that arrived in several messages as one: how it was cut depends on the clock."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and last.output_type == output.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def _stays(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return not (output.name == "stderr" and "\r" in output.text)  # a terminal's progress bar
    data = output.get("data", {})
    live = [data.pop(kind) for kind in WIDGETS if kind in data]
    return not (live and set(data) <= {"text/plain"})  # all that is left of it is the widget's repr


def problems(notebook: NotebookNode, root: Path) -> list[str]:
    """What is wrong with the outputs of a solution, one sentence each, with the cell's id."""
    found = [
        f"cell {cell.id}: {sentence}"
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for sentence in _wrong(output, "raises-exception" in cell.metadata.get("tags", ()), root)
    ]
    return found


def _wrong(output: NotebookNode, may_raise: bool, root: Path) -> Iterator[str]:
    if output.output_type == "error" and not may_raise:
        yield f"raised {output.ename}: {output.evalue}"
    if output.output_type == "stream" and output.name == "stderr":
        yield f"wrote to stderr: {output.text.strip()[:200]!r}; put right what it warns of"
    for kind in PICTURES:
        if kind in output.get("data", {}) and not output.metadata.get(kind, {}).get("alt"):
            yield f"{kind} without alternative text; show the figure with show(figure, alt=...)"
    if re.search(r"<img(?![^>]*\balt=([\"'])(?!\1))", output.get("data", {}).get("text/html", "")):
        yield "an HTML picture without alternative text; write <img alt='what it shows' ...>"
    for text in _texts(output):
        for trace in traces(root):
            if re.search(trace, text):
                yield f"shows {re.search(trace, text)[0]!r}, which is true on this machine only"


def _texts(output: NotebookNode) -> Iterator[str]:
    yield output.get("text", "")
    yield "\n".join(output.get("traceback", ()))
    for kind, value in output.get("data", {}).items():
        if not kind.startswith("image/") or kind == "image/svg+xml":
            yield re.sub(r"data:[^\"']+", "", value) if isinstance(value, str) else str(value)  # without its pictures


def traces(root: Path) -> list[str]:
    """Patterns for what would tell one machine from another: its folders, its name, its memory addresses."""
    folders = {str(root), str(Path.home()), sys.prefix, sys.base_prefix, tempfile.gettempdir()} - {"/", "/usr"}
    name = socket.gethostname()
    patterns = [re.escape(folder) + r"[\\/]" for folder in sorted(folders, key=len, reverse=True)]
    patterns += [rf"\b{re.escape(name)}\b"] * (not name.isalpha())  # "laptop" is a word, "lab-pc-07" is not
    return [*patterns, r"\bat 0x[0-9a-fA-F]{6,}", r"\d+:\d\d<\d+:\d\d"]  # the last is a progress bar's clock
