"""Tied layers: several that hold one weight, or one bias.

A weight that is rounded for one of them is rounded for all, or it would be stored twice and no longer be one. So either
all its holders get the same codes, or a transformation that goes layer by layer refuses them by name.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from torch import nn

from mini_lib.plain import shared_parameters
from mini_lib.quantize.formats import Format


def tied_layers(
    model: nn.Module, layers: Mapping[str, nn.Module], formats: Mapping[str, Format]
) -> list[tuple[str, str, str]]:
    """Return what the `layers` share, as (layer, "weight" or "bias", the layer that holds the same and comes first).

    Raises:
        ValueError: what a layer shares is held by something that is not one of them, or has another format there.

    >>> from mini_lib.quantize.ladder import rung
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    >>> model[2].weight = model[0].weight
    >>> tied_layers(model, {"0": model[0], "2": model[2]}, {"0": rung(4), "2": rung(4)})
    [('2', 'weight', '0')]
    """
    found = []
    for (first, attribute), *others in _shared(model, layers):
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


def need_own(
    model: nn.Module, layers: Mapping[str, nn.Module], why: str, attributes: Container[str] = ("weight", "bias")
) -> None:
    """Refuse layers that hold one of these attributes together with something else; `why` says what that would break.

    Raises:
        ValueError: one does.
    """
    for holders in _shared(model, layers):
        one, attribute = next(holder for holder in holders if holder[0] in layers)
        if attribute not in attributes:
            continue
        two = next(owner for owner, _ in holders if owner != one)
        raise ValueError(
            f"layer '{one}' shares its {attribute} with '{two}', {why}; give each its own, or leave both out in where"
        )


def _shared(model: nn.Module, layers: Mapping[str, nn.Module]) -> list[list[tuple[str, str]]]:
    """The places that hold one parameter, as (module, attribute), where one of the `layers` is among them.

    A layer has the name here by which it was chosen, which may be its second.
    """
    names = {layer: name for name, layer in layers.items()}
    found = []
    for places in shared_parameters(model):
        holders = [(owner, attribute) for owner, _, attribute in (place.rpartition(".") for place in places)]
        holders = [(names.get(model.get_submodule(owner), owner), attribute) for owner, attribute in holders]
        if any(owner in layers for owner, _ in holders):
            found.append(holders)
    return found
