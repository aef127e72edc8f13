"""llama.cpp as a peer: the same file, the same number of threads, in turns with our plans.

It runs in a process of its own. In one process its threads and ours would share OpenMP, which then counts more threads
than cores and puts them to sleep between any two products: both become three times slower.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from mini_lib.llm.model.decode import DecodePlan

Turn = Callable[[], float]
"""Decodes some tokens, and returns the seconds per token."""

_CHILD = """
import json, sys, xllamacpp
path, threads, context, tokens = json.loads(sys.argv[1])
settings = xllamacpp.CommonParams()
settings.model.path, settings.n_ctx, settings.n_parallel = path, context + tokens + 64, 1
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(settings)
asked = {"prompt": "the " * context, "n_predict": tokens, "temperature": 0, "cache_prompt": True, "ignore_eos": True}
for _ in sys.stdin:
    print("took", server.handle_completions(asked)["timings"]["predicted_per_token_ms"] / 1000, flush=True)
"""


def llama_cpp(path: Path | None, *, threads: int, context: int, tokens: int) -> Turn | None:
    """Return a turn of llama.cpp, by its own timing of its greedy decoding; None if it or the file is not installed.

    It is the package xllamacpp. The prompt has about `context` tokens, and is kept in its cache from turn to turn. The
    process ends with the last reference to the turn.
    """
    if path is None or importlib.util.find_spec("xllamacpp") is None:
        return None
    asked = json.dumps([str(path), threads, context, tokens])
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, asked],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def turn() -> float:
        child.stdin.write("\n")
        child.stdin.flush()
        for line in child.stdout:
            if line.startswith("took "):
                return float(line.split()[1])
        raise RuntimeError(f"llama.cpp ended with status {child.wait()}; try it alone: python -c 'import xllamacpp'")

    weakref.finalize(turn, _end, child)
    return turn


def _end(child: subprocess.Popen[str]) -> None:
    child.stdin.close()  # the loop over its input lines ends, and with it the process
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()


def turn_of(plan: DecodePlan, *, context: int, tokens: int) -> float:
    """Return the seconds per token of a plan that decodes greedily after `context` tokens."""
    plan.cache.length, token = context, 0
    plan.step(token)  # untimed: the caches are still full of the previous contestant's data
    plan.cache.length = context
    start_s = perf_counter()
    for _ in range(tokens):
        token = int(plan.step(token).argmax())
    return (perf_counter() - start_s) / tokens
