"""Lesson 12, exercises 12.1 and 12.2: how much there is to search, and what a trial is worth."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 12.1 -----------------------------------------------------------------------------------------------


def space_size(operations: int, probabilities: int, magnitudes: int, steps: int, sub_policies: int) -> int:
    """The number of policies: each step of each sub-policy has an operation, a probability and a magnitude."""
    return (operations * probabilities * magnitudes) ** (steps * sub_policies)


def _by_multiplying(operations, probabilities, magnitudes, steps, sub_policies):
    found = 1
    for _ in range(sub_policies):
        for _ in range(steps):
            for options in (operations, probabilities, magnitudes):
                found *= options
    return found


def _with_prod(operations, probabilities, magnitudes, steps, sub_policies):
    return math.prod([operations, probabilities, magnitudes] * steps * sub_policies)


def _sizes_case(generator: torch.Generator) -> Case:
    operations, probabilities, magnitudes = (random_whole(generator, 2, 12) for _ in range(3))
    return Case(operations, probabilities, magnitudes, random_whole(generator, 2, 3), random_whole(generator, 2, 5))


SPACE_SIZE = Exercise(
    id="12.1",
    title="The size of the search space",
    reference=space_size,
    cases=(
        Case(3, 2, 2, steps=1, sub_policies=1),
        Case(3, 2, 2, steps=2, sub_policies=1),
        Case(3, 2, 5, steps=1, sub_policies=2),
        Case(3, 2, 5, steps=3, sub_policies=2),
        Case(16, 11, 10, steps=2, sub_policies=5),
        *random_cases(6, seed=121, make=_sizes_case),
    ),
    mistakes=(
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: operations ** (steps * sub_policies),
            "Those are the operations alone. A step also chooses its probability and its magnitude: multiply the three "
            "numbers of options first.",
        ),
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                (operations * magnitudes) ** (steps * sub_policies)
            ),
            "The probability is missing. It is a choice of its own, next to the operation and the magnitude.",
        ),
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                operations * probabilities * magnitudes * steps * sub_policies
            ),
            "Choices that are made together multiply: for each choice of the first step, the second one has all of its "
            "options. More steps are an exponent, not a factor.",
        ),
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                sub_policies * (operations * probabilities * magnitudes) ** steps
            ),
            "The sub-policies are chosen together, too: for each first one there are all of the second ones. Their "
            "number belongs in the exponent.",
        ),
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                operations ** (steps * sub_policies) * probabilities * magnitudes
            ),
            "That gives all steps the same probability and the same magnitude. Each step chooses its own, so the power "
            "is taken of the product of the three.",
        ),
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                (operations * probabilities * magnitudes) ** (steps + sub_policies)
            ),
            "The two numbers in the exponent were added. Each of the sub-policies has that many steps: a policy has "
            "steps * sub_policies of them.",
        ),
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                (operations * probabilities * magnitudes) ** steps
            ),
            "That counts the sub-policies that are possible. A policy is made of several of them: their number belongs "
            "in the exponent, too.",
        ),
        Mistake(
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                (operations + probabilities + magnitudes) ** (steps * sub_policies)
            ),
            "A step chooses an operation *and* a probability *and* a magnitude: options of choices that are made "
            "together multiply.",
        ),
    ),
    also_correct=(_by_multiplying, _with_prod),
)

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


REWARD = Exercise(
    id="12.2",
    title="What a policy is worth",
    reference=reward,
    cases=(
        _small_case(train=4, validation=3, test=2),
        _small_case(train=4, validation=1, test=3),
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
            "The validation pictures were augmented. They stand for the pictures of the real world, which nobody "
            "augments, and each policy would be judged on pictures of its own. Leave them as they are.",
        ),
        Mistake(
            _with_test_too,
            "The test pictures take part. What chooses cannot also be the report: validation pictures only.",
        ),
        Mistake(
            _count,
            "That counts the right answers. The reward is their share: divide by the number of validation pictures.",
        ),
        Mistake(
            _minus_loss,
            "That is the negative loss. It may serve as a reward, but the exercise asks for the accuracy: the share of "
            "pictures whose largest logit is that of their class.",
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
    also_correct=(_reward_in_numpy, _reward_in_a_loop),
)
