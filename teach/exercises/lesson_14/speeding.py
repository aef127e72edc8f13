"""Lesson 14, exercise 14.7: how much time the guesses of a draft save."""

from fractions import Fraction

import numpy as np
import torch

from mini_lib.llm.cost import Draft
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 14.7 -----------------------------------------------------------------------------------------------


def times_faster(acceptance: float, ahead: int, draft_cost: float, pass_cost: float) -> float:
    """Tokens of a pass with `ahead` guesses on average, over what it costs in steps without a draft."""
    tokens = sum(acceptance**right for right in range(ahead + 1))
    return tokens / (ahead * draft_cost + pass_cost)


def _by_the_closed_formula(acceptance, ahead, draft_cost, pass_cost):
    tokens = ahead + 1 if acceptance == 1 else (1 - acceptance ** (ahead + 1)) / (1 - acceptance)
    return tokens / (pass_cost + draft_cost * ahead)


def _by_what_may_happen(acceptance, ahead, draft_cost, pass_cost):
    """Exactly `right` guesses are right, and then one is wrong or none is left: right + 1 tokens."""
    tokens = Fraction(0)
    for right in range(ahead + 1):
        chance = Fraction(acceptance) ** right * (1 - Fraction(acceptance) if right < ahead else 1)
        tokens += chance * (right + 1)
    return tokens / (ahead * Fraction(draft_cost) + Fraction(pass_cost))


def _from_the_last_guess(acceptance, ahead, draft_cost, pass_cost):
    tokens, cost = 1.0, pass_cost
    for _ in range(ahead):
        tokens, cost = 1 + acceptance * tokens, cost + draft_cost
    return np.float64(tokens) / cost


def _rate(tokens, cost=lambda ahead, draft_cost, pass_cost: ahead * draft_cost + pass_cost):
    """A wrong answer: other tokens of a pass, or another cost."""
    return lambda acceptance, ahead, draft_cost, pass_cost: (
        tokens(acceptance, ahead) / cost(ahead, draft_cost, pass_cost)
    )


def _tokens(acceptance, ahead):
    return sum(acceptance**right for right in range(ahead + 1))


def _draft_case(generator: torch.Generator) -> Case:
    acceptance, ahead = random_whole(generator, 30, 95) / 100, random_whole(generator, 2, 8)
    return Case(acceptance, ahead, random_whole(generator, 1, 30) / 100, random_whole(generator, 11, 30) / 10)


TIMES_FASTER = Exercise(
    id="14.7",
    title="What guessing is worth",
    reference=times_faster,
    cases=(
        Case(0.5, 1, draft_cost=0.0, pass_cost=1.0),
        Case(0.5, 2, draft_cost=0.125, pass_cost=1.0),
        Case(0.5, 2, draft_cost=0.25, pass_cost=1.5),
        Case(0.0, 4, draft_cost=0.25, pass_cost=1.0),
        Case(1.0, 3, draft_cost=0.25, pass_cost=1.25),
        Case(0.75, 3, draft_cost=0.0, pass_cost=2.0),
        Case(1.0, 4, draft_cost=0.0, pass_cost=1.0),
        *random_cases(8, seed=147, make=_draft_case),
    ),
    mistakes=(
        Mistake(
            _rate(lambda acceptance, ahead: 1 + ahead * acceptance),
            "Each guess is counted by itself. A guess is kept only if all guesses before it are right: the second with "
            "acceptance**2, the third with acceptance**3.",
        ),
        Mistake(
            _rate(lambda acceptance, ahead: 1 + ahead * acceptance**ahead),
            "That is all or nothing: acceptance**ahead is the chance that every guess is right. The right ones before "
            "a wrong one are kept too.",
        ),
        Mistake(
            _rate(lambda acceptance, ahead: _tokens(acceptance, ahead) - 1),
            "The model's own token is forgotten. Each pass adds one even where no guess is right.",
        ),
        Mistake(
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: pass_cost),
            "The draft is free there. Each of its guesses costs draft_cost, right or wrong.",
        ),
        Mistake(
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: ahead * draft_cost + 1),
            "The pass costs as much as one step there. It handles ahead + 1 tokens: where arithmetic is the limit it "
            "costs more, pass_cost.",
        ),
        Mistake(
            lambda acceptance, ahead, draft_cost, pass_cost: (
                (1 - acceptance ** (ahead + 1)) / (1 - acceptance) / (ahead * draft_cost + pass_cost)
            ),
            "The short formula divides 0 by 0 where every guess is right. Add up the powers, or treat acceptance = 1 "
            "by itself: ahead + 1 tokens.",
        ),
        Mistake(
            lambda acceptance, ahead, draft_cost, pass_cost: 1 / times_faster(acceptance, ahead, draft_cost, pass_cost),
            "That is upside down: steps for each token. More tokens for the same cost must give a larger number.",
        ),
        Mistake(
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: draft_cost + pass_cost),
            "Only one guess is paid for. The draft writes its guesses one after the other: ahead * draft_cost.",
        ),
        Mistake(
            _rate(lambda acceptance, ahead: _tokens(acceptance, ahead - 1)),
            "The sum ends one power early. With `ahead` guesses there are between 1 and ahead + 1 tokens: the last "
            "power is acceptance**ahead.",
        ),
    ),
    also_correct=(_by_the_closed_formula, _by_what_may_happen, _from_the_last_guess),
    forbidden=(Draft.tokens_per_step.fget,),
)
