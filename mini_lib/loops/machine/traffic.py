"""A program's cache traffic: the lines that each level fetches, and whether they follow each other in memory."""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from mini_lib.loops.affine import Affine
from mini_lib.loops.caches.count import count_accesses
from mini_lib.loops.ir import Leaf, Load, Loop, Program
from mini_lib.loops.machine.model import MachineModel
from mini_lib.loops.machine.sample import quick_misses
from mini_lib.loops.meaning.walk import accesses

SAMPLE_ACCESSES = 10_000_000  # about 0.1 s of simulation
STREAM_LINES = 4  # a prefetcher starts after this many lines in a row


@dataclass(frozen=True)
class Traffic:
    """The cache lines that move at each level, first level first, and the share of them that jumps.

    `fills[0]` is the number of lines that the first level fetches, `write_backs[0]` the number of changed lines that it
    sends down, and so on. `jump_share` (0 to 1) is the share of fetched lines that no prefetcher can predict, and
    `back_share` is that share among the lines that are stored to.
    """

    fills: tuple[float, ...]
    write_backs: tuple[float, ...]
    jump_share: float = 0.0
    back_share: float = 0.0

    def cycles(self, machine: MachineModel) -> tuple[float, ...]:
        """The cycles for which each level is busy.

        10 lines, half of them in a row at 2 cycles, half of them jumps at 4:

        >>> machine = MachineModel(stream_cycles=(2, 6), jump_cycles=(4, 20))
        >>> Traffic(fills=(10, 0), write_backs=(0, 0), jump_share=0.5).cycles(machine)
        (30.0, 0.0)
        """
        stream, jump, back = machine.stream_cycles, machine.jump_cycles, machine.back_cycles
        return tuple(
            self.fills[at] * _between(stream[at], jump[at], self.jump_share)
            + self.write_backs[at] * _between(stream[at], back[at], self.back_share)
            for at in range(len(stream))
        )


def _between(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def traffic(program: Program, machine: MachineModel, *, sample: int | None = SAMPLE_ACCESSES) -> Traffic:
    """The lines that move when a program runs again and again, from a simulation of the machine's caches.

    The simulation is exact and starts empty. At a level that holds all of the program's arrays, first fetches are
    subtracted again: there the lines remain from the last run.

    A program that makes more than `sample` accesses is simulated in part: the first few iterations of its outermost
    loop, and equally many after them, which represent all further ones. `sample=None` simulates everything.

    Raises:
        ValueError: `sample` is below 1; or as `misses`.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"sample must be 1 access or more, or None, got {sample}; use 10_000_000")
    moved = _simulated(program, machine, sample)
    footprint_bytes = sum(b.stored_bytes for b in program.buffers if b.scope != "register")
    fills, write_backs = [], []
    for level, (fetched, sent) in enumerate(moved):
        cache = machine.caches[level]
        first = footprint_bytes / cache.line_bytes if footprint_bytes <= cache.size_bytes else 0
        fills.append(max(0.0, float(fetched) - first))
        write_backs.append(float(sent))
    line_bytes = machine.caches[0].line_bytes
    return Traffic(
        tuple(fills),
        tuple(write_backs),
        jump_share(program, line_bytes),
        jump_share(program, line_bytes, stores_only=True),
    )


def _simulated(program: Program, machine: MachineModel, sample: int | None) -> np.ndarray:
    few = _iterations_to_simulate(program, sample)
    if few is None:
        return _moved(program, machine)
    first = _moved(_first_iterations(program, few), machine)
    both = _moved(_first_iterations(program, 2 * few), machine)
    return both + (program.body[0].extent - 2 * few) / few * (both - first)


def _moved(program: Program, machine: MachineModel) -> np.ndarray:
    """Lines fetched and lines sent down, for each level: float [levels, 2]."""
    return np.array([(level.fills, level.write_backs) for level in quick_misses(program, *machine.caches)], float)


def _iterations_to_simulate(program: Program, sample: int | None) -> int | None:
    """How many iterations of the outermost loop make half of the sample; None where all are to be simulated."""
    if sample is None or len(program.body) != 1 or not isinstance(program.body[0], Loop):
        return None
    count, extent = count_accesses(program), program.body[0].extent
    if count <= sample or extent is None or extent < 4 or program.body[0].kind not in ("serial", "parallel"):
        return None
    few = max(1, sample * extent // (2 * count))
    return few if 2 * few < extent else None


def _first_iterations(program: Program, count: int) -> Program:
    outer = program.body[0]
    return replace(program, body=(replace(outer, stop=(outer.start[0] + count,)),))


def jump_share(program: Program, line_bytes: int = 64, *, stores_only: bool = False) -> float:
    """The share of the lines a program walks over that do not follow each other in memory, 0 to 1.

    Each access is followed from the innermost loop outwards as long as its elements are contiguous. A prefetcher
    catches up with a run of 4 lines or more; every line of a shorter run is a jump.

    Row by row there is no jump. Down a column each element is a jump, and a row has only one line for 16 elements:

    >>> from mini_lib.loops import transpose
    >>> jump_share(transpose(256, 256)) == 1 / (1 + 1 / 16)
    True
    """
    jumps = total = 0.0
    for leaf in program.leaves:
        for access, is_write in accesses(leaf.statement):
            if stores_only and not is_write:
                continue
            if program.buffer(access.buffer).scope != "register":
                run_bytes, runs = _runs(program, access, leaf)
                lines = runs * max(1.0, run_bytes / line_bytes)
                total += lines
                jumps += lines * (run_bytes < STREAM_LINES * line_bytes)
    return jumps / total if total else 0.0


def _runs(program: Program, access: Load, leaf: Leaf) -> tuple[int, float]:
    """How many bytes an access covers without a gap, and how often it begins again."""
    buffer = program.buffer(access.buffer)
    offset = buffer.offset(access.index)
    run_bytes, runs, has_moved, has_jumped = buffer.element_bytes, 1.0, False, False
    trips = mean_trips(leaf.loops)
    for loop, count in zip(reversed(leaf.loops), reversed(trips), strict=True):
        step_bytes = abs(offset.coefficient(loop.name)) * buffer.element_bytes
        has_moved = has_moved or step_bytes > 0
        if step_bytes and step_bytes <= run_bytes and not has_jumped:
            run_bytes += step_bytes * (ceil(count) - 1)
        elif has_moved:
            runs *= count
            has_jumped = has_jumped or step_bytes > 0
    return run_bytes, runs


def mean_trips(loops: tuple[Loop, ...]) -> list[float]:
    """The iterations of each loop per entry, outermost first.

    Where the bounds change, it uses their values in the middle of the loops around: exact for a triangle.

    >>> from mini_lib.loops.affine import affine
    >>> triangle = Loop("i", (affine(0),), (affine(9),), ()), Loop("j", (affine(0),), (affine("i") + 1,), ())
    >>> mean_trips(triangle)
    [9.0, 5.0]
    """
    middle: dict[str, float] = {}
    trips = []
    for loop in loops:
        start = max(_at(bound, middle) for bound in loop.start)
        stop = min(_at(bound, middle) for bound in loop.stop)
        trips.append(max(0.0, stop - start))
        middle[loop.name] = max(start, (start + stop - 1) / 2)
        for bind in loop.binds:
            middle[bind.quotient] = _at(bind.of, middle) // bind.by
            middle[bind.remainder] = (bind.by - 1) / 2
    return trips


def _at(bound: Affine, values: dict[str, float]) -> float:
    return float(bound.constant + sum(count * values[name] for name, count in bound.terms))
