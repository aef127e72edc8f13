"""Which lines of a lesson draw, which cells are folded for it, and how much code a reader still sees.

A learner reads how something is computed. How a figure is drawn or a table is lined up pushes the figure off the
screen, so a cell that does little else carries the tag "hide-input": JupyterLab folds it, and one click shows it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .names import parsed
from .source import Cell, Source

#: The lines of code that a lesson may show, without exercises, checks, predictions and imports.
MOST_VISIBLE = 200
#: A cell with fewer lines that draw than this pushes nothing off the screen.
FEWEST_DRAWING = 3
#: A cell with more lines that draw than this is split, even if it computes in more.
MOST_DRAWING = 12

#: What draws when it is called by this name.
DRAWS = {"show", "explore", "animate", "display", "HTML", "aligned"}
#: Names that hold a figure or its axes without being bound in the cell: the module, and arguments of functions.
FIGURES = {"plt", "pyplot", "figure", "fig", "axes", "axis", "ax"}
#: A format that lines up columns: `<34`, `>19`, `8.2f`. The format of a number in a sentence, `.1f`, does not.
COLUMN = re.compile(r".?[<>^]|[+ ]?\d")


@dataclass(frozen=True)
class Lines:
    """The lines of code of a cell or a lesson: those that draw, and those that compute."""

    drawing: int = 0
    computing: int = 0

    def __add__(self, other: Lines) -> Lines:
        return Lines(self.drawing + other.drawing, self.computing + other.computing)

    @property
    def total(self) -> int:
        """All of them."""
        return self.drawing + self.computing


def is_folded(cell: Cell) -> bool:
    """Whether JupyterLab shows the cell without its source."""
    return "hide-input" in cell.tags


def is_demonstration(cell: Cell) -> bool:
    """Whether the cell is code that the learner reads: neither exercise nor check, and in the lesson."""
    return cell.kind == "code" and cell.in_lesson and not cell.is_exercise and not cell.is_check


def counted(source: Source) -> Iterator[tuple[Cell, Lines]]:
    """The cells of code that a learner reads, in order, each with its lines.

    A function that draws makes a drawing of each later call of it, so the cells are read from the first to the last.
    """
    drawers: set[str] = set()
    for cell in source.cells:
        if is_demonstration(cell):
            yield cell, lines_of(cell.text, drawers)


def lines_of(text: str, drawers: set[str] | None = None) -> Lines:
    """The lines of a cell, without imports, predictions, empty lines and those that are a comment.

    `drawers` are the functions of the lesson that draw; those that the cell defines are added.

    >>> lines_of("x = 1\\nplt.plot(x)\\nplt.title(\\n    'x'\\n)")
    Lines(drawing=4, computing=1)
    """
    text = text.lstrip("\n")  # as IPython does, so that lines keep their numbers
    tree = parsed(text)
    if tree is None:
        return Lines()
    drawers = set() if drawers is None else drawers
    apart = {line for node in tree.body if _is_apart(node) for line in _span(node)}
    drawing = _Drawing(drawers).lines(tree.body)
    numbered = enumerate(text.splitlines(), 1)
    code = {number for number, line in numbered if line.strip() and not line.lstrip().startswith("#")}
    return Lines(len(code & drawing - apart), len(code - drawing - apart))


def unfolded(source: Source) -> Iterator[tuple[int, str]]:
    """The cells that draw much and are not folded, and what the lesson shows beyond its budget."""
    visible = 0
    for cell, lines in counted(source):
        if is_folded(cell):
            continue
        visible += lines.total
        mostly = lines.drawing >= FEWEST_DRAWING and lines.drawing > lines.computing
        if mostly or lines.drawing > MOST_DRAWING:
            yield (
                cell.line,
                f"{lines.drawing} of the {lines.total} lines of this cell draw a figure or line up "
                'a table; fold the cell with the tag "hide-input", or put what it computes into a cell before it',
            )
    if visible > MOST_VISIBLE:
        yield (
            1,
            f"the lesson shows {visible} lines of code, without exercises, checks, predictions and imports; show "
            f"{MOST_VISIBLE} at most: fold what draws and what repeats, and leave to the library what it can do",
        )


class _Drawing:
    """Finds the lines that draw, statement by statement; `drawers` grows by the functions that do."""

    def __init__(self, drawers: set[str]) -> None:
        self.drawers = drawers
        self.figures = set(FIGURES)

    def lines(self, body: list[ast.stmt], repeated: bool = False) -> set[int]:
        """The lines of those statements that draw; `repeated` where a loop or a function runs them."""
        return {line for node in body for line in self._lines_of(node, repeated)}

    def _lines_of(self, node: ast.stmt, repeated: bool) -> set[int]:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                if self.lines(node.body, repeated=True):
                    self.drawers.add(node.name)
                    return _span(node)
                return set()
            case ast.For() | ast.While() | ast.If() | ast.With() | ast.Try():
                if isinstance(node, ast.For) and self.figures & _names(node.iter):
                    self.figures |= _names(node.target)  # for axes, name in zip(panels, names)
                inside = [one for block in _blocks(node) for one in block]
                found = self.lines(inside, repeated or isinstance(node, ast.For | ast.While))
                whole = found >= {line for one in inside for line in _span(one)}
                return _span(node) if whole else found  # its head draws if all that it holds does
        if not any(self._draws(one, repeated) for one in ast.walk(node)):
            return set()
        if isinstance(node, ast.Assign) and _root(node.value) in self.figures:
            self.figures |= {name for target in node.targets for name in _names(target)}
        return _span(node)

    def _draws(self, node: ast.AST, repeated: bool) -> bool:
        """Whether a part of a statement calls what draws, or lines up a row of a table."""
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name in DRAWS or name in self.drawers or (repeated and name == "print")
            case ast.Call(func=ast.Attribute(attr="append"), args=[row]) if repeated:
                return any(isinstance(one, ast.JoinedStr) for one in ast.walk(row))
            case ast.Call(func=ast.Attribute()):
                return _root(node) in self.figures
            case ast.FormattedValue(format_spec=ast.JoinedStr() as wanted):
                return bool(COLUMN.match("".join(str(one.value) for one in wanted.values if hasattr(one, "value"))))
        return False


def _is_apart(node: ast.stmt) -> bool:
    """Whether a statement is nothing to read: an import, or a question that the cell shows in words."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Call(func=ast.Name(id="predict" | "reveal"))):
            return True
    return False


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        yield getattr(node, field, [])
    for handler in getattr(node, "handlers", []):
        yield handler.body


def _root(node: ast.AST) -> str:
    """The name that a chain of attributes, indexes and calls starts from; empty where it starts from no name."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _span(node: ast.stmt) -> set[int]:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return set(range(first, node.end_lineno + 1))
