"""Continuous batching: cases worked by hand, limits that have a closed form, and what holds for every workload."""

import re
from dataclasses import replace
from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.serving import LinearTiming, Request, Window, lognormal_lengths, poisson_arrivals, simulate
from mini_lib.llm.serving.engine import steps_until

ROOMY = 10**6


def times(values):
    """Rounded to what a sum of a few times cannot miss."""
    return np.round(values, 9).tolist()


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_request_alone_takes_its_prefill_and_a_step_for_each_token_after_the_first():
    """Prefill .1 + 10 * .01 = .2 s. Steps with contexts 10, 11, 12: .05 + .002 + .0001 * (10, 11, 12)."""
    timing = LinearTiming(0.05, 0.002, 0.0001, prefill_fixed_s=0.1, prefill_token_s=0.01)
    served = simulate([Request(3.0, 10, 4)], timing, kv_tokens=16)
    assert times(served.ttft_s) == [0.2]
    assert times(served.latency_s) == [round(0.2 + 3 * 0.052 + 0.0033, 9)]
    assert times(served.tpot_s) == [round(0.052 + 0.0011, 9)]
    assert (served.totals.decode_steps, served.totals.decode_tokens, served.totals.prefill_tokens) == (3, 3, 10)


def test_a_prompt_that_comes_first_stalls_the_others():
    """A: prefill 0-1, step 1-1.5. B comes at 1.2, is prefilled 1.5-2.5; both step 2.5-3.0, B alone 3.0-3.5."""
    served = simulate([Request(0.0, 4, 3), Request(1.2, 4, 3)], LinearTiming(0.5, prefill_fixed_s=1.0), kv_tokens=64)
    assert times(served.start_s) == [0.0, 1.5]
    assert times(served.first_token_s) == [1.0, 2.5]
    assert times(served.finish_s) == [3.0, 3.5]
    assert served.mean_batch == 4 / 3  # steps of 1, 2 and 1 sequences


def test_chunks_ride_along_with_the_steps_of_the_others():
    """Three tokens a step. A's 2 take one step of 2 s. B's 4 beside A: 2 + A (3 s), 2 + A (3 s), and A is done.

    A prefill takes 1 s a token, a step without chunks .5 s.
    """
    timing = LinearTiming(0.5, prefill_token_s=1.0)
    served = simulate(
        [Request(0.0, 2, 3), Request(1.0, 4, 2)], timing, kv_tokens=64, prefill="chunked", chunk_tokens=3, max_batch=2
    )
    assert times(served.first_token_s) == [2.0, 8.0]
    assert times(served.finish_s) == [8.0, 8.5]


def test_short_prompts_share_a_chunk():
    """Three prompts of 2 tokens in chunks of 4: the third has to wait for the second step."""
    served = simulate(
        [Request(0.0, 2, 1)] * 3,
        LinearTiming(0.5, prefill_token_s=1.0),
        kv_tokens=64,
        prefill="chunked",
        chunk_tokens=4,
        max_batch=4,
    )
    assert times(served.finish_s) == [4.0, 4.0, 6.0]


def test_the_newest_is_sent_back_when_the_blocks_run_out_and_computes_everything_anew():
    """Blocks of 2, 4 of them. A and B have prompts of 2 and want 5 tokens: 6 places, 3 blocks each at the end.

    Prefills 0-1 (A) and 1-2 (B), one block each. Step 2-3: both need a second block, 4 in all. Step 3-4 fills them: 3
    tokens each. At 4 both need a third: B goes. A alone 4-5 and 5-6 has 5 tokens. B: prompt 2 + 3 tokens anew 6-7,
    which gives its 4th; step 7-8 the 5th.
    """
    requests = [Request(0.0, 2, 5), Request(0.0, 2, 5)]
    served = simulate(requests, LinearTiming(1.0, prefill_fixed_s=1.0), kv_tokens=8, block_tokens=2)
    assert served.preemptions.tolist() == [0, 1]
    assert times(served.first_token_s) == [1.0, 2.0]
    assert times(served.finish_s) == [6.0, 8.0]
    assert served.recomputed_tokens == 5
    assert served.kv_peak == 1.0


def test_occupancy_is_the_area_under_the_tokens_in_the_cache():
    """3 places for 2 s of prefill, then 4 and 5 for a step of 1 s each: 15 of 16 * 4 s."""
    served = simulate([Request(0.0, 3, 3)], LinearTiming(1.0, prefill_fixed_s=2.0), kv_tokens=16)
    assert served.kv_occupancy == pytest.approx(15 / 64, rel=1e-12)
    assert served.utilization == 1.0


def test_an_idle_service_is_not_busy():
    """Two requests of 1 s each, the second 9 s after the first at 5: busy 2 of 10 s, .2 requests on average."""
    served = simulate([Request(5.0, 1, 1), Request(14.0, 1, 1)], LinearTiming(1.0, prefill_fixed_s=1.0), kv_tokens=16)
    assert (served.duration_s, served.utilization, served.mean_in_system) == (10.0, 0.2, 0.2)
    assert served.tokens_per_s == 0.2
    assert np.isnan(served.tpot_s).all() and np.isnan(served.percentile("tpot_s", 50))
    assert served.mean_batch == 0.0


def test_percentiles_leave_out_the_warm_up():
    """Latencies 1 and 2 s (both come at 0, one waits for the other); without the first half only the 2 is left."""
    served = simulate([Request(0.0, 1, 1)] * 2, LinearTiming(1.0, prefill_fixed_s=1.0), kv_tokens=16, max_batch=1)
    assert served.percentile("latency_s", 50) == 1.5
    assert served.percentile("latency_s", 0, warm_up=0.5) == 2.0
    assert served.tokens_per_s_between(0.5, 2.5) == 1.0
    assert served.tokens_per_s_between(1.5, 3.5) == 0.5


UNITS = st.integers(0, 50).map(lambda units: units / 64)


@given(UNITS, UNITS, UNITS, UNITS)
def test_the_fewest_steps_until_a_time_are_those_that_one_counts(now, first, longer, wait):
    """All values are multiples of 1/64, so every sum is exact."""
    first += 1 / 64
    until = now + 1 / 64 + 20 * wait
    steps, clock, step = 0, now, first
    while clock < until:
        clock, step, steps = clock + step, step + longer, steps + 1
    assert steps_until(now, first, longer, until) == steps


# --- limits with a closed form ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefill", ["first", "chunked"])
def test_equal_services_at_equal_distances_never_wait_below_load_1(prefill):
    """D/D/1: each is done (3 steps of .25 s and a prefill of .25 s) before the next comes 1.25 s later."""
    requests = [Request(1.25 * i, 8, 4) for i in range(1000)]
    served = simulate(requests, LinearTiming(0.25, prefill_fixed_s=0.25), kv_tokens=16, max_batch=1, prefill=prefill)
    assert served.wait_s.max() == 0
    assert set(served.latency_s) == {1.0}
    assert served.utilization == pytest.approx(0.8, abs=1e-3)  # 1 of 1.25 s; the end has no gap: 1 / 1249.75 more


def test_equal_services_at_equal_distances_wait_ever_longer_above_load_1():
    """D/D/1: each comes .75 s after the one before and takes 1 s, so number n waits n * .25 s."""
    served = simulate(
        [Request(0.75 * i, 8, 1) for i in range(1000)],
        LinearTiming(1.0, prefill_fixed_s=1.0),
        kv_tokens=16,
        max_batch=1,
    )
    assert served.wait_s.tolist() == [0.25 * i for i in range(1000)]


def test_without_limits_nobody_waits_longer_than_a_step():
    """Batch to infinity, steps that cost the same for any batch, and prefills that cost nothing.

    Who comes waits for the end of the step at hand, and then gets a token in every step. So a latency is 19 steps and
    that rest, which is uniform in [0, 1 step) for random arrivals at a service that is never idle: .5 on average, with
    a standard error of 1 / sqrt(12 * 20000) = .002. The service is idle for exp(-50 * 19 * .01) = 1e-4 of the time.
    """
    requests = poisson_arrivals(50, 20_000, prompt=16, output=20, seed=3)
    served = simulate(requests, LinearTiming(0.01), kv_tokens=ROOMY * 100, max_batch=ROOMY)
    rest = served.latency_s / 0.01 - 19
    assert rest.min() > -1e-6 and rest.max() < 1 + 1e-6
    assert rest.mean() == pytest.approx(0.5, abs=4 * 0.002)
    np.testing.assert_allclose(served.tpot_s, 0.01, rtol=1e-6)
    # Little: the mean number that decode is the rate times the 19 steps; 4 standard errors of the drawn rate
    decoding = served.totals.decode_tokens * 0.01 / served.duration_s
    assert decoding == pytest.approx(50 * 0.19, rel=4 / 20_000**0.5)


def test_a_full_batch_gives_what_the_device_can():
    """Everything comes at once: 64 waves of 32 requests, each wave 32 prefills of 1 ms and 9 steps of 10 ms."""
    served = simulate(
        [Request(0.0, 16, 10)] * 2048, LinearTiming(0.01, prefill_fixed_s=0.001), kv_tokens=ROOMY, max_batch=32
    )
    assert served.duration_s == pytest.approx(64 * (0.032 + 0.09), rel=1e-9)
    assert served.tokens_per_s == pytest.approx(320 / 0.122, rel=1e-9)
    assert served.mean_batch == 32


# --- for every workload ----------------------------------------------------------------------------------------------

WORKLOADS = st.tuples(
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=30),
    st.sampled_from(["first", "chunked"]),
    st.integers(1, 8),  # max_batch
    st.sampled_from([1, 4, 16]),  # block_tokens
    st.integers(0, 20),  # blocks more than the largest needs
    st.none() | st.builds(Window, st.integers(1, 60), st.just(3), st.integers(1, 3)),
)
TIMING = LinearTiming(0.011, 0.0007, 0.00003, 0.004, 0.0009)


def serve(workload, kv_tokens=None):
    lengths, prefill, max_batch, block_tokens, spare, window = workload
    now, requests = 0.0, []
    for gap, prompt, output in lengths:
        now += gap
        requests.append(Request(now, prompt, output))
    most = max(ceil((one.prompt + one.output - 1) / block_tokens) for one in requests)
    kv_tokens = kv_tokens or (most + spare) * block_tokens
    return requests, simulate(
        requests,
        replace(TIMING, window=window),
        kv_tokens=kv_tokens,
        block_tokens=block_tokens,
        max_batch=max_batch,
        prefill=prefill,
        chunk_tokens=8,
    )


@given(WORKLOADS)
def test_what_comes_in_goes_out(workload):
    """Tokens are conserved, nobody starves, first tokens come in order of arrival, the pool is never exceeded."""
    requests, served = serve(workload)
    totals = served.totals
    assert np.isfinite(served.finish_s).all()
    # each prefill gives a token: the first of a request, and one after each preemption that had begun to decode
    prefills = served.output.sum() - totals.decode_tokens
    assert len(requests) <= prefills <= len(requests) + served.preemptions.sum()
    assert totals.prefill_tokens >= served.prompt.sum()
    assert served.recomputed_tokens == 0 or served.preemptions.sum() > 0
    for early, late in ((served.start_s, served.start_s), (served.first_token_s, served.first_token_s)):
        assert (early[:-1] <= late[1:]).all()  # first come, first served
    for early, late in (
        (served.arrival_s, served.start_s),
        (served.start_s, served.first_token_s),
        (served.first_token_s, served.finish_s),
    ):
        assert (early <= late).all()
    assert totals.peak_kv_blocks <= totals.kv_blocks
    # clocks below 1000 s are rounded by 1e-13 s at most in each of some thousand steps, and a run takes 4 ms at least
    assert 0 < served.kv_occupancy <= served.kv_peak * (1 + 1e-7)
    assert served.utilization <= 1 + 1e-7
    assert served.little_error < 1e-7


@given(WORKLOADS)
def test_with_room_for_all_nothing_is_preempted_and_every_token_is_computed_once(workload):
    requests, served = serve(workload, kv_tokens=ROOMY)
    assert served.preemptions.sum() == served.recomputed_tokens == 0
    assert served.totals.decode_tokens == sum(one.output - 1 for one in requests)


@given(WORKLOADS)
def test_the_oldest_is_never_preempted(workload):
    _, served = serve(workload)
    assert served.preemptions[0] == 0


@given(WORKLOADS)
def test_no_request_is_faster_than_alone(workload):
    """Other requests never help: alone, there is no chunk to share and no one to wait for."""
    requests, served = serve(workload)
    _, prefill, max_batch, block_tokens, _, window = workload
    for place, request in enumerate(requests):
        alone = simulate(
            [request],
            replace(TIMING, window=window),
            kv_tokens=ROOMY,
            block_tokens=block_tokens,
            max_batch=max_batch,
            prefill=prefill,
            chunk_tokens=8,
        )
        assert served.latency_s[place] >= alone.latency_s[0] * (1 - 1e-9)


def test_the_order_in_which_equal_arrivals_are_given_is_kept():
    served = simulate([Request(0.0, 4, 1)] * 5, LinearTiming(1.0, prefill_fixed_s=1.0), kv_tokens=16, max_batch=1)
    assert served.finish_s.tolist() == [1, 2, 3, 4, 5]


def test_one_hundred_thousand_requests_of_realistic_lengths():
    """Steps that are jumped over still count: the tokens add up. `tools/serving_speed.py` says how long it takes."""
    requests = poisson_arrivals(20, 100_000, lognormal_lengths(400, 2, 4096), lognormal_lengths(200, 2, 2048), seed=0)
    served = simulate(requests, LinearTiming(0.008, 0.00005, 5e-8, 0.004, 0.00002), kv_tokens=300_000)
    assert served.totals.decode_tokens == sum(one.output - 1 for one in requests) - served.preemptions.sum()
    assert served.little_error < 1e-9


# --- bad input -------------------------------------------------------------------------------------------------------

COUNT = "must be a whole number of 1 or more"
NOT_NEGATIVE = "must be a finite number of 0 or more"

GOOD = [Request(0.0, 8, 4)]
LINE = LinearTiming(0.1)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            {"kv_tokens": 0},
            ValueError,
            f"kv_tokens {COUNT}, got 0; give the tokens that fit into the memory left beside the weights",
        ),
        ({"kv_tokens": 1e6}, TypeError, f"kv_tokens {COUNT}, got 1000000.0"),
        (
            {"block_tokens": -16},
            ValueError,
            "block_tokens must be a whole number from 1 to 65536, got -16; 16 is usual",
        ),
        ({"max_batch": 0}, ValueError, f"max_batch {COUNT}, got 0; use 1 to serve one after the other"),
        ({"chunk_tokens": 0}, ValueError, f"chunk_tokens {COUNT}, got 0; 512 is usual"),
        (
            {"prefill": "last"},
            ValueError,
            "prefill must be 'first' or 'chunked', got 'last'; 'first' lets new prompts stall the others",
        ),
        (
            {"prefill": "chunked", "chunk_tokens": 8, "max_batch": 9},
            ValueError,
            "chunk_tokens must be 9 (max_batch) or more, got 8",
        ),
        ({"requests": []}, ValueError, "requests must hold at least one Request, got none; use poisson_arrivals()"),
        (
            {"requests": [(0.0, 8, 4)]},
            TypeError,
            "requests[0] must be a Request, got (0.0, 8, 4); use Request(arrival_s, prompt, output)",
        ),
        (
            {"requests": [Request(1.0, 8, 4), Request(0.5, 8, 4)]},
            ValueError,
            "requests must be sorted by arrival, got requests[1] at 0.5 s after 1.0 s; "
            "use sorted(requests, key=lambda request: request.arrival_s)",
        ),
        (
            {"requests": [*GOOD, Request(0.0, 60, 8)], "kv_tokens": 70},
            ValueError,
            "requests[1] can never be served: prompt 60 + output 8 - 1 = 67 tokens, but the KV cache holds 64 "
            "(in whole blocks of 16), 3 too few; use kv_tokens=80 or shorter requests",
        ),
        (
            {"timing": LinearTiming(0.0)},
            ValueError,
            "decode_s(1) must be above 0 seconds, got (0, 0); give the step a time",
        ),
    ],
)
def test_bad_input_is_refused_with_what_to_do(change, error, message):
    given_ = {"requests": GOOD, "timing": LINE, "kv_tokens": 1000, "max_batch": 4} | change
    with pytest.raises(error, match=re.escape(message)):
        simulate(given_.pop("requests"), given_.pop("timing"), **given_)


def test_a_request_that_fits_to_the_last_token_is_served():
    """60 + 5 - 1 = 64 tokens in 4 blocks of 16: the last token's key is never needed."""
    served = simulate([Request(0.0, 60, 5)], LINE, kv_tokens=64)
    assert served.kv_peak == 1.0


class Backwards:
    """A timing that is wrong."""

    def __init__(self, decode=(1.0, 0.0), prefill=1.0):
        self.decode, self.prefill = decode, prefill

    def decode_s(self, batch):
        return self.decode

    def prefill_s(self, new_tokens, context):
        return self.prefill


@pytest.mark.parametrize(
    "timing, message",
    [
        (Backwards(decode=(-1.0, 0.0)), f"decode_s(1)[0] {NOT_NEGATIVE}, got -1.0; a step takes seconds"),
        (Backwards(decode=(1.0, -1.0)), f"decode_s(1)[1] {NOT_NEGATIVE}, got -1.0"),
        (Backwards(prefill=inf), f"prefill_s(8, 0.0) {NOT_NEGATIVE}, got inf"),
    ],
)
def test_a_timing_that_runs_backwards_is_refused(timing, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        simulate(GOOD, timing, kv_tokens=1000)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda served: served.percentile("speed", 50),
            "times must be 'wait_s', 'ttft_s', 'tpot_s' or 'latency_s', got 'speed'; "
            "TTFT is the time to the first token",
        ),
        (lambda served: served.percentile("ttft_s", 101), "percent must lie in [0, 100], got 101; 50 is the median"),
        (
            lambda served: served.percentile("ttft_s", 50, warm_up=1.0),
            "warm_up must lie in [0, 1), got 1.0; 0.1 leaves out the first tenth",
        ),
        (lambda served: served.tokens_per_s_between(2.0, 2.0), "begin_s must be before end_s (2.0), got 2.0"),
    ],
)
def test_questions_that_have_no_answer(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(simulate(GOOD, LINE, kv_tokens=1000))


# numbers at the edge ------------------------------------------------------------------------------------


def test_a_service_that_takes_no_time_has_no_rates():
    served = simulate([Request(0.0, 8, 1)], LinearTiming(0.1), kv_tokens=16)
    for rate in ("tokens_per_s", "utilization", "kv_occupancy", "mean_in_system", "little_error"):
        with pytest.raises(
            ValueError, match="duration_s must be a finite number above 0, got 0.0; give the timing a pre"
        ):
            getattr(served, rate)


@pytest.mark.parametrize("times", [(0.1,), (0.1, 0.0, 0.0), 0.1, None])
def test_a_timing_that_gives_no_two_times_is_refused(times):
    class Odd(LinearTiming):
        def decode_s(self, batch):
            return times

    with pytest.raises(TypeError, match=re.escape("decode_s(1) must give two times, got")):
        simulate([Request(0.0, 8, 3)], Odd(0.1), kv_tokens=16)


def test_what_is_no_timing_and_a_clock_that_is_too_coarse_are_refused():
    with pytest.raises(TypeError, match=re.escape("timing must have decode_s(), got 0.1; use LinearTiming")):
        simulate([Request(0.0, 8, 3)], 0.1, kv_tokens=16)
    with pytest.raises(ValueError, match=re.escape("decode_s(1)[0] must be 1e+09 or less, got 1e+300")):
        simulate([Request(0.0, 8, 3)], LinearTiming(1e300), kv_tokens=16)
    with pytest.raises(ValueError, match=re.escape("arrival_s must be 1e+10 or less, got 1e+17; count from the first")):
        Request(1e17, 8, 3)


def test_numbers_of_numpy_are_taken_as_pythons():
    request = Request(np.float32(0.5), np.int64(8), np.uint8(3))
    assert [type(value) for value in (request.arrival_s, request.prompt, request.output)] == [float, int, int]
    timing = LinearTiming(np.float64(0.1), prefill_fixed_s=np.float32(1.0))
    ours, plain = (
        simulate([Request(0.5, 8, 3)], one, kv_tokens=kv, max_batch=kv)
        for one, kv in ((timing, np.int8(16)), (LinearTiming(0.1, prefill_fixed_s=1.0), 16))
    )
    assert ours.finish_s.tolist() == plain.finish_s.tolist() and ours.totals == plain.totals


def test_lengths_of_any_spread_lie_between_one_and_the_most():
    drawn = lognormal_lengths(median=1e-3, spread=1e300, most=50)(np.random.default_rng(0), 100)
    assert set(drawn.tolist()) == {1, 50}
