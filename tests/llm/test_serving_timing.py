"""The bridge from the calculator to the simulator: the same seconds, and the same memory."""

import re

import numpy as np
import pytest

from mini_lib.llm.cost import (
    ENGINE_2023,
    IDEAL,
    Architecture,
    Attention,
    Device,
    Draft,
    Experts,
    FeedForward,
    Workload,
    estimate,
    find_device,
    find_model,
    largest_batch,
    step,
)
from mini_lib.llm.serving import LinearTiming, Request, calculator_timing, full_load, kv_room_tokens, simulate
from mini_lib.llm.serving.step_times import StepTimes

H100, LLAMA = find_device("H100-SXM-80GB"), find_model("Llama-3-8B")


@pytest.mark.parametrize(
    "name, change",
    [
        ("Llama-3-8B", {}),
        ("Llama-2-7B", {"weight_bits": 4.5, "kv_bits": 8}),
        ("Llama-2-70B", {"tensor_parallel": 4}),
        ("Llama-3-8B", {"weight_bits": 8, "compute_bits": 8}),
        ("Mixtral-8x7B", {"tensor_parallel": 2}),
        ("DeepSeek-V3", {"tensor_parallel": 16, "weight_bits": 8}),
    ],
)
@pytest.mark.parametrize("batch", [1, 7, 200])
def test_a_decode_step_is_the_calculators_at_every_context(name, change, batch):
    """A straight line through two contexts meets a third far away: 1e-9 is rounding."""
    workload, model = Workload(**change), find_model(name)
    fixed_s, context_s = calculator_timing(model, H100, workload, ENGINE_2023).decode_s(batch)
    for context in (1, 300, 1100, 9000):
        expected = step(
            model, H100, batch=batch, new_tokens=1, context=context, efficiency=ENGINE_2023, **workload.precision
        ).seconds
        assert fixed_s + context_s * batch * context == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["Mistral-7B", "Gemma-2-9B", "Gemma-3-27B", "Phi-3-mini"])
@pytest.mark.parametrize("workload", [Workload(), Workload(prompt=30_000, output=1)])
def test_with_windows_a_step_is_the_calculators_before_and_after_they_are_full(name, workload):
    """The step is a straight line in the tokens that it reads, whatever prompt is passed: 1e-9 is rounding."""
    model, batch = find_model(name), 16
    timing = calculator_timing(model, H100, workload, ENGINE_2023)
    fixed_s, context_s = timing.decode_s(batch)
    at = model.attention
    for context in (1, 700, at.window - 2, at.window - 1, at.window, at.window + 1, 9000):
        expected = step(model, H100, batch=batch, new_tokens=1, context=context, efficiency=ENGINE_2023).seconds
        full = model.layers - at.windowed_layers
        read = (full * context + at.windowed_layers * min(context, at.window - 1)) / model.layers
        assert fixed_s + context_s * batch * read == pytest.approx(expected, rel=1e-9)


def test_a_prefill_is_the_calculators_on_the_grid_and_near_between():
    """Attention is straight in the context but for one kink from memory to arithmetic: 1% of the step."""
    timing = calculator_timing(LLAMA, H100, Workload(), ENGINE_2023)
    for new_tokens in (1, 64, 512, 3000):
        for context in (0, 512, 5120, 100, 700.5, 3333):
            if new_tokens == 1 and context:
                continue  # a single token is the calculator's decode step, not a chunk
            expected = step(LLAMA, H100, new_tokens=new_tokens, context=context, efficiency=ENGINE_2023).seconds
            allowed = 1e-12 if context % 512 == 0 else 0.01
            assert timing.prefill_s(new_tokens, context) == pytest.approx(expected, rel=allowed)


def test_alone_the_simulator_says_what_the_calculator_says():
    """One request: TTFT, and TPOT, whose mean context the calculator takes. All is linear, so 1e-9 is rounding."""
    workload = Workload(batch=1, prompt=700, output=300)
    expected = estimate(LLAMA, H100, workload, ENGINE_2023)
    served = simulate([Request(0.0, 700, 300)], calculator_timing(LLAMA, H100, workload, ENGINE_2023), kv_tokens=1024)
    assert served.ttft_s[0] == pytest.approx(expected.ttft_s, rel=1e-9)
    assert served.tpot_s[0] == pytest.approx(expected.tpot_s, rel=1e-9)
    assert served.latency_s[0] == pytest.approx(expected.total_s, rel=1e-9)


def test_a_batch_that_starts_together_decodes_as_the_calculator_says():
    """32 at once: from the last prefill on, nothing but steps of 32, which the calculator averages."""
    workload = Workload(batch=32, prompt=512, output=128)
    expected = estimate(LLAMA, H100, workload, ENGINE_2023)
    timing = calculator_timing(LLAMA, H100, workload, ENGINE_2023)
    served = simulate([Request(0.0, 512, 128)] * 32, timing, kv_tokens=10**6)
    assert (served.finish_s[-1] - served.first_token_s[-1]) / 127 == pytest.approx(expected.tpot_s, rel=1e-9)
    assert np.ptp(served.finish_s) == 0


@pytest.mark.parametrize(
    "name, change", [("Llama-3-8B", {}), ("Llama-2-70B", {"tensor_parallel": 8}), ("Llama-2-7B", {"kv_bits": 8})]
)
def test_the_room_for_tokens_holds_the_largest_batch_and_no_larger_one(name, change):
    """With prompts of 8192 the activations are those of a full pass for any batch."""
    model, workload = find_model(name), Workload(prompt=8192, output=100, **change)
    room = kv_room_tokens(model, H100, workload)
    assert room // (8192 + 100) == largest_batch(model, H100, workload)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"pipeline_parallel": 2}, "pipeline_parallel must be 1 in the simulator, got 2; use estimate() for it"),
        ({"cached_prompt": 5}, "cached_prompt must be 0 in the simulator, got 5; use estimate() for it"),
        ({"draft": Draft(find_model("SmolLM2-135M"), 4, 0.7)}, "draft must be None in the simulator"),
        ({"tensor_parallel": 3}, "tensor_parallel 3"),
    ],
)
def test_what_the_simulator_does_not_know_is_refused(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        calculator_timing(LLAMA, H100, Workload(**change), IDEAL)


def test_a_model_that_leaves_no_room_says_how_much_is_missing():
    """Llama-2-70B: 137.95 GB of weights, 1.0-1.6 GB of activations in 85.9 GB: 53.0-53.7 GB or 49.4-50.0 GiB short."""
    with pytest.raises(
        ValueError, match=r"(?i)Llama-2-70B leaves no room for a KV cache on H100-SXM-80GB: 49\.[4-9]\d GiB short; use"
    ):
        kv_room_tokens(find_model("Llama-2-70B"), H100, Workload())


NOT_NEGATIVE = "must be a finite number of 0 or more"


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"decode_fixed_s": -0.1}, ValueError, f"decode_fixed_s {NOT_NEGATIVE}, got -0.1; a step takes seconds"),
        (
            {"decode_fixed_s": 0.1, "prefill_token_s": float("inf")},
            ValueError,
            f"prefill_token_s {NOT_NEGATIVE}, got inf",
        ),
        ({"decode_fixed_s": "slow"}, TypeError, f"decode_fixed_s {NOT_NEGATIVE}, got 'slow'"),
    ],
)
def test_bad_lines_are_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        LinearTiming(**arguments)


def test_a_mixed_step_reads_the_weights_once():
    """3 new tokens beside 2 that decode are 5 tokens of a prefill, .1 + 5 * .03, and 40 cached tokens, .04.

    With 1 new token the prefill of 3 would take .19 s, less than the .2 s that the step of the 2 takes anyhow.
    """
    times = StepTimes(LinearTiming(0.1, 0.05, 0.001, prefill_fixed_s=0.1, prefill_token_s=0.03))
    assert times.mixed(3, 0, 2, 40) == pytest.approx(0.25 + 0.04, rel=1e-12)
    assert times.mixed(1, 0, 2, 40) == pytest.approx(0.2 + 0.04, rel=1e-12)
    assert times.mixed(3, 0, 0, 0) == pytest.approx(0.19, rel=1e-12)


# Memory that is read in no time, so that a pass takes its FLOPs over 1000: they can be counted by hand.
SLOW = Device("slow", 10**9, 1e30, {16: 1000.0}, vector_flops_per_s=1.0, link_bytes_per_s=1e30)
DENSE = Architecture("dense", 2, 16, 100, Attention(4, 2, 4), FeedForward(24))


@pytest.mark.parametrize("answers", [0, 1, 7])
@pytest.mark.parametrize("prompts, new_tokens", [(1, 6), (2, 6), (3, 6)])
def test_a_pass_computes_the_head_for_the_end_of_each_piece_and_for_each_answer(prompts, new_tokens, answers):
    """A layer has qkv of 32 x 16, out of 16 x 16, three matrices of 24 x 16: 1920 MACs per token; the head 100 x 16.

    A piece of n tokens scores n (n + 1) / 2 pairs in each layer, of two MACs for each of 4 heads of 4 numbers.
    """
    timing = calculator_timing(DENSE, SLOW, Workload(), IDEAL)
    tokens, piece = new_tokens + answers, new_tokens // prompts
    macs = tokens * 2 * 1920 + (prompts + answers) * 1600 + prompts * 2 * piece * (piece + 1) / 2 * 2 * 16
    assert timing.pass_s(tokens, new_tokens, 0, prompts) == pytest.approx(2 * macs / 1000, rel=1e-12)


def test_where_sequences_are_shared_out_a_pass_takes_as_long_as_on_the_fullest_device():
    """Three pieces of 2 tokens and 3 answers on two devices: one has two pieces and two answers, 6 tokens.

    Outside of the experts it multiplies with 32 x 16 and 16 x 16 in each of two layers, and with the head four times.
    The experts serve all 9 tokens, half of each expert here: 2 x 3 x 24 x 16 / 2 and the router of 8 x 16, whole; and
    5 of 9 tokens are the larger half.
    """
    mixed = Architecture("mixed", 2, 16, 100, Attention(4, 2, 4), Experts(8, 2, 24))
    asked = Workload(tensor_parallel=2, attention_parallel="data")
    timing = calculator_timing(mixed, SLOW, asked, IDEAL)
    own = 6 * 2 * (32 * 16 + 16 * 16) + 4 * 1600 + 2 * 2 * 3 * 2 * 16
    experts = 2 * 5 * 2 * (2 * 3 * 24 * 16 / 2 + 8 * 16)
    assert timing.pass_s(9, 6, 0, 3) == pytest.approx(2 * (own + experts) / 1000, rel=1e-12)


def test_full_load_fills_each_device_with_whole_requests():
    """On one A100 29.9 requests find room (the example of `full_load`): 29 on each of two, and not 59 together."""
    llama, a100 = find_model("LLaMA-2-7B"), find_device("A100-SXM-80GB")
    alone = Workload(prompt=2048, output=2048)
    two = Workload(prompt=2048, output=2048, tensor_parallel=2, attention_parallel="data")
    assert kv_room_tokens(llama, a100, two) == 2 * kv_room_tokens(llama, a100, alone)
    assert full_load(llama, a100, two, IDEAL, rounds=1).batch == 58
    assert full_load(llama, a100, two, IDEAL, rounds=1, max_batch=10).batch == 20


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((8, 9, 0, 1), "new_tokens must be a whole number from 1 to 8, got 9; they are among the tokens of the pass"),
        ((8, 2, 0, 3), "prompts must be a whole number from 1 to 2, got 3; each piece of a prompt has a token"),
        ((8, 2, float("nan"), 1), "context must be a finite number of 0 or more, got nan; use 0 for an empty cache"),
    ],
)
def test_a_pass_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        calculator_timing(LLAMA, H100, Workload(), IDEAL).pass_s(*arguments)
