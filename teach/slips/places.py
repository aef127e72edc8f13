"""Slips of place: the right values in another order, another shape, another container, or one of several.

Each rule is a function of what is wrong. It returns a clause, or "" where it does not explain every failing case.
"""

from collections.abc import Callable
from typing import Any

import torch

from teach.slips.seen import RICH, Seen, Wrong, aligned, close, distinct, enough, leaves, numbers
from teach.words import a, value

TURNS = {
    "in reverse order": lambda right: right.flip(0),
    "with rows and columns swapped: transpose it": lambda right: right.transpose(0, 1),
    "sorted: keep their original order": lambda right: right.sort().values,
    "sorted in descending order: keep their original order": lambda right: right.sort(descending=True).values,
}
PLACES = ("first", "second", "third", "fourth")


def one_of_several(wrong: Wrong) -> str:
    """One value is returned where two or more are asked for."""
    first = wrong.failing[0]
    if not isinstance(first.expected, tuple) or len(first.expected) < 2:
        return ""
    if not all(_is_one(one.got, one.expected) for one in wrong.failing):
        return ""
    count = _count(first.expected)
    said = f"you return one value instead of {count}"
    for at, name in enumerate(PLACES[: len(first.expected)]):
        if _told_apart(wrong) and all(_same(one.got, one.expected[at]) for one in wrong.failing):
            return f"{said}: it is the {name} of the {count}"
    return said


def several_for_one(wrong: Wrong) -> str:
    """The right value is returned together with another one."""
    if any(not isinstance(one.got, tuple) or len(one.got) < 2 for one in wrong.failing) or not _told_apart(wrong):
        return ""
    for at, name in enumerate(PLACES[:2]):
        if all(_same(one.got[at], one.expected) for one in wrong.failing):
            count = _count(wrong.failing[0].got)
            return f"{wrong.it} has more values than asked for: return only the {name} of its {count} values"
    return ""


def swapped(wrong: Wrong) -> str:
    """The two values of a pair are in each other's place."""
    pairs = [(one.got, one.expected) for one in wrong.failing]
    if not all(isinstance(thing, (tuple, list)) and len(thing) == 2 for pair in pairs for thing in pair):
        return ""
    if not isinstance(pairs[0][1], tuple) or not enough([right for _, right in pairs]):
        return ""
    exchanged = all(_same(mine[0], right[1]) and _same(mine[1], right[0]) for mine, right in pairs)
    return f"{wrong.when}the two values are right, but in the wrong order: swap them" if exchanged else ""


def inverted(wrong: Wrong) -> str:
    """Every truth value is the other one."""
    mine = [leaf for one in wrong.failing for leaf in leaves(one.got)]
    right = [leaf for one in wrong.failing for leaf in leaves(one.expected)]
    if wrong.passing or len(right) < RICH or set(map(type, mine + right)) != {bool} or len(set(right)) < 2:
        return ""  # of a single truth value, whatever is wrong is the other one: all of them must be
    other = len(mine) == len(right) and all(one != two for one, two in zip(mine, right))
    return f"{wrong.it} is True where False is right, and False where True is right: invert it" if other else ""


def reshaped(wrong: Wrong) -> str:
    """The right numbers in the right order, in another shape."""
    for one in wrong.failing:
        mine, right = numbers(one.got), numbers(one.expected)
        if mine is None or right is None or mine.shape == right.shape or mine.numel() != right.numel():
            return ""
        if not bool(close(mine.flatten(), right.flatten()).all()):
            return ""
    if not _told_apart(wrong):
        return ""
    mine, right = numbers(wrong.failing[0].got), numbers(wrong.failing[0].expected)
    if not right.ndim:
        return f"the number is right, but {wrong.it} is inside a tensor or list: return the number itself"
    return f"the values are right, but {wrong.it} has shape {tuple(mine.shape)}, expected {tuple(right.shape)}"


def reordered(wrong: Wrong) -> str:
    """The right numbers in another order."""
    pairs = [(numbers(one.got), numbers(one.expected)) for one in wrong.failing]
    if any(mine is None or right is None or mine.numel() != right.numel() or not right.ndim for mine, right in pairs):
        return ""
    if not all(bool(close(_sorted(mine), _sorted(right)).all()) for mine, right in pairs):
        return ""
    if not _mostly_different([right for _, right in pairs]):
        return ""
    for name, turn in TURNS.items():
        if all(_turned(turn, mine, right) for mine, right in pairs):
            return f"{wrong.when}{wrong.it} holds the right values {name}"
    return f"{wrong.when}{wrong.it} holds the right values in another order"


def one_missing(wrong: Wrong) -> str:
    """A row of the right values without its first or its last, or with one more."""
    pairs = [(_row(one.got), _row(one.expected)) for one in wrong.failing]
    if any(mine is None or not right for mine, right in pairs) or not _told_apart(wrong):
        return ""
    cuts = {
        "is missing the last value": lambda mine, right: _same(mine, right[:-1]),
        "is missing the first value": lambda mine, right: _same(mine, right[1:]),
        "has one extra value at the end": lambda mine, right: _same(mine[:-1], right),
        "has one extra value at the beginning": lambda mine, right: _same(mine[1:], right),
    }
    for says, cut in cuts.items():
        if all(cut(mine, right) for mine, right in pairs):
            return f"{wrong.when}{wrong.it} {says}; the others are right"
    return ""


def contained(wrong: Wrong) -> str:
    """The right values in another container."""
    first = wrong.failing[0]
    mine, right = type(first.got), type(first.expected)
    if not {mine, right} & {dict, set} or mine is right or not {mine, right} <= {dict, set, list, tuple, torch.Tensor}:
        return ""
    if not _told_apart(wrong) or not all(_hold_the_same(one) for one in wrong.failing):
        return ""
    names = {torch.Tensor: "tensor"}
    kinds = [a(names.get(kind, kind.__name__)) for kind in (mine, right)]
    return f"the values are right, but {wrong.it} is {kinds[0]}, expected {kinds[1]}"


def as_text(wrong: Wrong) -> str:
    """A number as text."""
    for one in wrong.failing:
        if not isinstance(one.got, str) or not isinstance(one.expected, (int, float)) or isinstance(one.expected, bool):
            return ""
    return f"{wrong.it} is the text {value(wrong.failing[0].got)}, expected a number"


def _count(values: tuple) -> str:
    return {2: "two", 3: "three", 4: "four"}.get(len(values), str(len(values)))


def _told_apart(wrong: Wrong) -> bool:
    return enough([_listed(one.expected) for one in wrong.failing])


def _listed(thing: Any) -> Any:
    return sorted(thing, key=str) if isinstance(thing, set) else thing


def _is_one(got: Any, expected: tuple) -> bool:
    """Whether one number, text or tensor was returned; a row of numbers may stand for several numbers."""
    if isinstance(got, torch.Tensor):
        return not (len(got) == len(expected) and all(isinstance(item, (bool, int, float)) for item in expected))
    return isinstance(got, (bool, int, float, str))


def _same(one: Any, other: Any) -> bool:
    """Whether two values hold the same in the same layout, but for the roundings of float32."""
    pair = aligned(one, other)
    if pair is not None:
        return bool(close(*pair).all())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and one.tolist() == other.tolist()
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and not isinstance(one, torch.Tensor) and one == other


def _row(thing: Any) -> list[Any] | None:
    """The items of a list, or the rows of a tensor."""
    return list(thing) if isinstance(thing, (list, tuple, torch.Tensor)) else None


def _hold_the_same(one: Seen) -> bool:
    if isinstance(one.got, set) or isinstance(one.expected, set):
        mine, right = (
            set(thing) if isinstance(thing, set) else set(leaves(thing)) for thing in (one.got, one.expected)
        )
        return mine == right
    (table, row) = (one.got, one.expected) if isinstance(one.got, dict) else (one.expected, one.got)
    return any(_same(list(part), list(row)) for part in (table.values(), table.items(), table.keys()))


def _sorted(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.flatten().sort().values


def _turned(turn: Callable[[torch.Tensor], torch.Tensor], mine: torch.Tensor, right: torch.Tensor) -> bool:
    try:
        turned = turn(right)
    except (IndexError, RuntimeError):  # no second axis, say
        return False
    return mine.shape == turned.shape and bool(close(mine, turned).all())


def _mostly_different(rights: list[torch.Tensor]) -> bool:
    """Whether an order can be seen at all: codes and masks hold the same few values in any order."""
    telling = [right for right in rights if 2 * distinct(right.flatten().tolist()) > right.numel()]
    return len(telling) == len(rights) and enough(telling)
