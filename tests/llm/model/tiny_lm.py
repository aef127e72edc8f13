"""The tiny language model with a wider feed-forward, and tokens for it: for tests of what compresses one."""

import torch
from tiny_language_models import TOKENS, tiny_architecture, tiny_model

from mini_lib.llm.model.transformer import LanguageModel

VOCABULARY = len(TOKENS)


def tiny_lm(*, kv_heads: int = 2, dtype: torch.dtype = torch.float32) -> LanguageModel:
    return tiny_model(tiny_architecture(kv_heads=kv_heads, width=64)).to(dtype)


def some_tokens(count: int = 128, seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCABULARY, (count,), generator=torch.Generator().manual_seed(seed))
