"""Lesson 06, exercises 6.5 and 6.6: what a ticket is compared with, and when a difference is one."""

import math
import statistics

import numpy as np
import torch
from torch import Tensor, tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

Tensors = dict[str, Tensor]

# 6.5 ------------------------------------------------------------------------------------------------


def controls(mask: Tensors, initial: Tensors, other: Tensors, chance: Tensors) -> tuple[Tensors, Tensors]:
    """The starts of two controls: the ticket's mask with other weights, and the ticket's weights at other places."""
    reinit = {name: other[name] * keep for name, keep in mask.items()}
    shuffled = {name: initial[name] * _best(chance[name], int(keep.sum())) for name, keep in mask.items()}
    return reinit, shuffled


def _best(chance: Tensor, count: int) -> Tensor:
    """True for the `count` highest numbers."""
    keep = torch.zeros(chance.numel(), dtype=torch.bool)
    keep[chance.flatten().argsort(descending=True)[:count]] = True
    return keep.reshape(chance.shape)


def _controls_in_numpy(mask, initial, other, chance):
    reinit, shuffled = {}, {}
    for name, keep in mask.items():
        reinit[name] = np.where(keep, other[name], 0)
        threshold = np.sort(chance[name].numpy(), axis=None)[-int(keep.sum())]
        shuffled[name] = np.where(chance[name] >= threshold, initial[name], 0)
    return reinit, shuffled


def _controls_by_hand(mask, initial, other, chance):
    reinit, shuffled = {}, {}
    for name in mask:
        keep, drawn = mask[name].flatten().tolist(), chance[name].flatten().tolist()
        lucky = sorted(range(len(drawn)), key=lambda at: -drawn[at])[: sum(keep)]
        first, second = initial[name].flatten().tolist(), other[name].flatten().tolist()
        reinit[name] = tensor([w if k else 0.0 for w, k in zip(second, keep)]).reshape(mask[name].shape)
        shuffled[name] = tensor([w if at in lucky else 0.0 for at, w in enumerate(first)]).reshape(mask[name].shape)
    return reinit, shuffled


def _across_layers(mask, initial, other, chance):
    total = sum(int(keep.sum()) for keep in mask.values())
    threshold = torch.cat([one.flatten() for one in chance.values()]).sort(descending=True).values[total - 1]
    shuffled = {name: initial[name] * (chance[name] >= threshold) for name in mask}
    return controls(mask, initial, other, chance)[0], shuffled


def _same_share(mask, initial, other, chance):
    density = sum(int(keep.sum()) for keep in mask.values()) / sum(keep.numel() for keep in mask.values())
    shuffled = {name: initial[name] * _best(chance[name], round(density * keep.numel())) for name, keep in mask.items()}
    return controls(mask, initial, other, chance)[0], shuffled


def _new_mask_in_reinit(mask, initial, other, chance):
    reinit = {name: other[name] * _best(chance[name], int(keep.sum())) for name, keep in mask.items()}
    return reinit, controls(mask, initial, other, chance)[1]


def _new_weights_in_shuffled(mask, initial, other, chance):
    shuffled = {name: other[name] * _best(chance[name], int(keep.sum())) for name, keep in mask.items()}
    return controls(mask, initial, other, chance)[0], shuffled


def _among_the_kept(mask, initial, other, chance):
    shuffled = {name: initial[name] * _best(chance[name] * keep, int(keep.sum())) for name, keep in mask.items()}
    return controls(mask, initial, other, chance)[0], shuffled


def _dense_reinit(mask, initial, other, chance):
    return {name: other[name].clone() for name in mask}, controls(mask, initial, other, chance)[1]


def _layers_case(generator: torch.Generator) -> Case:
    """Two layers of densities far apart, as a global ranking makes them; all numbers of chance are different."""
    shapes, kept = {"linear1.weight": (4, 5), "linear2.weight": (2, 4)}, {}
    kept["linear1.weight"] = random_whole(generator, 3, 6)  # of 20
    kept["linear2.weight"] = random_whole(generator, 5, 7)  # of 8
    drawn = torch.randperm(28, generator=generator).add(1).div(32).split([20, 8])
    mask, initial, other, chance = {}, {}, {}, {}
    for (name, shape), numbers in zip(shapes.items(), drawn):
        mask[name] = _best(torch.randperm(numbers.numel(), generator=generator).reshape(shape), kept[name])
        initial[name], other[name] = torch.randn(2, *shape, generator=generator).round(decimals=2)
        chance[name] = numbers.reshape(shape)
    return Case(mask, initial, other, chance)


CONTROLS = Exercise(
    id="6.5",
    title="Two controls",
    reference=controls,
    cases=(
        Case(
            {"weight": tensor([[True, False, False]])},
            {"weight": tensor([[1.0, 2.0, 3.0]])},
            {"weight": tensor([[-4.0, -5.0, -6.0]])},
            {"weight": tensor([[0.2, 0.1, 0.9]])},
        ),
        Case(
            {"a": tensor([True, True]), "b": tensor([True, False, False])},
            {"a": tensor([1.0, 2.0]), "b": tensor([3.0, 4.0, 5.0])},
            {"a": tensor([-1.0, -2.0]), "b": tensor([-3.0, -4.0, -5.0])},
            {"a": tensor([0.1, 0.4]), "b": tensor([0.2, 0.9, 0.8])},
        ),
        *random_cases(8, seed=65, make=_layers_case),
    ),
    mistakes=(
        Mistake(
            _across_layers,
            "Places are exchanged between layers. Rank the chances of each layer by themselves: a layer keeps as many "
            "weights as the ticket has there.",
        ),
        Mistake(
            _same_share,
            "Each layer now keeps the same share. The ticket has its own share in each layer, and shuffling must keep "
            "that: count layer by layer.",
        ),
        Mistake(
            _new_mask_in_reinit,
            "In the first control the mask changed along with the weights. Change one thing at a time: reinit has the "
            "ticket's own mask.",
        ),
        Mistake(
            _new_weights_in_shuffled,
            "In the second control the weights changed along with the mask. Change "
            "one thing at a time: shuffled has the ticket's initial weights.",
        ),
        Mistake(
            _among_the_kept,
            "Only places that the ticket keeps can win, so the mask is the "
            "ticket's again. All places of the layer take part in the draw.",
        ),
        Mistake(
            _dense_reinit,
            "The first control is not pruned at all. It has other weights at the ticket's places, and zeros elsewhere.",
        ),
        Mistake(
            lambda mask, initial, other, chance: controls(mask, initial, other, chance)[::-1],
            "The two are exchanged: first other weights at the ticket's places, then the ticket's weights at other "
            "places.",
        ),
    ),
    also_correct=(_controls_in_numpy, _controls_by_hand),
)

# 6.6 ------------------------------------------------------------------------------------------------


def paired_difference(ticket: dict[int, float], control: dict[int, float]) -> tuple[float, float]:
    """Mean and sample standard deviation of ticket minus control, seed by seed."""
    differences = [ticket[seed] - control[seed] for seed in ticket]
    return statistics.fmean(differences), statistics.stdev(differences)


def _paired_in_torch(ticket: dict[int, float], control: dict[int, float]) -> tuple[Tensor, Tensor]:
    seeds = sorted(ticket)
    differences = tensor([ticket[seed] for seed in seeds], dtype=torch.float64)
    differences -= tensor([control[seed] for seed in seeds], dtype=torch.float64)
    return differences.mean(), differences.std()


def _paired_by_hand(ticket: dict[int, float], control: dict[int, float]) -> list[float]:
    differences = [ticket[seed] - control[seed] for seed in ticket]
    mean = sum(differences) / len(differences)
    return [mean, math.sqrt(sum((one - mean) ** 2 for one in differences) / (len(differences) - 1))]


def _differences(ticket: dict[int, float], control: dict[int, float]) -> list[float]:
    return [ticket[seed] - control[seed] for seed in ticket]


def _of(differences: list[float]) -> tuple[float, float]:
    return statistics.fmean(differences), statistics.stdev(differences)


def _with_std(std):
    """A wrong answer whose mean is right: `std(ticket's values, control's values)` is its spread."""

    def wrong(ticket: dict[int, float], control: dict[int, float]) -> tuple[float, float]:
        return paired_difference(ticket, control)[0], std(list(ticket.values()), list(control.values()))

    return wrong


def _best_seeds(ticket: dict[int, float], control: dict[int, float]) -> tuple[float, float]:
    return max(ticket.values()) - max(control.values()), paired_difference(ticket, control)[1]


def _seeds_case(generator: torch.Generator) -> Case:
    """The seed matters more than the arm, as it does in the study; the control lists its seeds in another order."""
    count = random_whole(generator, 3, 6)
    level, gap, noise = torch.rand(3, count, generator=generator).mul(100).round().int().tolist()
    ticket = {seed: (8000 + 10 * level[seed] + noise[seed]) / 10000 for seed in range(count)}
    order = torch.randperm(count, generator=generator).tolist()
    return Case(ticket, {seed: ticket[seed] - (gap[seed] - 30) / 10000 for seed in order})


PAIRED_DIFFERENCE = Exercise(
    id="6.6",
    title="A difference, seed by seed",
    reference=paired_difference,
    cases=(
        Case({0: 0.75, 1: 0.5}, {0: 0.5, 1: 0.25}),
        Case({0: 0.75, 1: 0.5}, {1: 0.25, 0: 0.25}),
        Case({0: 0.75, 1: 0.5}, {1: 0.5, 0: 0.5}),
        Case({0: 0.875, 1: 0.625, 2: 0.75}, {2: 0.625, 0: 0.875, 1: 0.25}),
        *random_cases(8, seed=66, make=_seeds_case),
    ),
    mistakes=(
        Mistake(
            lambda ticket, control: (
                statistics.fmean(_differences(ticket, control)),
                statistics.pstdev(_differences(ticket, control)),
            ),
            "That divides by n, as if these seeds were all there are. They are a sample: divide by n - 1.",
        ),
        Mistake(
            _with_std(lambda a, b: math.sqrt(statistics.variance(a) + statistics.variance(b))),
            "That treats the two as unrelated. With the same seed they share initial weights and the order of the "
            "pictures: subtract first, seed by seed.",
        ),
        Mistake(
            _with_std(lambda a, b: statistics.stdev(a) - statistics.stdev(b)),
            "A difference of two spreads says nothing. Take the spread of the differences.",
        ),
        Mistake(
            lambda ticket, control: _of([a - b for a, b in zip(ticket.values(), control.values())]),
            "The two list their seeds in different orders. Look the control up by the seed: control[seed].",
        ),
        Mistake(
            _best_seeds,
            "That compares the best seed of one with the best seed of the other. The more seeds one tries, the better "
            "the best: take the mean.",
        ),
        Mistake(
            lambda ticket, control: _of([abs(one) for one in _differences(ticket, control)]),
            "A seed in which the control wins counts against the ticket: keep the sign.",
        ),
        Mistake(
            lambda ticket, control: (
                _of(_differences(ticket, control))[0],
                _of(_differences(ticket, control))[1] / math.sqrt(len(ticket)),
            ),
            "That is the error of the mean, which shrinks with the "
            "number of seeds. Asked is how much the seeds differ.",
        ),
        Mistake(
            lambda ticket, control: _of([control[seed] - ticket[seed] for seed in ticket]),
            "The sign is turned: positive means that the ticket is better.",
        ),
    ),
    also_correct=(_paired_in_torch, _paired_by_hand),
)
