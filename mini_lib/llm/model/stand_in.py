"""A model of random weights, for a machine without the real one: everything runs, but the text makes no sense."""

from __future__ import annotations

import torch
from tokenizers import pre_tokenizers

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward
from mini_lib.llm.model.tokenizer import Tokenizer
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.require import whole

_END = "<end>"


def stand_in(seed: int = 0) -> LanguageModel:
    """Return a small model with random weights, for which each byte of a text is a token.

    >>> lm = stand_in()
    >>> lm.tokenizer.decode(lm.tokenizer.encode("Grüße")), lm.architecture.layers
    ('Grüße', 4)
    """
    seed = whole("seed", seed, low=0, fix="any whole number will do")
    tokens = [_END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    shape = Architecture("stand-in", 4, 64, len(tokens), Attention(3, 1, 32), FeedForward(128), tied=True)
    tokenizer = Tokenizer(tokens, [], control=[_END], end=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LanguageModel(shape, tokenizer=tokenizer).requires_grad_(False).eval()
