"""Fit the constants of `efficiency.py` on one half of the published rows, and tell the error on the other half.

Source: the split and the loss are our own; least squares on logarithms with a soft absolute loss (Huber, "Robust
Estimation of a Location Parameter", 1964) so that no single odd row decides.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy.optimize import least_squares

from mini_lib.llm.cost.devices import find_device
from mini_lib.llm.cost.efficiency import IDEAL, Efficiency
from mini_lib.llm.cost.estimate import estimate
from mini_lib.llm.cost.models import find_model
from mini_lib.llm.cost.published import Measurement
from mini_lib.llm.cost.step import step
from mini_lib.llm.cost.workload import Workload

ENGINES = ("TensorRT-LLM", "gpt-fast", "llama.cpp", "llama.cpp, Metal")

# constant: (engines that have one of their own, first guess, highest value). All others share one.
_SHARED = (
    ("matmul_16", ENGINES, 0.7, 1.0),
    ("matmul_8", ENGINES, 0.6, 1.0),
    ("bandwidth", ENGINES, 0.85, 1.0),
    ("link", ENGINES, 0.5, 1.0),
    ("kv_reread", ENGINES, 0.5, 1.0),
    ("launch_s", ENGINES, 50e-6, 1.0),
    ("prefill_launch_s", ENGINES, 100e-6, 1.0),
)
_OWN = (
    # a ring of small steps (NCCL) against one kernel that reads from all neighbours at once (gpt-fast)
    ("collective_s", ("gpt-fast",), 1e-6, 1.0),
    ("collective_s", ("TensorRT-LLM", "llama.cpp", "llama.cpp, Metal"), 10e-6, 1.0),
    # CUDA engines unpack with integer instructions on four numbers at once, Metal kernels number by number
    ("unpack_ops", ("llama.cpp, Metal",), 10.0, 100.0),
    ("unpack_ops", ("TensorRT-LLM", "gpt-fast", "llama.cpp"), 3.0, 100.0),
)
CONSTANTS = _SHARED + _OWN


def predicted_s(row: Measurement, efficiency: Efficiency) -> float:
    """Return what the calculator says for a published row, in the row's own unit of seconds.

    Raises:
        ValueError: unknown model or device, or the run would not fit into the memory of the device.
    """
    model, device = find_model(row.model), find_device(row.device)
    bits = {"weight_bits": row.weight_bits, "kv_bits": row.kv_bits, "compute_bits": row.compute_bits}
    if row.kind == "decode":
        return step(model, device, new_tokens=1, context=row.prompt, tensor_parallel=row.tensor_parallel, efficiency=efficiency, **bits).seconds  # fmt: skip
    workload = Workload(row.batch, row.prompt, row.output, tensor_parallel=row.tensor_parallel, **bits)
    found = estimate(model, device, workload, efficiency)
    return found.ttft_s if row.kind == "ttft" else 1 / found.tokens_per_s


def fit(rows: Iterable[Measurement]) -> dict[str, Efficiency]:
    """Return the efficiency of each engine that explains `rows` best.

    Raises:
        ValueError: there are fewer rows than constants.
    """
    rows = tuple(rows)
    if len(rows) < len(CONSTANTS):
        raise ValueError(f"need at least {len(CONSTANTS)} rows for {len(CONSTANTS)} constants, got {len(rows)}; add rows")

    def engines(logs: np.ndarray) -> dict[str, Efficiency]:
        values = {name: {} for name in ENGINES}
        for (constant, names, _, _), log in zip(CONSTANTS, logs, strict=True):
            for name in names:
                values[name][constant] = float(np.exp(log))
        return {name: Efficiency(**constants) for name, constants in values.items()}

    def residuals(logs: np.ndarray) -> list[float]:
        by_name = engines(logs)
        return [float(np.log(predicted_s(row, by_name[row.engine]) / row.seconds)) for row in rows]

    start = np.log([first for _, _, first, _ in CONSTANTS])
    highest = np.log([most for *_, most in CONSTANTS])
    # beyond an error of about 5% a row counts by its distance, no longer by the square of it
    found = least_squares(residuals, start, bounds=(-np.inf, highest), loss="soft_l1", f_scale=0.05)
    return engines(found.x)


@dataclass(frozen=True)
class Check:
    """One published row beside what the calculator says."""

    row: Measurement
    predicted_s: float
    ideal_s: float

    @property
    def error(self) -> float:
        """How far the prediction is off, as a share of what was measured; above 0 is too slow."""
        return self.predicted_s / self.row.seconds - 1


def check(rows: Iterable[Measurement], engines: Mapping[str, Efficiency]) -> tuple[Check, ...]:
    """Return each row beside its prediction and the ideal that no engine can beat."""
    return tuple(Check(row, predicted_s(row, engines[row.engine]), predicted_s(row, IDEAL)) for row in rows)


def median_error(checks: Iterable[Check], where: Callable[[Measurement], bool] = lambda row: True) -> float:
    """Return the median of the absolute errors of the rows for which `where` holds.

    Raises:
        ValueError: no row is left.
    """
    errors = [abs(one.error) for one in checks if where(one.row)]
    if not errors:
        raise ValueError("no row is left to take a median of; widen `where`")
    return median(errors)
