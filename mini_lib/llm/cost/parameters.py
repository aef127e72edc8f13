"""How many parameters an architecture has, and how many of them one token uses."""

from dataclasses import dataclass

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward, need_architecture
from mini_lib.llm.cost.matrices import matrices
from mini_lib.llm.cost.roles import PROJECTIONS, Role


@dataclass(frozen=True)
class ParameterCount:
    """The parameters of a model by kind.

    `head` is 0 where the head is the embedding table. `matmul` counts the parameters that take part in a matrix
    product, always including the head; `matmul_active` counts those that one token uses.
    """

    embedding: int
    attention: int
    feed_forward: int
    norms: int
    head: int
    matmul: int
    matmul_active: int

    @property
    def total(self) -> int:
        """All parameters: the number that must be stored."""
        return self.embedding + self.attention + self.feed_forward + self.norms + self.head

    @property
    def active(self) -> int:
        """The parameters that one token uses: the total without the experts that it does not visit."""
        return self.total - (self.matmul - self.matmul_active)


def count_parameters(architecture: Architecture) -> ParameterCount:
    """Return the parameters of `architecture`, by kind.

    Raises:
        TypeError: not an Architecture.

    Hidden 4, one head of 4, width 8 without gate, vocabulary 10, one layer: the embedding 40, attention 4 * 16,
    feed-forward 2 * 32, three norms of 4, and a head of its own of 40:

    >>> tiny = Architecture("tiny", 1, 4, 10, Attention(1, 1, 4), FeedForward(8, gated=False))
    >>> count_parameters(tiny).total, count_parameters(tiny).matmul
    (220, 168)
    """
    a = need_architecture(architecture)
    rows = matrices(a)
    kinds = (PROJECTIONS, (Role.MLP, Role.EXPERT), (Role.HEAD,))
    attention, feed_forward, head = (sum(m.parameters for m in rows if m.role in roles) for roles in kinds)
    norm = a.hidden * (2 if a.norm_bias else 1)
    return ParameterCount(
        embedding=a.vocabulary * a.hidden,
        attention=attention + a.layers * _attention_vectors(a),
        feed_forward=feed_forward + a.layers * _feed_forward_vectors(a),
        norms=(a.layers * a.norms_per_layer + 1) * norm,
        head=(0 if a.tied else head) + (a.vocabulary if a.head_bias else 0),
        matmul=sum(m.parameters for m in rows),
        matmul_active=sum(m.visited_parameters for m in rows),
    )


def _attention_vectors(a: Architecture) -> int:
    at = a.attention
    if not isinstance(at, Attention):
        return at.query_rank + at.kv_rank  # the norms of the two compressed vectors
    bias = (at.heads + 2 * at.kv_heads) * at.head_dim if at.qkv_bias else 0
    return bias + (a.hidden if at.out_bias else 0) + (2 * at.head_dim if at.qk_norm else 0)


def _feed_forward_vectors(a: Architecture) -> int:
    ff = a.feed_forward
    if isinstance(ff, FeedForward) and ff.bias:
        return ff.width * (ff.matrices - 1) + a.hidden
    return 0
