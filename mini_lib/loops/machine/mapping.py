"""How a layer is cut into the blocks that the hardware computes at once, and how much of them is padding.

A unit multiplies a small matrix by a small matrix. A layer that is a matrix product is cut into blocks of that shape;
the last block of each axis is filled up with zeros, which cost as much as other numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import ceil

from mini_lib.require import checked, not_negative, of_type, positive, shown, whole


@dataclass(frozen=True)
class MatrixUnit:
    """Hardware that computes C[m, n] += A[m, k] * B[k, n] for one fixed shape, one call every `cycles`.

    In a matrix unit a number of A is used in every column n, and one of B in every row m. Where `own_operands` is set,
    each lane brings its own A and B, as in the vector unit of a CPU: then a lane can also hold a group. `weight_cycles`
    is the least time that one block of B occupies the unit: a systolic array must shift in the next block meanwhile.

    Raises:
        TypeError: a side is not a whole number, `cycles` or `weight_cycles` is not a number.
        ValueError: a side is below 1, `cycles` is not above 0, `weight_cycles` is negative.

    >>> AVX2_FP32.macs_per_cycle
    16.0
    """

    name: str
    m: int
    n: int
    k: int
    cycles: float
    inputs: str
    accumulator: str
    own_operands: bool = False
    weight_cycles: float = 0
    source: str = ""

    def __post_init__(self) -> None:
        for side in ("m", "n", "k"):
            size = whole(f"{side} of {shown(self.name)}", getattr(self, side), low=1, fix="use 1 for no such axis")
            object.__setattr__(self, side, size)
        checked(self, "cycles", positive, fix="pass the cycles of one call")
        checked(self, "weight_cycles", not_negative, fix="use 0 for none")

    @property
    def macs_per_cycle(self) -> float:
        """The peak: multiply-accumulates per cycle if there is no padding."""
        return self.m * self.n * self.k / self.cycles


AVX2_FP32 = MatrixUnit(
    "AVX2 FMA", 1, 8, 1, 0.5, "fp32", "fp32", own_operands=True,
    source="VFMADD231PS, 256 bits; two a cycle since Intel Haswell: Intel 64 and IA-32 "
    "Architectures Optimization Reference Manual",
)  # fmt: skip
AVX512_VNNI = MatrixUnit(
    "AVX-512 VNNI", 1, 16, 4, 1, "int8", "int32", own_operands=True,
    source="VPDPBUSD, 512 bits; one a cycle on cores with one 512-bit port, two on those with two",
)  # fmt: skip
ARM_SDOT = MatrixUnit(
    "Arm SDOT", 1, 4, 4, 0.5, "int8", "int32", own_operands=True,
    source="SDOT, 128 bits; two a cycle on Cortex-A76: Arm Cortex-A76 Software Optimization Guide",
)  # fmt: skip
TENSOR_CORE = MatrixUnit(
    "Tensor core m16n8k16", 16, 8, 16, 8, "fp16", "fp32",
    source="mma.m16n8k16; 256 fp16 FMA a cycle in each tensor core: NVIDIA A100 whitepaper, 2020",
)  # fmt: skip
SYSTOLIC_128 = MatrixUnit(
    "Systolic array 128 x 128", 1, 128, 128, 1, "bf16", "fp32", weight_cycles=128,
    source="weights stand still, a row of A enters each cycle: after Jouppi 2017, "
    '"In-Datacenter Performance Analysis of a Tensor Processing Unit", section 2',
)  # fmt: skip
UNITS = (AVX2_FP32, AVX512_VNNI, ARM_SDOT, TENSOR_CORE, SYSTOLIC_128)


@dataclass(frozen=True)
class Problem:
    """`groups` separate matrix products, each C[m, n] += A[m, k] * B[k, n].

    Raises:
        TypeError: a size is not a whole number.
        ValueError: a size is below 1.

    >>> Problem(m=10, n=8, k=3).macs
    240
    """

    m: int
    n: int
    k: int
    groups: int = 1

    def __post_init__(self) -> None:
        for size in fields(self):
            checked(self, size.name, whole, low=1, fix="pass a size of 1 or more")

    @property
    def macs(self) -> int:
        """The multiply-accumulates of the problem, without padding."""
        return self.m * self.n * self.k * self.groups


def conv2d_as_matmul(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int],
    out_size: tuple[int, int],
    *,
    groups: int = 1,
    batch: int = 1,
) -> Problem:
    """Return a 2-d convolution as matrix products (im2col): pixels by taps, times taps by channels.

    Raises:
        TypeError: a size is not a whole number.
        ValueError: a size is below 1, or `groups` does not divide the channels.

    >>> conv2d_as_matmul(32, 64, (3, 3), (14, 14))                # 196 pixels, 32 * 9 taps
    Problem(m=196, n=64, k=288, groups=1)
    >>> conv2d_as_matmul(64, 64, (3, 3), (14, 14), groups=64)     # depthwise: n = 1
    Problem(m=196, n=1, k=9, groups=64)

    Source: K. Chellapilla et al., "High Performance Convolutional Neural Networks for Document
    Processing", 2006, section 2.
    """
    fix = "pass a size of 1 or more"
    in_channels = whole("in_channels", in_channels, low=1, fix=fix)
    out_channels = whole("out_channels", out_channels, low=1, fix=fix)
    groups, batch = whole("groups", groups, low=1, fix=fix), whole("batch", batch, low=1, fix=fix)
    kernel, out_size = _pair("kernel", kernel), _pair("out_size", out_size)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups {groups} does not divide in_channels {in_channels} and out_channels "
            f"{out_channels}; use a common divisor, or {in_channels} for depthwise"
        )
    return Problem(
        m=batch * out_size[0] * out_size[1],
        n=out_channels // groups,
        k=in_channels // groups * kernel[0] * kernel[1],
        groups=groups,
    )


def _pair(name: str, value: object) -> tuple[int, int]:
    sides = of_type(name, value, Sequence, fix="pass (height, width)")
    if len(sides) != 2:
        raise ValueError(f"{name} must have two sizes, got {shown(value)}; pass (height, width)")
    fix = "pass a size of 1 or more"
    return tuple(whole(f"{name}[{place}]", side, low=1, fix=fix) for place, side in enumerate(sides))


@dataclass(frozen=True)
class Mapping:
    """A problem on a unit: `loops` says which loops of the problem are mapped to the unit's m, n and k.

    Raises:
        ValueError: the unit cannot hold the loops in this way.

    Ten rows on eight lanes need two vectors, 16 slots, and 6 of them are padding:

    >>> rows = Mapping(Problem(m=10, n=3, k=5), AVX2_FP32, ("n", "m", "k"))
    >>> rows.calls, rows.utilization == 10 / 16
    (30, True)
    >>> rows.cycles                                     # 30 calls, two in each cycle
    15.0
    """

    problem: Problem
    unit: MatrixUnit
    loops: tuple[str, str, str] = ("m", "n", "k")

    def __post_init__(self) -> None:
        of_type("problem", self.problem, Problem, fix="pass such as Problem(m=64, n=64, k=64)")
        of_type("unit", self.unit, MatrixUnit, fix="pass one of UNITS")
        loops = of_type("loops", self.loops, Sequence, fix="pass such as ('m', 'n', 'k')")
        object.__setattr__(
            self, "loops", tuple(of_type("each of loops", loop, str, fix="pass names") for loop in loops)
        )
        why = _refusal(self.unit, self.loops)
        if why:
            raise ValueError(
                f"loops {self.loops} cannot lie on (m, n, k) of {self.unit.name!r}: {why}; "
                "see mappings(problem, units) for those that can"
            )

    @property
    def blocks(self) -> dict[str, int]:
        """The number of blocks that each loop of the problem is cut into."""
        counts = {size.name: getattr(self.problem, size.name) for size in fields(Problem)}
        for loop, side in zip(self.loops, (self.unit.m, self.unit.n, self.unit.k), strict=True):
            counts[loop] = ceil(counts[loop] / side)
        return counts

    @property
    def padded_shape(self) -> dict[str, int]:
        """The sizes of the loops, each rounded up to whole blocks."""
        sides = dict(zip(self.loops, (self.unit.m, self.unit.n, self.unit.k), strict=True))
        return {loop: count * sides.get(loop, 1) for loop, count in self.blocks.items()}

    @property
    def calls(self) -> int:
        """How often the unit is called."""
        blocks = self.blocks
        return blocks["m"] * blocks["n"] * blocks["k"] * blocks["groups"]

    @property
    def utilization(self) -> float:
        """The problem's multiply-accumulates over those that are computed; the rest is padding."""
        return self.problem.macs / (self.calls * self.unit.m * self.unit.n * self.unit.k)

    @property
    def cycles(self) -> float:
        """The time if the unit never waits for data."""
        rows = self.blocks[self.loops[0]]  # the rows that stream past one block of weights
        return self.calls // rows * max(rows * self.unit.cycles, self.unit.weight_cycles)

    @property
    def share_of_peak(self) -> float:
        """The largest share of the unit's multiply-accumulates per cycle that this mapping can reach."""
        return self.problem.macs / (self.cycles * self.unit.macs_per_cycle)


def mappings(problem: Problem, units: Sequence[MatrixUnit] = UNITS) -> tuple[Mapping, ...]:
    """Return all ways to map the loops of a problem onto these units, the best share of peak first.

    Of ways that give the same blocks, as on an axis of one lane, only the first is returned.

    Raises:
        ValueError: there is no unit.

    A depthwise convolution has one column in each group. The other columns of a matrix unit are wasted; a vector unit
    can give each lane its own channel:

    >>> depthwise = conv2d_as_matmul(64, 64, (3, 3), (16, 16), groups=64)
    >>> for mapping in mappings(depthwise, [TENSOR_CORE, AVX2_FP32]):
    ...     print(mapping.unit.name, mapping.loops, mapping.share_of_peak)
    AVX2 FMA ('m', 'groups', 'k') 1.0
    AVX2 FMA ('n', 'm', 'k') 1.0
    AVX2 FMA ('m', 'n', 'k') 0.125
    Tensor core m16n8k16 ('m', 'n', 'k') 0.0703125
    Tensor core m16n8k16 ('n', 'm', 'k') 0.03515625
    """
    of_type("problem", problem, Problem, fix="pass such as Problem(m=64, n=64, k=64)")
    units = tuple(of_type("units", units, Iterable, fix="pass UNITS"))
    if not units:
        raise ValueError("units must hold at least one MatrixUnit, got none; pass UNITS")
    for unit in units:
        of_type("each of units", unit, MatrixUnit, fix="pass UNITS, or some of them")
    names = [size.name for size in fields(Problem)]
    found: dict[tuple, Mapping] = {}
    for unit in units:
        for loops in product(names, repeat=3):
            if not _refusal(unit, loops):
                mapping = Mapping(problem, unit, loops)
                found.setdefault((unit, *mapping.blocks.values(), mapping.cycles), mapping)
    return tuple(sorted(found.values(), key=lambda mapping: -mapping.share_of_peak))


def best_mapping(problem: Problem, units: Sequence[MatrixUnit] = UNITS) -> Mapping:
    """Return the mapping that can reach the largest share of its unit's peak.

    Raises:
        ValueError: there is no unit.

    On a tensor core 8 rows and 16 columns fit only when the product is transposed:

    >>> best_mapping(Problem(m=8, n=16, k=16), [TENSOR_CORE]).loops
    ('n', 'm', 'k')
    """
    return mappings(problem, units)[0]


def _refusal(unit: MatrixUnit, loops: tuple[str, ...]) -> str:
    """Say why loops cannot be mapped to a unit's axes; empty if they can."""
    if len(loops) != 3 or len(set(loops)) != 3 or not set(loops) <= {"m", "n", "k", "groups"}:
        return "give three different ones of m, n, k, groups"
    if loops[2] != "k":
        return "the unit sums over its k axis, so the problem's summed loop k must lie there"
    if "groups" in loops and not unit.own_operands:
        return "the lanes of a matrix unit share their operands, and groups share none"
    return ""
