"""The shape of a decoder-only transformer: everything that its cost depends on, and nothing else.

Source: Vaswani et al., "Attention Is All You Need", 2017; Shazeer, "Fast Transformer Decoding" (multi-query),
2019; Ainslie et al., "GQA", 2023; Jiang et al., "Mixtral of Experts", 2024; DeepSeek-AI, "DeepSeek-V3", 2024.
"""

from dataclasses import dataclass

from mini_lib.require import checked, of_type, whole


@dataclass(frozen=True)
class Attention:
    """Attention in which groups of query heads share the keys and values of one KV head.

    With as many KV heads as heads it is multi-head attention, with one it is multi-query, and in between grouped-query.
    In `windowed_layers` of the layers a token sees only the last `window` tokens.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is below 1, or `kv_heads` does not divide `heads`.

    >>> Attention(heads=32, kv_heads=8, head_dim=128).group
    4
    """

    heads: int
    kv_heads: int
    head_dim: int
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    window: int | None = None
    windowed_layers: int = 0

    def __post_init__(self) -> None:
        for name in ("heads", "kv_heads", "head_dim"):
            checked(self, name, whole, low=1, fix="copy it from the model's config.json")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads must divide heads: {self.kv_heads} does not divide {self.heads}; "
                "each KV head serves the same number of query heads"
            )
        for name in ("qkv_bias", "out_bias", "qk_norm"):
            of_type(name, getattr(self, name), bool, fix="it is there or not")
        checked(self, "windowed_layers", whole, low=0, fix="use 0 where every layer sees the whole context")
        if self.window is not None:
            checked(self, "window", whole, low=1, fix="use None where every layer sees the whole context")
        if (self.window is None) != (self.windowed_layers == 0):
            raise ValueError(
                f"window and windowed_layers go together, got {self.window} and {self.windowed_layers}; "
                "give both or neither"
            )

    @property
    def group(self) -> int:
        """How many query heads read one KV head."""
        return self.heads // self.kv_heads


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention: keys and values are cached as one short vector, and expanded when used.

    A token adds `kv_rank + rope_dim` numbers to the cache of each layer, whatever the number of heads.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is below 1 (`query_rank` may be 0: then queries are not compressed).

    Source: DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1.
    """

    heads: int
    query_rank: int
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int

    def __post_init__(self) -> None:
        for name in ("heads", "kv_rank", "nope_dim", "rope_dim", "value_dim"):
            checked(self, name, whole, low=1, fix="copy it from the model's config.json")
        checked(self, "query_rank", whole, low=0, fix="use 0 where queries are not compressed")


@dataclass(frozen=True)
class FeedForward:
    """Two matrices (up, down), or three with a gate, between `hidden` and `width`.

    Raises:
        TypeError: `width` is not a whole number.
        ValueError: `width` is below 1.
    """

    width: int
    gated: bool = True
    bias: bool = False

    def __post_init__(self) -> None:
        checked(self, "width", whole, low=1, fix="copy intermediate_size from the model's config.json")
        for name in ("gated", "bias"):
            of_type(name, getattr(self, name), bool, fix="it is there or not")

    @property
    def matrices(self) -> int:
        """How many matrices of hidden x width there are."""
        return 3 if self.gated else 2


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: a router sends each token to `active` of `count` feed-forwards.

    Every token also passes through a shared one of `shared_width`, where there is one. The first
    `dense_layers` layers have a single feed-forward of `dense_width` instead.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is too small, `active` exceeds `count`, or dense layers have no width.

    >>> Experts(count=8, active=2, width=14336).matrices
    3
    """

    count: int
    active: int
    width: int
    gated: bool = True
    shared_width: int = 0
    dense_layers: int = 0
    dense_width: int = 0

    def __post_init__(self) -> None:
        for name in ("count", "active", "width"):
            checked(self, name, whole, low=1, fix="copy it from the model's config.json")
        for name in ("shared_width", "dense_layers", "dense_width"):
            checked(self, name, whole, low=0, fix="use 0 where there is none")
        of_type("gated", self.gated, bool, fix="it is there or not")
        if self.active > self.count:
            raise ValueError(
                f"active must not exceed count, got {self.active} of {self.count} experts; "
                "a token visits each at most once"
            )
        if (self.dense_layers == 0) != (self.dense_width == 0):
            raise ValueError(
                f"dense_layers and dense_width go together, got {self.dense_layers} and {self.dense_width}; "
                "give both or neither"
            )

    @property
    def matrices(self) -> int:
        """How many matrices an expert has."""
        return 3 if self.gated else 2


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer, with the fields that its cost depends on.

    `tied`: the output head is the embedding table. `parallel_block`: attention and feed-forward read the same input, so
    tensor parallelism exchanges once per layer instead of twice. `published_parameters` is the makers' count, and
    `source` says where the shape was read.

    Raises:
        TypeError: a count is not a whole number, or a part is of another type.
        ValueError: a count is below 1, or more layers are windowed or dense than there are.

    >>> tiny = Architecture("tiny", 2, 8, 16, Attention(heads=2, kv_heads=1, head_dim=4), FeedForward(32))
    >>> tiny.layers, tiny.attention.group
    (2, 2)
    """

    name: str
    layers: int
    hidden: int
    vocabulary: int
    attention: Attention | LatentAttention
    feed_forward: FeedForward | Experts
    tied: bool = False
    norms_per_layer: int = 2
    norm_bias: bool = False
    head_bias: bool = False
    parallel_block: bool = False
    published_parameters: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        of_type("name", self.name, str, fix="call it as its makers do")
        for name in ("layers", "hidden", "vocabulary"):
            checked(self, name, whole, low=1, fix="copy it from the model's config.json")
        of_type(
            "attention", self.attention, (Attention, LatentAttention), fix="use Attention(heads, kv_heads, head_dim)"
        )
        of_type("feed_forward", self.feed_forward, (FeedForward, Experts), fix="use FeedForward(width)")
        for name in ("tied", "norm_bias", "head_bias", "parallel_block"):
            of_type(name, getattr(self, name), bool, fix="it is so or not")
        of_type("source", self.source, str, fix="say where the shape was read")
        checked(self, "norms_per_layer", whole, low=0, fix="most models have 2")
        if self.published_parameters is not None:
            checked(self, "published_parameters", whole, low=1, fix="use None where the makers do not say")
        windowed = getattr(self.attention, "windowed_layers", 0)
        dense = getattr(self.feed_forward, "dense_layers", 0)
        if (most := max(windowed, dense)) > self.layers:
            raise ValueError(
                f"{self.name} has {self.layers} layers, but {most} are called windowed or dense; count again"
            )

    @property
    def expert_layers(self) -> int:
        """How many layers hold a mixture of experts."""
        return self.layers - self.feed_forward.dense_layers if isinstance(self.feed_forward, Experts) else 0

    def __str__(self) -> str:
        return self.name


def need_architecture(value: object) -> Architecture:
    """Return `value` if it is an `Architecture`.

    Raises:
        TypeError: it is something else.

    >>> need_architecture("llama-3-8b")
    Traceback (most recent call last):
    TypeError: architecture must be of type Architecture, got 'llama-3-8b'; find_model('llama-3-8b') gives one
    """
    return of_type("architecture", value, Architecture, fix="find_model('llama-3-8b') gives one")
