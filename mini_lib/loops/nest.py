"""A program of loops with its rewrites as methods: each returns a new nest and leaves the old one as it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mini_lib.loops.ir import Program
from mini_lib.loops.parse import parse_program
from mini_lib.loops.rewrites import marks, order, placing, sequence, staging, storage, tensorize
from mini_lib.loops.show import show_program


@dataclass(frozen=True)
class Nest(Program):
    """A program of loops that can be rewritten: `matmul(64, 64, 64).tile("m n", 16).vectorize("n.i")`.

    Make one with `nest`, or take one from `mini_lib.loops.kernels`. `print` shows its loops.
    """

    reorder = order.reorder
    split = order.split
    tile = order.tile
    fuse = order.fuse
    skew = order.skew
    unroll = marks.unroll
    unroll_and_jam = marks.unroll_and_jam
    vectorize = marks.vectorize
    parallelize = marks.parallelize
    fusion = sequence.fusion
    fission = sequence.fission
    peel = sequence.peel
    compute_at = placing.compute_at
    double_buffer = placing.double_buffer
    cache_read = staging.cache_read
    cache_write = staging.cache_write
    layout = storage.layout
    pad = storage.pad
    tensorize = tensorize.tensorize

    def __str__(self) -> str:
        return show_program(self)


def nest(
    source: str | Callable,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dtype: str | Mapping[str, str] = "f32",
    temporaries: Sequence[str] = (),
    **sizes: int,
) -> Nest:
    """A nest from a small Python function or from text; see `mini_lib.loops.parse.parse_program` for the rules.

    Raises:
        ValueError: the source is not an affine nest of loops; the message quotes the line and says how to fix it.

    >>> def saxpy(y, x, n):
    ...     for i in range(n):
    ...         y[i] += 3 * x[i]
    >>> print(nest('''
    ... for i in range(n):
    ...     y[i] += 3 * x[i]
    ... ''', n=8).split("i", 4))
    for i.o in range(2):
        for i.i in range(4):
            y[i.i + 4*i.o] += 3 * x[i.i + 4*i.o]
    """
    program = parse_program(source, shapes=shapes, dtype=dtype, temporaries=temporaries, **sizes)
    return Nest(program.name, program.buffers, program.body)
