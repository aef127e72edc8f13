"""Lesson 11, exercise 11.5: what is learned from is augmented, and what is judged stays clean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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
    """The accuracy on the clean validation pictures, after training on pictures augmented anew in each epoch."""
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


def _for_epochs(number):
    """A wrong answer: it trains in other epochs, `number(epochs)`."""

    def wrong(model, train, validation, augment, epochs):
        for epoch in number(epochs):
            model = model.learn(augment(train[0], epoch), train[1])
        return _right(model, *validation)

    return wrong


def _after_each(join):
    """A wrong answer: the accuracies after each epoch, joined to one number."""

    def wrong(model, train, validation, augment, epochs):
        rights = []
        for epoch in range(epochs):
            model = model.learn(augment(train[0], epoch), train[1])
            rights.append(_right(model, *validation))
        return join(rights)

    return wrong


def _on_augmented(epoch_of):
    """A wrong answer: the validation pictures are augmented, as in epoch `epoch_of(epochs)`."""
    return lambda model, train, validation, augment, epochs: _right(
        _learned(model, train, augment, epochs), augment(validation[0], epoch_of(epochs)), validation[1]
    )


def _with_clean_ones(model, train, validation, augment, epochs):
    for epoch in range(epochs):
        both = torch.cat([train[0], augment(train[0], epoch)])
        model = model.learn(both, torch.cat([train[1], train[1]]))
    return _right(model, *validation)


VALIDATION_ACCURACY = Exercise(
    id="11.5",
    title="Change what it learns from, not what it is judged by",
    reference=validation_accuracy,
    cases=(
        Case(Threshold(), _pictures([0.0, 4.0], [0, 1]), _pictures([0.0, 1.0, 3.0, 4.0], [0, 0, 1, 1]), Shift(0.5), 1),
        Case(Threshold(), _pictures([0.0, 4.0], [0, 1]), _pictures([0.5, 1.0, 2.0, 2.5], [0, 0, 1, 1]), Shift(0.5), 2),
        Case(Threshold(3.0), _pictures([0.0, 4.0], [0, 1]), _pictures([2.0, 4.0, 3.0], [0, 1, 0]), Shift(0.5), 1),
        *random_cases(8, seed=115, make=_training_case),
    ),
    mistakes=(
        Mistake(
            lambda model, train, validation, augment, epochs: _right(
                _learned(model, train, lambda pictures, _: pictures, epochs), *validation
            ),
            "Nothing is augmented: the model learns from the same pictures in every epoch.",
        ),
        Mistake(
            _once,
            "The model sees the same changed pictures in every epoch. Augment them again in each epoch: inside the "
            "loop, and with the epoch's own number.",
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
            "That is the accuracy on the pictures that it learned from. Measure it on the validation pictures.",
        ),
    ),
    symptoms=(
        variants(
            "The validation pictures are changed too. They represent the pictures that the model will meet in use: "
            "leave them as they are.",
            _on_augmented(lambda epochs: 0),
            _on_augmented(lambda epochs: epochs - 1),
            _on_augmented(lambda epochs: epochs),
        ),
        variants(
            "That is the number of right answers, or it is divided by something else. The share is the number of right "
            "ones divided by the number of validation pictures.",
            lambda model, train, validation, augment, epochs: (
                validation_accuracy(model, train, validation, augment, epochs) * len(validation[1])
            ),
            lambda model, train, validation, augment, epochs: (
                validation_accuracy(model, train, validation, augment, epochs) * len(validation[1]) / len(train[1])
            ),
        ),
        variants(
            "It trains for one epoch only. Either the result of `model.learn` is not kept for the next epoch, or "
            "`return` is inside the loop.",
            _for_epochs(lambda epochs: [0]),
            _for_epochs(lambda epochs: [epochs - 1]),
        ),
        variants(
            "It trains for one epoch too many or too few: `epochs` of them, counted from 0, are `range(epochs)`.",
            _for_epochs(lambda epochs: range(epochs + 1)),
            _for_epochs(lambda epochs: range(1, epochs)),
            _for_epochs(lambda epochs: range(epochs - 1)),
        ),
        variants(
            "The augmentation gets the same epoch each time, so all epochs see the same pictures. Pass the number of "
            "the epoch.",
            _for_epochs(lambda epochs: [epochs] * epochs),
            _for_epochs(lambda epochs: [epochs - 1] * epochs),
        ),
        variants(
            "The model is judged after each epoch. Judge it once, after the last one.",
            _after_each(max),
            _after_each(lambda rights: sum(rights) / len(rights)),
        ),
        variants(
            "The model also learns from the clean pictures in each epoch. It learns from the augmented ones alone.",
            _with_clean_ones,
        ),
        variants(
            "The model learns from the validation pictures. It must not see them before it is judged: train on "
            "`train`.",
            lambda model, train, validation, augment, epochs: validation_accuracy(
                model, validation, validation, augment, epochs
            ),
        ),
        variants(
            "That is the accuracy on the augmented training pictures. Measure it on the validation pictures, as they "
            "are.",
            lambda model, train, validation, augment, epochs: _right(
                _learned(model, train, augment, epochs), augment(train[0], epochs - 1), train[1]
            ),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, tuple, Tensor)),
            "That is a list. Return one number: the accuracy after the last epoch.",
            (_after_each(lambda rights: rights),),
        ),
    ),
    also_correct=(_counted, _with_numpy),
)
