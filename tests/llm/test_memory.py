"""What lies in the memory of each device, and what fits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.cost.devices import A100_SXM_80GB, DEVICES, H100_SXM, L4, RTX_3090, find_device
from mini_lib.llm.cost.memory import largest_batch, memory, weight_bytes, what_would_fit
from mini_lib.llm.cost.models import (
    DEEPSEEK_V3,
    GEMMA_3_27B,
    LLAMA_2_7B,
    LLAMA_2_70B,
    LLAMA_3_1_405B,
    LLAMA_3_8B,
    LLAMA_3_70B,
    MISTRAL_7B,
    MIXTRAL_8X7B,
    MODELS,
    SMOLLM2_135M,
    find_model,
)
from mini_lib.llm.cost.parameters import count_parameters
from mini_lib.llm.cost.workload import Draft, Workload
from mini_lib.llm.published.rows import published_rows

GIB = 2**30


def held(model, workload=None, device=A100_SXM_80GB):
    return memory(model, device, workload or Workload())


def test_llama_2_7b_on_an_a100_by_hand():
    found = held(LLAMA_2_7B, Workload(batch=3, prompt=1000, output=200))
    assert found.weights_bytes == 6_738_415_616 * 2
    assert found.kv_bytes == 3 * 1200 * 2 * 32 * 32 * 128 * 2  # key and value, layers, heads, numbers, two bytes
    # 3000 tokens at once: a copy of the hidden state four times, and gate and up together, in two bytes
    assert found.activation_bytes == 3000 * (4 * 4096 + 2 * 11008) * 2
    assert found.capacity_bytes == 80 * GIB
    assert found.used_bytes == found.weights_bytes + found.kv_bytes + found.activation_bytes
    assert found.fits and found.short_bytes == 0


def test_four_bits_are_for_matrices_only():
    # Llama-2-7B: 6,607,077,376 weights in matrices with the head; embedding of 32000 x 4096 and 65 norms stay in 16
    assert weight_bytes(LLAMA_2_7B, 4) == 6_607_077_376 / 2 + (32000 * 4096 + 65 * 4096) * 2
    # a tied table is the head as well, so it is stored once and like the head: only norms stay in 16
    assert weight_bytes(SMOLLM2_135M, 4) == (134_515_008 - 61 * 576) / 2 + 61 * 576 * 2


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_one_device_holds_every_weight(model):
    assert held(model).weights_bytes == pytest.approx(count_parameters(model).total * 2, rel=1e-12)  # sums of floats
    assert held(model, Workload(weight_bits=4.5)).weights_bytes == pytest.approx(weight_bytes(model, 4.5), rel=1e-12)


def test_two_devices_hold_half_each_but_for_the_norms():
    vectors = 65 * 4096 * 2  # bytes of two norms a layer, and one at the end
    found = held(LLAMA_2_7B, Workload(tensor_parallel=2))
    assert found.weights_bytes == (6_738_415_616 * 2 - vectors) / 2 + vectors
    assert found.kv_bytes == held(LLAMA_2_7B).kv_bytes / 2


def test_eight_kv_heads_on_sixteen_devices_are_copied():
    eight, sixteen = (held(LLAMA_2_70B, Workload(tensor_parallel=n)) for n in (8, 16))
    assert sixteen.kv_bytes == eight.kv_bytes == held(LLAMA_2_70B).kv_bytes / 8
    # of 16 devices each has 1 key and value head of 128, where an even share would be half of one: 80 layers, 2 bytes
    vectors = 161 * 8192 * 2
    more = 2 * 0.5 * 128 * 8192 * 80 * 2
    assert sixteen.weights_bytes == (68_976_648_192 * 2 - vectors) / 16 + vectors + more


def test_what_tensor_parallelism_cannot_split_is_on_every_device():
    one, eight = (held(DEEPSEEK_V3, Workload(tensor_parallel=n)) for n in (1, 8))
    assert eight.kv_bytes == one.kv_bytes  # the compressed cache serves all heads
    # the two matrices that compress, the routers, and vectors (norms, also those of the compressed vectors)
    whole = 61 * 7168 * (1536 + 512 + 64) + 58 * 256 * 7168 + 61 * (2 * 7168 + 1536 + 512) + 7168
    assert eight.weights_bytes == pytest.approx((one.weights_bytes - 2 * whole) / 8 + 2 * whole, rel=1e-12)


def _stages(model, stages):
    """The bytes of each stage, by counting the parameters of models that are as short as a stage."""
    share = [model.layers // stages + (stage < model.layers % stages) for stage in range(stages)]
    ends = 2 * model.vocabulary * model.hidden + model.hidden
    layers = [count_parameters(replace(model, layers=n)).total - ends for n in share]
    first, last = model.vocabulary * model.hidden, model.vocabulary * model.hidden + model.hidden
    return [2 * (n + (first if i == 0 else 0) + (last if i == stages - 1 else 0)) for i, n in enumerate(layers)]


@pytest.mark.parametrize("model", [LLAMA_2_7B, LLAMA_3_8B, LLAMA_3_70B, MIXTRAL_8X7B], ids=str)
@pytest.mark.parametrize("stages", [1, 2, 3, 4, 5, 7, 16, 32])
def test_the_fullest_stage_has_to_fit(model, stages):
    # the last norm is counted by the share of layers: at most its own bytes off
    found = held(model, Workload(pipeline_parallel=stages)).weights_bytes
    assert found == pytest.approx(max(_stages(model, stages)), abs=2 * model.hidden)


def test_the_fullest_stage_of_a_mixture_has_layers_with_experts():
    # three layers of DeepSeek-V3 are dense; in 61 stages the fullest has one layer with experts
    attention = 7168 * (1536 + 576) + 1536 * 128 * 192 + 512 * 128 * 256 + 128 * 128 * 7168
    experts = 256 * 7168 + (256 + 1) * 3 * 7168 * 2048
    found = held(DEEPSEEK_V3, Workload(pipeline_parallel=61)).weights_bytes
    vectors = 2 * 7168 + 1536 + 512
    assert found == pytest.approx(2 * (attention + experts + vectors + 129280 * 7168), abs=2 * 7168)


def test_the_first_stage_keeps_its_table_in_sixteen_bits():
    # the last one has a head of 4 bits: of two stages the first is the fuller
    layer = 4 * 4096 * 4096 + 3 * 4096 * 11008
    found = held(LLAMA_2_7B, Workload(weight_bits=4, pipeline_parallel=2)).weights_bytes
    assert found == pytest.approx(16 * layer / 2 + 32000 * 4096 * 2 + 65 * 4096 * 2 / 2)


def test_layers_that_do_not_divide_fill_the_first_stages():
    # 32 layers in 3 stages are 11, 11 and 10
    assert held(LLAMA_2_7B, Workload(pipeline_parallel=3)).kv_bytes == held(LLAMA_2_7B).kv_bytes * 11 / 32


def test_what_prompts_share_is_kept_once():
    plain, shared = (
        Workload(batch=10, prompt=1000, output=100),
        Workload(batch=10, prompt=1000, output=100, cached_prompt=800),
    )
    token = 524_288
    assert held(LLAMA_2_7B, plain).kv_bytes == 10 * 1100 * token
    assert held(LLAMA_2_7B, shared).kv_bytes == (10 * 300 + 800) * token
    assert (
        held(LLAMA_2_7B, shared).activation_bytes == held(LLAMA_2_7B, Workload(batch=10, prompt=200)).activation_bytes
    )


def test_a_window_bounds_the_cache():
    assert held(MISTRAL_7B, Workload(prompt=30_000, output=100)).kv_bytes == 4096 * 131_072
    # 52 of the 62 layers of Gemma 3 keep 1024 tokens: 2 x 16 heads x 128 numbers of two bytes
    found = held(GEMMA_3_27B, Workload(prompt=30_000, output=100)).kv_bytes
    assert found == (10 * 30_100 + 52 * 1024) * 2 * 16 * 128 * 2


def test_a_draft_lies_whole_on_one_device_with_a_cache_of_its_own():
    plain = Workload(batch=2, tensor_parallel=8)
    small = replace(SMOLLM2_135M, vocabulary=LLAMA_2_70B.vocabulary)  # 9 heads cannot be shared among 8 devices
    drafted = replace(plain, draft=Draft(small, 4, 0.7))
    one, two = held(LLAMA_2_70B, plain), held(LLAMA_2_70B, drafted)
    assert two.weights_bytes - one.weights_bytes == pytest.approx((134_515_008 - (49_152 - 32_000) * 576) * 2)
    assert two.kv_bytes - one.kv_bytes == pytest.approx(2 * 1280 * 2 * 30 * 3 * 64 * 2)


def test_a_token_in_two_experts_has_the_activations_of_both():
    found = held(MIXTRAL_8X7B, Workload(prompt=100), device=H100_SXM)
    assert found.activation_bytes == 100 * (4 * 4096 + 2 * 2 * 14336) * 2


def test_chunks_and_the_limit_of_a_pass_bound_the_activations():
    def activations(**asked):
        return held(LLAMA_2_7B, Workload(**asked)).activation_bytes

    assert activations(prompt=4096, prefill_chunk=512) == activations(prompt=512)
    assert activations(prompt=4096, prefill_chunk=512, batch=4) == activations(prompt=512, batch=4)
    assert activations(prompt=4096, batch=100) == activations(prompt=8192)


workloads = st.builds(
    Workload,
    batch=st.integers(1, 200),
    prompt=st.integers(1, 20_000),
    output=st.integers(1, 4_000),
    weight_bits=st.sampled_from((16, 8, 4.5)),
    kv_bits=st.sampled_from((16, 8, 4)),
    tensor_parallel=st.sampled_from((1, 2, 4, 8)),
    pipeline_parallel=st.sampled_from((1, 2, 3, 16)),
)
models = st.sampled_from((LLAMA_2_7B, LLAMA_3_8B, LLAMA_3_70B, LLAMA_3_1_405B, MIXTRAL_8X7B, DEEPSEEK_V3, MISTRAL_7B))
devices = st.sampled_from(DEVICES)


@given(model=models, device=devices, workload=workloads)
def test_one_request_more_than_the_largest_batch_does_not_fit(model, device, workload):
    batch = largest_batch(model, device, workload)
    assert batch == 0 or memory(model, device, replace(workload, batch=batch)).fits
    assert not memory(model, device, replace(workload, batch=batch + 1)).fits


def test_a_cache_of_next_to_no_bits_is_refused_by_its_name():
    with pytest.raises(ValueError, match="kv_bits must be 0.01 or more, got 1e-300; use 16, 8 or 4"):
        Workload(kv_bits=1e-300)
    assert largest_batch(LLAMA_2_7B, A100_SXM_80GB, Workload(kv_bits=0.01)) > 10_000


def test_the_largest_batch_by_hand():
    # requests of 4096 tokens of half a MiB are 2 GiB each; 13.48e9 and 8192 tokens' activations leave 66.9 GiB of 80
    assert largest_batch(LLAMA_2_7B, A100_SXM_80GB, Workload(prompt=4000, output=96)) == 33
    assert largest_batch(LLAMA_2_70B, A100_SXM_80GB, Workload()) == 0
    # the batch that is asked for does not matter
    assert largest_batch(LLAMA_2_7B, A100_SXM_80GB, Workload(batch=999, prompt=4000, output=96)) == 33


def _changed(device, workload, change):
    name, value = change.rsplit(" ", 1)
    return (find_device(value), workload) if name == "device" else (device, replace(workload, **{name: int(value)}))


@given(model=models, device=devices, workload=workloads)
def test_every_suggestion_fits(model, device, workload):
    changes = what_would_fit(model, device, workload)
    if memory(model, device, workload).fits:
        assert changes == ()
    for change in changes:
        on, changed = _changed(device, workload, change)
        assert memory(model, on, changed).fits
        if change.startswith(("batch", "prompt", "output")):  # and it is the most that does
            name = change.split()[0]
            assert not memory(model, on, replace(changed, **{name: getattr(changed, name) + 1})).fits
            assert name == "batch" or 2 * getattr(changed, name) >= getattr(workload, name)
        if change.startswith("device"):  # no smaller one would do
            assert not any(memory(model, d, workload).fits for d in DEVICES if d.memory_bytes < on.memory_bytes)


@given(model=models, device=devices, workload=workloads, bits=st.sampled_from((8, 4)))
def test_a_change_that_fits_is_not_held_back(model, device, workload, bits):
    if memory(model, device, workload).fits or bits >= workload.weight_bits:
        return
    if memory(model, device, replace(workload, weight_bits=bits)).fits:
        assert any(change.startswith("weight_bits") for change in what_would_fit(model, device, workload))


def test_suggestions_by_hand():
    # 16.06e9 bytes of weights and 2048 tokens' activations leave 8.99 GiB of 24: requests of 1280 tokens have 160 MiB
    changes = what_would_fit(LLAMA_3_8B, RTX_3090, Workload(batch=60))
    assert changes[0] == "batch 53"
    assert "weight_bits 8" in changes and "kv_bits 8" in changes
    # nothing alone brings 810 GB onto a card of 22.5 GiB
    assert what_would_fit(LLAMA_3_1_405B, L4, Workload(kv_bits=4)) == ()


def test_a_suggested_device_can_multiply_what_is_asked():
    asked = Workload(weight_bits=8, compute_bits=8, batch=50, prompt=4000)
    (name,) = [change for change in what_would_fit(LLAMA_3_8B, RTX_3090, asked) if change.startswith("device")]
    device = find_device(name.split()[1])
    assert 8 in device.matmul_flops_per_s
    # a smaller one has room, but no units for 8 bits (an Apple GPU)
    assert any(d.memory_bytes < device.memory_bytes and memory(LLAMA_3_8B, d, asked).fits for d in DEVICES)


@given(model=models, workload=workloads)
def test_more_requests_longer_texts_and_more_bits_never_need_less(model, workload):
    used = memory(model, A100_SXM_80GB, workload).used_bytes
    for more in ({"batch": workload.batch + 1}, {"prompt": workload.prompt + 1}, {"output": workload.output + 1}):
        assert memory(model, A100_SXM_80GB, replace(workload, **more)).used_bytes >= used
    for wide in ({"weight_bits": 16}, {"kv_bits": 16}):
        assert memory(model, A100_SXM_80GB, replace(workload, **wide)).used_bytes >= used


@given(model=models, workload=workloads)
def test_more_devices_never_hold_more_each(model, workload):
    used = memory(model, A100_SXM_80GB, workload).used_bytes
    for more in (
        {"tensor_parallel": 2 * workload.tensor_parallel},
        {"pipeline_parallel": 2 * workload.pipeline_parallel},
    ):
        wider = replace(workload, **more)
        if wider.pipeline_parallel <= model.layers:
            assert memory(model, A100_SXM_80GB, wider).used_bytes <= used * (1 + 1e-12)  # sums of floats


@pytest.mark.parametrize("row", published_rows(), ids=lambda row: row.configuration)
def test_every_published_run_fits(row):
    # a decode row stands for a text that grows from nothing to twice the mean context
    prompt, output = (1, 2 * row.prompt) if row.kind == "decode" else (row.prompt, row.output)
    asked = Workload(row.batch, prompt, output, row.weight_bits, row.kv_bits, tensor_parallel=row.tensor_parallel)
    assert memory(find_model(row.model), find_device(row.device), asked).fits


@pytest.mark.parametrize("ask", [memory, largest_batch, what_would_fit])
def test_an_impossible_split_is_refused(ask):
    with pytest.raises(ValueError, match="tensor_parallel 3 does not divide the 32 heads of LLaMA-2-7B"):
        ask(LLAMA_2_7B, A100_SXM_80GB, Workload(tensor_parallel=3))
    with pytest.raises(ValueError, match="pipeline_parallel 33 is more than the 32 layers of LLaMA-2-7B"):
        ask(LLAMA_2_7B, A100_SXM_80GB, Workload(pipeline_parallel=33))
