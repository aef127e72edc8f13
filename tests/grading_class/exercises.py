"""The exercises of lesson 90, which the grader's tests grade. It stands here so that a child process can import it."""

import torch

from teach.exercise import Case, Exercise, Mistake


def largest(weight):
    return weight.abs().max()


def stored_bytes(count, bits):
    return -(-count * bits // 8)


def double(weight):
    return 2 * weight


EXERCISES = (
    Exercise(
        id="90.1", title="The largest magnitude", reference=largest,
        cases=[Case(torch.tensor([1.0, 0.5])), Case(torch.tensor([-2.0, 1.0])), Case(torch.tensor([[-3.0], [-4.0]]))],
        mistakes=[
            Mistake(lambda weight: weight.max(), "The largest weight may be negative: take the largest magnitude."),
            Mistake(lambda weight: weight.abs().sum(), "That is the sum of all magnitudes."),
            Mistake(lambda weight: weight.abs().min(), "That is the smallest magnitude."),
        ],
    ),
    Exercise(
        id="90.2", title="Bytes of packed codes", reference=stored_bytes,
        cases=[Case(8, bits=1), Case(3, bits=4), Case(5, bits=3)],
        mistakes=[
            Mistake(lambda count, bits: count * bits // 8, "A part of a byte takes a whole one: round up."),
            Mistake(lambda count, bits: count * bits, "That counts bits: 8 of them are a byte."),
            Mistake(lambda count, bits: count, "That is one byte a code, whatever its bits."),
        ],
    ),
    Exercise(
        id="90.3", title="Twice as much", reference=double, points=2,
        cases=[Case(torch.tensor([1.0])), Case(torch.tensor([1.0, -2.0]))],
        mistakes=[
            Mistake(lambda weight: weight**2, "That is the square."),
            Mistake(lambda weight: weight + 2, "That adds two."),
            Mistake(lambda weight: weight / 2, "That is half."),
        ],
    ),
)  # fmt: skip
