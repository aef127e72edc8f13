"""Lesson 03, exercise 3.6: three values."""

from itertools import product

import torch
from torch import Tensor, tensor

from mini_lib import quantize
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole
from teach.variants import of_tensors, variants

# 3.6 ------------------------------------------------------------------------------------------------


def best_ternary(w: Tensor) -> Tensor:
    """The codes -1, 0 and 1 with the least squared error, each set of codes with its own best scale."""
    size = w.abs().sort(descending=True).values
    gain = size.cumsum(0) ** 2 / torch.arange(1, len(w) + 1)
    threshold = size[gain.argmax()]
    return torch.where(w.abs() >= threshold, w.sign(), 0.0)


def _error(w: Tensor, codes: Tensor) -> float:
    scale = (w * codes).sum() / (codes * codes).sum()
    return ((w - scale * codes) ** 2).sum().item()


def _best_ternary_by_trying_each(w: Tensor) -> list[int]:
    tries = [tensor(codes, dtype=torch.float64) for codes in product((-1, 0, 1), repeat=len(w)) if any(codes)]
    best = min(tries, key=lambda codes: (round(_error(w.double(), codes), 9), -float(w.double() @ codes)))
    return best.int().tolist()


def _best_ternary_by_thresholds(w: Tensor) -> Tensor:
    tries = [w.sign() * (w.abs() >= threshold) for threshold in w.abs()]
    return min(tries, key=lambda codes: _error(w.double(), codes.double()))


def _keep_if(kept: Tensor, w: Tensor) -> Tensor:
    return w.sign() * kept


def _kept(gain, shift=0):
    """The codes where the number of weights kept is that of another gain."""

    def wrong(w):
        size = w.abs().sort(descending=True).values
        at = int(gain(size, torch.arange(1, len(w) + 1)).argmax()) + shift
        return _keep_if(w.abs() >= (size[at] if at >= 0 else size[0] + 1), w)

    return wrong


def _kept_by_place(w):
    size = w.abs().sort(descending=True).values
    at = int((size.cumsum(0) ** 2 / torch.arange(1, len(w) + 1)).argmax())
    return _keep_if(w.abs() >= size[max(at, 1) - 1], w)


def _best_by_value(w: Tensor) -> int:
    value, order = w.sort(descending=True)
    return int(order[(value.cumsum(0) ** 2 / torch.arange(1, len(w) + 1)).argmax()])


def _skips(codes: Tensor, w: Tensor) -> bool:
    """Whether a weight is 0 although a smaller one is kept."""
    dropped, kept = w[codes == 0].abs().tolist(), w[codes != 0].abs().tolist()
    return max(dropped, default=0.0) > min(kept, default=float("inf"))


def _ternary_case(generator: torch.Generator) -> Case:
    size = random_whole(generator, 4, 7)
    w = torch.randn(size, generator=generator).round(decimals=2)
    return Case(w + w.sign() * torch.arange(1, size + 1) / 1000)  # no two magnitudes are equal


BEST_TERNARY = Exercise(
    id="3.6",
    title="Three values: which weights become zero?",
    reference=best_ternary,
    cases=(
        Case(tensor([3.0, 1.0])),
        Case(tensor([3.0, -2.0])),
        Case(tensor([0.5, -3.0, 1.0, 4.0])),
        Case(tensor([1.0, -1.25, 1.5, 5.0])),
        Case(tensor([2.0, -1.75, 1.5, -0.25])),
        *random_cases(8, seed=36, make=_ternary_case),
    ),
    mistakes=(
        Mistake(
            lambda w: _keep_if(w.abs() > 0.7 * w.abs().mean(), w),
            "0.7 times the mean magnitude is the rule of thumb for many weights with a bell-shaped histogram. Here you "
            "can do better: try every threshold, each with its best scale.",
        ),
        Mistake(
            lambda w: w.sign(),
            "No weight became 0: two values, not three. A small weight is nearer to 0 than to the scale. Sort the "
            "magnitudes from large to small, and divide the gain by k, the number of weights kept.",
        ),
        Mistake(
            lambda w: _keep_if(w.abs() >= w.abs().max() / 2, w),
            "That rounds to the grid whose scale is the largest weight. But the scale is free: it follows from the "
            "codes.",
        ),
        Mistake(
            lambda w: _keep_if(w.abs() >= w.abs().max(), w),
            "Only the largest is kept. Sort the magnitudes from large to small. The gain of the first k is (their "
            "sum)² / k: summed, then squared, then divided by k, which starts at 1.",
        ),
        Mistake(
            _kept(lambda size, count: size.cumsum(0) ** 2 / (count - 1).clamp(min=1)),
            "Place 0 of the sums is k = 1, one weight kept: divide by place + 1.",
        ),
        Mistake(
            _kept(lambda size, count: size.cumsum(0) ** 2 / count, shift=-1),
            "One weight too few is kept. The threshold is the smallest magnitude that is kept: compare with >=, and "
            "place 0 of the sums is k = 1.",
        ),
        Mistake(
            _kept(lambda size, count: (size.cumsum(0) ** 2 / count)[: max(1, len(count) - 1)]),
            "All n weights may be kept: compare the gains up to k = n.",
        ),
        Mistake(_kept_by_place, "The place of the best gain is not k: place 0 stands for k = 1, one weight kept."),
        Mistake(
            _kept(lambda size, count: -(size.cumsum(0) ** 2) / count),
            "That is the *smallest* gain. The squared error goes down by the gain, so the largest is the best.",
        ),
    ),
    symptoms=(
        of_tensors(
            lambda got, expected, a: got.dtype == torch.bool and got.shape == expected.shape,
            "Those are the weights that are kept. Give each of them its sign: -1 or 1.",
            (lambda w: best_ternary(w) != 0, lambda w: w.abs() > w.abs().mean()),
        ),
        of_tensors(
            lambda got, expected, a: got.shape == expected.shape and torch.equal(got != 0, expected == 0),
            "The small weights become 0: keep the weights whose magnitude reaches the threshold.",
            (lambda w: w.sign() * (best_ternary(w) == 0), lambda w: w * (best_ternary(w) == 0)),
        ),
        of_tensors(
            lambda got, expected, a: torch.as_tensor(got).shape != expected.shape,
            "The exercise asks for the codes, one for each weight: -1, 0 or 1. Keep the weights whose magnitude "
            "reaches the threshold that you found.",
            (
                lambda w: (best_ternary(w) != 0).sum(),
                lambda w: (w.abs().sort(descending=True).values.cumsum(0) ** 2 / torch.arange(1, len(w) + 1)).max(),
            ),
        ),
        of_tensors(
            lambda got, expected, a: bool((~torch.isin(got, tensor([-1.0, 0.0, 1.0]))).any()),
            "Codes are -1, 0 or 1: the scale and the weights themselves are not part of them.",
            (lambda w: w * best_ternary(w).abs(), lambda w: best_ternary(w) * w.abs().mean()),
        ),
        of_tensors(
            lambda got, expected, a: bool(
                (got * a["w"] < 0).any() and torch.equal(got.abs(), expected.abs().to(got.dtype))
            ),
            "Those codes have lost their signs: a negative weight gets -1.",
            (lambda w: best_ternary(w).abs(), lambda w: -best_ternary(w)),
        ),
        of_tensors(
            lambda got, expected, a: (
                int((got != 0).sum()) == int((expected != 0).sum())
                and bool((got * a["w"] < 0).any() or _skips(got, a["w"]))
            ),
            "The number of weights kept is right, but they are the wrong ones: the codes stay in the order of w, and "
            "the largest *magnitudes* are kept.",
            (lambda w: best_ternary(w)[w.abs().argsort(descending=True)], lambda w: best_ternary(w).flip(0)),
        ),
        variants(
            "Sort and add up *magnitudes*: a large negative weight is worth as much as a positive one.",
            lambda w: _keep_if(w >= w[_best_by_value(w)], w),
            lambda w: _keep_if(w.abs() >= w[_best_by_value(w)].abs(), w),
        ),
        variants(
            "A fixed threshold is a guess. Which share is best depends on the weights: try every threshold.",
            *(
                lambda w, at=at: _keep_if(w.abs() >= at(w), w)
                for at in (lambda w: w.abs().mean(), lambda w: 0.5 * w.abs().mean(), lambda w: 0.7 * w.abs().max())
            ),
        ),
        of_tensors(
            lambda got, expected, a: (
                not torch.equal(got, expected)
                and torch.equal(got, a["w"].sign() * got.abs())
                and not _skips(got, a["w"])
            ),
            "The largest weights are kept, each with its sign, but not the right number of them: compare the gain, "
            "(sum of the k magnitudes)² / k, for every k from 1 to n.",
            (
                lambda w: _keep_if(w.abs() > w.abs().min(), w),
                lambda w: _keep_if(w.abs() >= w.std(), w),
                lambda w: w.round().clamp(-1, 1),
            ),
        ),
    ),
    also_correct=(_best_ternary_by_trying_each, _best_ternary_by_thresholds),
    forbidden=(quantize.ternarize,),
)
