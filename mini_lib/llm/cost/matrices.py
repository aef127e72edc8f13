"""The matrices of a model, one per row: a token is multiplied by each of them, in each of its layers.

Parameters, FLOPs and bytes are all read from this one list, so that they cannot disagree.
"""

from dataclasses import dataclass

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts
from mini_lib.llm.cost.roles import Role


@dataclass(frozen=True)
class WeightMatrix:
    """A matrix of `rows` x `columns` in each of `layers` layers: it takes `columns` numbers and returns `rows`.

    A layer has `copies` of it, of which a token visits `visited`: with a mixture of experts these differ. `split` says
    how tensor parallelism divides it: by "rows" (each device computes a part of the output), by "columns" (each takes a
    part of the input, and the results are added up over the link), or not at all.

    >>> down = WeightMatrix("expert down", Role.EXPERT, rows=4096, columns=14336, layers=32, copies=8, visited=2)
    >>> down.parameters // 10**6, down.visited_parameters // 10**6
    (15032, 3758)
    """

    name: str
    role: Role
    rows: int
    columns: int
    layers: int = 1
    copies: int = 1
    visited: int = 1
    split: str = "rows"

    @property
    def parameters(self) -> int:
        """The count of its numbers, over all layers and copies."""
        return self.rows * self.columns * self.layers * self.copies

    @property
    def visited_parameters(self) -> int:
        """The count of numbers that one token is multiplied by: one MAC each."""
        return self.rows * self.columns * self.layers * self.visited


def matrices(architecture: Architecture) -> tuple[WeightMatrix, ...]:
    """Return every matrix that a token is multiplied by, in order. The embedding is looked up, not multiplied.

    Llama-like, with 2 KV heads for 4 heads of 8, hidden 32, width 64: query, key and value are one
    product of (4 + 2 + 2) * 8 rows.

    >>> from mini_lib.llm.cost.architecture import FeedForward
    >>> tiny = Architecture("tiny", 3, 32, 100, Attention(4, 2, 8), FeedForward(64))
    >>> [(m.name, m.rows, m.columns) for m in matrices(tiny)]
    [('qkv', 64, 32), ('attention out', 32, 32), ('gate and up', 128, 32), ('down', 32, 64), ('head', 100, 32)]
    """
    head = WeightMatrix("head", Role.HEAD, architecture.vocabulary, architecture.hidden)
    return (*_attention(architecture), *_feed_forward(architecture), head)


def _attention(a: Architecture) -> tuple[WeightMatrix, ...]:
    at, n = a.attention, a.layers

    def out(value_dim: int) -> WeightMatrix:
        return WeightMatrix("attention out", Role.ATTENTION_OUT, a.hidden, at.heads * value_dim, n, split="columns")

    if isinstance(at, Attention):
        qkv = (at.heads + 2 * at.kv_heads) * at.head_dim
        return WeightMatrix("qkv", Role.QKV, qkv, a.hidden, n), out(at.head_dim)
    queries = at.heads * (at.nope_dim + at.rope_dim)
    if at.query_rank:
        query = (
            WeightMatrix("query down", Role.LATENT, at.query_rank, a.hidden, n, split="none"),
            WeightMatrix("query up", Role.LATENT, queries, at.query_rank, n),
        )
    else:
        query = (WeightMatrix("query", Role.LATENT, queries, a.hidden, n),)
    return (
        *query,
        WeightMatrix("kv down", Role.LATENT, at.kv_rank + at.rope_dim, a.hidden, n, split="none"),
        WeightMatrix("kv up", Role.UNFOLD, at.heads * (at.nope_dim + at.value_dim), at.kv_rank, n),
        out(at.value_dim),
    )


def _feed_forward(a: Architecture) -> tuple[WeightMatrix, ...]:
    ff = a.feed_forward
    if not isinstance(ff, Experts):
        return _block("", Role.MLP, a.hidden, ff.width, ff.gated, a.layers)
    n = a.expert_layers
    dense = _block("dense ", Role.MLP, a.hidden, ff.dense_width, ff.gated, ff.dense_layers) if ff.dense_layers else ()
    router = WeightMatrix("router", Role.EXPERT, ff.count, a.hidden, n, split="none")
    shared = _block("shared ", Role.EXPERT, a.hidden, ff.shared_width, ff.gated, n) if ff.shared_width else ()
    experts = _block("expert ", Role.EXPERT, a.hidden, ff.width, ff.gated, n, ff.count, ff.active)
    return (*dense, router, *shared, *experts)


def _block(
    prefix: str, role: Role, hidden: int, width: int, gated: bool, layers: int, copies: int = 1, visited: int = 1
) -> tuple[WeightMatrix, ...]:
    # gate and up read the same input, and engines multiply by both at once
    name, rows = ("gate and up", 2 * width) if gated else ("up", width)
    return (
        WeightMatrix(f"{prefix}{name}", role, rows, hidden, layers, copies, visited),
        WeightMatrix(f"{prefix}down", role, hidden, width, layers, copies, visited, split="columns"),
    )
