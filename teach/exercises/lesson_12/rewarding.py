"""Lesson 12, exercise 12.2: what a trial is worth."""

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases
from teach.variants import variants

# 12.2 -----------------------------------------------------------------------------------------------

Pictures = tuple[Tensor, Tensor]


def reward(child, augment, splits: dict[str, Pictures]) -> Tensor:
    """The child's accuracy on the validation pictures as they are."""
    pictures, labels = splits["validation"]
    return (child(pictures).argmax(dim=1) == labels).float().mean()


def _reward_in_numpy(child, augment, splits):
    pictures, labels = splits["validation"]
    return np.mean(child(pictures).numpy().argmax(axis=1) == labels.numpy())


def _reward_in_a_loop(child, augment, splits):
    right = 0
    for picture, label in zip(*splits["validation"]):
        scores = child(picture[None])[0].tolist()
        right += scores.index(max(scores)) == int(label)
    return right / len(splits["validation"][1])


def _accuracy(child, pictures, labels):
    return (child(pictures).argmax(dim=1) == labels).double().mean()


def _on(part: str, augmented: bool = False):
    """The accuracy on one split, augmented or not."""

    def measured(child, augment, splits):
        pictures, labels = splits[part]
        return _accuracy(child, augment(pictures) if augmented else pictures, labels)

    return measured


def _with_test_too(child, augment, splits):
    pictures, labels = (torch.cat([splits[part][at] for part in ("validation", "test")]) for at in (0, 1))
    return _accuracy(child, pictures, labels)


def _count(child, augment, splits):
    pictures, labels = splits["validation"]
    return (child(pictures).argmax(dim=1) == labels).sum()


def _minus_loss(child, augment, splits):
    pictures, labels = splits["validation"]
    return -torch.nn.functional.cross_entropy(child(pictures), labels)


def brightest_side(pictures: Tensor) -> Tensor:
    """A child that looks where the picture is brightest: the logits of "left" and "right" of pictures [N, width]."""
    left, right = pictures.chunk(2, dim=1)
    return torch.stack([left.sum(dim=1), right.sum(dim=1)], dim=1)


def moved(pictures: Tensor) -> Tensor:
    """An augmentation that moves pictures by one pixel: what leaves on the right comes back on the left."""
    return pictures.roll(1, dims=1)


def _with_errors(places: Tensor, wrong: int) -> Pictures:
    """Pictures [N, 4] with one bright pixel each, of which the child gets the last `wrong` ones wrong."""
    pictures = torch.nn.functional.one_hot(places, 4).float()
    labels = (places >= 2).long()
    labels[len(labels) - wrong :] = 1 - labels[len(labels) - wrong :]
    return pictures, labels


def _children_case(generator: torch.Generator) -> Case:
    counts, errors = {"train": 12, "validation": 8, "test": 10}, torch.randperm(3, generator=generator).tolist()
    splits = {
        part: _with_errors(torch.randint(4, (count,), generator=generator), 1 + error)
        for (part, count), error in zip(counts.items(), errors)
    }
    return Case(brightest_side, moved, splits).called("a child and three splits")


def _small_case(train: int, validation: int, test: int) -> Case:
    """Four pictures in each split, of which the child gets this many right."""
    right = {"train": train, "validation": validation, "test": test}
    splits = {part: _with_errors(tensor([0, 1, 2, 0]), 4 - count) for part, count in right.items()}
    told = ", ".join(f"{count} of 4 {part}" for part, count in right.items())
    return Case(brightest_side, moved, splits).called(f"a child that is right for {told} pictures")


def darkest_side(pictures: Tensor) -> Tensor:
    """A child that looks where the picture is darkest: the logits of brightest_side, exchanged."""
    return brightest_side(pictures).flip(1)


def _of_both(join, parts=("validation", "train"), augmented=(False, False)):
    """A wrong answer: two accuracies joined to one number."""
    return lambda child, augment, splits: join(
        *(_on(part, also)(child, augment, splits) for part, also in zip(parts, augmented))
    )


def _from_logits(formula):
    """A wrong answer: `formula(logits, labels)` of the validation pictures."""
    return lambda child, augment, splits: formula(child(splits["validation"][0]), splits["validation"][1])


def _half(one, other):
    return (one + other) / 2


REWARD = Exercise(
    id="12.2",
    title="What a policy is worth",
    reference=reward,
    cases=(
        _small_case(train=4, validation=3, test=2),
        _small_case(train=4, validation=1, test=3),
        Case(
            darkest_side,
            moved,
            {
                part: _with_errors(tensor([0, 1, 2, 0]), wrong)
                for part, wrong in (("train", 2), ("validation", 1), ("test", 0))
            },
        ).called("a child that looks at the darkest side, and is right for 1 of 4 validation pictures"),
        *random_cases(6, seed=122, make=_children_case),
    ),
    mistakes=(
        Mistake(
            _on("train"),
            "That is measured on the training pictures. The policy that changes nothing makes them easiest to learn by "
            "heart, so it would win: measure on validation pictures.",
        ),
        Mistake(
            _on("train", augmented=True),
            "Those are the training pictures, and augmented as well. The easiest policy would win. Measure on "
            "validation pictures, as they are.",
        ),
        Mistake(
            _on("test"),
            "That is measured on the test pictures, and then the search learns from them: no data is left for an "
            "honest result. Choose with the validation pictures.",
        ),
        Mistake(
            _on("validation", augmented=True),
            "The validation pictures were augmented. They represent real pictures, which are not augmented, and each "
            "policy would be judged on different pictures. Leave them as they are.",
        ),
        Mistake(
            _with_test_too,
            "The test pictures take part. They are only for the report: choose with the validation pictures alone.",
        ),
        Mistake(
            _count,
            "That counts the right answers. The reward is their share: divide by the number of validation pictures.",
        ),
        Mistake(
            _minus_loss,
            "That is the negative loss. It may serve as a reward, but the exercise asks for the accuracy: the share "
            "of pictures whose largest logit belongs to their class.",
        ),
        Mistake(
            lambda child, augment, splits: 1 - reward(child, augment, splits),
            "That is the share of errors: the search would look for the worst policy. Compare the class with the "
            "*largest* logit with the label, and take the share that is equal.",
        ),
        Mistake(
            lambda child, augment, splits: 100 * reward(child, augment, splits),
            "That is the accuracy in percent. The exercise asks for a share, in [0, 1].",
        ),
    ),
    symptoms=(
        variants(
            "`argmax` runs over the pictures. A row holds the logits of one picture: take argmax(dim=1).",
            _from_logits(lambda logits, labels: (logits.argmax(dim=0) == labels[: logits.shape[1]]).double().mean()),
        ),
        variants(
            "Those are the test pictures, and augmented as well. Choose with the validation pictures, as they are.",
            _on("test", augmented=True),
        ),
        variants(
            "The labels are compared with the logits themselves, or with the index of the largest logit of all. Take "
            "the class with the largest logit of each picture: argmax over dim 1.",
            _from_logits(lambda logits, labels: (logits.argmax() == labels).double().mean()),
            _from_logits(lambda logits, labels: (logits.max(dim=1).values == labels).double().mean()),
        ),
        variants(
            "That is the loss, which is small for a good child. The exercise asks for the accuracy.",
            _from_logits(torch.nn.functional.cross_entropy),
        ),
        variants(
            "That is the mean probability of the right class. The accuracy only counts: a picture is right, or it is "
            "not.",
            _from_logits(lambda logits, labels: logits.softmax(dim=1).gather(1, labels[:, None]).mean()),
        ),
        variants(
            "Two accuracies are mixed. Measure a policy on the validation pictures alone, as they are.",
            _of_both(_half),
            _of_both(_half, ("validation", "test")),
            _of_both(_half, ("validation", "validation"), (False, True)),
            lambda child, augment, splits: sum(_on(part)(child, augment, splits) for part in splits) / 3,
        ),
        variants(
            "That is a difference of two accuracies. Return the accuracy itself, on the validation pictures.",
            _of_both(lambda one, other: one - other),
            _of_both(lambda one, other: other - one),
            _of_both(lambda one, other: other - one, ("validation", "validation"), (False, True)),
        ),
        variants(
            "The number of right answers is divided by something else. Divide by the number of validation pictures.",
            lambda child, augment, splits: _count(child, augment, splits) / len(splits["train"][1]),
            _from_logits(lambda logits, labels: (logits.argmax(dim=1) == labels).sum() / logits.numel()),
        ),
        Symptom(
            lambda got, expected, arguments: isinstance(got, (list, Tensor)) and len(got) > 1,
            "That says for each picture whether it is right. Return one number: the mean.",
            (_from_logits(lambda logits, labels: (logits.argmax(dim=1) == labels).double()),),
        ),
    ),
    also_correct=(_reward_in_numpy, _reward_in_a_loop),
)
