"""What the calculator's panel shows, as numbers: from the position of its controls to cost, speed, memory and two dots.

No drawing and no widget here. `panel_numbers()` never raises for a setting that the controls can reach: what does
not fit or cannot be split is an answer too, with the changes that would help.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from math import log
from typing import Any

from mini_lib.llm.cost.architecture import Architecture, need_architecture
from mini_lib.llm.cost.computers import COMPUTERS, MACS
from mini_lib.llm.cost.device import Device, need_device
from mini_lib.llm.cost.devices import DEVICES, GRAPHICS_CARDS, H100_SXM, find_device
from mini_lib.llm.cost.efficiency import Efficiency, need_efficiency
from mini_lib.llm.cost.engines import (
    ENGINE_2023,
    ENGINE_2025,
    LLAMA_CPP_2024,
    LLAMA_CPP_2025,
    LLAMA_CPP_METAL_2024,
    LLAMA_CPP_METAL_2025,
    EngineProfile,
)
from mini_lib.llm.cost.estimate import Estimate, estimate
from mini_lib.llm.cost.memory import DeviceMemory, largest_batch, memory, weight_bytes
from mini_lib.llm.cost.models import LLAMA_3_8B, MODELS, find_model
from mini_lib.llm.cost.step import TimedStep
from mini_lib.llm.cost.workload import Workload
from mini_lib.require import of_type, one_of

WEIGHTS = {"16 bits": (16, 16), "8 bits, computed in 8": (8, 8), "8 bits": (8, 16), "4.5 bits": (4.5, 16)}
"""The bits of a stored weight, and of the numbers that are multiplied. 4 bits and a scale for 32 weights are 4.5."""


def _doublings(first: int, last: int) -> tuple[int, ...]:
    """Each about 1.4 times the one before: 1, 2, 3, 4, 6, 8, 12, ..."""
    powers = [2**i for i in range(18)]
    return tuple(n for n in sorted({*powers, *(3 * power for power in powers)}) if first <= n <= last)


CHOICES: dict[str, tuple[Any, ...]] = {
    "model": MODELS,
    "device": DEVICES,
    "devices": (1, 2, 4, 8, 16),
    "batch": _doublings(1, 512),
    "prompt": _doublings(16, 131072),
    "output": _doublings(16, 8192),
    "weights": tuple(WEIGHTS),
    "kv_bits": (16, 8, 4),
    "generation": (2023, 2025),
}
"""The values of each control, in the order in which the panel shows them."""

WAITS = {"compute": "arithmetic", "memory": "memory", "link": "link", "overhead": "kernel starts"}
"""The bounds of a step in words."""


@dataclass(frozen=True)
class Setting:
    """The position of every control. A model or a device may be given by its name, or be one of your own.

    Raises:
        TypeError: a count is not a whole number, or not an Architecture, a Device and an Efficiency.
        ValueError: a name that nothing has, a length below 1, or a format that is not in `WEIGHTS`.

    >>> Setting(device="rtx-3090").device.name, Setting(batch=0)
    Traceback (most recent call last):
    ValueError: batch must be a whole number of 1 or more, got 0; use 1 for a single user
    """

    model: Architecture = LLAMA_3_8B
    device: Device = H100_SXM
    devices: int = 1
    batch: int = 1
    prompt: int = 1024
    output: int = 256
    weights: str = "16 bits"
    kv_bits: float = 16
    generation: int = 2025
    efficiency: Efficiency | None = None  # of the engine: that of the device's own where there is none

    def __post_init__(self) -> None:
        if isinstance(self.model, str):
            object.__setattr__(self, "model", find_model(self.model))
        if isinstance(self.device, str):
            object.__setattr__(self, "device", find_device(self.device))
        one_of("generation", self.generation, CHOICES["generation"], fix="2025 is that of this year's engines")
        one_of("weights", self.weights, tuple(WEIGHTS), fix="'4.5 bits' are 4 and a scale for each 32 weights")
        need_architecture(self.model)
        need_device(self.device)
        if self.efficiency is not None:
            need_efficiency(self.efficiency)
        asked = self.workload  # checks the numbers, and keeps them as Python's
        plain = {"devices": asked.tensor_parallel, "batch": asked.batch, "prompt": asked.prompt, "output": asked.output}
        for name, value in (plain | {"kv_bits": asked.kv_bits}).items():
            object.__setattr__(self, name, value)

    @property
    def workload(self) -> Workload:
        """The same as the calculator takes it."""
        weight_bits, compute_bits = WEIGHTS[self.weights]
        return Workload(self.batch, self.prompt, self.output, weight_bits, self.kv_bits, compute_bits, self.devices)

    @property
    def title(self) -> str:
        """The model and what it runs on."""
        return f"{self.model} on {self.devices} x {self.device}"


@dataclass(frozen=True)
class Dot:
    """A step on the roofline of one device: `roof_flops_per_s` is the limit at its intensity (FLOPs per byte)."""

    name: str
    intensity: float
    flops_per_s: float
    roof_flops_per_s: float

    @property
    def of_roof(self) -> float:
        """The share of the limit that it reaches."""
        return self.flops_per_s / self.roof_flops_per_s


@dataclass(frozen=True)
class PanelNumbers:
    """The answer to a setting.

    Where it cannot run, `estimate` is None, `problem` says why, and each of `remedies` is a change of controls after
    which it runs. `memory` is None where the model cannot be split so.
    """

    setting: Setting
    memory: DeviceMemory | None
    estimate: Estimate | None
    largest_batch: int
    problem: str
    remedies: tuple[dict[str, Any], ...]

    @property
    def steps(self) -> dict[str, TimedStep]:
        """The two kinds of work, none where it cannot run."""
        return {"prefill": self.estimate.prefill, "decode": self.estimate.decode} if self.estimate else {}

    @property
    def memory_bytes(self) -> dict[str, float]:
        """What is in the memory of a device, none where the model cannot be split so."""
        m = self.memory
        return {"weights": m.weights_bytes, "KV cache": m.kv_bytes, "activations": m.activation_bytes} if m else {}

    def waits_s(self, kind: str) -> dict[str, float]:
        """What a step of "prefill" or "decode" waits for, in words and for how long; none where it cannot run."""
        step = self.steps.get(kind)
        return {words: step.shares_s.get(bound, 0.0) for bound, words in WAITS.items()} if step else {}

    @property
    def peak_flops_per_s(self) -> float:
        """The flat part of the roof for numbers as they are multiplied; for 16 bits where there are no such units."""
        peaks = self.setting.device.matmul_flops_per_s
        return peaks.get(WEIGHTS[self.setting.weights][1], peaks[16])

    @property
    def dots(self) -> tuple[Dot, ...]:
        """Prefill and decode on the roofline of one device."""
        slope = self.setting.device.bandwidth_bytes_per_s
        return tuple(
            Dot(name, step.intensity, step.flops / step.seconds, min(self.peak_flops_per_s, slope * step.intensity))
            for name, step in self.steps.items()
        )


def panel_numbers(**controls: Any) -> PanelNumbers:
    """Return all that the panel shows where its controls stand so; those not named stand as in `Setting()`.

    Raises:
        TypeError, ValueError: as `Setting`.

    The weights of Llama-3-70B alone are 141 GB in 16 bits, and half of that on each of two devices:

    >>> alone, two = (panel_numbers(model="Llama-3-70B", devices=n) for n in (1, 2))
    >>> alone.estimate is None, {"devices": 2} in alone.remedies, round(two.memory.weights_bytes / 1e9)
    (True, True, 71)
    """
    return numbers(Setting(**controls))


def numbers(setting: Setting) -> PanelNumbers:
    """Return all that the panel shows for `setting`.

    Raises:
        TypeError: not a `Setting`.
    """
    s = of_type("setting", setting, Setting, fix="use Setting(batch=8)")
    try:
        held, largest = memory(s.model, s.device, s.workload), largest_batch(s.model, s.device, s.workload)
    except ValueError as error:  # a split that the model does not allow
        return PanelNumbers(s, None, None, 0, f"{error}.", remedies(s))
    try:
        engine = engine_of(s.device, s.generation) if s.efficiency is None else s.efficiency
        return PanelNumbers(s, held, estimate(s.model, s.device, s.workload, engine), largest, "", ())
    except ValueError as error:  # too large, or numbers that the device has no units for
        short = f"It does not fit: {held.short_bytes / 2**30:,.1f} GiB more are needed on each device."
        return PanelNumbers(s, held, None, largest, f"{error}." if held.fits else short, remedies(s))


def engine_of(device: Device, generation: int = 2025) -> EngineProfile:
    """Return what the usual engine of `device` makes of it: llama.cpp on whole computers and cards for games.

    >>> engine_of(H100_SXM, 2023).name, engine_of(H100_SXM).name
    ('TensorRT-LLM 2023', 'TensorRT-LLM 2025')
    """
    if device in MACS:
        usual = {2023: LLAMA_CPP_METAL_2024, 2025: LLAMA_CPP_METAL_2025}
    elif device in (*GRAPHICS_CARDS, *COMPUTERS):
        usual = {2023: LLAMA_CPP_2024, 2025: LLAMA_CPP_2025}
    else:
        usual = {2023: ENGINE_2023, 2025: ENGINE_2025}
    return usual[generation]


def remedies(setting: Setting) -> tuple[dict[str, Any], ...]:
    """Return changes after which `setting` runs: of one control the nearest value, or of two if one is not enough."""
    singles = [_first(setting, ({name: value} for value in _nearest(setting, name))) for name in _MOVABLE]
    if any(singles):
        return tuple(filter(None, singles))
    larger = sorted(product(DEVICES, CHOICES["devices"]), key=lambda pair: pair[0].memory_bytes * pair[1])
    pairs = (
        _first(setting, ({"devices": n, "weights": w} for n, w in product(CHOICES["devices"], CHOICES["weights"]))),
        _first(setting, ({"batch": 1, "weights": w} for w in CHOICES["weights"])),
        _first(setting, ({"device": device, "devices": n} for device, n in larger)),
    )
    return tuple(filter(None, pairs))


_MOVABLE = ("batch", "prompt", "weights", "kv_bits", "devices", "device")


def _nearest(setting: Setting, name: str) -> list[Any]:
    """The other values of a control, the nearest to its present one first."""
    sizes = {"weights": lambda w: WEIGHTS[w][0], "device": lambda d: d.memory_bytes}
    size, now = sizes.get(name, float), getattr(setting, name)
    others = [value for value in CHOICES[name] if value != now]
    return sorted(others, key=lambda value: abs(log(size(value) / size(now))))


def _first(setting: Setting, changes: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    return next((change for change in changes if _runs(replace(setting, **change))), None)


def _runs(s: Setting) -> bool:
    if _least_bytes(s.model, s.weights) > s.device.memory_bytes * s.devices:  # quick, and most settings end here
        return False
    try:
        return s.workload.compute_bits in s.device.matmul_flops_per_s and memory(s.model, s.device, s.workload).fits
    except ValueError:  # a split that the model does not allow
        return False


@cache
def _least_bytes(model: Architecture, weights: str) -> float:
    """The weights alone: all devices together need at least as much."""
    return weight_bytes(model, WEIGHTS[weights][0])
