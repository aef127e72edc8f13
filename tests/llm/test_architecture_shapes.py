"""Shapes of models, their matrices and their parameters: by hand, as properties, and what bad shapes are told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.cost.matrices import matrices
from mini_lib.llm.cost.parameters import count_parameters

DENSE = Architecture("dense", 2, 16, 10, Attention(heads=4, kv_heads=2, head_dim=4), FeedForward(8))
MIXED = Architecture(
    "mixed", 3, 8, 10, Attention(2, 1, 4), Experts(4, 2, 6, shared_width=5, dense_layers=1, dense_width=7)
)
LATENT = Architecture(
    "latent",
    1,
    10,
    20,
    LatentAttention(3, query_rank=5, kv_rank=4, nope_dim=2, rope_dim=2, value_dim=3),
    FeedForward(6),
)


def table(architecture):
    return {m.name: (m.rows, m.columns, m.layers, m.copies, m.visited, m.split) for m in matrices(architecture)}


def test_matrices_of_a_dense_model_by_hand():
    assert table(DENSE) == {
        "qkv": ((4 + 2 + 2) * 4, 16, 2, 1, 1, "rows"),
        "attention out": (16, 4 * 4, 2, 1, 1, "columns"),
        "gate and up": (8 + 8, 16, 2, 1, 1, "rows"),
        "down": (16, 8, 2, 1, 1, "columns"),
        "head": (10, 16, 1, 1, 1, "rows"),
    }


def test_matrices_of_experts_by_hand():
    rows = table(MIXED)
    assert list(rows) == [
        "qkv",
        "attention out",
        "dense gate and up",
        "dense down",
        "router",
        "shared gate and up",
        "shared down",
        "expert gate and up",
        "expert down",
        "head",
    ]
    assert rows["dense gate and up"] == (14, 8, 1, 1, 1, "rows")
    assert rows["router"] == (4, 8, 2, 1, 1, "none")  # every device needs to know who goes where
    assert rows["shared down"] == (8, 5, 2, 1, 1, "columns")
    assert rows["expert gate and up"] == (12, 8, 2, 4, 2, "rows")
    assert rows["expert down"] == (8, 6, 2, 4, 2, "columns")


def test_matrices_of_latent_attention_by_hand():
    rows = table(LATENT)
    assert rows["query down"] == (5, 10, 1, 1, 1, "none")
    assert rows["query up"] == (3 * (2 + 2), 5, 1, 1, 1, "rows")
    assert rows["kv down"] == (4 + 2, 10, 1, 1, 1, "none")
    assert rows["kv up"] == (3 * (2 + 3), 4, 1, 1, 1, "rows")
    assert rows["attention out"] == (10, 3 * 3, 1, 1, 1, "columns")
    whole_queries = table(replace(LATENT, attention=replace(LATENT.attention, query_rank=0)))
    assert whole_queries["query"] == (12, 10, 1, 1, 1, "rows")
    assert not {"query down", "query up"} & set(whole_queries)


def test_no_gate_is_one_matrix_fewer():
    plain = replace(DENSE, feed_forward=FeedForward(8, gated=False))
    assert table(plain)["up"] == (8, 16, 2, 1, 1, "rows")
    assert FeedForward(8).matrices == Experts(2, 1, 8).matrices == 3
    assert FeedForward(8, gated=False).matrices == Experts(2, 1, 8, gated=False).matrices == 2
    assert count_parameters(DENSE).total - count_parameters(plain).total == 2 * 16 * 8


def test_parameters_of_a_dense_model_by_hand():
    count = count_parameters(DENSE)
    assert count.embedding == count.head == 160
    assert count.attention == 2 * (16 * 16 + 2 * 16 * 8 + 16 * 16)
    assert count.feed_forward == 2 * 3 * 16 * 8
    assert count.norms == (2 * 2 + 1) * 16
    assert count.total == count.active == 160 + 1536 + 768 + 80 + 160
    # the embedding is looked up and the norms multiply number by number
    assert count.matmul == count.matmul_active == 1536 + 768 + 160


def test_parameters_of_experts_by_hand():
    count = count_parameters(MIXED)
    # 1 dense layer of width 7; in 2 layers a router, a shared expert of width 5, and 4 experts of width 6
    assert count.feed_forward == 3 * 8 * 7 + 2 * (4 * 8 + 3 * 8 * 5 + 4 * 3 * 8 * 6)
    assert MIXED.expert_layers == 2
    assert DENSE.expert_layers == 0
    # a token leaves out 2 of the 4 experts in 2 layers
    assert count.total - count.active == count.matmul - count.matmul_active == 2 * 2 * 3 * 8 * 6


def test_parameters_of_latent_attention_by_hand():
    # down and up for the queries, down and up for keys and values, out, and a norm for each of the two short vectors
    assert count_parameters(LATENT).attention == 5 * 10 + 12 * 5 + 6 * 10 + 15 * 4 + 10 * 9 + (5 + 4)


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"tied": True}, -160),
        ({"head_bias": True}, 10),
        ({"norm_bias": True}, 5 * 16),
        ({"norms_per_layer": 4}, 2 * 2 * 16),
        ({"parallel_block": True}, 0),
        ({"attention": Attention(4, 2, 4, qkv_bias=True)}, 2 * 32),
        ({"attention": Attention(4, 2, 4, out_bias=True)}, 2 * 16),
        ({"attention": Attention(4, 2, 4, qk_norm=True)}, 2 * (4 + 4)),
        ({"attention": Attention(4, 2, 4, window=3, windowed_layers=1)}, 0),
        ({"attention": Attention(4, 4, 4)}, 2 * 2 * (2 * 4) * 16),
        ({"feed_forward": FeedForward(8, bias=True)}, 2 * (8 + 8 + 16)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_a_detail_adds(change, more):
    changed = count_parameters(replace(DENSE, **change))
    assert changed.total - count_parameters(DENSE).total == more


def test_a_tied_head_is_stored_once_and_still_multiplied():
    tied = count_parameters(replace(DENSE, tied=True))
    assert tied.head == 0
    assert tied.matmul == count_parameters(DENSE).matmul


@given(
    kv=st.integers(1, 4),
    group=st.integers(1, 4),
    head_dim=st.integers(1, 9),
    layers=st.integers(1, 4),
    hidden=st.integers(1, 40),
    words=st.integers(1, 50),
    width=st.integers(1, 60),
)
def test_the_formula_of_a_llama(kv, group, head_dim, layers, hidden, words, width):
    """Embedding and head; query, key, value, out, three feed-forward matrices, two norms per layer; and a last norm."""
    heads = kv * group
    shape = Architecture("any", layers, hidden, words, Attention(heads, kv, head_dim), FeedForward(width))
    a_layer = 2 * hidden * heads * head_dim + 2 * hidden * kv * head_dim + 3 * hidden * width + 2 * hidden
    assert count_parameters(shape).total == 2 * words * hidden + layers * a_layer + hidden
    assert shape.attention.group == group


@given(count=st.integers(1, 9), active=st.integers(1, 9), dense=st.integers(0, 3))
def test_a_token_meets_all_parameters_or_fewer(count, active, dense):
    active = min(active, count)
    experts = Experts(count, active, 6, dense_layers=dense, dense_width=7 if dense else 0)
    c = count_parameters(replace(MIXED, feed_forward=experts))
    assert c.active <= c.total
    assert (c.active == c.total) == (active == count or dense == MIXED.layers)


def test_a_shape_is_a_name_and_cannot_be_changed():
    assert str(DENSE) == "dense"
    with pytest.raises(AttributeError):
        DENSE.layers = 3
    assert hash(DENSE) == hash(replace(DENSE))  # so that results can be remembered by shape


CONFIG = "copy it from the model's config.json"
UNEVEN = "kv_heads must divide heads: 4 does not divide {}; each KV head serves the same number of query heads"
LONE_WINDOW = "window and windowed_layers go together, got {} and {}; give both or neither"
LONE_DENSE = "dense_layers and dense_width go together, got {} and {}; give both or neither"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Attention(0, 1, 4), f"heads must be a whole number of 1 or more, got 0; {CONFIG}"),
        (lambda: Attention(4, -1, 4), f"kv_heads must be a whole number of 1 or more, got -1; {CONFIG}"),
        (lambda: Attention(4, 1, 0), f"head_dim must be a whole number of 1 or more, got 0; {CONFIG}"),
        (lambda: Attention(6, 4, 4), UNEVEN.format(6)),
        (lambda: Attention(2, 4, 4), UNEVEN.format(2)),
        (lambda: Attention(4, 4, 4, window=8), LONE_WINDOW.format(8, 0)),
        (lambda: Attention(4, 4, 4, windowed_layers=2), LONE_WINDOW.format(None, 2)),
        (
            lambda: Attention(4, 4, 4, window=0, windowed_layers=2),
            "window must be a whole number of 1 or more, got 0; use None where every layer sees the whole context",
        ),
        (
            lambda: Attention(4, 4, 4, window=8, windowed_layers=-1),
            "windowed_layers must be a whole number of 0 or more, got -1; "
            "use 0 where every layer sees the whole context",
        ),
        (lambda: LatentAttention(0, 5, 4, 2, 2, 3), f"heads must be a whole number of 1 or more, got 0; {CONFIG}"),
        (lambda: LatentAttention(3, 5, 0, 2, 2, 3), f"kv_rank must be a whole number of 1 or more, got 0; {CONFIG}"),
        (lambda: LatentAttention(3, 5, 4, 2, 0, 3), f"rope_dim must be a whole number of 1 or more, got 0; {CONFIG}"),
        (
            lambda: LatentAttention(3, -1, 4, 2, 2, 3),
            "query_rank must be a whole number of 0 or more, got -1; use 0 where queries are not compressed",
        ),
        (
            lambda: FeedForward(0),
            "width must be a whole number of 1 or more, got 0; copy intermediate_size from the model's config.json",
        ),
        (lambda: Experts(0, 1, 6), f"count must be a whole number of 1 or more, got 0; {CONFIG}"),
        (lambda: Experts(4, 0, 6), f"active must be a whole number of 1 or more, got 0; {CONFIG}"),
        (
            lambda: Experts(4, 5, 6),
            "active must not exceed count, got 5 of 4 experts; a token visits each at most once",
        ),
        (
            lambda: Experts(4, 2, 6, shared_width=-1),
            "shared_width must be a whole number of 0 or more, got -1; use 0 where there is none",
        ),
        (lambda: Experts(4, 2, 6, dense_layers=1), LONE_DENSE.format(1, 0)),
        (lambda: Experts(4, 2, 6, dense_width=7), LONE_DENSE.format(0, 7)),
        (lambda: replace(DENSE, layers=0), f"layers must be a whole number of 1 or more, got 0; {CONFIG}"),
        (lambda: replace(DENSE, hidden=-16), f"hidden must be a whole number of 1 or more, got -16; {CONFIG}"),
        (lambda: replace(DENSE, vocabulary=0), f"vocabulary must be a whole number of 1 or more, got 0; {CONFIG}"),
        (
            lambda: replace(DENSE, norms_per_layer=-1),
            "norms_per_layer must be a whole number of 0 or more, got -1; most models have 2",
        ),
        (
            lambda: replace(DENSE, attention=Attention(4, 4, 4, window=8, windowed_layers=3)),
            "dense has 2 layers, but 3 are called windowed or dense; count again",
        ),
        (
            lambda: replace(MIXED, layers=1, feed_forward=replace(MIXED.feed_forward, dense_layers=2)),
            "mixed has 1 layers, but 2 are called windowed or dense; count again",
        ),
    ],
)
def test_a_shape_that_cannot_be_says_why(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("make", "start"),
    [
        (lambda: Attention(4.0, 2, 4), "heads must be a whole number of 1 or more, got 4.0;"),
        (lambda: Attention(4, True, 4), "kv_heads must be a whole number of 1 or more, got True;"),
        (lambda: LatentAttention(3, None, 4, 2, 2, 3), "query_rank must be a whole number of 0 or more, got None;"),
        (lambda: FeedForward("8"), "width must be a whole number of 1 or more, got '8';"),
        (lambda: Experts(4, 2.5, 6), "active must be a whole number of 1 or more, got 2.5;"),
        (lambda: replace(DENSE, hidden=16.0), "hidden must be a whole number of 1 or more, got 16.0;"),
        (
            lambda: count_parameters("llama-3-8b"),
            "architecture must be of type Architecture, got 'llama-3-8b'; find_model",
        ),
    ],
)
def test_what_is_not_a_whole_number_or_a_shape_is_named(make, start):
    with pytest.raises(TypeError) as error:
        make()
    assert str(error.value).startswith(start)
