"""The times that a `Timing` gives, checked and remembered, and put together to steps that do both."""

from mini_lib.llm.serving.timing import Timing
from mini_lib.llm.serving.window import Window
from mini_lib.require import not_negative


class StepTimes:
    """The seconds of every kind of step.

    Raises:
        TypeError, ValueError: the timing gives something else than times, a decode step that takes none, or something
            else than a window.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.window: Window | None = getattr(timing, "window", None)
        if not isinstance(self.window, Window | None):
            raise TypeError(f"a timing's window must be a Window or None, got {self.window!r}; use Window(tokens=4096)")
        self._pass_s = getattr(timing, "pass_s", None)
        self._decode: dict[int, tuple[float, float]] = {}
        self._prefill: dict[tuple[int, float], float] = {}

    def decode(self, batch: int) -> tuple[float, float]:
        """Return (fixed_s, s_per_context_token) of a decode step; with a window, for a token of a single layer."""
        if batch not in self._decode:
            fixed_s, context_s = map(float, self._timing.decode_s(batch))
            for place, seconds in enumerate((fixed_s, context_s)):
                not_negative(f"decode_s({batch})[{place}]", seconds, fix="a step takes seconds")
            if fixed_s == context_s == 0:
                raise ValueError(f"decode_s({batch}) must be above 0 seconds, got (0, 0); give the step a time")
            self._decode[batch] = fixed_s, context_s / (self.window.layers if self.window else 1)
        return self._decode[batch]

    def prefill(self, new_tokens: int, context: float) -> float:
        """Return the seconds of a prefill."""
        key = new_tokens, context
        if key not in self._prefill:
            seconds = float(self._timing.prefill_s(new_tokens, context))
            not_negative(f"prefill_s({new_tokens}, {context})", seconds, fix="a step takes seconds")
            self._prefill[key] = seconds
        return self._prefill[key]

    def mixed(self, new_tokens: int, pairs: int, batch: int, decode_context: int, prompts: int = 1) -> float:
        """Return the seconds of one pass over chunks of `prompts` and one token each of `batch` other sequences.

        All tokens go through the same matrix products, so the weights are read once, and the sequences that decode
        are `batch` more tokens of the chunk. Their attention reads their own KV caches, of `decode_context` tokens
        together, counted in each layer where there is a window. `pairs` counts each new token of the chunks with each
        token that is in the KV cache of its prompt. Only their mean is passed on, so where contexts differ a layer with
        a window is charged a little too much. The pass is never faster than the decode step alone.

        Source: Agrawal et al., "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve",
        2024, section 4.
        """
        tokens = new_tokens + batch
        if self._pass_s is None:
            seconds = self.prefill(tokens, pairs / tokens)
        else:
            seconds = not_negative(
                "pass_s",
                float(self._pass_s(tokens, new_tokens, pairs / new_tokens, prompts)),
                fix="a step takes seconds",
            )
        if not batch:
            return seconds
        fixed_s, context_s = self.decode(batch)
        return max(fixed_s, seconds) + context_s * decode_context
