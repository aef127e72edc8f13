"""A processor's limits, its power, and its rent.

All figures are limits that nothing exceeds at the stated clock, since an ideal estimate must bound every measurement:

- `matmul_flops_per_s[bits]`: products of numbers of `bits` in the matrix units, dense. Data sheets often print the
  figure for weights of which half are zero in a pattern, which is twice as high. 8 is fp8, or int8 where there is no
  fp8. A GeForce card sums fp16 products in fp16 twice as fast as in fp32: this is the higher figure. For a GPU or CPU
  without matrix units, the figure is that of its vector units.
- `vector_flops_per_s`: fp32 outside the matrix units. A fused multiply-add counts as two.
- `memory_bytes`: before any software takes its share. A card of "80 GB" has 80 GiB. L40S, L4 and T4 keep 1/16 of their
  memory for error correction, which is on by default.
- `link_bytes_per_s`: to another device, one way: NVLink between SXM modules, PCI Express 3, 4, 5 x16 (16, 32, 64 GB/s)
  between cards, Thunderbolt between Macs and laptops. The bridges that join two PCIe cards are left out.
- `watts`: the limit of the board; for a Mac or another small computer, of the whole computer.

`date` is the date of the data sheet. The day on which a price was read is in `price_source`; prices change every month.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mini_lib.require import checked, of_type, positive, shown, whole


@dataclass(frozen=True)
class Device:
    """One processor with its memory, or this machine as measured.

    Raises:
        TypeError: a figure is not a number, or `matmul_flops_per_s` not a mapping.
        ValueError: a figure is not above 0, `matmul_flops_per_s` lacks 16, or a price has no source.

    The intensity above which the matrix units are the limit, and no longer the memory, is 100e12 / 2e12:

    >>> toy = Device("toy", 2**30, 2e12, {16: 100e12}, vector_flops_per_s=10e12, link_bytes_per_s=32e9)
    >>> toy.ridge(16)
    50.0
    """

    name: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    matmul_flops_per_s: Mapping[int, float] = field(hash=False)
    vector_flops_per_s: float
    link_bytes_per_s: float
    watts: float | None = None
    usd_per_hour: float | None = None
    price_source: str = ""
    source: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        of_type("name", self.name, str, fix="call it as its makers do")
        for name in ("price_source", "source", "date"):
            of_type(name, getattr(self, name), str, fix="leave it out where it is not known")
        checked(self, "memory_bytes", whole, low=1, fix="80 GiB are 80 * 2**30")
        for name in ("bandwidth_bytes_per_s", "vector_flops_per_s", "link_bytes_per_s"):
            checked(self, name, positive, fix="copy it from the data sheet")
        for name in ("watts", "usd_per_hour"):
            if getattr(self, name) is not None:
                checked(self, name, positive, fix="use None where it is not known")
        if not isinstance(self.matmul_flops_per_s, Mapping):
            raise TypeError(
                f"matmul_flops_per_s must map bits to FLOPs per second, got {shown(self.matmul_flops_per_s)}; "
                "use {16: 312e12}"
            )
        peaks = {
            whole("the bits of matmul_flops_per_s", bits, low=1, fix="use 16, 8 or 4"): positive(
                f"matmul_flops_per_s[{bits}]", peak, fix="copy the dense figure from the data sheet"
            )
            for bits, peak in self.matmul_flops_per_s.items()
        }
        if 16 not in peaks:
            raise ValueError(
                f"matmul_flops_per_s must have a figure for 16 bits, got {sorted(peaks)}; "
                "attention is computed in 16 bits"
            )
        if (self.usd_per_hour is None) != (not self.price_source):
            raise ValueError(
                f"usd_per_hour and price_source go together, got {self.usd_per_hour} and {self.price_source!r}; "
                "say who asks for the price and when it was read"
            )
        # A view of a copy, so that a device cannot be changed through the dictionary that it was made from.
        object.__setattr__(self, "matmul_flops_per_s", MappingProxyType(peaks))

    def matmul_peak(self, bits: float) -> float:
        """Return the peak FLOPs per second of products of numbers of `bits`.

        Raises:
            TypeError, ValueError: the device has no units for numbers of `bits`.

        >>> from mini_lib.llm.cost.devices import A100_SXM_80GB
        >>> A100_SXM_80GB.matmul_peak(8) / A100_SXM_80GB.matmul_peak(16)
        2.0
        """
        if positive("bits", bits, fix="use 16, 8 or 4") not in self.matmul_flops_per_s:
            known = " or ".join(str(b) for b in sorted(self.matmul_flops_per_s))
            raise ValueError(
                f"{self.name} multiplies numbers of {known} bits, not of {bits}; set compute_bits to one of them"
            )
        return self.matmul_flops_per_s[bits]

    def ridge(self, bits: float) -> float:
        """Return the FLOPs per byte above which the matrix units are the limit, and no longer the memory.

        Raises:
            TypeError, ValueError: as `matmul_peak()`.

        312e12 / 2.039e12: a 16-bit weight has to serve 153 tokens before an A100 is busy.

        >>> from mini_lib.llm.cost.devices import A100_SXM_80GB
        >>> round(A100_SXM_80GB.ridge(16))
        153
        """
        return self.matmul_peak(bits) / self.bandwidth_bytes_per_s

    def __str__(self) -> str:
        return self.name


def need_device(value: object) -> Device:
    """Return `value` if it is a `Device`.

    Raises:
        TypeError: it is something else.

    >>> need_device("H100-SXM-80GB")
    Traceback (most recent call last):
    TypeError: device must be of type Device, got 'H100-SXM-80GB'; find_device('H100-SXM-80GB') gives one
    """
    return of_type("device", value, Device, fix="find_device('H100-SXM-80GB') gives one")


def measured_device(
    peak_flops_per_s: float,
    bandwidth_bytes_per_s: float,
    memory_bytes: int,
    name: str = "this machine",
    *,
    watts: float | None = None,
    link_bytes_per_s: float = 1.25e9,
    date: str = "",
) -> Device:
    """Return a machine as a device, from the two limits that `mini_lib.roofline.measure_machine()` measured.

    A processor that multiplies only fp32 converts 16-bit numbers first, so its fp32 peak is used for 16 bits too.
    `link_bytes_per_s` is 10 Gbit/s Ethernet by default.

    Raises:
        TypeError, ValueError: as `Device`.

    >>> laptop = measured_device(100e9, 20e9, 16 * 2**30)
    >>> laptop.matmul_peak(16) / laptop.bandwidth_bytes_per_s
    5.0
    """
    return Device(
        name,
        memory_bytes,
        bandwidth_bytes_per_s,
        {16: peak_flops_per_s},
        vector_flops_per_s=peak_flops_per_s,
        link_bytes_per_s=link_bytes_per_s,
        watts=watts,
        source="measured here with mini_lib.roofline.measure_machine()",
        date=date,
    )
