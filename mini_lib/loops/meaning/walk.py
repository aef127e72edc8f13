"""The order in which a program executes its statements; everything that runs or traces a program uses it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mini_lib.loops.affine import Affine
from mini_lib.loops.ir import Load, Loop, Node, Program, Statement

LoopValues = dict[str, int]


@dataclass(frozen=True)
class Instance:
    """One statement, executed once: at one point, or at all lanes of a vector loop together.

    `points` gives the value of every loop variable, once for each lane where the guards hold; the dicts are valid until
    the next step of the walk. `lanes` is the vector loop, or None where the statement runs as scalar code: outside a
    vector loop, or under a guard that holds for only some lanes.
    """

    statement: Statement
    points: tuple[LoopValues, ...]
    lanes: Loop | None = None


def _nothing(_: Loop) -> None:
    """Do nothing: the default at the start of an iteration."""


def walk(program: Program, enter: Callable[[Loop], None] = _nothing) -> Iterator[Instance]:
    """Every statement with every point at which it is executed, in the program's order.

    A parallel loop is walked in serial order, which is one of the orders that it allows.
    `enter(loop)` is called at the start of every iteration of a loop that is not a vector loop.

    Raises:
        ValueError: a vector loop holds another loop, or has no constant number of iterations.
    """
    point: LoopValues = {}
    for node in program.body:
        yield from _walk(node, point, enter)


def _walk(node: Node, point: LoopValues, enter: Callable[[Loop], None]) -> Iterator[Instance]:
    if isinstance(node, Statement):
        if all(guard.value(point) >= 0 for guard in node.guards):
            yield Instance(node, (point,))
    elif node.kind == "vector":
        yield from _walk_lanes(node, point)
    else:
        for _ in iterate(node, point):
            enter(node)
            for child in node.body:
                yield from _walk(child, point, enter)


def _walk_lanes(loop: Loop, point: LoopValues) -> Iterator[Instance]:
    check_vector(loop)
    lanes = tuple(dict(point) for _ in iterate(loop, point))
    for statement in loop.body:
        on = tuple(p for p in lanes if all(guard.value(p) >= 0 for guard in statement.guards))
        if on:
            yield Instance(statement, on, None if has_lane_guard(statement, loop) else loop)


def iterate(loop: Loop, point: LoopValues) -> Iterator[None]:
    """Step through a loop: its variable and its binds are set in `point`, and gone at the end."""
    start = max(bound.value(point) for bound in loop.start)
    stop = min(bound.value(point) for bound in loop.stop)
    for point[loop.name] in range(start, stop):
        for bind in loop.binds:
            point[bind.quotient], point[bind.remainder] = divmod(bind.of.value(point), bind.by)
        yield
    for name in own_names(loop):
        point.pop(name, None)


def own_names(loop: Loop) -> frozenset[str]:
    """The variables that a loop sets: its own, and those computed from it."""
    return frozenset(loop.variables)


def check_vector(loop: Loop) -> None:
    """Raise a ValueError for a loop that cannot run as a vector loop."""
    if any(isinstance(child, Loop) for child in loop.body):
        raise ValueError(
            f"vector loop {loop.name} holds another loop; vectorize an innermost loop, or unroll the inner one"
        )
    if not loop.extent:
        raise ValueError(
            f"vector loop {loop.name} has no constant number of iterations; split it with a factor that divides"
        )


def has_lane_guard(statement: Statement, loop: Loop) -> bool:
    """Whether a guard can hold for some lanes of a vector loop and not for others."""
    own = own_names(loop)
    return any(guard.names & own for guard in statement.guards)


def lane_step(loop: Loop, offset: Affine) -> int | None:
    """How far an element offset moves from lane to lane: 0 is one element, 1 is a wide access.

    None where it does not move evenly, because the offset takes a quotient or remainder of the lane.

    >>> lanes = Loop("n.l", (Affine(),), (Affine((), 8),), (), "vector")
    >>> lane_step(lanes, Affine((("m", 512), ("n.l", 1))))
    1
    """
    if offset.names & (own_names(loop) - {loop.name}):
        return None
    return offset.coefficient(loop.name)


def accesses(statement: Statement) -> tuple[tuple[Load, bool], ...]:
    """The accesses of a statement, the loads and then the store, each with whether it writes."""
    return (*((load, False) for load in statement.loads), (statement.store, True))
