"""The simulator jumps over steps; here a naive one makes every step, and both must tell the same story.

The naive simulator shares no code with the fast one: it counts blocks anew for each layer of each sequence in each
step, and keeps no queue but a list that it sorts.
"""

from dataclasses import dataclass
from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.serving import LinearTiming, Request, Window, simulate


@dataclass(eq=False)
class Sequence:
    """A request in the naive simulator."""

    place: int
    request: Request
    filling: bool = True  # it is in its prefill, or will be when it comes in
    had: int = 0  # output tokens it was given
    cached: int = 0  # tokens computed into the KV cache
    preemptions: int = 0
    start: float | None = None
    first: float | None = None
    finish: float | None = None

    @property
    def held(self):
        """The tokens it has places for: all of a prefill's at once, later one more in each step."""
        return self.request.prompt + self.had if self.filling else self.cached


def windows_of(timing):
    """The tokens that each layer keeps; without a window one layer stands for all."""
    window = getattr(timing, "window", None)
    if window is None:
        return [inf]
    return [window.tokens] * window.windowed_layers + [inf] * (window.layers - window.windowed_layers)


def step_by_step(requests, timing, *, kv_tokens, block_tokens, max_batch, prefill, chunk_tokens):
    """Make every step alone. Gives the sequences and what was added up."""
    everyone = [Sequence(place, request) for place, request in enumerate(requests)]
    windows = windows_of(timing)
    pool = kv_tokens // block_tokens * len(windows)
    running, now = [], requests[0].arrival_s
    kv_token_s = busy_s = 0.0
    decode_steps = decode_tokens = prefill_tokens = peak = 0

    def blocks(tokens):
        return sum(ceil(min(tokens, window) / block_tokens) for window in windows)

    def used():
        return sum(blocks(one.held) for one in running)

    def growth(decoding):
        return sum(blocks(one.cached + 1) - blocks(one.cached) for one in decoding)

    def short():
        return used() + growth([one for one in running if not one.filling]) - pool

    def admit(waiting, spare, now):
        """The first who waits comes in, or nobody does."""
        if not waiting or len(running) >= max_batch:
            return None
        one = waiting[0]
        if used() + blocks(one.held) + spare > pool:
            return None
        running.append(waiting.pop(0))
        one.start = now if one.start is None else one.start
        return one

    while any(one.finish is None for one in everyone):
        waiting = [
            one for one in everyone if one.request.arrival_s <= now and one.finish is None and one not in running
        ]
        if not waiting and not running:
            now = min(one.request.arrival_s for one in everyone if one.finish is None)
            continue

        chunks, decoding = [], []
        if prefill == "first":
            one = admit(waiting, 0, now)
            if one:
                chunks = [(one, one.held)]
        if not chunks:
            while short() > 0:
                one = running.pop()
                one.filling, one.cached, one.preemptions = True, 0, one.preemptions + 1
                waiting.insert(0, one)
            decoding = [one for one in running if not one.filling]
            if prefill == "chunked":
                budget = chunk_tokens - len(decoding)
                unfinished = [one for one in running if one.filling]
                spare = growth(decoding)
                while budget > 0 and (one := unfinished.pop() if unfinished else admit(waiting, spare, now)):
                    chunks.append((one, min(budget, one.held - one.cached)))
                    budget -= chunks[-1][1]

        new = sum(tokens for _, tokens in chunks)
        # a token sees itself and the window - 1 before it
        context = sum(min(one.cached, window - 1) for one in decoding for window in windows) / len(windows)
        seconds = 0.0
        if chunks:
            pairs = sum(tokens * one.cached for one, tokens in chunks)
            seconds = timing.prefill_s(new + len(decoding), pairs / (new + len(decoding)))
        if decoding:
            fixed_s, context_s = timing.decode_s(len(decoding))
            seconds = max(seconds, fixed_s) + context_s * context
        for one in decoding:
            one.cached += 1
            one.had += 1
        peak = max(peak, used() / len(windows))
        kv_token_s += seconds * sum(min(one.held, window) for one in running for window in windows) / len(windows)
        busy_s += seconds
        now += seconds
        prefill_tokens += new
        decode_steps += bool(decoding)
        decode_tokens += len(decoding)
        for one, tokens in chunks:
            one.cached += tokens
            if one.cached == one.held:
                one.filling = False
                one.had += 1
                one.first = now if one.first is None else one.first
        for one in list(running):
            if not one.filling and one.had == one.request.output:
                one.finish = now
                running.remove(one)
    return everyone, kv_token_s, busy_s, decode_steps, decode_tokens, prefill_tokens, peak


@dataclass(frozen=True)
class QuadraticTiming:
    """A timing with all that a real one has: attention in the prefill, and a batch that is not free."""

    scale: float = 1.0
    window: Window | None = None

    def decode_s(self, batch):
        return self.scale * (0.0107 + 0.00031 * batch**1.1), self.scale * 0.000013

    def prefill_s(self, new_tokens, context):
        return self.scale * (0.0051 + 0.00023 * new_tokens + 0.0000037 * new_tokens * (context + new_tokens / 2))


def assert_same(requests, timing, tolerance, **service):
    """Both simulators agree: whole numbers exactly, times to `tolerance` of the duration."""
    expected, kv_token_s, busy_s, decode_steps, decode_tokens, prefill_tokens, peak = step_by_step(
        requests, timing, **service
    )
    served = simulate(requests, timing, **service)
    assert served.preemptions.tolist() == [one.preemptions for one in expected]
    allowed = tolerance * served.duration_s
    for ours, name in ((served.start_s, "start"), (served.first_token_s, "first"), (served.finish_s, "finish")):
        np.testing.assert_allclose(ours, [getattr(one, name) for one in expected], rtol=0, atol=allowed, err_msg=name)
    totals = served.totals
    assert (totals.decode_steps, totals.decode_tokens, totals.prefill_tokens, totals.peak_kv_blocks) == (
        decode_steps,
        decode_tokens,
        prefill_tokens,
        peak,
    )
    assert totals.busy_s == pytest.approx(busy_s, rel=tolerance, abs=allowed)
    assert totals.kv_token_s == pytest.approx(kv_token_s, rel=1e-9, abs=0)
    sojourn_s = sum(one.finish - one.request.arrival_s for one in expected)
    assert totals.request_s == pytest.approx(sojourn_s, rel=1e-9, abs=0)
    return served


SERVICES = st.fixed_dictionaries(
    {
        "block_tokens": st.sampled_from([1, 2, 3, 4, 16]),
        "max_batch": st.integers(1, 6),
        "prefill": st.sampled_from(["first", "chunked"]),
        "chunk_tokens": st.integers(6, 20),
    }
)
# smaller and larger than prompts, outputs, and both together; layers are powers of two, so that shares are exact
WINDOWS = st.none() | st.builds(
    lambda tokens, layers, full: Window(tokens, layers, max(0, layers - full)),
    st.integers(1, 60),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 4),
)
LENGTHS = st.lists(st.tuples(st.integers(1, 24), st.integers(1, 24)), min_size=1, max_size=14)


def just_enough(lengths, timing, block_tokens, spare_blocks):
    """A KV cache in which the largest request fits, and little else: preemptions are the rule."""
    windows = windows_of(timing)
    largest = max(prompt + output - 1 for prompt, output in lengths)
    blocks = sum(ceil(min(largest, window) / block_tokens) for window in windows)
    return (ceil(blocks / len(windows)) + spare_blocks) * block_tokens


@given(LENGTHS, SERVICES, WINDOWS, st.integers(0, 12), st.floats(0.01, 30.0), st.integers(0, 2**32 - 1))
def test_jumping_is_exact(lengths, service, window, spare_blocks, spread, seed):
    """Random times: no arrival falls on the end of a step, so both make the same decisions.

    Each adds up at most a few thousand steps. Rounding is at most a relative 1.1e-16 for each, so 1e-12 in all.
    """
    arrivals = np.sort(np.random.default_rng(seed).uniform(0, spread, len(lengths)))
    requests = [Request(float(time), *length) for time, length in zip(arrivals, lengths)]
    timing = QuadraticTiming(window=window)
    assert_same(
        requests, timing, 1e-9, kv_tokens=just_enough(lengths, timing, service["block_tokens"], spare_blocks), **service
    )


@given(
    LENGTHS, SERVICES, WINDOWS, st.integers(0, 12), st.lists(st.integers(0, 64), min_size=14, max_size=14), st.data()
)
def test_jumping_is_exact_where_arrivals_fall_on_the_ends_of_steps(
    lengths, service, window, spare_blocks, arrivals, data
):
    """All times are multiples of 2**-10 and small, so sums and products are exact, and ties are real ties."""
    requests = [Request(time / 8, *length) for time, length in zip(sorted(arrivals), lengths)]
    units = [data.draw(st.integers(0, 64)) / 1024 for _ in range(5)]
    timing = LinearTiming(units[0] + 1 / 1024, *units[1:], window=window)
    kv_tokens = just_enough(lengths, timing, service["block_tokens"], spare_blocks)
    assert_same(requests, timing, 0.0, kv_tokens=kv_tokens, **service)


@pytest.mark.parametrize("window, kv_blocks", [(None, 30), (Window(40, layers=6, windowed_layers=5), 18)])
@pytest.mark.parametrize("prefill", ["first", "chunked"])
def test_jumping_is_exact_with_hundreds_of_requests_and_preemptions(prefill, window, kv_blocks):
    generator = np.random.default_rng(5)
    arrivals = np.cumsum(generator.exponential(0.12, 250))
    requests = [
        Request(float(t), int(p), int(o))
        for t, p, o in zip(arrivals, generator.integers(1, 60, 250), generator.integers(1, 80, 250))
    ]
    served = assert_same(
        requests,
        QuadraticTiming(window=window),
        1e-9,
        kv_tokens=kv_blocks * 16,
        block_tokens=16,
        max_batch=16,
        prefill=prefill,
        chunk_tokens=32,
    )
    assert served.preemptions.sum() > 50  # else this says nothing about them


def test_the_workloads_above_do_preempt():
    """A pool with no spare block under two long requests preempts in the naive simulator as well."""
    requests = [Request(0.0, 4, 9), Request(0.0, 4, 9)]
    expected, *_ = step_by_step(
        requests, QuadraticTiming(), kv_tokens=12, block_tokens=4, max_batch=2, prefill="first", chunk_tokens=8
    )
    assert [one.preemptions for one in expected] == [0, 1]
