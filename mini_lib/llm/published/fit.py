"""Fit the constants of `efficiency.py` to one half of the published rows, and measure the error on the other half.

Source: the split and the loss are our own; least squares on logarithms with a soft absolute loss (Huber, "Robust
Estimation of a Location Parameter", 1964) so that no single odd row decides.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median

import numpy as np
from scipy.optimize import least_squares

from mini_lib.llm.cost import GENERATION_2023, IDEAL, Efficiency, Workload, estimate, find_device, find_model, step
from mini_lib.llm.cost.efficiency import need_efficiency
from mini_lib.llm.published.rows import Measurement, check_rows
from mini_lib.llm.serving import full_load
from mini_lib.require import callable_, of_type, one_of, positive, shown

# its name, the engines that share it, a first guess, its highest value
_Constant = tuple[str, tuple[str, ...], float, float]

_ALL_2023 = tuple(engine.name for engine in GENERATION_2023)
CONSTANTS_2023: tuple[_Constant, ...] = (
    ("matmul_16", _ALL_2023, 0.7, 1.0),
    ("matmul_8", _ALL_2023, 0.6, 1.0),
    ("bandwidth", _ALL_2023, 0.85, 1.0),
    ("kv_reread", _ALL_2023, 0.5, 1.0),
    ("launch_s", _ALL_2023, 50e-6, 1.0),
    ("prefill_launch_s", _ALL_2023, 100e-6, 1.0),
    # a ring of small steps (NCCL); gpt-fast has one kernel that reads from all neighbours at once
    ("collective_s", ("TensorRT-LLM 2023", "llama.cpp 2024", "llama.cpp, Metal 2024"), 10e-6, 1.0),
    # CUDA engines unpack four weights per instruction, while they wait for memory; Metal kernels one by one
    ("unpack_ops", ("llama.cpp, Metal 2024",), 10.0, 100.0),
)
"""The fitted constants. The others are ideal: a constant is left out if the fit is equally good without it."""

_LOADED = ("TensorRT-LLM 2025",)
_NATIVE = ("llama.cpp 2025", "llama.cpp, Metal 2025", "MLX 2025")
_PYTHON = ("vLLM 2025", "SGLang 2025")
CONSTANTS_2025: tuple[_Constant, ...] = (
    ("bandwidth", (*_LOADED, *_NATIVE, *_PYTHON), 0.86, 1.0),
    ("launch_s", _NATIVE, 60e-6, 1.0),
    ("launch_s", _PYTHON, 130e-6, 1.0),
    ("unpack_ops", ("llama.cpp, Metal 2025",), 15.0, 100.0),
    ("matmul_8", _LOADED, 0.7, 1.0),
    ("matmul_4", _LOADED, 0.47, 1.0),
    ("experts", _LOADED, 0.15, 1.0),
    ("kv_bandwidth", _LOADED, 0.45, 1.0),
    ("collective_s", _LOADED, 11e-6, 1.0),
)
"""The same for the engines of 2024 and later."""

OF_2023 = {"matmul_16": 0.742, "matmul_8": 0.596, "prefill_launch_s": 161e-6}
"""Constants that the rows of 2025 cannot determine: one user's prompt, and products in 16 bits."""


def predicted_s(row: Measurement, efficiency: Efficiency) -> float:
    """Return the calculator's prediction for a published row, in the row's own unit of seconds.

    Raises:
        TypeError: not a `Measurement` and an `Efficiency`.
        ValueError: the model or the device is unknown, or the run would not fit into the memory of the device.
    """
    of_type("row", row, Measurement, fix="use one of published_rows()")
    need_efficiency(efficiency)
    model, device = find_model(row.model), find_device(row.device)
    bits = {"weight_bits": row.weight_bits, "kv_bits": row.kv_bits, "compute_bits": row.compute_bits}
    if row.kind == "decode":
        bits["tensor_parallel"] = row.tensor_parallel
        return step(model, device, new_tokens=1, context=row.prompt, efficiency=efficiency, **bits).seconds
    workload = Workload(row.batch or 1, row.prompt, row.output, tensor_parallel=row.tensor_parallel, **bits)
    if row.kind == "queued":
        # models with experts on several devices are served with the sequences distributed
        shared = "data" if row.tensor_parallel > 1 and model.expert_layers else "tensor"
        return 1 / full_load(model, device, replace(workload, attention_parallel=shared), efficiency).tokens_per_s
    found = estimate(model, device, workload, efficiency)
    return found.ttft_s if row.kind == "ttft" else 1 / found.tokens_per_s


def fit_engines(rows: Iterable[Measurement], constants: Sequence[_Constant]) -> dict[str, Efficiency]:
    """Return the efficiency of each engine that fits `rows` best. Fields that are not among `constants` stay ideal.

    Raises:
        TypeError: something other than a `Measurement`, or a constant is not (name, engines, first guess, highest).
        ValueError: there are fewer rows than constants, no constant is for the engine of a row, an engine has a
            constant twice, there is no constant of that name, or its first guess is not above 0 and at most its
            highest.
    """
    rows, constants = check_rows(rows), _check_constants(constants)
    if len(rows) < len(constants):
        raise ValueError(
            f"need at least {len(constants)} rows for {len(constants)} constants, got {len(rows)}; add rows"
        )

    starting = dict.fromkeys((*_NATIVE, *_PYTHON), OF_2023) | {name: {"matmul_16": 0.742} for name in _LOADED}

    _check_engines(rows, {name for _, names, *_ in constants for name in names})

    def engines(logs: np.ndarray) -> dict[str, Efficiency]:
        values = {name: dict(starting.get(name, {})) for _, names, *_ in constants for name in names}
        for (constant, names, *_), log in zip(constants, logs, strict=True):
            for name in names:
                values[name][constant] = float(np.exp(log))
        return {name: replace(IDEAL, unfused=1.0, **fitted) for name, fitted in values.items()}

    def residuals(logs: np.ndarray) -> list[float]:
        by_name = engines(logs)
        return [float(np.log(predicted_s(row, by_name[row.engine]) / row.seconds)) for row in rows]

    start = np.log([first for _, _, first, _ in constants])
    highest = np.log([most for *_, most in constants])
    # above an error of about 5% a row counts by its distance, no longer by the square of it
    found = least_squares(residuals, start, bounds=(-np.inf, highest), loss="soft_l1", f_scale=0.05)
    return engines(found.x)


@dataclass(frozen=True)
class ComparedRow:
    """One published row and the calculator's prediction."""

    row: Measurement
    predicted_s: float
    ideal_s: float

    @property
    def error(self) -> float:
        """The error of the prediction, as a share of the measured time; above 0 the prediction is too slow."""
        return self.predicted_s / self.row.seconds - 1


def compare(rows: Iterable[Measurement], engines: Mapping[str, Efficiency]) -> tuple[ComparedRow, ...]:
    """Return each row with its prediction and the ideal that no engine can beat.

    Raises:
        TypeError: something other than a `Measurement`, or `engines` does not map names to an `Efficiency`.
        ValueError: a row's engine is not among `engines`.
    """
    rows = check_rows(rows)
    of_type("engines", engines, Mapping, fix="use {engine.name: engine for engine in ENGINES}")
    _check_engines(rows, engines)
    return tuple(ComparedRow(row, predicted_s(row, engines[row.engine]), predicted_s(row, IDEAL)) for row in rows)


def median_error(compared: Iterable[ComparedRow], where: Callable[[Measurement], bool] = lambda row: True) -> float:
    """Return the median of the absolute errors of the rows for which `where` holds.

    Raises:
        TypeError: something other than a `ComparedRow`, or `where` cannot be called.
        ValueError: no row is left.
    """
    callable_("where", where, fix="use lambda row: row.kind == 'decode'")
    compared = tuple(of_type("compared", compared, Iterable, fix="use compare()"))
    for one in compared:
        of_type("each of compared", one, ComparedRow, fix="use compare()")
    errors = [abs(one.error) for one in compared if where(one.row)]
    if not errors:
        raise ValueError("no row is left to take a median of; widen `where`")
    return median(errors)


_NAMES = tuple(field.name for field in fields(Efficiency))


def _check_constants(constants: Sequence[_Constant]) -> tuple[_Constant, ...]:
    fix = 'use ("bandwidth", ("MLX 2025",), 0.86, 1.0)'
    checked, seen = [], set()
    for constant in of_type("constants", constants, Iterable, fix=f"{fix} for each"):
        if not isinstance(constant, Sequence) or len(constant) != 4:
            raise TypeError(f"a constant must be (name, engines, first, highest), got {shown(constant)}; {fix}")
        name, engines, first, most = constant
        one_of("the name of a constant", name, _NAMES, fix="it is a field of Efficiency")
        if isinstance(engines, str) or not isinstance(engines, Collection) or not engines:
            raise TypeError(f"the engines of {name} must be a tuple of names, got {shown(engines)}; {fix}")
        first, most = (positive(f"{end} of {name}", one, fix=fix) for end, one in (("first", first), ("highest", most)))
        if first > most:
            raise ValueError(f"first of {name} must not exceed its highest ({most}), got {first}; {fix}")
        for engine in engines:
            if (name, engine) in seen:
                raise ValueError(f"{name} must be given once for {engine}, got it twice; delete one of the two")
            seen.add((name, of_type(f"each of the engines of {name}", engine, str, fix=fix)))
        checked.append((name, tuple(engines), first, most))
    if not checked:
        raise ValueError("there must be at least one constant, got none; use CONSTANTS_2025")
    return tuple(checked)


def _check_engines(rows: tuple[Measurement, ...], engines: Collection[str]) -> None:
    unknown = sorted({row.engine for row in rows} - set(engines))
    if unknown:
        raise ValueError(
            f"rows of {', '.join(unknown)} need an engine of that name, got {', '.join(engines) or 'none'}; "
            "use {engine.name: engine for engine in ENGINES}, or the constants of their generation"
        )
