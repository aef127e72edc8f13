"""The KV cache: the numbers that a token leaves in every layer for the tokens after it."""

from mini_lib.llm.cost.architecture import Architecture, Attention, need_architecture
from mini_lib.llm.cost.limits import bits
from mini_lib.require import whole


def kv_numbers_per_token(architecture: Architecture) -> int:
    """Return how many numbers one token adds to one layer's cache.

    A key and a value for each KV head; latent attention keeps one compressed vector for all heads.

    >>> from mini_lib.llm.cost.models import DEEPSEEK_V3, LLAMA_3_8B
    >>> kv_numbers_per_token(LLAMA_3_8B), kv_numbers_per_token(DEEPSEEK_V3)
    (2048, 576)
    """
    at = architecture.attention
    return 2 * at.kv_heads * at.head_dim if isinstance(at, Attention) else at.kv_rank + at.rope_dim


def kv_bytes_per_token(architecture: Architecture, kv_bits: float = 16) -> float:
    """Return the bytes that one more token adds to the cache of all layers, while it fits in every window.

    Raises:
        TypeError, ValueError: not an Architecture, or `kv_bits` is not a number above 0.

    Llama-3-8B: key and value, 32 layers, 8 KV heads of 128 numbers of 2 bytes, so 2 * 32 * 8 * 128 * 2:

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> kv_bytes_per_token(LLAMA_3_8B)
    131072.0

    Source: Pope et al., "Efficiently Scaling Transformer Inference", 2022, section 2.
    """
    kv_bits = bits("kv_bits", kv_bits, fix="use 16, 8 or 4")
    return need_architecture(architecture).layers * kv_numbers_per_token(architecture) * kv_bits / 8


def kv_cache_bytes(architecture: Architecture, batch: int, context: int, kv_bits: float = 16) -> float:
    """Return the bytes of the cache of `batch` sequences of `context` tokens each.

    A windowed layer keeps at most its window.

    Raises:
        TypeError, ValueError: not an Architecture, `batch` below 1, `context` below 0, or `kv_bits` not above 0.

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> kv_cache_bytes(LLAMA_3_8B, batch=4, context=1000) == 4 * 1000 * 131072
    True
    """
    need_architecture(architecture)
    batch = whole("batch", batch, low=1, fix="use 1 for a single user")
    context = whole("context", context, low=0, fix="use 0 for an empty cache")
    kv_bits = bits("kv_bits", kv_bits, fix="use 16, 8 or 4")
    return batch * kv_numbers_per_token(architecture) * kv_bits / 8 * kept_tokens(architecture, context)


def kept_tokens(architecture: Architecture, context: float) -> float:
    """Return how many tokens the caches of all layers hold together: layers times context, less where windows cut it.

    Two layers, one of which sees only 4 tokens, after 10:

    >>> from mini_lib.llm.cost.architecture import FeedForward
    >>> kept_tokens(Architecture("w", 2, 4, 8, Attention(1, 1, 4, window=4, windowed_layers=1), FeedForward(8)), 10)
    14
    """
    at = architecture.attention
    if not isinstance(at, Attention) or at.window is None:
        return architecture.layers * context
    return (architecture.layers - at.windowed_layers) * context + at.windowed_layers * min(context, at.window)
