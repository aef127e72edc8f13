"""find_slip: the general rules in order, tried on the whole answer or on the one item of it that is wrong."""

from collections.abc import Callable
from typing import Any

from teach.slips import arguments, numbers, places
from teach.slips.seen import Seen, Wrong
from teach.words import value

# What an answer is comes before how large it is. Of two rules that explain an answer, the first speaks.
RULES: tuple[Callable[[Wrong], str], ...] = (
    places.one_of_several,
    places.several_for_one,
    places.swapped,
    places.as_text,
    places.contained,
    places.reshaped,
    places.inverted,
    arguments.returned_as_it_came,
    numbers.factor,
    numbers.rounded,
    numbers.by_one,
    numbers.through,
    numbers.signs,
    places.reordered,
    places.one_missing,
    arguments.of_an_argument,
)


def find_slip(failing: list[Seen], passing: list[Seen], right: Callable[[Any, Any], bool]) -> str:
    """Return the clause of the first rule that explains every failing case, or "".

    `right(got, expected)` says whether two values are the same to the exercise.

    >>> failing = [Seen(8 * n, n, {"n": n}) for n in (2, 3, 5)]
    >>> find_slip(failing, [], lambda got, expected: got == expected)
    'it is always 8 times too large. A byte has 8 bits: are these bits instead of bytes?'
    """
    wrong = Wrong(tuple(failing), tuple(passing))
    part = _only_item(wrong, right)
    for one in (part, wrong) if part else (wrong,):
        for rule in RULES:
            if clause := rule(one):
                return clause
    return ""


def _only_item(wrong: Wrong, right: Callable[[Any, Any], bool]) -> Wrong | None:
    """The one item of a tuple or dict that is wrong, where the others are right in every case."""
    cases = (*wrong.failing, *wrong.passing)
    if not isinstance(wrong.failing[0].expected, (tuple, dict)):
        return None
    keys = _keys(wrong.failing[0].expected)
    if any(_keys(one.expected) != keys or _keys(one.got) != keys for one in cases):
        return None
    at_fault = [key for key in keys if not all(right(one.got[key], one.expected[key]) for one in cases)]
    if len(at_fault) != 1 or len(keys) == 1:
        return None
    (key,) = at_fault
    parts = [Seen(one.got[key], one.expected[key], one.arguments) for one in cases]
    agree = [right(part.got, part.expected) for part in parts]
    failing = tuple(part for part, same in zip(parts, agree) if not same)
    passing = tuple(part for part, same in zip(parts, agree) if same)
    return Wrong(failing, passing, f"the entry {value(key)}" if isinstance(key, str) else f"the {_place(key)} value")


def _keys(thing: Any) -> list[Any]:
    if isinstance(thing, dict):
        return sorted(thing, key=str)
    return list(range(len(thing))) if isinstance(thing, (list, tuple)) else []


def _place(at: int) -> str:
    return places.PLACES[at] if at < len(places.PLACES) else f"{at + 1}th"
