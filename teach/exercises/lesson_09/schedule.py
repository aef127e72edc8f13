"""Lesson 09, exercise 9.7: a schedule that is ten times faster than the naive order, by the clock."""

from mini_lib.loops import Nest, matmul
from mini_lib.loops import nest as read_nest
from teach.exercise import Case, Exercise, Mistake
from teach.exercises.lesson_09.racing import compare_views, praise, schedule_view


def schedule(nest: Nest) -> Nest:
    """A tile of C, 4 x 16, held in registers while k runs; 16 lanes at a time."""
    nest = nest.tile({"m": 4, "n": 16}).reorder("m.o n.o k m.i n.i")
    return nest.vectorize("n.i").unroll("m.i").cache_write("C", at="n.o", scope="register")


def _rows_at_a_time(nest: Nest) -> Nest:
    return nest.reorder("m k n").split("n", 16).vectorize("n.i")


def _jammed(nest: Nest) -> Nest:
    nest = nest.split("n", 16).reorder("m n.o k n.i").vectorize("n.i").unroll_and_jam("m", 8)
    return nest.cache_write("C", at="n.o", scope="register")


_OTHER = """
for m in range(M):
    for n in range(N):
        for k in range(K):
            C[m, n] = A[m, k] * B[k, n]
"""


def _forgets_the_sum(nest: Nest) -> Nest:
    (m, n), (_, k) = nest.buffer("C").shape, nest.buffer("A").shape
    shapes = {"A": (m, k), "B": (k, n), "C": (m, n)}
    return read_nest(_OTHER, shapes=shapes, M=m, N=n, K=k).reorder("m n k")


SCHEDULE = Exercise(
    id="9.7",
    title="Ten times faster",
    reference=schedule,
    cases=(
        Case(matmul(64, 128, 128)).called("matmul(64, 128, 128)"),
        Case(matmul(128, 192, 128)).called("matmul(128, 192, 128)"),
    ),
    mistakes=(
        Mistake(
            lambda nest: (nest.reorder("m k n"), nest)[1],
            "That is the original nest. A rewrite leaves it unchanged and returns a new one: go on with the new one, "
            "and return it.",
        ),
        Mistake(
            lambda nest: nest.split("k", 8).vectorize("k.i"),
            "All lanes of k add to the same element of C. Vectorize the loop whose iterations write neighbours: n.",
        ),
        Mistake(
            lambda nest: nest.reorder("n k m").split("m", 16).vectorize("m.i"),
            "The vectorized loop runs over elements that are far apart, and they are fetched one by one. One vector "
            "load needs neighbours: vectorize n.",
        ),
        Mistake(
            lambda nest: nest.split("k", 8).unroll("k.i"),
            "Unrolling alone saves the loop counting and little else. The order is unchanged, with one number at a "
            "time.",
        ),
        Mistake(
            lambda nest: nest.reorder("m k n"),
            "Each instruction still works on one number. Split the loop that walks along rows, and vectorize a part.",
        ),
        Mistake(
            lambda nest: nest.tile({"m": 32, "n": 32, "k": 32}),
            "Tiled or not, the innermost loop still adds to one element of C, and each sum waits for the one before "
            "it. Let n, or a small block of C, be innermost.",
        ),
        Mistake(
            _forgets_the_sum,
            "It no longer computes the same result: the sum over all k must be added to the old value of C.",
        ),
        Mistake(lambda nest: str(nest), "That is the text of the loops. Return the nest itself."),
    ),
    also_correct=(_rows_at_a_time, _jammed),
    view=schedule_view,
    compare=compare_views,
    praise=praise,
)
