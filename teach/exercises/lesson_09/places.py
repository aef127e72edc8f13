"""Lesson 09, exercises 9.1, 9.2 and 9.6: where elements lie, the lines a walk touches, the sets they fall into."""

from collections import Counter, OrderedDict

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 9.1 ------------------------------------------------------------------------------------------------


def byte_address(i: int, j: int, columns: int, padding: int, element_bytes: int, base: int) -> int:
    """The address of element [i, j] of a matrix that is stored by rows, with `padding` elements after each row."""
    return base + (i * (columns + padding) + j) * element_bytes


def _address_in_numpy(i: int, j: int, columns: int, padding: int, element_bytes: int, base: int) -> np.int64:
    room = np.zeros((i + 1, columns + padding, element_bytes), np.uint8)
    return np.int64(base + np.dot((i, j), room.strides[:2]))


def _address_by_counting(i: int, j: int, columns: int, padding: int, element_bytes: int, base: int) -> int:
    address = base
    for _row in range(i):
        address += columns * element_bytes + padding * element_bytes
    return address + sum(element_bytes for _ in range(j))


def _element(generator: torch.Generator) -> Case:
    columns = random_whole(generator, 4, 20)
    return Case(
        random_whole(generator, 2, 9),
        random_whole(generator, 1, columns - 1),
        columns,
        random_whole(generator, 0, 8),
        (4, 8)[random_whole(generator, 0, 1)],
        64 * random_whole(generator, 0, 9),
    )


BYTE_ADDRESS = Exercise(
    id="9.1",
    title="Where does an element lie?",
    reference=byte_address,
    cases=(
        Case(0, 3, 8, 0, 4, 0),
        Case(1, 0, 8, 0, 4, 0),
        Case(2, 3, 8, 0, 4, 1024),
        Case(2, 3, 8, 4, 4, 0),
        *random_cases(8, seed=91, make=_element),
    ),
    mistakes=(
        Mistake(
            lambda i, j, columns, padding, element_bytes, base: base + (i * columns + j) * element_bytes,
            "Each row is followed by its padding, so the next row starts columns + padding elements further on.",
        ),
        Mistake(
            lambda i, j, columns, padding, element_bytes, base: base + (i * columns + padding + j) * element_bytes,
            "The padding comes after *every* row: by row i there have been i of them.",
        ),
        Mistake(
            lambda i, j, columns, padding, element_bytes, base: base + (i * columns + j) * element_bytes + i * padding,
            "The padding is counted in elements, and each of them takes element_bytes.",
        ),
        Mistake(
            lambda i, j, columns, padding, element_bytes, base: base + i * (columns + padding) + j,
            "That counts elements. An address counts bytes.",
        ),
        Mistake(
            lambda i, j, columns, padding, element_bytes, base: (i * (columns + padding) + j) * element_bytes,
            "That is how far the element is from the first one. The matrix itself starts at base.",
        ),
        Mistake(
            lambda i, j, columns, padding, element_bytes, base: base + (j * (columns + padding) + i) * element_bytes,
            "One step in i is a whole row, one step in j is one element.",
        ),
    ),
    also_correct=(_address_in_numpy, _address_by_counting),
)

# 9.2 ------------------------------------------------------------------------------------------------


def column_misses(rows: int, columns: int, per_line: int, cache_lines: int) -> int:
    """The misses of a walk down one column after the other, each element read once."""
    return rows * columns // per_line if rows <= cache_lines else rows * columns


def _column_misses_by_running(rows: int, columns: int, per_line: int, cache_lines: int) -> np.int64:
    held: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for j in range(columns):
        for i in range(rows):
            line = (i * columns + j) // per_line
            misses += line not in held
            held[line] = None
            held.move_to_end(line)
            if len(held) > cache_lines:
                held.popitem(last=False)
    return np.int64(misses)


def _walk(generator: torch.Generator) -> Case:
    per_line, rows = (4, 8, 16)[random_whole(generator, 0, 2)], random_whole(generator, 6, 40)
    lines = rows + (-3, -1, 0, 5)[random_whole(generator, 0, 3)]
    return Case(rows, per_line * random_whole(generator, 1, 3), per_line, lines)


COLUMN_MISSES = Exercise(
    id="9.2",
    title="How often does a walk down the columns miss?",
    reference=column_misses,
    cases=(
        Case(4, 8, 4, 100),
        Case(8, 8, 4, 4),
        Case(8, 8, 4, 8),
        Case(16, 4, 4, 8),
        Case(8, 32, 4, 16),
        *random_cases(8, seed=92, make=_walk),
    ),
    mistakes=(
        Mistake(
            lambda rows, columns, per_line, cache_lines: rows * columns,
            "Not every access misses if the cache holds a line of each row: the next columns then find it there.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: rows * columns // per_line,
            "One miss a line is right only if the lines are still there at the next column: "
            "one column alone touches as many lines as there are rows.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line if rows * columns // per_line <= cache_lines else rows * columns
            ),
            "The whole matrix need not fit. It is enough that the lines of *one column* are still there at the next.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line if columns <= cache_lines else rows * columns
            ),
            "Going down a column, every step is in another row: it is the rows that count.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line if rows < cache_lines else rows * columns
            ),
            "A cache with exactly as many lines as there are rows holds them all.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: rows if rows <= cache_lines else rows * columns,
            "Those are the lines of the first columns. Every per_line columns, each row needs its next line.",
        ),
    ),
    also_correct=(_column_misses_by_running,),
)

# 9.6 ------------------------------------------------------------------------------------------------


def busiest_set(rows: int, row_bytes: int, sets: int, line_bytes: int) -> int:
    """The most lines of one column that fall into the same set of a cache."""
    lines = {i * row_bytes // line_bytes for i in range(rows)}
    return max(Counter(line % sets for line in lines).values())


def _busiest_in_numpy(rows: int, row_bytes: int, sets: int, line_bytes: int) -> np.int64:
    lines = np.unique(np.arange(rows) * row_bytes // line_bytes)
    return np.bincount(lines % sets).max()


def _counted(rows: int, row_bytes: int, set_of) -> Counter:
    return Counter(set_of(i * row_bytes) for i in range(rows))


def _column(generator: torch.Generator) -> Case:
    row_bytes = 64 * (2, 4, 8, 9, 12, 16)[random_whole(generator, 0, 5)]
    return Case(random_whole(generator, 20, 90), row_bytes, 2 ** random_whole(generator, 2, 6), 64)


BUSIEST_SET = Exercise(
    id="9.6",
    title="Lines that compete for one set",
    reference=busiest_set,
    cases=(
        Case(4, 64, 4, 64),
        Case(4, 128, 4, 64),
        Case(8, 256, 4, 64),
        Case(8, 16, 4, 64),
        Case(6, 96, 4, 64),
        Case(6, 20, 8, 64),
        Case(512, 4096, 64, 64),
        Case(512, 4160, 64, 64),
        *random_cases(8, seed=96, make=_column),
    ),
    mistakes=(
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: -(-rows // sets),
            "The lines do not spread over the sets by themselves: when "
            "row_bytes is a power of two, they use a few sets only.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: max(_counted(rows, row_bytes, lambda at: at % sets).values()),
            "A set is chosen by the number of the *line*: address // line_bytes comes first.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: max(
                _counted(rows, row_bytes, lambda at: at // line_bytes // sets).values()
            ),
            "Neighbouring lines go to different sets, in turns: the set is the remainder, line % sets.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: len(
                _counted(rows, row_bytes, lambda at: at // line_bytes % sets)
            ),
            "That is how many sets are used. Return how many lines the fullest of them gets.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: max(
                _counted(rows, row_bytes, lambda at: at // line_bytes % sets).values()
            ),
            "Rows shorter than a line share one: count each line once.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: rows,
            "Only the lines of the same set compete, not all of the column.",
        ),
    ),
    also_correct=(_busiest_in_numpy,),
)
