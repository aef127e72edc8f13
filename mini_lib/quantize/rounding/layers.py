"""Which layers can be rounded by what they read."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize

from mini_lib.quantize.model import chosen_layers
from mini_lib.surgery import Where


def layers_to_round(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Return the chosen layers by name, each with a weight of its own.

    Raises:
        ValueError: no layer is chosen, or one is masked or shares its weight with another.

    >>> list(layers_to_round(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), lambda name, module: True))
    ['0', '2']
    """
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight") and where(name, module):
            raise ValueError(
                f"the weight of layer {name!r} is masked or parametrized otherwise, and rounding would undo that; pass "
                "a model with plain weights, such as baked(model)"
            )
    layers = chosen_layers(model, where)
    owners = {}
    for name, module in model.named_modules():
        owners.setdefault(getattr(module, "weight", None), []).append(name)
    for name, layer in layers.items():
        if len(names := owners[layer.weight]) > 1:
            raise ValueError(
                f"layer {name!r} shares its weight with {next(other for other in names if other != name)!r}, and each "
                "reads something else; give each a weight of its own, or leave both out in where"
            )
    return layers
