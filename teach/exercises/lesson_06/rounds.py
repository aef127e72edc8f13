"""Lesson 06, exercises 6.1 and 6.2: how much is left after some rounds, and which weights."""

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 6.1 ------------------------------------------------------------------------------------------------


def density_after(rate: float, rounds: int) -> float:
    """The share of the weights that is left when each round takes `rate` of what remains."""
    return (1 - rate) ** rounds


def _density_round_by_round(rate: float, rounds: int) -> np.float64:
    left = np.float64(1.0)
    for _ in range(rounds):
        left -= rate * left
    return left


def _rate_case(generator: torch.Generator) -> Case:
    return Case(random_whole(generator, 1, 9) / 10, random_whole(generator, 2, 12))


DENSITY_AFTER = Exercise(
    id="6.1",
    title="What is left after some rounds",
    reference=density_after,
    cases=(Case(0.25, 1), Case(0.5, 2), Case(0.2, 3), Case(0.2, 0), *random_cases(8, seed=61, make=_rate_case)),
    mistakes=(
        Mistake(
            lambda rate, rounds: 1 - rate * rounds,
            "Each round takes its share of what remains, not of what there was at the start.",
        ),
        Mistake(
            lambda rate, rounds: max(0.0, 1 - rate * rounds),
            "Each round takes its share of what remains: so something always remains, and nothing needs to be cut off "
            "at zero.",
        ),
        Mistake(
            lambda rate, rounds: rate**rounds, "The rate is what goes. What stays in each round is 1 - rate of it."
        ),
        Mistake(
            lambda rate, rounds: 1 - (1 - rate) ** rounds,
            "That is the share that is gone, the sparsity. The density is what is left.",
        ),
        Mistake(
            lambda rate, rounds: (1 - rate) ** max(rounds - 1, 0),
            "That is one round too few: already the first round takes its share.",
        ),
    ),
    also_correct=(_density_round_by_round,),
    forbidden=(prune.geometric, prune.iterative),
)

# 6.2 ------------------------------------------------------------------------------------------------


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


NEXT_MASK = Exercise(
    id="6.2",
    title="The mask of the next round",
    reference=next_mask,
    cases=(
        Case(tensor([[0.3, -0.1, 0.4, 0.2]]), tensor([[True, True, True, True]]), 0.5),
        Case(tensor([[0.3, -0.2, 0.0, 0.0]]), tensor([[True, True, False, False]]), 0.5),
        Case(tensor([[0.0, -0.9, 0.5, 0.1, 0.3]]), tensor([[False, True, True, True, True]]), 0.25),
        Case(tensor([[0.7, -0.1, 0.5, 0.2]]), tensor([[False, True, True, True]]), 0.3),
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
            "The smallest of all are the zeros that were pruned before: they use up the share, and too little that is "
            "new goes. Rank only what the mask keeps.",
        ),
        Mistake(
            _comes_back,
            "A pruned weight came back. What is out stays out, whatever value stands there: choose among what the mask "
            "keeps.",
        ),
        Mistake(
            _one_more,
            "That prunes n + 1: the weight at the threshold is the smallest one that stays, so it takes >= and not >.",
        ),
        Mistake(_signed, "That prunes the most negative weights. What counts is the size: the absolute value."),
        Mistake(_keeps_rate, "The rate is the share that goes, not the share that stays."),
        Mistake(_only_the_new, "Those are the weights that go. Return the mask of those that stay."),
    ),
    also_correct=(_next_mask_by_hand, _next_mask_in_numpy),
    forbidden=(prune.keep_top,),
)
