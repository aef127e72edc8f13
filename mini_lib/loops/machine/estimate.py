"""An estimate of the time of a schedule from its loops, without running it.

Source of the method: Stengel, Treibig, Hager and Wellein, "Quantifying performance bottlenecks of stencil computations
using the Execution-Cache-Memory model", ICS 2015; here everything that can overlap is assumed to overlap.
"""

from dataclasses import dataclass, field

from mini_lib.loops.ir import Loop, Node, Program, need_program
from mini_lib.loops.machine.block import Block, Copy, goes_round, written_out
from mini_lib.loops.machine.model import MachineModel, this_machine
from mini_lib.loops.machine.traffic import SAMPLE_ACCESSES, Traffic, mean_trips, traffic
from mini_lib.loops.machine.work import Work
from mini_lib.loops.meaning.walk import own_names
from mini_lib.require import of_type, whole

LOOP_INSTRUCTIONS = 2  # compare and jump; the pointers are counted with their accesses
FORK_CYCLES = 10_000  # to wake the other cores, and to wait for the last one


@dataclass(frozen=True)
class TimeEstimate:
    """The cycles that a program is expected to take, and their parts.

    - `issue_cycles`: to issue all instructions of its statements (`work`) if none had to wait;
    - `chain_cycles`: added where each result waits for the one before it;
    - `loop_cycles`: added by counters, jumps and entries into loops;
    - `memory_cycles`: for each cache, how long its misses keep the level below it busy (`traffic`).

    The core works while lines are being fetched, so the total is the larger of the core's cycles and the memory's.
    """

    work: Work
    traffic: Traffic
    issue_cycles: float
    chain_cycles: float
    loop_cycles: float
    memory_cycles: tuple[float, ...]
    machine: MachineModel

    @property
    def core_cycles(self) -> float:
        """Cycles of the core with all data in the first cache."""
        return self.issue_cycles + self.chain_cycles + self.loop_cycles

    @property
    def cycles(self) -> float:
        """Total cycles."""
        return max(self.core_cycles, sum(self.memory_cycles))

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.cycles / self.machine.frequency_hz

    @property
    def bound(self) -> str:
        """The part that takes the most time: "instructions", "chain", "loops" or "memory"."""
        if sum(self.memory_cycles) > self.core_cycles:
            return "memory"
        parts = {"instructions": self.issue_cycles, "chain": self.chain_cycles, "loops": self.loop_cycles}
        return max(parts, key=lambda name: parts[name])

    def __str__(self) -> str:
        memory = " + ".join(f"{cycles:,.0f}" for cycles in self.memory_cycles)
        return (
            f"{self.cycles:,.0f} cycles = {1e3 * self.seconds:.3g} ms, bound by {self.bound} "
            f"(core: instructions {self.issue_cycles:,.0f} + chain {self.chain_cycles:,.0f} + "
            f"loops {self.loop_cycles:,.0f}; memory: {memory})"
        )


@dataclass(frozen=True)
class _Core:
    """The cycles of a core for a piece of the tree."""

    work: Work = field(default_factory=Work)
    issue: float = 0.0
    chain: float = 0.0
    loop: float = 0.0

    def __add__(self, more: "_Core") -> "_Core":
        return _Core(self.work + more.work, self.issue + more.issue, self.chain + more.chain, self.loop + more.loop)

    def times(self, count: float, sharers: float = 1) -> "_Core":
        each = count / sharers
        return _Core(self.work * count, self.issue * each, self.chain * each, self.loop * each)


def estimate_time(
    program: Program, machine: MachineModel | None = None, *, sample: int | None = SAMPLE_ACCESSES
) -> TimeEstimate:
    """Estimate the time of a program on a machine (default: `this_machine()`).

    The rules, in the order of application:

    1. Straight-line code (unrolled copies and vectors included) is counted instruction by instruction; the busiest
       unit of the core decides how long it takes (`Work.cycles`).
    2. A loop over straight-line code takes, in each round, the larger of that and of the chain from round to round
       (`Block.chain_cycles`). A loop so short that several fit into the core's window overlaps with its next start.
    3. Each round also costs a compare and a jump, each entry `entry_cycles`.
    4. The lines that each cache misses come from a simulation (`traffic`); a line costs `stream_cycles` where it
       follows its neighbour, otherwise `jump_cycles`. Memory and core overlap.
    5. A parallel loop divides the work among all cores, or among as many as it has iterations.

    Guards count as instructions that always let the statement pass; loops with changing bounds count by their mean.

    Raises:
        ValueError: as `misses`, or `sample` is below 1.

    `y[i] += 3 * x[i]` 1024 times: 2 loads, 1 store, 2 operations in each.

    >>> from mini_lib.loops import nest
    >>> saxpy = nest("for i in range(n):\\n    y[i] += 3 * x[i]", n=1024)
    >>> done = estimate_time(saxpy, MachineModel()).work
    >>> done.loads, done.stores, done.arithmetic
    (2048.0, 1024.0, 2048.0)
    """
    need_program("program", program)
    machine = this_machine() if machine is None else machine
    of_type("machine", machine, MachineModel, fix="pass measure_machine_model(), or leave it out")
    sample = None if sample is None else whole("sample", sample, low=1, fix="use 10_000_000, or None for all")
    core = _body(program, program.body, (), machine)
    moved = traffic(program, machine, sample=sample)
    alone = _body(program, program.body, (), machine, serial=True)
    share = (core.issue + core.chain + core.loop) / max(1e-9, alone.issue + alone.chain + alone.loop)
    memory = tuple(cycles * min(1.0, share) for cycles in moved.cycles(machine))
    return TimeEstimate(core.work, moved, core.issue, core.chain, core.loop, memory, machine)


def core_cycles(program: Program, machine: MachineModel | None = None) -> float:
    """The cycles of the core as if all data were in the first cache: `estimate_time` without simulated caches.

    In each of 128 rounds a sum of 4 cycles waits 5 cycles for a store to arrive, and entering the loop takes 5:

    >>> from mini_lib.loops import reduction
    >>> round(core_cycles(reduction(128), MachineModel()))
    1157
    """
    core = _body(program, program.body, (), machine or this_machine())
    return core.issue + core.chain + core.loop


def _body(
    program: Program, body: tuple[Node, ...], around: tuple[Loop, ...], machine: MachineModel, serial: bool = False
) -> _Core:
    """The cost of one pass through a body: its straight-line code, then the loops in it."""
    copies, pieces = written_out(body)
    total = _Core()
    if copies:
        work = Block(program, machine, copies, around[-1] if around else None).work() * pieces
        total += _Core(work, issue=work.cycles(machine))
    for node in body:
        if goes_round(node):
            total += _loop(program, node, around, machine, serial)
    return total


def _loop(program: Program, loop: Loop, around: tuple[Loop, ...], machine: MachineModel, serial: bool) -> _Core:
    """The cost of one entry into a loop."""
    path = (*around, loop)
    trips = mean_trips(path)[-1]
    if loop.kind == "unrolled" and loop.extent is not None:
        return _body(program, loop.body, path, machine, serial).times(trips)
    inside = _body(program, loop.body, path, machine, serial)
    own = Work(other=LOOP_INSTRUCTIONS)
    if any(goes_round(child) for child in loop.body):
        round_trip = inside + _Core(own, loop=own.cycles(machine))
    else:
        copies, _ = written_out(loop.body)
        both = (inside.work + own).cycles(machine)
        issue = max(both, 1.0)  # no loop takes less than a cycle per round
        length = trips * _chain_goes_on(program, copies, path)
        in_flight = machine.window / max(1.0, (inside.work + own).instructions * length)
        chain = Block(program, machine, copies, loop).chain_cycles() / max(1.0, in_flight)
        round_trip = _Core(inside.work + own, inside.issue, max(0.0, chain - issue), issue - inside.issue)
    if loop.kind == "parallel" and not serial:
        share = round_trip.times(trips, sharers=max(1.0, min(machine.cores, trips)))
        return share + _Core(loop=FORK_CYCLES)
    return round_trip.times(trips) + _Core(loop=machine.entry_cycles)


def _chain_goes_on(program: Program, copies: list[Copy], path: tuple[Loop, ...]) -> float:
    """How often the innermost loop is entered again and continues the same sums."""
    sums = [copy for copy in copies if copy.statement.store in copy.statement.loads]
    entries = 1.0
    if any(i.names & own_names(path[-1]) for copy in sums for i in copy.index(copy.statement.store)):
        return entries  # each round has a sum of its own
    trips = mean_trips(path)
    for loop, count in reversed(list(zip(path[:-1], trips[:-1], strict=True))):
        for copy in sums:
            names = frozenset().union(*(i.names for i in copy.index(copy.statement.store)))
            if names & own_names(loop) or program.buffer(copy.statement.buffer).home == loop.name:
                return entries
        entries *= count
    return entries
