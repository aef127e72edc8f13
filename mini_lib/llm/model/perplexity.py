"""Perplexity: how many next tokens a model hesitates between, and how certain that figure is.

A model gives the token that comes next a probability p. The mean of -log p over a text is its *loss* in nats, and e to
the power of the loss is its *perplexity*. A perplexity of 16 says that on average the model was as unsure as if it drew
from 16 equally likely tokens. Windows of text differ from each other far more than two versions of a model do on the
same window. So perplexities are compared window by window: the effect of the text, the same for both, then cancels.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from mini_lib.llm.model.as_built import need_evaluated
from mini_lib.llm.model.kv_cache import KVCache
from mini_lib.llm.model.transformer import LanguageModel, need_language_model
from mini_lib.llm.model.windows import windows_of
from mini_lib.require import callable_, checked, finite, of_type, whole

CONFIDENCE = 0.95
_MOST_NATS = 1_000_000
_LARGEST = math.log(sys.float_info.max)


@dataclass(frozen=True)
class Ratio:
    """One perplexity over another, and its 95% interval, which shows no difference if it contains 1."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Perplexity:
    """The losses of a model on windows of a text.

    Args:
        losses: the mean of -log p over the counted tokens of each window, in nats.
        tokens: how many tokens were counted in all.
        text: a name for these windows, the sha256 of their tokens; only equal windows are compared.

    Raises:
        TypeError: the losses are not a list of numbers, or `tokens` or `text` is of another type.
        ValueError: there are fewer than two windows, or a loss is not finite.

    The mean of the losses log 2 and log 8 is log 4:

    >>> two = Perplexity((math.log(2), math.log(8)), tokens=510, text="a text")
    >>> round(two.value, 6)
    4.0
    >>> three = Perplexity((math.log(4), math.log(16)), tokens=510, text="a text")
    >>> print(three.times(two))                                # twice as high in each window: no doubt at all
    2 (2 to 2)

    Source: D. Jurafsky, J. H. Martin, "Speech and Language Processing", 3rd edition, section 3.3.
    """

    losses: tuple[float, ...]
    tokens: int
    text: str

    def __post_init__(self) -> None:
        of_type("losses", self.losses, (list, tuple), fix="give that of each window")
        fix = "find out what the model computes"
        object.__setattr__(self, "losses", tuple(finite("a loss", one, fix=fix) for one in self.losses))
        checked(self, "tokens", whole, low=1, fix="it is how many were counted")
        of_type("text", self.text, str, fix="it names the windows")
        if len(self.losses) < 2:
            raise ValueError(f"an interval needs two windows, got {len(self.losses)}; give more text")
        if max(map(abs, self.losses)) > _MOST_NATS:
            raise ValueError(f"a loss must lie within {_MOST_NATS:,} nats, got {max(self.losses, key=abs):g}; {fix}")

    @property
    def value(self) -> float:
        """e to the power of the mean loss."""
        return _exp(statistics.fmean(self.losses))

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95% interval, as if the windows were drawn from all text of this kind."""
        low, high = _interval(self.losses)
        return _exp(low), _exp(high)

    def times(self, other: Perplexity) -> Ratio:
        """Return this perplexity divided by another on the same windows, with the interval of paired differences.

        Raises:
            TypeError: the other is not a Perplexity.
            ValueError: it was measured on other windows.
        """
        if not isinstance(other, Perplexity):
            raise TypeError(
                f"a Perplexity is compared with a Perplexity, got {type(other).__name__}; use perplexity(lm, tokens)"
            )
        if (self.text, len(self.losses)) != (other.text, len(other.losses)):
            raise ValueError("the two were measured on other windows; measure both on the same tokens and window")
        differences = [one - another for one, another in zip(self.losses, other.losses)]
        low, high = _interval(differences)
        return Ratio(_exp(statistics.fmean(differences)), _exp(low), _exp(high))


@torch.no_grad()
def perplexity(
    lm: LanguageModel,
    tokens: Tensor | Sequence[int],
    window: int = 256,
    progress: Callable[[int], None] | None = None,
    *,
    kv_bits: int = 32,
) -> Perplexity:
    """Return the perplexity of a model on a text, cut into windows that do not overlap and do not see each other.

    The first token of a window is not counted: nothing comes before it. The others have 1 to `window` - 1 tokens before
    them, and the early ones are hard to guess, so perplexity falls as windows grow. The logits of one window are in
    memory at a time, window * vocabulary * 4 bytes.

    Args:
        lm: a model in eval mode, with layers of any kind.
        tokens: ids, [tokens]; a rest that does not fill a window is left out.
        progress: called with the number of windows done.
        kv_bits: of a cache through which all keys and values pass before they are used, including those of the token
            itself; 32 uses no cache.

    Raises:
        TypeError, ValueError: it is not a language model, or is in training mode; or the tokens are not ids of its
            vocabulary, or do not fill two windows.
    """
    need_language_model(lm)
    need_evaluated(lm)
    kv_bits = whole("kv_bits", kv_bits, fix="32 is without a cache")
    if progress is not None:
        callable_("progress", progress, fix="None leaves it out")
    parts, losses = windows_of(tokens, window), []
    if len(parts) < 2:
        raise ValueError(f"{window} to {2 * window - 1} tokens are one window, and two are needed; give more text")
    for part in parts:
        cache = None if kv_bits == 32 else KVCache(lm.architecture, window, kv_bits)
        logits = lm(part, cache)[0, :-1]
        losses.append(_loss(logits, part[0, 1:]))
        if progress is not None:
            progress(len(losses))
    seen = torch.cat(parts).numpy()
    text = hashlib.sha256(repr(seen.shape).encode() + seen.astype("<i8").tobytes()).hexdigest()
    return Perplexity(tuple(losses), len(parts) * (window - 1), text)


def _loss(logits: Tensor, tokens: Tensor) -> float:
    """The mean of -log p in float64, a few rows at a time: in float32 the sums alone are off by 2e-5."""
    pairs = zip(logits.split(32), tokens.split(32))
    return sum(F.cross_entropy(rows.double(), ids, reduction="sum").item() for rows, ids in pairs) / len(tokens)


def _exp(nats: float) -> float:
    """e to that power; infinity where a float cannot hold it."""
    return math.exp(nats) if nats < _LARGEST else math.inf


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """The t interval of the mean."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return statistics.fmean(values) - half, statistics.fmean(values) + half
