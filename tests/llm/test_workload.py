"""What is asked of a service: limits, and how many tokens a draft brings."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.cost.models import LLAMA_2_7B, SMOLLM2_135M
from mini_lib.llm.cost.step import step
from mini_lib.llm.cost.workload import Draft, Workload

shares = st.floats(0, 1)
proposals = st.integers(1, 32)


@given(tokens=proposals, acceptance=st.floats(0, 0.99))
def test_a_check_gives_the_tokens_of_the_closed_form(tokens, acceptance):
    # Leviathan et al., equation 1. Near 1 the form divides two small numbers: 1e-12 allows for 100 units of rounding.
    closed = (1 - acceptance ** (tokens + 1)) / (1 - acceptance)
    assert Draft(SMOLLM2_135M, tokens, acceptance).tokens_per_step == pytest.approx(closed, rel=1e-12)


@given(tokens=proposals)
def test_a_perfect_draft_gives_all_proposals_and_one_more_a_useless_one_only_the_one(tokens):
    assert Draft(SMOLLM2_135M, tokens, 1).tokens_per_step == tokens + 1
    assert Draft(SMOLLM2_135M, tokens, 0).tokens_per_step == 1


@given(tokens=proposals, low=shares, high=shares)
def test_better_drafts_and_more_proposals_never_give_fewer_tokens(tokens, low, high):
    low, high = sorted((low, high))
    given_by = [
        Draft(SMOLLM2_135M, n, a).tokens_per_step for n, a in ((tokens, low), (tokens, high), (tokens + 1, high))
    ]
    assert given_by == sorted(given_by)


@pytest.mark.parametrize("tokens, acceptance", [(1, 0.5), (4, 0.8), (8, 0.6)])
def test_a_simulation_gives_as_many_tokens(tokens, acceptance):
    trials, random = 200_000, np.random.default_rng(0)
    holds = random.random((trials, tokens)) < acceptance
    accepted = np.cumprod(holds, axis=1).sum(axis=1)  # up to the first that does not hold
    # A number from 0 to k has a standard deviation of at most k / 2; five of those of the mean are one miss in 10**6.
    margin = 5 * tokens / 2 / trials**0.5
    assert 1 + accepted.mean() == pytest.approx(Draft(SMOLLM2_135M, tokens, acceptance).tokens_per_step, abs=margin)


def test_devices_are_stages_times_splits():
    assert Workload().devices == 1
    assert Workload(tensor_parallel=4, pipeline_parallel=2).devices == 8


def test_the_precision_is_arguments_of_a_step():
    workload = Workload(weight_bits=4.5, kv_bits=8, tensor_parallel=2)
    assert workload.precision == {
        "weight_bits": 4.5,
        "kv_bits": 8,
        "compute_bits": 16,
        "tensor_parallel": 2,
        "attention_parallel": "tensor",
    }
    assert set(workload.precision) <= set(inspect.signature(step).parameters)


@pytest.mark.parametrize(
    "wrong, kind, says",
    [
        ({"batch": 0}, ValueError, "batch must be a whole number of 1 or more, got 0; use 1 for a single user"),
        ({"batch": 2.5}, TypeError, "batch must be a whole number of 1 or more, got 2.5; use 1 for a single user"),
        ({"batch": True}, TypeError, "batch must be a whole number of 1 or more, got True; use 1 for a single user"),
        (
            {"prompt": 0},
            ValueError,
            "prompt must be a whole number of 1 or more, got 0; a model needs at least one token",
        ),
        ({"prompt": -5}, ValueError, "prompt must be a whole number of 1 or more, got -5"),
        ({"prompt": "long"}, TypeError, "prompt must be a whole number of 1 or more, got 'long'"),
        ({"output": 0}, ValueError, "output must be a whole number of 1 or more, got 0; the first token comes with"),
        ({"output": -1}, ValueError, "output must be a whole number of 1 or more, got -1"),
        ({"weight_bits": 0}, ValueError, "weight_bits must be a finite number above 0, got 0; use 16, 8 or 4.5"),
        ({"weight_bits": float("nan")}, ValueError, "weight_bits must be a finite number above 0, got nan"),
        ({"kv_bits": "8"}, TypeError, "kv_bits must be a finite number above 0, got '8'; use 16, 8 or 4"),
        (
            {"compute_bits": 0},
            ValueError,
            "compute_bits must be a whole number of 1 or more, got 0; use 16, or 8 where",
        ),
        ({"tensor_parallel": 0}, ValueError, "tensor_parallel must be a whole number of 1 or more, got 0; use 1 for a"),
        ({"pipeline_parallel": -2}, ValueError, "pipeline_parallel must be a whole number of 1 or more, got -2; use 1"),
        ({"cached_prompt": -1}, ValueError, "cached_prompt must be a whole number of 0 or more, got -1; use 0 where"),
        (
            {"prompt": 8, "cached_prompt": 8},
            ValueError,
            "cached_prompt must be below prompt (8), got 8; the last token is always computed",
        ),
        (
            {"prefill_chunk": 0},
            ValueError,
            "prefill_chunk must be a whole number of 1 or more, got 0; use None to take",
        ),
        (
            {"weight_bits": 16, "compute_bits": 8},
            ValueError,
            "weight_bits 16 is too wide for compute_bits 8; use weight_bits=8, or compute_bits=16",
        ),
        ({"draft": SMOLLM2_135M}, TypeError, "draft must be of type Draft, got Architecture(name='SmolLM2-135M'"),
    ],
)
def test_a_workload_that_makes_no_sense_is_refused(wrong, kind, says):
    with pytest.raises(kind) as refused:
        Workload(**wrong)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "wrong, kind, says",
    [
        (
            ("SmolLM2", 4, 0.5),
            TypeError,
            "architecture must be of type Architecture, got 'SmolLM2'; find_model('SmolLM2-135M') gives one",
        ),
        ((LLAMA_2_7B, 0, 0.5), ValueError, "tokens must be a whole number from 1 to 1000, got 0; 4 is common"),
        ((LLAMA_2_7B, 4, -0.1), ValueError, "acceptance must lie in [0, 1], got -0.1; it is the share"),
        (
            (LLAMA_2_7B, 4, 80),
            ValueError,
            "acceptance must lie in [0, 1], got 80; it is the share of proposals that hold",
        ),
        ((LLAMA_2_7B, 4, "most"), TypeError, "acceptance must be a number in [0, 1], got 'most'"),
    ],
)
def test_a_draft_that_makes_no_sense_is_refused(wrong, kind, says):
    with pytest.raises(kind) as refused:
        Draft(*wrong)
    assert says in str(refused.value)
