"""Sliding windows under load: what a sequence keeps, by hand and for the models that have them."""

import re
from dataclasses import dataclass, replace
from math import ceil

import pytest

from mini_lib.llm.cost import TENSORRT_LLM, Workload, find_device, find_model, largest_batch, memory
from mini_lib.llm.cost.kv_cache import kept_tokens, kv_bytes_per_token, kv_cache_bytes
from mini_lib.llm.cost.models import MODELS
from mini_lib.llm.serving import (
    LinearTiming,
    Request,
    Window,
    calculator_timing,
    kv_room_tokens,
    lognormal_lengths,
    poisson_arrivals,
    simulate,
    window_of,
)
from mini_lib.llm.serving.engine import Engine
from mini_lib.llm.serving.pool import BlockPool
from mini_lib.llm.serving.step_times import StepTimes

H100 = find_device("H100-SXM-80GB")
WINDOWED = ["Mistral-7B", "Gemma-2-9B", "Gemma-3-27B", "Phi-3-mini"]


def without_window(model):
    return replace(model, attention=replace(model.attention, window=None, windowed_layers=0))


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_request_alone_with_a_window_in_one_of_two_layers():
    """A prompt of 3 and 4 steps, with 3, 4, 5 and 6 tokens before the new one; the window of 4 has room for 3 of them.

    On average the layers read 3, 3.5, 4 and 4.5, of .1 s each. They hold one more: 3 during the prefill of 1 s, then
    4, 4.5, 5, 5.5. At the end one layer has 7 tokens in 4 blocks of 2, the other 4 in 2: 3 blocks on average.
    """
    timing = LinearTiming(1.0, 0.0, 0.1, prefill_fixed_s=1.0, window=Window(4, layers=2, windowed_layers=1))
    served = simulate([Request(0.0, 3, 5)], timing, kv_tokens=6, block_tokens=2)
    assert served.finish_s[0] == pytest.approx(1 + 1.3 + 1.35 + 1.4 + 1.45, rel=1e-12)
    held = 1 * 3 + 1.3 * 4 + 1.35 * 4.5 + 1.4 * 5 + 1.45 * 5.5
    assert served.totals.kv_token_s == pytest.approx(held, rel=1e-12)
    assert (served.totals.peak_kv_blocks, served.totals.kv_blocks, served.kv_peak) == (3, 3, 1)
    assert served.kv_occupancy == pytest.approx(held / (6 * 6.5), rel=1e-12)


def test_a_full_window_needs_no_room_and_sends_nobody_back():
    """Two of 3 tokens that end with 12 would need 24 places, and with a window of 4 in every layer take 8."""
    requests = [Request(0.0, 3, 10)] * 2
    served = simulate(requests, LinearTiming(1.0, window=Window(4)), kv_tokens=8, block_tokens=2)
    assert served.preemptions.sum() == 0 and served.totals.peak_kv_blocks == 4
    assert simulate(requests, LinearTiming(1.0), kv_tokens=12, block_tokens=2).preemptions.sum() > 0


@pytest.mark.parametrize("prefill", ["first", "chunked"])
def test_windows_that_nothing_fills_change_nothing(prefill):
    requests = poisson_arrivals(20.0, 300, lognormal_lengths(30, 2, 200), lognormal_lengths(20, 2, 100), seed=0)
    plain = LinearTiming(0.01, 0.001, 0.0001, 0.02, 0.001)
    ours, expected = (
        simulate(requests, timing, kv_tokens=500, prefill=prefill)
        for timing in (replace(plain, window=Window(300)), plain)
    )
    assert (ours.finish_s == expected.finish_s).all() and ours.totals == expected.totals
    assert expected.preemptions.sum() > 0


@pytest.mark.parametrize("window, jumps", [(None, 1), (Window(5000), 2), (Window(100), 1)])
def test_a_window_costs_one_stop_for_each_sequence(window, jumps):
    """A request of 200 + 9999 tokens is decoded in one jump, or in two where it fills its window on the way."""
    asked = []

    class Counted(StepTimes):
        def decode(self, batch):
            asked.append(batch)
            return super().decode(batch)

    times = Counted(LinearTiming(0.01, window=window))
    served = Engine([Request(0.0, 200, 10_000)], times, BlockPool(1000, 16, window), 8, None).run()
    assert served.totals.decode_steps == 9999
    assert len(asked) == jumps


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_window_keeps_what_the_calculator_says(model):
    window = window_of(model)
    assert (window is None) == (kept_tokens(model, 10**6) == model.layers * 10**6)
    for tokens in (1, 1023, 1024, 2047, 4096, 4097, 50_000) if window else ():
        assert window.kept(tokens) == kept_tokens(model, tokens)


@pytest.mark.parametrize("name", [*WINDOWED, "Llama-3-8B", "DeepSeek-V2-Lite"])
def test_the_room_depends_on_no_prompt_no_output_and_no_batch(name):
    model = find_model(name)
    rooms = {
        kv_room_tokens(model, H100, Workload(batch=batch, prompt=prompt, output=output))
        for batch in (1, 64)
        for prompt in (1, 100, 30_000)
        for output in (1, 5000)
    }
    assert len(rooms) == 1


def test_the_room_of_mistral_by_hand():
    """80 GiB, less 7,241,732,096 weights of 2 bytes, and of 8192 tokens 4 * 4096 + 2 * 14336 numbers of 2 bytes.

    What is left goes in tokens of 2 * 32 * 8 * 128 numbers of 2 bytes. In chunks of 512 there is more of it.
    """
    free = 80 * 2**30 - 7_241_732_096 * 2
    for chunk, tokens in ((None, 8192), (512, 512), (10**6, 8192)):
        expected = (free - tokens * (4 * 4096 + 2 * 14336) * 2) // (2 * 32 * 8 * 128 * 2)
        assert kv_room_tokens(find_model("Mistral-7B"), H100, Workload(prefill_chunk=chunk)) == expected


@pytest.mark.parametrize("name", [*WINDOWED, "Llama-3-8B"])
@pytest.mark.parametrize("change", [{}, {"kv_bits": 8, "weight_bits": 4.5}, {"tensor_parallel": 2}])
def test_the_room_holds_the_largest_batch_and_no_larger_one(name, change):
    """The calculator's, which counts bytes: with prompts of 8192 its activations are those of the largest pass."""
    model, workload = find_model(name), Workload(prompt=8192, output=1808, **change)
    room = kv_room_tokens(model, H100, workload)
    assert int(room * model.layers / kept_tokens(model, 10_000)) == largest_batch(model, H100, workload)


def test_the_room_of_a_stage_counts_its_layers():
    """Two stages of 16 layers each: a token takes half the bytes on a device."""
    model, workload = find_model("Mistral-7B"), Workload(pipeline_parallel=2, prompt=8192)
    held = memory(model, H100, workload)
    free = held.capacity_bytes - held.weights_bytes - held.activation_bytes
    assert kv_room_tokens(model, H100, workload) == int(free / 65536)


@pytest.mark.parametrize("name", WINDOWED)
def test_the_peak_of_equal_requests_is_what_they_keep_together(name):
    """60 at once, prefilled one after the other and decoded together: all end with 16,000 + 192 tokens, 1012 blocks."""
    model, workload = find_model(name), Workload(prompt=16_000, output=193)
    timing = calculator_timing(model, H100, workload, TENSORRT_LLM)
    served = simulate([Request(0.0, 16_000, 193)] * 60, timing, kv_tokens=10**6)
    at = model.attention
    blocks = (model.layers - at.windowed_layers) * 1012 + at.windowed_layers * ceil(at.window / 16)
    assert served.totals.peak_kv_blocks * model.layers == pytest.approx(60 * blocks, rel=1e-12)
    if at.window % 16 == 0:  # else the last block of the window is partly empty
        taken = served.totals.peak_kv_blocks * 16 * kv_bytes_per_token(model)
        assert taken == pytest.approx(kv_cache_bytes(model, 60, 16_192), rel=1e-12)


def test_more_long_prompts_fit_with_the_window_of_mistral():
    """Each of 16,192 tokens keeps 4096: 60 need half of the room for 539,000. Without a window 33 of them have room."""
    requests = [Request(0.0, 16_000, 193)] * 60
    served = {}
    for model in (find_model("Mistral-7B"), without_window(find_model("Mistral-7B"))):
        workload = Workload(prompt=16_000, output=193)
        room = kv_room_tokens(model, H100, workload)
        assert room // 16_192 == 33
        timing = calculator_timing(model, H100, workload, TENSORRT_LLM)
        served[timing.window is not None] = one = simulate(requests, timing, kv_tokens=room)
        assert one.little_error < 1e-9 and one.kv_occupancy <= one.kv_peak <= 1
        assert one.totals.decode_tokens == 60 * 192 and one.recomputed_tokens == 0
    assert served[True].mean_batch == 60
    assert served[False].mean_batch < 34
    assert served[True].duration_s < served[False].duration_s


def test_a_request_longer_than_the_room_is_served_where_its_windows_fit():
    """5000 tokens keep 16 in every layer."""
    served = simulate([Request(0.0, 2000, 3001)], LinearTiming(0.01, window=Window(16)), kv_tokens=16)
    assert served.totals.peak_kv_blocks == 1


# --- bad input -------------------------------------------------------------------------------------------------------


def test_what_no_window_makes_fit_is_refused():
    """7 tokens take 4 blocks of 2 in one layer and 2 in the other: 6 of two layers, the room of 6 tokens."""
    timing = LinearTiming(1.0, window=Window(4, layers=2, windowed_layers=1))
    message = (
        "requests[0] can never be served: prompt 3 + output 5 - 1 = 7 tokens, with the windows the room of 6, but the "
        "KV cache holds 4 (in whole blocks of 2), 2 too few; use kv_tokens=6 or shorter requests"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        simulate([Request(0.0, 3, 5)], timing, kv_tokens=5, block_tokens=2)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((0,), ValueError, "tokens must be a whole number of 1 or more, got 0; use window=None where"),
        ((4.5,), TypeError, "tokens must be a whole number of 1 or more, got 4.5"),
        ((4, 0), ValueError, "layers must be a whole number of 1 or more, got 0"),
        ((4, 2, -1), ValueError, "windowed_layers must be a whole number of 0 or more, got -1"),
        ((4, 2, 3), ValueError, "windowed_layers must be 2 (layers) or fewer, got 3; count again"),
    ],
)
def test_bad_windows_are_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Window(*arguments)


def test_a_timing_whose_window_is_a_number_is_refused():
    @dataclass
    class Mine:
        window: int = 4096

    with pytest.raises(TypeError, match=re.escape("a timing's window must be a Window or None, got 4096; use Window(")):
        simulate([Request(0.0, 1, 1)], Mine(), kv_tokens=16)
