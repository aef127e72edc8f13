"""A language model of two layers with random weights, large enough for shared value heads and groups of 8."""

import torch

from mini_lib.llm.cost import Architecture, Attention, FeedForward
from mini_lib.llm.model.transformer import LanguageModel

VOCABULARY = 64


def tiny_lm(*, seed: int = 0, kv_heads: int = 2, dtype: torch.dtype = torch.float32) -> LanguageModel:
    shape = Attention(heads=4, kv_heads=kv_heads, head_dim=8)
    torch.manual_seed(seed)
    lm = LanguageModel(Architecture("tiny", 2, 32, VOCABULARY, shape, FeedForward(64), tied=True))
    with torch.no_grad():
        for name, weight in lm.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 2.0)  # gains of 1 would hide one that is forgotten
    return lm.to(dtype).eval().requires_grad_(False)


def some_tokens(count: int = 128, seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCABULARY, (count,), generator=torch.Generator().manual_seed(seed))
