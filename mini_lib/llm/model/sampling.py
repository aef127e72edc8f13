"""Which token comes next: the most likely one, or one drawn at random among the likely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.require import checked, not_negative, of_type, share, whole
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from logits.

    Args:
        temperature: logits are divided by it; 0 takes the most likely token.
        top_k: only this many of the most likely tokens can be drawn (None: all); among equally likely ones, lower ids
            first.
        top_p: of these, only the most likely ones that together just reach this share of the probability.

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
        checked(self, "temperature", not_negative, fix="0 takes the most likely token")
        if self.top_k is not None:
            checked(self, "top_k", whole, low=1, fix="use None for all tokens")
        checked(self, "top_p", share, fix="1 leaves all tokens in")

    def draw(self, logits: Tensor, generator: torch.Generator) -> int:
        """Return a token id for logits [vocabulary].

        Raises:
            TypeError: the generator is not one, or as `probabilities`.
            ValueError: as `probabilities`.
        """
        of_type("generator", generator, torch.Generator, fix="use torch.Generator().manual_seed(0)")
        if self.temperature == 0:
            _need_logits(logits)
            return int(logits.argmax())
        return int(torch.multinomial(self.probabilities(logits), 1, generator=generator))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each token, float64 [vocabulary]; at temperature 0 one has all of it.

        Raises:
            TypeError: the logits are not a tensor of floating-point numbers.
            ValueError: the logits are not [vocabulary], one is NaN or infinite, or all are -infinity.

        >>> Sampling(temperature=1.0, top_k=2).probabilities(torch.tensor([3.0, 1.0, 3.0])).tolist()
        [0.5, 0.0, 0.5]
        """
        _need_logits(logits)
        # in float64 a tiny temperature does not become 0, and small probabilities still add up
        logits = logits.double()
        if self.temperature == 0:
            return torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1.0)
        # the largest logit is subtracted first, or a small temperature could lead to infinity
        ordered, order = ((logits - logits.max()) / self.temperature).softmax(dim=-1).sort(descending=True, stable=True)
        if self.top_k is not None:
            ordered[self.top_k :] = 0
        if self.top_p < 1:
            before = ordered.cumsum(dim=-1) - ordered
            ordered[before >= self.top_p * ordered.sum()] = 0
        return torch.zeros_like(logits).scatter(0, order, ordered / ordered.sum())


def _need_logits(logits: Tensor) -> None:
    need_tensor("logits", logits, empty=True, fix="give those of one token, [vocabulary]")
    if logits.dim() != 1 or not len(logits):
        raise ValueError(f"logits must be [vocabulary], got {list(logits.shape)}; give those of one token")
    if not logits.max().isfinite():  # NaN counts as the largest
        raise ValueError(f"the largest logit is {logits.max()}; find out where it comes from before drawing")
