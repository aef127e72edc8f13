"""Steps in which the chunk is not what takes longest: the decode step of the others does."""

import numpy as np
import pytest
from test_serving_reference import QuadraticTiming, assert_same

from mini_lib.llm.serving import LinearTiming, Request, Window, simulate

# A step of b sequences with c tokens in their KV caches takes 5 + b / 2 + c / 10 s, and a prefill 1/4 s a token.
SLOW_STEPS = LinearTiming(5.0, 0.5, 0.1, prefill_token_s=0.25)


def times(values):
    """Rounded to what a sum of a few times cannot miss."""
    return np.round(values, 9).tolist()


def test_a_chunk_that_is_quicker_than_the_others_step_by_hand():
    """A: 7 tokens alone, 1.75 s. B's 3 ride along with A's step: 4 tokens would take 1 s, the step of one takes 5.5 s,
    and A's 7 tokens of context take .7 s more: until 7.95. Then both: 6 + (8 + 3) / 10 = 7.1 s, until 15.05, and once
    more with 2 tokens more: 7.3 s, until 22.35.
    """
    requests = [Request(0.0, 7, 4), Request(1.0, 3, 3)]
    served = simulate(requests, SLOW_STEPS, kv_tokens=64, prefill="chunked", chunk_tokens=8, max_batch=3)
    assert times(served.first_token_s) == [1.75, 7.95]
    assert times(served.finish_s) == [22.35, 22.35]
    assert times([served.totals.busy_s]) == [22.35]
    assert (served.totals.decode_steps, served.totals.decode_tokens, served.totals.prefill_tokens) == (3, 5, 10)
    # tokens in the cache in each step: 7, then 8 + 3, then 9 + 4, then 10 + 5, for as long as the steps take
    area = 1.75 * 7 + 6.2 * 11 + 7.1 * 13 + 7.3 * 15
    assert served.totals.kv_token_s == pytest.approx(area, rel=1e-12)


def test_a_prompt_in_several_chunks_beside_slow_steps_by_hand():
    """Three tokens per step. A: 2 tokens, .5 s. B's 5 in chunks of 2, 2 and 1 beside A's steps, whose contexts are 2, 3
    and 4 tokens: 5.5 + .2, .3 and .4 s. B's chunks never count as context of a step of A.
    """
    requests = [Request(0.0, 2, 5), Request(0.0, 5, 1)]
    served = simulate(
        requests, SLOW_STEPS, kv_tokens=64, block_tokens=1, prefill="chunked", chunk_tokens=3, max_batch=2
    )
    # B comes in with A: of the first 3 tokens A takes 2 and B 1; then B has 2, 2 beside A's
    assert times(served.first_token_s) == [0.75, 0.75 + 5.7 + 5.8]
    assert times(served.finish_s) == [0.75 + 5.7 + 5.8 + 5.9 + 6.0, 0.75 + 5.7 + 5.8]


def test_who_comes_during_a_long_step_comes_in_at_its_end():
    """A: prefill 0-.01, steps that end at 5.01, 10.01 and 15.01. B comes at 12, is prefilled 15.01-15.02; A's last step
    is then 15.02-20.02.
    """
    timing = LinearTiming(5.0, prefill_fixed_s=0.01)
    served = simulate([Request(0.0, 1, 5), Request(12.0, 1, 1)], timing, kv_tokens=64)
    assert times(served.start_s) == [0, 15.01]
    assert times(served.finish_s) == [20.02, 15.02]
    assert served.totals.decode_steps == 4


@pytest.mark.parametrize("chunk_tokens", [4, 7, 30])
@pytest.mark.parametrize("window", [None, Window(tokens=4, windowed_layers=1, layers=2)])
def test_the_naive_simulator_agrees_where_steps_are_slow(chunk_tokens, window):
    """Prefills shorter than a decode step, longer ones, and such as grow with the context; with and without room."""
    chance = np.random.default_rng(chunk_tokens)
    timings = (
        LinearTiming(3.0, 0.25, 0.125, 0.5, 0.25, window),
        LinearTiming(0.5, 0.0, 0.0, 2.0, 0.5, window),
        QuadraticTiming(100.0, window),
    )
    for timing in timings:
        for kv_tokens in (24, 200):
            arrivals, prompts, outputs = (chance.integers(low, high, 9) for low, high in ((0, 60), (1, 13), (1, 9)))
            requests = [Request(float(at), int(p), int(o)) for at, p, o in zip(sorted(arrivals), prompts, outputs)]
            service = dict(kv_tokens=kv_tokens, block_tokens=2, max_batch=4, chunk_tokens=chunk_tokens)
            assert_same(requests, timing, 1e-12, prefill="chunked", **service)
