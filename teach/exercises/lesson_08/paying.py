"""Lesson 08, exercise 8.1: up to which rank two thin matrices pay."""

import math
from fractions import Fraction

import torch

from mini_lib.factorize import low_rank
from mini_lib.factorize.rank import break_even_rank
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def paying_rank(rows: int, columns: int) -> int:
    """The largest rank at which two factors have fewer weights than the matrix; 0 if there is none."""
    return (rows * columns - 1) // (rows + columns)


def _paying_by_trying(rows, columns):
    return max(rank for rank in range(rows + columns) if rank * (rows + columns) < rows * columns or rank == 0)


def _paying_by_fraction(rows, columns):
    return math.ceil(Fraction(rows * columns, rows + columns)) - 1


def _shape_case(generator: torch.Generator) -> Case:
    return Case(random_whole(generator, 3, 90), random_whole(generator, 3, 90))


PAYING_RANK = Exercise(
    id="8.1",
    title="The rank at which it stops paying",
    reference=paying_rank,
    cases=(
        Case(4, 5),
        Case(2, 2),
        Case(2, 3),
        Case(1, 1),
        Case(64, 64),
        Case(1, 7),
        Case(300, 100),
        *random_cases(10, seed=81, make=_shape_case),
    ),
    mistakes=(
        Mistake(
            lambda rows, columns: min(rows, columns),
            "That is full rank, where the two factors are larger than the matrix. Find the largest rank for which "
            "rank * (rows + columns) is below rows * columns.",
        ),
        Mistake(
            lambda rows, columns: min(rows, columns) - 1,
            "One below full rank does not save anything yet: both factors have to be stored. For a square matrix, "
            "savings start below half of full rank.",
        ),
        Mistake(
            lambda rows, columns: rows * columns // (rows + columns),
            "Where the division leaves no remainder, the factors have exactly as many weights as the matrix. They "
            "must have fewer: go one rank lower.",
        ),
        Mistake(
            lambda rows, columns: math.ceil(rows * columns / (rows + columns)),
            "Rounded up, the factors have at least as many weights as the matrix. The last rank that pays is strictly "
            "below rows * columns / (rows + columns).",
        ),
        Mistake(
            lambda rows, columns: round(rows * columns / (rows + columns)),
            "Rounding to the nearest may go up, to a rank that costs more than the matrix. Round down.",
        ),
        Mistake(
            lambda rows, columns: rows * columns / (rows + columns),
            "A rank is a whole number: the largest one below this.",
        ),
        Mistake(
            lambda rows, columns: (rows * columns - 1) // columns,
            "That counts one factor, rank * columns. The other one has rank * rows weights.",
        ),
        Mistake(
            lambda rows, columns: (rows * columns - 1) // rows,
            "That counts one factor, rank * rows. The other one has rank * columns weights.",
        ),
        Mistake(
            lambda rows, columns: max(1, paying_rank(rows, columns)),
            "For some matrices not even rank 1 has fewer weights. Then the answer is 0.",
        ),
        Mistake(
            lambda rows, columns: rows * columns - paying_rank(rows, columns) * (rows + columns),
            "That is how many weights are saved. Return the rank.",
        ),
    ),
    symptoms=(
        variants(
            "Half of full rank is the limit for a square matrix, and even there nothing is saved. Other shapes have "
            "other limits: compare the weights of both factors with those of the matrix.",
            lambda rows, columns: min(rows, columns) // 2,
            lambda rows, columns: min(rows, columns) / 2,
            lambda rows, columns: (min(rows, columns) - 1) // 2,
            lambda rows, columns: min(rows, columns) // 2 - 1,
            lambda rows, columns: max(rows, columns) // 2,
            lambda rows, columns: (rows * columns - 1) // (2 * max(rows, columns)),
        ),
        variants(
            "There are two factors, [rows, rank] and [rank, columns], and nothing between them.",
            lambda rows, columns: max(
                r for r in range(rows + columns) if r * (rows + columns + r) < rows * columns or r == 0
            ),
            lambda rows, columns: max(
                r for r in range(rows + columns) if r * (rows + columns + 1) < rows * columns or r == 0
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got * (arguments["rows"] + arguments["columns"]) >= arguments["rows"] * arguments["columns"] and got > 0
            ),
            "At that rank the two factors have as many weights as the matrix, or more.",
            examples=(lambda rows, columns: rows * columns - rows - columns + 10**6,),
        ),
        Symptom(
            lambda got, expected, arguments: 0 <= got < expected,
            "A larger rank would still save weights: the two factors have rank * (rows + columns) of them.",
            examples=(lambda rows, columns: rows * columns // (2 * (rows + columns)),),
        ),
    ),
    also_correct=(_paying_by_trying, _paying_by_fraction),
    forbidden=(break_even_rank, low_rank.svd_linear_bound),
)
