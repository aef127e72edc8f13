"""The cost of each layer at each width on one machine: bytes stored, seconds, and joules where they are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

from torch import nn

from mini_lib.columns import aligned
from mini_lib.measure import stored_bytes
from mini_lib.quantize.choice import need_same_layers
from mini_lib.quantize.formats import Format, require_format
from mini_lib.quantize.mixed.trials import Bits
from mini_lib.require import checked, not_negative, of_type, whole


@dataclass(frozen=True)
class WidthCost:
    """The cost of one layer at one width, or of several layers together: costs of layers add up.

    `median_s` is the time of one forward pass; `low_s` and `high_s` are its 10th and 90th percentile, or the same
    number if the time is calculated. `joules` is None where it is not known.

    Raises:
        TypeError: a cost is not a number, or `stored_bytes` is not a whole number.
        ValueError: a cost is below 0 or not finite.

    >>> WidthCost(100, 0.5, 0.4, 0.75) + WidthCost(20, 0.25, 0.25, 0.25)
    WidthCost(stored_bytes=120, median_s=0.75, low_s=0.65, high_s=1.0, joules=None)
    """

    stored_bytes: int
    median_s: float
    low_s: float
    high_s: float
    joules: float | None = None

    def __post_init__(self) -> None:
        checked(self, "stored_bytes", whole, low=0, fix="count what is stored")
        for name in ("median_s", "low_s", "high_s"):
            checked(self, name, not_negative, fix="give seconds")
        if self.joules is not None:
            checked(self, "joules", not_negative, fix="give None where it is not known")

    def __add__(self, other: WidthCost) -> WidthCost:
        known = self.joules is not None and other.joules is not None
        return WidthCost(
            self.stored_bytes + other.stored_bytes,
            self.median_s + other.median_s,
            self.low_s + other.low_s,
            self.high_s + other.high_s,
            self.joules + other.joules if known else None,
        )


@dataclass(frozen=True)
class CostTable:
    """The costs of the layers of one model at several widths on one machine, and the cost of the rest of the model.

    device: the machine, and the number of inputs at once.
    costs: `costs[layer][bits]`; every layer has the same widths.
    rest: the costs that the widths do not change: the other layers, biases, and the time between the layers.

    Raises:
        ValueError: there is no layer, or layers have different widths.

    >>> costs = {"conv": {8: WidthCost(80, 3e-4, 3e-4, 3e-4), 2: WidthCost(20, 1e-4, 1e-4, 1e-4)}}
    >>> table = CostTable("a machine", costs, WidthCost(10, 5e-5, 4e-5, 7e-5))
    >>> table.total({"conv": 2}).stored_bytes, round(table.total({"conv": 2}).median_s, 9)
    (30, 0.00015)
    >>> print(table)
    a machine
    us        8 bits  2 bits  8 bits, bytes  2 bits, bytes
    conv         300     100             80             20
    rest  50 (40-70)                     10
    """

    device: str
    costs: Mapping[str, Mapping[int, WidthCost]]
    rest: WidthCost

    def __post_init__(self) -> None:
        of_type("costs", self.costs, Mapping, fix="give {layer: {bits: WidthCost}}")
        of_type("rest", self.rest, WidthCost, fix="give what the rest of the model costs")
        for name, row in self.costs.items():
            of_type(f"costs[{name!r}]", row, Mapping, fix="give {bits: WidthCost}")
            for bits, cost in row.items():
                of_type(f"costs[{name!r}][{bits!r}]", cost, WidthCost, fix="give what the layer costs there")
        plain = {name: MappingProxyType(dict(row)) for name, row in self.costs.items()}
        object.__setattr__(self, "costs", MappingProxyType(plain))
        if not plain:
            raise ValueError("costs holds no layer; give at least one")
        for name, row in plain.items():
            if not row or set(row) != set(self.widths):
                raise ValueError(f"layer {name!r} has the widths {sorted(row)}, expected {sorted(self.widths)}")

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.costs)

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(next(iter(self.costs.values())))

    def total(self, bits: Bits) -> WidthCost:
        """Return the cost of the whole model with its layers at these widths: the sum of the layers, and the rest.

        Raises:
            TypeError: a width is not a whole number.
            ValueError: the bits do not name exactly the layers of the table, or a width that it does not have.
        """
        of_type("bits", bits, Mapping, fix="give {layer: bits}")
        need_same_layers("bits", bits, self.layers)
        total = self.rest
        for name, width in bits.items():
            if whole(f"the width of {name!r}", width, fix="give bits") not in self.costs[name]:
                raise ValueError(
                    f"layer {name!r} has no cost at {width!r} bits; the table has {', '.join(map(str, self.widths))}"
                )
            total += self.costs[name][width]
        return total

    def __str__(self) -> str:
        lines = [("us", *(f"{bits} bits" for bits in self.widths), *(f"{bits} bits, bytes" for bits in self.widths))]
        for name, row in self.costs.items():
            lines.append(
                (name, *map(_microseconds, row.values()), *(f"{cost.stored_bytes:,}" for cost in row.values()))
            )
        nothing = ("",) * (len(self.widths) - 1)
        lines.append(("rest", _microseconds(self.rest), *nothing, f"{self.rest.stored_bytes:,}", *nothing))
        return f"{self.device}\n{aligned(lines)}"


def _microseconds(cost: WidthCost) -> str:
    """The median, with its spread where there is one."""
    median, low, high = (f"{1e6 * seconds:.3g}" for seconds in (cost.median_s, cost.low_s, cost.high_s))
    return median if cost.low_s == cost.high_s else f"{median} ({low}-{high})"


def width_bytes(
    model: nn.Module, layers: Mapping[str, nn.Module], widths: Sequence[int], fmt: Callable[[int], Format]
) -> tuple[dict[str, dict[int, int]], int]:
    """Return the stored bytes of each layer's weight at each width, scales included, and those of everything else.

    >>> from mini_lib.quantize.ladder import rung
    >>> model = nn.Sequential(nn.Linear(256, 1))
    >>> width_bytes(model, {"0": model[0]}, [4, 2], rung)            # 128 + 4 and 64 + 4; a bias of 4
    ({'0': {4: 132, 2: 68}}, 4)
    """
    sizes = {}
    for name, layer in layers.items():
        parts = {bits: require_format(fmt(bits)).layout(tuple(layer.weight.shape)).values() for bits in widths}
        sizes[name] = {
            bits: sum(dtype.itemsize * prod(shape) for dtype, shape in found) for bits, found in parts.items()
        }
    rest = stored_bytes(model) - sum(layer.weight.nbytes for layer in layers.values())
    return sizes, rest
