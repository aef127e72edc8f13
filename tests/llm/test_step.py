"""The seconds of one step: worked by hand, against the formulas of a single operator, and properties."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.cost.computers import M2_ULTRA_76
from mini_lib.llm.cost.device import Device
from mini_lib.llm.cost.devices import A100_SXM_80GB, H100_SXM
from mini_lib.llm.cost.efficiency import IDEAL, Efficiency
from mini_lib.llm.cost.engines import ENGINE_2023, ENGINES, GPT_FAST_2023, LLAMA_CPP_METAL_2024
from mini_lib.llm.cost.models import DEEPSEEK_V3, GPT_J_6B, LLAMA_2_7B, LLAMA_2_70B, LLAMA_3_8B, MIXTRAL_8X7B
from mini_lib.llm.cost.operators import operators
from mini_lib.llm.cost.step import step

TOY = Device("toy", 2**40, 1e9, {16: 1e12, 8: 2e12}, vector_flops_per_s=1e11, link_bytes_per_s=1e8)
TINY = Architecture("tiny", 2, 8, 32, Attention(heads=4, kv_heads=2, head_dim=2), FeedForward(16))


def row_of(found, name):
    (row,) = [row for row in found.rows if row.operator.name == name]
    return row


def test_a_decode_step_of_llama_2_7b_on_an_a100_by_hand():
    """Everything waits for memory, so the step takes its bytes over 2.039 TB/s."""
    layer = 4 * 4096 * 4096 + 3 * 4096 * 11008
    weights = (32 * layer + 32000 * 4096) * 2
    # of each product what goes in and what comes out: query, key and value; out; gate and up; down; and the head
    numbers = (4096 + 3 * 4096) + (4096 + 4096) + (4096 + 2 * 11008) + (11008 + 4096)
    passed = (32 * numbers + 4096 + 32000) * 2
    cache = 1001 * 524_288  # a thousand tokens and the new one
    found = step(LLAMA_2_7B, A100_SXM_80GB, new_tokens=1, context=1000)
    assert weights == 13_214_154_752
    assert found.seconds == pytest.approx((weights + passed + cache) / 2.039e12, rel=1e-12)
    assert found.seconds == pytest.approx(6.74e-3, abs=0.005e-3)  # as worked out on paper
    assert found.bound == "memory"
    assert found.flops == pytest.approx(weights + 4 * 1001 * 32 * 4096)  # two for each weight; two bytes are one weight


def test_a_prompt_of_2048_on_an_a100_by_hand():
    """Products of many tokens wait for arithmetic; the head, of the last token only, for memory."""
    layers = 2 * 2048 * 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008) / 312e12
    attention = 4 * (2048 * 2049 / 2) * 4096 * 32 / 312e12  # each token sees itself and those before
    head = (32000 * 4096 + 4096 + 32000) * 2 / 2.039e12
    found = step(LLAMA_2_7B, A100_SXM_80GB, new_tokens=2048)
    assert found.seconds == pytest.approx(layers + attention + head, rel=1e-12)
    assert found.seconds == pytest.approx(88.7e-3, abs=0.05e-3)  # as worked out on paper: 85.02 + 3.53 + 0.13 ms
    assert found.bound == "compute"


def test_a_sixteenth_bit_less_is_a_shorter_read():
    # on a toy that moves 1e9 bytes a second: 100 weights a layer in 4.5 bits are 56.25 bytes
    one = Architecture("one", 1, 10, 10, Attention(1, 1, 10), FeedForward(10, gated=False))
    read = row_of(step(one, TOY, new_tokens=1, weight_bits=4.5), "up")
    assert read.seconds == pytest.approx((100 * 4.5 / 8 + 20 * 2) / 1e9)


def test_each_constant_does_what_it_says():
    def seconds(new=1, context=16, parallel=1, bits=16, compute=16, **changed):
        return step(
            TINY,
            TOY,
            new_tokens=new,
            context=context,
            tensor_parallel=parallel,
            weight_bits=bits,
            compute_bits=compute,
            efficiency=replace(IDEAL, **changed),
        )

    ideal = seconds().seconds
    assert seconds(launch_s=3e-6).seconds - ideal == pytest.approx(2 * 3e-6)  # two layers
    assert seconds(prefill_launch_s=3e-6).seconds == ideal  # those of a decode step are recorded
    assert seconds(new=2, prefill_launch_s=3e-6).seconds - seconds(new=2).seconds == pytest.approx(2 * 3e-6)
    # all of it waits for memory
    assert seconds(bandwidth=0.5).seconds == pytest.approx(2 * ideal)
    # two query heads read a KV head: 17 tokens, 2 layers, key and value of 2 heads of 2, two bytes; half read again
    cache = 17 * 2 * 2 * 2 * 2 * 2 / 1e9
    assert seconds(kv_reread=0.5).seconds - ideal == pytest.approx(0.5 * cache)
    # 2 layers of 8 x (8 + 8) + 8 x 8 + 3 x 8 x 16 weights, and a head of 8 x 32: an operation each, 1e11 a second
    weights = 2 * (8 * 16 + 64 + 3 * 128) + 256
    assert seconds(bits=8, unpack_ops=1).seconds - seconds(bits=8).seconds == pytest.approx(weights / 1e11)
    assert seconds(bits=16, unpack_ops=1).seconds == ideal  # nothing is packed
    assert seconds(bits=8, compute=8, unpack_ops=1).seconds == seconds(bits=8, compute=8).seconds
    # 4 exchanges of 8 numbers of two bytes: in a ring of two each passes half of them on twice, in one of four a
    # quarter six times; a hop for each
    pair, four = (seconds(parallel=n, collective_s=1e-6, link=0.25) for n in (2, 4))
    assert row_of(pair, "all-reduce").seconds == pytest.approx(4 * 2 * 1e-6 + 4 * (2 * 8) / (0.25 * 1e8))
    assert row_of(four, "all-reduce").seconds == pytest.approx(4 * 6 * 1e-6 + 4 * (6 * 4) / (0.25 * 1e8))
    assert row_of(pair, "all-reduce").bound == "link"
    # 2 layers: norms and additions pass 8 x 8 numbers, activations 3 x 16; and a table row of 8 is read and written
    assert seconds(unfused=1).seconds - ideal == pytest.approx((2 * (64 + 48) + 16) * 2 / 1e9)


def test_shares_of_the_matrix_units_are_by_the_bits_that_enter_them():
    many = {"new_tokens": 4096, "efficiency": replace(IDEAL, matmul_16=0.5, matmul_8=0.25)}
    wide = row_of(step(LLAMA_2_7B, H100_SXM, **many), "down")
    narrow = row_of(step(LLAMA_2_7B, H100_SXM, weight_bits=8, compute_bits=8, **many), "down")
    assert wide.bound == narrow.bound == "compute"
    assert wide.seconds == pytest.approx(wide.operator.flops / (0.5 * 989.4e12))
    assert narrow.seconds == pytest.approx(narrow.operator.flops / (0.25 * 1978.9e12))


def test_attention_is_computed_in_sixteen_bits():
    many = {"new_tokens": 4096, "weight_bits": 8, "kv_bits": 8, "compute_bits": 8}
    attention = row_of(step(LLAMA_2_7B, H100_SXM, efficiency=replace(IDEAL, matmul_16=0.5), **many), "attention")
    assert attention.bound == "compute"
    assert attention.seconds == pytest.approx(attention.operator.flops / (0.5 * 989.4e12))


def test_a_parallel_block_exchanges_once_a_layer():
    half, full = (
        row_of(
            step(model, H100_SXM, new_tokens=1, tensor_parallel=2, efficiency=replace(IDEAL, collective_s=1)),
            "all-reduce",
        )
        for model in (GPT_J_6B, replace(GPT_J_6B, parallel_block=False))
    )
    assert half.operator.calls * 2 == full.operator.calls == 56
    assert half.seconds * 2 == full.seconds


def test_a_batch_meets_more_experts():
    # of 8 experts a token visits 2; two tokens meet 8 x (1 - (3/4)^2) = 3.5 on average
    one, two, many = (row_of(step(MIXTRAL_8X7B, H100_SXM, batch=n, new_tokens=1), "expert down") for n in (1, 2, 1000))
    expert = 4096 * 14336 * 32
    assert one.operator.weights == pytest.approx(2 * expert)
    assert two.operator.weights == pytest.approx(3.5 * expert)
    assert many.operator.weights == pytest.approx(8 * expert)


def test_a_check_of_proposals_is_a_decode_step_with_the_head_on_each():
    asked = {"new_tokens": 5, "context": 1000, "efficiency": ENGINE_2023}
    check, prompt = step(LLAMA_3_8B, A100_SXM_80GB, decoding=True, **asked), step(LLAMA_3_8B, A100_SXM_80GB, **asked)
    assert row_of(check, "head").operator.flops == 5 * row_of(prompt, "head").operator.flops == 5 * 2 * 128_256 * 4096
    assert check.overhead_s == 32 * ENGINE_2023.launch_s
    assert prompt.overhead_s == 32 * ENGINE_2023.prefill_launch_s
    assert row_of(check, "attention").seconds > row_of(prompt, "attention").seconds  # the decode kernel reads KV again


@st.composite
def architectures(draw):
    heads = draw(st.sampled_from((4, 8, 16)))
    if draw(st.booleans()):
        attention = Attention(heads, heads // draw(st.sampled_from((1, 2, 4))), draw(st.sampled_from((32, 64, 128))))
    else:
        attention = LatentAttention(heads, draw(st.sampled_from((0, 128))), 64, 64, 32, 64)
    width = 64 * draw(st.integers(1, 64))
    ff = FeedForward(width) if draw(st.booleans()) else Experts(8, draw(st.integers(1, 8)), width)
    return Architecture("drawn", draw(st.integers(1, 40)), 64 * draw(st.integers(2, 64)), 1000, attention, ff)


efficiencies = st.builds(
    Efficiency,
    *[st.floats(0.1, 1)] * 4,
    *[st.floats(0, 1e-3)] * 3,
    unpack_ops=st.floats(0, 20),
    kv_reread=st.floats(0, 1),
    unfused=st.floats(0, 1),
)
asked = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 64),
        "new_tokens": st.sampled_from((1, 1, 1, 2, 7, 100, 3000)),
        "context": st.integers(0, 10_000),
        "weight_bits": st.sampled_from((16, 8, 4.5)),
        "kv_bits": st.sampled_from((16, 8, 4)),
        "tensor_parallel": st.sampled_from((1, 2, 4)),
    }
)
ROUNDING = 1 + 1e-12  # sums of some ten floats


@given(a=architectures(), e=efficiencies, asked=asked)
def test_no_engine_is_faster_than_the_ideal(a, e, asked):
    ideal = step(a, H100_SXM, **asked)
    assert ideal.seconds <= step(a, H100_SXM, efficiency=e, **asked).seconds * ROUNDING
    assert ideal.overhead_s == 0


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_the_shipped_engines_are_slower_than_the_ideal(engine):
    for model in (LLAMA_2_7B, LLAMA_2_70B, MIXTRAL_8X7B, DEEPSEEK_V3):
        for shape in ({"new_tokens": 1, "context": 500, "batch": 32}, {"new_tokens": 512}):
            assert step(model, H100_SXM, efficiency=engine, **shape).seconds > step(model, H100_SXM, **shape).seconds


@given(a=architectures(), e=efficiencies, asked=asked)
def test_the_formula_of_a_single_operator_bounds_the_sum_of_many(a, e, asked):
    """A step as one operator takes max(FLOPs / (MFU * peak), bytes / (MBU * bandwidth)) + overhead.

    The sum of the operators' maxima lies between that maximum and the sum of both. KV that is read again, packing and
    exchanges come on top, so they are left out here.
    """
    e = replace(e, kv_reread=0, unpack_ops=0, unfused=1, collective_s=0)
    found = step(a, H100_SXM, efficiency=e, **(asked | {"tensor_parallel": 1}))
    compute_s = found.flops / (989.4e12 * e.matmul_16)
    memory_s = found.bytes / (3.35e12 * e.bandwidth)
    launch_s = a.layers * (e.launch_s if asked["new_tokens"] == 1 else e.prefill_launch_s)
    assert max(compute_s, memory_s) + launch_s <= found.seconds * ROUNDING
    assert found.seconds <= (compute_s + memory_s + launch_s) * ROUNDING


@given(a=architectures(), e=efficiencies, asked=asked, factor=st.floats(1, 10))
def test_a_better_device_is_never_slower(a, e, asked, factor):
    seconds = step(a, H100_SXM, efficiency=e, **asked).seconds
    for better in (
        {"bandwidth_bytes_per_s": 3.35e12 * factor},
        {"matmul_flops_per_s": {16: 989.4e12 * factor}},
        {"vector_flops_per_s": 66.9e12 * factor},
        {"link_bytes_per_s": 450e9 * factor},
    ):
        assert step(a, replace(H100_SXM, **better), efficiency=e, **asked).seconds <= seconds * ROUNDING


@given(a=architectures(), e=efficiencies, asked=asked)
def test_more_work_is_never_faster(a, e, asked):
    seconds = step(a, H100_SXM, efficiency=e, **asked).seconds
    for more in ({"batch": asked["batch"] + 1}, {"context": asked["context"] + 1}, {"kv_bits": 16}):
        assert seconds <= step(a, H100_SXM, efficiency=e, **(asked | more)).seconds * ROUNDING
    if asked["new_tokens"] > 1:  # a single token would be a decode step
        more = asked | {"new_tokens": asked["new_tokens"] + 1}
        assert seconds <= step(a, H100_SXM, efficiency=e, **more).seconds * ROUNDING


@given(a=architectures(), asked=asked)
def test_narrower_weights_are_never_slower_where_unpacking_is_free(a, asked):
    wide = step(a, H100_SXM, efficiency=ENGINE_2023, **(asked | {"weight_bits": 16})).seconds
    assert step(a, H100_SXM, efficiency=ENGINE_2023, **asked).seconds <= wide * ROUNDING


def test_unpacking_can_cost_more_than_it_saves():
    # 1.5 bytes less at 87% of 800 GB/s save 2.2 ps a weight; 80 operations at 27.2e12 a second take 2.9 ps
    wide, packed = (
        step(
            LLAMA_3_8B,
            M2_ULTRA_76,
            new_tokens=1,
            weight_bits=bits,
            efficiency=replace(LLAMA_CPP_METAL_2024, unpack_ops=80),
        ).seconds
        for bits in (16, 4)
    )
    assert packed > wide


@given(a=architectures(), e=efficiencies, asked=asked)
def test_seconds_are_shared_out_completely(a, e, asked):
    found = step(a, H100_SXM, efficiency=e, **asked)
    assert sum(found.shares_s.values()) == pytest.approx(found.seconds)
    assert found.shares_s[found.bound] == max(found.shares_s.values())
    assert found.intensity == pytest.approx(found.flops / found.bytes)


def test_printed_it_is_a_table_of_its_operators():
    found = step(LLAMA_2_70B, A100_SXM_80GB, new_tokens=1, context=100, tensor_parallel=4, efficiency=GPT_FAST_2023)
    head, *lines, kernels, total = str(found).splitlines()
    assert head.split() == ["operator", "calls", "GFLOP", "MB", "FLOP/B", "ms", "bound"]
    assert len(lines) == len(found.rows)
    for line, row in zip(lines, found.rows, strict=True):
        assert line.startswith(row.operator.name) and line.endswith(row.bound)
    assert kernels.split()[-1] == "overhead"
    assert float(total.split()[-2]) == pytest.approx(found.seconds * 1e3, rel=0.005)  # three digits


@pytest.mark.parametrize(
    "wrong, kind, says",
    [
        (
            {"compute_bits": 8},
            ValueError,
            "M2-Ultra-76 multiplies numbers of 16 bits, not of 8; set compute_bits to one of",
        ),
        ({"new_tokens": 0}, ValueError, "new_tokens must be a whole number of 1 or more, got 0; a decode step has 1"),
        ({"batch": -1}, ValueError, "batch must be a whole number of 1 or more, got -1; use 1 for a single user"),
        ({"context": -1}, ValueError, "context must be a finite number of 0 or more, got -1; use 0 for an empty cache"),
        ({"tensor_parallel": 3}, ValueError, "tensor_parallel 3 does not divide the 32 heads of LLaMA-2-7B"),
        ({"weight_bits": 0}, ValueError, "weight_bits must be a finite number above 0, got 0; use 16, 8 or 4.5"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(wrong, kind, says):
    with pytest.raises(kind) as refused:
        step(LLAMA_2_7B, M2_ULTRA_76, **({"new_tokens": 1} | wrong))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"matmul_16": 0}, "matmul_16 must lie in (0, 1], got 0; 1 is the limit of the device"),
        ({"bandwidth": 1.1}, "bandwidth must lie in (0, 1], got 1.1; 1 is the limit of the device"),
        ({"link": -1}, "link must lie in (0, 1], got -1; 1 is the limit of the device"),
        ({"kv_reread": 2}, "kv_reread must lie in [0, 1], got 2; 0 wastes nothing"),
        ({"unfused": -0.5}, "unfused must lie in [0, 1], got -0.5; 0 wastes nothing"),
        ({"launch_s": -1e-6}, "launch_s must be a finite number of 0 or more, got -1e-06; 0 costs nothing"),
        ({"unpack_ops": float("inf")}, "unpack_ops must be a finite number of 0 or more, got inf; 0 costs nothing"),
    ],
)
def test_an_engine_better_than_its_device_is_refused(wrong, says):
    with pytest.raises(ValueError) as refused:
        replace(IDEAL, **wrong)
    assert str(refused.value) == says


def test_the_ideal_wastes_nothing():
    shares = {"matmul_16", "matmul_8", "matmul_4", "experts", "bandwidth", "kv_bandwidth", "link"}
    assert {field.name: getattr(IDEAL, field.name) for field in fields(IDEAL)} == {
        field.name: 1 if field.name in shares else 0 for field in fields(IDEAL)
    }


@pytest.mark.parametrize("weights, compute", [(16, 8), (8, 4), (32, 8)])
def test_weights_wider_than_narrow_units_take_are_refused(weights, compute):
    wide = {"weight_bits": weights, "compute_bits": compute}
    with pytest.raises(ValueError, match=f"weight_bits {weights} is too wide for compute_bits {compute}; use weight"):
        step(LLAMA_2_7B, replace(H100_SXM, matmul_flops_per_s={4: 4e15, 8: 2e15, 16: 1e15}), new_tokens=1, **wide)


@pytest.mark.parametrize("weights, compute", [(9, 8), (8.7, 8), (4.5, 4), (32, 16), (4.5, 16)])
def test_a_scale_for_each_group_makes_weights_no_wider_than_they_may_be(weights, compute):
    device = replace(H100_SXM, matmul_flops_per_s={4: 4e15, 8: 2e15, 16: 1e15})
    assert step(LLAMA_2_7B, device, new_tokens=1, weight_bits=weights, compute_bits=compute).seconds > 0


@pytest.mark.parametrize("wrong", ["no", 2, "False", []])
def test_what_is_neither_true_nor_false_is_refused(wrong):
    with pytest.raises(TypeError, match="decoding must be of type bool or NoneType, got "):
        step(LLAMA_2_7B, H100_SXM, new_tokens=1, decoding=wrong)
    with pytest.raises(TypeError, match="causal must be of type bool, got "):
        operators(LLAMA_2_7B, new_tokens=1, causal=wrong)
