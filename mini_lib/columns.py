"""Text in columns: how every table of the library is printed."""

from collections.abc import Iterable, Sequence
from html import escape

from mini_lib.require import of_type, whole


def aligned(lines: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return `lines` of cells as text: columns two spaces apart, those in `left` flush left, the others flush right.

    Raises:
        TypeError: a cell is not text, or `left` is not whole numbers.
        ValueError: there is no line, or the lines differ in their number of cells.

    >>> print(aligned([("layer", "weights"), ("conv1", "72"), ("fc", "5,120")]))
    layer  weights
    conv1       72
    fc       5,120
    """
    lines = _cells(lines)
    places = of_type("left", left, Iterable, fix="name the columns, as in (0,)")
    left = [whole("each of left", place, fix="columns count from 0") for place in places]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_html(lines: Sequence[Sequence[str]], caption: str) -> str:
    """Return `lines` of cells as an HTML table: the first line names the columns, the first cell of any other its row.

    Raises:
        TypeError: a cell or the caption is not text.
        ValueError: there is no line, or the lines differ in their number of cells.

    >>> as_html([("layer", "weights"), ("conv1", "72")], "Stored").partition("<tbody>")[2]
    '<tr><th scope="row">conv1</th><td>72</td></tr></tbody></table>'
    """
    head, *body = _cells(lines)
    caption = escape(of_type("caption", caption, str, fix="say what the table shows"))
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in body
    )
    return f"<table><caption>{caption}</caption><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(lines: object) -> list[list[str]]:
    """Return the cells of a table after checking that they are text and that all lines have equally many."""
    fix = "give lists of text, one for each line"
    lines = [[*of_type("each line", line, Sequence, fix=fix)] for line in of_type("lines", lines, Iterable, fix=fix)]
    if not lines or len({len(line) for line in lines}) > 1:
        raise ValueError(f"lines must be one or more of equal length, got {[len(line) for line in lines]} cells")
    if not all(isinstance(cell, str) for line in lines for cell in line):
        raise TypeError("each cell must be text; use str(value), or an f-string")
    return lines
