"""The time of a token: several models in turns, and one model's step call by call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

from mini_lib.latency import Latency, compare_latency
from mini_lib.llm.cost.step import TimedStep
from mini_lib.llm.model.decode import DecodePlan
from mini_lib.require import whole

# The calculator's name for a plan's calls of these names; the rest of a step is in the last row.
_OPERATORS = {
    "qkv": ("query", "key", "value", "join"),
    "attention": ("attention",),
    "attention out": ("attention out",),
    "gate and up": ("gate", "up"),
    "down": ("down",),
    "head": ("head",),
}
REST = "norms, activations, starting"


def decode_times(
    plans: Mapping[str, DecodePlan], *, context: int, repeats: int = 20, clock: Callable[[], float] | None = None
) -> dict[str, Latency]:
    """Time one decode step of each plan after `context` tokens, in turns: seconds per token.

    The content of the cache does not matter for the time. Each step reads all of its weights, which are more than the
    processor's caches hold, so that no contestant warms them for the next. clock: as in `compare_latency`.

    Raises:
        ValueError: a cache has no room for context + 1 tokens; or as `compare_latency`.
    """
    context = whole("context", context, low=0, fix="0 is an empty cache")
    for name, plan in plans.items():
        if plan.cache.room_tokens <= context:
            raise ValueError(
                f"the cache of {name!r} has room for {plan.cache.room_tokens} tokens, and the step is after {context}; "
                f"make it with room_tokens={context + 1} or more"
            )
    return compare_latency({name: step_at(plan, context) for name, plan in plans.items()}, repeats=repeats, clock=clock)


def step_at(plan: DecodePlan, context: int) -> Callable[[], None]:
    """Return the call to be timed: one pass after `context` tokens, over and over."""

    def call() -> None:
        plan.cache.length = context
        plan.run((0,) * plan.tokens)

    return call


def profile_step(plan: DecodePlan, *, context: int, repeats: int = 10) -> dict[str, float]:
    """Return the seconds of a decode step by the calculator's names of operators, each the median of several steps.

    The row "norms, activations, starting" is the rest of the whole step: norms and activations, Python between the
    calls, the look-up of the token, and the checks.

    Raises:
        ValueError: as `decode_times`.
    """
    parts: list[dict[str, float]] = []
    whole_s = decode_times({"step": plan}, context=context, repeats=repeats)["step"].median_s
    for _ in range(repeats + 1):
        step_at(plan, context)()  # before each timed pass, so that it finds the caches as a step leaves them
        spent: dict[str, float] = defaultdict(float)
        for name, call in plan.calls:
            start_s = perf_counter()
            call()
            spent[name] += perf_counter() - start_s
        parts.append({ours: sum(spent[name] for name in names) for ours, names in _OPERATORS.items()})
    rows = {name: median(one[name] for one in parts[1:]) for name in _OPERATORS}
    return rows | {REST: whole_s - sum(rows.values()), "all": whole_s}


def compare_operators(predicted: TimedStep, measured: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return (operator, seconds predicted, seconds measured), row by row, and "all" at the end."""
    seconds = {row.operator.name: row.seconds for row in predicted.rows}
    rows = [(name, seconds[name], measured[name]) for name in _OPERATORS]
    rest_s = predicted.seconds - sum(expected_s for _, expected_s, _ in rows)
    return [*rows, (REST, rest_s, measured[REST]), ("all", predicted.seconds, measured["all"])]
