"""A decoder-only transformer that runs, built from the same `Architecture` that the calculator counts.

A block is attention and a gated feed-forward; each reads the hidden state through a root-mean-square norm and adds its
output to it. Every matrix is an `nn.Linear`, so that all code that quantizes, prunes or packs linear layers works here
too. A tied head is also the embedding table, and there is one module for both: a change of the head changes the table.

Source: H. Touvron et al., "LLaMA", 2023, section 2.2; J. Ainslie et al., "GQA", 2023, section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward
from mini_lib.llm.model.attention import SelfAttention
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.rotary import rotary_tables
from mini_lib.llm.model.rows import weight_rows
from mini_lib.llm.model.tokenizer import Tokenizer
from mini_lib.require import not_negative, of_type, positive, shown
from mini_lib.tensor_checks import need_tensor


class GatedFeedForward(nn.Module):
    """down(silu(gate(x)) * up(x)), from `hidden` to `width` and back.

    Source: N. Shazeer, "GLU Variants Improve Transformer", 2020, section 2.
    """

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden, width, bias=False)
        self.up = nn.Linear(hidden, width, bias=False)
        self.down = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class DecoderBlock(nn.Module):
    """One layer: attention, then feed-forward, each added to its input."""

    def __init__(self, architecture: Architecture, norm_eps: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(architecture.hidden, eps=norm_eps)
        self.attention = SelfAttention(architecture.hidden, architecture.attention)
        self.feed_forward_norm = nn.RMSNorm(architecture.hidden, eps=norm_eps)
        self.feed_forward = GatedFeedForward(architecture.hidden, architecture.feed_forward.width)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], cache: KVCache | None = None, layer: int = 0) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary, cache, layer)
        return x + self.feed_forward(self.feed_forward_norm(x))


class LanguageModel(nn.Module):
    """Token ids [batch, tokens] to logits [batch, tokens, vocabulary], float32.

    Args:
        architecture: grouped-query attention without windows, a gated feed-forward, no biases: the design of the Llama
            family.
        rope_base, norm_eps: the base of the rotary angles, and the number that the norms add to the mean square.
        tokenizer: for functions that take text; None where there is none.

    Raises:
        TypeError: not an Architecture, or the base is not a number.
        ValueError: the architecture has a part that is not supported here, which the message names; or the base is
            below 1.

    >>> from mini_lib.llm.cost import Architecture, Attention, FeedForward, count_parameters
    >>> tiny = Architecture("tiny", 2, 8, 16, Attention(heads=2, kv_heads=1, head_dim=4), FeedForward(12), tied=True)
    >>> model = LanguageModel(tiny).eval()
    >>> model(torch.tensor([[3, 1, 4]])).shape
    torch.Size([1, 3, 16])
    >>> sum(one.numel() for one in model.parameters()) == count_parameters(tiny).total
    True
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        rope_base: float = 10_000.0,
        norm_eps: float = 1e-5,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        _check_built_here(architecture)
        rope_base = positive("rope_base", rope_base, fix="10,000 is common; a model's file says it")
        if rope_base < 1:
            raise ValueError(f"rope_base must be 1 or more, got {shown(rope_base)}; 10,000 is common")
        norm_eps = not_negative("norm_eps", norm_eps, fix="1e-5 is common; a model's file says it")
        self.architecture, self.tokenizer = architecture, tokenizer
        self.rope_base, self.norm_eps = rope_base, norm_eps
        hidden, vocabulary = architecture.hidden, architecture.vocabulary
        self.table = None if architecture.tied else nn.Embedding(vocabulary, hidden)
        self.blocks = nn.ModuleList(DecoderBlock(architecture, norm_eps) for _ in range(architecture.layers))
        self.norm = nn.RMSNorm(hidden, eps=norm_eps)
        self.head = nn.Linear(hidden, vocabulary, bias=False)

    def forward(self, tokens: Tensor, cache: KVCache | None = None, *, last_only: bool = False) -> Tensor:
        """Return the logits of the next token after each token, or only after the last one.

        cache: holds the tokens before these, and stores these too; with a cache the batch is 1.

        Raises:
            TypeError: tokens are not whole numbers.
            ValueError: tokens are not [batch, 1 or more], one is not in the vocabulary, or they do not fit the cache.
        """
        self.check_tokens(tokens, cache)
        x = self.embed(tokens)
        rotary = self.rotary(0 if cache is None else cache.length, tokens.shape[1])
        for layer, block in enumerate(self.blocks):
            x = block(x, rotary, cache, layer)
        if cache is not None:
            cache.advance(tokens.shape[1])
        return self.head(self.norm(x[:, -1:] if last_only else x))

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the row of the table for each token, [batch, tokens, hidden]."""
        return weight_rows(self.head, tokens) if self.table is None else self.table(tokens)

    def rotary(self, start: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Return cosines and sines for the positions from `start` on, [tokens, head_dim / 2]."""
        cos, sin = rotary_tables(start + tokens, self.architecture.attention.head_dim, self.rope_base)
        return cos[start:], sin[start:]

    def check_tokens(self, tokens: Tensor, cache: KVCache | None = None) -> None:
        """Refuse tokens that the model cannot take, or for which the cache has no room.

        Raises:
            TypeError, ValueError: as `forward`.
        """
        if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int64, torch.int32):
            got = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
            raise TypeError(
                f"tokens must be a tensor of whole numbers, got {got}; tokenizer.encode(text) gives the ids"
            )
        need_tensor("tokens", tokens, floating=False, empty=True, fix="tokenizer.encode(text) gives the ids")
        if tokens.dim() != 2 or not tokens.numel():
            raise ValueError(f"tokens must be [batch, 1 token or more], got {list(tokens.shape)}; use tokens[None]")
        low, high, vocabulary = int(tokens.min()), int(tokens.max()), self.architecture.vocabulary
        if low < 0 or high >= vocabulary:
            raise ValueError(
                f"token {low if low < 0 else high} is not in the vocabulary, whose ids are 0 to {vocabulary - 1}; "
                "encode the text with this model's own tokenizer"
            )
        if cache is not None:
            of_type("cache", cache, KVCache, fix="use KVCache(lm.architecture, room_tokens=...)")
            cache.check_fits(self.architecture, tokens.shape)


def need_language_model(lm: object) -> None:
    """Refuse anything but a LanguageModel.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(lm, LanguageModel):
        raise TypeError(f"need a LanguageModel, got {type(lm).__name__}; load_language_model(path) gives one")


def _check_built_here(architecture: Architecture) -> None:
    if not isinstance(architecture, Architecture):
        raise TypeError(f"need an Architecture, got {type(architecture).__name__}; find_model('llama-3-8b') gives one")
    a, at, ff = architecture, architecture.attention, architecture.feed_forward
    foreign = {
        f"{type(at).__name__} attention": not isinstance(at, Attention),
        f"{type(ff).__name__}": not isinstance(ff, FeedForward),
        "a feed-forward without a gate": not getattr(ff, "gated", True),
        "biases": any(
            getattr(part, name, False)
            for part, name in ((at, "qkv_bias"), (at, "out_bias"), (ff, "bias"), (a, "norm_bias"), (a, "head_bias"))
        ),
        "norms of queries and keys": getattr(at, "qk_norm", False),
        "heads of an odd number of numbers": getattr(at, "head_dim", 0) % 2 == 1,
        "windowed layers": getattr(at, "windowed_layers", 0) > 0,
        "a parallel block": a.parallel_block,
        f"{a.norms_per_layer} norms per layer": a.norms_per_layer != 2,
    }
    if found := [what for what, there in foreign.items() if there]:
        raise ValueError(
            f"{a.name} has {' and '.join(found)}, which LanguageModel does not build; it builds the Llama "
            "family (the calculator takes this architecture all the same)"
        )
