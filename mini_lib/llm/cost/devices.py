"""Devices as data: the accelerators and graphics cards; `DEVICES` also has the whole computers of `computers.py`.

The figures are limits that nothing exceeds; they are explained in `mini_lib.llm.cost.device`.
"""

from dataclasses import replace

from mini_lib.llm.cost.computers import COMPUTERS
from mini_lib.llm.cost.device import Device
from mini_lib.llm.cost.lookup import by_name

_GIB = 2**30

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
H20 = Device("H20-96GB", 96 * _GIB, 4e12, {16: 148e12, 8: 296e12}, 44e12, 450e9, 400,
             source="NVIDIA H20, data sheet as quoted by resellers; huggingface.co/hardware/h20", date="2024")
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
RTX_PRO_6000 = Device("RTX-PRO-6000", 96 * _GIB, 1.792e12, {16: 503.8e12, 8: 1007.6e12, 4: 2015.2e12}, 126e12, 64e9,
                      600,
                      source="NVIDIA RTX PRO Blackwell GPU Architecture, white paper; Workstation Edition", date="2025")
RTX_2080_TI = Device("RTX-2080-Ti", 11 * _GIB, 616e9, {16: 113.8e12, 8: 227.7e12, 4: 455.4e12}, 14.2e12, 16e9, 260,
                     source="NVIDIA Turing GPU Architecture, white paper, appendix; Founders Edition", date="2018")
RTX_3060 = Device("RTX-3060-12GB", 12 * _GIB, 360e9, {16: 51e12, 8: 102e12}, 12.7e12, 32e9, 170,
                  source="NVIDIA GeForce RTX 3060, specifications; matrix units as in the GA102 white paper",
                  date="2021")
RTX_3070 = Device("RTX-3070", 8 * _GIB, 448e9, {16: 81.3e12, 8: 162.6e12}, 20.3e12, 32e9, 220,
                  source=_GA102, date="2021")
RTX_3080 = Device("RTX-3080-10GB", 10 * _GIB, 760e9, {16: 119e12, 8: 238e12}, 29.8e12, 32e9, 320,
                  source=_GA102, date="2021")
RTX_3090 = Device("RTX-3090", 24 * _GIB, 936e9, {16: 142e12, 8: 284e12}, 35.6e12, 32e9, 350,
                  source=_GA102, date="2021")
RTX_3090_TI = Device("RTX-3090-Ti", 24 * _GIB, 1.008e12, {16: 160e12, 8: 320e12}, 40e12, 32e9, 450,
                     source="NVIDIA GeForce RTX 3090 Ti, specifications; matrix units as in the GA102 white paper",
                     date="2022")
RTX_4070 = Device("RTX-4070", 12 * _GIB, 504e9, {16: 116.6e12, 8: 233.2e12}, 29.1e12, 32e9, 200,
                  source="NVIDIA GeForce RTX 4070, specifications; matrix units as in the Ada white paper", date="2023")
RTX_4070_TI = Device("RTX-4070-Ti", 12 * _GIB, 504e9, {16: 160.4e12, 8: 320.7e12}, 40.1e12, 32e9, 285,
                     source=_ADA, date="2023")
RTX_4080 = Device("RTX-4080", 16 * _GIB, 716.8e9, {16: 194.9e12, 8: 389.9e12}, 48.7e12, 32e9, 320,
                  source=_ADA, date="2023")
RTX_4090 = Device("RTX-4090", 24 * _GIB, 1.008e12, {16: 330.3e12, 8: 660.6e12}, 82.6e12, 32e9, 450,
                  0.74, _RUNPOD, _ADA, "2023")
RTX_5090 = Device("RTX-5090", 32 * _GIB, 1.792e12, {16: 419e12, 8: 838e12, 4: 1676e12}, 104.8e12, 64e9, 575,
                  source="NVIDIA RTX Blackwell GPU Architecture, white paper, appendix A", date="2025")
RX_7900_XTX = Device("RX-7900-XTX", 24 * _GIB, 960e9, {16: 122.8e12}, 61.4e12, 32e9, 355,
                     source="AMD Radeon RX 7900 XTX, product specifications", date="2022")
# fmt: on

GRAPHICS_CARDS = (
    RTX_2080_TI, RTX_3060, RTX_3070, RTX_3080, RTX_3090, RTX_3090_TI, RTX_4070, RTX_4070_TI, RTX_4080, RTX_4090,
    RTX_5090, RX_7900_XTX,
)  # fmt: skip
"""The cards made for games."""
DEVICES = (
    A100_SXM_80GB, A100_SXM_80GB_330W, A100_PCIE_80GB, H100_SXM, H100_PCIE, H200_SXM, H20, B200, MI300X, L40S, L4, T4,
    RTX_A6000, RTX_6000_ADA, RTX_PRO_6000, *GRAPHICS_CARDS, *COMPUTERS,
)  # fmt: skip
"""Every device."""


def find_device(name: str) -> Device:
    """Return the device called `name`; capitals do not matter.

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
