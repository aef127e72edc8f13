"""The parts of a program of loops: buffers, and a tree of loops with statements as its leaves.

Everything here is a frozen value. A rewrite builds a new tree and leaves the old one alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mini_lib.loops.affine import Affine
from mini_lib.loops.buffer import Buffer
from mini_lib.require import of_type, shown


@dataclass(frozen=True)
class Constant:
    """A number in an expression."""

    value: float


@dataclass(frozen=True)
class Load:
    """The element of a buffer that an expression reads."""

    buffer: str
    index: tuple[Affine, ...]


@dataclass(frozen=True)
class Op:
    """An operation: + - * max min, and for floats also / and exp. Of equal values, max and min take the first."""

    name: str
    arguments: tuple["Expression", ...]


Expression = Constant | Load | Op


@dataclass(frozen=True)
class DivMod:
    """Two variables made from one expression: `quotient, remainder = divmod(of, by)`."""

    quotient: str
    remainder: str
    of: Affine
    by: int


@dataclass(frozen=True)
class Statement:
    """A leaf: `buffer[index] = value`, executed only where every guard is >= 0.

    `C[i] += x` is stored as `C[i] = C[i] + x`. `origin` is set while a rewrite is being judged: it gives each variable
    around the statement before the rewrite in terms of the variables after it.
    """

    name: str
    buffer: str
    index: tuple[Affine, ...]
    value: Expression
    guards: tuple[Affine, ...] = ()
    origin: tuple[tuple[str, Affine], ...] | None = None

    @property
    def store(self) -> Load:
        """The element that is written, in the form of an access."""
        return Load(self.buffer, self.index)

    @property
    def loads(self) -> tuple[Load, ...]:
        """The elements that are read, in the order in which they are read."""
        return tuple(loads(self.value))


@dataclass(frozen=True)
class Loop:
    """`for name in range(max(start), min(stop))`, with its body.

    `binds` are variables computed anew in each iteration. `kind` says how the iterations run: "serial",
    "unrolled" (the same order, written out), "vector" (all at once, statement by statement; in each statement
    all loads come before all stores) or "parallel" (in no order). `intrinsic` names the hardware instruction that
    executes the whole loop.
    """

    name: str
    start: tuple[Affine, ...]
    stop: tuple[Affine, ...]
    body: tuple["Node", ...]
    kind: str = "serial"
    binds: tuple[DivMod, ...] = ()
    intrinsic: str = ""

    @property
    def extent(self) -> int | None:
        """The number of iterations if it is constant, else None."""
        if len(self.start) == len(self.stop) == 1 and (self.stop[0] - self.start[0]).is_constant:
            return (self.stop[0] - self.start[0]).constant
        return None

    @property
    def variables(self) -> tuple[str, ...]:
        """The names that have a value inside: its own, and those that it binds."""
        return (self.name, *(one for b in self.binds for one in (b.quotient, b.remainder)))


Node = Loop | Statement


def loads(value: Expression) -> Iterator[Load]:
    """Every load in an expression, from left to right."""
    if isinstance(value, Load):
        yield value
    if isinstance(value, Op):
        for argument in value.arguments:
            yield from loads(argument)


def map_loads(value: Expression, change: Callable[[Load], Expression]) -> Expression:
    """The same expression with every load changed, from left to right."""
    if isinstance(value, Load):
        return change(value)
    if isinstance(value, Op):
        return Op(value.name, tuple(map_loads(argument, change) for argument in value.arguments))
    return value


@dataclass(frozen=True)
class Leaf:
    """A statement in its place: the loops around it, outermost first, and its position among its siblings.

    `positions` has one entry more than `loops`: the place of loops[0] in the program, of loops[1] in the body
    of loops[0], and so on, and of the statement in the innermost body.
    """

    statement: Statement
    loops: tuple[Loop, ...]
    positions: tuple[int, ...]


def leaves(body: tuple[Node, ...], outer: tuple[Loop, ...] = (), positions: tuple[int, ...] = ()) -> Iterator[Leaf]:
    """Every statement in the order of the text, with the loops around it and its position in each."""
    for position, node in enumerate(body):
        here = (*positions, position)
        if isinstance(node, Statement):
            yield Leaf(node, outer, here)
        else:
            yield from leaves(node.body, (*outer, node), here)


def ranges(loops: tuple[Loop, ...]) -> dict[str, tuple[int, int]]:
    """The smallest and largest value (both included) that each variable of these loops can take.

    A box around them: exact where bounds are constant, too wide where a bound depends on an outer loop.
    """
    found: dict[str, tuple[int, int]] = {}
    for loop in loops:
        low = max(start.extremes(found)[0] for start in loop.start)
        high = min(stop.extremes(found)[1] for stop in loop.stop) - 1
        found[loop.name] = (low, high)
        for bind in loop.binds:
            low, high = bind.of.extremes(found)
            found[bind.quotient] = (low // bind.by, high // bind.by)
            same = low // bind.by == high // bind.by
            found[bind.remainder] = (low % bind.by, high % bind.by) if same else (0, bind.by - 1)
    return found


@dataclass(frozen=True)
class Program:
    """Buffers and a tree of loops over them; `mini_lib.loops.Nest` adds the rewrites as methods."""

    name: str
    buffers: tuple[Buffer, ...]
    body: tuple[Node, ...]

    def __post_init__(self) -> None:
        of_type("name", self.name, str, fix="pass the name of the function")
        for what, kinds in (("buffers", (Buffer,)), ("body", (Loop, Statement))):
            for one in of_type(what, getattr(self, what), tuple, fix="make a program with nest(...)"):
                of_type(f"each of {what}", one, kinds, fix="make a program with nest(...)")

    def buffer(self, name: str) -> Buffer:
        """The buffer of this name.

        Raises:
            ValueError: there is none; the message lists the buffers that exist.
        """
        of_type("a buffer", name, str, fix="pass its name")
        for buffer in self.buffers:
            if buffer.name == name:
                return buffer
        names = ", ".join(buffer.name for buffer in self.buffers)
        raise ValueError(f"{self.name} has no buffer {shown(name)}; it has {names}")

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every statement in its place, in the order of the text."""
        return tuple(leaves(self.body))

    @property
    def loop_names(self) -> tuple[str, ...]:
        """The names of all loops, in the order of the text, each once."""
        return tuple(dict.fromkeys(loop.name for loop in all_loops(self.body)))

    @property
    def arguments(self) -> tuple[Buffer, ...]:
        """The buffers that the caller hands in."""
        return tuple(buffer for buffer in self.buffers if buffer.scope == "memory")

    @property
    def outputs(self) -> tuple[str, ...]:
        """The arguments that are written and not temporary: the results of the program."""
        written = {leaf.statement.buffer for leaf in self.leaves}
        return tuple(buffer.name for buffer in self.arguments if buffer.name in written and not buffer.temporary)


def need_program(name: str, value: object) -> Program:
    """Return `value` if it is a program of loops.

    Raises:
        TypeError: it is something else.
    """
    return of_type(name, value, Program, fix="make one with nest(...), or take one such as matmul(64, 64, 64)")


def all_loops(body: tuple[Node, ...]) -> Iterator[Loop]:
    """Every loop, in the order of the text."""
    for node in body:
        if isinstance(node, Loop):
            yield node
            yield from all_loops(node.body)
