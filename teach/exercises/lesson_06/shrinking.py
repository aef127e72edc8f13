"""Lesson 06, exercise 6.2: which weights the mask of the next round keeps."""

import math

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def next_mask(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    """The mask of the next round: without the smallest of the weights that this one keeps."""
    count = round(rate * int(mask.sum()))
    size = trained.abs().masked_fill(~mask, torch.inf).flatten()
    following = mask.clone()
    following.view(-1)[size.argsort()[:count]] = False
    return following


def _next_mask_by_hand(trained: Tensor, mask: Tensor, rate: float) -> list:
    rows, columns = mask.shape
    left = [(abs(trained[i, j].item()), i, j) for i in range(rows) for j in range(columns) if mask[i, j]]
    out = {(i, j) for _, i, j in sorted(left)[: round(rate * len(left))]}
    return [[bool(mask[i, j]) and (i, j) not in out for j in range(columns)] for i in range(rows)]


def _next_mask_in_numpy(trained: Tensor, mask: Tensor, rate: float) -> np.ndarray:
    size, keep = np.abs(trained.numpy()), mask.numpy()
    count = round(rate * keep.sum())
    threshold = np.sort(size[keep])[count]  # the smallest that stays
    return keep & (size >= threshold)


def _smallest(scores: Tensor, count: int) -> Tensor:
    """True for the `count` lowest scores."""
    lowest = torch.zeros(scores.numel(), dtype=torch.bool)
    lowest[scores.flatten().argsort()[:count]] = True
    return lowest.reshape(scores.shape)


def _of_the_left(trained: Tensor, mask: Tensor, count: int) -> Tensor:
    return mask & ~_smallest(trained.abs().masked_fill(~mask, torch.inf), count)


def _counts_all(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    return _of_the_left(trained, mask, round(rate * mask.numel()))


def _ranks_zeros(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    return mask & ~_smallest((trained * mask).abs(), round(rate * mask.numel()))


def _ranks_zeros_again(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    return mask & ~_smallest((trained * mask).abs(), round(rate * int(mask.sum())))


def _comes_back(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    count = int(mask.sum())
    return ~_smallest(trained.abs(), mask.numel() - count + round(rate * count))


def _one_more(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    count = round(rate * int(mask.sum()))
    threshold = trained.abs()[mask].sort().values[count]
    return mask & (trained.abs() > threshold)


def _signed(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    return mask & ~_smallest(trained.masked_fill(~mask, torch.inf), round(rate * int(mask.sum())))


def _keeps_rate(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    count = int(mask.sum())
    return _of_the_left(trained, mask, count - round(rate * count))


def _only_the_new(trained: Tensor, mask: Tensor, rate: float) -> Tensor:
    return mask & ~next_mask(trained, mask, rate)


def _mask_case(generator: torch.Generator) -> Case:
    """Magnitudes that all differ, and a rate whose share of what is left is not halfway between two numbers."""
    sizes = (torch.randperm(20, generator=generator) + 1) / 10
    signs = torch.randint(0, 2, (20,), generator=generator) * 2 - 1
    kept = random_whole(generator, 3, 8) * 2  # an even number of 20: rate * kept is never a half
    mask = torch.zeros(20, dtype=torch.bool)
    mask[torch.randperm(20, generator=generator)[:kept]] = True
    rate = (0.2, 0.3, 0.4)[random_whole(generator, 0, 2)]
    return Case((sizes * signs).reshape(4, 5), mask.reshape(4, 5), rate)


def _share(mask: Tensor, rate: float) -> int:
    return round(rate * int(mask.sum()))


NEXT_MASK = Exercise(
    id="6.2",
    title="The mask of the next round",
    reference=next_mask,
    cases=(
        Case(tensor([[0.3, -0.1, 0.4, 0.2]]), tensor([[True, True, True, True]]), 0.5),
        Case(tensor([[0.3, -0.1, 0.4]]), tensor([[True, True, True]]), 0.5),  # round(1.5) of them go, not stay
        Case(tensor([[0.3, -0.2, 0.0, 0.0]]), tensor([[True, True, False, False]]), 0.5),
        Case(tensor([[0.0, -0.9, 0.5, 0.1, 0.3]]), tensor([[False, True, True, True, True]]), 0.25),
        Case(tensor([[0.7, -0.1, 0.5, 0.2]]), tensor([[False, True, True, True]]), 0.3),
        Case(tensor([[0.4, -0.3, 0.2, 0.1]]), tensor([[True, True, True, True]]), 0.3),
        Case(tensor([[0.5, 0.1, -0.2, 0.3]]), tensor([[True, True, False, True]]), 0.4),
        Case(tensor([[0.9, -0.8, 0.3, 0.7]]), tensor([[True, True, True, True]]), 0.3),
        *random_cases(8, seed=62, make=_mask_case),
    ),
    mistakes=(
        Mistake(
            _counts_all,
            "The pruned weights are counted again: the rate is a share of the weights that are left, not of all.",
        ),
        Mistake(
            _ranks_zeros,
            "The smallest of all are those that were pruned before, and all weights are counted: "
            "rank and count only what the mask keeps.",
        ),
        Mistake(
            _ranks_zeros_again,
            "The smallest of all are the zeros that were pruned before: they use up the share, and too few other "
            "weights go. Rank only the weights that the mask keeps.",
        ),
        Mistake(
            _comes_back,
            "A pruned weight came back. Once pruned, it stays out, whatever its value: choose among the weights that "
            "the mask keeps.",
        ),
        Mistake(
            _one_more,
            "That prunes n + 1: the weight at the threshold is the smallest one that stays, so use >=, not >.",
        ),
        Mistake(_signed, "That prunes the most negative weights. What counts is the size: the absolute value."),
        Mistake(_keeps_rate, "The rate is the share that goes, not the share that stays."),
        Mistake(_only_the_new, "Those are the weights that go. Return the mask of those that stay."),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: got.dtype != torch.bool and torch.equal(got != 0, expected),
            "Those are the weights that stay. A mask says only whether: True or False.",
            [lambda trained, mask, rate: trained * next_mask(trained, mask, rate)],
        ),
        Symptom(
            lambda got, expected, given: got.shape != expected.shape and torch.equal(got.flatten(), expected.flatten()),
            "The right places, but flat: give the new mask the shape of `mask`.",
            [lambda trained, mask, rate: next_mask(trained, mask, rate).flatten()],
        ),
        variants(
            "That takes the largest weights away. The smallest ones go.",
            lambda trained, mask, rate: (
                mask & ~_smallest((-trained.abs()).masked_fill(~mask, torch.inf), _share(mask, rate))
            ),
            lambda trained, mask, rate: mask & ~_smallest(-trained.abs(), _share(mask, rate)),
        ),
        variants(
            "`round(rate * number kept)` says how many go: neither always rounded down nor always up.",
            *(
                lambda trained, mask, rate, cut=cut: _of_the_left(trained, mask, cut(rate * int(mask.sum())))
                for cut in (math.floor, math.ceil)
            ),
        ),
        variants(
            "All weights are ranked, pruned ones too. Rank only those that the mask keeps.",
            *(
                lambda trained, mask, rate, of=of: (
                    mask & (trained.abs() > of(trained, mask).abs().flatten().quantile(rate))
                )
                for of in (lambda w, m: w, lambda w, m: w * m)
            ),
            *(
                lambda trained, mask, rate, count=count: mask & ~_smallest(trained.abs(), count(mask, rate))
                for count in (_share, lambda m, r: round(r * m.numel()))
            ),
            *(
                lambda trained, mask, rate, count=count: ~_smallest(trained.abs(), count(mask, rate))
                for count in (_share, lambda m, r: round(r * m.numel()))
            ),
        ),
        Symptom(
            lambda got, expected, given: bool((got & ~given["mask"]).any()),
            "A weight that was pruned before is kept again. The new mask is a part of the old one: combine them with "
            "`&`.",
            [lambda trained, mask, rate: trained.abs() >= trained.abs()[mask].sort().values[_share(mask, rate)]],
        ),
        variants(
            "`rate` is a share of the weights that are left, not a threshold.",
            lambda trained, mask, rate: mask & (trained.abs() > rate),
            lambda trained, mask, rate: mask & (trained.abs() >= rate),
            lambda trained, mask, rate: mask & (trained.abs() > rate * trained.abs().max()),
        ),
        Symptom(
            lambda got, expected, given: torch.equal(got, given["mask"]),
            "That is the old mask. Each round takes a share of what it keeps.",
            [lambda trained, mask, rate: mask.clone()],
        ),
        Symptom(
            lambda got, expected, given: abs(int(got.sum()) - int(expected.sum())) == 1,
            "One weight too many goes, or one too few: exactly round(rate * number kept) of them go.",
            [lambda trained, mask, rate: _of_the_left(trained, mask, _share(mask, rate) - 1)],
        ),
    ),
    also_correct=(_next_mask_by_hand, _next_mask_in_numpy),
    forbidden=(prune.keep_top,),
)
