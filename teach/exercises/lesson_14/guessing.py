"""Lesson 14, exercises 14.6 and 14.7: which guesses of a draft are accepted, and how much time they save."""

import itertools
from fractions import Fraction

import numpy as np
import torch

from mini_lib.llm.cost import Draft
from mini_lib.llm.model.speculative import generate_speculatively
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 14.6 -----------------------------------------------------------------------------------------------


def accept(guesses: list[int], choices: list[int]) -> list[int]:
    """The tokens that a pass adds: the guesses up to the first wrong one, and then the model's own token."""
    return choices[: _agreeing(guesses, choices) + 1]


def _agreeing(guesses, choices):
    return next((at for at, guess in enumerate(guesses) if guess != choices[at]), len(guesses))


def _by_a_loop(guesses, choices):
    added = []
    for guess, choice in zip(guesses, choices):
        added.append(choice)
        if guess != choice:
            return added
    return [*added, choices[-1]]


def _in_numpy(guesses, choices):
    same = np.asarray(guesses, dtype=int) == np.asarray(choices)[:-1]
    return np.asarray(choices)[: 1 + int(np.cumprod(same).sum())]


def _by_common_prefix(guesses, choices):
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(guesses, choices))
    return tuple(choices[: len(list(same)) + 1])


def _recursively(guesses, choices):
    if not guesses or guesses[0] != choices[0]:
        return choices[:1]
    return choices[:1] + _recursively(guesses[1:], choices[1:])


def _keeps_the_wrong_guess(guesses, choices):
    right = _agreeing(guesses, choices)
    return guesses[: right + 1] if right < len(guesses) else choices


def _to_the_first_match(guesses, choices):
    return choices[: next((at for at, guess in enumerate(guesses) if guess == choices[at]), len(guesses)) + 1]


def _guess_case(generator: torch.Generator) -> Case:
    """Three guesses in four are right, of a vocabulary of three, so that wrong ones often agree elsewhere."""
    choices = [random_whole(generator, 1, 3) for _ in range(random_whole(generator, 3, 7))]
    guesses = [choice if random_whole(generator, 0, 3) else random_whole(generator, 1, 3) for choice in choices[:-1]]
    return Case(guesses, choices)


ACCEPT = Exercise(
    id="14.6",
    title="Which guesses to keep",
    reference=accept,
    cases=(
        Case([5], [5, 7]),
        Case([5], [6, 7]),
        Case([5, 7], [5, 8, 9]),
        Case([5, 7], [4, 7, 9]),
        Case([5, 7], [5, 7, 9]),
        Case([], [3]),
        Case([1, 2, 3, 4], [1, 2, 9, 4, 6]),
        Case([8, 1, 2, 3], [1, 2, 3, 4, 5]),
        Case([1, 4, 5, 2], [1, 5, 2, 2, 6]),
        Case([2, 2, 2], [2, 2, 3, 2]),
        *random_cases(10, seed=146, make=_guess_case),
    ),
    mistakes=(
        Mistake(
            lambda guesses, choices: choices[: sum(g == c for g, c in zip(guesses, choices)) + 1],
            "All agreeing guesses are counted. What the model chose after a wrong guess belongs to another text: "
            "stop at the first that differs.",
        ),
        Mistake(
            lambda guesses, choices: choices[: _agreeing(guesses, choices)],
            "The model's own token is missing. After the accepted guesses its choice is known as well, at no extra "
            "cost.",
        ),
        Mistake(
            lambda guesses, choices: [guess for guess, choice in zip(guesses, choices) if guess == choice],
            "All agreeing guesses are kept, and nothing else. Stop at the first that differs, and add what the model "
            "chose in its place.",
        ),
        Mistake(
            _keeps_the_wrong_guess,
            "The wrong guess is kept. In its place comes what the model itself chose, or the text is another than "
            "without the draft.",
        ),
        Mistake(
            lambda guesses, choices: choices[: _agreeing(guesses, choices) + 2],
            "That is one token too many: it was chosen after a guess that is wrong. The model's token in place of the "
            "wrong guess is the last one.",
        ),
        Mistake(
            _to_the_first_match,
            "It stops at the first guess that agrees. Go on while they agree, and stop at the first that differs.",
        ),
        Mistake(
            lambda guesses, choices: choices[: _agreeing(guesses, choices[1:]) + 1],
            "Each guess is compared with the token after its own place. choices[0] is what the model puts where "
            "guesses[0] stands.",
        ),
        Mistake(
            lambda guesses, choices: choices[: min(_agreeing(guesses, choices) + 1, len(guesses))],
            "Where all guesses are right, the model's own token is missing. There is one more choice than there are "
            "guesses: the one after the last guess.",
        ),
        Mistake(
            lambda guesses, choices: [*guesses[: _agreeing(guesses, choices)], choices[-1]],
            "The last of all choices is added. It comes after the last guess; the text goes on with the choice in "
            "place of the first wrong guess.",
        ),
        Mistake(
            lambda guesses, choices: choices if guesses == choices[:-1] else choices[:1],
            "One wrong guess throws away the right ones before it. Those are what the model would have written: keep "
            "them.",
        ),
    ),
    also_correct=(_by_a_loop, _in_numpy, _by_common_prefix, _recursively),
    forbidden=(generate_speculatively,),
)

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
