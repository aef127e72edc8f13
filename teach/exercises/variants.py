"""variants: one sentence for several wrong answers that come from the same slip."""

from collections.abc import Callable
from typing import Any

from teach.compare import difference
from teach.exercise import Symptom
from teach.plain import plain


def variants(says: str, *wrong: Callable[..., Any]) -> Symptom:
    """Return a symptom that shows where a value is wrong as one of these wrong answers is.

    Unlike a mistake it may be right elsewhere for another reason, and each failing case may be another variant.

    >>> upside_down = variants("Turn it round.", lambda x: 1 / x, lambda x: 100 / x)
    >>> upside_down.shows(0.5, 2, {"x": 2}), upside_down.shows(3, 2, {"x": 2})
    (True, False)
    """

    def shows(got: Any, expected: Any, arguments: dict[str, Any]) -> bool:
        if difference(got, expected) is None:
            return False
        return any(difference(got, plain(one(*arguments.values()))) is None for one in wrong)

    return Symptom(shows, says, wrong)
