"""The times of a `Timing`, checked and cached, and combined for steps that do both prefill and decode."""

from collections.abc import Sequence

from mini_lib.llm.serving.timing import Timing
from mini_lib.llm.serving.window import Window
from mini_lib.require import not_negative, shown

LONGEST_S = 1e9
"""Thirty years: no step takes longer."""


class StepTimes:
    """The seconds of every kind of step.

    Raises:
        TypeError, ValueError: the timing gives something other than times, a decode step that takes no time, or a
            `window` that is not one.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.window: Window | None = getattr(timing, "window", None)
        if not isinstance(self.window, Window | None):
            raise TypeError(f"a timing's window must be a Window or None, got {self.window!r}; use Window(tokens=4096)")
        for name in ("decode_s", "prefill_s"):
            if not callable(getattr(timing, name, None)):
                raise TypeError(
                    f"timing must have {name}(), got {shown(timing)}; use LinearTiming(decode_fixed_s=0.01)"
                )
        self._pass_s = getattr(timing, "pass_s", None)
        self._decode: dict[int, tuple[float, float]] = {}
        self._prefill: dict[tuple[int, float], float] = {}

    def decode(self, batch: int) -> tuple[float, float]:
        """Return (fixed_s, s_per_context_token) of a decode step; with a window, per token of a single layer."""
        if batch not in self._decode:
            times = self._timing.decode_s(batch)
            if not isinstance(times, Sequence) or len(times) != 2:
                raise TypeError(f"decode_s({batch}) must give two times, got {shown(times)}; return (0.01, 0.0)")
            fixed_s, context_s = (_seconds(f"decode_s({batch})[{place}]", one) for place, one in enumerate(times))
            if fixed_s == context_s == 0:
                raise ValueError(f"decode_s({batch}) must be above 0 seconds, got (0, 0); give the step a time")
            self._decode[batch] = fixed_s, context_s / (self.window.layers if self.window else 1)
        return self._decode[batch]

    def prefill(self, new_tokens: int, context: float) -> float:
        """Return the seconds of a prefill."""
        key = new_tokens, context
        if key not in self._prefill:
            seconds = self._timing.prefill_s(new_tokens, context)
            self._prefill[key] = _seconds(f"prefill_s({new_tokens}, {context})", seconds)
        return self._prefill[key]

    def mixed(self, new_tokens: int, pairs: int, batch: int, decode_context: int, prompts: int = 1) -> float:
        """Return the seconds of one pass over chunks of `prompts` and one token each of `batch` other sequences.

        All tokens go through the same matrix products, so the weights are read once, and the decoding sequences count
        as `batch` more tokens of the chunk. Their attention reads their own KV caches, of `decode_context` tokens
        together, counted in each layer where there is a window. `pairs` counts the pairs of a new token of the chunks
        and a token in the KV cache of its prompt. Only their mean is passed on, so where contexts differ, the time of a
        layer with a window is a little too long. The pass is never faster than the decode step alone.

        Source: Agrawal et al., "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve",
        2024, section 4.
        """
        tokens = new_tokens + batch
        if self._pass_s is None:
            seconds = self.prefill(tokens, pairs / tokens)
        else:
            seconds = _seconds("pass_s", self._pass_s(tokens, new_tokens, pairs / new_tokens, prompts))
        if not batch:
            return seconds
        fixed_s, context_s = self.decode(batch)
        return max(fixed_s, seconds) + context_s * decode_context


def _seconds(name: str, value: object) -> float:
    seconds = float(not_negative(name, value, fix="a step takes seconds"))
    if seconds > LONGEST_S:
        raise ValueError(f"{name} must be {LONGEST_S:g} or less, got {seconds}; a step takes seconds")
    return seconds
