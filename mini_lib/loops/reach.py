"""The range of a program's index arithmetic: C must know whether 32 bits are enough, and 64 bits must suffice."""

from collections.abc import Iterator, Mapping

from mini_lib.loops.affine import Affine
from mini_lib.loops.ir import Leaf, Program, ranges
from mini_lib.require import shown

MAX_INT32, MAX_INT64 = 2**31 - 1, 2**63 - 1


def largest_index(program: Program) -> int:
    """A bound of every number, including partial sums, in bounds, guards, subscripts and offsets (in bytes).

    >>> from mini_lib.loops import matmul
    >>> largest_index(matmul(m=4, n=8, k=2))        # C[m, n] is float 8*m + n of 32, the last at byte 4 * 31
    124
    """
    return max((size for leaf in program.leaves for size in _sizes(leaf, program)), default=0)


def require_64_bits(program: Program) -> Program:
    """Return the program if 64 bits hold every number that its index arithmetic takes.

    Raises:
        ValueError: they do not.
    """
    largest = largest_index(program)
    if largest > MAX_INT64:
        raise ValueError(
            f"the bounds, guards or subscripts of {program.name} reach {shown(largest)}, which does not fit into "
            "64 bits; use smaller numbers"
        )
    return program


def _sizes(leaf: Leaf, program: Program) -> Iterator[int]:
    box = ranges(leaf.loops)
    for loop in leaf.loops:
        for bound in (*loop.start, *loop.stop):
            yield _size(bound, box) + 1
        for bind in loop.binds:
            yield _size(bind.of, box) + 2 * bind.by
    for guard in leaf.statement.guards:
        yield _size(guard, box) + 1
    for access in (*leaf.statement.loads, leaf.statement.store):
        buffer = program.buffer(access.buffer)
        pairs = zip(buffer.strides, access.index, strict=True)
        yield sum(stride * _size(subscript, box) for stride, subscript in pairs) * buffer.element_bytes


def _size(value: Affine, box: Mapping[str, tuple[int, int]]) -> int:
    """The sum of the magnitudes of its parts, which no partial sum exceeds, in whatever order."""
    return abs(value.constant) + sum(abs(count) * max(map(abs, box[name])) for name, count in value.terms)
