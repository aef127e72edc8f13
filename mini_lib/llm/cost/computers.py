"""Whole computers as devices, one memory for all of their processors: Macs, small computers for models, and CPUs.

The figures are explained in `mini_lib.llm.cost.device`. A Mac is named after its chip and the cores of its GPU. Its
memory is the largest that was sold. Apple states no clock, so the clock of a generation's largest chip is used for the
whole generation.
"""

from mini_lib.llm.cost.device import Device

_GIB = 2**30


def _apple(
    name: str, cores: int, hertz: float, gib: int, bandwidth: float, link: float, watts: float, source: str, date: str,
    matrix: float = 1,
) -> Device:  # fmt: skip
    """A core of an Apple GPU has 128 lanes, and before the M5 no matrix unit: fp16 is no faster than fp32.

    `matrix`: how many times the work of the lanes the matrix units do.
    """
    peak = cores * 128 * 2 * hertz
    return Device(name, gib * _GIB, bandwidth, {16: matrix * peak}, peak, link, watts, source=source, date=date)


_SPECS = "Apple, technical specifications; clock of the GPU as listed by hmc-tech.com"
_STUDIO = f"{_SPECS}; watts: Apple support 102027"
_MINI = f"{_SPECS}; watts: Apple support 103253"
_BOOK = f"{_SPECS}; watts: 140 W power adapter"
_SMALL_BOOK = f"{_SPECS}; watts: 70 W power adapter"
# fmt: off
M1_8 = _apple("M1-8", 8, 1.296e9, 16, 68.3e9, 5e9, 39, _MINI, "2020")
M1_PRO_16 = _apple("M1-Pro-16", 16, 1.296e9, 32, 200e9, 5e9, 140, _BOOK, "2021")
M1_MAX_32 = _apple("M1-Max-32", 32, 1.296e9, 64, 400e9, 5e9, 115, _STUDIO, "2022")
M1_ULTRA_64 = _apple("M1-Ultra-64", 64, 1.296e9, 128, 800e9, 5e9, 215, _STUDIO, "2022")
M2_10 = _apple("M2-10", 10, 1.398e9, 24, 100e9, 5e9, 50, _MINI, "2023")
M2_PRO_19 = _apple("M2-Pro-19", 19, 1.398e9, 32, 200e9, 5e9, 100, _MINI, "2023")
M2_MAX_30 = _apple("M2-Max-30", 30, 1.398e9, 64, 400e9, 5e9, 145, _STUDIO, "2023")
M2_ULTRA_76 = _apple("M2-Ultra-76", 76, 1.398e9, 192, 800e9, 5e9, 295, _STUDIO, "2023")
M3_10 = _apple("M3-10", 10, 1.398e9, 24, 100e9, 5e9, 70, _SMALL_BOOK, "2023")
M3_PRO_18 = _apple("M3-Pro-18", 18, 1.398e9, 36, 150e9, 5e9, 140, _BOOK, "2023")
M3_MAX_40 = _apple("M3-Max-40", 40, 1.398e9, 128, 400e9, 5e9, 140, _BOOK, "2023")
M3_ULTRA_80 = _apple("M3-Ultra-80", 80, 1.398e9, 512, 819e9, 10e9, 270, _STUDIO, "2025")
M4_10 = _apple("M4-10", 10, 1.678e9, 32, 120e9, 5e9, 65, _MINI, "2024")
M4_PRO_20 = _apple("M4-Pro-20", 20, 1.678e9, 64, 273e9, 10e9, 140, _MINI, "2024")
M4_MAX_40 = _apple("M4-Max-40", 40, 1.678e9, 128, 546e9, 10e9, 140, _BOOK, "2024")
# Apple states "over 4x the peak GPU compute for AI" of an M4; it has the M4's clock here.
M5_10 = _apple("M5-10", 10, 1.678e9, 32, 153.6e9, 5e9, 70, f"{_SMALL_BOOK}; Apple, M5, October 2025", "2025", matrix=4)

# The data sheet gives 1e15 for fp4 with half of the weights zero, and the bus. The rest follows as in the other chips
# of RTX Blackwell: half of that for dense weights, half again for each doubling of the bits, and 48 x 128 lanes at 2.54
# GHz.
DGX_SPARK = Device("DGX-Spark", 128 * _GIB, 273e9, {16: 125e12, 8: 250e12, 4: 500e12}, 31.2e12, 25e9, 240,
                   source="NVIDIA DGX Spark data sheet; RTX Blackwell GPU Architecture, white paper", date="2025")
# Its GPU, Radeon 8060S: 40 units at 2.9 GHz, each 512 FLOPs per cycle in fp16 and 256 in fp32. USB4.
RYZEN_AI_MAX_395 = Device("Ryzen-AI-Max-395", 128 * _GIB, 256e9, {16: 40 * 512 * 2.9e9}, 40 * 256 * 2.9e9, 5e9, 120,
                          source="AMD Ryzen AI Max+ 395, product specifications", date="2025")

# Eight Zen 4 cores at 5.1 GHz, their fastest. In a cycle a core does one AVX-512 instruction, or two of 256 bits:
# 32 FLOPs in fp32, 64 in bf16 (AVX512_BF16), 128 in int8 (AVX512_VNNI). Two channels of DDR5-5600. USB4.
RYZEN_7_7840U = Device("Ryzen-7-7840U", 32 * _GIB, 89.6e9, {16: 8 * 64 * 5.1e9, 8: 8 * 128 * 5.1e9}, 8 * 32 * 5.1e9,
                       5e9, 28, date="2023",
                       source="AMD Ryzen 7 7840U, product specifications; AMD, Zen 4 optimization guide")
# 56 cores at 3.0 GHz, the fastest that all reach. AMX does 1024 FLOPs per cycle in bf16 and 2048 in int8,
# two AVX-512 units 64 in fp32. Eight channels of DDR5-4800.
XEON_8480 = Device("Xeon-8480+", 512 * _GIB, 307.2e9, {16: 56 * 1024 * 3e9, 8: 56 * 2048 * 3e9}, 56 * 64 * 3e9,
                   64e9, 350, date="2023",
                   source="Intel Xeon Platinum 8480+, product specifications; Intel, AMX overview")
# fmt: on

MACS = (
    M1_8, M1_PRO_16, M1_MAX_32, M1_ULTRA_64, M2_10, M2_PRO_19, M2_MAX_30, M2_ULTRA_76, M3_10, M3_PRO_18, M3_MAX_40,
    M3_ULTRA_80, M4_10, M4_PRO_20, M4_MAX_40, M5_10,
)  # fmt: skip
COMPUTERS = (*MACS, DGX_SPARK, RYZEN_AI_MAX_395, RYZEN_7_7840U, XEON_8480)
"""Every computer of this file."""
