"""Which elements are certainly written: before a loop, so a copy is possible, or by each iteration of it."""

from collections.abc import Iterator, Mapping

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Leaf, Loop, Program, ranges
from mini_lib.loops.legality.domain import shared_loops
from mini_lib.loops.rewrites.region import Region


def is_overwritten(program: Program, path: tuple[Loop, ...], buffer: str, box: Region) -> bool:
    """Whether each iteration of the last loop of `path` writes all of a box, each element before it reads it."""
    inside = [leaf for leaf in program.leaves if leaf.loops[: len(path)] == path]
    around = ranges(path)
    readers = [leaf for leaf in inside if any(load.buffer == buffer for load in leaf.statement.loads)]
    return any(
        _covers(program, leaf, len(path), around, box) and all(_comes_first(leaf, one, len(path)) for one in readers)
        for leaf in inside
        if leaf.statement.buffer == buffer
    )


def require_written(program: Program, path: tuple[Loop, ...], buffer: str, box: Region, rewrite: str) -> None:
    """Accept copying a box in at the start of an iteration of the last loop of `path` only if it is written by then.

    Raises:
        ValueError: it is not certain that all of the box is written by then.
    """
    here = program.buffer(buffer)
    touching = [leaf for leaf in program.leaves if buffer in _touched(leaf)]
    given = here.scope == "memory" and not here.temporary
    if given or (here.scope == "memory" and any(load.buffer == buffer for load in touching[0].statement.loads)):
        return  # the caller hands it in
    place = next(leaf for leaf in touching if leaf.loops[: len(path)] == path)
    for leaf in touching:
        shared = shared_loops(leaf, place)
        alive = not here.home or here.home in [one.name for one in leaf.loops[:shared]]
        before = shared < len(path) and leaf.positions[shared] < place.positions[shared]
        if leaf.statement.buffer == buffer and alive and before and _covers(program, leaf, shared, ranges(path), box):
            return
    raise ValueError(
        f"{rewrite}: an iteration of {path[-1].name} would copy a part of {buffer} of which not every element is "
        "certain to be written by then; choose a loop further out, which writes all that it reads"
    )


def _touched(leaf: Leaf) -> set[str]:
    return {leaf.statement.buffer, *(load.buffer for load in leaf.statement.loads)}


def _comes_first(writer: Leaf, reader: Leaf, depth: int) -> bool:
    """Whether a statement writes each element that another one reads, before the other reads it."""
    shared = shared_loops(writer, reader)
    if not writer.positions[shared:] < reader.positions[shared:]:
        return False
    wanted = (load for load in reader.statement.loads if load.buffer == writer.statement.buffer)
    # everything is written before the reader begins; or each element in the same iteration
    return shared == depth or all(load.index == writer.statement.index for load in wanted)


def _covers(program: Program, leaf: Leaf, shared: int, around: Mapping[str, tuple[int, int]], box: Region) -> bool:
    """Whether a statement writes every element of a box in one iteration of its first `shared` loops.

    If a box reaches beyond the array, only the part within the array counts.
    """
    statement, sizes = leaf.statement, program.buffer(leaf.statement.buffer).shape
    bounds = [*statement.index, *(size - 1 - one for size, one in zip(sizes, statement.index, strict=True))]
    if not all(guard in bounds for guard in statement.guards):
        return False
    own = dict(_counters(leaf.loops[shared:]))
    used = [name for subscript in statement.index for name in subscript.names if name in own]
    if not all(own.values()) or len(set(used)) != len(used):
        return False
    around = {**around, **ranges(leaf.loops)}
    for subscript, start, size in zip(statement.index, box.start, box.size, strict=True):
        steps = sorted((count, *own[name]) for name, count in subscript.terms if name in own)
        fixed = Affine(tuple(term for term in subscript.terms if term[0] not in own), subscript.constant)
        first, length = fixed, 1
        for step, low, high in steps:
            if not 0 < step <= length:  # a gap
                return False
            first, length = first + step * low, length + step * (high - low)
        ahead = start - first
        if not ahead.names <= set(around) or ahead.extremes(around)[0] < 0:
            return False
        if ahead.extremes(around)[1] + size > length:
            return False
    return True


def _counters(loops: tuple[Loop, ...]) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """The variables of loops that run independently through whole ranges, with their ends; None where unknown."""
    for loop in loops:
        numbers = len(loop.start) == len(loop.stop) == 1 and loop.start[0].is_constant and loop.stop[0].is_constant
        low, high = (loop.start[0].constant, loop.stop[0].constant) if numbers else (0, 0)
        if not loop.binds and low < high:
            yield loop.name, (low, high - 1)
        elif (
            len(loop.binds) == 1
            and loop.binds[0].of == affine(loop.name)
            and low == high % loop.binds[0].by == 0 < high
        ):
            bind = loop.binds[0]
            yield bind.quotient, (0, high // bind.by - 1)
            yield bind.remainder, (0, bind.by - 1)
        else:
            yield loop.name, None
