"""Lesson 11, exercise 11.3: each picture draws for itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 11.3 -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A change of pictures that shows in their values: times `factor`, and then plus `offset`.

    >>> Change(2, 1)(tensor([3.0]))
    tensor([7.])
    """

    factor: int
    offset: int

    def __call__(self, pictures: Tensor) -> Tensor:
        return pictures * self.factor + self.offset

    def __repr__(self) -> str:
        times = f"{self.factor} * pictures" if self.factor != 1 else "pictures"
        return f"({times} + {self.offset})" if self.offset else f"({times})"


Steps = Sequence[tuple[Callable[[Tensor], Tensor], float]]


def apply_steps(pictures: Tensor, steps: Steps, draws: Tensor) -> Tensor:
    """The pictures after all steps; step s happens to picture i where draws[s, i] is below its probability."""
    for (change, probability), draw in zip(steps, draws):
        happens = (draw < probability).reshape(-1, *[1] * (pictures.ndim - 1))
        pictures = torch.where(happens, change(pictures), pictures)
    return pictures


def _one_by_one(pictures, steps, draws):
    done = []
    for at, picture in enumerate(pictures):
        for number, (change, probability) in enumerate(steps):
            if draws[number, at] < probability:
                picture = change(picture)
        done.append(picture)
    return torch.stack(done)


def _rows_in_numpy(pictures, steps, draws):
    pictures = pictures.numpy().copy()
    for (change, probability), draw in zip(steps, draws.numpy()):
        rows = draw < probability
        pictures[rows] = change(pictures[rows])
    return pictures


def _from_the_start(pictures, steps, draws):
    done = pictures
    for (change, probability), draw in zip(steps, draws):
        done = torch.where((draw < probability)[:, None, None], change(pictures), done)
    return done


def _steps_case(generator: torch.Generator) -> Case:
    count, steps = random_whole(generator, 3, 5), random_whole(generator, 2, 3)
    pictures = torch.randint(0, 9, (count, 1, 2), generator=generator).float()
    changes = [Change(random_whole(generator, 2, 3), random_whole(generator, 1, 4)) for _ in range(steps)]
    draws = torch.rand(steps, count, generator=generator).round(decimals=2)
    draws[:, 0], draws[:, 1] = draws[:, 0] / 4, 0.9 + draws[:, 1] / 20  # the first always changes, the second never
    return Case(pictures, [(change, random_whole(generator, 3, 8) / 10) for change in changes], draws)


_ONE, _TWICE = Change(1, 1), Change(2, 0)


def _decided(happens, change_from=None):
    """A wrong answer: `happens(draws of a step, probability)` decides, [N] or one for all."""

    def wrong(pictures, steps, draws):
        for (change, probability), draw in zip(steps, draws):
            where = torch.as_tensor(happens(draw, probability)).reshape(-1, 1, 1)
            pictures = torch.where(where, change(pictures), pictures)
        return pictures

    return wrong


def _one_per_picture(goes_on):
    """A wrong answer: each picture goes through the steps until `goes_on(happened)` is False."""

    def wrong(pictures, steps, draws):
        done = []
        for at, picture in enumerate(pictures):
            for (change, probability), draw in zip(steps, draws):
                happened = bool(draw[at] < probability)
                picture = change(picture) if happened else picture
                if not goes_on(happened):
                    break
            done.append(picture)
        return torch.stack(done)

    return wrong


def _back_to_the_original(pictures, steps, draws):
    done = pictures
    for (change, probability), draw in zip(steps, draws):
        done = torch.where((draw < probability)[:, None, None], change(done), pictures)
    return done


def _wiped(pictures, steps, draws):
    for (change, probability), draw in zip(steps, draws):
        pictures = change(pictures) * (draw < probability)[:, None, None]
    return pictures


def _blended(pictures, steps, draws):
    for change, probability in steps:
        pictures = probability * change(pictures) + (1 - probability) * pictures
    return pictures


def _all_or_none(pictures, steps, draws):
    done = pictures
    for change, _ in steps:
        done = change(done)
    happens = (draws < tensor([probability for _, probability in steps])[:, None]).all(dim=0)
    return torch.where(happens[:, None, None], done, pictures)


APPLY_STEPS = Exercise(
    id="11.3",
    title="Each picture for itself",
    reference=apply_steps,
    cases=(
        Case(tensor([[[5.0]], [[6.0]]]), [(_ONE, 0.5)], tensor([[0.2, 0.8]])),
        Case(tensor([[[5.0]], [[6.0]]]), [(_ONE, 0.5)], tensor([[0.5, 0.1]])),
        Case(tensor([[[5.0]], [[6.0]]]), [(_ONE, 0.5)], tensor([[0.8, 0.9]])),
        Case(
            tensor([[[5.0]], [[6.0]], [[7.0]]]),
            [(_ONE, 0.5), (_TWICE, 0.5)],
            tensor([[0.1, 0.2, 0.9], [0.3, 0.7, 0.4]]),
        ),
        *random_cases(8, seed=113, make=_steps_case),
    ),
    mistakes=(
        Mistake(
            _decided(lambda draw, probability: draw <= probability),
            "A draw that equals the probability counts as a hit here. A step happens where the draw is *below* it: <, "
            "not <=.",
        ),
        Mistake(
            lambda pictures, steps, draws: apply_steps(pictures, steps, draws[:, :1].expand_as(draws)),
            "One draw for the whole batch: either all pictures are changed, or none. Picture i has a draw of its own, "
            "draws[s, i].",
        ),
        Mistake(
            lambda pictures, steps, draws: apply_steps(pictures, steps, draws[:1].expand_as(draws)),
            "All steps use the first step's draws, so they happen together or never. Each step has its own draws: row "
            "s.",
        ),
        Mistake(
            lambda pictures, steps, draws: apply_steps(pictures, [(change, 1.0) for change, _ in steps], draws),
            "Every step happens to every picture: the probability is not used.",
        ),
        Mistake(
            lambda pictures, steps, draws: apply_steps(
                pictures, steps, draws.amin(dim=1, keepdim=True).expand_as(draws)
            ),
            "Where one picture's draw is below the probability, all pictures are changed. Decide for each picture by "
            "itself.",
        ),
        Mistake(
            _from_the_start,
            "The second step starts from the original and undoes the first. Apply the steps one after the other, each "
            "to the result of the one before.",
        ),
        Mistake(
            lambda pictures, steps, draws: apply_steps(pictures, steps[::-1], draws.flip(0)),
            "The order is reversed. The first step comes first: shift then turn is not turn then shift.",
        ),
    ),
    symptoms=(
        variants(
            "That applies all steps or none. A picture may get the first step and not the second: decide for each "
            "step by its own draw.",
            _all_or_none,
        ),
        variants(
            "That is the wrong side of the probability. A draw from 0 to 1 is below 0.3 with probability 0.3: a step "
            "happens where the draw is *below*.",
            _decided(lambda draw, probability: draw > probability),
            _decided(lambda draw, probability: draw >= probability),
        ),
        variants(
            "One decision for the whole batch, from all its draws together. Each picture decides by its own draw.",
            _decided(lambda draw, probability: (draw < probability).all()),
            _decided(lambda draw, probability: draw.mean() < probability),
        ),
        variants(
            "A picture whose draw is too high goes back to the original, and loses the earlier changes. Keep it as "
            "the last step left it.",
            _back_to_the_original,
        ),
        variants("A picture whose step does not happen becomes 0. It stays as it is.", _wiped),
        variants(
            "Only the first step is done. Is `return` inside the loop?",
            lambda pictures, steps, draws: apply_steps(pictures, steps[:1], draws[:1]),
        ),
        variants(
            "After a step that happens, the others are skipped. Each step decides for itself, whatever came before.",
            _one_per_picture(lambda happened: not happened),
        ),
        variants(
            "After a step that does not happen, the others are skipped. Each step decides for itself, whatever came "
            "before.",
            _one_per_picture(lambda happened: happened),
        ),
        variants(
            "Every draw is compared with 0.5. Each step has its own probability.",
            _decided(lambda draw, probability: draw < 0.5),
        ),
        variants(
            "That mixes the old and the changed picture in proportion to the probability. A step happens to a picture "
            "or it does not: compare its draw.",
            _blended,
        ),
        Symptom(
            lambda got, expected, arguments: len(got) < len(expected),
            "Some pictures are missing. A picture that no step changes stays in the batch as it is.",
            (lambda pictures, steps, draws: pictures[:1],),
        ),
    ),
    also_correct=(_one_by_one, _rows_in_numpy),
)
