"""Engines with a date: the same device gives other speeds with the software of another year.

The constants are fitted on half of the published rows of a generation, and the other half tells the error: see
`calibrate.py` and `tools/llm_error.py`. A test holds that the constants below are what the fit gives.
"""

from dataclasses import dataclass, replace

from mini_lib.llm.cost.device import Device
from mini_lib.llm.cost.efficiency import Efficiency
from mini_lib.llm.cost.lookup import by_name
from mini_lib.llm.cost.workload import Workload
from mini_lib.require import whole


@dataclass(frozen=True, kw_only=True)
class EngineProfile(Efficiency):
    """What the engine called `software` made of its devices in `year`: constants that published rows explain.

    `fitted_on` says which rows. They were measured on `devices`, with at least `fewest_bits` for each weight, and on
    at most `most_devices` that share a model. What lies outside is computed all the same; `beyond()` says so.

    Raises:
        TypeError, ValueError: as `Efficiency`, or a year or a count that is not a whole number.

    >>> ENGINE_2025.name, ENGINE_2025.year
    ('TensorRT-LLM 2025', 2025)
    """

    software: str
    year: int
    fitted_on: str
    devices: frozenset[str]
    fewest_bits: float = 4.0
    most_devices: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("year", self.year, low=2017, fix="it is that of the measurements, and transformers are of 2017")
        whole("most_devices", self.most_devices, low=1, fix="use 1 where no row shares a model")

    @property
    def name(self) -> str:
        """The software and the year."""
        return f"{self.software} {self.year}"

    def beyond(self, device: Device, workload: Workload) -> tuple[str, ...]:
        """Return what of this workload the profile was not fitted on, in words; none where it covers it all.

        >>> from mini_lib.llm.cost.devices import find_device
        >>> ENGINE_2025.beyond(find_device("A100-SXM-80GB"), Workload(weight_bits=2))
        ('no row of A100-SXM-80GB', 'weight_bits 2 (rows have 4 or more)')
        """
        w, found = workload, []
        if device.name not in self.devices:
            found.append(f"no row of {device.name}")
        if w.weight_bits < self.fewest_bits:
            found.append(f"weight_bits {w.weight_bits:g} (rows have {self.fewest_bits:g} or more)")
        if w.devices > self.most_devices:
            found.append(f"{w.devices} devices (rows have {self.most_devices} or fewer)")
        return tuple(found)

    def __str__(self) -> str:
        return self.name


_ROWS_2023 = "half of 168 rows: TensorRT-LLM v0.5 and v0.6.1, gpt-fast (2023), llama.cpp (May 2024)"
_CONSTANTS_2023 = {
    "matmul_16": 0.742,
    "matmul_8": 0.596,
    "bandwidth": 0.866,
    "link": 1,
    "launch_s": 83.2e-6,
    "prefill_launch_s": 161e-6,
    "unpack_ops": 0,
    "kv_reread": 0.619,
    "fitted_on": _ROWS_2023,
}
_CARDS_2024 = ("RTX-3070", "RTX-3080-10GB", "RTX-3090", "RTX-4070-Ti", "RTX-4080", "RTX-4090")
_MACS_2024 = ("M1-Max-32", "M2-Ultra-76", "M3-Max-40")
# fmt: off
ENGINE_2023 = EngineProfile(software="TensorRT-LLM", year=2023, collective_s=13.0e-6, most_devices=8,
                            devices=frozenset({"A100-SXM-80GB", "H100-SXM-80GB", "L40S"}), **_CONSTANTS_2023)
# one kernel that reads from all neighbours at once, instead of a ring of small steps
GPT_FAST_2023 = replace(ENGINE_2023, software="gpt-fast", collective_s=0, devices=frozenset({"A100-SXM-80GB-330W"}))
LLAMA_CPP_2024 = replace(ENGINE_2023, software="llama.cpp", year=2024, most_devices=1, devices=frozenset(_CARDS_2024))
# weights are unpacked one by one, where CUDA kernels take four in one instruction
LLAMA_CPP_METAL_2024 = replace(LLAMA_CPP_2024, software="llama.cpp, Metal", unpack_ops=12.3,
                               devices=frozenset(_MACS_2024))
# fmt: on

_ROWS_2025 = "half of 77 rows: TensorRT-LLM v1.0 (2025), all requests queued at once"
ENGINE_2025 = EngineProfile(
    software="TensorRT-LLM",
    year=2025,
    fitted_on=_ROWS_2025,
    devices=frozenset({"H100-SXM-80GB", "H200-SXM-141GB", "B200"}),
    most_devices=8,
    matmul_16=0.742,
    matmul_8=0.562,
    matmul_4=0.452,
    experts=0.465,
    bandwidth=1,
    link=1,
    launch_s=0,
    prefill_launch_s=0,
    collective_s=0,
    unpack_ops=0,
    kv_reread=0.216,
)
LLAMA_CPP_2025 = replace(ENGINE_2025, software="llama.cpp", most_devices=1)
LLAMA_CPP_METAL_2025 = replace(ENGINE_2025, software="llama.cpp, Metal", most_devices=1)

GENERATION_2023 = (ENGINE_2023, GPT_FAST_2023, LLAMA_CPP_2024, LLAMA_CPP_METAL_2024)
MLX_2025, VLLM_2025, SGLANG_2025 = (replace(LLAMA_CPP_2025, software=name) for name in ("MLX", "vLLM", "SGLang"))

GENERATION_2025 = (ENGINE_2025, LLAMA_CPP_2025, LLAMA_CPP_METAL_2025, MLX_2025, VLLM_2025, SGLANG_2025)
ENGINES = (*GENERATION_2023, *GENERATION_2025)
"""Every engine of this file, the older generation first."""


def find_engine(name: str) -> EngineProfile:
    """Return the engine called `name`, with its year.

    Raises:
        TypeError: `name` is not a string.
        ValueError: there is no such engine; the message gives the nearest names.

    >>> find_engine("TensorRT-LLM 2023").launch_s < find_engine("gpt-fast 2023").launch_s
    False
    """
    return by_name("engine", name, ENGINES)
