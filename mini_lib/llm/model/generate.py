"""Generate text: the prompt in one pass, then token by token, each from the previous token and the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mini_lib.llm.model.decode import DecodePlan
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.sampling import Sampling
from mini_lib.llm.model.transformer import LanguageModel, need_language_model
from mini_lib.llm.model.windows import token_ids
from mini_lib.require import of_type, shown, whole

GREEDY = Sampling()


def generate(
    lm: LanguageModel,
    prompt: str | Sequence[int],
    new_tokens: int,
    *,
    sampling: Sampling = GREEDY,
    cache: KVCache | None = None,
    seed: int = 0,
    stop_at_end: bool = True,
) -> str:
    """Return the text that follows a prompt: at most `new_tokens` tokens, fewer where the model ends the text.

    Args:
        lm: a model with a tokenizer.
        prompt: a text, or token ids such as `tokenizer.question(...)` gives.
        cache: an empty one with room for the prompt and all new tokens except the last, which nothing follows; say
            `KVCache(lm.architecture, room_tokens=..., bits=8)`. The default has 32 bits and just enough room.
        seed: for sampling; at temperature 0 nothing is drawn.

    Raises:
        TypeError, ValueError: the prompt is empty, a token is unknown, the cache is too small, in use or made for
            another architecture, or the model has no tokenizer.
    """
    need_language_model(lm)
    if lm.tokenizer is None:
        raise ValueError("this model has no tokenizer to turn tokens into text; stream(...) gives their ids")
    tokens = stream(lm, prompt, new_tokens, sampling=sampling, cache=cache, seed=seed, stop_at_end=stop_at_end)
    return lm.tokenizer.decode(tokens)


@torch.no_grad()
def stream(
    lm: LanguageModel,
    prompt: str | Sequence[int],
    new_tokens: int,
    *,
    sampling: Sampling = GREEDY,
    cache: KVCache | None = None,
    seed: int = 0,
    stop_at_end: bool = True,
) -> Iterator[int]:
    """Yield the ids of new tokens as they are generated; `lm.tokenizer.stream(...)` turns them into text.

    The arguments are those of `generate`; for a prompt of ids, the model does not need a tokenizer.

    Raises:
        TypeError, ValueError: as `generate`, raised when the first token is asked for.
    """
    need_language_model(lm)
    of_type("stop_at_end", stop_at_end, bool, fix="False goes on after the end")
    of_type("sampling", sampling, Sampling, fix="use GREEDY, or Sampling(temperature=0.7)")
    ids, seed = prompt_ids(lm, prompt), whole("seed", seed, low=0, fix="any whole number will do")
    new_tokens = whole("new_tokens", new_tokens, low=0, fix="say how many are to be generated")
    room = len(ids) + max(new_tokens - 1, 0)
    cache = KVCache(lm.architecture, room) if cache is None else empty(cache)
    cache.check_fits(lm.architecture, (1, room))
    step, chance = _decoder(lm, cache), torch.Generator().manual_seed(seed)
    logits = lm(torch.tensor([ids]), cache, last_only=True)[0, -1]
    for left in range(new_tokens, 0, -1):
        token = sampling.draw(logits, chance)
        if stop_at_end and lm.tokenizer is not None and token == lm.tokenizer.end:
            return
        yield token
        if left > 1:
            logits = step(token)


def _decoder(lm: LanguageModel, cache: KVCache) -> Callable[[int], Tensor]:
    """A function for the logits after one more token: a plan, or the model itself where no plan takes its layers."""
    try:
        return DecodePlan(lm, cache).step
    except (TypeError, ValueError):  # quantized but not packed, or of another dtype, or with hooks
        return lambda token: lm(torch.tensor([[token]]), cache)[0, -1]


def prompt_ids(lm: LanguageModel, prompt: str | Sequence[int]) -> list[int]:
    """Return the ids of a prompt.

    Raises:
        TypeError: an id is not a whole number.
        ValueError: there is no token, one is not in the vocabulary, or the prompt is a text and there is no tokenizer.
    """
    if isinstance(prompt, str):
        if lm.tokenizer is None:
            raise ValueError("this model has no tokenizer; pass token ids as the prompt")
        prompt = lm.tokenizer.encode(prompt)
    ids = token_ids(prompt)
    if not ids:
        raise ValueError("the prompt is empty, and the first token follows from it; pass at least one token")
    most = lm.architecture.vocabulary - 1
    if unknown := [one for one in ids if not 0 <= one <= most]:
        raise ValueError(
            f"token {shown(unknown[0])} is not in the vocabulary, whose ids are 0 to {most}; "
            "encode the text with this model's own tokenizer"
        )
    return ids


def empty(cache: KVCache) -> KVCache:
    """Refuse a cache that already holds a text.

    Raises:
        TypeError: it is not a cache.
        ValueError: it already holds tokens.
    """
    if of_type("cache", cache, KVCache, fix="use KVCache(lm.architecture, room_tokens=...)").length:
        raise ValueError(f"the cache holds {cache.length} tokens already; call cache.shorten(0) or make a new one")
    return cache
