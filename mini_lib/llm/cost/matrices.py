"""The matrices of a model, each a row: what a token is multiplied with, and how often.

Parameters, FLOPs and bytes are all read from this one list, so that they cannot disagree.
"""

from dataclasses import dataclass

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts


@dataclass(frozen=True)
class Matrix:
    """A matrix of `rows` x `columns` in each of `layers` layers: it takes `columns` numbers and gives `rows`.

    `copies` stand side by side in a layer, of which a token visits `visited`: with a mixture of experts
    these differ. Tensor parallelism splits it by `split`: by "rows" (each device gives a part of the output),
    by "columns" (each takes a part of the input, and the results are added up over the link), or not at all.

    >>> down = Matrix("expert down", rows=4096, columns=14336, layers=32, copies=8, visited=2)
    >>> down.parameters // 10**6, down.visited_parameters // 10**6
    (15032, 3758)
    """

    name: str
    rows: int
    columns: int
    layers: int = 1
    copies: int = 1
    visited: int = 1
    split: str = "rows"

    @property
    def parameters(self) -> int:
        """All its numbers, over all layers and copies."""
        return self.rows * self.columns * self.layers * self.copies

    @property
    def visited_parameters(self) -> int:
        """The numbers that one token is multiplied with: one MAC each."""
        return self.rows * self.columns * self.layers * self.visited


def matrices(architecture: Architecture) -> tuple[Matrix, ...]:
    """Return every matrix that a token is multiplied with, the head last. The embedding is looked up, not multiplied.

    Llama-like, with 2 KV heads for 4 heads of 8, hidden 32, width 64: query, key and value are one
    product of (4 + 2 + 2) * 8 rows.

    >>> from mini_lib.llm.cost.architecture import FeedForward
    >>> tiny = Architecture("tiny", 3, 32, 100, Attention(4, 2, 8), FeedForward(64))
    >>> [(m.name, m.rows, m.columns, m.layers) for m in matrices(tiny)]
    [('qkv', 64, 32, 3), ('attention out', 32, 32, 3), ('gate and up', 128, 32, 3), ('down', 32, 64, 3), ('head', 100, 32, 1)]
    """
    return (
        *_attention(architecture),
        *_feed_forward(architecture),
        Matrix("head", architecture.vocabulary, architecture.hidden),
    )


def _attention(a: Architecture) -> tuple[Matrix, ...]:
    at, n = a.attention, a.layers
    if isinstance(at, Attention):
        qkv = (at.heads + 2 * at.kv_heads) * at.head_dim
        return Matrix("qkv", qkv, a.hidden, n), Matrix(
            "attention out", a.hidden, at.heads * at.head_dim, n, split="columns"
        )
    per_head = at.nope_dim + at.rope_dim
    query = (
        (
            Matrix("query down", at.query_rank, a.hidden, n, split="none"),
            Matrix("query up", at.heads * per_head, at.query_rank, n),
        )
        if at.query_rank
        else (Matrix("query", at.heads * per_head, a.hidden, n),)
    )
    return (
        *query,
        Matrix("kv down", at.kv_rank + at.rope_dim, a.hidden, n, split="none"),
        Matrix("kv up", at.heads * (at.nope_dim + at.value_dim), at.kv_rank, n),
        Matrix("attention out", a.hidden, at.heads * at.value_dim, n, split="columns"),
    )


def _feed_forward(a: Architecture) -> tuple[Matrix, ...]:
    ff = a.feed_forward
    if not isinstance(ff, Experts):
        return _block("", a.hidden, ff.width, ff.gated, a.layers)
    n = a.expert_layers
    dense = _block("dense ", a.hidden, ff.dense_width, ff.gated, ff.dense_layers) if ff.dense_layers else ()
    shared = _block("shared ", a.hidden, ff.shared_width, ff.gated, n) if ff.shared_width else ()
    router = Matrix("router", ff.count, a.hidden, n, split="none")
    return (*dense, router, *shared, *_block("expert ", a.hidden, ff.width, ff.gated, n, ff.count, ff.active))


def _block(
    prefix: str, hidden: int, width: int, gated: bool, layers: int, copies: int = 1, visited: int = 1
) -> tuple[Matrix, ...]:
    # gate and up read the same input, and engines multiply with both at once
    first = Matrix(
        f"{prefix}gate and up" if gated else f"{prefix}up", width * (2 if gated else 1), hidden, layers, copies, visited
    )
    return first, Matrix(f"{prefix}down", hidden, width, layers, copies, visited, split="columns")
