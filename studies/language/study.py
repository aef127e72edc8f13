"""One language model, compressed in many ways, and its perplexity on the same windows of text each time.

The model comes from a 4-bit file: groups of 32 weights have a step and a lowest value in float16. "Float" here means
the weights unpacked from that file. So a grid of the same kind, `FILE_GRID`, loses nothing at 4 bits, but this says
nothing about 4 bits: every weight already lies on that grid. The grids that are judged have no lowest value. They are
symmetric, with another step in every group, or have a whole number as zero point; then the step is the file's, and all
weights of a group move by the same part of a step. The symmetric grids are the main ones, since nothing in the file
favours them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mini_lib.llm.model.layerwise import change_layers, in_blocks
from mini_lib.llm.model.perplexity import Perplexity, perplexity
from mini_lib.llm.model.rescale import scale_salient_lm, smooth_lm
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.llm.model.windows import windows_of
from mini_lib.quantize import IntFormat, PerChannel, PerGroup, quantize_weights
from mini_lib.quantize.model import UNSIGNED_8_BITS, quantize_weights_and_activations
from mini_lib.quantize.packed import pack_for_speed
from mini_lib.quantize.rounding.gptq import gptq_weight
from mini_lib.require import checked, share, whole
from mini_lib.surgery import find
from studies.language.pruning import MAGNITUDE, MAGNITUDE_BY_ROW, PRUNED_BY, SPARSE_GPT, WANDA
from studies.language.stored import stored_bytes, unpacked

# The method of compression (`method`), and its grid or pattern (`at`).
FLOAT, FILE_GRID = "as unpacked", "the file's own grid"
NEAREST, GPTQ, AWQ, AWQ_UNSHARED, AWQ_GPTQ = "to nearest", "GPTQ", "AWQ", "AWQ, no shared heads", "AWQ, then GPTQ"
PACKED = "to nearest, packed"
STATIC, SMOOTHED, DYNAMIC = "8-bit inputs, static", "8-bit inputs, static, smoothed", "8-bit inputs, per token"
CACHE = "keys and values"
SYMMETRIC, ZERO_POINT = "symmetric", "zero point"
PER_ROW = "8 bits per row"
PATTERNS = ("30%", "50%", "2:4")
INT8 = IntFormat(8, granularity=PerChannel())


@dataclass(frozen=True)
class Plan:
    """How the model is calibrated and judged; windows have `window` tokens each.

    Raises:
        TypeError, ValueError: a setting is out of range.
    """

    window: int = 256
    evaluation_windows: int = 33
    calibration_windows: int = 16
    group_size: int = 32
    candidates: int = 10
    strength: float = 0.5

    def __post_init__(self) -> None:
        for name, low in (("window", 2), ("evaluation_windows", 2), ("calibration_windows", 1), ("candidates", 1)):
            checked(self, name, whole, low=low, fix="see the plan of the record")
        checked(self, "group_size", whole, low=1, fix="32 is that of the file")
        checked(self, "strength", share, zero=True, fix="0.5 splits the range evenly")


@dataclass(frozen=True)
class Bench:
    """The model, and the token ids to calibrate on and to judge on, in the numbers that the plan uses."""

    lm: LanguageModel
    calibration: Tensor
    evaluation: Tensor


@dataclass(frozen=True)
class Run:
    """One compressed model: its method, its grid or pattern, the bytes of all its weights, and its losses.

    `made_s` is the CPU time of making it, `judged_s` that of judging it. `largest_change` is the largest change of a
    weight in the blocks, where that matters; otherwise None.
    """

    method: str
    at: str
    stored_bytes: int
    losses: tuple[float, ...]
    tokens: int
    text: str
    made_s: float
    judged_s: float
    largest_change: float | None = None

    @property
    def perplexity(self) -> Perplexity:
        return Perplexity(self.losses, self.tokens, self.text)


Made = tuple[str, str, Callable[[], LanguageModel]]  # method, at, and the function that makes the model
Part = Callable[[Plan, Bench], Iterator[Made]]


def grid(bits: int, kind: str, plan: Plan) -> IntFormat:
    """Return the grid of this many bits, with float16 scales as in the file.

    >>> grid(3, SYMMETRIC, Plan()).label
    'int3 per group of 32'
    """
    group = PerGroup(plan.group_size)
    if kind == SYMMETRIC:
        return IntFormat(bits, granularity=group, scale_dtype=torch.float16)
    return IntFormat(bits, symmetric=False, signed=False, granularity=group, scale_dtype=torch.float16)


def at(bits: int, kind: str) -> str:
    """Return the name of a grid, "3 bits, symmetric"."""
    return f"{bits} bits, {kind}"


def on_file_grid(weight: Tensor, bits: int = 4, group_size: int = 32) -> Tensor:
    """Return the weight rounded to a step and a lowest value per group, both in float16: the arithmetic of Q4_1.

    With 2 bits between 1 and 4 the step is 1, and 2.4 becomes 2:

    >>> on_file_grid(torch.tensor([[1.0, 4.0, 2.4, 3.0]]), bits=2, group_size=4)
    tensor([[1., 4., 2., 3.]])
    """
    groups = weight.reshape(-1, group_size)
    low, high = groups.amin(dim=1, keepdim=True), groups.amax(dim=1, keepdim=True)
    low, step = low.half().float(), ((high - low) / (2**bits - 1)).half().float()
    codes = ((groups - low) / step.where(step > 0, 1.0)).round().clamp(0, 2**bits - 1)
    return (step * codes + low).reshape(weight.shape)


def packed(lm: LanguageModel, bits: int, plan: Plan, head_bits: int = 8) -> LanguageModel:
    """Return a model rounded to nearest, with all of its linear layers on packed codes, as in use."""
    fmt, head = grid(bits, SYMMETRIC, plan), grid(head_bits, SYMMETRIC, plan)
    return pack_for_speed(quantize_weights(lm, lambda name, module: fmt if in_blocks(name, module) else head))


def parts_of(plan: Plan) -> Mapping[str, Part]:
    """Return the parts of the study by name; each makes one model or a few, and the most important come first.

    >>> list(parts_of(Plan()))[:4]
    ['float', 'nearest-3', 'gptq-3', 'awq-3']
    """

    def pruning(pattern: str, *methods: str) -> dict[str, Part]:
        return {f"{name}, {pattern}": partial(_pruned, name, pattern) for name in methods}

    def on(bits: int, kind: str, make: Callable[..., Iterator[Made]]) -> Part:
        return partial(make, at(bits, kind), grid(bits, kind, plan))

    return {
        "float": _float,
        "nearest-3": on(3, SYMMETRIC, _nearest),
        "gptq-3": on(3, SYMMETRIC, _gptq),
        "awq-3": on(3, SYMMETRIC, _awq),
        **pruning("2:4", MAGNITUDE, WANDA, SPARSE_GPT),
        "static": _static,
        "smoothed": _smoothed,
        "per-token": _per_token,
        "nearest-4": on(4, SYMMETRIC, _nearest),
        **pruning("50%", MAGNITUDE, WANDA, SPARSE_GPT),
        "gptq-4": on(4, SYMMETRIC, _gptq),
        "awq-4": on(4, SYMMETRIC, _awq),
        "cache": _cache,
        "packed-4": partial(_packed, 4),
        "packed-3": partial(_packed, 3),
        **pruning("30%", MAGNITUDE, WANDA, SPARSE_GPT),
        "nearest-8": on(8, SYMMETRIC, _nearest),
        "zero-point-4": on(4, ZERO_POINT, _nearest),
        "zero-point-3": on(3, ZERO_POINT, _nearest),
        "awq-gptq-3": on(3, SYMMETRIC, _awq_gptq),
        "awq-unshared-3": on(3, SYMMETRIC, _awq_unshared),
        # each group of four is within one row, so 2:4 by row is the same
        **pruning("50%", MAGNITUDE_BY_ROW),
        **pruning("30%", MAGNITUDE_BY_ROW),
        "zero-point-gptq-3": on(3, ZERO_POINT, _gptq),
    }


def run_part(part: Part, plan: Plan, bench: Bench, progress: Callable[[Run], None] | None = None) -> tuple[Run, ...]:
    """Return the runs of one part. Nothing is chosen on the text that the models are judged on."""
    runs = []
    for method, where, make in part(plan, bench):
        started = time.process_time()
        lm = make()
        made_s, size = time.process_time() - started, stored_bytes(lm)
        change = _largest_change(bench.lm, lm) if method == FILE_GRID else None
        started = time.process_time()
        kv_bits = int(where.split()[0]) if method == CACHE else 32
        found = perplexity(unpacked(lm), bench.evaluation, plan.window, kv_bits=kv_bits)
        judged_s = time.process_time() - started
        runs.append(Run(method, where, size, found.losses, found.tokens, found.text, made_s, judged_s, change))
        if progress is not None:
            progress(runs[-1])
    return tuple(runs)


def _float(plan: Plan, bench: Bench) -> Iterator[Made]:
    def on_grid(name: str, weight: Tensor, moments: Tensor) -> Tensor:
        return on_file_grid(weight, group_size=plan.group_size)

    yield FLOAT, FLOAT, lambda: bench.lm
    yield FILE_GRID, "4 bits, lowest value", lambda: change_layers(bench.lm, range(2), on_grid, window=2)


def _nearest(where: str, fmt: IntFormat, plan: Plan, bench: Bench) -> Iterator[Made]:
    yield NEAREST, where, lambda: quantize_weights(bench.lm, fmt, in_blocks)


def _packed(bits: int, plan: Plan, bench: Bench) -> Iterator[Made]:
    yield PACKED, at(bits, SYMMETRIC), lambda: packed(bench.lm, bits, plan)


def _gptq(where: str, fmt: IntFormat, plan: Plan, bench: Bench) -> Iterator[Made]:
    yield GPTQ, where, lambda: _by_gptq(bench.lm, fmt, plan, bench)


def _awq(where: str, fmt: IntFormat, plan: Plan, bench: Bench) -> Iterator[Made]:
    yield AWQ, where, lambda: quantize_weights(_scaled(fmt, plan, bench), fmt, in_blocks)


def _awq_unshared(where: str, fmt: IntFormat, plan: Plan, bench: Bench) -> Iterator[Made]:
    yield AWQ_UNSHARED, where, lambda: quantize_weights(_scaled(fmt, plan, bench, False), fmt, in_blocks)


def _awq_gptq(where: str, fmt: IntFormat, plan: Plan, bench: Bench) -> Iterator[Made]:
    yield AWQ_GPTQ, where, lambda: _by_gptq(_scaled(fmt, plan, bench), fmt, plan, bench)


def _pruned(name: str, pattern: str, plan: Plan, bench: Bench) -> Iterator[Made]:
    def change(layer: str, weight: Tensor, moments: Tensor) -> Tensor:
        return PRUNED_BY[name](weight, moments, pattern)

    if name in (MAGNITUDE, MAGNITUDE_BY_ROW):  # which do not use the inputs
        yield name, pattern, lambda: change_layers(bench.lm, range(2), change, window=2)
    else:
        yield name, pattern, lambda: change_layers(bench.lm, bench.calibration, change, window=plan.window)


def _cache(plan: Plan, bench: Bench) -> Iterator[Made]:
    for bits in (8, 4):
        yield CACHE, f"{bits} bits", lambda: bench.lm


def _static(plan: Plan, bench: Bench) -> Iterator[Made]:
    yield STATIC, PER_ROW, lambda: _on_static_grids(bench.lm, plan, bench)


def _smoothed(plan: Plan, bench: Bench) -> Iterator[Made]:
    def make() -> nn.Module:
        smoothed = smooth_lm(bench.lm, bench.calibration, plan.strength, window=plan.window)
        return _on_static_grids(smoothed, plan, bench)

    yield SMOOTHED, PER_ROW, make


def _per_token(plan: Plan, bench: Bench) -> Iterator[Made]:
    yield NEAREST, PER_ROW, lambda: quantize_weights(bench.lm, INT8, in_blocks)
    yield DYNAMIC, PER_ROW, lambda: pack_for_speed(quantize_weights(bench.lm, INT8, in_blocks))


def _on_static_grids(lm: LanguageModel, plan: Plan, bench: Bench) -> nn.Module:
    data = windows_of(bench.calibration, plan.window)
    return quantize_weights_and_activations(lm, INT8, UNSIGNED_8_BITS, data, where=in_blocks)


def _scaled(fmt: IntFormat, plan: Plan, bench: Bench, shared_heads: bool = True) -> LanguageModel:
    return scale_salient_lm(
        bench.lm, fmt, bench.calibration, plan.candidates, window=plan.window, shared_heads=shared_heads
    )


def _by_gptq(lm: LanguageModel, fmt: IntFormat, plan: Plan, bench: Bench) -> LanguageModel:
    return change_layers(
        lm, bench.calibration, lambda name, weight, moments: gptq_weight(weight, moments, fmt), window=plan.window
    )


def _largest_change(before: LanguageModel, after: LanguageModel) -> float:
    pairs = ((layer.weight, after.get_submodule(name).weight) for name, layer in find(before, in_blocks))
    return max((one - other).abs().max().item() for one, other in pairs)
