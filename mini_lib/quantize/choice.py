"""Which layer gets which format: one for all, one for each by name, or the choice of a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from torch import nn

from mini_lib.quantize.formats import Format
from mini_lib.quantize.ladder import rung
from mini_lib.require import of_type

# One format for every layer; one per layer by name, where a number of bits means that rung of the ladder; or a
# function.
FormatChoice = Format | Mapping[str, Format | int] | Callable[[str, nn.Module], Format]


def choose_formats(choice: FormatChoice, layers: Mapping[str, nn.Module]) -> dict[str, Format]:
    """Return the format of each of the `layers`, by name.

    A mapping must name exactly these layers: a forgotten layer would stay in float, and its bytes would not be saved.
    Write 32 for a layer that is to stay fp32, or leave it out of the layers.

    Raises:
        TypeError: `choice` is neither a format, nor a mapping to formats or bits, nor a function that gives formats.
        ValueError: a mapping names a layer that is not there, leaves one out, or gives a number of bits that no rung
            has.

    >>> layers = {"conv1": nn.Conv2d(1, 8, 3), "fc": nn.Linear(8, 2)}
    >>> [fmt.label for fmt in choose_formats({"conv1": 8, "fc": 2}, layers).values()]
    ['int8 per channel', 'int2 per channel']
    """
    of_type("layers", layers, Mapping, fix="give {name: layer}")
    if isinstance(choice, Mapping):
        need_same_layers("fmt", choice, layers)
    formats = {}
    for name, layer in layers.items():
        try:
            formats[name] = _format(choice, name, layer)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer '{name}': {error}") from error
    return formats


def need_same_layers(what: str, given: Iterable[str], layers: Iterable[str]) -> None:
    """Refuse names that are not exactly those of the `layers`; `what` names the argument in the message.

    Raises:
        ValueError: a name is unknown or missing.

    >>> need_same_layers("fmt", ["conv_1"], ["conv1", "fc"])
    Traceback (most recent call last):
    ValueError: fmt names 'conv_1', which is not among the chosen layers; did you mean 'conv1'?
    """
    given, layers = list(given), list(layers)
    for name in given:
        if name not in layers:
            near = get_close_matches(str(name), layers, n=2, cutoff=0.4)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"they are {', '.join(layers)}"
            raise ValueError(f"{what} names {name!r}, which is not among the chosen layers; {hint}")
    if missing := [name for name in layers if name not in given]:
        raise ValueError(
            f"{what} says nothing about layer {missing[0]!r}; add it (32 bits keep it in float), or leave the layer "
            "out in where"
        )


def _format(choice: FormatChoice, name: str, layer: nn.Module) -> Format:
    if isinstance(choice, Mapping):
        fmt = choice[name] if isinstance(choice[name], Format) else rung(choice[name])
    else:
        fmt = choice(name, layer) if callable(choice) and not isinstance(choice, Format) else choice
    if not isinstance(fmt, Format):
        raise TypeError(
            "fmt must be a format such as IntFormat(4), a mapping {layer name: format or bits}, or a function "
            f"(name, module) -> format, got {fmt!r}"
        )
    return fmt
