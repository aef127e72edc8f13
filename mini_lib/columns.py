"""Text in columns: how every table of the library is printed."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return `lines` of cells as text: columns two blanks apart, those in `left` flush left and all others flush right.

    Raises:
        ValueError: the lines do not all have as many cells.

    >>> print(aligned([("layer", "weights"), ("conv1", "72"), ("fc", "5,120")]))
    layer  weights
    conv1       72
    fc       5,120
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
