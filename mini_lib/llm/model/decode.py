"""A decode step as a plan: every buffer is made once, and a step is a list of calls with their arguments bound.

A decode step does many small pieces of work. Called as modules, a layer of a small model spends more time in Python and
in torch than on its matrices: some 15 calls of 5 to 10 microseconds, in each of 30 layers. But all shapes are known
before the first step. So a plan decides where each result goes and binds each kernel to its buffers; a step then runs
down the list. Engines call this a static graph (a CUDA graph is one). The result of a step stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

import torch
from torch import Tensor, nn

from mini_lib.kernels import (
    attend_scratch,
    bind_add_rms_norm,
    bind_attend,
    bind_packed_linear,
    bind_rms_norm,
    bind_swiglu,
    thread_count,
)
from mini_lib.llm.model.as_built import need_as_built, need_evaluated
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.rotary import rotary_tables
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.llm.model.windows import token_ids
from mini_lib.plain import why_not_plain
from mini_lib.quantize.packed import PackedLinear
from mini_lib.require import whole

Call = Callable[[], object]


class DecodePlan:
    """A pass over the next `tokens` tokens of one model with one cache: one token in decode, several to check a draft.

    `calls` are the parts of a pass in order, each with the name of its work: "norm", "attention" and "activation" are C
    kernels, "join" puts results next to each other, and the others are products with a matrix. The model's layers are
    float (`nn.Linear`) or packed (`pack_for_speed`), or some of each. Where all are packed, a pass over several tokens
    gives the same logits, bit for bit, as a pass for each of them.

    Args:
        lm: in eval mode. The plan reads its weights in place and copies none. Once a weight or a part of the cache has
            been replaced by another tensor, a pass refuses, and you have to make a new plan.
        cache: holds the prompt by the time of the first pass; a pass reads it and adds to it.
        tokens: how many tokens a pass takes.
        threads: for attention and for products with packed matrices. Products with float matrices run in torch, on
            torch's threads.

    Raises:
        TypeError: not a LanguageModel, or not a KVCache.
        ValueError: the cache was made for another architecture; the model is in training mode, holds modules that it
            was not built from, or one with hooks or a `forward` of its own; a layer is neither float nor packed; or a
            count is below 1.
        NoCompiler: threads are asked for, and the compiler has no OpenMP.
    """

    def __init__(self, lm: LanguageModel, cache: KVCache, *, tokens: int = 1, threads: int = 1) -> None:
        if not isinstance(lm, LanguageModel) or not isinstance(cache, KVCache):
            got = f"{type(lm).__name__} and {type(cache).__name__}"
            raise TypeError(
                f"need a LanguageModel and a KVCache, got {got}; use KVCache(lm.architecture, room_tokens=...)"
            )
        tokens = whole("tokens", tokens, low=1, high=cache.room_tokens, fix="a decode step has 1")
        threads = thread_count(threads)
        cache.check_fits(lm.architecture, (1, 0))
        need_as_built(lm, "a plan", fix="use lm(tokens, cache)")
        need_evaluated(lm)
        self.lm, self.cache, self.tokens, self.threads = lm, cache, tokens, threads
        a, at = lm.architecture, lm.architecture.attention
        width, row = a.feed_forward.width, (at.heads + 2 * at.kv_heads) * at.head_dim
        self._positions = torch.zeros(tokens, dtype=torch.int64)
        self._scratch = attend_scratch(cache.layers[0], at.heads, threads)
        self._rotary = rotary_tables(cache.room_tokens, at.head_dim, lm.rope_base)
        # the residual stream; the input of a matrix after the norm; the output of attention and feed-forward
        self._x, self._read, self._added = (torch.zeros(tokens, a.hidden) for _ in range(3))
        self._qkv, self._mixed = torch.zeros(tokens, row), torch.zeros(tokens, at.heads * at.head_dim)
        self._gate_up, self._gated = torch.zeros(tokens, 2 * width), torch.zeros(tokens, width)
        self.logits = torch.zeros(tokens, a.vocabulary)
        self.calls = tuple(self._planned())
        owners = [*(each for one in lm.modules() for each in (one._parameters, one._buffers)), *map(vars, cache.layers)]
        self._parts = [(owner, key) for owner in owners for key, part in owner.items() if isinstance(part, Tensor)]
        self._bound = self._places()

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("a plan is bound to the memory of its model and its cache; make another one for their copies")

    def _places(self) -> list[object]:
        """The addresses of everything that the calls read, and the other settings that they were made with."""
        parts = [owner[key] for owner, key in self._parts]
        return [*(part is not None and part.data_ptr() for part in parts), self.lm.rope_base, self.lm.training]

    def _planned(self) -> list[tuple[str, Call]]:
        lm = self.lm
        norms = [norm for block in lm.blocks for norm in (block.attention_norm, block.feed_forward_norm)]
        norms = iter([*norms, lm.norm])

        def add_norm() -> Call:
            norm = next(norms)
            return bind_add_rms_norm(self._x, self._added, norm.weight.detach(), self._read, norm.eps)

        first = next(norms)
        calls: list[tuple[str, Call]] = [("norm", bind_rms_norm(self._x, first.weight.detach(), self._read, first.eps))]
        for number, block in enumerate(lm.blocks):
            attention, feed_forward, name = block.attention, block.feed_forward, f"blocks.{number}"
            calls += self._products(f"{name}.attention", attention, ("query", "key", "value"), self._qkv)
            calls += [("attention", self._attend(number, token)) for token in range(self.tokens)]
            calls += [
                ("attention out", self._product(f"{name}.attention.out", attention.out, self._mixed, self._added)),
                ("norm", add_norm()),
                *self._products(f"{name}.feed_forward", feed_forward, ("gate", "up"), self._gate_up),
                ("activation", bind_swiglu(self._gate_up, self._gated)),
                ("down", self._product(f"{name}.feed_forward.down", feed_forward.down, self._gated, self._added)),
                ("norm", add_norm()),
            ]
        return [*calls, ("head", self._product("head", lm.head, self._read, self.logits))]

    def _products(self, name: str, module: nn.Module, parts: tuple[str, ...], rows: Tensor) -> list[tuple[str, Call]]:
        """Products of several matrices with the same input, their outputs next to each other in each row."""
        layers = [getattr(module, part) for part in parts]
        places = rows.split([_outputs(f"{name}.{part}", layer) for part, layer in zip(parts, layers)], dim=1)
        if self.tokens == 1:  # each part of the only row is contiguous memory
            outputs, join = places, []
        else:
            outputs = tuple(torch.zeros(place.shape) for place in places)
            join = [("join", partial(torch.cat, outputs, dim=1, out=rows))]
        each = zip(parts, layers, outputs)
        return [*((part, self._product(f"{name}.{part}", layer, self._read, y)) for part, layer, y in each), *join]

    def _attend(self, layer: int, token: int) -> Call:
        position, cache = self._positions[token : token + 1], self.cache.layers[layer]
        mixed = self._mixed[token]
        return bind_attend(self._qkv[token], position, *self._rotary, cache, self._scratch, mixed, self.threads)

    def _product(self, name: str, layer: nn.Module, x: Tensor, y: Tensor) -> Call:
        """A call of y = layer(x)."""
        _outputs(name, layer)
        if isinstance(layer, PackedLinear):
            return bind_packed_linear(layer.matrix, x, y, threads=self.threads)
        weight = layer.weight.detach()
        if self.tokens == 1:
            return partial(torch.mv, weight, x[0], out=y[0])
        return partial(torch.mm, x, weight.T, out=y)

    @property
    def weight_bytes(self) -> int:
        """The bytes of matrices that a pass reads, scales included."""
        packed = (layer.matrix.stored_bytes for layer in self.lm.modules() if isinstance(layer, PackedLinear))
        return sum(packed) + sum(layer.weight.nbytes for layer in self.lm.modules() if isinstance(layer, nn.Linear))

    @torch.no_grad()
    def run(self, tokens: Sequence[int]) -> Tensor:
        """Return the logits after each of the tokens, float32 [tokens, vocabulary]; the next pass overwrites them.

        Raises:
            TypeError: they are not whole numbers.
            ValueError: there are not as many as planned, one is not in the vocabulary, the cache has no room, a key or
                value is NaN, infinite or too large for a cache of 8 or 4 bits (the message names the layer), or a
                weight or a part of the cache is no longer the tensor that the plan was made with.
        """
        if self._places() != self._bound:
            raise ValueError(
                "a weight of the model or a part of the cache was replaced after the plan was made, or the model is in "
                "training mode now; make a new plan, DecodePlan(lm, cache)"
            )
        tokens = token_ids(tokens)
        if len(tokens) != self.tokens:
            raise ValueError(f"the plan takes {self.tokens} tokens, got {len(tokens)}; make a plan for that many")
        ids = torch.tensor([tokens])
        self.lm.check_tokens(ids, self.cache)
        torch.arange(self.cache.length, self.cache.length + self.tokens, out=self._positions)
        self._x.copy_(self.lm.embed(ids)[0])
        for _, call in self.calls:
            call()
        if self.cache.bits != 32 and not self.logits.max().isfinite():  # NaN counts as the largest
            self.cache.check_grids(self.cache.length + self.tokens)
        self.cache.advance(self.tokens)
        return self.logits

    def step(self, token: int) -> Tensor:
        """Return the logits after one token, float32 [vocabulary]; the next step overwrites them.

        Raises:
            ValueError: as `run`.
        """
        return self.run((token,))[0]


def _outputs(name: str, layer: nn.Module) -> int:
    """The number of a layer's outputs, after a check that a plan takes it."""
    if isinstance(layer, PackedLinear):
        return layer.weight_shape[0]
    if type(layer) is not nn.Linear or layer.bias is not None or why_not_plain(layer):
        raise ValueError(
            f"layer '{name}' is a {type(layer).__name__}, and a plan takes plain nn.Linear without bias, and "
            "PackedLinear; call pack_for_speed(lm) where it is quantized, or use lm(tokens, cache)"
        )
    return layer.out_features
