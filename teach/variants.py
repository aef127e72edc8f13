"""One slip that people write in several ways, as a symptom: the value is that of one of its variants, case by case."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from teach.compare import difference
from teach.exercise import FLOAT32_TOLERANCE, Symptom
from teach.plain import plain


def variants(
    says: str, *wrong: Callable[..., Any], item: int | None = None, rtol: float = FLOAT32_TOLERANCE
) -> Symptom:
    """Return the symptom that a wrong value is what one of the functions `wrong` gives for the same arguments.

    Two slips that come together are a variant of each. The parameters have the names that the exercise gives them, or
    at least its order, if its cases leave none out. With an `item`, only that item of a tuple is compared.

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
        by_name = set(arguments) <= set(inspect.signature(one).parameters)
        return plain(one(**arguments) if by_name else one(*arguments.values()))
    except Exception:  # one variant may divide by zero where another does not
        return None


def _differ(one: Any, other: Any, rtol: float) -> bool:
    return difference(one, other, rtol=rtol) is not None


def of_tensors(shows: Callable[..., bool], says: str, examples: Sequence[Callable[..., Any]]) -> Symptom:
    """Return a symptom whose `shows` gets tensors, where a learner may return a list or a number as well.

    >>> negative = of_tensors(lambda got, expected, a: bool((got < 0).any()), "No sign.", [lambda x: -x])
    >>> negative.shows([1.0, -2.0], torch.tensor([1.0, 2.0]), {})
    True
    """
    return Symptom(lambda got, right, a: shows(torch.as_tensor(got), torch.as_tensor(right), a), says, examples)
