"""Every access of a small program in the order in which it happens: the definition that legality is held to.

Plain and slow. `mini_lib.loops.legality.violation` answers the same question at any size.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from mini_lib.loops.ir import Leaf, Loop, Node, Program
from mini_lib.loops.legality.domain import READ, Access, distinct_accesses, kind_of, variables
from mini_lib.loops.legality.violation import AT_ONCE, PARTED, SWAPPED, UNORDERED, Iteration, Violation
from mini_lib.loops.show import show_statement

Time = tuple[tuple[int, str], ...]  # numbers from the outside in, each with what it counts


def instances(program: Program) -> Iterator[tuple[Leaf, dict[str, int], Time]]:
    """Every iteration of every statement whose guards hold, as (leaf, variables, time).

    The time goes from the outside in: place in the program, iteration, place in the loop's body, iteration, and so on
    to the statement's place in its innermost loop. Each number comes with its meaning, "place" or the loop's kind.
    """
    by_place = {leaf.positions: leaf for leaf in program.leaves}

    def walk(body: tuple[Node, ...], places: tuple[int, ...], values: dict, time: Time) -> Iterator:
        for place, node in enumerate(body):
            here, now = (*places, place), (*time, (place, "place"))
            if isinstance(node, Loop):
                for inside in _iterations(node, values):
                    yield from walk(node.body, here, inside, (*now, (inside[node.name], node.kind)))
            elif all(guard.value(values) >= 0 for guard in node.guards):
                yield by_place[here], values, now

    yield from walk(program.body, (), {}, ())


def _iterations(loop: Loop, values: dict[str, int]) -> Iterator[dict[str, int]]:
    """The variables in each iteration of a loop, those that it binds among them."""
    start = max(bound.value(values) for bound in loop.start)
    stop = min(bound.value(values) for bound in loop.stop)
    for number in range(start, stop):
        inside = {**values, loop.name: number}
        for bind in loop.binds:
            inside[bind.quotient], inside[bind.remainder] = divmod(bind.of.value(inside), bind.by)
        yield inside


def before_or_after(one: Time, two: Time) -> tuple[int, str]:
    """-1, 1 or 0 (no order, or the same time) for two times, and the kind of loop that decides it.

    >>> before_or_after(((0, "place"), (3, "serial")), ((0, "place"), (2, "serial")))
    (1, 'serial')
    >>> before_or_after(((0, "place"), (3, "parallel")), ((0, "place"), (2, "parallel")))
    (0, 'parallel')
    """
    for (a, kind), (b, _) in zip(one, two, strict=False):
        if a != b:
            return (0 if kind == "parallel" else -1 if a < b else 1), kind
    return 0, "same"


def event_time(time: Time, phase: int) -> Time:
    """The time of one access: after its iteration comes its phase, loads (0) before the store (1).

    In a vector loop the lane comes last: place in the body, phase, lane.

    >>> event_time(((0, "place"), (3, "serial"), (0, "place")), 1)
    ((0, 'place'), (3, 'serial'), (0, 'place'), (1, 'place'))
    >>> event_time(((0, "place"), (3, "vector"), (0, "place")), 1)
    ((0, 'place'), (0, 'vector'), (1, 'vector'), (3, 'lane'))
    """
    if len(time) > 1 and time[-2][1] == "vector":
        return (*time[:-2], (time[-1][0], "vector"), (phase, "vector"), (time[-2][0], "lane"))
    return (*time, (phase, "place"))


@dataclass(frozen=True)
class _Event:
    """One access in one iteration: when it happened before the rewrite, and when after it.

    `then_copy` and `now_copy` are the iteration in which the buffer was made: () for one that lives throughout.
    """

    then: Time
    now: Time
    then_copy: Time
    now_copy: Time
    access: Access
    leaf: Leaf
    iteration: tuple[tuple[str, int], ...]

    def instance(self) -> Iteration:
        """Who made this access."""
        statement = self.leaf.statement
        return Iteration(statement.name, show_statement(statement), dict(self.iteration))


def violation_by_enumeration(before: Program, after: Program) -> Violation | None:
    """The same as `legality.violation`, by looking at every pair of accesses; for small programs.

    The pair found is the earliest in the old order.
    """
    return next(iter(violations_by_enumeration(before, after)), None)


def violations_by_enumeration(before: Program, after: Program) -> list[Violation]:
    """Every pair of accesses to one element that loses its order, the earliest in the old order first."""
    old = {}  # where and when each old iteration ran
    for leaf, values, time in instances(before):
        old[leaf.statement.name, tuple(values.items())] = leaf, time
    sources = {leaf.statement.name: variables(leaf.loops) for leaf in before.leaves}
    touched = defaultdict(list)
    for leaf, values, time in instances(after):
        name = leaf.statement.name
        origin = dict(leaf.statement.origin or ())
        iteration = tuple(
            (variable, origin[variable].value(values) if variable in origin else values[variable])
            for variable in sources[name]
        )
        there, then = old[name, iteration]
        for access in distinct_accesses(there.statement):
            index = tuple(subscript.value(dict(iteration)) for subscript in access.index)
            touched[access.buffer, index].append(
                _Event(
                    event_time(_as_text(then), access.phase),
                    event_time(time, access.phase),
                    _made(before, access.buffer, there, then),
                    _made(after, access.buffer, leaf, time),
                    access,
                    there,
                    iteration,
                )
            )
    found = []
    for element, events in touched.items():
        if all(event.access.phase == READ for event in events):
            continue  # what nobody writes may be read in any order
        for one, two in combinations(sorted(events, key=lambda event: event.then), 2):
            why = _why(one, two)
            if why:
                found.append((one.then, two.then, element, one, two, why))
    return [
        Violation(one.instance(), two.instance(), element, kind_of(one.access, two.access), why)
        for _, _, element, one, two, why in sorted(found, key=lambda item: item[:3])
    ]


def _as_text(time: Time) -> Time:
    """The time in a program whose loops are all serial."""
    return tuple((number, "place") for number, _ in time)


def _made(program: Program, buffer: str, leaf: Leaf, time: Time) -> Time:
    """When the copy of a buffer that an iteration sees was made: the time up to its home loop's iteration."""
    names = [loop.name for loop in leaf.loops]
    home = program.buffer(buffer).home
    return time[: 2 * names.index(home) + 2] if home in names else ()


def _why(one: _Event, two: _Event) -> str | None:
    """What is wrong with two accesses to one element, the first before the second in the old program."""
    if one.then == two.then or one.access.phase == two.access.phase == READ:
        return None
    shared_then, shared_now = one.then_copy == two.then_copy, one.now_copy == two.now_copy
    if shared_then and not shared_now:
        return PARTED
    if not shared_then and not shared_now:
        return None
    order, kind = before_or_after(one.now, two.now)
    if order < 0:
        return None
    if order == 0:
        return UNORDERED
    return AT_ONCE if kind == "vector" else SWAPPED
