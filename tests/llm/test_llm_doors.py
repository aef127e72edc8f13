"""Every public function of the calculator, the simulator, the prices and the published rows, with hostile arguments.

One argument of a call that works is replaced at a time. What comes out is a result without NaN, or a ValueError or
TypeError in the words of this library; the arguments stay what they were.
"""

import datetime as dt
import pickle
from dataclasses import fields, is_dataclass
from math import inf, isnan, nan

import numpy as np
import pytest

from mini_lib.llm import cost, prices, serving
from mini_lib.llm.published import fit, rows
from mini_lib.llm.serving import load

LLAMA, H100 = cost.find_model("LLaMA-3-8B"), cost.find_device("H100-SXM-80GB")
EXPERTS = cost.find_model("Mixtral-8x7B")
WORK = cost.Workload(batch=2, prompt=64, output=8)
TIMING = serving.LinearTiming(0.01, prefill_fixed_s=0.1)
REQUESTS = (serving.Request(0.0, 8, 2), serving.Request(0.5, 8, 2))
SERVED = serving.simulate(REQUESTS, TIMING, kv_tokens=64, max_batch=2)
CURVE = tuple(load.LoadRow(rate, out, 1, 1, 1, 1, 1, 1, 1, 1, 0) for rate, out in ((1, 1), (2, 3), (3, 2)))
DAY = dt.date(2024, 1, 1)
PRICES = tuple(
    prices.Price(prices.day(on), False, "P", f"m{usd}", float(usd), float(usd), "by hand")
    for on, usd in (("2021-01-01", 8), ("2022-01-01", 4), ("2023-01-01", 2), ("2024-01-01", 3))
)
SCORES = tuple(
    prices.Score(f"m{usd}", percent, 5, "answer", "instruct", "by hand", DAY)
    for usd, percent in ((8, 70.0), (4, 70.0), (2, 71.0), (3, 75.0))
)
MOVES = (prices.Alias("P", "m8", DAY, "m4", "log"),)
SCORED = prices.scored(PRICES, SCORES, MOVES)
SPEEDS = (prices.SoldSpeed("P", "m2", 100.0, DAY, "provider", "page"),)
POINTS = (("2022-01-01", 8.0), ("2023-01-01", 4.0), ("2024-01-01", 2.0))
TREND = prices.halving_time(POINTS)
ROWS = rows.published_rows()[:9]
COMPARED = fit.compare(ROWS[:1], {engine.name: engine for engine in cost.ENGINES})


def _lengths(generator, count):
    return np.full(count, 5)


def _keyword(record):
    return {field.name: getattr(record, field.name) for field in fields(record) if field.init}


def _plain(record, *without):
    return {name: value for name, value in _keyword(record).items() if name not in (*without, "_known")}


# a call that works: the function, and its arguments
CALLS = {
    # cost
    "Attention": (cost.Attention, dict(heads=4, kv_heads=2, head_dim=8, window=16, windowed_layers=1)),
    "LatentAttention": (cost.LatentAttention, _keyword(cost.find_model("DeepSeek-V3").attention)),
    "FeedForward": (cost.FeedForward, dict(width=8)),
    "Experts": (cost.Experts, dict(count=4, active=2, width=8, shared_width=0, dense_layers=0, dense_width=0)),
    "Architecture": (cost.Architecture, _keyword(LLAMA)),
    "Device": (cost.Device, _keyword(H100)),
    "measured_device": (
        cost.measured_device,
        dict(peak_flops_per_s=1e11, bandwidth_bytes_per_s=2e10, memory_bytes=2**34),
    ),
    "find_device": (cost.find_device, dict(name="B200")),
    "Efficiency": (cost.Efficiency, _keyword(cost.IDEAL)),
    "EngineProfile": (cost.EngineProfile, _keyword(cost.ENGINE_2025)),
    "beyond": (cost.ENGINE_2025.beyond, dict(device=H100, workload=WORK)),
    "find_engine": (cost.find_engine, dict(name="MLX 2025")),
    "estimate": (
        cost.estimate,
        dict(architecture=LLAMA, device=H100, workload=WORK, efficiency=cost.IDEAL, usd_per_hour=2.0),
    ),
    "kv_bytes_per_token": (cost.kv_bytes_per_token, dict(architecture=LLAMA, kv_bits=8)),
    "kv_cache_bytes": (cost.kv_cache_bytes, dict(architecture=LLAMA, batch=2, context=64, kv_bits=8)),
    "largest_batch": (cost.largest_batch, dict(architecture=LLAMA, device=H100, workload=WORK)),
    "memory": (cost.memory, dict(architecture=LLAMA, device=H100, workload=WORK)),
    "weight_bytes": (cost.weight_bytes, dict(architecture=LLAMA, weight_bits=4.5)),
    "find_model": (cost.find_model, dict(name="LLaMA-3-8B")),
    "operators": (
        cost.operators,
        dict(
            architecture=EXPERTS, batch=2, new_tokens=1, context=8, weight_bits=8, kv_bits=8, tensor_parallel=2,
            attention_parallel="data", head_on="all",
        ),
    ),
    "count_parameters": (cost.count_parameters, dict(architecture=LLAMA)),
    "step": (
        cost.step,
        dict(
            architecture=LLAMA, device=H100, batch=2, new_tokens=1, context=8, weight_bits=8, kv_bits=8,
            compute_bits=8, tensor_parallel=2, attention_parallel="tensor", efficiency=cost.IDEAL,
        ),
    ),
    "Draft": (cost.Draft, dict(architecture=LLAMA, tokens=4, acceptance=0.5)),
    "Workload": (cost.Workload, _keyword(WORK) | {"prefill_chunk": 8}),
    "matmul_peak": (H100.matmul_peak, dict(bits=16)),
    "ridge": (H100.ridge, dict(bits=16)),
    # serving
    "Request": (serving.Request, dict(arrival_s=0.0, prompt=8, output=2)),
    "poisson_arrivals": (serving.poisson_arrivals, dict(rate_per_s=1.0, count=2, prompt=8, output=_lengths, seed=0)),
    "lognormal_lengths": (serving.lognormal_lengths, dict(median=8, spread=2, most=16)),
    "full_load": (
        serving.full_load,
        dict(architecture=LLAMA, device=H100, workload=WORK, efficiency=cost.IDEAL, rounds=1, max_batch=2),
    ),
    "load_curve": (
        serving.load_curve,
        dict(
            make_requests=lambda rate: REQUESTS, timing=TIMING, rates=(1.0, 2.0), kv_tokens=64, block_tokens=16,
            max_batch=2, prefill="first", chunk_tokens=4, warm_up=0.1,
        ),
    ),
    "knee": (serving.knee, dict(rows=CURVE)),
    "md1_wait_s": (serving.md1_wait_s, dict(service_s=1.0, load=0.5)),
    "mg1_wait_s": (serving.mg1_wait_s, dict(service_s=1.0, deviation_s=1.0, load=0.5)),
    "simulate": (
        serving.simulate,
        dict(
            requests=REQUESTS, timing=TIMING, kv_tokens=64, block_tokens=16, max_batch=2, prefill="chunked",
            chunk_tokens=4,
        ),
    ),
    "percentile": (SERVED.percentile, dict(times="ttft_s", percent=50, warm_up=0.1)),
    "skipped": (SERVED.skipped, dict(warm_up=0.1)),
    "tokens_per_s_between": (SERVED.tokens_per_s_between, dict(begin_s=0.0, end_s=1.0)),
    "calculator_timing": (
        serving.calculator_timing,
        dict(architecture=LLAMA, device=H100, workload=WORK, efficiency=cost.IDEAL),
    ),
    "CalculatorTiming": (
        serving.CalculatorTiming,
        dict(architecture=LLAMA, device=H100, workload=WORK, efficiency=cost.IDEAL),
    ),
    "decode_s": (serving.calculator_timing(LLAMA, H100, WORK, cost.IDEAL).decode_s, dict(batch=2)),
    "prefill_s": (serving.calculator_timing(LLAMA, H100, WORK, cost.IDEAL).prefill_s, dict(new_tokens=8, context=3.5)),
    "pass_s": (
        serving.calculator_timing(LLAMA, H100, WORK, cost.IDEAL).pass_s,
        dict(tokens=16, new_tokens=8, context=3.5, prompts=2),
    ),
    "LinearTiming": (serving.LinearTiming, _keyword(TIMING)),
    "kv_room_tokens": (serving.kv_room_tokens, dict(architecture=LLAMA, device=H100, workload=WORK)),
    "Window": (serving.Window, dict(tokens=8, layers=2, windowed_layers=1)),
    "window_of": (serving.window_of, dict(architecture=LLAMA)),
    # prices
    "Alias": (prices.Alias, _keyword(MOVES[0])),
    "parse_aliases": (prices.parse_aliases, dict(text="provider,name,from,snapshot,source\nP,m,2024-01,m-1,log\n")),
    "snapshot_on": (prices.snapshot_on, dict(moves=MOVES, provider="P", name="m8", on="2024-02-01")),
    "speeds_at_scores": (prices.speeds_at_scores, dict(rows=SCORED, speeds=SPEEDS)),
    "three_axes": (
        prices.three_axes,
        dict(rows=SCORED, speeds=SPEEDS, percents=(70.0,), output_share=0.2, until="2025-01-01"),
    ),
    "best_scores": (prices.best_scores, dict(rows=SCORED)),
    "blended_usd": (prices.blended_usd, dict(price=PRICES[0], output_share=0.2)),
    "cheapest": (prices.cheapest, dict(prices=PRICES, on=DAY, output_share=0.2, among=("m8", "m4"))),
    "of_models": (prices.of_models, dict(prices=PRICES, models=("m8",))),
    "price_on": (prices.price_on, dict(prices=PRICES, model="m8", on=DAY, provider="P")),
    "running_minimum": (prices.running_minimum, dict(prices=PRICES, output_share=0.2, among=("m8", "m4"))),
    "sold_over_made": (
        prices.sold_over_made,
        dict(
            price=PRICES[0], made_usd_per_million_input_tokens=1.0, made_usd_per_million_output_tokens=1.0,
            output_share=0.2,
        ),
    ),
    "fall_at_least": (prices.fall_at_least, dict(rows=SCORED, percent=70.0, output_share=0.2, until="2025-01-01")),
    "level_percent": (prices.level_percent, dict(scores=SCORES, snapshot="m8", same_points=1.0)),
    "HalvingTime": (prices.HalvingTime, _keyword(TREND)),
    "blended_points": (prices.blended_points, dict(prices=PRICES, output_share=0.2)),
    "bootstrap_halving_time": (prices.bootstrap_halving_time, dict(points=POINTS, seed=0, draws=9, confidence=0.9)),
    "halving_time": (prices.halving_time, dict(points=POINTS, confidence=0.9)),
    "Hedonic": (prices.Hedonic, _keyword(prices.hedonic_fit(SCORED, 0.2))),
    "by_model": (prices.by_model, dict(row=SCORED[0])),
    "by_provider": (prices.by_provider, dict(row=SCORED[0])),
    "hedonic_fit": (
        prices.hedonic_fit,
        dict(rows=SCORED, output_share=0.2, cluster=prices.by_model, confidence=0.9),
    ),
    "Change": (prices.Change, dict(before=PRICES[0], after=PRICES[1], ratio=0.5)),
    "changes": (prices.changes, dict(prices=PRICES, output_share=0.2, line=("m8", "m4"))),
    "Scored": (prices.Scored, _keyword(SCORED[0])),
    "cheapest_at_least": (prices.cheapest_at_least, dict(rows=SCORED, on=DAY, percent=70.0, output_share=0.2)),
    "lows_at_least": (prices.lows_at_least, dict(rows=SCORED, percent=70.0, output_share=0.2)),
    "scored": (prices.scored, dict(prices=PRICES, scores=SCORES, moves=MOVES, prefer=prices.five_shot_first)),
    "scored_history": (prices.scored_history, dict(prefer=prices.five_shot_first)),
    "Score": (prices.Score, _keyword(SCORES[0])),
    "by_snapshot": (prices.by_snapshot, dict(scores=SCORES, prefer=prices.five_shot_first)),
    "five_shot_first": (prices.five_shot_first, dict(score=SCORES[0])),
    "reasoning_first": (prices.reasoning_first, dict(score=SCORES[0])),
    "parse_scores": (prices.parse_scores, dict(text=(
        "snapshot,mmlu_percent,shots,method,variant,source,date\nm,70.0,5,answer,instruct,a report,2023-03\n"
    ))),
    "SoldSpeed": (prices.SoldSpeed, _keyword(SPEEDS[0])),
    "parse_speeds": (prices.parse_speeds, dict(text=(
        "provider,model,output_tokens_per_s,date,measured_by,source\nP,m,100,2024-07,provider,a page\n"
    ))),
    "Price": (prices.Price, _keyword(PRICES[0])),
    "parse_prices": (prices.parse_prices, dict(text=(
        "date,provider,model,usd_per_million_input_tokens,usd_per_million_output_tokens,source\n"
        "2024-07,P,m,1,2,a page\n"
    ))),
    "day": (prices.day, dict(text="2024-07-18")),
    # published
    "Measurement": (rows.Measurement, _keyword(ROWS[0])),
    "halves": (rows.halves, dict(rows=ROWS)),
    "predicted_s": (fit.predicted_s, dict(row=ROWS[0], efficiency=cost.IDEAL)),
    "compare": (fit.compare, dict(rows=ROWS[:1], engines={"TensorRT-LLM 2023": cost.IDEAL})),
    "median_error": (fit.median_error, dict(compared=COMPARED, where=lambda row: True)),
    "fit_engines": (
        fit.fit_engines,
        dict(rows=ROWS[:3], constants=(("matmul_16", ("TensorRT-LLM 2023",), 0.7, 1.0),)),
    ),
}  # fmt: skip
HOSTILE = (
    None, True, "", "x", "2024-13-01", b"x", [], [1], (), {}, {1: 2}, -1, 0, 1.5, -0.5, nan, inf, -inf, 10**400, 2**64,
    1e308, 5e-324, 1j, object(), np.array([1.0, 2.0]), np.array([]), np.int64(-1), np.float32("nan"), (None,), ((1,),),
    DAY, dt.datetime(2024, 1, 1), len, "a" * 300_000, "\ufeff", "\x00", "[" * 10_000,
)  # fmt: skip
FOREIGN = (
    "object is not", "not supported between", "has no attribute", "object has no", "can't be used", "argument must be",
    "not iterable", "not subscriptable", "unsupported operand", "must be real", "cannot convert", "truth value",
    "not callable", "unhashable", "to unpack", "could not convert", "invalid literal", "positional argument",
)  # fmt: skip


def _numbers(value, depth=0):
    """All numbers in a result."""
    if isinstance(value, float | np.floating):
        yield float(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield from map(float, value.ravel())
    elif depth < 4 and is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _numbers(getattr(value, field.name), depth + 1)
    elif depth < 4 and isinstance(value, tuple | list):
        for one in value:
            yield from _numbers(one, depth + 1)
    elif depth < 4 and isinstance(value, dict):
        yield from _numbers(list(value.values()), depth + 1)


def test_every_public_name_is_here():
    others = {
        "DEVICES",
        "ENGINES",
        "MODELS",
        "Role",
        "Estimate",
        "TimedStep",
        "FullLoad",
        "LoadRow",
        "Served",
        "Totals",
        "Timing",
        "md1_knee",
        "history",
        "mmlu_scores",
        "name_moves",
        "sold_speeds",
        "PublishedFall",
        "Fall",
        "SpeedAtScore",
        "ThreeAxes",
    }  # results, data, and what takes no argument
    for door in (cost, serving, prices):
        public = {name for name in vars(door) if not name.startswith("_") and callable(getattr(door, name))}
        assert public - set(CALLS) - others == set(), door.__name__


@pytest.mark.parametrize("name", CALLS)
def test_a_hostile_argument_is_refused_in_our_words(name):
    function, good = CALLS[name]
    function(**good)
    wrong = []
    for argument in good:
        for hostile in (*HOSTILE, *map(np.float64, (nan, inf))):
            try:
                before = pickle.dumps(hostile)
            except (TypeError, AttributeError, pickle.PicklingError):
                before = None
            try:
                result = function(**(good | {argument: hostile}))
                if any(map(isnan, _numbers(result))):
                    wrong.append((argument, hostile, "NaN"))
            except (ValueError, TypeError) as error:
                said = str(error)
                if any(words in said for words in FOREIGN) or len(said) < 25 or len(said) > 1200:
                    wrong.append((argument, hostile, f"{type(error).__name__}: {said}"))
            except Exception as error:  # whatever else comes out is what is looked for
                wrong.append((argument, hostile, f"{type(error).__name__}: {error}"))
            if before is not None and pickle.dumps(hostile) != before:
                wrong.append((argument, hostile, "changed"))
    assert not wrong, "\n".join(f"{a}={str(h)[:60]!r}: {w[:300]}" for a, h, w in wrong)
