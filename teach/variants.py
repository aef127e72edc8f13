"""One slip that people write in several ways, as a symptom: the value is that of one of its variants, case by case."""

from collections.abc import Callable
from typing import Any

from teach.compare import difference
from teach.exercise import FLOAT32_TOLERANCE, Symptom
from teach.plain import plain


def variants(
    says: str, *wrong: Callable[..., Any], item: int | None = None, rtol: float = FLOAT32_TOLERANCE
) -> Symptom:
    """Return the symptom that a wrong value is what one of the functions `wrong` gives for the same arguments.

    Two slips that come together are a variant of each. The parameters have the names that the exercise gives them.
    With an `item`, only that item of a tuple is compared.

    >>> lost = variants("The rest is lost.", lambda x: x // 2, lambda x: x // 4)
    >>> lost.shows(3, 3.5, {"x": 7}), lost.shows(1, 3.5, {"x": 7}), lost.shows(2, 3.5, {"x": 7})
    (True, True, False)
    """

    def shows(got: Any, expected: Any, arguments: dict[str, Any]) -> bool:
        mine, right = (got, expected) if item is None else (got[item], expected[item])
        if not _differ(mine, right, rtol):
            return False
        values = (_value(one, arguments) for one in wrong)
        return any(
            not _differ(mine, value if item is None else value[item], rtol) for value in values if value is not None
        )

    return Symptom(shows, says, wrong)


def _value(one: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return plain(one(**arguments))
    except Exception:  # one variant may divide by zero where another does not
        return None


def _differ(one: Any, other: Any, rtol: float) -> bool:
    return difference(one, other, rtol=rtol) is not None
