"""Lesson 08, exercise 8.8: merge a change of low rank into the weight, and count what had to be learned."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import lora
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole


def merged_change(weight: Tensor, down: Tensor, up: Tensor, alpha: float) -> tuple[Tensor, int]:
    """The weight plus the low-rank change alpha / rank * up @ down, and how many weights were learned."""
    return weight + alpha / len(down) * up @ down, down.numel() + up.numel()


def _merged_in_numpy(weight, down, up, alpha):
    rank, inputs = down.shape
    change = sum(np.outer(up[:, r].numpy(), down[r].numpy()) for r in range(rank)).astype(np.float64)
    return weight.numpy() + change * alpha / rank, rank * (inputs + weight.shape[0])


def _merged_by_asking(weight, down, up, alpha):
    """The columns of a weight are what it makes of inputs with a single 1."""
    ones = torch.eye(weight.shape[1], dtype=torch.float64)
    hidden = ones @ down.double().T
    answers = ones @ weight.double().T + hidden @ up.double().T * (alpha / up.shape[1])
    return [answers.T, up.shape[0] * up.shape[1] + down.shape[0] * down.shape[1]]


def _has_another_scale(got: Tensor, expected: Tensor, weight: Tensor) -> bool:
    mine, right = (merged.double() - weight.double() for merged in (got, expected))
    if torch.allclose(mine, right):
        return False
    scale = (mine * right).sum() / right.square().sum()
    return bool(torch.allclose(mine, scale * right, atol=1e-5))


def _scaled(scale):
    """A wrong answer: the change is multiplied by `scale(alpha, rank)`."""
    return lambda weight, down, up, alpha: (weight + scale(alpha, len(down)) * up @ down, down.numel() + up.numel())


def _counted(count):
    """A wrong answer: the merged weight is right, and the count is `count(weight, down, up)`."""
    return lambda weight, down, up, alpha: (merged_change(weight, down, up, alpha)[0], count(weight, down, up))


def _lora_case(generator: torch.Generator) -> Case:
    """Small whole numbers, so that products are exact in any order; the scale is one of halves."""
    outputs, inputs, rank = random_whole(generator, 4, 7), random_whole(generator, 4, 7), random_whole(generator, 1, 3)
    shapes = (outputs, inputs), (rank, inputs), (outputs, rank)
    weight, down, up = (torch.randint(-4, 5, shape, generator=generator).float() for shape in shapes)
    return Case(weight, down, up, rank * (2.0, 4.0, 0.5, 1.5)[random_whole(generator, 0, 3)])


MERGED_CHANGE = Exercise(
    id="8.8",
    title="Merge what was learned",
    reference=merged_change,
    cases=(
        Case(tensor([[1.0, 0.0], [0.0, 1.0]]), tensor([[1.0, 2.0]]), tensor([[3.0], [4.0]]), 1.0),
        Case(tensor([[1.0, 0.0], [0.0, 1.0]]), tensor([[1.0, 2.0]]), tensor([[0.0], [0.0]]), 2.0),
        Case(
            tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
            tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]]),
            tensor([[1.0, 0.0], [0.0, 1.0]]),
            4.0,
        ),
        Case(tensor([[1.0, 0.0], [0.0, 1.0]]), tensor([[1.0, 2.0], [0.0, 1.0]]), tensor([[1.0, 0.0], [0.0, 1.0]]), 1.0),
        *random_cases(8, seed=88, make=_lora_case),
    ),
    mistakes=(
        Mistake(
            _scaled(lambda alpha, rank: alpha),
            "The change is multiplied by alpha / rank. The division is LoRA's rule of thumb: it lets one learning "
            "rate work for several ranks.",
        ),
        Mistake(_scaled(lambda alpha, rank: 1.0), "The scale is missing: the change is multiplied by alpha / rank."),
        Mistake(_scaled(lambda alpha, rank: rank / alpha), "The scale is upside down: alpha / rank."),
        Mistake(
            lambda weight, down, up, alpha: (weight + alpha / len(up) * up @ down, down.numel() + up.numel()),
            "That divides by the number of outputs. The rank is the size that both factors share: the rows of down, "
            "the columns of up.",
        ),
        Mistake(
            lambda weight, down, up, alpha: (weight + alpha / len(down) * (down.T @ up.T), down.numel() + up.numel()),
            "That is the change transposed. Down is applied to the input first, so it comes last in the product: up @ "
            "down.",
        ),
        Mistake(
            lambda weight, down, up, alpha: (weight + alpha / len(down) * (down @ up), down.numel() + up.numel()),
            "The order is reversed: up @ down, [outputs, rank] times [rank, inputs], is as large as the weight.",
        ),
        Mistake(
            _scaled(lambda alpha, rank: alpha / rank**0.5),
            "That divides by the root of the rank. LoRA divides by the rank.",
        ),
        Mistake(_scaled(lambda alpha, rank: -alpha / rank), "The change is added to the weight, not subtracted."),
        Mistake(
            lambda weight, down, up, alpha: (alpha / len(down) * up @ down, down.numel() + up.numel()),
            "That is the change alone. Merging adds it to the frozen weight.",
        ),
        Mistake(
            _counted(lambda weight, down, up: weight.numel()),
            "The change is as large as the weight, but only the numbers in its two factors were learned.",
        ),
        Mistake(
            _counted(lambda weight, down, up: weight.numel() + down.numel() + up.numel()),
            "The weight itself was frozen. Only the two factors learned.",
        ),
        Mistake(
            _counted(lambda weight, down, up: down.numel()),
            "That counts one factor. Both learn: rank * inputs and rank * outputs.",
        ),
        Mistake(
            _counted(lambda weight, down, up: up.numel()),
            "That counts the upper factor alone. Both learn: rank * inputs and rank * outputs.",
        ),
        Mistake(
            _counted(lambda weight, down, up: len(down) * weight.numel()),
            "The two factors do not multiply here, they add up: rank * (inputs + outputs).",
        ),
        Mistake(
            _counted(lambda weight, down, up: down.numel() * up.numel()),
            "That multiplies the sizes of the two factors. Both are stored: add them.",
        ),
        Mistake(
            _scaled(lambda alpha, rank: alpha // rank),
            "`//` drops the fraction: alpha / rank does not have to be whole.",
        ),
        Mistake(
            _scaled(lambda alpha, rank: 1 / rank),
            "The factor alpha is missing: the change is multiplied by alpha / rank.",
        ),
        Mistake(
            _scaled(lambda alpha, rank: (alpha / rank) ** 2),
            "The scale is applied twice, to both factors. Once is enough: to their product.",
        ),
        Mistake(
            lambda weight, down, up, alpha: (weight + alpha / down.shape[1] * up @ down, down.numel() + up.numel()),
            "That divides by the number of inputs. The rank is the size that both factors share: the rows of down.",
        ),
        Mistake(
            lambda weight, down, up, alpha: (alpha / len(down) * (weight + up @ down), down.numel() + up.numel()),
            "Only the change is scaled. The weight itself stays as it was.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: (
                got[1] != expected[1] and bool(torch.allclose(got[0].double(), expected[0].double()))
            ),
            "The merged weight is right, the count is not. Every number in both factors was learned: rank * inputs in "
            "down, and rank * outputs in up.",
            examples=tuple(
                map(
                    _counted,
                    (
                        lambda weight, down, up: len(down) + len(up),
                        lambda weight, down, up: 2 * len(down),
                        lambda weight, down, up: sum(weight.shape),
                        lambda weight, down, up: weight.numel() - down.numel() - up.numel() + 1000,
                        lambda weight, down, up: float(up.numel() + 1),
                    ),
                )
            ),
        ),
        Symptom(
            lambda got, expected, arguments: _has_another_scale(got[0], expected[0], arguments["weight"]),
            "The change has the right direction but the wrong size: it is multiplied by alpha / rank, once.",
            examples=(_scaled(lambda alpha, rank: alpha * rank + 1),),
        ),
    ),
    also_correct=(_merged_in_numpy, _merged_by_asking),
    forbidden=(lora.merge_lora, lora.LoRA.merged, lora.trainable_parameters),
)
