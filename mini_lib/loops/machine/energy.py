"""The energy of arithmetic and memory accesses: published figures as data, and sums over them.

The figures are of one process of about 2008, published in 2014. The energy of arithmetic has fallen since then, that of
an access to DDR memory has not: Jouppi et al., "Ten Lessons From Three Generations Shaped Google's TPUv4i", ISCA 2021,
compare 45 and 7 nm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log

from mini_lib.require import checked, of_type, positive, shown, whole


@dataclass(frozen=True)
class EnergyTable:
    """Joules of each operation and of each access to a memory, with the source of the figures.

    `operation_j` is keyed by name; `cache_j` by the size of the cache in bytes, for one access of
    `access_bytes`; `dram_j` is a range for the same width.

    Raises:
        TypeError: a figure is not a number.
        ValueError: a figure is not above 0, a range runs downwards, or there is no cache.
    """

    name: str
    source: str
    operation_j: Mapping[str, float]
    access_bytes: int
    cache_j: Mapping[int, float]
    dram_j: tuple[float, float]

    def __post_init__(self) -> None:
        checked(self, "access_bytes", whole, low=1, fix="pass the bytes of one access")
        for name in ("operation_j", "cache_j"):
            joules = of_type(
                name, getattr(self, name), Mapping, fix="pass the joules of each, such as {'fp32_add': 9e-13}"
            )
            each = {key: positive(f"{name}[{shown(key)}]", value, fix="pass joules") for key, value in joules.items()}
            object.__setattr__(self, name, each)
        if not self.cache_j:
            raise ValueError("cache_j must hold at least one cache, got none; pass {size_bytes: j}")
        by_size = {whole("a size in cache_j", size, low=1, fix="pass bytes"): j for size, j in self.cache_j.items()}
        object.__setattr__(self, "cache_j", by_size)
        ends = of_type("dram_j", self.dram_j, Sequence, fix="pass (low, high) in joules")
        ends = tuple(positive("each of dram_j", end, fix="pass joules") for end in ends)
        if len(ends) != 2 or ends[0] > ends[1]:
            raise ValueError(f"dram_j must be (low, high), got {shown(self.dram_j)}; pass the lower figure first")
        object.__setattr__(self, "dram_j", ends)

    def cache_access_j(self, size_bytes: int) -> float:
        """Return the energy of one access to a cache of this size.

        Between two sizes of the table it grows as a power of the size, so that it is a straight
        line on logarithmic axes. That is our interpolation, not the source's; from 8 to 32 KB the power is exactly 1/2,
        just as the length of the wires grows with the side of the cache.

        Raises:
            TypeError: `size_bytes` is not a whole number.
            ValueError: the size is outside the table.

        Half-way (16 KB) between 10 pJ at 8 KB and 20 pJ at 32 KB, the root of their product:

        >>> round(HOROWITZ_45NM.cache_access_j(16 * 1024) * 1e12, 2)
        14.14
        """
        size_bytes = whole("size_bytes", size_bytes, low=1, fix="pass the size of the cache in bytes")
        sizes = sorted(self.cache_j)
        if not sizes[0] <= size_bytes <= sizes[-1]:
            raise ValueError(
                f"a cache of {size_bytes} bytes is outside the table {self.name!r}, which goes "
                f"from {sizes[0]} to {sizes[-1]}; take the nearer of the two and say so"
            )
        if size_bytes in self.cache_j:
            return self.cache_j[size_bytes]
        above = next(size for size in sizes if size > size_bytes)
        below = sizes[sizes.index(above) - 1]
        share = log(size_bytes / below) / log(above / below)
        return self.cache_j[below] ** (1 - share) * self.cache_j[above] ** share


HOROWITZ_45NM = EnergyTable(
    name="45 nm, 0.9 V",
    source=('M. Horowitz, "Computing\'s energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9'),
    operation_j={
        "int8_add": 0.03e-12,
        "int32_add": 0.1e-12,
        "fp16_add": 0.4e-12,
        "fp32_add": 0.9e-12,
        "int8_mul": 0.2e-12,
        "int32_mul": 3.1e-12,
        "fp16_mul": 1.1e-12,
        "fp32_mul": 3.7e-12,
    },
    access_bytes=8,
    cache_j={8 * 1024: 10e-12, 32 * 1024: 20e-12, 1024 * 1024: 100e-12},
    dram_j=(1.3e-9, 2.6e-9),
)


@dataclass(frozen=True)
class Energy:
    """The joules of a program, part by part, as (low, high); only DRAM has a range."""

    parts_j: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def low_j(self) -> float:
        """The sum of the low figures of all parts."""
        return sum(low for low, _ in self.parts_j.values())

    @property
    def high_j(self) -> float:
        """The sum of the high figures of all parts."""
        return sum(high for _, high in self.parts_j.values())


def energy_j(
    operations: Mapping[str, int], cache_bytes: Mapping[int, int], dram_bytes: int, table: EnergyTable = HOROWITZ_45NM
) -> Energy:
    """Return the energy of operations, of bytes moved out of caches, and of bytes moved from DRAM.

    `operations` gives the count of each operation by its name in the table. `cache_bytes` says, for the size of each
    cache in bytes, how many bytes were read from it or written to it. Bytes are charged in whole
    accesses. Not counted: instructions, registers, leakage.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: an operation is not in the table, a count is negative, or a cache is outside the table.

    A thousand fp32 multiply-adds, whose two operands come from a 32 KB cache: 4.6 pJ of arithmetic
    each, and one access of 8 bytes at 20 pJ. One byte in a hundred comes from DRAM, 10 accesses:

    >>> used = energy_j({"fp32_mul": 1000, "fp32_add": 1000}, {32 * 1024: 8000}, dram_bytes=80)
    >>> {name: round(low * 1e9, 3) for name, (low, _) in used.parts_j.items()}
    {'fp32_mul': 3.7, 'fp32_add': 0.9, 'cache 32 KB': 20.0, 'DRAM': 13.0}
    >>> round(used.low_j * 1e9, 3), round(used.high_j * 1e9, 3)
    (37.6, 50.6)

    One access to DRAM costs as much as hundreds of multiply-adds:

    >>> dram = energy_j({}, {}, dram_bytes=8)
    >>> multiply_add_j = energy_j({"fp32_mul": 1, "fp32_add": 1}, {}, dram_bytes=0).low_j
    >>> round(dram.low_j / multiply_add_j), round(dram.high_j / multiply_add_j)
    (283, 565)
    """
    of_type("table", table, EnergyTable, fix="leave it out for HOROWITZ_45NM")
    of_type("operations", operations, Mapping, fix="pass such as {'fp32_mul': 1000}")
    of_type("cache_bytes", cache_bytes, Mapping, fix="pass such as {32 * 1024: 8000}")
    parts = {}
    for name, count in operations.items():
        if name not in table.operation_j:
            raise ValueError(
                f"operation {shown(name)} is not in the table {table.name!r}, which has "
                f"{', '.join(table.operation_j)}; use one of these"
            )
        count = whole(f"operations[{name!r}]", count, low=0, fix="pass how often it is done")
        parts[name] = (count * table.operation_j[name],) * 2
    for size_bytes, moved in cache_bytes.items():
        moved = whole(f"cache_bytes[{shown(size_bytes)}]", moved, low=0, fix="pass the bytes moved")
        joules = table.cache_access_j(size_bytes) * -(-moved // table.access_bytes)
        parts[f"cache {size_bytes / 1024:g} KB"] = (joules, joules)
    dram_bytes = whole("dram_bytes", dram_bytes, low=0, fix="pass the bytes moved")
    accesses = -(-dram_bytes // table.access_bytes)
    parts["DRAM"] = (accesses * table.dram_j[0], accesses * table.dram_j[1])
    return Energy(parts)
