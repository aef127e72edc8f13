"""Lesson 11, exercise 11.2: from a magnitude to a strength with a sign."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.augment.operations import Operation
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 11.2 -----------------------------------------------------------------------------------------------


def strengths(magnitudes: Tensor, negative: Tensor, weakest: float, strongest: float, signed: bool) -> Tensor:
    """Strengths in an operation's own unit, one per picture; the sign of a signed operation is the picture's own."""
    strength = weakest + (strongest - weakest) * magnitudes / 9
    return torch.where(negative & signed, -strength, strength)


def _strengths_by_hand(magnitudes, negative, weakest, strongest, signed):
    found = []
    for magnitude, backwards in zip(magnitudes.tolist(), negative.tolist()):
        strength = weakest * (9 - magnitude) / 9 + strongest * magnitude / 9
        found.append(-strength if signed and backwards else strength)
    return found


def _strengths_in_numpy(magnitudes, negative, weakest, strongest, signed):
    strength = np.interp(magnitudes.numpy(), [0, 9], [weakest, strongest])
    return strength * np.where(negative.numpy() & signed, -1, 1)


_TURN, _GREY, _BITS = (0.0, 30.0, True), (255.0, 0.0, False), (8.0, 4.0, False)  # rotate, solarize, posterize


def _strengths_case(generator: torch.Generator) -> Case:
    scale = (_TURN, _GREY, _BITS, (0.1, 0.9, True))[random_whole(generator, 0, 3)]
    negative = torch.rand(6, generator=generator) < 0.5
    negative[0] = torch.rand((), generator=generator) < 0.5
    negative[1] = ~negative[0]  # both occur
    return Case(torch.randint(1, 10, (6,), generator=generator), negative, *scale)


def _signed(strength):
    """A wrong answer: `strength(magnitudes, weakest, strongest)`, with the right signs."""

    def wrong(magnitudes, negative, weakest, strongest, signed):
        found = strength(magnitudes, weakest, strongest)
        return torch.where(negative & signed, -found, found)

    return wrong


STRENGTHS = Exercise(
    id="11.2",
    title="From a magnitude to degrees",
    reference=strengths,
    cases=(
        Case(tensor([9]), tensor([False]), *_TURN),
        Case(tensor([3, 3]), tensor([False, True]), *_TURN),
        Case(tensor([3, 6]), tensor([True, False]), *_TURN),
        Case(tensor([9, 0]), tensor([False, True]), *_BITS),
        Case(tensor([0, 9]), tensor([True, True]), 10.0, 40.0, True),
        *random_cases(8, seed=112, make=_strengths_case),
    ),
    mistakes=(
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: (
                weakest + (strongest - weakest) * magnitudes / 9 * torch.where(negative & signed, -1, 1)
            ),
            "Only the part from `weakest` on is negative. To turn the picture the other way, make the whole strength "
            "negative.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: weakest + (strongest - weakest) * magnitudes / 9,
            "The sign is never negative: all pictures turn the same way, and the model never sees the other half. "
            "Where `negative` is True, make the strength negative.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, negative, weakest, strongest, True
            ),
            "This operation has no direction, and gets a negative strength: minus 4 bits has no meaning. Change the "
            "sign only where the operation is `signed`.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, negative[0].expand(len(negative)), weakest, strongest, signed
            ),
            "One sign for the whole batch. Each picture has its own: negative[i] belongs to picture i.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes * 0.9, negative, weakest, strongest, signed
            ),
            "Divide by 9, not by 10: 0 to 9 are ten magnitudes, and the highest must give `strongest`.",
        ),
        Mistake(
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, negative, 0.0, strongest, signed
            ),
            "A scale does not have to begin at 0 or to rise. It runs from `weakest`: posterize keeps 8 bits at "
            "magnitude 0, and 4 at 9.",
        ),
    ),
    symptoms=(
        variants(
            "Two things: divide by 9, not by 10, and make the strength negative where `negative` is True.",
            lambda magnitudes, negative, weakest, strongest, signed: weakest + (strongest - weakest) * magnitudes / 10,
        ),
        variants(
            "The magnitude is not divided by 9. It runs from 0 to 9: its share of the range is magnitude / 9.",
            _signed(lambda magnitudes, weakest, strongest: weakest + (strongest - weakest) * magnitudes),
            lambda magnitudes, negative, weakest, strongest, signed: weakest + (strongest - weakest) * magnitudes,
        ),
        variants(
            "A scale may also go down, from 8 bits to 4: there strongest - weakest is negative, and stays so.",
            _signed(lambda magnitudes, weakest, strongest: weakest + abs(strongest - weakest) * magnitudes / 9),
        ),
        variants(
            "The distance from `weakest` to `strongest` is strongest - weakest, not `strongest`.",
            _signed(lambda magnitudes, weakest, strongest: weakest + strongest * magnitudes / 9),
        ),
        variants(
            "`weakest` and `strongest` are swapped: magnitude 0 gives `weakest`, and 9 gives `strongest`.",
            _signed(lambda magnitudes, weakest, strongest: strongest + (weakest - strongest) * magnitudes / 9),
        ),
        variants(
            "The share of the range is rounded to a whole number: use `/`, not `//`.",
            _signed(lambda magnitudes, weakest, strongest: weakest + (strongest - weakest) * (magnitudes // 9)),
        ),
        variants(
            "The highest magnitude is 9, whatever the batch holds: divide by 9, not by the batch's own maximum.",
            _signed(
                lambda magnitudes, weakest, strongest: weakest + (strongest - weakest) * magnitudes / magnitudes.max()
            ),
        ),
        variants(
            "Magnitudes begin at 0, which gives `weakest` itself: magnitude / 9, with nothing added.",
            _signed(lambda magnitudes, weakest, strongest: weakest + (strongest - weakest) * (magnitudes + 1) / 10),
        ),
        variants(
            "Where `negative` is True the strength is 0. The picture turns just as far the other way: -strength.",
            lambda magnitudes, negative, weakest, strongest, signed: (
                strengths(magnitudes, negative, weakest, strongest, False) * ~(negative & signed)
            ),
        ),
        variants(
            "The sign is the wrong way round: the strength is negative where `negative` is True, and only there.",
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, ~negative, weakest, strongest, signed
            ),
            lambda magnitudes, negative, weakest, strongest, signed: (
                -strengths(magnitudes, negative, weakest, strongest, signed)
            ),
        ),
        variants(
            "The sign is decided for the batch as a whole. Each picture has drawn its own direction, negative[i].",
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, negative.any().expand(len(negative)), weakest, strongest, signed
            ),
            lambda magnitudes, negative, weakest, strongest, signed: strengths(
                magnitudes, torch.ones_like(negative), weakest, strongest, signed
            ),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (int, float)),
            "That is one number. Each picture has a magnitude and a direction of its own: return one strength per "
            "picture.",
            (
                lambda magnitudes, negative, weakest, strongest, signed: (
                    weakest + (strongest - weakest) * int(magnitudes[0]) / 9
                ),
            ),
        ),
    ),
    also_correct=(_strengths_by_hand, _strengths_in_numpy),
    forbidden=(Operation.strength,),
)
