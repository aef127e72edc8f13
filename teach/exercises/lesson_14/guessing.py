"""Lesson 14, exercise 14.6: which guesses of a draft are accepted."""

import itertools

import numpy as np
import torch

from mini_lib.llm.model.speculative import generate_speculatively
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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


def _after(guesses_kept):
    """A wrong answer: `guesses_kept(guesses, choices, how many are right)`."""
    return lambda guesses, choices: guesses_kept(guesses, choices, _agreeing(guesses, choices))


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
            _after(lambda guesses, choices, right: choices[: right + 1] if guesses else []),
            "Without a guess the pass still adds the model's own token, choices[0].",
        ),
        Mistake(
            lambda guesses, choices: choices[: sum(g == c for g, c in zip(guesses, choices)) + 1],
            "All agreeing guesses are counted. The model's choices after a wrong guess belong to another text: stop "
            "at the first that differs.",
        ),
        Mistake(
            lambda guesses, choices: choices[: _agreeing(guesses, choices)],
            "The model's own token is missing. After the accepted guesses its choice is known as well, at no extra "
            "cost.",
        ),
        Mistake(
            lambda guesses, choices: [guess for guess, choice in zip(guesses, choices) if guess == choice],
            "All agreeing guesses are kept, and nothing else. Stop at the first that differs, and add the model's "
            "choice in its place.",
        ),
        Mistake(
            _keeps_the_wrong_guess,
            "The wrong guess is kept. Put the model's own choice in its place, or the text differs from the one "
            "without the draft.",
        ),
        Mistake(
            lambda guesses, choices: choices[: _agreeing(guesses, choices) + 2],
            "That is one token too many: it was chosen after a wrong guess. The model's token in place of the wrong "
            "guess is the last one.",
        ),
        Mistake(
            _to_the_first_match,
            "It stops at the first guess that agrees. Go on while they agree, and stop at the first that differs.",
        ),
        Mistake(
            lambda guesses, choices: choices[: _agreeing(guesses, choices[1:]) + 1],
            "Each guess is compared with the token after its own place. choices[0] is the model's token in the place "
            "of guesses[0].",
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
            "One wrong guess throws away the right ones before it. The model would have written the same: keep them.",
        ),
    ),
    symptoms=(
        variants(
            "The first choice is added, whichever guess was wrong. After n right guesses comes choices[n].",
            _after(lambda guesses, choices, right: [*guesses[:right], choices[0]]),
        ),
        variants(
            "Guesses after the first wrong one are kept. The model's choices there belong to another text: stop at "
            "the first that differs.",
            lambda guesses, choices: [g for g, c in zip(guesses, choices) if g == c] + choices[-1:],
            lambda guesses, choices: [g for g in guesses if g in choices] + choices[-1:],
            lambda guesses, choices: list(choices),
            lambda guesses, choices: list(choices[:-1]),
            lambda guesses, choices: (
                [g for g, c in zip(guesses, choices) if g == c]
                + [choices[sum(g == c for g, c in zip(guesses, choices))]]
            ),
        ),
        variants(
            "Both the wrong guess and the choice in its place are kept. The wrong guess is dropped.",
            _after(lambda guesses, choices, right: guesses[: right + 1] + choices[right : right + 1]),
        ),
        variants(
            "Where a guess is wrong, the model's own token in its place is missing. Its choice is known as well, at no "
            "extra cost.",
            _after(lambda guesses, choices, right: choices if right == len(guesses) else choices[:right]),
            _after(lambda guesses, choices, right: choices[: max(right, 1)]),
        ),
        variants(
            "Those are the guesses, right or not. Compare each with the choice in its place.",
            lambda guesses, choices: list(guesses),
            lambda guesses, choices: [*guesses, choices[-1]],
        ),
        variants(
            "The added token comes from one place too late. In place of the first wrong guess comes the choice of the "
            "same place.",
            _after(lambda guesses, choices, right: [*guesses[:right], choices[min(right + 1, len(choices) - 1)]]),
        ),
        variants(
            "The model's own token comes after the accepted guesses, not before them.",
            _after(lambda guesses, choices, right: choices[right : right + 1] + guesses[:right]),
        ),
        variants(
            "The guesses are compared from the end. A guess counts only if all those *before* it are right: start "
            "at the "
            "first.",
            lambda guesses, choices: choices[: _agreeing(guesses[::-1], choices[-2::-1]) + 1],
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, int),
            "That is a number of tokens. Return the tokens themselves, as a list.",
            (_after(lambda guesses, choices, right: right), _after(lambda guesses, choices, right: right + 1)),
        ),
    ),
    also_correct=(_by_a_loop, _in_numpy, _by_common_prefix, _recursively),
    forbidden=(generate_speculatively,),
)
