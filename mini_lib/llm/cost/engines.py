"""Engines with a date: the same device has another speed with the software of another year.

The constants are fitted to half of the published rows of a generation, and the other half gives the error: see `fit.py`
of `mini_lib.llm.published` and `tools/llm_error.py`. A test checks that the fit gives the constants below.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

from mini_lib.llm.cost.device import Device, need_device
from mini_lib.llm.cost.efficiency import Efficiency
from mini_lib.llm.cost.limits import bits
from mini_lib.llm.cost.lookup import by_name
from mini_lib.llm.cost.workload import Workload, need_workload
from mini_lib.require import checked, of_type, one_of, shown, whole


@dataclass(frozen=True, kw_only=True)
class EngineProfile(Efficiency):
    """How the engine called `software` used its devices in `year`: constants fitted to published rows.

    `fitted_on` names the rows. They were measured on `devices`, of which at most `most_devices` share a model in one of
    the ways of `attention_parallel`, with `fewest_bits` or more per weight, `compute_bits` in the matrix units,
    `kv_bits` in the cache, and `fewest_requests` to `most_requests` at a time. No row has stages, drafts, cached
    prompts or prompts in chunks of a given size. Workloads outside this range are computed all the same; `beyond()`
    says so.

    Raises:
        TypeError, ValueError: as `Efficiency`; or a year or a count is not a whole number, a text is empty, or a set is
            empty or holds something of another kind.

    >>> ENGINE_2025.name, ENGINE_2025.year
    ('TensorRT-LLM 2025', 2025)
    """

    software: str
    year: int
    fitted_on: str
    devices: frozenset[str]
    compute_bits: frozenset[int]
    fewest_bits: float
    most_devices: int = 1
    fewest_requests: int = 1
    most_requests: int = 1
    kv_bits: frozenset[float] = frozenset({16})
    attention_parallel: frozenset[str] = frozenset({"tensor"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("software", "fitted_on"):
            checked(self, name, _text, fix="say whose rows they are")
        checked(self, "year", whole, low=2017, fix="it is that of the measurements, and transformers are of 2017")
        for name in ("most_devices", "fewest_requests"):
            checked(self, name, whole, low=1, fix="count it in the rows")
        checked(self, "most_requests", whole, low=self.fewest_requests, fix="count it in the rows")
        checked(self, "fewest_bits", bits, fix="it is the least of the rows, such as 4")
        checked(self, "devices", _set_of, each=_text, fix="use {'H100-SXM-80GB'}")
        checked(self, "compute_bits", _set_of, each=partial(whole, low=1), fix="use {8, 16}")
        checked(self, "kv_bits", _set_of, each=bits, fix="use {8, 16}")
        ways = partial(one_of, choices=("tensor", "data"))
        checked(self, "attention_parallel", _set_of, each=ways, fix="use {'tensor'}")

    @property
    def name(self) -> str:
        """The software and the year."""
        return f"{self.software} {self.year}"

    def beyond(self, device: Device, workload: Workload) -> tuple[str, ...]:
        """Return, in words, the parts of this workload that the profile was not fitted to; none if it covers them all.

        Raises:
            TypeError: not a Device and a Workload.

        >>> from mini_lib.llm.cost.devices import find_device
        >>> ENGINE_2023.beyond(find_device("B200"), Workload(weight_bits=2))
        ('no row of B200', 'weight_bits 2: rows have 4 or more')
        """
        w, found = need_workload(workload), []
        if need_device(device).name not in self.devices:
            found.append(f"no row of {device.name}")
        if w.weight_bits < self.fewest_bits:
            found.append(f"weight_bits {w.weight_bits:g}: rows have {self.fewest_bits:g} or more")
        if w.compute_bits not in self.compute_bits:
            found.append(f"compute_bits {w.compute_bits}: rows have {_listed(self.compute_bits)}")
        if w.kv_bits not in self.kv_bits:
            found.append(f"kv_bits {w.kv_bits:g}: rows have {_listed(self.kv_bits)}")
        if w.devices > self.most_devices:
            found.append(f"{w.devices} devices: rows have {self.most_devices} or fewer")
        if w.batch < self.fewest_requests:
            found.append(f"batch {w.batch}: rows have {self.fewest_requests} or more")
        if w.batch > self.most_requests:
            found.append(f"batch {w.batch}: rows have {self.most_requests}{' or fewer' * (self.most_requests > 1)}")
        if w.tensor_parallel > 1 and w.attention_parallel not in self.attention_parallel:
            found.append(f"attention_parallel {w.attention_parallel!r}: rows have {_listed(self.attention_parallel)}")
        never = {
            f"in {w.pipeline_parallel} stages": w.pipeline_parallel > 1,
            f"with {w.cached_prompt} tokens of the prompt cached": w.cached_prompt,
            f"with prompts in chunks of {w.prefill_chunk}": w.prefill_chunk,
            "with a draft": w.draft,
        }
        return (*found, *(f"no row {how}" for how, asked in never.items() if asked))

    def __str__(self) -> str:
        return self.name


def _text(name: str, value: object, *, fix: str) -> str:
    if not of_type(name, value, str, fix=fix).strip():
        raise ValueError(f"{name} must not be empty; {fix}")
    return value


def _set_of(name: str, values: object, *, each: Callable[..., object], fix: str) -> frozenset:
    """Return `values` as a set, each checked by `each`."""
    if not isinstance(values, Collection) or isinstance(values, str | bytes):
        raise TypeError(f"{name} must be a set, got {shown(values)}; {fix}")
    if len(values) == 0:
        raise ValueError(f"{name} must not be empty; {fix}")
    return frozenset(each(f"each of {name}", value, fix=fix) for value in values)


def _listed(values: Collection[object]) -> str:
    return " or ".join(map(str, sorted(values)))


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
    "fewest_bits": 4,
}
_CARDS_2024 = ("RTX-3070", "RTX-3080-10GB", "RTX-3090", "RTX-4070-Ti", "RTX-4080", "RTX-4090")
_MACS_2024 = ("M1-Max-32", "M2-Ultra-76", "M3-Max-40")
# fmt: off
ENGINE_2023 = EngineProfile(
    software="TensorRT-LLM", year=2023, collective_s=13.0e-6, most_devices=8, compute_bits=frozenset({8, 16}),
    kv_bits=frozenset({8, 16}), most_requests=1280,
    devices=frozenset({"A100-SXM-80GB", "H100-SXM-80GB", "L40S"}), **_CONSTANTS_2023,
)
# one kernel that reads from all neighbours at once, instead of a ring of small steps
GPT_FAST_2023 = replace(
    ENGINE_2023, software="gpt-fast", collective_s=0, compute_bits=frozenset({16}), kv_bits=frozenset({16}),
    most_requests=1,
    devices=frozenset({"A100-SXM-80GB-330W"}),
)
LLAMA_CPP_2024 = replace(
    ENGINE_2023, software="llama.cpp", year=2024, most_devices=1, compute_bits=frozenset({16}),
    kv_bits=frozenset({16}), most_requests=1,
    devices=frozenset({"RTX-3070", "RTX-3080-10GB", "RTX-3090", "RTX-4070-Ti", "RTX-4080", "RTX-4090"}),
)
# weights are unpacked one by one, where CUDA kernels unpack four in one instruction
LLAMA_CPP_METAL_2024 = replace(
    LLAMA_CPP_2024, software="llama.cpp, Metal", unpack_ops=12.3,
    devices=frozenset({"M1-Max-32", "M2-Ultra-76", "M3-Max-40"}),
)

# Under full load the start of kernels does not show: they are recorded once and replayed, and the next step is prepared
# while one runs. A single user of a server would notice it.
ENGINE_2025 = EngineProfile(
    software="TensorRT-LLM", year=2025,
    fitted_on="half of 77 rows of TensorRT-LLM v1.0 (2025), all requests queued at once; bandwidth: decode rows too",
    devices=frozenset({"H100-SXM-80GB", "H200-SXM-141GB", "B200"}), most_devices=8, fewest_bits=4,
    compute_bits=frozenset({4, 8}), kv_bits=frozenset({8}), fewest_requests=32, most_requests=16384,
    attention_parallel=frozenset({"tensor", "data"}),
    matmul_16=0.742, matmul_8=0.696, matmul_4=0.463, experts=0.157, bandwidth=0.860, kv_bandwidth=0.436,
    collective_s=11.4e-6, link=1, launch_s=0, prefill_launch_s=0, unpack_ops=0, kv_reread=0,
)
# fmt: on

# One user on one device. None of these rows gives the time of a prompt: its constants are those of 2023.
# fmt: off
LLAMA_CPP_2025 = EngineProfile(
    software="llama.cpp", year=2025,
    fitted_on="half of 130 rows of one user on one device: llama.cpp, MLX, vLLM, SGLang (2024 to 2026)",
    devices=frozenset({
        "DGX-Spark", "MI300X", "RTX-2080-Ti", "RTX-3060-12GB", "RTX-3090", "RTX-4070", "RTX-4070-Ti", "RTX-4090",
        "RTX-5090", "RTX-PRO-6000", "RX-7900-XTX", "Ryzen-AI-Max-395",
    }),
    fewest_bits=3, compute_bits=frozenset({16}), bandwidth=0.860, launch_s=62.9e-6,
    matmul_16=0.742, matmul_8=0.596, prefill_launch_s=161e-6, link=1, collective_s=0, unpack_ops=0, kv_reread=0,
)
LLAMA_CPP_METAL_2025 = replace(
    LLAMA_CPP_2025, software="llama.cpp, Metal", unpack_ops=14.71, fewest_bits=4.4,
    devices=frozenset({
        "M1-8", "M1-Max-32", "M1-Ultra-64", "M2-Max-30", "M2-Ultra-76", "M3-Pro-18", "M3-Ultra-80", "M4-10", "M5-10",
    }),
)
MLX_2025 = replace(
    LLAMA_CPP_2025, software="MLX", fewest_bits=4.4,
    devices=frozenset({"M1-Max-32", "M2-Max-30", "M3-Pro-18", "M4-Max-40", "M4-Pro-20"}),
)
# servers written in Python, which a single user waits for in every layer
VLLM_2025 = replace(
    LLAMA_CPP_2025, software="vLLM", launch_s=130.7e-6, fewest_bits=4.4,
    devices=frozenset({"A100-SXM-80GB", "H100-SXM-80GB", "RTX-3090-Ti", "RTX-4090", "RTX-5090", "RTX-6000-Ada"}),
)
SGLANG_2025 = replace(
    VLLM_2025, software="SGLang", compute_bits=frozenset({8, 16}), devices=frozenset({"H20-96GB"}),
)
# fmt: on

GENERATION_2023 = (ENGINE_2023, GPT_FAST_2023, LLAMA_CPP_2024, LLAMA_CPP_METAL_2024)
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
