"""llama.cpp as a peer: the same file, the same number of threads, in turns with our plans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from mini_lib.llm.model.decode import DecodePlan

Turn = Callable[[], float]
"""Decodes some tokens, and returns the seconds per token."""


def llama_cpp(path: Path | None, *, threads: int, context: int, tokens: int) -> Turn | None:
    """Return a turn of llama.cpp, by its own timing of its own greedy decoding; None where it or the file is not here.

    It is the package xllamacpp. The prompt has about `context` tokens, and is kept in its cache from turn to turn.
    """
    try:
        import xllamacpp
    except ImportError:
        return None
    if path is None:
        return None
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel = str(path), context + tokens + 64, 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(settings)
    asked = {
        "prompt": "the " * context,
        "n_predict": tokens,
        "temperature": 0,
        "cache_prompt": True,
        "ignore_eos": True,
    }

    def turn() -> float:
        return server.handle_completions(asked)["timings"]["predicted_per_token_ms"] / 1000

    return turn


def turn_of(plan: DecodePlan, *, context: int, tokens: int) -> float:
    """Return the seconds per token of a plan that decodes greedily after `context` tokens."""
    plan.cache.length, token = context, 0
    start_s = perf_counter()
    for _ in range(tokens):
        token = int(plan.step(token).argmax())
    return (perf_counter() - start_s) / tokens
