"""The iterations of a statement, and the conditions under which two of them touch the same element."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Leaf, Load, Loop, Program, Statement, ranges
from mini_lib.loops.legality.feasible import System, solve

READ, WRITE = 0, 1  # the two phases of a statement, in order


@dataclass(frozen=True)
class Access:
    """One load or store of a statement, and its phase: all loads come before the store."""

    buffer: str
    index: tuple[Affine, ...]
    phase: int


def distinct_accesses(statement: Statement) -> tuple[Access, ...]:
    """The loads of a statement, each element once, then its store."""
    events = [(load, READ) for load in dict.fromkeys(statement.loads)]
    return tuple(Access(load.buffer, load.index, phase) for load, phase in [*events, (statement.store, WRITE)])


def conflicts(first: Statement, second: Statement) -> Iterator[tuple[Access, Access]]:
    """Pairs of accesses of two statements to one buffer, at least one of them a store."""
    for one in distinct_accesses(first):
        for two in distinct_accesses(second):
            if one.buffer == two.buffer and WRITE in (one.phase, two.phase):
                yield one, two


def kind_of(first: Access, second: Access) -> str:
    """The name of the conflict: flow (write, read), anti (read, write) or output (write, write)."""
    if first.phase == second.phase:
        return "output"
    return "flow" if first.phase == WRITE else "anti"


def shared_loops(first: Leaf, second: Leaf) -> int:
    """How many loops, from the outermost on, two statements have in common."""
    shared = 0
    while shared < min(len(first.loops), len(second.loops)) and first.positions[shared] == second.positions[shared]:
        shared += 1
    return shared


def variables(loops: tuple[Loop, ...]) -> tuple[str, ...]:
    """The loop variables and those that the loops bind, from the outside to the inside."""
    return tuple(name for loop in loops for name in loop.variables)


def domain(leaf: Leaf) -> System:
    """The iterations of a statement: its loops' bounds, what they bind, its guards.

    >>> from mini_lib.loops import nest
    >>> [leaf] = nest("for i in range(4):\\n    for j in range(i, 4):\\n        A[j] = 0").leaves
    >>> system = domain(leaf)
    >>> dict(system.ranges), [str(row) for row in system.at_least]
    ({'i': (0, 3), 'j': (0, 3)}, ['-i + j'])
    """
    equal, at_least = [], list(leaf.statement.guards)
    for loop in leaf.loops:
        # constant bounds are in the ranges already
        at_least += [affine(loop.name) - start for start in loop.start if not start.is_constant]
        at_least += [stop - 1 - affine(loop.name) for stop in loop.stop if not stop.is_constant]
        for bind in loop.binds:
            equal.append(bind.of - affine(bind.quotient) * bind.by - affine(bind.remainder))
    return System(ranges(leaf.loops), tuple(equal), tuple(at_least))


def require_in_bounds(program: Program) -> None:
    """Accept a program only if every access is within its array, since compiled code does not check.

    Raises:
        ValueError: a subscript leaves its array.
    """
    for leaf in program.leaves:
        box = ranges(leaf.loops)
        for access in (*leaf.statement.loads, leaf.statement.store):
            for subscript, size in zip(access.index, program.buffer(access.buffer).shape, strict=True):
                low, high = subscript.extremes(box)
                beyond = [-1 - subscript] * (low < 0) + [subscript - size] * (high >= size)
                # guards and other loops may exclude these corners of the box
                points = (solve(domain(leaf).with_(at_least=(one,))) for one in beyond)
                for point in (point for point in points if point is not None):
                    raise ValueError(
                        f"{leaf.statement.name} reaches {subscript} = {subscript.value(point)} in {access.buffer}, "
                        f"which has {size} elements there; change the subscript or the loop's range"
                    )


@dataclass(frozen=True)
class IterationPairs:
    """Two iterations at once: their system, and the variables of each in terms of the system's variables.

    In the loops that both share, the second iteration is the first plus a step. Steps make most systems easy: touching
    the same element again is `step = 0`, whatever the iteration.
    """

    system: System
    first: Mapping[str, Affine]
    second: Mapping[str, Affine]

    def step(self, name: str) -> Affine:
        """The distance from the first iteration to the second in a variable that both have."""
        return self._steps[name]

    @cached_property
    def _steps(self) -> dict[str, Affine]:
        both = [name for name in self.first if name in self.second]
        return {name: self.second[name] - self.first[name] for name in both}


def iteration_pairs(first: Leaf, second: Leaf) -> IterationPairs:
    """All pairs of an iteration of one statement and an iteration of another (or of the same)."""
    one, two = domain(first), domain(second)
    shared = set(variables(first.loops[: shared_loops(first, second)]))
    box = {f"1:{name}": ends for name, ends in one.ranges.items()}
    to_first = {name: affine(f"1:{name}") for name in one.ranges}
    to_second, inside = {}, []
    for name, (low, high) in two.ranges.items():
        if name in shared:
            box[f"step:{name}"] = (low - high, high - low)
            to_second[name] = to_first[name] + f"step:{name}"
            inside += [to_second[name] - low, high - to_second[name]]
        else:
            box[f"2:{name}"] = (low, high)
            to_second[name] = affine(f"2:{name}")
    equal = [row.substitute(to_first) for row in one.equal]
    for row in two.equal:
        # in shared loops only the step matters: quotient and remainder move as their sum does
        known = row.substitute(to_first) if row.names <= shared else Affine()
        equal.append(row.substitute(to_second) - known)
    at_least = [row.substitute(to_first) for row in one.at_least]
    at_least += [row.substitute(to_second) for row in two.at_least]
    return IterationPairs(System(box, tuple(equal), (*at_least, *inside)), to_first, to_second)


def same_element(one: Load | Access, two: Load | Access, pair: IterationPairs) -> tuple[Affine, ...]:
    """The expressions that are 0 if two accesses touch the same element, one equation per axis."""
    return tuple(
        a.substitute(pair.first) - b.substitute(pair.second) for a, b in zip(one.index, two.index, strict=True)
    )


def same_copy(home: str, one: Leaf, two: Leaf, both: IterationPairs) -> tuple[Affine, ...] | None:
    """The expressions that are 0 if two iterations see the same copy of a buffer recreated in each iteration of `home`.

    None if they never do; empty if the buffer lives as long as the program.
    """
    names = [loop.name for loop in one.loops]
    if home not in names or home not in [loop.name for loop in two.loops]:
        return ()
    depth = names.index(home) + 1
    if shared_loops(one, two) < depth:
        return None
    return tuple(both.step(name) for name in names[:depth])
