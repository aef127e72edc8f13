"""Lesson 14, exercise 14.7: how much time the guesses of a draft save."""

from fractions import Fraction

import numpy as np
import torch

from mini_lib.llm.cost import Draft
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 14.7 -----------------------------------------------------------------------------------------------


def times_faster(acceptance: float, ahead: int, draft_cost: float, pass_cost: float) -> float:
    """The average number of tokens of a pass with `ahead` guesses, over its cost in steps without a draft."""
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


def _independent(acceptance, ahead):
    return 1 + ahead * acceptance


def _one_paid(ahead, draft_cost, pass_cost):
    return draft_cost + pass_cost


def _free(ahead, draft_cost, pass_cost):
    return pass_cost


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
            _rate(lambda acceptance, ahead: 1 / (1 - acceptance)),
            "1 / (1 - acceptance) is the sum of infinitely many powers. A pass has only `ahead` guesses: the last "
            "power is acceptance**ahead.",
        ),
        Mistake(
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: ahead * draft_cost * pass_cost),
            "The two costs are multiplied. First the draft writes its guesses, then comes the pass: add them.",
        ),
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
            "The draft costs nothing there. Each of its guesses costs draft_cost, right or wrong.",
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
            "That is upside down: steps per token. More tokens for the same cost must give a larger number.",
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
    symptoms=(
        variants(
            "The two costs are swapped: the `ahead` guesses cost draft_cost each, and the one pass costs pass_cost.",
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: ahead * pass_cost + draft_cost),
        ),
        variants(
            "That sum has no end: 1 / (1 - acceptance) is its value for infinitely many guesses. Stop at "
            "acceptance**ahead.",
            _rate(lambda acceptance, ahead: 1 / (1 - acceptance) if acceptance < 1 else ahead + 1),
            _rate(lambda acceptance, ahead: _tokens(acceptance, 500) if acceptance < 1 else ahead + 1),
        ),
        variants(
            "That is the number of tokens. Divide it by the cost of the pass and of the guesses.",
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: 1),
            _rate(_independent, lambda ahead, draft_cost, pass_cost: 1),
        ),
        variants(
            "`pass_cost` is for the whole pass over ahead + 1 tokens: count it once, not per token.",
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: ahead * draft_cost + (ahead + 1) * pass_cost),
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: ahead * (draft_cost + pass_cost)),
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: (ahead + 1) * (draft_cost + pass_cost)),
        ),
        variants(
            "The draft writes `ahead` guesses, no more and no fewer, and each costs draft_cost, right or wrong.",
            _rate(_tokens, lambda ahead, draft_cost, pass_cost: (ahead + 1) * draft_cost + pass_cost),
            lambda acceptance, ahead, draft_cost, pass_cost: (
                _tokens(acceptance, ahead) / (ahead * acceptance * draft_cost + pass_cost)
            ),
            lambda acceptance, ahead, draft_cost, pass_cost: (
                _tokens(acceptance, ahead) / (_tokens(acceptance, ahead) * draft_cost + pass_cost)
            ),
            lambda acceptance, ahead, draft_cost, pass_cost: (
                _tokens(acceptance, ahead) / ((_tokens(acceptance, ahead) - 1) * draft_cost + pass_cost)
            ),
        ),
        variants(
            "A pair of brackets is missing: the tokens are divided by the *whole* cost, ahead * draft_cost + "
            "pass_cost.",
            lambda acceptance, ahead, draft_cost, pass_cost: (
                _tokens(acceptance, ahead) / ahead * draft_cost + pass_cost
            ),
            lambda acceptance, ahead, draft_cost, pass_cost: (
                _tokens(acceptance, ahead) / (ahead * draft_cost or 1) + pass_cost
            ),
        ),
        variants(
            "The number of tokens is wrong. There are 1 + a + a**2 + ... + a**ahead: the model's own, and each guess "
            "with the chance that it and all before it are right.",
            _rate(lambda acceptance, ahead: acceptance * ahead),
            _rate(lambda acceptance, ahead: 1 + acceptance**ahead),
            _rate(lambda acceptance, ahead: ahead * acceptance**ahead),
            _rate(lambda acceptance, ahead: sum(right * acceptance**right for right in range(ahead + 1))),
            _rate(lambda acceptance, ahead: 1 + acceptance * (ahead + 1)),
        ),
        variants(
            "That counts every guess as right. The second counts only with the chance acceptance**2, and so on.",
            _rate(lambda acceptance, ahead: ahead + 1),
            _rate(lambda acceptance, ahead: ahead),
        ),
        variants(
            "The chance that a guess is right is `acceptance` itself, not 1 - acceptance.",
            _rate(lambda acceptance, ahead: _tokens(1 - acceptance, ahead)),
        ),
        variants(
            "The sum has one power too many. The last guess is right with the chance acceptance**ahead.",
            _rate(lambda acceptance, ahead: _tokens(acceptance, ahead + 1)),
        ),
        variants(
            "The powers begin with acceptance**0 = 1, the model's own token. Here each of them is one too high.",
            _rate(lambda acceptance, ahead: acceptance * _tokens(acceptance, ahead)),
        ),
        variants(
            "That is a difference. How many times faster is a ratio: tokens divided by cost.",
            lambda acceptance, ahead, draft_cost, pass_cost: (
                _tokens(acceptance, ahead) - (ahead * draft_cost + pass_cost)
            ),
        ),
        variants(
            "Two things: a guess counts only if all before it are right (powers of acceptance), and each guess costs "
            "draft_cost.",
            _rate(_independent, _free),
            _rate(_independent, _one_paid),
            _rate(lambda acceptance, ahead: 1 + ahead * acceptance**ahead, _free),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, tuple)),
            "Those are several numbers. Return one: the tokens divided by the cost.",
            (
                lambda acceptance, ahead, draft_cost, pass_cost: (
                    _tokens(acceptance, ahead),
                    ahead * draft_cost + pass_cost,
                ),
            ),
        ),
    ),
    also_correct=(_by_the_closed_formula, _by_what_may_happen, _from_the_last_guess),
    forbidden=(Draft.tokens_per_step.fget,),
)
