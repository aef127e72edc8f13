"""Values and calls in words, short enough for one line of a message."""

import itertools
import math
from typing import Any

import torch

from teach.exercise import Case, Exercise

MOST_SHOWN = 8  # elements of a tensor or list that a message prints in full
MOST_WHOLE = 1e15  # below it, a float is printed with all the digits of a whole number
DEEPEST = 4  # lists within lists that a message prints


def number(value: float, digits: int = 6) -> str:
    """Return a number as Python would write it, to `digits` significant digits.

    A whole number keeps all its digits.

    >>> number(1.0), number(2 / 7), number(61024), number(20971520.0), number(True)
    ('1.0', '0.285714', '61024', '20971520.0', 'True')
    """
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() and abs(value) < MOST_WHOLE:
        return str(value)
    text = format(value, f".{digits}g")
    return text + ".0" if text.lstrip("-").isdigit() else text


def value(thing: Any, digits: int = 6, depth: int = 0) -> str:
    """Return any value on one line; long ones are cut, and say how long they are.

    >>> value(torch.tensor([-1.0, 0.5]))
    '[-1.0, 0.5]'
    >>> value(torch.arange(100).reshape(20, 5))
    '[0, 1, 2, ...] of shape (20, 5)'
    >>> value({"conv": 3, "fc": [1.0, 2.0]})
    "{'conv': 3, 'fc': [1.0, 2.0]}"
    """
    if isinstance(thing, torch.Tensor):
        return _tensor(thing, digits)
    if type(thing).__module__ == "numpy" and hasattr(thing, "dtype"):
        return _tensor(torch.as_tensor(thing), digits)
    if isinstance(thing, (bool, int, float)):
        return number(thing, digits)
    if isinstance(thing, (dict, list, tuple)):
        return _container(thing, digits, depth)
    if isinstance(thing, torch.nn.Module):
        return _module(thing)
    if callable(thing) and hasattr(thing, "__name__"):
        return thing.__name__
    text = " ".join(repr(thing).split())
    return text if len(text) <= 80 else text[:77] + "..."


def pair(got: Any, expected: Any) -> tuple[str, str]:
    """Return two different values with as many digits as it takes to tell them apart.

    >>> pair(0.5, 1.0)
    ('0.5', '1.0')
    >>> pair(1.00000001, 1.0)
    ('1.00000001', '1.0')
    """
    for digits in (6, 9, 17):
        shown = value(got, digits), value(expected, digits)
        if shown[0] != shown[1]:
            return shown
    return shown


def arguments(exercise: Exercise, case: Case) -> str:
    """Return the arguments of a case, for `For ... you returned ...`.

    >>> from teach.exercise import Exercise, Case
    >>> case = Case(torch.tensor([-1.0, 0.5]), bits=2)
    >>> arguments(Exercise("2.1", "Scale", lambda w, bits: 0, [case], [], function="scale"), case)
    '`w = [-1.0, 0.5], bits = 2`'
    """
    if case.name:
        return case.name
    given = exercise.arguments(case)
    shown = ", ".join(f"{name} = {value(item)}" for name, item in given.items() if not _is_long(item))
    long = [f"`{name}` of {_size(item)}" for name, item in given.items() if _is_long(item)]
    return " and ".join((f"`{shown}`", *long) if shown else long)


def can_be_typed(exercise: Exercise, case: Case) -> bool:
    """Return whether a message shows all of a case's arguments, so that a learner can type the call.

    >>> from teach.exercise import Exercise, Case
    >>> asked = Exercise("2.1", "Scale", lambda w: 0, [Case(torch.ones(8))], [], function="scale")
    >>> can_be_typed(asked, asked.cases[0]), can_be_typed(asked, Case(torch.ones(64)))
    (True, False)
    """
    return not case.name and all(map(is_whole, exercise.arguments(case).values()))


def is_whole(thing: Any) -> bool:
    """Return whether `value` prints every number of a thing."""
    if isinstance(thing, (dict, list, tuple)):
        parts = thing.values() if isinstance(thing, dict) else thing
        return not _is_long(thing) and all(map(is_whole, parts))
    simple = isinstance(thing, (bool, int, float, str, type(None))) or hasattr(thing, "shape")
    return simple and not _is_long(thing)


def call(exercise: Exercise, case: Case, name: str = "") -> str:
    """Return a case as the call that it is: `scale([-1.0, 0.5], bits=2)`; `name` is that of the function called."""
    name = name or exercise.function
    if case.name:
        return f"`{name}(...)` for {case.name}"
    inside = [value(item) for item in case.args] + [f"{key}={value(item)}" for key, item in case.kwargs.items()]
    return f"`{name}({', '.join(inside)})`"


def _is_long(thing: Any) -> bool:
    if hasattr(thing, "shape"):  # a tensor, or numpy's
        return math.prod(thing.shape) > MOST_SHOWN
    return isinstance(thing, (dict, list, tuple)) and len(thing) > MOST_SHOWN


def _size(thing: Any) -> str:
    return f"shape {tuple(thing.shape)}" if hasattr(thing, "shape") else f"{len(thing)} items"


def sentence(clause: str) -> str:
    """Return a clause with a capital and a full stop.

    >>> sentence("you returned None: did you forget `return`?")
    'You returned None: did you forget `return`?'
    """
    clause = clause[:1].upper() + clause[1:]
    return clause if clause.endswith((".", "?", "!")) else clause + "."


def a(noun: str) -> str:
    """Return a noun with its article.

    >>> a("tuple"), a("integer")
    ('a tuple', 'an integer')
    """
    return f"an {noun}" if noun[:1].lower() in tuple("aeio") else f"a {noun}"


def _container(thing: dict | list | tuple, digits: int, depth: int) -> str:
    opening, closing = {dict: "{}", list: "[]"}.get(type(thing), "()")
    if depth == DEEPEST and thing:
        return f"{opening}...{closing}"
    first = itertools.islice(thing, 3 if len(thing) > MOST_SHOWN else None)
    items = [value(item, digits, depth + 1) for item in first]
    if isinstance(thing, dict):
        items = [f"{shown}: {value(item, digits, depth + 1)}" for shown, item in zip(items, thing.values())]
    if len(thing) > MOST_SHOWN:
        items.append(f"... {len(thing) - 3} more")
    comma = "," if opening == "(" and len(items) == 1 else ""
    return f"{opening}{', '.join(items)}{comma}{closing}"


def _tensor(tensor: torch.Tensor, digits: int) -> str:
    tensor = tensor.detach().cpu()
    if tensor.numel() <= MOST_SHOWN:
        return value(tensor.tolist(), digits)
    first = ", ".join(number(item, digits) for item in tensor.flatten()[:3].tolist())
    return f"[{first}, ...] of shape {tuple(tensor.shape)}"


def _module(module: torch.nn.Module) -> str:
    text = " ".join(repr(module).split())
    if len(text) <= 80:
        return text
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return f"{type(module).__name__} with {parameters:,} parameters"
