"""Lesson 14, exercise 14.2: only the likely tokens stay (top-p)."""

import numpy as np
import torch
from torch import Tensor

from mini_lib.llm.model.sampling import Sampling
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 14.2 -----------------------------------------------------------------------------------------------


def likely_only(probabilities: Tensor, top_p: float) -> Tensor:
    """The most likely tokens that together just reach `top_p`, renormalized; 0 for the others, [vocabulary]."""
    ordered, order = probabilities.sort(descending=True)
    before = ordered.cumsum(dim=0) - ordered
    kept = torch.where(before < top_p, ordered, 0)
    return torch.zeros_like(probabilities).scatter(0, order, kept / kept.sum())


def _by_loops(probabilities, top_p):
    chances = probabilities.tolist()
    kept, total = [0.0] * len(chances), 0.0
    for token in sorted(range(len(chances)), key=lambda one: -chances[one]):
        if total >= top_p:
            break
        kept[token] = chances[token]
        total += chances[token]
    return [chance / total for chance in kept]


def _in_numpy(probabilities, top_p):
    chances = probabilities.double().numpy()
    order = np.argsort(-chances)
    last = np.searchsorted(np.cumsum(chances[order]), top_p)  # the first place where top_p is reached
    kept = np.zeros_like(chances)
    kept[order[: last + 1]] = chances[order[: last + 1]]
    return kept / kept.sum()


def _without_sorting(probabilities, top_p):
    more_likely = probabilities[None, :] > probabilities[:, None]  # [token, other]
    kept = probabilities.masked_fill((more_likely * probabilities).sum(dim=1) >= top_p, 0)
    return kept / kept.sum()


def _by_taking_away(probabilities, top_p):
    """The least likely token goes, as long as the others still reach top_p."""
    kept = probabilities.double()
    while (smallest := kept[kept > 0].min()) and kept.sum() - smallest >= top_p:
        kept = torch.where(kept == smallest, 0, kept)
    return kept / kept.sum()


def _kept(keeps, descending=True):
    """A wrong answer: of the sorted probabilities those stay for which keeps(ordered, cumulated, top_p)."""

    def wrong(probabilities, top_p):
        ordered, order = probabilities.sort(descending=descending)
        kept = torch.where(keeps(ordered, ordered.cumsum(dim=0), top_p), ordered, 0)
        return torch.zeros_like(probabilities).scatter(0, order, kept / kept.sum())

    return wrong


def _share_of_tokens(ordered, cumulated, top_p):
    return torch.arange(len(ordered)) < top_p * len(ordered)


def _sorted_output(probabilities, top_p):
    return likely_only(probabilities, top_p).sort(descending=True).values


def _in_order_of_ids(probabilities, top_p):
    kept = torch.where(probabilities.cumsum(dim=0) - probabilities < top_p, probabilities, 0)
    return kept / kept.sum()


def _chance_case(generator: torch.Generator) -> Case:
    """Probabilities of which no two are nearly the same, and a top_p that no sum comes near."""
    while True:
        chances = torch.randn(random_whole(generator, 4, 8), generator=generator).mul(1.5).softmax(dim=0)
        top_p = random_whole(generator, 20, 95) / 100
        ordered = chances.sort(descending=True).values
        if ordered.diff().abs().min() > 0.001 and (ordered.cumsum(dim=0) - top_p).abs().min() > 0.01:
            return Case(chances, top_p)


def _sorted_parts(probabilities, top_p):
    """The probabilities in order, the ids they came from, and which of them stay."""
    ordered, order = probabilities.sort(descending=True)
    return ordered, order, ordered.cumsum(dim=0) - ordered < top_p


def _misplaced(kept_of):
    """A wrong answer: `kept_of(probabilities, ordered, order, stays)`, divided by its sum."""

    def wrong(probabilities, top_p):
        kept = kept_of(probabilities, *_sorted_parts(probabilities, top_p))
        return kept / kept.sum()

    return wrong


def _renewed(spread):
    """A wrong answer: the right tokens stay, with other probabilities, `spread(probabilities, stays)`."""
    return lambda probabilities, top_p: spread(probabilities, likely_only(probabilities, top_p) > 0)


LIKELY_ONLY = Exercise(
    id="14.2",
    title="Only the likely tokens",
    reference=likely_only,
    cases=(
        Case(torch.tensor([0.25, 0.125, 0.625]), 0.75),
        Case(torch.tensor([0.25, 0.5, 0.1875, 0.0625]), 0.75),
        Case(torch.tensor([0.0625, 0.1875, 0.25, 0.5]), 0.5),
        Case(torch.tensor([0.125, 0.8125, 0.0625]), 0.5),
        Case(torch.tensor([0.125, 0.5, 0.375]), 1.0),
        Case(torch.tensor([0.25, 0.1875, 0.5, 0.0625]), 0.875),
        Case(torch.tensor([0.3125, 0.375, 0.25, 0.0625]), 0.5),
        *random_cases(6, seed=143, make=_chance_case),
    ),
    mistakes=(
        Mistake(
            _kept(lambda ordered, cumulated, top_p: cumulated <= top_p),
            "The token with which the sum crosses top_p is dropped. It stays: the others alone do not reach top_p.",
        ),
        Mistake(
            lambda probabilities, top_p: torch.where(likely_only(probabilities, top_p) > 0, probabilities, 0),
            "What is left no longer adds up to 1. Divide by its sum, so that the kept tokens "
            "share all the probability.",
        ),
        Mistake(
            _kept(lambda ordered, cumulated, top_p: ordered >= top_p),
            "Each probability is compared with top_p by itself. It is the sum of the most likely ones that has to "
            "reach top_p.",
        ),
        Mistake(
            _kept(lambda ordered, cumulated, top_p: cumulated - ordered < top_p, descending=False),
            "The sum starts with the least likely token. Sort in descending order, so that the unlikely ones are left "
            "out.",
        ),
        Mistake(
            _kept(lambda ordered, cumulated, top_p: (ordered >= 1 - top_p) | (ordered == ordered.max())),
            "Each token is compared with a threshold. How many stay depends on their *sum*: add up from the most "
            "likely one, until top_p is reached.",
        ),
        Mistake(
            _sorted_output,
            "The kept probabilities come back sorted. The place of a probability says which token it belongs to: put "
            "each back into its own place.",
        ),
        Mistake(
            _in_order_of_ids,
            "The sum runs in the order of the ids. Sort first: the most likely tokens are the ones to keep.",
        ),
        Mistake(
            lambda probabilities, top_p: torch.where(likely_only(probabilities, top_p) > 0, probabilities, 0) / top_p,
            "The kept tokens are divided by top_p, but together they usually have more than that. Divide by their own "
            "sum.",
        ),
        Mistake(
            _kept(_share_of_tokens),
            "That keeps a share of the tokens. top_p is a share of the probability: where the model is sure, one token "
            "may be enough.",
        ),
        Mistake(
            _kept(lambda ordered, cumulated, top_p: cumulated - ordered <= top_p),
            "One token too many stays where the sum is exactly top_p. Then top_p is reached, and no further token is "
            "needed.",
        ),
    ),
    symptoms=(
        variants(
            "Each probability is compared with 1 - top_p by itself. top_p is about the *sum* of the most likely ones.",
            _kept(lambda ordered, cumulated, top_p: ordered >= 1 - top_p),
        ),
        variants(
            "That is a share of the tokens. `top_p` is a share of the probability: add up until it is reached.",
            _kept(lambda ordered, cumulated, top_p: torch.arange(len(ordered)) < max(1, int(top_p * len(ordered)))),
            _kept(lambda ordered, cumulated, top_p: torch.arange(len(ordered)) < max(1, round(top_p * len(ordered)))),
        ),
        variants(
            "That keeps each token that is likely enough next to the most likely one (min-p). Here a *sum* decides: "
            "add up the most likely tokens until it reaches top_p.",
            lambda probabilities, top_p: (
                torch.where(probabilities >= top_p * probabilities.max(), probabilities, 0)
                / probabilities[probabilities >= top_p * probabilities.max()].sum()
            ),
        ),
        variants(
            "The right tokens were found in the sorted list, and then the wrong places were filled. `order` says where "
            "each came from: out[order] = sorted values writes them back; reading x[order] does not.",
            _misplaced(lambda probabilities, ordered, order, stays: torch.where(stays[order], probabilities, 0)),
            _misplaced(lambda probabilities, ordered, order, stays: torch.where(stays, probabilities, 0)),
            _misplaced(lambda probabilities, ordered, order, stays: torch.where(stays, ordered, 0)[order]),
        ),
        variants(
            "One token too many stays every time. The token that reaches top_p is the last one.",
            _kept(lambda ordered, cumulated, top_p: torch.arange(len(ordered)) < (cumulated < top_p).sum() + 2),
        ),
        variants(
            "The right tokens stay, but their proportions have changed. Divide them by their sum; do not use a "
            "softmax or equal shares.",
            _renewed(lambda probabilities, stays: probabilities.masked_fill(~stays, -torch.inf).softmax(dim=0)),
            _renewed(lambda probabilities, stays: stays / stays.sum()),
        ),
        variants(
            "Only the most likely token stays. Others follow until the sum reaches top_p.",
            lambda probabilities, top_p: (probabilities == probabilities.max()).float(),
            lambda probabilities, top_p: torch.where(probabilities == probabilities.max(), probabilities, 0),
        ),
        variants(
            "That keeps the unlikely tokens, those beyond top_p. Keep the ones before it.",
            _kept(lambda ordered, cumulated, top_p: cumulated - ordered >= top_p),
            lambda probabilities, top_p: torch.where(likely_only(probabilities, top_p) > 0, 0, probabilities),
        ),
        variants(
            "The sum is compared with 1 - top_p. The kept tokens together reach top_p itself.",
            _kept(lambda ordered, cumulated, top_p: cumulated - ordered < 1 - top_p),
        ),
        variants(
            "Two things: the token with which the sum crosses top_p stays too, and what is left is divided by its sum.",
            lambda probabilities, top_p: (
                torch.where(
                    probabilities
                    >= _sorted_parts(probabilities, top_p)[0][
                        max(0, int((_sorted_parts(probabilities, top_p)[0].cumsum(dim=0) <= top_p).sum()) - 1)
                    ],
                    probabilities,
                    0,
                )
                * (probabilities.max() <= top_p)
            ),
        ),
        Symptom(
            lambda got, expected, arguments: got.dtype == torch.bool,
            "Those are True and False. Return probabilities: for the kept tokens divided by their sum, and 0 for the "
            "others.",
            (lambda probabilities, top_p: likely_only(probabilities, top_p) > 0,),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == int((expected > 0).sum()) and not torch.equal(got, expected),
            "Some tokens are missing. The result has an entry for every token: 0 for a token that is dropped.",
            (
                lambda probabilities, top_p: likely_only(probabilities, top_p)[likely_only(probabilities, top_p) > 0],
                lambda probabilities, top_p: (likely_only(probabilities, top_p) > 0).nonzero()[:, 0],
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got.shape == expected.shape
                and float(arguments["probabilities"][got > 0].sum()) < arguments["top_p"] - 1e-4
            ),
            "The kept tokens together do not reach top_p. Keep the most likely ones until they do.",
            (
                lambda probabilities, top_p: (
                    torch.where(probabilities == probabilities.min(), 1.0, 0.0)
                    if top_p < 1
                    else torch.zeros_like(probabilities)
                ),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                got.shape == expected.shape
                and bool(((got > 0) == (expected > 0)).all())
                and not torch.allclose(got.double(), expected.double())
            ),
            "The right tokens stay, with the wrong probabilities. Divide each by the sum of the kept ones.",
            (lambda probabilities, top_p: likely_only(probabilities, top_p) / 3,),
        ),
    ),
    also_correct=(_by_loops, _in_numpy, _without_sorting, _by_taking_away),
    forbidden=(Sampling.probabilities,),
)
