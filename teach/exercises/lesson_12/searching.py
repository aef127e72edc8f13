"""Lesson 12, exercise 12.1: how much there is to search."""

import math

import torch

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
