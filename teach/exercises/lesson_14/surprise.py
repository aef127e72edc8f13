"""Lesson 14, exercise 14.3: the perplexity of a text, from the logits of a model."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 14.3 -----------------------------------------------------------------------------------------------


def perplexity(logits: Tensor, tokens: Tensor) -> float:
    """e to the mean of -log p over all tokens but the first; logits [n, vocabulary] at i are for token i + 1."""
    log_p = logits[:-1].log_softmax(dim=-1)
    return math.exp(-log_p[torch.arange(len(log_p)), tokens[1:]].mean())


def _by_loops(logits, tokens):
    losses = []
    for row, token in zip(logits.tolist(), tokens.tolist()[1:]):
        sizes = [math.exp(logit) for logit in row]
        losses.append(-math.log(sizes[token] / sum(sizes)))
    return math.exp(sum(losses) / len(losses))


def _in_numpy(logits, tokens):
    logits, following = logits.double().numpy()[:-1], tokens.numpy()[1:, None]
    logits = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - np.take_along_axis(logits, following, axis=1)[:, 0]
    return np.exp(losses.mean())


def _by_cross_entropy(logits, tokens):
    return F.cross_entropy(logits[:-1], tokens[1:]).exp()


def _in_bits(logits, tokens):
    bits = -logits.softmax(dim=-1)[:-1].gather(1, tokens[1:, None]).log2()
    return 2 ** bits.mean().item()


def _by_a_product(logits, tokens):
    """The geometric mean of 1 / p."""
    inverse = 1 / _chances(logits[:-1], tokens[1:]).double()
    return inverse.prod() ** (1 / len(inverse))


def _chances(logits: Tensor, tokens: Tensor) -> Tensor:
    """The probability of each token by the logits in the same row."""
    return logits.softmax(dim=-1)[torch.arange(len(tokens)), tokens]


def _of_chances(formula, logits_from=slice(None, -1), tokens_from=slice(1, None)):
    """A wrong answer: a formula of the chances, or other rows of logits against other tokens."""
    return lambda logits, tokens: formula(_chances(logits[logits_from], tokens[tokens_from]))


def _exp_mean(chances: Tensor) -> float:
    return math.exp(-chances.log().mean())


def _text_case(generator: torch.Generator) -> Case:
    tokens, vocabulary = random_whole(generator, 4, 12), random_whole(generator, 3, 9)
    logits = torch.randint(-12, 13, (tokens, vocabulary), generator=generator) / 4
    return Case(logits, torch.randint(0, vocabulary, (tokens,), generator=generator))


def _by_hand(logits: list, tokens: list) -> Case:
    return Case(torch.tensor(logits, dtype=torch.float32), torch.tensor(tokens))


PERPLEXITY = Exercise(
    id="14.3",
    title="How much a text surprises a model",
    reference=perplexity,
    cases=(
        _by_hand([[0, 0, 0, 0], [0, 0, 0, 0]], [2, 3]),
        _by_hand([[0, 0], [0, 2], [3, 0]], [0, 1, 1]),
        _by_hand([[1, 0], [0, 3], [2, 0], [0, 1]], [1, 0, 0, 1]),
        _by_hand([[0, 4], [0, 0], [5, 0], [1, 0]], [1, 1, 0, 0]),
        *random_cases(8, seed=142, make=_text_case),
    ),
    mistakes=(
        Mistake(
            _of_chances(_exp_mean, slice(None), slice(None)),
            "The logits are compared with the token that they have already seen. Those at position i say what comes "
            "next: compare them with token i + 1.",
        ),
        Mistake(
            _of_chances(_exp_mean, slice(1, None), slice(None, -1)),
            "The shift goes the wrong way: each token is compared with logits that come after it. Those at position i "
            "are for token i + 1.",
        ),
        Mistake(
            lambda logits, tokens: _exp_mean(_chances(logits, tokens.roll(-1))),
            "The last logits are compared with the first token of the text. They are for a token that is not there: "
            "leave them out.",
        ),
        Mistake(
            _of_chances(lambda chances: math.exp(-chances.log2().mean())),
            "The loss is in bits (log2), and e to that power mixes two units. Either log and exp, or log2 and a power "
            "of 2.",
        ),
        Mistake(
            _of_chances(lambda chances: (1 / chances).mean()),
            "That is the mean of 1 / p, and a single rare token decides it. Take the mean of -log p, and then exp.",
        ),
        Mistake(
            _of_chances(lambda chances: -chances.log().mean()),
            "That is the mean loss in nats. Perplexity is e to that power: how many tokens the model hesitates "
            "between.",
        ),
        Mistake(
            _of_chances(lambda chances: math.exp(-chances.log().sum())),
            "The losses are added up, so that a longer text looks worse. Take their mean before exp.",
        ),
        Mistake(
            lambda logits, tokens: math.exp(-_chances(logits[:-1], tokens[1:]).log().sum() / len(tokens)),
            "The sum is divided by the number of all tokens. Nothing predicts the first one: n - 1 losses were added.",
        ),
        Mistake(
            _of_chances(lambda chances: 1 / chances.mean()),
            "That averages the probabilities, and a token that the model thought nearly impossible hardly counts. "
            "Average their logarithms.",
        ),
    ),
    also_correct=(_by_loops, _in_numpy, _by_cross_entropy, _in_bits, _by_a_product),
)
