"""A solution whose text alone has changed: it keeps the outputs it has, and nothing is executed."""

from __future__ import annotations

import ast

from nbformat import NotebookNode

from .claims import calls, calls_in, outputs, said_anew
from .names import parsed
from .source import Cell, Source


def reuse(source: Source, notebook: NotebookNode, before: NotebookNode) -> None:
    """Give a new solution the outputs of the one built before it; `notebook` is changed.

    Markdown may differ, and so may the words and the tolerances of claims, which are then compared anew.

    Raises:
        ValueError: other code differs, or the solution before was not executed.
    """
    written = [cell for cell in source.cells if cell.kind == "code"]
    new, old = ([cell for cell in one.cells if cell.cell_type == "code"] for one in (notebook, before))
    if len(new) != len(old):
        raise ValueError(f"{len(new)} code cells, but {len(old)} were built before; build without --texts")
    for text, cell, earlier in zip(written, new, old):
        if _code(text, cell.source) != _code(text, earlier.source) or earlier.execution_count is None:
            raise ValueError(f"cell {cell.id}: its code has changed since it was built; build without --texts")
        cell.outputs, cell.execution_count = earlier.outputs, earlier.execution_count
        if calls(text):
            claims = said_anew(text, earlier)
            if claims is None:
                raise ValueError(
                    f"cell {cell.id}: its claims are not those that ran, or a number has changed that was not measured"
                    "; build without --texts"
                )
            for output, claim in zip(outputs(cell), claims):
                output.data = claim._repr_mimebundle_()


def _code(cell: Cell, text: str) -> str:
    """A cell's code without the words of its claims."""
    tree = parsed(text) if calls(cell) else None
    if tree is None:
        return text
    for one in calls_in(tree):
        one.args[:1] = [ast.Constant("")]
        one.keywords = [word for word in one.keywords if word.arg not in ("within", "page")]
    return ast.unparse(tree)
