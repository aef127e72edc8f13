"""Lesson 12, exercise 12.1: how much there is to search."""

import math

import torch
from torch import tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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


def _counted(formula):
    """A wrong answer: `formula(options of a step, steps, sub-policies)`."""
    return lambda operations, probabilities, magnitudes, steps, sub_policies: formula(
        operations * probabilities * magnitudes, steps, sub_policies
    )


def _overflowed(got, expected, arguments):
    """Whether 64 bits of the right number came back."""
    return got != expected and got == (expected + 2**63) % 2**64 - 2**63


def _in_64_bits(operations, probabilities, magnitudes, steps, sub_policies):
    return tensor(operations * probabilities * magnitudes) ** (steps * sub_policies)


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
        Case(9, 8, 7, steps=3, sub_policies=4),
        Case(10, 10, 10, steps=2, sub_policies=4),
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
            "That gives all steps the same probability and the same magnitude. Each step chooses its own, so raise "
            "the product of the three to the power.",
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
    symptoms=(
        variants(
            "The magnitude is missing. It is a choice of its own, next to the operation and the probability.",
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                (operations * probabilities) ** (steps * sub_policies)
            ),
        ),
        variants(
            "The steps are missing from the exponent. A sub-policy has several steps, and each of them makes its own "
            "three choices.",
            _counted(lambda options, steps, sub_policies: options**sub_policies),
            _counted(lambda options, steps, sub_policies: steps * options**sub_policies),
        ),
        variants(
            "That is the number of options of a single step. A policy makes such a choice steps * sub_policies times: "
            "that is the exponent.",
            _counted(lambda options, steps, sub_policies: options),
        ),
        variants(
            "Look at the order of operations: `**` comes before `*`. Put the product of the three options in brackets, "
            "and the product in the exponent too.",
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                operations * probabilities * magnitudes ** (steps * sub_policies)
            ),
            _counted(lambda options, steps, sub_policies: options**steps**sub_policies),
        ),
        variants(
            "Each step chooses its own probability and magnitude. Here they are chosen only once per sub-policy.",
            lambda operations, probabilities, magnitudes, steps, sub_policies: (
                (operations**steps * probabilities * magnitudes) ** sub_policies
            ),
        ),
        variants(
            "The order of a policy counts here: the same sub-policies in another order are another policy. Nothing is "
            "divided.",
            _counted(lambda options, steps, sub_policies: math.comb(options**steps + sub_policies - 1, sub_policies)),
            _counted(lambda options, steps, sub_policies: math.comb(options**steps, sub_policies)),
            _counted(
                lambda options, steps, sub_policies: options ** (steps * sub_policies) // math.factorial(sub_policies)
            ),
        ),
        variants(
            "A choice may be made again: each step has all options, whatever the others chose. That is a power, not a "
            "number of arrangements.",
            _counted(lambda options, steps, sub_policies: math.perm(options, steps * sub_policies)),
        ),
        variants(
            "Base and exponent are swapped: the options are the base, and the number of steps is the exponent.",
            _counted(lambda options, steps, sub_policies: (steps * sub_policies) ** options),
        ),
        variants(
            "That is the logarithm of the number. Return the number itself.",
            _counted(lambda options, steps, sub_policies: math.log10(options) * steps * sub_policies),
            _counted(lambda options, steps, sub_policies: math.log(options) * steps * sub_policies),
        ),
        Symptom(
            _overflowed,
            "The formula is right, but a tensor or an array keeps whole numbers in 64 bits, and this one does not fit. "
            "Use Python's own numbers.",
            (_in_64_bits,),
        ),
    ),
    also_correct=(_by_multiplying, _with_prod),
)
