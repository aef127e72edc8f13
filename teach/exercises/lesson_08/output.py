"""Lesson 08, exercise 8.6: the weight of low rank that changes the output least, and the bias that goes with it."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib.factorize import data_aware, low_rank
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.exercises.lesson_08.factors import spread_matrix


def nearest_output(weight: Tensor, bias: Tensor, mean: Tensor, root: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The weight of this rank and the bias that change the output least; root @ root is the inputs' covariance."""
    left = torch.linalg.svd(weight @ root).U[:, :rank]
    new = left @ left.T @ weight
    return new, bias + (weight - new) @ mean


def _nearest_by_components(weight, bias, mean, root, rank):
    """The principal components of the outputs, from their covariance."""
    wide = weight.double().numpy()
    spread = root.double().numpy()
    _, components = np.linalg.eigh(wide @ spread @ spread.T @ wide.T)  # smallest first
    lost = components[:, :-rank] @ components[:, :-rank].T @ wide
    return wide - lost, bias.double().numpy() + lost @ mean.double().numpy()


def _nearest_by_solving(weight, bias, mean, root, rank):
    """Cut what the inputs make of the weight, then take the inputs out again."""
    weight, root = weight.double(), root.double()
    new = torch.linalg.solve(root, _cut(weight @ root, rank), left=False)
    return new, bias + (weight - new) @ mean.double()


def _cut(matrix: Tensor, rank: int) -> Tensor:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] * values[:rank] @ right[:rank]


def _weight(new):
    """A wrong answer: another weight `new(weight, root, rank)`, with the bias that goes with it."""

    def wrong(weight, bias, mean, root, rank):
        other = new(weight, root, rank)
        return other, bias + (weight - other) @ mean

    return wrong


def _bias(new):
    """A wrong answer: the right weight, and the bias `new(weight, right weight, bias, mean)`."""

    def wrong(weight, bias, mean, root, rank):
        near = nearest_output(weight, bias, mean, root, rank)[0]
        return near, new(weight, near, bias, mean)

    return wrong


def _bias_by_all(new):
    """A wrong answer: the right weight, and the bias `new(weight, right weight, bias, mean, root)`."""

    def wrong(weight, bias, mean, root, rank):
        near = _near(weight, root, rank)
        return near, new(weight, near, bias, mean, root)

    return wrong


def _near(weight, root, rank):
    left = torch.linalg.svd(weight @ root).U[:, :rank]
    return left @ left.T @ weight


def _by_rows(weight, root, rank):
    left = torch.linalg.svd(weight @ root, full_matrices=False).U[:rank]
    return left.T @ left @ weight


def _by_covariance(weight, root, rank):
    left = torch.linalg.svd(weight @ root @ root).U[:, :rank]
    return left @ left.T @ weight


def _by_input_directions(weight, root, rank):
    right = torch.linalg.svd(weight @ root, full_matrices=False).Vh[:rank]
    return weight @ right.T @ right


def _smallest(weight, root, rank):
    left = torch.linalg.svd(weight @ root, full_matrices=False).U[:, -rank:]
    return left @ left.T @ weight


def _by_second_moment(weight, bias, mean, root, rank):
    second = root @ root + torch.outer(mean, mean)
    left = torch.linalg.eigh(weight @ second @ weight.T).eigenvectors[:, -rank:]
    other = left @ left.T @ weight
    return other, bias + (weight - other) @ mean


def _moments_case(generator: torch.Generator) -> Case:
    """Inputs that vary by 1 to 8 along their directions, and outputs that vary by 8, 4, 2, ... along theirs."""
    rows, columns = random_whole(generator, 4, 5), random_whole(generator, 4, 6)
    turn = torch.linalg.qr(torch.randn(columns, columns, generator=generator).double()).Q
    spread = 2.0 ** torch.randint(0, 4, (columns,), generator=generator).double()
    spread[0], spread[1] = 1.0, 8.0
    weight = spread_matrix(generator, rows, columns).double() @ (turn / spread) @ turn.T
    bias, mean = torch.randn(rows, generator=generator), torch.randn(columns, generator=generator)
    root = ((turn * spread) @ turn.T).float()
    return Case(weight.float(), bias.round(decimals=1), mean.round(decimals=1), root, random_whole(generator, 1, 3))


NEAREST_OUTPUT = Exercise(
    id="8.6",
    title="Near in what comes out",
    reference=nearest_output,
    cases=(
        Case(
            tensor([[2.0, 0.0], [0.0, 1.0]]),
            tensor([0.0, 0.0]),
            tensor([0.0, 0.0]),
            tensor([[1.0, 0.0], [0.0, 4.0]]),
            1,
        ),
        Case(
            tensor([[2.0, 0.0], [0.0, 1.0]]),
            tensor([0.5, 0.5]),
            tensor([3.0, 5.0]),
            tensor([[1.0, 0.0], [0.0, 4.0]]),
            1,
        ),
        Case(
            tensor([[6.0, 0.0], [0.0, 1.0]]),
            tensor([1.0, 0.0]),
            tensor([2.0, 1.0]),
            tensor([[1.0, 0.0], [0.0, 4.0]]),
            1,
        ),
        Case(
            tensor([[0.0, 2.0], [1.0, 0.0]]),
            tensor([0.0, 0.0]),
            tensor([3.0, 5.0]),
            tensor([[1.0, 0.0], [0.0, 4.0]]),
            1,
        ),
        *random_cases(8, seed=86, make=_moments_case),
    ),
    mistakes=(
        Mistake(
            _weight(lambda weight, root, rank: _cut(weight, rank)),
            "That is nearest to the *weight*. A direction in which the inputs hardly vary may be lost for free: "
            "decompose weight @ root, which is how the outputs vary.",
        ),
        Mistake(
            _weight(_by_covariance),
            "That weighs the inputs by their covariance, which is the square of their spread. Errors are lengths: use "
            "the root of the covariance.",
        ),
        Mistake(
            _weight(lambda weight, root, rank: _cut(weight @ root, rank)),
            "That is the weight with the inputs' spread still in it, and the layer would apply it twice. Take only "
            "the directions from weight @ root, and cut the weight itself to them.",
        ),
        Mistake(
            _weight(_by_input_directions),
            "Those are the directions V, of inputs that were stretched by the root. The outputs vary along U: project "
            "from the left.",
        ),
        Mistake(
            _weight(lambda weight, root, rank: torch.linalg.solve(root, _cut(weight, rank), left=False)),
            "That cuts the weight itself, and divides by a root that was never multiplied in. Multiply first, and cut "
            "weight @ root.",
        ),
        Mistake(
            _weight(_smallest),
            "Those are the directions in which the outputs vary least. Singular values come largest first.",
        ),
        Mistake(
            _bias(lambda weight, near, bias, mean: bias.clone()),
            "The bias is unchanged. The lost part of the weight times the mean input is missing in every output: the "
            "bias can give it back.",
        ),
        Mistake(
            _bias(lambda weight, near, bias, mean: bias - (weight - near) @ mean),
            "The bias is corrected the wrong way, which doubles the error of the mean. Add the lost part, do not "
            "subtract it.",
        ),
        Mistake(
            _bias(lambda weight, near, bias, mean: (weight - near) @ mean),
            "That is the correction alone. The layer had a bias before: add to it.",
        ),
        Mistake(
            _bias(lambda weight, near, bias, mean: bias + near @ mean),
            "That adds the new weight times the mean, which the layer computes anyway. Add the lost part of the "
            "weight times the mean.",
        ),
        Mistake(
            _bias(lambda weight, near, bias, mean: bias + weight @ mean),
            "That adds the whole old weight times the mean. The new weight still computes a part of that.",
        ),
        Mistake(
            lambda weight, bias, mean, root, rank: (weight.clone(), bias.clone()),
            "The weight is unchanged: with all directions U @ U.T changes nothing. Keep the first `rank` columns of U.",
        ),
        Mistake(
            _weight(lambda weight, root, rank: weight - _near(weight, root, rank)),
            "That is the part that is lost. Return the part that is kept.",
        ),
        Mistake(_weight(_by_rows), "The directions of the output are the *columns* of U: U[:, :rank]."),
        Mistake(
            _weight(lambda weight, root, rank: _near(weight, root.diag().diag(), rank)),
            "That uses the diagonal of the root only. The inputs vary together, and the other entries say how.",
        ),
        Mistake(
            _bias_by_all(lambda weight, near, bias, mean, root: near @ torch.linalg.pinv(weight) @ bias),
            "The bias is cut along with the weight. It has no input, so it stays whole.",
        ),
        Mistake(
            _bias_by_all(lambda weight, near, bias, mean, root: bias + (weight - near) @ root @ mean),
            "The mean is taken over the inputs themselves. The root plays no part in the bias.",
        ),
        Mistake(
            _bias_by_all(lambda weight, near, bias, mean, root: bias + (weight - near).mean(1)),
            "That is the mean of the lost weights. Multiply the lost weights by the mean *input*.",
        ),
        Mistake(
            _by_second_moment,
            "Those directions still include the mean. Use only the covariance, which measures the spread around it: "
            "the bias makes up for the mean itself.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, arguments: list(got[0].shape) == [arguments["rank"], arguments["weight"].shape[1]],
            "Those are only `rank` outputs. The new weight has the shape of the old one: go back to all outputs.",
            examples=(
                lambda weight, bias, mean, root, rank: (
                    torch.linalg.svd(weight @ root).U[:, :rank].T @ weight,
                    bias * 2,
                ),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                torch.allclose(got[0].double(), expected[0].double(), atol=4e-3)
                and not torch.allclose(got[1].double(), expected[1].double(), atol=4e-3)
            ),
            "The weight is right, the bias is not. It has to make up for the lost part of the weight times the mean "
            "input.",
            examples=(_bias(lambda weight, near, bias, mean: bias + 3 * (weight - near) @ mean + 1),),
        ),
    ),
    also_correct=(_nearest_by_components, _nearest_by_solving),
    forbidden=(data_aware.output_svd, data_aware.restore_mean_output, low_rank.truncated_svd),
    # As in 8.2 the directions are off by some ten roundings of 8 * 2**-24, times 8 at rank 3; a weight of size 8 and a
    # mean of length 3 or so multiply that by 24: 1e-3.
    atol=4e-3,
)
