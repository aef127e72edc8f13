"""A step predicted from limits, by hand; limits that are measured are sane; a step timed by a clock that is counted."""

import pytest
import torch
from tiny_language_models import tiny_architecture, tiny_model

from mini_lib.llm import cost
from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.here import Limits, measure_limits, predict_step
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.speed import compare_operators, decode_times, profile_step
from mini_lib.quantize import IntFormat, PerGroup, pack_for_speed, quantize_weights

LIMITS = Limits(1, read_bytes_per_s=1e9, peak_flops_per_s=1e12, packed_flops_per_s={4: 1e8, 8: 5e7}, layer_s=1e-3)


@pytest.fixture(scope="module")
def lm():
    return tiny_model(tiny_architecture(width=64))


@pytest.fixture(scope="module")
def mixed(lm):
    """Blocks in 4 bits and a head in 8."""
    fmt = {bits: IntFormat(bits, granularity=PerGroup(16), scale_dtype=torch.float16) for bits in (4, 8)}
    return pack_for_speed(quantize_weights(lm, lambda name, _: fmt[8 if name == "head" else 4]))


def test_a_float_step_waits_for_memory(lm):
    """At 1e12 FLOP/s nothing waits for arithmetic: bytes of the matrices and the cache over 1e9, and 1 ms per layer."""
    predicted = predict_step(lm, LIMITS, context=10)
    matrices = DecodePlan(lm, KVCache(lm.architecture, 20)).weight_bytes
    cached = 11 * KVCache(lm.architecture, 20).bytes_per_token
    floor_s = (matrices + cached) / 1e9 + 2e-3
    assert floor_s < predicted.seconds < 1.2 * floor_s  # the calculator adds what the products read and write


def test_a_packed_step_waits_for_its_kernels(mixed):
    """At 1e8 and 5e7 FLOP/s nothing waits for memory, and each part has the rate of its own width."""
    predicted = predict_step(mixed, LIMITS, context=0)
    seconds = {row.operator.name: (row.seconds, row.bound) for row in predicted.rows}
    assert seconds["down"] == (pytest.approx(2 * 2 * 32 * 64 / 1e8), "compute")
    assert seconds["head"] == (pytest.approx(2 * 32 * 32 / 5e7), "compute")


def test_what_was_not_measured_is_told(mixed):
    limits = Limits(1, 1e9, 1e12, {4: 1e8}, 1e-3)
    with pytest.raises(ValueError, match="the limits of 8 bits were not measured"):
        predict_step(mixed, limits, context=0)
    with pytest.raises(ValueError, match="threads must be"):
        measure_limits(0)


def test_limits_of_this_machine():
    """Wide bounds, which any machine of the last twenty years keeps: a wrong unit would leave them."""
    limits = measure_limits(widths=(4,))
    assert 1e8 < limits.read_bytes_per_s < 1e12
    assert 1e8 < limits.peak_flops_per_s < 1e14 and 1e7 < limits.packed_flops_per_s[4] < 1e13
    assert 1e-7 < limits.layer_s < 1e-1
    assert str(limits).startswith("1 thread: reads ")
    assert limits.device(4).matmul_peak(8) == limits.packed_flops_per_s[4]


def test_steps_are_timed_after_the_context_that_is_asked_for(lm):
    plan = DecodePlan(lm, KVCache(lm.architecture, 12))
    times = decode_times({"a": plan}, context=7, repeats=2, clock=iter(range(100)).__next__)
    assert times["a"].times_s == (1, 1) and plan.cache.length == 8
    with pytest.raises(ValueError, match="has room for 12 tokens, and the step is after 12"):
        decode_times({"a": plan}, context=12)


def test_operators_side_by_side(lm):
    plan = DecodePlan(lm, KVCache(lm.architecture, 12))
    measured = profile_step(plan, context=4, repeats=2)
    predicted = predict_step(lm, LIMITS, context=4)
    rows = compare_operators(predicted, measured)
    assert [name for name, _, _ in rows][-1] == "all"
    assert sum(expected for _, expected, _ in rows[:-1]) == pytest.approx(predicted.seconds)
    assert {name for name, _, _ in rows} == set(measured)
    calculated = {row.operator.name for row in cost.step(lm.architecture, LIMITS.device(32), new_tokens=1).rows}
    assert {"qkv", "attention", "attention out", "gate and up", "down", "head"} < calculated
