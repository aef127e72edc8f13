"""The roofline of a program of loops: what no schedule can beat."""

from math import prod

from mini_lib.loops.ir import Op, Program
from mini_lib.loops.machine.model import MachineModel, this_machine
from mini_lib.loops.machine.traffic import mean_trips
from mini_lib.loops.meaning.walk import accesses


def roofline_seconds(program: Program, machine: MachineModel | None = None) -> float:
    """The least time that a program's operations and arrays allow, whatever its schedule.

    max(operations / peak, bytes / bandwidth): one core, each array moved once. It does not see the schedule, so
    it ranks nothing; it says how far the best schedule is from the machine's limits.

    Source: Williams, Waterman and Patterson, "Roofline", CACM 2009.

    >>> from mini_lib.loops import matmul
    >>> machine = MachineModel(frequency_hz=1e9, vector_bytes=32, arithmetic=2, stream_cycles=(2, 6))
    >>> roofline_seconds(matmul(64, 64, 64), machine)      # 2 * 64**3 operations at 16e9 a second
    3.2768e-05
    """
    machine = machine or this_machine()
    operations = moved_bytes = 0.0
    touched = set()
    for leaf in program.leaves:
        operations += prod(mean_trips(leaf.loops)) * _arithmetic(leaf.statement.value)
        touched |= {access.buffer for access, _ in accesses(leaf.statement)}
    moved_bytes = sum(b.stored_bytes for b in program.arguments if b.name in touched)
    return max(operations / machine.peak_flops_per_s, moved_bytes / machine.bandwidth_bytes_per_s)


def _arithmetic(value: object) -> int:
    return 1 + sum(_arithmetic(one) for one in value.arguments) if isinstance(value, Op) else 0
