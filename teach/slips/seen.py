"""What a rule looks at: the cases in which one thing is wrong, and whether they are enough to name a slip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from teach.exercise import FLOAT32_TOLERANCE

CASES = 3  # with different right values tell a slip from a coincidence,
RICH = 4  # and so does one value that holds this many different numbers


@dataclass(frozen=True)
class Seen:
    """One case: what was returned, what is right, and the arguments by name. All of it is plain data."""

    got: Any
    expected: Any
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong: the cases where it is, those where it is right, and its name in a sentence."""

    failing: tuple[Seen, ...]
    passing: tuple[Seen, ...] = ()
    it: str = "it"

    @property
    def when(self) -> str:
        """Begins a sentence: nothing where every case fails."""
        return "where it is wrong, " if self.passing else ""


def leaves(value: Any) -> list[Any]:
    """Return the numbers, texts and truth values in plain data, in order.

    >>> leaves({"a": [1, True], "b": torch.tensor([[0.5], [2.0]])})
    [1, True, 0.5, 2.0]
    """
    if isinstance(value, torch.Tensor):
        return value.flatten().tolist()
    if isinstance(value, (list, tuple, dict)):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in leaves(part)]
    return [value] if isinstance(value, (bool, int, float, str)) else []


def distinct(values: Sequence[Any]) -> int:
    """Return how many different values there are, compared by what they hold.

    >>> distinct([1, 1.0, torch.tensor([1.0, 2.0]), (1, 2), "1"])
    3
    """
    return len({tuple(leaves(value)) for value in values})


def enough(right: Sequence[Any]) -> bool:
    """Return whether cases with these right values can tell a slip from a coincidence.

    >>> enough([1, 2, 2]), enough([1, 2, 3]), enough([torch.arange(4)]), enough([torch.zeros(9)])
    (False, True, True, False)
    """
    return distinct(right) >= CASES or any(distinct(leaves(value)) >= RICH for value in right)


def numbers(value: Any) -> torch.Tensor | None:
    """Return a number, a tensor or a list of numbers as a tensor of doubles; None for anything else.

    >>> numbers([1, 2.5]), numbers(True), numbers("1")
    (tensor([1.0000, 2.5000], dtype=torch.float64), None, None)
    """
    if isinstance(value, torch.Tensor):
        return None if value.dtype == torch.bool else value.double()
    found = leaves(value) if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(item, (bool, str)) or not isinstance(item, (int, float)) for item in found):
        return None
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # ragged, holds tensors, or too large
        return None


def aligned(got: Any, expected: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the numbers of two values of one layout, in one order; None where the layouts differ.

    >>> aligned({"a": 1, "b": [2, 3]}, {"a": 4, "b": torch.tensor([5.0, 6.0])})[1]
    tensor([4., 5., 6.], dtype=torch.float64)
    """
    if isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            return None
        return _joined([aligned(got[key], expected[key]) for key in expected])
    if got is None and expected is None:
        return torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
    mine, right = numbers(got), numbers(expected)
    if mine is not None and right is not None:
        return (mine.flatten(), right.flatten()) if mine.shape == right.shape else None
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)) and len(got) == len(expected):
        return _joined([aligned(one, other) for one, other in zip(got, expected)])
    return None


def _joined(parts: list[tuple[torch.Tensor, torch.Tensor] | None]) -> tuple[torch.Tensor, torch.Tensor] | None:
    if not parts or any(part is None for part in parts):
        return None
    return torch.cat([mine for mine, _ in parts]), torch.cat([right for _, right in parts])


def close(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return where two tensors of doubles agree but for the roundings of float32."""
    return torch.isclose(one, other, rtol=2 * FLOAT32_TOLERANCE, atol=0.0, equal_nan=True)
