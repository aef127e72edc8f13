"""Which token comes next: the most likely one, or one drawn at random among the likely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.require import not_negative, share, whole


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from logits.

    temperature: logits are divided by it; 0 takes the most likely token. top_k: only so many of the most likely can be
    drawn (None: all). top_p: only the most likely tokens that together just reach this probability.

    Raises:
        TypeError, ValueError: a value is out of its range.

    >>> Sampling(temperature=0).draw(torch.tensor([0.1, 2.0, 0.3]), torch.Generator())
    1

    Source: A. Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, section 3.1 (top-p).
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        not_negative("temperature", self.temperature, fix="0 takes the most likely token")
        if self.top_k is not None:
            whole("top_k", self.top_k, low=1, fix="use None for all tokens")
        share("top_p", self.top_p, fix="1 leaves all tokens in")

    def draw(self, logits: Tensor, generator: torch.Generator) -> int:
        """Return a token id for logits [vocabulary].

        Raises:
            ValueError: a logit is NaN.
        """
        if logits.isnan().any():
            raise ValueError("the logits hold NaN; find out where it comes from before drawing")
        if self.temperature == 0:
            return int(logits.argmax())
        return int(torch.multinomial(self.probabilities(logits), 1, generator=generator))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each token, [vocabulary]; at temperature 0 all of it on the most likely one.

        >>> Sampling(temperature=1.0, top_k=2).probabilities(torch.tensor([3.0, 1.0, 3.0])).tolist()
        [0.5, 0.0, 0.5]
        """
        if self.temperature == 0:
            return torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1.0)
        # the largest logit is taken away first: a small temperature could otherwise make infinity
        chances = ((logits - logits.max()) / self.temperature).softmax(dim=-1)
        ordered, order = chances.sort(descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered
        kept = before < self.top_p
        if self.top_k is not None:
            kept[self.top_k :] = False
        kept[0] = True
        chosen = torch.zeros_like(chances).scatter(0, order, ordered * kept)
        return chosen / chosen.sum()
