"""Processors as data: what each can do at most, what it draws, and what it costs to rent.

All figures are limits that nothing exceeds at the stated clock, since an ideal estimate has to bound every measurement:

- `matmul_flops_per_s[bits]`: products of numbers of `bits` in the matrix units, dense. Data sheets often print the
  figure with half of the weights zero in a pattern, twice as high. 8 is fp8, or int8 where there is no fp8.
  A GeForce card sums fp16 products in fp16 twice as fast as in fp32: this is the higher figure. A GPU or CPU without
  matrix units has its vector units here.
- `vector_flops_per_s`: fp32 outside the matrix units. A fused multiply-add counts as two.
- `memory_bytes`: before any software takes its share. A card of "80 GB" has 80 GiB. L40S, L4 and T4 keep 1/16 of their
  memory for error correction, which is on unless one turns it off.
- `link_bytes_per_s`: to another device, one way: NVLink between SXM modules, PCI Express 3, 4, 5 x16 (16, 32, 64 GB/s)
  between cards, Thunderbolt between Macs and laptops. The bridges that join two PCIe cards are left out.
- `watts`: the limit of the board; for a Mac, of the whole computer.

`date` is that of the data sheet. The day on which a price was read is in `price_source`; prices change every month.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mini_lib.llm.cost.lookup import by_name
from mini_lib.require import positive, whole

_GIB = 2**30


@dataclass(frozen=True)
class Device:
    """One processor with its memory, or this machine as measured.

    Raises:
        TypeError: a figure is not a number, or `matmul_flops_per_s` not a mapping.
        ValueError: a figure is not above 0, `matmul_flops_per_s` lacks 16, or a price has no source.

    The intensity from which the matrix units are the limit and no longer the memory, 100e12 / 2e12:

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
        whole("memory_bytes", self.memory_bytes, low=1, fix="80 GiB are 80 * 2**30")
        for name in ("bandwidth_bytes_per_s", "vector_flops_per_s", "link_bytes_per_s"):
            positive(name, getattr(self, name), fix="copy it from the data sheet")
        for name in ("watts", "usd_per_hour"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name), fix="use None where it is not known")
        if not isinstance(self.matmul_flops_per_s, Mapping):
            raise TypeError(
                f"matmul_flops_per_s must map bits to FLOPs a second, got {self.matmul_flops_per_s!r}; "
                "use {16: 312e12}"
            )
        for bits, peak in self.matmul_flops_per_s.items():
            whole("the bits of matmul_flops_per_s", bits, low=1, fix="use 16, 8 or 4")
            positive(f"matmul_flops_per_s[{bits}]", peak, fix="copy the dense figure from the data sheet")
        if 16 not in self.matmul_flops_per_s:
            raise ValueError(
                f"matmul_flops_per_s must have a figure for 16 bits, got {sorted(self.matmul_flops_per_s)}; "
                "attention is computed in 16 bits"
            )
        if (self.usd_per_hour is None) != (not self.price_source):
            raise ValueError(
                f"usd_per_hour and price_source go together, got {self.usd_per_hour} and {self.price_source!r}; "
                "say who asks for the price and when it was read"
            )
        # A view of a copy: nobody can change a device through the dictionary that made it.
        object.__setattr__(self, "matmul_flops_per_s", MappingProxyType(dict(self.matmul_flops_per_s)))

    def matmul_peak(self, bits: float) -> float:
        """Return the most FLOPs a second that products of numbers of `bits` reach.

        Raises:
            ValueError: the device has no units for numbers of `bits`.

        >>> A100_SXM_80GB.matmul_peak(8) / A100_SXM_80GB.matmul_peak(16)
        2.0
        """
        if bits not in self.matmul_flops_per_s:
            known = " or ".join(str(b) for b in sorted(self.matmul_flops_per_s))
            raise ValueError(
                f"{self.name} multiplies numbers of {known} bits, not of {bits}; set compute_bits to one of them"
            )
        return self.matmul_flops_per_s[bits]

    def ridge(self, bits: float) -> float:
        """Return the FLOPs per byte from which the matrix units are the limit and no longer the memory.

        Raises:
            ValueError: as `matmul_peak()`.

        312e12 / 2.039e12: a 16-bit weight has to serve 153 tokens before an A100 is busy.

        >>> round(A100_SXM_80GB.ridge(16))
        153
        """
        return self.matmul_peak(bits) / self.bandwidth_bytes_per_s

    def __str__(self) -> str:
        return self.name


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
    """Return a machine as a device, from the two limits that `mini_lib.roofline.measure_machine()` found.

    A processor that multiplies only fp32 converts 16-bit numbers on the way, so its fp32 peak stands for 16 bits
    too. `link_bytes_per_s` is 10 Gbit/s Ethernet unless you know better.

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


_RUNPOD = "RunPod, Secure Cloud, on demand, runpod.io/pricing, read 2026-09-25"
_A100 = "NVIDIA A100 80GB data sheet"
_H100 = "NVIDIA H100 Tensor Core GPU Architecture, white paper v1.04, table 2"
_GA102 = "NVIDIA Ampere GA102 GPU Architecture, white paper v2, appendices A and C"
_ADA = "NVIDIA Ada GPU Architecture, white paper, appendices"

# fmt: off
A100_SXM_80GB = Device("A100-SXM-80GB", 80 * _GIB, 2.039e12, {16: 312e12, 8: 624e12}, 19.5e12, 300e9, 400,
                       1.59, _RUNPOD, _A100, "2021")
A100_SXM_80GB_330W = replace(A100_SXM_80GB, name="A100-SXM-80GB-330W", watts=330,
                             source=f"{_A100}; limited to 330 W, as in the README of gpt-fast, 2023")
A100_PCIE_80GB = Device("A100-PCIe-80GB", 80 * _GIB, 1.935e12, {16: 312e12, 8: 624e12}, 19.5e12, 32e9, 300,
                        1.59, _RUNPOD, _A100, "2021")
H100_SXM = Device("H100-SXM-80GB", 80 * _GIB, 3.35e12, {16: 989.4e12, 8: 1978.9e12}, 66.9e12, 450e9, 700,
                  3.49, _RUNPOD, _H100, "2023")
H100_PCIE = Device("H100-PCIe-80GB", 80 * _GIB, 2.039e12, {16: 756e12, 8: 1513e12}, 51.2e12, 64e9, 350,
                   2.89, _RUNPOD, _H100, "2023")
H200_SXM = Device("H200-SXM-141GB", 141 * _GIB, 4.8e12, {16: 989.4e12, 8: 1978.9e12}, 66.9e12, 450e9, 700,
                  4.59, _RUNPOD, f"NVIDIA H200 data sheet; arithmetic as in {_H100}", "2024")
B200 = Device("B200", 180 * _GIB, 8e12, {16: 2.25e15, 8: 4.5e15, 4: 9e15}, 80e12, 900e9, 1000,
              6.79, _RUNPOD, "NVIDIA Blackwell Architecture technical brief, HGX B200; DGX B200 data sheet", "2024")
MI300X = Device("MI300X", 192 * _GIB, 5.3e12, {16: 1307.4e12, 8: 2614.9e12}, 163.4e12, 448e9, 750,
                2.59, "DigitalOcean, on demand, list price, read 2026-10-08", "AMD Instinct MI300X data sheet", "2023")
L40S = Device("L40S", 45 * _GIB, 864e9, {16: 362e12, 8: 733e12}, 91.6e12, 32e9, 350,
              1.09, _RUNPOD, "NVIDIA L40S data sheet", "2023")
L4 = Device("L4", 45 * _GIB // 2, 300e9, {16: 121e12, 8: 242.5e12}, 30.3e12, 32e9, 72,
            source="NVIDIA L4 data sheet", date="2023")
T4 = Device("T4", 15 * _GIB, 320e9, {16: 65e12, 8: 130e12, 4: 260e12}, 8.1e12, 16e9, 70,
            source="NVIDIA T4 data sheet and product brief", date="2019")
RTX_A6000 = Device("RTX-A6000", 48 * _GIB, 768e9, {16: 154.8e12, 8: 309.7e12}, 38.7e12, 32e9, 300,
                   0.82, "Verda, on demand, verda.com/pricing, read 2026-10-29", _GA102, "2021")
RTX_6000_ADA = Device("RTX-6000-Ada", 48 * _GIB, 960e9, {16: 364.2e12, 8: 728.5e12}, 91.1e12, 32e9, 300,
                      source="NVIDIA Ada Lovelace Professional GPU Architecture, white paper, appendix", date="2023")
RTX_3070 = Device("RTX-3070", 8 * _GIB, 448e9, {16: 81.3e12, 8: 162.6e12}, 20.3e12, 32e9, 220,
                  source=_GA102, date="2021")
RTX_3080 = Device("RTX-3080-10GB", 10 * _GIB, 760e9, {16: 119e12, 8: 238e12}, 29.8e12, 32e9, 320,
                  source=_GA102, date="2021")
RTX_3090 = Device("RTX-3090", 24 * _GIB, 936e9, {16: 142e12, 8: 284e12}, 35.6e12, 32e9, 350,
                  source=_GA102, date="2021")
RTX_4070_TI = Device("RTX-4070-Ti", 12 * _GIB, 504e9, {16: 160.4e12, 8: 320.7e12}, 40.1e12, 32e9, 285,
                     source=_ADA, date="2023")
RTX_4080 = Device("RTX-4080", 16 * _GIB, 716.8e9, {16: 194.9e12, 8: 389.9e12}, 48.7e12, 32e9, 320,
                  source=_ADA, date="2023")
RTX_4090 = Device("RTX-4090", 24 * _GIB, 1.008e12, {16: 330.3e12, 8: 660.6e12}, 82.6e12, 32e9, 450,
                  0.74, _RUNPOD, _ADA, "2023")
RTX_5090 = Device("RTX-5090", 32 * _GIB, 1.792e12, {16: 419e12, 8: 838e12, 4: 1676e12}, 104.8e12, 64e9, 575,
                  source="NVIDIA RTX Blackwell GPU Architecture, white paper, appendix A", date="2025")
# fmt: on


def _apple(
    name: str, cores: int, hertz: float, gib: int, bandwidth: float, link: float, watts: float, source: str, date: str
) -> Device:
    """A core of an Apple GPU has 128 lanes, and no matrix unit: fp16 is no faster than fp32. Apple states no clock."""
    peak = cores * 128 * 2 * hertz
    return Device(name, gib * _GIB, bandwidth, {16: peak}, peak, link, watts, source=source, date=date)


_MAC = "Apple, technical specifications; clock of the GPU as listed by hmc-tech.com; watts: Apple support 102027"
_BOOK = "Apple, technical specifications; clock of the GPU as listed by hmc-tech.com; watts: 140 W power adapter"
# fmt: off
M1_MAX_32 = _apple("M1-Max-32", 32, 1.296e9, 64, 400e9, 5e9, 115, _MAC, "2022")
M2_ULTRA_76 = _apple("M2-Ultra-76", 76, 1.398e9, 192, 800e9, 5e9, 295, _MAC, "2023")
M3_MAX_40 = _apple("M3-Max-40", 40, 1.398e9, 128, 400e9, 5e9, 140, _BOOK, "2023")
M4_MAX_40 = _apple("M4-Max-40", 40, 1.678e9, 128, 546e9, 10e9, 140, _BOOK, "2024")

# Eight Zen 4 cores at 5.1 GHz, their fastest. A cycle does one AVX-512 instruction of each core, or two of 256 bits:
# 32 FLOPs in fp32, 64 in bf16 (AVX512_BF16), 128 in int8 (AVX512_VNNI). Two channels of DDR5-5600. USB4.
RYZEN_7_7840U = Device("Ryzen-7-7840U", 32 * _GIB, 89.6e9, {16: 8 * 64 * 5.1e9, 8: 8 * 128 * 5.1e9}, 8 * 32 * 5.1e9,
                       5e9, 28, date="2023",
                       source="AMD Ryzen 7 7840U, product specifications; AMD, Zen 4 optimization guide")
# 56 cores at 3.0 GHz, the fastest that all reach. AMX does 1024 FLOPs a cycle in bf16 and 2048 in int8,
# two AVX-512 units 64 in fp32. Eight channels of DDR5-4800.
XEON_8480 = Device("Xeon-8480+", 512 * _GIB, 307.2e9, {16: 56 * 1024 * 3e9, 8: 56 * 2048 * 3e9}, 56 * 64 * 3e9,
                   64e9, 350, date="2023",
                   source="Intel Xeon Platinum 8480+, product specifications; Intel, AMX overview")
# fmt: on

DEVICES = (
    A100_SXM_80GB, A100_SXM_80GB_330W, A100_PCIE_80GB, H100_SXM, H100_PCIE, H200_SXM, B200, MI300X, L40S, L4, T4,
    RTX_A6000, RTX_6000_ADA, RTX_3070, RTX_3080, RTX_3090, RTX_4070_TI, RTX_4080, RTX_4090, RTX_5090,
    M1_MAX_32, M2_ULTRA_76, M3_MAX_40, M4_MAX_40, RYZEN_7_7840U, XEON_8480,
)  # fmt: skip
"""Every device of this file."""


def find_device(name: str) -> Device:
    """Return the device called `name`, in capitals or not.

    Raises:
        TypeError: `name` is not a string.
        ValueError: there is no such device; the message gives the nearest names.

    >>> find_device("rtx-3090").memory_bytes // 2**30
    24
    >>> find_device("H100-SXM")
    Traceback (most recent call last):
    ValueError: no device is called 'H100-SXM'; the nearest are H100-SXM-80GB, A100-SXM-80GB, H200-SXM-141GB
    """
    return by_name("device", name, DEVICES)
