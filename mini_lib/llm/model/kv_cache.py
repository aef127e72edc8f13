"""The KV cache: the keys and values of all tokens so far, so that a new token computes its own alone.

At 32 bits they are kept as they are. At 8 and 4 bits each token's numbers are rounded in small groups, each with a step
and a lowest value of its own in float16: value = low + step * code. A new token never changes the codes of an old one.

Source: Z. Liu et al., "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache", 2024, section 3 (groups of one
token's numbers; KIVI groups keys across tokens instead, which needs a buffer of unrounded ones).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.kernels.kv_codes import kv_codes, kv_values
from mini_lib.llm.cost.architecture import Architecture, Attention
from mini_lib.require import one_of, whole

KV_WIDTHS = (32, 8, 4)


class KVCache:
    """Room for `room_tokens` tokens of one sequence.

    keys, values: for each layer the tensors that hold them. At 32 bits one, float32 [kv_heads, room, head_dim]; below,
    three: codes uint8 [kv_heads, room, head_dim * bits / 8], steps and lows float16 [kv_heads, room, groups].

    Raises:
        TypeError: not an Architecture with grouped-query attention, or a count is not a whole number.
        ValueError: bits other than 32, 8 and 4, no room, or a group size that does not divide head_dim.

    >>> from mini_lib.llm.cost import FeedForward
    >>> tiny = Architecture("tiny", 2, 8, 16, Attention(heads=2, kv_heads=1, head_dim=4), FeedForward(12))
    >>> cache = KVCache(tiny, room_tokens=10, bits=8, group_size=4)
    >>> cache.bytes_per_token                               # 2 layers, key and value: 4 codes and two numbers of 2 bytes
    32
    """

    def __init__(self, architecture: Architecture, room_tokens: int, bits: int = 32, group_size: int = 32) -> None:
        attention = getattr(architecture, "attention", None)
        if not isinstance(attention, Attention):
            raise TypeError(
                f"need an Architecture with grouped-query attention, got {type(architecture).__name__}; "
                "pass lm.architecture"
            )
        whole("room_tokens", room_tokens, low=1, fix="count the prompt and what is to come")
        one_of("bits", bits, KV_WIDTHS, fix="32 keeps the numbers as they are")
        whole("group_size", group_size, low=1, fix="32 is common")
        if bits < 32 and attention.head_dim % group_size:
            raise ValueError(f"group_size {group_size} does not divide head_dim ({attention.head_dim}); use a divisor")
        self.architecture, self.room_tokens, self.bits, self.group_size = architecture, room_tokens, bits, group_size
        self.length = 0
        self.keys, self.values = (tuple(self._empty(attention) for _ in range(architecture.layers)) for _ in range(2))

    def _empty(self, attention: Attention) -> tuple[Tensor, ...]:
        rows = attention.kv_heads, self.room_tokens
        if self.bits == 32:
            return (torch.zeros(*rows, attention.head_dim),)
        codes = torch.zeros(*rows, attention.head_dim * self.bits // 8, dtype=torch.uint8)
        groups = attention.head_dim // self.group_size
        return codes, *(torch.zeros(*rows, groups, dtype=torch.float16) for _ in range(2))

    @property
    def bytes_per_token(self) -> int:
        """What one token leaves in the cache, steps and lows included."""
        parts = [part for layers in (self.keys, self.values) for layer in layers for part in layer]
        return sum(part.nbytes for part in parts) // self.room_tokens

    def append(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Write new tokens of a layer [kv_heads, tokens, head_dim] after those that are there; `advance` counts them."""
        new = slice(self.length, self.length + keys.shape[1])
        for kept, fresh in ((self.keys[layer], keys), (self.values[layer], values)):
            parts = (fresh,) if self.bits == 32 else kv_codes(fresh, self.bits, self.group_size)
            for whole_part, part in zip(kept, parts):
                whole_part[:, new] = part

    def read(self, layer: int, new_tokens: int = 0) -> tuple[Tensor, Tensor]:
        """Return keys and values of a layer, float32 [kv_heads, length + new_tokens, head_dim]."""
        end = self.length + new_tokens
        kept = ([part[:, :end] for part in parts[layer]] for parts in (self.keys, self.values))
        return tuple(parts[0] if self.bits == 32 else kv_values(*parts, self.bits) for parts in kept)

    def advance(self, tokens: int) -> None:
        """Count tokens that all layers have appended."""
        self.length += tokens

    def shorten(self, length: int) -> None:
        """Forget the tokens after the first `length`: drafted ones that were not accepted, say.

        Raises:
            TypeError, ValueError: not a whole number from 0 to the present length.
        """
        whole("length", length, low=0, fix="0 empties the cache")
        if length > self.length:
            raise ValueError(f"the cache holds {self.length} tokens, and {length} were to stay; give at most that many")
        self.length = length

    def check_fits(self, architecture: Architecture, shape: tuple[int, int]) -> None:
        """Refuse tokens [batch, tokens] of another architecture, of several sequences, or for which there is no room.

        Raises:
            ValueError: as said.
        """
        batch, tokens = shape
        if architecture != self.architecture:
            raise ValueError(f"the cache was made for {self.architecture}, and this is {architecture}; make a new one")
        if batch != 1:
            raise ValueError(f"a cache holds one sequence, got a batch of {batch}; use one cache for each")
        if self.length + tokens > self.room_tokens:
            raise ValueError(
                f"the cache has room for {self.room_tokens} tokens and holds {self.length}; {tokens} more do not fit: "
                "make it with a larger room_tokens"
            )
