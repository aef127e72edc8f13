"""Lesson 14, exercise 14.3: the perplexity of a text, from the logits of a model."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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


def _losses(logits: Tensor, tokens: Tensor) -> Tensor:
    """-log p of all tokens but the first."""
    return -_chances(logits[:-1], tokens[1:]).log()


def _of_losses(formula):
    """A wrong answer: a formula of the losses of all tokens but the first."""
    return lambda logits, tokens: formula(_losses(logits, tokens))


def _entropy(logits: Tensor) -> float:
    return torch.distributions.Categorical(logits=logits).entropy().mean().exp().item()


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
            "The logits are compared with the token that they have already seen. The logits at position i predict the "
            "next token: compare them with token i + 1.",
        ),
        Mistake(
            _of_chances(_exp_mean, slice(1, None), slice(None, -1)),
            "The shift goes the wrong way: each token is compared with logits that come after it. Those at position i "
            "are for token i + 1.",
        ),
        Mistake(
            lambda logits, tokens: _exp_mean(_chances(logits, tokens.roll(-1))),
            "The last logits are compared with the first token of the text. They predict a token that is not in the "
            "text: leave them out.",
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
    symptoms=(
        variants(
            "The minus sign is missing: a loss is -log p, which is never negative. Then the perplexity is at least 1.",
            _of_losses(lambda losses: math.exp(-losses.mean())),
            _of_losses(lambda losses: -losses.mean()),
            _of_losses(lambda losses: math.exp(-losses.sum())),
        ),
        variants(
            "The power and the logarithm have different bases. With the natural logarithm the base is e: exp of the "
            "mean loss.",
            _of_losses(lambda losses: 2 ** losses.mean()),
            _of_losses(lambda losses: 10 ** losses.mean()),
            _of_losses(lambda losses: math.exp(losses.mean() / math.log(10))),
        ),
        variants(
            "That is the mean loss in bits. Perplexity is 2 to that power, or e to the mean loss in nats.",
            _of_losses(lambda losses: losses.mean() / math.log(2)),
        ),
        variants(
            "That is the mean probability. Take the mean of -log p, and then exp.",
            _of_losses(lambda losses: (-losses).exp().mean()),
        ),
        variants(
            "The softmax runs over the wrong axis. Each row holds the logits of one position: normalize over the "
            "vocabulary, the last axis.",
            lambda logits, tokens: (
                -logits[:-1].log_softmax(dim=0)[torch.arange(len(tokens) - 1), tokens[1:]].mean()
            ).exp(),
            lambda logits, tokens: -logits.log_softmax(dim=0)[torch.arange(len(tokens) - 1), tokens[1:]].mean().exp(),
        ),
        variants(
            "The logits are used as they are. `log_softmax` turns them into logarithms of probabilities.",
            lambda logits, tokens: (-logits[torch.arange(len(tokens) - 1), tokens[1:]].mean()).exp(),
        ),
        variants(
            "The logarithm is missing: those are probabilities. Take -log of each, then the mean.",
            _of_losses(lambda losses: math.exp(-(-losses).exp().mean())),
        ),
        variants(
            "The softmax is taken twice. `cross_entropy` and `log_softmax` expect the logits themselves.",
            lambda logits, tokens: F.cross_entropy(logits[:-1].softmax(dim=-1), tokens[1:]).exp(),
        ),
        variants(
            "That does not look at the actual next tokens, but at the whole vocabulary or at the likeliest token. "
            "Pick from each row the number of the token that follows.",
            lambda logits, tokens: _entropy(logits[:-1]),
            lambda logits, tokens: _entropy(logits),
            lambda logits, tokens: (-logits[:-1].log_softmax(dim=-1).mean()).exp(),
            lambda logits, tokens: (-logits[:-1].log_softmax(dim=-1).max(dim=-1).values.mean()).exp(),
        ),
        variants(
            "That takes every token from every row. Row i is for token i + 1 alone: index with both, "
            "[torch.arange(n - 1), tokens[1:]], or use `gather`.",
            lambda logits, tokens: (-logits[:-1].log_softmax(dim=-1)[:, tokens[1:]].mean()).exp(),
        ),
        variants(
            "Not all tokens take part. Take the mean over all but the first.",
            _of_losses(lambda losses: losses[-1].exp()),
            _of_losses(lambda losses: losses.median().exp()),
            _of_losses(lambda losses: losses[:-1].mean().exp() if len(losses) > 1 else losses.new_zeros(())),
        ),
        variants(
            "The first token is counted, too. No row of logits predicts it: leave it out.",
            lambda logits, tokens: math.exp((_losses(logits, tokens).sum() + math.log(logits.shape[1])) / len(tokens)),
        ),
        variants(
            "Two things: the logits at position i are for token i + 1, and the perplexity is exp of the *mean* loss.",
            lambda logits, tokens: -_chances(logits, tokens).log().mean(),
            lambda logits, tokens: math.exp(-_chances(logits, tokens).log().sum()),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, Tensor)),
            "That is one number per token. Take the mean of the losses, and then exp.",
            (_of_losses(Tensor.exp),),
        ),
        Symptom(
            lambda got, expected, arguments: got < 1,
            "A perplexity is never below 1, which means no surprise at all. Take exp of the mean of -log p.",
            (_of_losses(lambda losses: math.exp(-losses.mean()) / 3),),
        ),
    ),
    also_correct=(_by_loops, _in_numpy, _by_cross_entropy, _in_bits, _by_a_product),
)
