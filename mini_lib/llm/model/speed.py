"""How long a token takes: several models in turns, and one model's step call by call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

from mini_lib.latency import Latency, compare_latency
from mini_lib.llm.cost.step import TimedStep
from mini_lib.llm.model.decode import DecodePlan

# The calculator's name for what a plan calls by these names.
_OPERATORS = {
    "qkv": ("query", "key", "value", "join"),
    "attention": ("attention",),
    "attention out": ("attention out",),
    "gate and up": ("gate", "up"),
    "down": ("down",),
    "head": ("head",),
    "norms, activations, starting": ("norm", "activation"),
}
_CALCULATED = {"norms, activations, starting": ("norms, sums, activations", "embedding")}


def decode_times(
    plans: Mapping[str, DecodePlan], *, context: int, repeats: int = 20, clock: Callable[[], float] | None = None
) -> dict[str, Latency]:
    """Time one decode step of each plan after `context` tokens, in turns: seconds per token.

    What the cache holds does not matter for the time. Each step reads all of its weights, which are more than the
    caches hold, so that no contestant warms them for the next. clock: as in `compare_latency`.

    Raises:
        ValueError: a cache has no room for context + 1 tokens; or as `compare_latency`.
    """
    for name, plan in plans.items():
        if plan.cache.room_tokens <= context:
            raise ValueError(
                f"the cache of {name!r} has room for {plan.cache.room_tokens} tokens, and the step is after {context}; "
                f"make it with room_tokens={context + 1} or more"
            )
    return compare_latency({name: step_at(plan, context) for name, plan in plans.items()}, repeats=repeats, clock=clock)


def step_at(plan: DecodePlan, context: int) -> Callable[[], None]:
    """Return a call that makes one pass after `context` tokens, over and over: what is timed."""

    def call() -> None:
        plan.cache.length = context
        plan.run((0,) * plan.tokens)

    return call


def profile_step(plan: DecodePlan, *, context: int, repeats: int = 10) -> dict[str, float]:
    """Return the seconds of a decode step by the calculator's names of operators, each the median of several steps.

    The last row is what is left of the step: Python between the calls, the look-up of the token, the checks.

    Raises:
        ValueError: as `decode_times`.
    """
    steps: list[dict[str, float]] = []
    plan.cache.length = context
    for _ in range(repeats + 1):
        plan.cache.length = context
        start_s = perf_counter()
        plan.step(0)
        whole_s, spent = perf_counter() - start_s, defaultdict(float)
        for name, call in plan.calls:
            start_s = perf_counter()
            call()
            spent[name] += perf_counter() - start_s
        rows = {ours: sum(spent[name] for name in names) for ours, names in _OPERATORS.items()}
        steps.append(rows | {"all": whole_s})
    return {name: median(one[name] for one in steps[1:]) for name in steps[0]}


def compare_operators(predicted: TimedStep, measured: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return (operator, seconds predicted, seconds measured), row by row, and "all" at the end."""
    seconds = {row.operator.name: row.seconds for row in predicted.rows}
    rows = []
    for name in _OPERATORS:
        expected = sum(seconds.get(one, 0.0) for one in _CALCULATED.get(name, (name,)))
        expected += predicted.overhead_s if name in _CALCULATED else 0.0
        rows.append((name, expected, measured[name]))
    return [*rows, ("all", predicted.seconds, measured["all"])]
