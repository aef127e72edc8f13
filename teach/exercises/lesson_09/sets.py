"""Lesson 09, exercise 9.6: the sets that the lines of a column fall into."""

from collections import Counter

import numpy as np
import torch

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def busiest_set(rows: int, row_bytes: int, sets: int, line_bytes: int) -> int:
    """The most lines of one column that fall into the same set of a cache."""
    lines = {i * row_bytes // line_bytes for i in range(rows)}
    return max(Counter(line % sets for line in lines).values())


def _busiest_in_numpy(rows: int, row_bytes: int, sets: int, line_bytes: int) -> np.int64:
    lines = np.unique(np.arange(rows) * row_bytes // line_bytes)
    return np.bincount(lines % sets).max()


def _lines(rows: int, row_bytes: int, line_bytes: int) -> int:
    return len({i * row_bytes // line_bytes for i in range(rows)})


def _counted(rows: int, row_bytes: int, set_of) -> Counter:
    return Counter(set_of(i * row_bytes) for i in range(rows))


def _column(generator: torch.Generator) -> Case:
    row_bytes, line_bytes = (
        16 * (8, 16, 32, 9, 13, 22)[random_whole(generator, 0, 5)],
        (32, 64)[random_whole(generator, 0, 1)],
    )
    return Case(random_whole(generator, 20, 90), row_bytes, 2 ** random_whole(generator, 2, 6), line_bytes)


def _fullest(line, sets: int, rows: int) -> int:
    """The most different lines `line(row)` with one remainder."""
    return max(Counter(one % sets for one in {line(row) for row in range(rows)}).values())


BUSIEST_SET = Exercise(
    id="9.6",
    title="Lines that compete for one set",
    reference=busiest_set,
    cases=(
        Case(4, 64, 4, 64),
        Case(4, 128, 4, 64),
        Case(8, 256, 4, 64),
        Case(8, 16, 4, 64),
        Case(4, 96, 4, 64),
        Case(3, 96, 2, 64),
        Case(8, 64, 4, 32),
        Case(8, 64, 4, 128),
        Case(2, 1024, 64, 64),
        Case(100, 64, 128, 64),
        Case(6, 20, 8, 64),
        Case(512, 4096, 64, 64),
        Case(512, 4160, 64, 64),
        *random_cases(8, seed=96, make=_column),
    ),
    mistakes=(
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: -(-rows // sets),
            "The lines do not spread over the sets by themselves: when row_bytes is a power of two, they use only a "
            "few sets.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: max(_counted(rows, row_bytes, lambda at: at % sets).values()),
            "A set is chosen by the number of the *line*: address // line_bytes comes first.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: max(
                _counted(rows, row_bytes, lambda at: at // line_bytes // sets).values()
            ),
            "Neighbouring lines go to different sets, in turn: the set is the remainder, line % sets.",
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
            "Only lines in the same set compete, not all lines of the column.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: busiest_set(rows, row_bytes, sets, 64),
            "A line is not always 64 bytes: divide by line_bytes.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: Counter(
                line % sets for line in {i * row_bytes // line_bytes for i in range(rows)}
            ).most_common(1)[0][0],
            "That is the number of the fullest set. Return how many lines it gets.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: busiest_set(rows - 1, row_bytes, sets, line_bytes),
            "One row is missing: the rows are numbered 0 to rows - 1.",
        ),
        Mistake(
            lambda rows, row_bytes, sets, line_bytes: sum(
                line % sets == 0 for line in {i * row_bytes // line_bytes for i in range(rows)}
            ),
            "That counts the lines of set 0 only. Another set may have more: count every set.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: (
                isinstance(got, (list, tuple, dict)) and max(got.values() if isinstance(got, dict) else got) == expected
            ),
            "Those are the numbers of lines in each set. Return the largest.",
            examples=(
                lambda rows, row_bytes, sets, line_bytes: Counter(
                    line % sets for line in {i * row_bytes // line_bytes for i in range(rows)}
                ),
                lambda rows, row_bytes, sets, line_bytes: [
                    sum(line % sets == at for line in {i * row_bytes // line_bytes for i in range(rows)})
                    for at in range(sets)
                ],
            ),
        ),
        variants(
            "The set is the remainder of the line's *number*, line % sets. Do not turn it back into an address.",
            lambda rows, row_bytes, sets, line_bytes: _fullest(
                lambda i: i * row_bytes // line_bytes * line_bytes, sets, rows
            ),
        ),
        variants(
            "Neighbouring lines go to different sets, one after the other: the set is `line % sets`, the remainder.",
            lambda rows, row_bytes, sets, line_bytes: max(
                Counter(line // sets for line in {i * row_bytes // line_bytes for i in range(rows)}).values()
            ),
        ),
        variants(
            "A row does not have to begin at the start of a line. Divide the *address* `i * row_bytes`, and round "
            "down.",
            lambda rows, row_bytes, sets, line_bytes: _fullest(lambda i: i * (row_bytes // line_bytes), sets, rows),
            lambda rows, row_bytes, sets, line_bytes: _fullest(lambda i: i * -(-row_bytes // line_bytes), sets, rows),
            lambda rows, row_bytes, sets, line_bytes: _fullest(lambda i: -(-i * row_bytes // line_bytes), sets, rows),
            lambda rows, row_bytes, sets, line_bytes: _fullest(lambda i: i * row_bytes / line_bytes, sets, rows),
            lambda rows, row_bytes, sets, line_bytes: _fullest(lambda i: round(i * row_bytes / line_bytes), sets, rows),
        ),
        variants(
            "That spreads the lines evenly. When a row is a power of two long, the lines of a column use only a few "
            "sets: count set by set.",
            lambda rows, row_bytes, sets, line_bytes: rows // sets,
            lambda rows, row_bytes, sets, line_bytes: rows / sets,
            lambda rows, row_bytes, sets, line_bytes: -(-_lines(rows, row_bytes, line_bytes) // sets),
            lambda rows, row_bytes, sets, line_bytes: _lines(rows, row_bytes, line_bytes) / sets,
            lambda rows, row_bytes, sets, line_bytes: (
                rows // len({i * row_bytes // line_bytes % sets for i in range(rows)})
            ),
        ),
        variants(
            "That is the set with the fewest lines. The fullest one decides.",
            lambda rows, row_bytes, sets, line_bytes: min(
                Counter(line % sets for line in {i * row_bytes // line_bytes for i in range(rows)}).values()
            ),
            lambda rows, row_bytes, sets, line_bytes: min(
                sum(line % sets == at for line in {i * row_bytes // line_bytes for i in range(rows)})
                for at in range(sets)
            ),
        ),
        variants(
            "Row 0 counts as well: the rows are numbered 0 to rows - 1.",
            lambda rows, row_bytes, sets, line_bytes: _fullest(
                lambda i: (i + 1) * row_bytes // line_bytes, sets, rows - 1
            ),
        ),
        variants(
            "Those are all lines of the column. Count only the lines that share one set.",
            lambda rows, row_bytes, sets, line_bytes: _lines(rows, row_bytes, line_bytes),
        ),
        variants(
            "The address of row i is `i * row_bytes`, and its line is the quotient by line_bytes.",
            lambda rows, row_bytes, sets, line_bytes: _fullest(lambda i: i * row_bytes % line_bytes, sets, rows),
        ),
        variants(
            "Those are the lines of the whole matrix. The column has one element per row.",
            lambda rows, row_bytes, sets, line_bytes: _fullest(
                lambda i: i, sets, max(1, rows * row_bytes // line_bytes)
            ),
        ),
    ),
    also_correct=(_busiest_in_numpy,),
)
