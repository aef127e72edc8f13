"""Lesson 09, exercises 9.1 and 9.2: where elements lie, and the lines that a walk touches."""

from collections import OrderedDict

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import variants

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
            "The padding comes after *every* row: i times before row i.",
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
            lambda i, j, columns, padding, element_bytes, base: (base + i * (columns + padding) + j) * element_bytes,
            "The base is already in bytes. Only the elements are multiplied by element_bytes.",
        ),
        Mistake(
            lambda i, j, columns, padding, element_bytes, base: byte_address(i, j, columns, padding, 4, base),
            "An element is not always 4 bytes: multiply by element_bytes.",
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
    symptoms=(
        variants(
            "The steps in the row are elements too: j is multiplied by element_bytes as well.",
            lambda i, j, columns, padding, element_bytes, base: base + i * (columns + padding) * element_bytes + j,
            lambda i, j, columns, padding, element_bytes, base: base + i * columns * element_bytes + j,
        ),
        variants(
            "That is the number of an element. The address is base, and this number times element_bytes.",
            lambda i, j, columns, padding, element_bytes, base: i * (columns + padding) + j,
            lambda i, j, columns, padding, element_bytes, base: i * columns + j,
            lambda i, j, columns, padding, element_bytes, base: base + i * columns + j,
        ),
        variants(
            "The two indices are swapped. The matrix is stored by rows: one step in i is a whole row.",
            lambda i, j, columns, padding, element_bytes, base: base + (j * columns + i) * element_bytes,
            lambda i, j, columns, padding, element_bytes, base: base + (j * columns + i + padding) * element_bytes,
        ),
        variants(
            "Rows and columns are counted from 0, and the address is that of the element's first byte.",
            lambda i, j, columns, padding, element_bytes, base: byte_address(
                i - 1, j - 1, columns, padding, element_bytes, base
            ),
            lambda i, j, columns, padding, element_bytes, base: byte_address(
                i, j + 1, columns, padding, element_bytes, base
            ),
            lambda i, j, columns, padding, element_bytes, base: byte_address(
                i - 1, j, columns, padding, element_bytes, base
            ),
        ),
        variants(
            "Padding makes a row longer: a row takes columns plus padding elements.",
            lambda i, j, columns, padding, element_bytes, base: base + (i * (columns - padding) + j) * element_bytes,
        ),
        variants(
            "The padding comes after each row only, and not before it as well.",
            *(
                lambda i, j, columns, padding, element_bytes, base, start=start: (
                    base + (i * (columns + 2 * padding) + start * padding + j) * element_bytes
                )
                for start in (1, 0)
            ),
        ),
        variants(
            "The padding comes at the end of each row, and not between the elements: row i comes after i of them.",
            lambda i, j, columns, padding, element_bytes, base: (
                base + (i * columns + (i + 1) * padding + j) * element_bytes
            ),
            lambda i, j, columns, padding, element_bytes, base: (
                base + i * (columns + padding) * element_bytes + j * (element_bytes + padding)
            ),
            lambda i, j, columns, padding, element_bytes, base: base + (i * columns + j) * (element_bytes + padding),
            lambda i, j, columns, padding, element_bytes, base: base + (i * columns + padding * j) * element_bytes,
        ),
        variants(
            "Each step in i passes one row of columns + padding elements: i times that length, and j more.",
            lambda i, j, columns, padding, element_bytes, base: base + i * j * element_bytes,
            lambda i, j, columns, padding, element_bytes, base: base + (i + j) * element_bytes,
        ),
        variants(
            "An address is a number of bytes, not of bits.",
            lambda i, j, columns, padding, element_bytes, base: byte_address(
                i, j, columns, padding, 8 * element_bytes, base
            ),
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
        Case(8, 8, 4, 1),
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
            "One miss per line is right only if the lines are still there at the next column. One column alone touches "
            "as many lines as there are rows.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line if rows * columns // per_line <= cache_lines else rows * columns
            ),
            "The whole matrix does not have to fit. It is enough if the lines of *one column* stay until the next.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line if columns <= cache_lines else rows * columns
            ),
            "Going down a column, every step reaches another row: compare the cache with the number of rows.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line if rows < cache_lines else rows * columns
            ),
            "A cache with exactly as many lines as there are rows holds them all.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line if rows <= cache_lines * per_line else rows * columns
            ),
            "Each element of a column takes a line of its own. The cache has room for cache_lines of them, however "
            "many elements a line holds.",
        ),
        Mistake(
            lambda rows, columns, per_line, cache_lines: rows if rows <= cache_lines else rows * columns,
            "Those are the lines of the first columns. Every per_line columns, each row needs its next line.",
        ),
    ),
    symptoms=(
        variants(
            "Those are the hits. Return the misses.",
            lambda rows, columns, per_line, cache_lines: (
                rows * columns - column_misses(rows, columns, per_line, cache_lines)
            ),
        ),
        variants(
            "That is a share of the accesses. Return how many of them miss.",
            lambda rows, columns, per_line, cache_lines: (
                column_misses(rows, columns, per_line, cache_lines) / (rows * columns)
            ),
        ),
        variants(
            "A line holds neighbours of one *row*. Each of the `rows` rows takes columns / per_line lines.",
            lambda rows, columns, per_line, cache_lines: columns // per_line if rows <= cache_lines else rows * columns,
            lambda rows, columns, per_line, cache_lines: (
                rows // per_line * columns if rows <= cache_lines else rows * columns
            ),
            lambda rows, columns, per_line, cache_lines: (
                -(-rows // per_line) * columns if rows <= cache_lines else rows * columns
            ),
            lambda rows, columns, per_line, cache_lines: rows // per_line if rows <= cache_lines else rows * columns,
        ),
        variants(
            "Where the lines of a column do not fit, *every* access of every column misses: the line that is needed "
            "next is always the one that was dropped.",
            lambda rows, columns, per_line, cache_lines: rows * columns // per_line if rows <= cache_lines else rows,
            lambda rows, columns, per_line, cache_lines: max(rows * columns // per_line, rows * columns - cache_lines),
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line + max(0, rows - cache_lines) * (columns - columns // per_line)
            ),
            lambda rows, columns, per_line, cache_lines: (
                rows * columns // per_line + max(0, rows - cache_lines) * columns
            ),
        ),
    ),
    also_correct=(_column_misses_by_running,),
)
