"""Lesson 01, exercise 1.3: the bytes that are stored with a model."""

import numpy as np
import torch
from torch import nn

from mini_lib import costs
from teach.exercise import Case, Exercise, Mistake
from teach.variants import variants


def _scaled(count: int) -> nn.Module:
    """A module whose parameter is called neither weight nor bias."""
    module = nn.Module()
    module.register_parameter("scale", nn.Parameter(torch.ones(count)))
    return module


def _networks() -> tuple[Case, ...]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        frozen = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        frozen[0].requires_grad_(False)
        return (
            Case(nn.Linear(2, 3)).called("nn.Linear(2, 3)"),
            Case(nn.BatchNorm2d(4)).called("nn.BatchNorm2d(4)"),
            Case(nn.Linear(8, 8).half()).called("nn.Linear(8, 8).half()"),
            Case(_scaled(3)).called("a module whose only parameter is scale = nn.Parameter(torch.ones(3))"),
            Case(frozen).called("nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)) with its first layer frozen"),
            Case(nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), nn.Linear(3, 2))).called(
                "nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), nn.Linear(3, 2))"
            ),
            Case(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2).bfloat16())).called(
                "nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2).bfloat16())"
            ),
        )


def _sum_of_state(of):
    return lambda model: sum(of(tensor) for tensor in model.state_dict().values())


STORED_BYTES = Exercise(
    id="1.3",
    title="Bytes of a model",
    function="stored_bytes",
    reference=costs.stored_bytes,
    cases=_networks(),
    mistakes=(
        Mistake(
            lambda model: sum(p.numel() * p.element_size() for p in model.parameters()),
            "Batch norm also stores its running mean and variance and a "
            "counter. They are buffers, not parameters: state_dict() has both.",
        ),
        Mistake(
            lambda model: 4 * sum(p.numel() for p in model.parameters()),
            "Not every number takes 4 bytes, and parameters are not all "
            "that is stored: look at state_dict() and element_size().",
        ),
        Mistake(
            lambda model: 4 * sum(t.numel() for t in model.state_dict().values()),
            "Not every number takes 4 bytes: half precision takes 2, and batch norm's counter takes 8.",
        ),
        Mistake(
            lambda model: sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad),
            "A frozen parameter is stored too, and so are the buffers of batch norm: state_dict() has all of them.",
        ),
        Mistake(
            _sum_of_state(lambda t: t.numel() * t.element_size() if t.is_floating_point() else 0),
            "The counter of batch norm is stored too: a whole number of 8 bytes.",
        ),
    ),
    symptoms=(
        variants(
            "That counts numbers. element_size() says how many bytes each of them takes.",
            _sum_of_state(lambda t: t.numel()),
            lambda model: sum(p.numel() for p in model.parameters()),
        ),
        variants(
            "Those are bits. element_size() is in bytes already.",
            _sum_of_state(lambda t: 8 * t.numel() * t.element_size()),
            lambda model: 8 * sum(p.numel() * p.element_size() for p in model.parameters()),
        ),
        variants(
            "A tensor holds numel() numbers, over all of its axes, and each takes element_size() bytes.",
            _sum_of_state(lambda t: t.element_size()),
            _sum_of_state(lambda t: 4),
            _sum_of_state(lambda t: (len(t) if t.dim() else 1) * t.element_size()),
            _sum_of_state(lambda t: (len(t) if t.dim() else 1) * 4),
            _sum_of_state(lambda t: t.dim() * t.element_size()),
            lambda model: sum(p.element_size() for p in model.parameters()),
            lambda model: sum(len(p) * p.element_size() for p in model.parameters()),
        ),
        variants(
            "Both parameters and buffers are stored, each once: state_dict() has all of them.",
            lambda model: sum(b.numel() * b.element_size() for b in model.buffers()),
            lambda model: sum(t.nbytes for t in [*model.state_dict().values(), *model.parameters()]),
            lambda model: sum(t.nbytes for t in [*model.state_dict().values(), *model.buffers()]),
        ),
        variants(
            "One model may hold tensors of different types: ask each tensor for its own element_size().",
            lambda model: next(model.parameters()).element_size() * sum(t.numel() for t in model.state_dict().values()),
            lambda model: next(model.parameters()).element_size() * sum(p.numel() for p in model.parameters()),
        ),
        variants(
            "Layers may be nested, and a single layer is a model too: the model's state_dict() reaches all of them.",
            lambda model: sum(t.nbytes for part in model.children() for t in part.state_dict().values()),
            lambda model: sum(t.nbytes for part in model.children() for t in part.parameters()),
            lambda model: sum(t.nbytes for part in model.children() for t in part.parameters(recurse=False)),
        ),
        variants(
            "Names do not decide what is stored: a bias, a buffer and a parameter of any name all take bytes.",
            lambda model: sum(t.nbytes for name, t in model.state_dict().items() if "weight" in name),
        ),
    ),
    also_correct=(
        lambda model: sum(t.nbytes for t in [*model.parameters(), *model.buffers()]),
        lambda model: float(np.sum([t.numel() * t.element_size() for t in model.state_dict().values()])),
    ),
)
