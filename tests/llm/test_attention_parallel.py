"""Sequences shared out instead of heads: a small mixture of experts on two devices, by hand."""

from dataclasses import replace

import pytest

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward
from mini_lib.llm.cost.devices import find_device
from mini_lib.llm.cost.memory import held_kv_bytes_per_token, memory
from mini_lib.llm.cost.models import DEEPSEEK_V3, LLAMA_3_8B, MIXTRAL_8X7B
from mini_lib.llm.cost.operators import operators
from mini_lib.llm.cost.roles import Role
from mini_lib.llm.cost.workload import Workload

SMALL = Architecture("small", 2, 16, 32, Attention(4, 1, 4), Experts(8, 2, 24))
H100 = find_device("H100-SXM-80GB")


def by_role(**how):
    return {row.role: row for row in operators(SMALL, batch=4, new_tokens=1, context=10, **how) if row.flops}


def test_two_devices_together_do_the_work_of_one():
    alone, shared = by_role(), by_role(tensor_parallel=2, attention_parallel="data")
    for role in (Role.QKV, Role.ATTENTION, Role.ATTENTION_OUT, Role.EXPERT, Role.HEAD):
        assert 2 * shared[role].flops == pytest.approx(alone[role].flops, rel=1e-12)


def test_each_device_reads_all_of_the_attention_and_half_of_the_experts():
    alone, shared = by_role(), by_role(tensor_parallel=2, attention_parallel="data")
    assert shared[Role.QKV].weight_bytes == alone[Role.QKV].weight_bytes
    assert shared[Role.EXPERT].weight_bytes == pytest.approx(alone[Role.EXPERT].weight_bytes / 2, rel=1e-12)
    # half of the sequences, with the one KV head that two devices would hold twice
    assert shared[Role.ATTENTION].kv_bytes == alone[Role.ATTENTION].kv_bytes / 2
    assert by_role(tensor_parallel=2)[Role.ATTENTION].kv_bytes == alone[Role.ATTENTION].kv_bytes


def test_a_token_travels_to_its_experts_and_back():
    """Each of two experts of a token lies on the other device with 1/2: at least one there with 3/4.

    2 layers, 2 tokens of each device, 3/4 of them, 16 numbers of 2 bytes, there and back.
    """
    (exchange,) = (
        row
        for row in operators(SMALL, batch=4, new_tokens=1, tensor_parallel=2, attention_parallel="data")
        if row.role is Role.COLLECTIVE
    )
    assert (exchange.name, exchange.calls) == ("all-to-all", 2)
    assert exchange.link_bytes == pytest.approx(2 * 2 * 0.75 * 16 * 2 * 2, rel=1e-12)


def test_without_experts_nothing_is_exchanged():
    dense = Architecture("dense", 2, 16, 32, Attention(4, 1, 4), FeedForward(24))
    rows = operators(dense, batch=4, new_tokens=1, tensor_parallel=2, attention_parallel="data")
    assert not any(row.role is Role.COLLECTIVE for row in rows)


def test_the_cache_is_shared_out_and_the_attention_held_whole():
    tensor, data = (Workload(batch=4, tensor_parallel=2, attention_parallel=way) for way in ("tensor", "data"))
    # two of four sequences on each device, or the one KV head of all of them, which both hold
    held = {way: memory(SMALL, H100, asked) for way, asked in (("tensor", tensor), ("data", data))}
    assert held["data"].kv_bytes == held["tensor"].kv_bytes / 2
    assert held_kv_bytes_per_token(SMALL, data) == held_kv_bytes_per_token(SMALL, tensor) == 2 * 2 * 4 * 2
    # per layer 24 x 16 and 16 x 16 whole instead of halved but for the copied KV head, and the head of 32 x 16, the
    # table too: 2 * (24 * 16 + 16 * 16) / 2 less what is copied anyway (8 x 16 / 2), and 2 * 32 * 16 / 2, of 2 bytes
    more = held["data"].weights_bytes - held["tensor"].weights_bytes
    assert more == 2 * (2 * ((24 * 16 + 16 * 16) / 2 - 8 * 16 / 2) + 2 * 32 * 16 / 2)


@pytest.mark.parametrize("batch, fullest", [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_a_sequence_lies_whole_on_one_device_and_the_fullest_decides(batch, fullest):
    """Of five sequences on two devices one has three: its rows are those of three alone, but for the experts."""
    rows, alone = (
        {row.role: row for row in operators(SMALL, batch=n, new_tokens=3, context=10, **how)}
        for n, how in ((batch, {"tensor_parallel": 2, "attention_parallel": "data"}), (fullest, {}))
    )
    for role in (Role.EMBEDDING, Role.QKV, Role.ATTENTION, Role.ATTENTION_OUT, Role.HEAD):
        assert rows[role] == alone[role]
    # the experts serve the tokens of both, two of width 24 each, and half of each expert is here; the last row of that
    # role is the matrix down, of 24 x 16
    assert rows[Role.EXPERT].flops == pytest.approx(2 * 2 * batch * 3 * 2 * 24 * 16 / 2, rel=1e-12)
    # fullest x 3 tokens in each of 2 layers travel there and back, as 16 numbers of 2 bytes, 3/4 of them
    assert rows[Role.COLLECTIVE].link_bytes == pytest.approx(2 * fullest * 3 * 0.75 * 16 * 2 * 2, rel=1e-12)


@pytest.mark.parametrize("batch, fullest", [(1, 1), (3, 2), (4, 2), (5, 3)])
def test_the_fullest_device_holds_whole_caches_and_what_they_share(batch, fullest):
    """Of a token 2 x 4 numbers of 2 bytes in each of 2 layers; the cached prompt is on every device."""
    asked = Workload(batch, 10, 6, tensor_parallel=2, attention_parallel="data", cached_prompt=4)
    held = memory(SMALL, H100, asked)
    assert held.kv_bytes == (fullest * (10 - 4 + 6) + 4) * 2 * 8 * 2
    # four numbers of 16 for each new token and the widest product: 2 experts of 2 x 24 rows, undivided
    assert held.activation_bytes == fullest * 6 * (4 * 16 + 2 * 48) * 2


def test_dense_layers_in_front_of_experts_work_on_their_own_sequences():
    """One dense layer of width 20 and one of experts: norms and sums of own tokens, activations as each is shared."""
    both = Architecture("both", 2, 16, 32, Attention(4, 1, 4), Experts(8, 2, 24, dense_layers=1, dense_width=20))
    rows = operators(both, batch=3, new_tokens=1, tensor_parallel=2, attention_parallel="data")
    (small,) = (row for row in rows if row.role is Role.ELEMENTWISE)
    assert small.activation_bytes == (2 * 8 * 2 * 16 + 3 * (2 * 20 + 3 * 2 * 24 / 2)) * 2


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="attention_parallel must be"):
        Workload(attention_parallel="expert")
    with pytest.raises(ValueError, match="attention_parallel must be"):
        operators(SMALL, new_tokens=1, attention_parallel="expert")


def test_where_sequences_are_shared_out_the_heads_divide_no_number_of_devices():
    asked = Workload(batch=6, tensor_parallel=3, attention_parallel="data")
    assert memory(LLAMA_3_8B, H100, asked).kv_bytes == memory(LLAMA_3_8B, H100, Workload(batch=2)).kv_bytes
    assert operators(LLAMA_3_8B, new_tokens=1, tensor_parallel=3, attention_parallel="data")
    # 256 experts on so many devices, of a model of 128 heads
    assert operators(DEEPSEEK_V3, batch=256, new_tokens=1, tensor_parallel=256, attention_parallel="data")
    with pytest.raises(
        ValueError, match="tensor_parallel 3 does not divide the 8 experts of Mixtral-8x7B; use 1, 2, 4"
    ):
        memory(MIXTRAL_8X7B, H100, asked)
    with pytest.raises(ValueError, match="does not divide the 32 heads"):
        memory(LLAMA_3_8B, H100, replace(asked, attention_parallel="tensor"))
