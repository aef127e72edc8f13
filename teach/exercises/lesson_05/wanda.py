"""Lesson 05, exercise 5.8: row by row, the weights that matter for what comes in."""

import torch
from torch import Tensor, tensor

from mini_lib import prune
from mini_lib.prune import second_order
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.exercises.lesson_05.choosing import keep_best
from teach.variants import variants


def wanda_mask(weight: Tensor, inputs: Tensor, kept: int) -> Tensor:
    """True for the `kept` weights of each row with the largest |w| * norm of the input; equal ones in their order."""
    return _best_of_rows(weight.abs() * inputs.norm(dim=0), kept)


def _best_of_rows(scores: Tensor, kept: int) -> Tensor:
    order = scores.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order[:, :kept], True)


def _wanda_by_hand(weight: Tensor, inputs: Tensor, kept: int) -> list[list[bool]]:
    strengths = [sum(value**2 for value in column) ** 0.5 for column in zip(*inputs.tolist())]
    rows = []
    for row in weight.tolist():
        scores = [abs(w) * strength for w, strength in zip(row, strengths)]
        best = sorted(range(len(row)), key=lambda at: (-scores[at], at))[:kept]
        rows.append([at in best for at in range(len(row))])
    return rows


def _inputs_case(generator: torch.Generator) -> Case:
    # As many rows, inputs and examples: a wrong axis still broadcasts. Inputs of both signs, of very different size.
    # Some inputs are strong in one image and others in all, so that every other measure ranks them in another way.
    size = random_whole(generator, 4, 6)
    inputs = torch.randn(size, size, generator=generator) ** 3
    inputs *= torch.logspace(0, 0.5, size)[torch.randperm(size, generator=generator)] / inputs.norm(dim=0)
    weight = 1 + torch.rand(size, size, generator=generator)
    weight *= 1 - 2 * torch.randint(0, 2, (size, size), generator=generator)
    return Case(weight.round(decimals=2), inputs.round(decimals=2), random_whole(generator, 1, size - 1))


WANDA_MASK = Exercise(
    id="5.8",
    title="Row by row, with what comes in",
    reference=wanda_mask,
    cases=(
        Case(tensor([[3.0, -2.0]]), tensor([[1.0, 4.0]]), 1),
        Case(tensor([[5.0, 4.0], [1.0, 2.0]]), tensor([[1.0, -1.0], [1.0, 1.0]]), 1),
        Case(tensor([[1.0, 3.0], [2.0, 1.0]]), tensor([[3.0, -2.0], [3.0, 2.0]]), 1),
        Case(tensor([[1.0, 3.0], [2.0, 1.0], [5.0, 4.0]]), tensor([[3.0, -2.0]]), 1),
        Case(tensor([[1.0, 3.0, 2.0]]), tensor([[3.0, 1.0, 1.0], [3.0, -1.0, 1.0]]), 2),
        Case(tensor([[1.0, 1.0]]), tensor([[3.0, 0.0], [4.0, 6.0]]), 1),
        *random_cases(10, seed=58, make=_inputs_case),
    ),
    mistakes=(
        Mistake(
            lambda weight, inputs, kept: keep_best(weight.abs() * inputs.norm(dim=0), kept * len(weight)),
            "That ranks the whole layer, and a row of small weights loses everything. Here each row keeps `kept` "
            "of its own.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows((weight.abs() * inputs.norm(dim=0)).T, kept).T,
            "There the weights of one input, a column, compete. Compare the weights of one output, a row.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs(), kept),
            "That ranks as the magnitude alone would. Each input has a norm of its own, along axis 0: a small weight "
            "on a strong input may matter more than a large one on a weak input.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.mean(dim=0).abs(), kept),
            "In a mean, inputs of both signs cancel. The norm squares them first.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.square().sum(dim=0), kept),
            "A norm ends with a square root. Without it strong inputs count twice as much as they should.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight * inputs.norm(dim=0), kept),
            "A weight of -2 matters as much as one of 2: take its magnitude.",
        ),
        Mistake(
            lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.norm(dim=1), kept),
            "That is a norm for each example. There must be one for each input: along axis 0 of `inputs`.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: len(set(got.sum(1).tolist())) > 1,
            "Your rows keep different numbers of weights. Rank the weights of each row separately, and keep `kept` "
            "of each.",
            [lambda weight, inputs, kept: keep_best(weight.abs() * inputs.norm(dim=0), kept)],
        ),
        Symptom(
            lambda got, expected, given: (
                got.sum(1).eq(got.shape[1] - given["kept"]).all() and not got.sum(1).eq(expected.sum(1)).any()
            ),
            "`kept` is how many weights of a row stay, not how many go.",
            [lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.norm(dim=0), weight.shape[1] - kept)],
        ),
        Symptom(
            lambda got, expected, given: not got.sum(1).eq(expected.sum(1)).any(),
            "Each row has to keep exactly `kept` weights.",
            [
                lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.norm(dim=0), kept + 1),
                lambda weight, inputs, kept: _best_of_rows(weight.abs() * inputs.norm(dim=0), kept - 1),
            ],
        ),
        Symptom(
            lambda got, expected, given: (
                not got.is_floating_point() and got.dtype != torch.bool and got.shape == (len(expected), given["kept"])
            ),
            "Those are places. A mask has an entry for every weight: write True at these places.",
            [lambda weight, inputs, kept: (weight.abs() * inputs.norm(dim=0)).topk(kept, dim=1).indices],
        ),
        variants(
            "`argsort` gives the place of the highest score, then that of the second, and so on: these are not ranks. "
            "Write True at the first `kept` of these places.",
            *(
                lambda weight, inputs, kept, falling=falling: (
                    (weight.abs() * inputs.norm(dim=0)).argsort(dim=1, descending=falling, stable=True) < kept
                )
                for falling in (True, False)
            ),
        ),
        variants(
            "Those are the weights with the lowest products. The highest ones stay.",
            lambda weight, inputs, kept: _best_of_rows(-weight.abs() * inputs.norm(dim=0), kept),
            lambda weight, inputs, kept: _best_of_rows(-weight.abs(), kept),
        ),
        variants(
            "The norm of an input is Euclidean: square its values in all images, add these up, take the root.",
            *(
                lambda weight, inputs, kept, size=size: _best_of_rows(weight.abs() * size(inputs), kept)
                for size in (
                    lambda x: x.abs().sum(0),
                    lambda x: x.abs().amax(0),
                    lambda x: x.amax(0),
                    lambda x: x.std(0, correction=0),
                    lambda x: x.var(0, correction=0),
                    lambda x: x.abs().sum(0).sqrt(),
                    lambda x: x[0].abs(),
                )
            ),
        ),
        variants(
            "Inputs of both signs cancel if you add them up as they are. The norm squares them first.",
            *(
                lambda weight, inputs, kept, weigh=weigh: _best_of_rows(weigh(weight, inputs.mean(0)), kept)
                for weigh in (lambda w, x: w.abs() * x, lambda w, x: w * x, lambda w, x: w * x.abs())
            ),
        ),
        variants(
            "The weight is missing: a strong input matters only as far as a weight passes it on. Rank |w| * norm.",
            lambda weight, inputs, kept: _best_of_rows(inputs.norm(dim=0).expand_as(weight), kept),
        ),
        variants(
            "The score is a product of the plain magnitude |w| and the norm: no sum, no quotient, no square of w.",
            lambda weight, inputs, kept: _best_of_rows(weight.square() * inputs.norm(dim=0), kept),
            lambda weight, inputs, kept: _best_of_rows(weight.abs() + inputs.norm(dim=0), kept),
            lambda weight, inputs, kept: _best_of_rows(weight.abs() / inputs.norm(dim=0), kept),
        ),
        Symptom(
            lambda got, expected, given: got.dtype != torch.bool and torch.equal(got != 0, expected),
            "Those are the weights or scores that stay. A mask says only whether: True or False.",
            [lambda weight, inputs, kept: weight * wanda_mask(weight, inputs, kept)],
        ),
    ),
    also_correct=(
        _wanda_by_hand,
        lambda weight, inputs, kept: _best_of_rows(weight.square() * inputs.square().mean(dim=0), kept),
    ),
    forbidden=(prune.keep_top, second_order.activation_weighted),
)
