"""A decode step made as a plan: every buffer is made once, and a step is a list of calls that are already bound.

A decode step does little at a time. Called as modules, a layer of a small model spends more time in Python and in torch
than on its matrices: some 15 calls of 5 to 10 microseconds, in each of 30 layers. All shapes are known before the first
step, though. So a plan lays out where each result goes and binds each kernel to its places; then a step runs down the
list. Engines call this a static graph (a CUDA graph is one). What a step computes stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from mini_lib.kernels import bind_add_rms_norm, bind_attend, bind_packed_linear, bind_rms_norm, bind_swiglu
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.rotary import rotary_tables
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.quantize.packed import PackedLinear
from mini_lib.require import whole

Call = Callable[[], object]


class DecodePlan:
    """A decode step of one model with one cache.

    `calls` are the parts of a step in order, each with the name of what it does: "norm", "attention" and "activation"
    are C kernels, the others products with a matrix. The model's layers are float (`nn.Linear`) or packed
    (`pack_for_speed`), one like the other.

    Args:
        lm: in eval mode. The plan reads its weights where they lie: it copies none.
        cache: holds the prompt by the time of the first step; steps read it and add to it.
        threads: of the products with packed matrices. Those with float matrices run in torch, on torch's threads.

    Raises:
        TypeError: not a LanguageModel, or not a KVCache.
        ValueError: the cache was made for another architecture, a layer is neither float nor packed, or threads is
            below 1.
        NoCompiler: threads are asked for, and the compiler has no OpenMP.
    """

    def __init__(self, lm: LanguageModel, cache: KVCache, *, threads: int = 1) -> None:
        if not isinstance(lm, LanguageModel) or not isinstance(cache, KVCache):
            raise TypeError(f"need a LanguageModel and a KVCache, got {type(lm).__name__} and {type(cache).__name__}")
        whole("threads", threads, low=1, fix="1 is one core")
        if cache.architecture != lm.architecture:
            raise ValueError(
                f"the cache was made for {cache.architecture}, and this is {lm.architecture}; make a new one"
            )
        self.lm, self.cache, self.threads = lm, cache, threads
        a, at = lm.architecture, lm.architecture.attention
        self._position = torch.zeros(1, dtype=torch.int64)
        self._x = torch.zeros(1, a.hidden)  # what the layers add to
        self._read = torch.zeros(1, a.hidden)  # what a matrix reads, after the norm
        self._qkv = torch.zeros((at.heads + 2 * at.kv_heads) * at.head_dim)
        self._mixed = torch.zeros(at.heads * at.head_dim)
        self._gate_up = torch.zeros(1, 2 * a.feed_forward.width)
        self._gated = torch.zeros(1, a.feed_forward.width)
        self._added = torch.zeros(1, a.hidden)
        self._scores = torch.zeros(at.group * (cache.room_tokens + 7))
        self._tables = rotary_tables(cache.room_tokens, at.head_dim, lm.rope_base)
        self.logits = torch.zeros(1, a.vocabulary)
        self.calls = tuple(self._planned())

    def _planned(self) -> list[tuple[str, Call]]:
        lm, eps = self.lm, self.lm.norm_eps
        norms = [norm.weight for block in lm.blocks for norm in (block.attention_norm, block.feed_forward_norm)]
        norms = iter([*norms, lm.norm.weight])
        calls: list[tuple[str, Call]] = [("norm", bind_rms_norm(self._x, next(norms), self._read, eps))]
        for number, block in enumerate(lm.blocks):
            attention, feed_forward, name = block.attention, block.feed_forward, f"blocks.{number}"
            at = lm.architecture.attention
            q, k, v = self._qkv[None].split([n * at.head_dim for n in (at.heads, at.kv_heads, at.kv_heads)], dim=1)
            gate, up = self._gate_up.chunk(2, dim=1)
            calls += [
                ("query", self._product(f"{name}.attention.query", attention.query, self._read, q)),
                ("key", self._product(f"{name}.attention.key", attention.key, self._read, k)),
                ("value", self._product(f"{name}.attention.value", attention.value, self._read, v)),
                ("attention", self._attend(number)),
                ("attention out", self._product(f"{name}.attention.out", attention.out, self._mixed[None], self._added)),
                ("norm", bind_add_rms_norm(self._x, self._added, next(norms), self._read, eps)),
                ("gate", self._product(f"{name}.feed_forward.gate", feed_forward.gate, self._read, gate)),
                ("up", self._product(f"{name}.feed_forward.up", feed_forward.up, self._read, up)),
                ("activation", bind_swiglu(self._gate_up, self._gated)),
                ("down", self._product(f"{name}.feed_forward.down", feed_forward.down, self._gated, self._added)),
                ("norm", bind_add_rms_norm(self._x, self._added, next(norms), self._read, eps)),
            ]
        return [*calls, ("head", self._product("head", lm.head, self._read, self.logits))]

    def _attend(self, layer: int) -> Call:
        return bind_attend(
            self._qkv, self._position, *self._tables, self.cache.layers[layer], self._scores, self._mixed
        )

    def _product(self, name: str, layer: nn.Module, x: Tensor, y: Tensor) -> Call:
        """A call of y = layer(x), for one row."""
        if isinstance(layer, PackedLinear):
            return bind_packed_linear(layer.matrix, x, y, threads=self.threads)
        if type(layer) is not nn.Linear or layer.bias is not None:
            raise ValueError(
                f"layer '{name}' is a {type(layer).__name__}, and a plan takes nn.Linear without bias and PackedLinear; "
                "call pack_for_speed(lm) where it is quantized, or use lm(tokens, cache)"
            )
        return partial(torch.mv, layer.weight.detach(), x[0], out=y[0])

    @torch.no_grad()
    def step(self, token: int) -> Tensor:
        """Return the logits of the token after `token`, float32 [vocabulary]; the next step writes over them.

        Raises:
            ValueError: the token is not in the vocabulary, or the cache is full.
        """
        token = torch.tensor([[token]])
        self.lm.check_tokens(token, self.cache)
        self._position[0] = self.cache.length
        self._x.copy_(self.lm.embed(token)[0])
        for _, call in self.calls:
            call()
        self.cache.advance(1)
        return self.logits[0]
