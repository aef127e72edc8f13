"""The operators of a step: by hand, against masks and products that are really made, and split over devices."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.cost.kv_cache import kv_cache_bytes
from mini_lib.llm.cost.operators import Operator, operators
from mini_lib.llm.cost.parallel import check_pipeline_parallel, check_tensor_parallel
from mini_lib.llm.cost.parameters import count_parameters
from mini_lib.llm.cost.roles import Role

TINY = Architecture("tiny", 1, 16, 10, Attention(heads=4, kv_heads=2, head_dim=4), FeedForward(8))
WIDE = Architecture("wide", 2, 64, 32, Attention(heads=16, kv_heads=4, head_dim=4), FeedForward(48))
MIXED = Architecture(
    "mixed", 3, 64, 32, Attention(16, 4, 4), Experts(8, 2, 16, shared_width=32, dense_layers=1, dense_width=48)
)
LATENT = Architecture(
    "latent",
    2,
    64,
    32,
    LatentAttention(16, query_rank=12, kv_rank=24, nope_dim=8, rope_dim=4, value_dim=6),
    FeedForward(48),
)
GROUPED = Architecture("grouped", 1, 24, 10, Attention(heads=12, kv_heads=4, head_dim=2), FeedForward(24))


def named(*args, **kwargs):
    rows = operators(*args, **kwargs)
    assert len({o.name for o in rows}) == len(rows)
    return {o.name: o for o in rows}


def total(architecture, figure="flops", **sizes):
    return sum(getattr(o, figure) for o in operators(architecture, **sizes))


# By hand


def test_two_sequences_of_three_new_tokens_after_two_by_hand():
    rows = named(TINY, batch=2, new_tokens=3, context=2)
    assert list(rows) == [
        "embedding",
        "qkv",
        "attention",
        "attention out",
        "gate and up",
        "down",
        "norms, sums, activations",
        "head",
    ]
    # 6 tokens, 2 FLOPs for each number of a matrix; the head for the last token of each sequence alone
    assert rows["qkv"].flops == 2 * 6 * (16 * (4 + 2 + 2) * 4)
    assert rows["attention out"].flops == 2 * 6 * (16 * 16)
    assert rows["gate and up"].flops == 2 * 6 * (16 * 2 * 8)
    assert rows["down"].flops == 2 * 6 * (8 * 16)
    assert rows["head"].flops == 2 * 2 * (16 * 10)
    # the three tokens see 3, 4 and 5 tokens: 12 pairs, 4 heads of 4 numbers, for scores and for the sum, in 2 sequences
    assert rows["attention"].flops == 2 * (2 * 12 * 4 * 4) * 2
    assert rows["attention"].group == 2
    # 16-bit weights are read once for all tokens; a matrix reads and writes 2 bytes a number
    assert rows["qkv"].weights == 512
    assert rows["qkv"].weight_bytes == 1024
    assert rows["qkv"].activation_bytes == 6 * (16 + 32) * 2
    assert rows["head"].activation_bytes == 2 * (16 + 10) * 2
    # the cache of 5 tokens: key and value, 2 KV heads of 4 numbers, 2 bytes, in 2 sequences
    assert rows["attention"].kv_bytes == 2 * 5 * (2 * 2 * 4) * 2
    assert [o.role for o in rows.values()] == [
        Role.EMBEDDING,
        Role.QKV,
        Role.ATTENTION,
        Role.ATTENTION_OUT,
        Role.MLP,
        Role.MLP,
        Role.ELEMENTWISE,
        Role.HEAD,
    ]
    assert sum(o.weights for o in rows.values()) == count_parameters(TINY).matmul


def test_bits_change_bytes_and_not_flops():
    full, small = named(TINY, new_tokens=1, context=9), named(TINY, new_tokens=1, context=9, weight_bits=4, kv_bits=8)
    for name, row in full.items():
        assert row.flops == small[name].flops
        assert row.weight_bytes == 4 * small[name].weight_bytes
        assert row.kv_bytes == 2 * small[name].kv_bytes
        assert row.activation_bytes == small[name].activation_bytes


def test_bytes_and_intensity_of_a_row():
    row = Operator(
        "any", Role.MLP, 1, flops=60.0, weight_bytes=10.0, activation_bytes=4.0, kv_bytes=1.0, link_bytes=99.0
    )
    assert row.bytes == 15  # what passes over the link does not pass between memory and processor
    assert row.intensity == 4
    assert Operator("nothing", Role.COLLECTIVE, 1).intensity == 0


def test_the_head_of_all_tokens_and_of_the_last():
    sizes = {"batch": 2, "new_tokens": 5}
    last, every = named(TINY, **sizes)["head"], named(TINY, **sizes, head_on="all")["head"]
    assert every.flops == 5 * last.flops
    assert every.weight_bytes == last.weight_bytes


# The pairs that attention scores


def visible(new, context, window):
    """The mask of one sequence, written out: which keys (columns) each new token (rows) sees."""
    query, key = np.arange(new)[:, None] + context, np.arange(context + new)[None]
    seen = key <= query
    return seen & (key > query - window) if window else seen


@given(
    layers=st.integers(1, 3),
    windowed=st.integers(0, 3),
    window=st.integers(1, 12),
    batch=st.integers(1, 3),
    new=st.integers(1, 15),
    context=st.integers(0, 20),
)
def test_pairs_are_those_of_the_mask(layers, windowed, window, batch, new, context):
    windowed = min(windowed, layers)
    sight = {"window": window, "windowed_layers": windowed} if windowed else {}
    shape = replace(TINY, layers=layers, attention=Attention(4, 2, 4, **sight))
    pairs = sum(int(visible(new, context, window if layer < windowed else None).sum()) for layer in range(layers))
    # scores and weighted sum: 2 FLOPs each for every number of 4 heads of 4
    assert (
        named(shape, batch=batch, new_tokens=new, context=context)["attention"].flops == batch * pairs * 2 * 2 * 4 * 4
    )
    # without the mask every pair is scored
    whole = batch * layers * visible(new, context, None).size
    assert (
        named(shape, batch=batch, new_tokens=new, context=context, causal=False)["attention"].flops
        == whole * 2 * 2 * 4 * 4
    )


SHAPES = [TINY, WIDE, MIXED, LATENT, replace(WIDE, attention=Attention(16, 4, 4, window=7, windowed_layers=1))]


@given(
    st.sampled_from([s for s in SHAPES if s is not LATENT]), st.integers(1, 12), st.integers(1, 11), st.integers(0, 9)
)
def test_a_prompt_in_two_chunks_is_the_same_arithmetic(shape, new, cut, context):
    """Prefill, a chunk of it and decode are one function: FLOPs add up, only the weights are read twice."""
    cut = min(cut, new)
    parts = [(cut, context), (new - cut, context + cut)] if cut < new else [(new, context)]
    in_parts = sum(total(shape, new_tokens=n, context=c, head_on="all") for n, c in parts)
    assert in_parts == total(shape, new_tokens=new, context=context, head_on="all")


@given(st.sampled_from(SHAPES), st.integers(1, 5), st.integers(1, 5), st.integers(0, 20))
def test_flops_grow_with_the_batch_and_weights_are_shared(shape, batch, new, context):
    sizes = {"new_tokens": new, "context": context}
    assert total(shape, batch=batch, **sizes) == batch * total(shape, **sizes)
    cached = total(shape, "kv_bytes", batch=batch, **sizes)
    assert cached == kv_cache_bytes(shape, batch, context + new)
    if not isinstance(shape.feed_forward, Experts):
        assert total(shape, "weight_bytes", batch=batch, **sizes) == 2 * count_parameters(shape).matmul


@given(st.sampled_from(SHAPES), st.integers(0, 30), st.integers(0, 30))
def test_a_context_that_is_an_average_lies_between(shape, low, high):
    """A step of many sequences is asked for their average context, which need not be whole."""
    one, other = (total(shape, "kv_bytes", new_tokens=1, context=c) for c in (low, high))
    middle = total(shape, "kv_bytes", new_tokens=1, context=(low + high) / 2)
    assert min(one, other) <= middle <= max(one, other)
    if getattr(shape.attention, "window", None) is None:
        assert middle == (one + other) / 2


# Mixture of experts


@pytest.mark.parametrize(("count", "active", "tokens"), [(4, 2, 1), (4, 2, 2), (5, 1, 3), (3, 2, 3), (4, 4, 2)])
def test_experts_met_on_average_over_every_possible_choice(count, active, tokens):
    choices = list(combinations(range(count), active))
    met = [len(set().union(*each)) for each in product(choices, repeat=tokens)]
    average = Fraction(sum(met), len(met))
    shape = replace(MIXED, feed_forward=Experts(count, active, 16))
    row = named(shape, new_tokens=tokens)["expert down"]
    # three layers of 64 x 16; our power of a rounded quotient is off by a few units in the last place: 1e-15 each
    assert row.weights == pytest.approx(float(average) * 3 * 64 * 16, rel=1e-14)
    assert row.flops == 2 * tokens * active * 3 * 64 * 16  # whoever is met, a token visits as many


def test_experts_met_by_a_batch_of_random_choices():
    """64 experts of which a token visits 6, as in DeepSeek-V2-Lite, and a batch of 20."""
    generator, trials = np.random.default_rng(0), 4000
    # 6 of 64 without repetition: the places of the 6 largest of 64 random numbers
    chosen = np.argpartition(generator.random((trials, 20, 64)), 58, axis=-1)[..., 58:]
    met = np.zeros((trials, 64), dtype=bool)
    np.put_along_axis(met, chosen.reshape(trials, -1), True, axis=1)
    shape = replace(MIXED, feed_forward=Experts(64, 6, 16))
    ours = named(shape, new_tokens=1, batch=20)["expert down"].weights / (3 * 64 * 16)
    # Whether an expert is met has a variance of at most 1/4, and meeting one makes meeting another less likely, so the
    # count has at most 64/4. Its mean over 4000 trials then has a standard deviation of at most 4 / sqrt(4000) = .063;
    # five of them.
    assert abs(met.sum(axis=1).mean() - ours) < 5 * math.sqrt(64 / 4 / trials)


def test_many_tokens_meet_every_expert_and_never_more():
    rows = named(MIXED, new_tokens=10_000)
    assert rows["expert down"].weights == 2 * 8 * 64 * 16
    assert sum(o.weights for o in rows.values()) == count_parameters(MIXED).matmul
    one = named(MIXED, new_tokens=1)
    assert sum(o.weights for o in one.values()) == pytest.approx(count_parameters(MIXED).matmul_active, rel=1e-14)


# Latent attention: the two orders of multiplication, made and counted


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def orders(at, batch, new, context):
    """The FLOPs of scores, sums and of the matrix between short and long vectors: unfolded and absorbed."""

    def some(*shape):
        return torch.empty(shape, device="meta")  # shapes only: nothing is computed

    cached, spun = some(batch, 1, context + new, at.kv_rank), some(batch, 1, context + new, at.rope_dim)
    query, query_spun = some(batch, at.heads, new, at.nope_dim), some(batch, at.heads, new, at.rope_dim)
    to_key, to_value = some(1, at.heads, at.kv_rank, at.nope_dim), some(1, at.heads, at.kv_rank, at.value_dim)

    def unfolded():
        keys, values = cached @ to_key, cached @ to_value
        keys = torch.cat([keys, spun.expand(-1, at.heads, -1, -1)], dim=-1)
        return torch.cat([query, query_spun], dim=-1) @ keys.mT @ values

    def absorbed():
        scores = query @ to_key.mT @ cached.mT + query_spun @ spun.mT
        return scores @ cached @ to_value

    assert unfolded().shape == absorbed().shape == (batch, at.heads, new, at.value_dim)
    return counted(unfolded), counted(absorbed)


SMALL = st.integers(1, 12)


@given(
    heads=st.integers(1, 3),
    rank=st.integers(1, 24),
    nope=SMALL,
    rope=SMALL,
    value=SMALL,
    batch=st.integers(1, 2),
    new=st.integers(1, 8),
    context=st.integers(0, 12),
)
@settings(max_examples=60)
def test_latent_attention_takes_the_cheaper_order(heads, rank, nope, rope, value, batch, new, context):
    at = LatentAttention(heads, 0, rank, nope, rope, value)
    rows = named(replace(LATENT, attention=at), batch=batch, new_tokens=new, context=context, causal=False)
    unfolded, absorbed = orders(at, batch, new, context)
    ours = rows["kv up"].flops + sum(o.flops for o in rows.values() if o.role is Role.ATTENTION)
    assert ours == LATENT.layers * min(unfolded, absorbed)
    assert ("attention, unfolded" in rows) == (unfolded < absorbed)


def test_deepseek_v3_unfolds_a_prompt_and_absorbs_a_decode_step():
    at = LatentAttention(128, 1536, 512, 128, 64, 128)
    v3 = Architecture("V3", 61, 7168, 129280, at, FeedForward(18432))
    assert "attention, unfolded" in named(v3, new_tokens=4096)
    decode = named(v3, new_tokens=1, context=4096)
    # 128 heads, over 4097 vectors of 512 + 64 for the scores and 512 for the sum
    assert decode["attention, absorbed"].flops == 61 * 128 * 4097 * 2 * (576 + 512)
    assert decode["attention, absorbed"].kv_bytes == 61 * 4097 * 576 * 2


# Tensor parallelism

REPLICATED = {"router", "query down", "kv down"}  # small, or needed whole by everyone


@pytest.mark.parametrize("shape", [WIDE, MIXED, LATENT, replace(WIDE, parallel_block=True)], ids=lambda s: s.name)
@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.parametrize(
    "sizes", [{"new_tokens": 6}, {"new_tokens": 1, "context": 9, "batch": 3}], ids=["prefill", "decode"]
)
def test_the_devices_together_do_the_work_of_one(shape, devices, sizes):
    alone, shared = named(shape, **sizes), named(shape, **sizes, tensor_parallel=devices)
    assert set(shared) - set(alone) == {"all-reduce"}
    for name, row in alone.items():
        together = 1 if name in REPLICATED else devices
        assert together * shared[name].flops == row.flops, name
        assert together * shared[name].weights == row.weights, name
        assert together * shared[name].weight_bytes == row.weight_bytes, name
    cached, local = (sum(o.kv_bytes for o in rows.values()) for rows in (alone, shared))
    # heads are shared out with their caches; a compressed vector belongs to all heads
    assert local == (cached if shape is LATENT else cached / devices)


@pytest.mark.parametrize("devices", [8, 16])
def test_with_fewer_kv_heads_than_devices_each_is_copied(devices):
    alone, shared = named(WIDE, new_tokens=5), named(WIDE, new_tokens=5, tensor_parallel=devices)
    # 4 KV heads: each of the devices computes its queries and one key and value, and keeps the cache of one KV head
    assert shared["qkv"].flops == 2 * 2 * 5 * 64 * 4 * (16 // devices + 2)
    assert shared["qkv"].weights == 2 * 64 * 4 * (16 // devices + 2)
    assert shared["attention"].kv_bytes == alone["attention"].kv_bytes / 4
    assert shared["attention"].flops == alone["attention"].flops / devices
    assert shared["attention"].group == 16 / devices
    assert alone["attention"].group == 4


def ring_all_reduce(parts):
    """Add up a vector over devices in a ring; return what each then holds, and how many numbers each has passed on."""
    n = len(parts)
    blocks = [list(np.split(part.copy(), n)) for part in parts]
    passed = [0] * n
    for gathering in (False, True):  # first every block is added up at one device, then the sums go round
        for turn in range(n - 1):
            sent = [(device, (device - turn + gathering) % n) for device in range(n)]
            messages = [blocks[device][which].copy() for device, which in sent]
            for (device, which), message in zip(sent, messages, strict=True):
                passed[device] += message.size
                there = blocks[(device + 1) % n]
                there[which] = message if gathering else there[which] + message
    return [np.concatenate(block) for block in blocks], passed


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("parallel_block", [False, True])
def test_bytes_over_the_link_are_those_of_a_ring_that_is_run(devices, parallel_block):
    shape, tokens = replace(WIDE, parallel_block=parallel_block), 3 * 5
    parts = [np.arange(tokens * shape.hidden, dtype=np.int64) * (device + 1) for device in range(devices)]
    held, passed = ring_all_reduce(parts)
    assert all(np.array_equal(each, sum(parts)) for each in held)
    row = named(shape, batch=3, new_tokens=5, tensor_parallel=devices)["all-reduce"]
    # after attention and after the feed-forward, or after both at once
    assert row.calls == 2 * (1 if parallel_block else 2)
    assert {row.link_bytes} == {row.calls * 2 * numbers for numbers in passed}
    assert row.flops == row.bytes == 0


@given(
    kv=st.integers(1, 6),
    group=st.integers(1, 6),
    width=st.integers(1, 64),
    shared=st.integers(0, 32),
    devices=st.integers(1, 16),
)
def test_a_split_is_possible_exactly_where_everything_can_be_shared_out(kv, group, width, shared, devices):
    shape = replace(
        MIXED, attention=Attention(kv * group, kv, 4), feed_forward=Experts(4, 2, width, shared_width=shared)
    )
    possible = kv * group % devices == width % devices == shared % devices == 0
    # whole KV heads on each device, or whole groups of devices on each KV head
    possible = possible and any(math.gcd(kv, devices) == few for few in (kv, devices))
    if possible:
        check_tensor_parallel(shape, devices)
        return
    with pytest.raises(ValueError, match=f"^tensor_parallel {devices} does not divide the ") as error:
        check_tensor_parallel(shape, devices)
    offered = str(error.value).rpartition("; use ")[2].replace(" or ", ", ").split(", ")
    assert "1" in offered
    for choice in offered:
        check_tensor_parallel(shape, int(choice))


# Bad input

CONTEXT = "context must be a finite number of 0 or more"
DEVICES = "tensor_parallel must be a whole number of 1 or more"


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"batch": 0}, ValueError, "batch must be a whole number of 1 or more, got 0; use 1 for a single user"),
        ({"batch": 2.0}, TypeError, "batch must be a whole number of 1 or more, got 2.0; use 1 for a single user"),
        ({"new_tokens": 0}, ValueError, "new_tokens must be a whole number of 1 or more, got 0; a decode step has 1"),
        ({"new_tokens": -5}, ValueError, "new_tokens must be a whole number of 1 or more, got -5; a decode step has 1"),
        ({"context": -1}, ValueError, f"{CONTEXT}, got -1; use 0 for an empty cache"),
        ({"context": math.inf}, ValueError, f"{CONTEXT}, got inf; use 0 for an empty cache"),
        ({"context": math.nan}, ValueError, f"{CONTEXT}, got nan; use 0 for an empty cache"),
        ({"context": "9"}, TypeError, f"{CONTEXT}, got '9'; use 0 for an empty cache"),
        ({"context": True}, TypeError, f"{CONTEXT}, got True; use 0 for an empty cache"),
        ({"weight_bits": 0}, ValueError, "weight_bits must be a finite number above 0, got 0; use 16, 8 or 4.5"),
        ({"kv_bits": -8}, ValueError, "kv_bits must be a finite number above 0, got -8; use 16, 8 or 4"),
        ({"kv_bits": None}, TypeError, "kv_bits must be a finite number above 0, got None; use 16, 8 or 4"),
        (
            {"head_on": "first"},
            ValueError,
            "head_on must be 'last' or 'all', got 'first'; engines compute the head of the last token",
        ),
        ({"tensor_parallel": 0}, ValueError, f"{DEVICES}, got 0; use 1 for a single device"),
        ({"tensor_parallel": 3}, ValueError, "tensor_parallel 3 does not divide the 4 heads of tiny; use 1, 2 or 4"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_operators_say_what_is_wrong(change, kind, message):
    with pytest.raises(kind) as error:
        operators(TINY, **{"new_tokens": 1, **change})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("shape", "devices", "part"),
    [
        (replace(TINY, feed_forward=FeedForward(6)), 4, "feed-forward width 6 of tiny; use 1 or 2"),
        (MIXED, 3, "16 heads of mixed; use 1, 2, 4, 8 or 16"),
        (replace(MIXED, feed_forward=Experts(8, 2, 16, shared_width=3)), 2, "feed-forward width 3 of mixed; use 1"),
        # 12 heads and a width of 24 could be shared out among 6, but 4 KV heads neither fill nor divide 6 devices
        (GROUPED, 6, "groups of heads of grouped; use 1, 2, 4 or 12"),
    ],
)
def test_an_impossible_split_names_possible_ones(shape, devices, part):
    with pytest.raises(ValueError) as error:
        check_tensor_parallel(shape, devices)
    assert str(error.value) == f"tensor_parallel {devices} does not divide the {part}"


def test_stages_hold_at_least_a_layer_each():
    for stages in (1, 2):
        check_pipeline_parallel(WIDE, stages)
    with pytest.raises(ValueError) as error:
        check_pipeline_parallel(WIDE, 3)
    assert str(error.value) == "pipeline_parallel 3 is more than the 2 layers of wide; a stage holds at least one layer"
    with pytest.raises(
        ValueError, match="^pipeline_parallel must be a whole number of 1 or more, got 0; use 1 for a single stage$"
    ):
        check_pipeline_parallel(WIDE, 0)
    with pytest.raises(
        TypeError, match="^tensor_parallel must be a whole number of 1 or more, got 2.0; use 1 for a single device$"
    ):
        check_tensor_parallel(WIDE, 2.0)
