"""Lesson 11, exercises 11.3 and 11.5: each picture draws for itself, and what is judged stays clean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

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
            lambda pictures, steps, draws: apply_steps(pictures, steps, draws[:, :1].expand_as(draws)),
            "One draw for the whole batch: either all pictures are changed, or none. Picture i has a draw of its own, "
            "draws[s, i].",
        ),
        Mistake(
            lambda pictures, steps, draws: apply_steps(pictures, steps, draws[:1].expand_as(draws)),
            "All steps use the first step's draws, so they happen together or never. Each step draws anew: row s.",
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
            lambda pictures, steps, draws: apply_steps(pictures, [(change, 1 - p) for change, p in steps], 1 - draws),
            "That is the wrong side. A draw from 0 to 1 is below 0.3 with probability 0.3: a step happens where the "
            "draw is *below*.",
        ),
        Mistake(
            _from_the_start,
            "The second step starts from the original and undoes the first. Steps are done one after the other, on "
            "what the last one left.",
        ),
        Mistake(
            lambda pictures, steps, draws: apply_steps(pictures, steps[::-1], draws.flip(0)),
            "The order is turned round. The first step comes first: shifted, then turned is not turned, then shifted.",
        ),
    ),
    also_correct=(_one_by_one, _rows_in_numpy),
)

# 11.5 -----------------------------------------------------------------------------------------------

Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Shift:
    """An augmentation by another amount in each epoch: `by` in the first, twice that in the second, and so on."""

    by: float

    def __call__(self, pictures: Tensor, epoch: int) -> Tensor:
        return pictures + self.by * (epoch + 1)

    def __repr__(self) -> str:
        return f"(pictures + {self.by:g} * (epoch + 1))"


@dataclass(frozen=True)
class Threshold:
    """A model of one number: class 1 above it, class 0 below."""

    at: float = 0.0

    def learn(self, pictures: Tensor, labels: Tensor) -> "Threshold":
        """A model that has moved half of the way to the middle between the two classes."""
        values = pictures.flatten(1).mean(dim=1)
        middle = (values[labels == 0].mean() + values[labels == 1].mean()) / 2
        return Threshold(self.at + (middle.item() - self.at) / 2)

    def predict(self, pictures: Tensor) -> Tensor:
        """The class of each picture."""
        return (pictures.flatten(1).mean(dim=1) > self.at).long()

    def __repr__(self) -> str:
        return f"a threshold at {self.at:g}"


def validation_accuracy(model, train: Labelled, validation: Labelled, augment: Callable, epochs: int) -> float:
    """The share of clean validation pictures that are right after training on pictures augmented anew in each epoch."""
    pictures, labels = train
    for epoch in range(epochs):
        model = model.learn(augment(pictures, epoch), labels)
    return (model.predict(validation[0]) == validation[1]).double().mean().item()


def _counted(model, train, validation, augment, epochs):
    for epoch in range(epochs):
        model = model.learn(augment(train[0], epoch), train[1])
    right = [int(said) == int(label) for said, label in zip(model.predict(validation[0]), validation[1])]
    return sum(right) / len(right)


def _with_numpy(model, train, validation, augment, epochs):
    epoch = 0
    while epoch < epochs:
        model = model.learn(augment(train[0], epoch), train[1])
        epoch += 1
    return np.mean(np.asarray(model.predict(validation[0])) == np.asarray(validation[1]))


def _learned(model, train, augment, epochs):
    for epoch in range(epochs):
        model = model.learn(augment(train[0], epoch), train[1])
    return model


def _right(model, pictures, labels):
    return (model.predict(pictures) == labels).double().mean().item()


def _once(model, train, validation, augment, epochs):
    pictures = augment(train[0], 0)
    for _ in range(epochs):
        model = model.learn(pictures, train[1])
    return _right(model, *validation)


def _piled_up(model, train, validation, augment, epochs):
    pictures, labels = train
    for epoch in range(epochs):
        pictures = augment(pictures, epoch)
        model = model.learn(pictures, labels)
    return _right(model, *validation)


def _pictures(values: list[float], labels: list[int]) -> Labelled:
    return tensor(values).reshape(-1, 1, 1), tensor(labels)


def _training_case(generator: torch.Generator) -> Case:
    def some(count: int) -> Labelled:
        labels = torch.arange(count) % 2
        values = 4 * torch.rand(count, generator=generator) + 3 * labels
        return values.round(decimals=1).reshape(-1, 1, 1), labels

    by = random_whole(generator, 2, 4) / 8
    return Case(Threshold(), some(8), some(40), Shift(by), random_whole(generator, 3, 4))


VALIDATION_ACCURACY = Exercise(
    id="11.5",
    title="Change what it learns from, not what it is judged by",
    reference=validation_accuracy,
    cases=(
        Case(Threshold(), _pictures([0.0, 4.0], [0, 1]), _pictures([0.0, 1.0, 3.0, 4.0], [0, 0, 1, 1]), Shift(0.5), 1),
        Case(Threshold(), _pictures([0.0, 4.0], [0, 1]), _pictures([0.5, 1.0, 2.0, 2.5], [0, 0, 1, 1]), Shift(0.5), 2),
        *random_cases(8, seed=115, make=_training_case),
    ),
    mistakes=(
        Mistake(
            lambda model, train, validation, augment, epochs: _right(
                _learned(model, train, augment, epochs), augment(validation[0], 0), validation[1]
            ),
            "The validation pictures are changed too. They stand for what the model will meet in use: judge by them as "
            "they are.",
        ),
        Mistake(
            lambda model, train, validation, augment, epochs: _right(
                _learned(model, train, lambda pictures, _: pictures, epochs), *validation
            ),
            "Nothing is augmented: the model learns from the same pictures in every epoch.",
        ),
        Mistake(
            _once,
            "Augmented once, before the loop: the model sees the same changed pictures in every epoch. Change them "
            "anew in each.",
        ),
        Mistake(
            lambda model, train, validation, augment, epochs: _right(model, *validation),
            "The model that you judge has learned nothing. `model.learn` returns a new model and leaves the old one as "
            "it was: write `model = model.learn(...)`.",
        ),
        Mistake(
            lambda model, train, validation, augment, epochs: _right(
                _learned(model, train, lambda pictures, epoch: augment(pictures, epoch + 1), epochs), *validation
            ),
            "Epochs are counted from 0: the first call is `augment(pictures, 0)`.",
        ),
        Mistake(
            _piled_up,
            "The changes pile up: each epoch changes what the last one had changed. Start from the clean pictures each "
            "time.",
        ),
        Mistake(
            lambda model, train, validation, augment, epochs: _right(_learned(model, train, augment, epochs), *train),
            "That is the accuracy on the pictures that it learned from. Ask about the validation pictures.",
        ),
    ),
    also_correct=(_counted, _with_numpy),
)
