"""The cost of a piece of straight-line code: its instructions, and the chain of results that wait for each other.

The code between two loop headers is written out statement by statement, as a compiler sees it. A value that was just
loaded or stored is still in a register, unless a store to another argument has come in between: the two might overlap,
and the compiler must assume that they do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import ceil

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Constant, Expression, Load, Loop, Node, Op, Program, Statement
from mini_lib.loops.machine.model import MachineModel
from mini_lib.loops.machine.work import Work
from mini_lib.loops.meaning.walk import has_lane_guard, lane_step, own_names

_INSTRUCTIONS = {"/": 4, "exp": 20}  # instructions per operation; other operations take one
_MOST_COPIES = 256  # copies of unrolled code that are examined one by one
CHAIN_ROUNDS = 8  # rounds of a loop until a chain is steady
GUARD_INSTRUCTIONS = 2  # compare, jump
Place = tuple[str, tuple[tuple[str, int], ...], str]


@dataclass(frozen=True)
class Copy:
    """A statement in the written-out code: its subscripts with the unrolled variables filled in."""

    statement: Statement
    values: Mapping[str, Affine]
    lanes: Loop | None = None

    def index(self, access: Load) -> tuple[Affine, ...]:
        """The subscripts of an access in this copy."""
        return tuple(one.substitute(self.values) for one in access.index)


def written_out(body: tuple[Node, ...]) -> tuple[list[Copy], float]:
    """The straight-line code directly in a body, without inner loops, and how many such pieces there are.

    Usually there is 1; where an unrolled loop has very many copies, one of them represents all.
    """
    straight = tuple(node for node in body if not goes_round(node))
    pieces = 1.0
    copies: list[Copy] = []
    for node in straight:
        found = list(_copies(node, {}))
        copies += found[:_MOST_COPIES]
        if len(found) > _MOST_COPIES:
            pieces = max(pieces, len(found) / _MOST_COPIES)
    return copies, pieces


def goes_round(node: Node) -> bool:
    """Whether a node is, or holds, a loop with a counter and a jump."""
    if isinstance(node, Statement):
        return False
    if node.kind in ("serial", "parallel") or node.extent is None:
        return True
    return any(goes_round(child) for child in node.body)


def _copies(node: Node, values: Mapping[str, Affine], lanes: Loop | None = None) -> Iterator[Copy]:
    if isinstance(node, Statement):
        yield Copy(node, values, lanes)
    elif node.kind == "vector":
        for child in node.body:
            yield from _copies(child, values, node)
    else:
        start = node.start[0].substitute(values)
        for step, child in product(range(node.extent or 0), node.body):
            yield from _copies(child, {**values, node.name: start + step})


@dataclass
class Block:
    """The written-out code inside one loop, or outside all loops (`loop` is None)."""

    program: Program
    machine: MachineModel
    copies: list[Copy]
    loop: Loop | None = None
    _stored: set[str] = field(init=False)
    _spilled: float = field(init=False)

    def __post_init__(self) -> None:
        self._stored = {copy.statement.buffer for copy in self.copies}
        self._spilled = self._spilled_share()

    def work(self) -> Work:
        """The instructions of one pass through the code."""
        total, pointers = Work(), set()
        known: dict[Place, set[int]] = {}  # the contents of registers: constant parts, for each moving part
        for copy in self.copies:
            statement, times = copy.statement, 1
            scalar = copy.lanes is not None and has_lane_guard(statement, copy.lanes)
            if scalar:  # the guard holds for some lanes only: one after the other
                times = copy.lanes.extent or 1
            one = Work(other=GUARD_INSTRUCTIONS * len(statement.guards))
            for load in statement.loads:
                if self._is_hoisted(load, copy):
                    continue
                place, constant = self._place(load, copy)
                if constant in known.get(place, ()) and not scalar and not self._is_too_wide(copy):
                    continue
                known.setdefault(place, set()).add(constant)
                one += self._access(load, copy, False, scalar)
                pointers |= self._pointer(place)
            one += self._arithmetic(statement, copy, scalar)
            one += self._access(statement.store, copy, True, scalar)
            place, constant = self._place(statement.store, copy)
            pointers |= self._pointer(place)
            self._forget(known, place, constant)
            total += one * times
        return total + Work(other=len(pointers))

    def chain_cycles(self) -> float:
        """The cycles between one round of the loop and the next, on a machine with unlimited units.

        A round waits only for results of earlier rounds. From a store to a load in a later round it takes
        `forward_cycles`; within a round the compiler passes the value on in a register.
        """
        if self.loop is None or not any(
            load.buffer == copy.statement.buffer or self.program.buffer(load.buffer).scope != "memory"
            for copy in self.copies
            for load in copy.statement.loads
        ):
            return 0.0
        ready: dict[object, tuple[float, int]] = {}
        ends = []
        for turn in range(CHAIN_ROUNDS):
            for copy in self.copies:
                times = iter([self._arrival(ready, load, copy, turn) for load in copy.statement.loads])
                end = _end(copy.statement.value, times, self._latency_cycles(copy))
                ready[self._at_turn(copy.statement.store, copy, turn)] = (end, turn)
            ends.append(max(time for time, _ in ready.values()))
        half = CHAIN_ROUNDS // 2
        return (ends[-1] - ends[half - 1]) / (CHAIN_ROUNDS - half)

    def _arrival(self, ready: dict, load: Load, copy: Copy, turn: int) -> float:
        """The time at which a loaded value is available."""
        time, when = ready.get(self._at_turn(load, copy, turn), (0.0, turn))
        in_memory = self.program.buffer(load.buffer).scope != "register" or self._spilled > 0.5
        return time + self.machine.forward_cycles * (in_memory and when < turn)

    def _at_turn(self, access: Load, copy: Copy, turn: int) -> object:
        """The element that an access touches in a given round of the loop."""
        here = {self.loop.name: affine(turn)}
        return access.buffer, tuple(one.substitute(here) for one in copy.index(access))

    def _latency_cycles(self, copy: Copy) -> float:
        wide = copy.lanes is not None and not has_lane_guard(copy.statement, copy.lanes)
        return self.machine.vector_latency_cycles if wide else self.machine.latency_cycles

    def _arithmetic(self, statement: Statement, copy: Copy, scalar: bool) -> Work:
        element_bytes = self.program.buffer(statement.buffer).element_bytes
        wide = 1 if scalar else self._registers_of(copy, element_bytes)
        return Work(arithmetic=wide * _operations(statement.value))

    def _access(self, access: Load, copy: Copy, is_write: bool, scalar: bool) -> Work:
        """The instructions of one access: one per register's worth of neighbours, otherwise one per lane."""
        buffer = self.program.buffer(access.buffer)
        count, moves = 1, 0
        if copy.lanes is not None and not scalar:
            step = lane_step(copy.lanes, buffer.offset(access.index))
            lanes = copy.lanes.extent or 1
            if buffer.scope == "register" and own_names(copy.lanes) & _outer_names(access):
                step = None  # vector variables run along the last axis
            if step == 1:
                count = self._registers_of(copy, buffer.element_bytes)
            elif step != 0:
                count = moves = lanes  # each element is inserted into the vector, or extracted from it
        if buffer.scope == "register":
            count *= self._spilled
        return Work(count * (not is_write), count * is_write, moves)

    def _registers_of(self, copy: Copy, element_bytes: int) -> int:
        """How many machine vectors the lanes of a statement fill."""
        lanes = copy.lanes.extent or 1 if copy.lanes is not None else 1
        return ceil(lanes / self.machine.lanes(element_bytes))

    def _is_too_wide(self, copy: Copy) -> bool:
        """Whether a statement's vectors are wider than the machine's: compilers keep such vectors in memory."""
        return self._registers_of(copy, self.program.buffer(copy.statement.buffer).element_bytes) > 1

    def _spilled_share(self) -> float:
        """The share of the register buffers' elements for which the machine has no register."""
        needed: dict[object, int] = {}
        for copy in self.copies:
            for access in (copy.statement.store, *copy.statement.loads):
                buffer = self.program.buffer(access.buffer)
                if buffer.scope == "register":
                    if self._is_too_wide(copy):
                        return 1.0
                    first = {} if copy.lanes is None else {copy.lanes.name: copy.lanes.start[0]}
                    place = tuple(one.substitute(first) for one in copy.index(access))
                    apart = copy.lanes is not None and own_names(copy.lanes) & _outer_names(access)
                    needed[access.buffer, place] = (copy.lanes.extent or 1) if apart else 1
        room = self.machine.vector_registers - 3  # operands and results in flight
        return max(0.0, 1 - room / max(1, sum(needed.values())))

    def _is_hoisted(self, load: Load, copy: Copy) -> bool:
        """Whether a load is the same in every round, and no store in the loop may change the loaded element."""
        if self.loop is None:
            return False
        if any(one.names & own_names(self.loop) for one in copy.index(load)):
            return False
        return not any(self._may_overlap(load.buffer, stored) for stored in self._stored)

    def _may_overlap(self, one: str, other: str) -> bool:
        scopes = {self.program.buffer(one).scope, self.program.buffer(other).scope}
        return one == other or scopes == {"memory"}

    def _place(self, access: Load, copy: Copy) -> tuple[Place, int]:
        """The place of an access: the array, the part that moves, and the lanes; and the constant part."""
        offset = self.program.buffer(access.buffer).offset(copy.index(access))
        lanes = copy.lanes.name if copy.lanes is not None else ""
        return (access.buffer, offset.terms, lanes), offset.constant

    def _forget(self, known: dict[Place, set[int]], place: Place, constant: int) -> None:
        """After a store: elements that may have changed must be loaded again, and the stored one is known."""
        for other in list(known):
            if other[0] == place[0]:
                if other != place:
                    del known[other]  # elements at a fixed distance are known to differ
            elif self._may_overlap(other[0], place[0]):
                del known[other]
        known.setdefault(place, set()).add(constant)

    def _pointer(self, place: Place) -> set[Place]:
        """The address that must be advanced in each round; copies at a fixed distance share one."""
        if self.loop is None or self.program.buffer(place[0]).scope == "register":
            return set()
        moves = any(name in own_names(self.loop) for name, _ in place[1])
        return {place} if moves else set()


def _outer_names(access: Load) -> frozenset[str]:
    return frozenset().union(*(subscript.names for subscript in access.index[:-1]))


def _operations(value: Expression) -> int:
    if not isinstance(value, Op):
        return 0
    return _INSTRUCTIONS.get(value.name, 1) + sum(_operations(one) for one in value.arguments)


def _end(value: Expression, times: Iterator[float], latency_cycles: float) -> float:
    """The time at which a value is available: an operation waits for its later operand; `times` are those of the
    loads."""
    if isinstance(value, Load):
        return next(times)
    if isinstance(value, Constant):
        return 0.0
    own = latency_cycles * _INSTRUCTIONS.get(value.name, 1)
    return own + max(_end(one, times, latency_cycles) for one in value.arguments)
