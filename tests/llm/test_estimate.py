"""The calculator as a whole: times, tokens, money and energy of a workload."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward
from mini_lib.llm.cost.devices import A100_SXM_80GB, H100_SXM, RTX_3090, RTX_4090, find_device
from mini_lib.llm.cost.efficiency import IDEAL
from mini_lib.llm.cost.engines import ENGINE_2023, GENERATION_2023, GPT_FAST_2023
from mini_lib.llm.cost.estimate import estimate
from mini_lib.llm.cost.memory import held_kv_bytes_per_token, memory
from mini_lib.llm.cost.models import (
    DEEPSEEK_V3,
    GPT_J_6B,
    LLAMA_2_7B,
    LLAMA_2_70B,
    LLAMA_3_8B,
    LLAMA_3_70B,
    MIXTRAL_8X7B,
    SMOLLM2_135M,
    SMOLLM2_360M,
    find_model,
)
from mini_lib.llm.cost.operators import operators
from mini_lib.llm.cost.roles import PROJECTIONS, Role
from mini_lib.llm.cost.step import step
from mini_lib.llm.cost.workload import Draft, Workload

HUGE = replace(H100_SXM, name="huge", memory_bytes=2**50)  # everything fits
ROUNDING = 1 + 1e-9  # sums of thousands of floats

# a draft has the tokens of the model that it serves
models = st.sampled_from((LLAMA_2_7B, LLAMA_3_8B, LLAMA_2_70B, MIXTRAL_8X7B, DEEPSEEK_V3, GPT_J_6B)).map(
    lambda model: replace(model, vocabulary=SMOLLM2_135M.vocabulary)
)
DRAFT_3 = replace(SMOLLM2_135M, vocabulary=LLAMA_3_70B.vocabulary)
engines = st.sampled_from((IDEAL, *GENERATION_2023))
workloads = st.builds(
    Workload,
    batch=st.integers(1, 300),
    prompt=st.integers(1, 5000),
    output=st.integers(1, 2000),
    weight_bits=st.sampled_from((16, 8, 4.5)),
    kv_bits=st.sampled_from((16, 8)),
    tensor_parallel=st.sampled_from((1, 2, 4, 8)),
    pipeline_parallel=st.sampled_from((1, 2, 4)),
    prefill_chunk=st.sampled_from((None, 700, 5000)),
    draft=st.sampled_from((None, Draft(SMOLLM2_135M, 4, 0.7))),
)


def test_llama_2_7b_on_an_a100_by_hand():
    """One request of 1000 tokens in and 101 out, at the limits of the device.

    The prompt: 2 * 1000 FLOPs for each of 6,476,005,376 weights in layers, and 4 * 500,500 pairs * 4096 * 32 in
    attention, over 312e12; the head reads 262 MB. A token: 13.21 GB of weights and (1000 + 49.5 + 1) tokens of 524,288
    bytes.
    """
    found = estimate(LLAMA_2_7B, A100_SXM_80GB, Workload(prompt=1000, output=101), IDEAL, usd_per_hour=1.8)
    passed = 4_210_688 + 72_192  # in and out of each product
    head = (32000 * 4096 + 4096 + 32000) * 2
    assert found.ttft_s == pytest.approx(
        (2 * 1000 * 6_476_005_376 + 4 * 500_500 * 4096 * 32) / 312e12 + head / 2.039e12, rel=1e-12
    )
    assert found.tpot_s == pytest.approx((13_214_154_752 + passed + 1050.5 * 524_288) / 2.039e12, rel=1e-12)
    assert found.ttft_s == pytest.approx(42.5e-3, abs=0.05e-3)
    assert found.tpot_s == pytest.approx(6.75e-3, abs=0.005e-3)
    assert found.total_s == pytest.approx(found.ttft_s + 100 * found.tpot_s)
    # 1.8 USD an hour are 0.0005 a second
    assert found.usd_per_million_input_tokens == pytest.approx(0.0005 * found.ttft_s / 1000 * 1e6)
    assert found.usd_per_million_output_tokens == pytest.approx(0.0005 * 100 * found.tpot_s / 101 * 1e6)
    assert found.joules_per_output_token == pytest.approx(400 * found.total_s / 101)


@given(model=models, engine=engines, workload=workloads)
def test_tokens_money_and_energy_add_up(model, engine, workload):
    found = estimate(model, HUGE, workload, engine, usd_per_hour=2.5)
    w = workload
    assert found.tokens_per_s * found.total_s == pytest.approx(w.batch * w.output)
    assert found.tokens_per_s_per_device * w.devices == pytest.approx(found.tokens_per_s)
    assert found.tokens_per_s_per_user * found.tpot_s == pytest.approx(1)
    rent = 2.5 / 3600 * w.devices * found.total_s
    billed = w.prompt * found.usd_per_million_input_tokens + w.output * found.usd_per_million_output_tokens
    assert w.batch * billed / 1e6 == pytest.approx(rent)
    assert w.batch * (w.prompt + w.output) * found.usd_per_million_tokens / 1e6 == pytest.approx(rent)
    assert found.joules_per_output_token * w.batch * w.output == pytest.approx(700 * w.devices * found.total_s)


@given(model=models, engine=engines, workload=workloads)
def test_no_engine_beats_the_ideal(model, engine, workload):
    best, real = estimate(model, HUGE, workload, IDEAL), estimate(model, HUGE, workload, engine)
    for name in ("ttft_s", "tpot_s", "total_s"):
        assert getattr(best, name) <= getattr(real, name) * ROUNDING


@given(model=models, engine=engines, workload=workloads, factor=st.floats(1, 8))
def test_more_bandwidth_is_never_slower(model, engine, workload, factor):
    faster = replace(HUGE, bandwidth_bytes_per_s=HUGE.bandwidth_bytes_per_s * factor)
    slow, fast = (estimate(model, device, workload, engine) for device in (HUGE, faster))
    assert fast.ttft_s <= slow.ttft_s * ROUNDING
    assert fast.tpot_s <= slow.tpot_s * ROUNDING


@given(model=models, engine=engines, workload=workloads, more=st.integers(1, 300))
def test_a_larger_batch_serves_more_in_all_and_each_user_no_faster(model, engine, workload, more):
    small = replace(workload, pipeline_parallel=1)
    large = replace(small, batch=small.batch + more)
    one, two = (estimate(model, HUGE, w, engine) for w in (small, large))
    assert two.tokens_per_s * ROUNDING >= one.tokens_per_s
    assert two.tpot_s * ROUNDING >= one.tpot_s
    assert two.ttft_s * ROUNDING >= one.ttft_s


@given(model=models, engine=engines, workload=workloads)
def test_fewer_bits_in_the_cache_are_never_slower(model, engine, workload):
    sixteen, four = (estimate(model, HUGE, replace(workload, kv_bits=bits), engine) for bits in (16, 4))
    assert four.tpot_s <= sixteen.tpot_s * ROUNDING
    assert four.ttft_s <= sixteen.ttft_s * ROUNDING


@pytest.mark.parametrize("model", [LLAMA_2_7B, LLAMA_2_70B, MIXTRAL_8X7B, DEEPSEEK_V3], ids=str)
@pytest.mark.parametrize("output", [1, 2, 3, 50])
def test_the_middle_step_stands_for_all_of_them(model, output):
    asked = Workload(batch=3, prompt=500, output=output)
    found = estimate(model, HUGE, asked, ENGINE_2023)
    # token 2 has the prompt as context, and itself; each later one has one token more
    each = [
        step(model, HUGE, batch=3, new_tokens=1, context=500 + n, efficiency=ENGINE_2023).seconds
        for n in range(output - 1)
    ]
    assert found.total_s == pytest.approx(found.ttft_s + sum(each), rel=1e-9)


def test_a_single_token_comes_with_the_prompt():
    found = estimate(LLAMA_3_8B, H100_SXM, Workload(output=1), ENGINE_2023, usd_per_hour=2)
    assert found.total_s == found.ttft_s
    assert found.usd_per_million_output_tokens == 0


# chunks and cached prompts ---------------------------------------------------------------------------


def _flops(model, chunks, roles, start=0):
    """The FLOPs of a prompt in chunks, but for the head, which each chunk's last token passes."""
    total = 0.0
    for new in chunks:
        rows = operators(model, batch=2, new_tokens=new, context=start)
        total += sum(row.flops for row in rows if row.role in roles)
        start += new
    return total


GROUPED = Architecture("grouped", 3, 64, 100, Attention(8, 2, 8), FeedForward(128))
WINDOWED = replace(GROUPED, attention=Attention(8, 2, 8, window=100, windowed_layers=2))


@given(chunks=st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_chunks_conserve_the_work_exactly(chunks):
    # all counts are whole numbers below 2**53, so not even rounding differs
    for model in (GROUPED, WINDOWED):
        for roles in (PROJECTIONS | {Role.MLP}, {Role.ATTENTION}):
            assert _flops(model, chunks, roles) == _flops(model, [sum(chunks)], roles) > 0


@given(model=models, engine=engines, workload=workloads, chunk=st.integers(20, 6000))
def test_a_prompt_in_chunks_is_never_faster(model, engine, workload, chunk):
    plain = replace(workload, pipeline_parallel=1, prefill_chunk=None)
    whole, cut = (estimate(model, HUGE, w, engine) for w in (plain, replace(plain, prefill_chunk=chunk)))
    assert whole.ttft_s <= cut.ttft_s * ROUNDING
    assert whole.tpot_s == cut.tpot_s


def test_chunks_cost_their_starts_and_reading_the_weights_again():
    whole, cut = (
        estimate(LLAMA_2_7B, H100_SXM, Workload(prompt=4096, prefill_chunk=chunk), ENGINE_2023).ttft_s
        for chunk in (None, 32)
    )
    # 127 more starts; 128 chunks too small to keep the matrix units busy each wait for 13 GB of weights
    assert cut - whole > 127 * 32 * ENGINE_2023.prefill_launch_s
    assert cut > 128 * 13.2e9 / 3.35e12


@given(model=models, engine=engines, chunk=st.integers(50, 1000), chunks=st.integers(2, 6), data=st.data())
def test_a_cached_prompt_leaves_the_later_chunks(model, engine, chunk, chunks, data):
    done = data.draw(st.integers(1, chunks - 1))
    asked = Workload(batch=2, prompt=chunks * chunk, prefill_chunk=chunk)
    whole, left = (estimate(model, HUGE, w, engine) for w in (asked, replace(asked, cached_prompt=done * chunk)))
    first = estimate(model, HUGE, replace(asked, prompt=done * chunk), engine)
    assert first.ttft_s + left.ttft_s == pytest.approx(whole.ttft_s)
    assert left.tpot_s == whole.tpot_s


# drafts ----------------------------------------------------------------------------------------------


@given(model=models, engine=engines, workload=workloads, tokens=st.integers(1, 8))
def test_a_draft_that_is_never_right_only_costs(model, engine, workload, tokens):
    plain = replace(workload, draft=None)
    useless = replace(workload, draft=Draft(SMOLLM2_360M, tokens, 0))
    without, with_draft = (estimate(model, HUGE, w, engine) for w in (plain, useless))
    assert with_draft.tpot_s > without.tpot_s
    assert with_draft.ttft_s > without.ttft_s  # it reads the prompt too


def test_a_draft_that_is_always_right_gives_all_its_tokens():
    asked = Workload(prompt=500, output=200, tensor_parallel=4, draft=Draft(DRAFT_3, 3, 1))
    found = estimate(LLAMA_3_70B, H100_SXM, asked, ENGINE_2023)
    context = 500 + 99
    check = step(
        LLAMA_3_70B, H100_SXM, new_tokens=4, context=context, tensor_parallel=4, decoding=True, efficiency=ENGINE_2023
    )
    # the draft lies on one device: 9 heads cannot be shared among four
    propose = step(DRAFT_3, H100_SXM, new_tokens=1, context=context, efficiency=ENGINE_2023)
    assert found.tpot_s == pytest.approx((check.seconds + 3 * propose.seconds) / 4)
    assert found.decode == check


@given(low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_better_draft_is_never_slower(low, high):
    low, high = sorted((low, high))
    slow, fast = (
        estimate(LLAMA_3_70B, HUGE, Workload(draft=Draft(DRAFT_3, 4, a)), ENGINE_2023).tpot_s for a in (low, high)
    )
    assert fast <= slow * ROUNDING


def test_a_draft_helps_one_user_and_not_a_full_batch():
    """Checking five tokens of one user costs little more than one; with many users the matrix units are busy anyway."""

    def gain(batch):
        asked = Workload(batch=batch, prompt=100, output=200)
        drafted = replace(asked, draft=Draft(DRAFT_3, 4, 0.7))
        return estimate(LLAMA_3_8B, HUGE, asked, IDEAL).tpot_s / estimate(LLAMA_3_8B, HUGE, drafted, IDEAL).tpot_s

    assert gain(1) > 2
    assert gain(1024) < 1


def test_a_draft_of_another_vocabulary_is_refused():
    asked = Workload(draft=Draft(SMOLLM2_135M, 4, 0.7))
    for refuses in (
        lambda: estimate(LLAMA_3_8B, HUGE, asked, IDEAL),
        lambda: memory(LLAMA_3_8B, HUGE, asked),
        lambda: held_kv_bytes_per_token(LLAMA_3_8B, asked),
    ):
        with pytest.raises(ValueError, match="SmolLM2-135M has 49152 tokens and LLaMA-3-8B has 128256; use a draft of"):
            refuses()
    padded = replace(SMOLLM2_135M, vocabulary=LLAMA_3_8B.vocabulary - 128)  # as Qwen2.5 has two paddings
    assert memory(LLAMA_3_8B, HUGE, Workload(draft=Draft(padded, 4, 0.7))).fits


# pipelines -------------------------------------------------------------------------------------------


def _line(jobs, stages):
    """When a line of stages is done with jobs, each a list of seconds by stage, one after the other."""
    free = [0.0] * stages
    for job in jobs:
        done = 0.0
        for stage in range(stages):
            done = max(done, free[stage]) + job[stage]
            free[stage] = done
    return done


def _by_stage(model, found, stages):
    """The seconds of a step by stage: the embedding is in the first, the head in the last."""
    ends = {row.operator.role: row.seconds for row in found.rows if row.operator.role in (Role.EMBEDDING, Role.HEAD)}
    rest = (found.seconds - sum(ends.values())) / model.layers
    layers = [model.layers // stages + (stage >= stages - model.layers % stages) for stage in range(stages)]
    seconds = [rest * n for n in layers]
    seconds[0] += ends[Role.EMBEDDING]
    seconds[-1] += ends[Role.HEAD]
    return seconds


INSTANT = replace(HUGE, link_bytes_per_s=1e300)  # handing on takes no time
AT_ONCE = replace(ENGINE_2023, collective_s=0)


@pytest.mark.parametrize("stages", [1, 2, 3, 4, 7, 32])
@pytest.mark.parametrize("size", [1, 4])
def test_a_prompt_passes_the_stages_as_in_a_simulated_line(stages, size):
    asked = Workload(batch=stages * size, prompt=1000, pipeline_parallel=stages)
    found = estimate(LLAMA_3_8B, INSTANT, asked, AT_ONCE)
    part = step(LLAMA_3_8B, INSTANT, batch=size, new_tokens=1000, efficiency=AT_ONCE)
    assert found.prefill == part
    assert found.ttft_s == pytest.approx(_line([_by_stage(LLAMA_3_8B, part, stages)] * stages, stages))


@pytest.mark.parametrize("stages", [2, 4, 8])
@pytest.mark.parametrize("chunk", [256, 300, 999])
def test_chunks_follow_each_other_through_the_stages_without_a_gap(stages, chunk):
    found = estimate(LLAMA_3_8B, INSTANT, Workload(prompt=1000, pipeline_parallel=stages, prefill_chunk=chunk), AT_ONCE)
    jobs = []
    for start in range(0, 1000, chunk):
        new = min(chunk, 1000 - start)
        part = step(LLAMA_3_8B, INSTANT, new_tokens=new, context=start, decoding=False, efficiency=AT_ONCE)
        jobs.append(_by_stage(LLAMA_3_8B, part, stages))
    simulated = _line(jobs, stages)
    # We have the last stage set the beat throughout. Where a later chunk is shorter, an earlier stage may be the last
    # to be busy: at most the difference of one stage's ends, the head, for each chunk.
    head = max(row.seconds for row in part.rows if row.operator.role is Role.HEAD)
    assert simulated <= found.ttft_s * ROUNDING
    assert found.ttft_s <= simulated + len(jobs) * head


@pytest.mark.parametrize("stages", [2, 3, 4, 8])
@pytest.mark.parametrize("batch", [1, 2, 8, 64])
def test_tokens_go_round_the_stages_as_in_a_simulation(stages, batch):
    asked = Workload(batch=batch, prompt=1000, output=2, pipeline_parallel=stages)
    found = estimate(LLAMA_3_8B, INSTANT, asked, AT_ONCE)
    size = -(-batch // stages)
    parts = -(-batch // size)
    seconds = _by_stage(
        LLAMA_3_8B, step(LLAMA_3_8B, INSTANT, batch=size, new_tokens=1, context=1000, efficiency=AT_ONCE), stages
    )
    free, ready, rounds = [0.0] * stages, [0.0] * parts, 400
    for _ in range(rounds):
        for part in range(parts):
            for stage in range(stages):
                ready[part] = max(ready[part], free[stage]) + seconds[stage]
                free[stage] = ready[part]
    # the first round fills the line, which the mean over all rounds still feels
    assert ready[-1] / rounds == pytest.approx(found.tpot_s, rel=2 / rounds)


def test_the_slowest_stage_has_nothing_but_experts():
    """Of 3 dense layers and 5 of experts in 4 stages, the last has two of experts: alone they are a model of two.

    Four sequences go round, one in each stage: a token comes when the slowest, with the head, has served all four.
    """
    both = Architecture("both", 8, 64, 1000, Attention(4, 2, 16), Experts(8, 2, 128, dense_layers=3, dense_width=64))
    last = replace(both, layers=2, feed_forward=Experts(8, 2, 128))
    asked = Workload(batch=4, prompt=1000, output=2, pipeline_parallel=4)
    found = estimate(both, INSTANT, asked, AT_ONCE)
    alone = step(last, INSTANT, new_tokens=1, context=1000, efficiency=AT_ONCE)
    beat = sum(row.seconds for row in alone.rows if row.operator.role is not Role.EMBEDDING) + alone.overhead_s
    # norms, sums and activations are shared by layer, though those of experts are wider: 3 * 2 * 128 and 3 * 64 numbers
    (small,) = (row.seconds for row in alone.rows if row.operator.role is Role.ELEMENTWISE)
    (mean,) = (row.seconds / 4 for row in found.decode.rows if row.operator.role is Role.ELEMENTWISE)
    assert found.tpot_s == pytest.approx(4 * (beat - small + mean), rel=1e-9)


def test_stages_hand_on_what_they_computed():
    asked = Workload(batch=2, prompt=1000, output=2, pipeline_parallel=2)
    slow, instant = (
        estimate(LLAMA_3_8B, device, asked, replace(ENGINE_2023, collective_s=0)) for device in (HUGE, INSTANT)
    )
    # a micro-batch of one: 1000 or 1 tokens of 4096 numbers of two bytes at 450 GB/s, for each of two micro-batches
    assert slow.ttft_s - instant.ttft_s == pytest.approx(2 * 1000 * 4096 * 2 / 450e9, rel=1e-6)
    assert slow.tpot_s - instant.tpot_s == pytest.approx(2 * 4096 * 2 / 450e9, rel=1e-6)


@given(stages=st.integers(2, 16), size=st.integers(1, 32), prompt=st.integers(1, 3000), engine=engines)
def test_stages_multiply_throughput_by_no_more_than_their_number(stages, size, prompt, engine):
    one = Workload(batch=stages * size, prompt=prompt)
    many = replace(one, pipeline_parallel=stages)
    alone, cut = (estimate(LLAMA_3_70B, HUGE, w, engine) for w in (one, many))
    assert cut.tokens_per_s <= stages * alone.tokens_per_s * ROUNDING
    assert cut.tokens_per_s_per_device <= alone.tokens_per_s * ROUNDING


@given(stages=st.sampled_from((2, 4, 5, 8, 16)), size=st.integers(1, 32), prompt=st.integers(1, 3000), engine=engines)
def test_stages_are_no_slower_than_one_device_but_for_the_ends_and_handing_on(stages, size, prompt, engine):
    asked = Workload(batch=stages * size, prompt=prompt, output=2)
    headless = replace(LLAMA_3_70B, vocabulary=1)  # 80 layers: all of these numbers of stages divide them
    alone = estimate(headless, INSTANT, asked, replace(engine, collective_s=0))
    cut = estimate(headless, INSTANT, replace(asked, pipeline_parallel=stages), replace(engine, collective_s=0))
    # a head of one row of 8192 numbers and a table row: below 200 kB a token, for each of the micro-batches
    ends = stages * (200e3 * size / (3.35e12 * engine.bandwidth))
    assert cut.tpot_s <= alone.tpot_s + ends


# what is said when it cannot be ------------------------------------------------------------------------


def test_what_does_not_fit_is_told_by_how_much_and_what_would():
    with pytest.raises(ValueError) as refused:
        estimate(LLAMA_3_8B, RTX_3090, Workload(batch=60), ENGINE_2023)
    # 16.06e9 bytes, 60 requests of 1280 tokens of 128 KiB, and activations of 8192 tokens of 90,112 bytes: 25.02 GiB.
    # There is room for 68,444 tokens: 53 requests of 1280, or 60 of 1140. An answer of 116 would be less than half of
    # 256.
    assert str(refused.value) == (
        "LLaMA-3-8B needs 25.0 GiB on each RTX-3090, got 24.0 GiB: 1.0 GiB short; "
        "it would fit with batch 53 or prompt 884 or weight_bits 8 or kv_bits 8 "
        "or tensor_parallel 2 or pipeline_parallel 2 or device RTX-5090"
    )


def test_where_no_single_change_helps_it_says_so():
    with pytest.raises(
        ValueError, match="no single change makes it fit: combine fewer bits, more devices and smaller batches"
    ):
        estimate(find_model("llama-3.1-405b"), RTX_4090, Workload(batch=64), ENGINE_2023)


@pytest.mark.parametrize(
    "workload, says",
    [
        (
            Workload(tensor_parallel=3),
            "tensor_parallel 3 does not divide the 32 heads of LLaMA-3-8B; use 1, 2, 4, 8, 16 or",
        ),
        (
            Workload(pipeline_parallel=64),
            "pipeline_parallel 64 is more than the 32 layers of LLaMA-3-8B; a stage holds at",
        ),
        (Workload(weight_bits=8, compute_bits=8), None),
        (
            Workload(weight_bits=4, compute_bits=4),
            "H100-SXM-80GB multiplies numbers of 8 or 16 bits, not of 4; set compute_bits to one of",
        ),
    ],
)
def test_what_is_impossible_is_refused(workload, says):
    if says is None:
        assert estimate(LLAMA_3_8B, H100_SXM, workload, IDEAL).total_s > 0
        return
    with pytest.raises(ValueError) as refused:
        estimate(LLAMA_3_8B, H100_SXM, workload, IDEAL)
    assert says in str(refused.value)


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"no model is called 'lama-3-8b'; the nearest are LLaMA-3-8B"):
        find_model("lama-3-8b")
    with pytest.raises(ValueError, match=r"no device is called 'RTX-3091'; the nearest are RTX-3090"):
        find_device("RTX-3091")


@pytest.mark.parametrize("rent, kind", [(-1, ValueError), (float("nan"), ValueError), ("2", TypeError)])
def test_a_rent_below_nothing_is_refused(rent, kind):
    with pytest.raises(
        kind, match="usd_per_hour must be a finite number of 0 or more, got .*; leave it out for the list price"
    ):
        estimate(LLAMA_3_8B, H100_SXM, Workload(), IDEAL, usd_per_hour=rent)


def test_without_rent_or_power_there_is_neither_price_nor_energy():
    assert RTX_3090.usd_per_hour is None
    found = estimate(LLAMA_3_8B, replace(RTX_3090, watts=None), Workload(), ENGINE_2023)
    assert found.usd_per_million_input_tokens is None
    assert found.usd_per_million_output_tokens is None
    assert found.usd_per_million_tokens is None
    assert found.joules_per_output_token is None
    assert "USD" not in str(found) and "joules" not in str(found)


def test_the_list_price_is_the_rent_unless_another_is_given():
    listed = estimate(LLAMA_3_8B, H100_SXM, Workload(), IDEAL)
    twice = estimate(LLAMA_3_8B, H100_SXM, Workload(), IDEAL, usd_per_hour=2 * H100_SXM.usd_per_hour)
    assert listed.usd_per_hour == H100_SXM.usd_per_hour
    assert twice.usd_per_million_tokens == pytest.approx(2 * listed.usd_per_million_tokens)
    assert estimate(LLAMA_3_8B, H100_SXM, Workload(), IDEAL, usd_per_hour=0).usd_per_million_tokens == 0


def test_printed_it_says_what_counts():
    asked = Workload(batch=8, tensor_parallel=4)
    found = estimate(LLAMA_2_70B, A100_SXM_80GB, asked, GPT_FAST_2023, usd_per_hour=1.5)
    lines = dict(line.split("  ", 1) for line in str(found).splitlines())
    lines = {name: text.strip() for name, text in lines.items()}
    assert lines["model, device"] == "LLaMA-2-70B on 4 x A100-SXM-80GB"
    assert lines["requests"] == "8 x (1024 in + 256 out)"
    assert lines["TPOT"] == f"{found.tpot_s * 1e3:.4g} ms, waits for {found.decode.bound}"
    assert lines["memory per device"].endswith("of 80 GiB")
    assert lines["USD per million tokens, in / out"].count("/") == 1
    assert all(len(first) <= 120 for first, _ in pairwise((*str(found).splitlines(), "")))
