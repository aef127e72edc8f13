"""The KV cache: the keys and values of all tokens so far, so that a new token computes only its own.

At 32 bits they are kept as they are. At 8 and 4 bits each token's numbers are rounded in small groups, each with its
own step and lowest value in float16: value = low + step * code. A new token never changes the codes of an old one.

Source: Z. Liu et al., "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache", 2024, section 3 (groups of one
token's numbers; KIVI groups keys across tokens instead, which needs a buffer of unrounded ones).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.kernels import LayerCache
from mini_lib.llm.cost.architecture import Architecture, Attention
from mini_lib.require import shown, whole


class KVCache:
    """A cache for `room_tokens` tokens of one sequence; `layers` holds the keys and values of each layer.

    No gradient passes a cache.

    Raises:
        TypeError: not an Architecture with grouped-query attention, or a count is not a whole number.
        ValueError: bits are not 32, 8 or 4, there is no room, or the group size does not divide head_dim.

    >>> from mini_lib.llm.cost import FeedForward
    >>> tiny = Architecture("tiny", 2, 8, 16, Attention(heads=2, kv_heads=1, head_dim=4), FeedForward(12))
    >>> cache = KVCache(tiny, room_tokens=10, bits=8, group_size=4)
    >>> cache.bytes_per_token                              # 2 layers, key and value: 4 codes and two numbers of 2 bytes
    32
    """

    def __init__(self, architecture: Architecture, room_tokens: int, bits: int = 32, group_size: int = 32) -> None:
        attention = getattr(architecture, "attention", None)
        if not isinstance(attention, Attention):
            raise TypeError(
                f"need an Architecture with grouped-query attention, got {type(architecture).__name__}; "
                "pass lm.architecture"
            )
        room_tokens = whole("room_tokens", room_tokens, low=1, fix="count the prompt and what is to come")
        bits = whole("bits", bits, fix="it is 32, 8 or 4")
        self.architecture, self.room_tokens, self.bits = architecture, room_tokens, bits
        self.layers = tuple(
            LayerCache.empty(attention.kv_heads, room_tokens, attention.head_dim, bits, group_size)
            for _ in range(architecture.layers)
        )
        self.length = 0

    @property
    def bytes_per_token(self) -> int:
        """The bytes that one token adds to the cache, steps and lowest values included."""
        return sum(layer.stored_bytes for layer in self.layers) // self.room_tokens

    @torch.no_grad()
    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append new tokens to a layer, and return all of its tokens as they are kept.

        keys, values: float32 [kv_heads, tokens, head_dim]. `advance` counts the tokens, once all layers have them.

        Raises:
            TypeError, ValueError: there is no such layer, or as `LayerCache.write`.
        """
        layer = whole("layer", layer, low=0, high=len(self.layers) - 1, fix="layers are counted from 0")
        self.layers[layer].write(self.length, keys, values)
        return self.layers[layer].read(self.length + keys.shape[1])

    def advance(self, tokens: int) -> None:
        """Count tokens that all layers have appended.

        Raises:
            TypeError, ValueError: not a whole number from 0 to the room that is left.
        """
        self.length += whole("tokens", tokens, low=0, high=self.room_tokens - self.length, fix="append them first")

    def shorten(self, length: int) -> None:
        """Forget the tokens after the first `length`: rejected proposals of a draft, say.

        Raises:
            TypeError, ValueError: not a whole number from 0 to the present length.
        """
        length = whole("length", length, low=0, fix="0 empties the cache")
        if length > self.length:
            raise ValueError(f"the cache holds {self.length} tokens, and {length} were to stay; give at most that many")
        self.length = length

    def check_grids(self, length: int) -> None:
        """Refuse keys and values among the first `length` tokens that the steps of 8 or 4 bits could not hold.

        A kernel in C cannot raise: it writes a step that is NaN or infinite, and every value read with that step is
        NaN.

        Raises:
            ValueError: there is one; the message says where.
        """
        for number, layer in enumerate(self.layers):
            for name, grid in {"key": layer.key_grid, "value": layer.value_grid}.items():
                if grid is not None and not grid[..., :length].isfinite().all():
                    token = int((~grid[..., :length].isfinite()).flatten(0, 2).any(0).nonzero()[0])
                    raise ValueError(
                        f"a {name} of token {token} in layer {number} is NaN, infinite or too large for the steps of a "
                        f"cache of {self.bits} bits, which are float16; find out where it comes from, or use 32 bits"
                    )

    def check_fits(self, architecture: Architecture, shape: tuple[int, int]) -> None:
        """Refuse tokens [batch, tokens] of another architecture, of several sequences, or for which there is no room.

        Raises:
            ValueError: the tokens are of one of these kinds.
        """
        if not isinstance(shape, tuple) or len(shape) != 2:
            raise TypeError(f"shape must be a pair (batch, tokens), got {shown(shape)}; use tokens.shape")
        batch, tokens = shape
        if not isinstance(architecture, Architecture) or architecture != self.architecture:
            raise ValueError(f"the cache was made for {self.architecture}, and this is {architecture}; make a new one")
        if batch != 1:
            raise ValueError(f"a cache holds one sequence, got a batch of {batch}; use one cache for each")
        if self.length + tokens > self.room_tokens:
            raise ValueError(
                f"the cache has room for {self.room_tokens} tokens and holds {self.length}; {tokens} more do not fit: "
                "make it with a larger room_tokens"
            )
