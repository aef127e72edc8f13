"""Tied layers: several that hold one weight, or one bias.

A weight that is rounded for one of them must be rounded for all, or it would be stored twice and no longer be shared.
So either all its holders get the same codes, or a transformation that goes layer by layer refuses them:
`plain.need_own`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mini_lib.plain import shared_places
from mini_lib.quantize.formats import Format


def tied_layers(
    model: nn.Module, layers: Mapping[str, nn.Module], formats: Mapping[str, Format]
) -> list[tuple[str, str, str]]:
    """Return what the `layers` share, as (layer, "weight" or "bias", the first layer that holds the same).

    Raises:
        ValueError: something outside these layers holds a shared tensor too, or a holder has another format.

    >>> from mini_lib.quantize.ladder import rung
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    >>> model[2].weight = model[0].weight
    >>> tied_layers(model, {"0": model[0], "2": model[2]}, {"0": rung(4), "2": rung(4)})
    [('2', 'weight', '0')]
    """
    found = []
    for (first, attribute), *others in shared_places(model, layers):
        for other, other_attribute in others:
            one, two = (
                getattr(model.get_submodule(name), each, None)
                for name, each in ((first, attribute), (other, other_attribute))
            )
            if first not in layers or other not in layers or attribute != other_attribute or one is not two:
                chosen, left = (first, other) if first in layers else (other, first)
                raise ValueError(
                    f"layer '{chosen}' shares its {attribute} with '{left}', which would keep it as it is, so that it "
                    "would be stored twice; choose both, or give each its own"
                )
            if attribute == "weight" and formats[first] != formats[other]:
                raise ValueError(
                    f"layers '{first}' and '{other}' share their weight, which cannot be {formats[first].label} and "
                    f"{formats[other].label} at once; give both one format, or each a weight of its own"
                )
            found.append((other, attribute, first))
    return found
