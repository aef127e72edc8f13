"""Two machines on paper: the widths at which they compute, their speed, and the energy that this costs.

The worth of a bit depends on the machine. A bit-serial machine takes each weight bit by bit, so every bit left out
saves time. A GPU with units for 4 and 8 bits has only those two speeds: a 3-bit weight is stored and multiplied as if
it had 4 bits, and a 5-bit weight as if it had 8.

Both are data, with their assumptions; neither was measured. They are useful because they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from mini_lib.measure import LayerCost, layer_costs
from mini_lib.quantize.formats import Format
from mini_lib.quantize.ladder import rung
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.mixed.cost_table import CostTable, WidthCost, width_bytes
from mini_lib.quantize.mixed.trials import mixed_layers, need_widths
from mini_lib.require import callable_, checked, not_negative, of_type, positive, whole
from mini_lib.surgery import Where

ACTIVATION_BITS = 8  # of what both machines read and write between layers

# M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: 45 nm, 0.9 V.
INT8_MULTIPLY_J = 0.2e-12
INT32_ADD_J = 0.1e-12
SRAM_J_PER_BYTE = 100e-12 / 8  # an access of 8 bytes to 1 MB
DRAM_J_PER_BYTE = 1.3e-9 / 8  # an access of 8 bytes, the lower end of 1.3 to 2.6 nJ


@dataclass(frozen=True)
class Accelerator:
    """A machine that multiplies weights of some widths with activations of 8 bits.

    widths: the bits at which it stores and computes; a weight of another width takes the next wider one.
    bit_macs_per_s: the MACs per second with weights of one bit; with b bits it does 1/b as many.
    bandwidth_bytes_per_s: between DRAM and processor.
    activations_on_chip: whether activations stay in SRAM between layers; weights always come from DRAM.
    source, assumptions: the source of the figures, and the effects left out.

    Raises:
        TypeError: a figure is not a number, or a width is not a whole number.
        ValueError: a figure is not above 0, or there is no width or one is given twice.
    """

    name: str
    widths: tuple[int, ...]
    bit_macs_per_s: float
    bandwidth_bytes_per_s: float
    activations_on_chip: bool
    source: str
    assumptions: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", need_widths(self.widths))
        checked(self, "bit_macs_per_s", positive, fix="give MACs of one bit per second")
        checked(self, "bandwidth_bytes_per_s", positive, fix="give bytes per second")

    def runs_as(self, bits: int) -> int:
        """Return the width at which a weight of `bits` is stored and multiplied: the next that the machine has.

        Raises:
            TypeError: `bits` is not a whole number.
            ValueError: it is below 1, or the machine has no such width.

        >>> [INT4_INT8_GPU.runs_as(bits) for bits in (2, 3, 4, 5, 8)], BIT_SERIAL.runs_as(3)
        ([4, 4, 4, 8, 8], 3)
        """
        bits = whole("bits", bits, low=1, fix="give the bits of a weight")
        wide = [width for width in self.widths if width >= bits]
        if not wide:
            raise ValueError(f"{self.name} multiplies weights of up to {max(self.widths)} bits, got {bits}")
        return min(wide)

    def compute_s(self, macs: int, bits: int) -> float:
        """Return the least seconds that these MACs take, with weights of this width.

        2e9 MACs of 8 bits are 16e9 of one bit:

        >>> BIT_SERIAL.compute_s(2_000_000_000, 8) * BIT_SERIAL.bit_macs_per_s / 1e9
        16.0
        """
        macs = not_negative("macs", macs, fix="measure.macs counts them")
        return macs * self.runs_as(bits) / self.bit_macs_per_s

    def memory_s(self, moved_bytes: float) -> float:
        """Return the least seconds that it takes to move these bytes."""
        return not_negative("moved_bytes", moved_bytes, fix="give bytes") / self.bandwidth_bytes_per_s


BIT_SERIAL = Accelerator(
    name="bit-serial accelerator",
    widths=tuple(range(1, 17)),
    bit_macs_per_s=8192 * 200e6,
    bandwidth_bytes_per_s=6.4e9,
    activations_on_chip=True,
    source=(
        'after J. Lee et al., "UNPU: A 50.6TOPS/W Unified Deep Neural Network Accelerator with 1b-to-16b '
        'Fully-Variable Weight Bit-Precision", ISSCC 2018, and P. Judd et al., "Stripes: Bit-Serial Deep Neural '
        'Network Computing", MICRO 2016; the figures are round ones of our own'
    ),
    assumptions=(
        "8,192 units at 200 MHz; each multiplies one bit of a weight with an activation in one cycle",
        "weights of any width from 1 to 16 bits, at b cycles per MAC; no unit is ever idle",
        "weights come from DRAM once per batch, at 6.4 GB/s; activations stay on the chip, in 1 MB of SRAM",
        "loading overlaps computing; batch norm, ReLU and pooling are free",
        "a multiplication costs energy in proportion to the weight's bits",
    ),
)

INT4_INT8_GPU = Accelerator(
    name="int4/int8 GPU",
    widths=(4, 8),
    bit_macs_per_s=8 * 65e12,
    bandwidth_bytes_per_s=320e9,
    activations_on_chip=False,
    source=(
        "NVIDIA T4, data sheet of 2019: 130 TOPS in int8 and 260 in int4 (two operations per MAC), 320 GB/s; the GPU "
        'of Z. Yao et al., "HAWQ-V3: Dyadic Neural Network Quantization", 2021'
    ),
    assumptions=(
        "weights of 1 to 3 bits are stored and multiplied as int4, those of 5 to 7 as int8",
        "each layer runs at its roofline: full use of the units, or of the memory",
        "each layer reads its weights and input from memory and writes its output there; no launch times",
        "batch norm, ReLU and pooling are free",
        "a multiplication costs energy in proportion to the bits that it runs at, at Horowitz's figures of 45 nm",
    ),
)


def accelerator_costs(
    model: nn.Module,
    example: Tensor,
    widths: Sequence[int],
    accelerator: Accelerator,
    *,
    fmt: Callable[[int], Format] = rung,
    where: Where = is_weight_layer,
) -> CostTable:
    """Return the bytes, seconds and joules of each layer at each width on a described accelerator.

    A layer takes the longer of its arithmetic and its memory traffic (the roofline). Activations have 8 bits.

    Args:
        model: with batch norm folded; the argument stays as it is.
        example: an input of the model; its batch size matters.
        widths, fmt, where: those of `Trials`.

    Raises:
        TypeError: a width is not a whole number.
        ValueError: the accelerator has no unit for weights this wide, a layer does not run on the example, or as
            `Trials`.

    256 x 64 weights at batch 1 wait for memory; 2 bits halve the time of 4 where they are stored as 2:

    >>> import torch
    >>> model, x = nn.Sequential(nn.Linear(256, 64, bias=False)), torch.zeros(1, 256)
    >>> for machine in (BIT_SERIAL, INT4_INT8_GPU):
    ...     [row] = accelerator_costs(model, x, (4, 2), machine).costs.values()
    ...     print([cost.stored_bytes for cost in row.values()])       # codes, and 64 scales of 4 bytes
    [8448, 4352]
    [8448, 8448]

    Source: S. Williams, A. Waterman, D. Patterson, "Roofline", 2009.
    """
    widths = need_widths(widths)
    of_type("accelerator", accelerator, Accelerator, fix="BIT_SERIAL and INT4_INT8_GPU are two")
    callable_("fmt", fmt, fix="pass a function from bits to a format, such as rung")
    layers = mixed_layers(model, where)
    rows = {row.name: row for row in layer_costs(model, example)}
    runs_as = {bits: accelerator.runs_as(bits) for bits in widths}
    sizes, rest_bytes = width_bytes(model, layers, sorted(set(runs_as.values())), fmt)
    element_bytes = {name: layer.weight.itemsize for name, layer in layers.items()}  # of the float model
    costs = {
        name: {
            bits: _width_cost(accelerator, _need_macs(rows[name]), width, sizes[name][width], element_bytes[name])
            for bits, width in runs_as.items()
        }
        for name in layers
    }
    return CostTable(f"{accelerator.name}, batch of {len(example)}", costs, WidthCost(rest_bytes, 0.0, 0.0, 0.0, 0.0))


def _width_cost(
    accelerator: Accelerator, row: LayerCost, bits: int, stored_bytes: int, element_bytes: int
) -> WidthCost:
    on_chip = accelerator.activations_on_chip
    activation_bytes = (row.input_bytes + row.output_bytes) / element_bytes * ACTIVATION_BITS / 8
    seconds = max(
        accelerator.compute_s(row.macs, bits), accelerator.memory_s(stored_bytes + (0 if on_chip else activation_bytes))
    )
    joules = (
        row.macs * (INT8_MULTIPLY_J * bits / 8 + INT32_ADD_J)
        + stored_bytes * DRAM_J_PER_BYTE
        + activation_bytes * (SRAM_J_PER_BYTE if on_chip else DRAM_J_PER_BYTE)
    )
    return WidthCost(stored_bytes, seconds, seconds, seconds, joules)


def _need_macs(row: LayerCost) -> LayerCost:
    if not row.macs:
        raise ValueError(f"layer {row.name!r} does not run on the example; leave it out in where")
    return row
