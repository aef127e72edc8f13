"""Find an object by its name, and list the nearest names when there is none."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeVar

from mini_lib.require import shown

_T = TypeVar("_T")  # anything with a name


def by_name(kind: str, name: str, among: Iterable[_T]) -> _T:
    """Return the object of `among` whose name is `name`; capitals, spaces, hyphens and underscores do not matter.

    Raises:
        TypeError: `name` is not a string.
        ValueError: there is no such name; the message lists the nearest ones.

    >>> from types import SimpleNamespace as Thing
    >>> by_name("device", "rtx 3090", [Thing(name="RTX-3070"), Thing(name="RTX-3090")]).name
    'RTX-3090'
    >>> by_name("device", "RTX-3091", [Thing(name="RTX-3070"), Thing(name="RTX-3090")])
    Traceback (most recent call last):
    ValueError: no device is called 'RTX-3091'; the nearest are RTX-3090, RTX-3070
    """
    if not isinstance(name, str):
        raise TypeError(
            f"{_a(kind)} is found by its name, a string, got {type(name).__name__}; pass the {kind} on as it is"
        )
    known = {_plain(one.name): one for one in among}
    wanted = _plain(name)
    if wanted in known:
        return known[wanted]
    near = [known[plain].name for plain in get_close_matches(wanted[:100], known, n=3)]
    if near:
        raise ValueError(f"no {kind} is called {shown(name)}; the nearest are {', '.join(near)}")
    raise ValueError(f"no {kind} is called {shown(name)}; there are {', '.join(one.name for one in known.values())}")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _plain(name: str) -> str:
    return name.lower().replace(" ", "-").replace("_", "-")
