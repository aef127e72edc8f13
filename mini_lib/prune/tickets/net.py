"""A net of a study before and after its training: weights by name, and the result of their training."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mini_lib.copying import copied, need_module
from mini_lib.require import of_type
from mini_lib.tensor_checks import need_tensor

Weights = Mapping[str, Tensor]  # a net's parameters, by name


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of training one net.

    `validation_accuracies` belong to those steps of `recipe.evaluate_at` that were trained; `snapshot` holds the
    weights after the step that was asked for. Accuracies lie in [0, 1].
    """

    weights: Weights
    snapshot: Weights | None
    validation_accuracies: tuple[float, ...]
    test_accuracy: float


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's parameters, by name.

    Raises:
        TypeError: `model` is not a module.
        ValueError: the model keeps buffers, such as the running mean of a batch norm: a net of a study is its
            parameters and nothing else.

    >>> {name: tuple(weight.shape) for name, weight in weights_of(nn.Linear(3, 2)).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    need_module(model)
    buffers = [name for name, _ in model.named_buffers()]
    if buffers:
        raise ValueError(
            f"{type(model).__name__} has buffers ({buffers[0]}, ...), and a study knows parameters only; use a model "
            "without batch norm"
        )
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def with_weights(model: nn.Module, weights: Weights) -> nn.Module:
    """Return a copy of `model` that holds `weights`.

    Raises:
        TypeError: `model` is not a module, or `weights` does not map names to tensors.
        ValueError: a weight is missing, has another shape, or belongs to no parameter; or the model cannot be copied
            (`copying.copied`).

    >>> with_weights(nn.Linear(1, 1, bias=False), {"weight": torch.tensor([[5.0]])}).weight.item()
    5.0
    """
    result = copied(model)
    shapes = {name: list(parameter.shape) for name, parameter in result.named_parameters()}
    given = {
        name: list(need_tensor(name, weight, empty=True, fix="weights_of(model) gives them").shape)
        for name, weight in of_type("weights", weights, Mapping, fix="weights_of(model) gives them").items()
    }
    if given != shapes:
        name = next(name for name in [*shapes, *given] if shapes.get(name) != given.get(name))
        raise ValueError(
            f"weights hold {given.get(name, 'nothing')} for {name!r}, and the model {shapes.get(name, 'nothing')}; "
            "pass those of this model"
        )
    with torch.no_grad():
        for name, parameter in result.named_parameters():
            parameter.copy_(weights[name])
    return result
