"""Lesson 06, exercise 6.3: from where a ticket starts."""

import contextlib

import numpy as np
import torch
from torch import Tensor, tensor

from mini_lib import prune
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases

Weights = dict[str, Tensor]

# 6.3 ------------------------------------------------------------------------------------------------


def reset(initial: Weights, trained: Weights, mask: Weights) -> Weights:
    """The start of a ticket: all parameters as they were drawn, zeros where the mask is False."""
    return {name: value * mask[name] if name in mask else value.clone() for name, value in initial.items()}


def _reset_with_where(initial: Weights, trained: Weights, mask: Weights) -> Weights:
    start = {}
    for name in initial:
        keep = mask.get(name, torch.ones_like(initial[name], dtype=torch.bool))
        start[name] = torch.where(keep, initial[name], 0.0)
    return start


def _reset_in_numpy(initial: Weights, trained: Weights, mask: Weights) -> dict[str, np.ndarray]:
    start = {name: value.numpy().copy() for name, value in initial.items()}
    for name, keep in mask.items():
        start[name][~keep.numpy()] = 0
    return start


def _reset_in_place(initial: Weights, trained: Weights, mask: Weights) -> Weights:
    for name, keep in mask.items():
        initial[name].mul_(keep)
    return initial


def _as_trained(start):
    """The tensors of a start as they are; those that were returned are then overwritten, as training does.

    A tensor of `initial` that comes back itself, or shares its memory, so changes an argument.
    """
    if not isinstance(start, dict):
        return start
    seen = dict(start)
    for name, value in start.items():
        if isinstance(value, torch.Tensor):
            seen[name] = value.detach().clone()
        elif isinstance(value, np.ndarray):
            seen[name] = value.copy()
    for value in start.values():
        with contextlib.suppress(RuntimeError, ValueError):  # expanded or read-only: it cannot be trained in place
            if isinstance(value, torch.Tensor):
                value.detach().fill_(7)
            elif isinstance(value, np.ndarray):
                value.fill(7)
    return seen


def _net_case(generator: torch.Generator) -> Case:
    shapes = {"linear1.weight": (3, 4), "linear1.bias": (3,), "linear2.weight": (2, 3), "linear2.bias": (2,)}
    initial = {name: torch.randn(shape, generator=generator).round(decimals=2) for name, shape in shapes.items()}
    mask = {name: torch.rand(shapes[name], generator=generator) < 0.5 for name in ("linear1.weight", "linear2.weight")}
    before = {name: keep | (torch.rand(keep.shape, generator=generator) < 0.5) for name, keep in mask.items()}
    trained = {  # under the mask of the round before, which kept more
        name: (value + torch.randn(value.shape, generator=generator).round(decimals=2)) * before.get(name, tensor(True))
        for name, value in initial.items()
    }
    return Case(initial, trained, mask)


def _values_of(places: str, source: str, says: str, *examples) -> Symptom:
    """The symptom that a tensor with a mask has values of `source` where the mask keeps or prunes."""

    def shows(got, expected, given):
        found = []
        for name, keep in given["mask"].items():
            at = keep if places == "kept" else ~keep
            found.append(torch.equal(got[name][at], given[source][name][at]) or not at.any())
        return all(found) and any(not torch.equal(got[name], value) for name, value in expected.items())

    return Symptom(shows, says, examples)


RESET = Exercise(
    id="6.3",
    title="Back to the start",
    reference=reset,
    view=_as_trained,
    cases=(
        Case({"weight": tensor([0.1, -0.2])}, {"weight": tensor([0.5, -0.9])}, {"weight": tensor([True, True])}),
        Case(
            {"weight": tensor([[0.4, -0.2]]), "bias": tensor([0.3])},
            {"weight": tensor([[0.1, -0.9]]), "bias": tensor([0.7])},
            {"weight": tensor([[False, True]])},
        ),
        *random_cases(6, seed=63, make=_net_case),
    ),
    mistakes=(
        Mistake(
            lambda initial, trained, mask: {
                name: value * mask[name] if name in mask else value.clone() for name, value in trained.items()
            },
            "Those are the trained weights. A ticket starts from the weights as they were drawn, before any training.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: value * mask[name] if name in mask else trained[name].clone() for name, value in initial.items()
            },
            "The biases are the trained ones. They go back to the start too, although none of them is pruned.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: value * mask[name] for name, value in initial.items() if name in mask
            },
            "The biases are missing. They are not in the mask, since none of them is pruned, but the net needs them.",
        ),
        Mistake(
            lambda initial, trained, mask: {name: value.clone() for name, value in initial.items()},
            "The mask is missing: that is the dense net again, as it was drawn.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: value * ~mask[name] if name in mask else value.clone() for name, value in initial.items()
            },
            "The mask is inverted: True means that a weight stays.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: torch.where(mask[name], value, trained[name]) if name in mask else value.clone()
                for name, value in initial.items()
            },
            "Where the mask is False, the start is zero, not the trained value.",
        ),
        Mistake(
            _reset_in_place,
            "That writes into the initial weights themselves. The next round, and every control, still needs them: "
            "work on a copy.",
        ),
        Mistake(
            lambda initial, trained, mask: {
                name: value * mask[name] if name in mask else value for name, value in initial.items()
            },
            "A tensor of `initial` is changed, or comes back itself: the check writes into the result, as training "
            "does. Return new tensors, copies of the biases too.",
        ),
        Mistake(
            lambda initial, trained, mask: {name: value * mask[name] for name, value in initial.items()},
            "Not every parameter has a mask. The biases have none: they come back as they were drawn.",
        ),
    ),
    symptoms=(
        Symptom(
            lambda got, expected, given: isinstance(got, dict) and not set(expected) <= set(got),
            "Parameters are missing. Those that are not in the mask come back too, as they were drawn: go through "
            "`initial`.",
            [lambda initial, trained, mask: {name: initial[name].clone() for name in mask}],
        ),
        Symptom(
            lambda got, expected, given: any(got[name] is None for name in expected),
            "A parameter without a mask is not pruned: it comes back as it was drawn.",
            [
                lambda initial, trained, mask: {
                    name: initial[name] * mask[name] if name in mask else None for name in initial
                }
            ],
        ),
        Symptom(
            lambda got, expected, given: any(
                got[name].shape == (int(keep.sum()),) != expected[name].shape for name, keep in given["mask"].items()
            ),
            "The pruned weights are left out, and the shape is lost. They stay in their places, as zeros: multiply by "
            "the mask.",
            [
                lambda initial, trained, mask: {
                    name: value[mask[name]] if name in mask else value.clone() for name, value in initial.items()
                }
            ],
        ),
        Symptom(
            lambda got, expected, given: all(not got[name][keep].any() for name, keep in given["mask"].items()),
            "The mask is the wrong way round: True means that a weight stays.",
            [lambda initial, trained, mask: {name: initial[name] * ~keep for name, keep in mask.items()}],
        ),
        _values_of(
            "kept",
            "trained",
            "A ticket starts from the weights as they were drawn, `initial`. Yours has trained ones.",
            lambda initial, trained, mask: {name: trained[name] * mask.get(name, tensor(False)) for name in initial},
            lambda initial, trained, mask: {
                name: torch.where(mask[name], trained[name], value) if name in mask else value.clone()
                for name, value in initial.items()
            },
        ),
        _values_of(
            "pruned",
            "trained",
            "A pruned weight is zero in a ticket, not the value after training.",
            lambda initial, trained, mask: {
                name: torch.where(mask[name], value, trained[name]) if name in mask else trained[name].clone()
                for name, value in initial.items()
            },
        ),
        Symptom(
            lambda got, expected, given: (
                all(not got[name].any() for name in expected if name not in given["mask"])
                and len(expected) > len(given["mask"])
            ),
            "A parameter without a mask is not pruned: it comes back as it was drawn, and not as zeros.",
            [
                lambda initial, trained, mask: {
                    name: value * mask.get(name, tensor(False)) for name, value in initial.items()
                }
            ],
        ),
    ),
    also_correct=(_reset_with_where, _reset_in_numpy),
    forbidden=(prune.apply_mask,),
)
