"""variants: one sentence for several wrong answers that come from the same slip."""

from collections.abc import Callable
from typing import Any

from teach.compare import difference
from teach.exercise import Symptom
from teach.plain import plain


def variants(says: str, *wrong: Callable[..., Any]) -> Symptom:
    """Return the symptom of an answer that gives, wherever it fails, what one of these wrong answers gives.

    Their parameters have the names that the exercise uses.

    >>> off = variants("Count the ends once.", lambda n: n + 1, lambda n: n - 1)
    >>> off.shows(4, 3, {"n": 3}), off.shows(2, 3, {"n": 3}), off.shows(9, 3, {"n": 3})
    (True, True, False)
    """

    def shows(got: Any, expected: Any, arguments: dict[str, Any]) -> bool:
        return difference(got, expected) is not None and any(_gives(one, arguments, got) for one in wrong)

    return Symptom(shows, says, examples=wrong)


def _gives(wrong: Callable[..., Any], arguments: dict[str, Any], got: Any) -> bool:
    try:
        value = plain(wrong(**arguments))
    except Exception:  # this one has no value here; the next may have
        return False
    return difference(got, value) is None
