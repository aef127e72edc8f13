"""Is this answer right? Compared by value, whatever type carries the value.

A Python float, a numpy scalar and a tensor with one number say the same thing, and so do a list and a
tensor of one axis. What differs is said in one clause that the learner can act on.
"""

import dataclasses
import math
from typing import Any

import numpy
import torch

from teach.exercise import FLOAT32_TOLERANCE
from teach.plain import Opaque
from teach.words import a, number, pair, value

FLOAT32_EPS = 2.0**-23
LAZY = ("generator", "map", "zip", "filter", "enumerate", "reversed", "islice", "chain", "accumulate")
FUNCTIONS = ("function", "method", "builtin_function_or_method", "method-wrapper", "method_descriptor")
NAN_SAYS = "NaN comes from 0 / 0 or from infinity minus infinity"


def difference(got: Any, expected: Any, *, rtol: float = FLOAT32_TOLERANCE, atol: float | None = None) -> str | None:
    """Return None where `got` says the same as `expected`; otherwise how they differ, as a clause.

    Both are plain data (see `plain`). Integers, strings and booleans are compared exactly. Floats may differ by
    rtol * |expected| + atol. Without an atol, elements of a tensor may also be off by one float32 unit
    of its largest element: that is what cancellation leaves where the exact value is near zero.

    >>> difference(0.5, 1.0)
    'you returned 0.5, expected 1.0'
    >>> difference([1, 2], torch.tensor([1.0, 2.0])) is None
    True
    >>> difference(None, 1.0)
    'you returned None, expected 1.0'
    """
    return _Comparison(rtol, atol, where="").clause(got, expected)


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """One comparison; `where` leads to it inside a list or dict, such as "in item 1 "."""

    rtol: float
    atol: float | None
    where: str

    def clause(self, got: Any, expected: Any) -> str | None:
        if got is None and expected is not None:
            return self._plainly(got, expected)
        if isinstance(got, Opaque) and got != expected:
            return f"{self.where}you returned {unreadable(got, expected)}"
        if isinstance(expected, bool):
            return None if got is expected else self._plainly(got, expected)
        if isinstance(expected, (int, float)):
            return self._of_numbers(got, expected)
        if isinstance(expected, torch.Tensor):
            return self._of_tensors(got, expected)
        if isinstance(expected, (list, tuple)):
            return self._of_sequences(got, expected)
        if isinstance(expected, dict):
            return self._of_dicts(got, expected)
        same = type(got) is type(expected) and got == expected
        return None if same else self._plainly(got, expected)

    def _plainly(self, got: Any, expected: Any) -> str:
        return "{}you returned {}, expected {}".format(self.where, *pair(got, expected))

    def _another_kind(self, got: Any, expected: Any) -> str:
        if isinstance(expected, tuple) and isinstance(got, (bool, int, float, str)):
            return f"{self.where}you returned one value, {value(got)}; expected {len(expected)}: {value(expected)}"
        return f"{self.where}you returned {_kind(got)}, {value(got)}; expected {_kind(expected)}, {value(expected)}"

    def _inside(self, where: str) -> "_Comparison":
        return dataclasses.replace(self, where=f"{where} {self.where}".strip() + " ")

    def _of_numbers(self, got: Any, expected: int | float) -> str | None:
        if isinstance(got, bool):
            return f"{self._plainly(got, expected)}: return a number, not a truth value"
        if isinstance(got, torch.Tensor):
            return f"{self.where}you returned {_kind(got)}, expected one number, {number(expected)}"
        if not isinstance(got, (int, float)):
            return self._another_kind(got, expected)
        if got == expected or (got != got and expected != expected):
            return None
        if got != got:
            return f"{self._plainly(got, expected)}: {NAN_SAYS}"
        roundings = 0.0 if isinstance(expected, int) else self.rtol * abs(expected) + (self.atol or 0.0)
        close = math.isfinite(expected) and abs(float(got) - expected) <= roundings
        return None if close else self._plainly(got, expected)

    def _of_tensors(self, got: Any, expected: torch.Tensor) -> str | None:
        if isinstance(got, (list, tuple)):
            got = got if (as_tensor := _as_tensor(got)) is None else as_tensor
        if not isinstance(got, torch.Tensor):
            return self._another_kind(got, expected)
        if got.shape != expected.shape:
            return f"{self.where}you returned shape {tuple(got.shape)}, expected shape {tuple(expected.shape)}"
        if (got.dtype == torch.bool) != (expected.dtype == torch.bool):
            return f"{self.where}you returned a tensor of {_elements(got)}, expected a tensor of {_elements(expected)}"
        wrong = self._unequal(got, expected)
        if not wrong.any():
            return None
        index = tuple(wrong.nonzero()[0].tolist())
        mine, right = pair(got[index].item(), expected[index].item())
        why = f": {NAN_SAYS}" if mine == "nan" else ""
        if expected.numel() <= 4:
            return self._plainly(got, expected) + why
        share = f"{int(wrong.sum())} of {wrong.numel()} values differ"
        return f"{self.where}you returned {mine} at index {list(index)}, expected {right} ({share}){why}"

    def _unequal(self, got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        if not expected.is_floating_point():
            # Codes held as floats are as right as codes held as integers, so long as the values are the same.
            same_kind = torch.float64 if got.is_floating_point() else torch.int64
            return got.to(same_kind) != expected.to(same_kind)
        got, expected, atol = got.double(), expected.double(), self.atol
        if atol is None:
            finite = expected[expected.isfinite()]
            atol = FLOAT32_EPS * float(finite.abs().max()) if finite.numel() else 0.0
        same = (got == expected) | (got.isnan() & expected.isnan())
        close = (got - expected).abs() <= self.rtol * expected.abs() + atol
        return ~(same | (close & expected.isfinite()))

    def _of_sequences(self, got: Any, expected: list | tuple) -> str | None:
        if isinstance(got, torch.Tensor):
            row = got.tolist()
            if isinstance(expected, tuple) and (
                got.ndim != 1 or len(row) != len(expected) or not _all_numbers(expected)
            ):
                # Its rows may be the values that are wanted. Where they are not, they are not called so.
                same = len(row) == len(expected) and self._of_sequences(list(got), list(expected)) is None
                said = f"you returned one value, {_kind(got)}; expected {len(expected)}: {value(expected)}"
                return None if same else self.where + said
            got = row
        if not isinstance(got, (list, tuple)):
            return self._another_kind(got, expected)
        if len(got) != len(expected):
            return f"{self.where}you returned {_items(len(got))}, expected {len(expected)}: {value(expected)}"
        for position, (mine, right) in enumerate(zip(got, expected)):
            found = self._inside(f"in item {position}").clause(mine, right)
            if found:
                simple = all(isinstance(item, (bool, int, float, str)) for item in (*expected, *got))
                return self._plainly(got, expected) if simple and len(expected) <= 4 else found
        return None

    def _of_dicts(self, got: Any, expected: dict) -> str | None:
        if not isinstance(got, dict):
            return self._another_kind(got, expected)
        for key in expected:
            if key not in got:
                return f"{self.where}you returned no entry {value(key)}, expected {value(expected[key])} there"
        for key in got:
            if key not in expected:
                keys = value(list(expected))
                return f"{self.where}you returned an extra entry {value(key)}; expected only {keys}"
        found = (self._inside(f"for {value(key)}").clause(got[key], expected[key]) for key in expected)
        return next((clause for clause in found if clause), None)


def identical(one: Any, other: Any) -> bool:
    """Return whether two arguments are the same to the last bit: what tells that a function changed its argument.

    >>> identical([torch.tensor([1.0])], [torch.tensor([1.0])]), identical({"a": 1}, {"a": 2})
    (True, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and one.device == other.device
        return same and bool(((one == other) | ((one != one) & (other != other))).all())
    if isinstance(one, numpy.ndarray):
        return one.dtype == other.dtype and numpy.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, torch.nn.Module):
        flags = [[(name, type(part), part.training) for name, part in model.named_modules()] for model in (one, other)]
        return flags[0] == flags[1] and identical(dict(one.state_dict()), dict(other.state_dict()))
    if isinstance(one, dict):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(identical, one, other))
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        return all(identical(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, (bool, int, float, str, bytes, set, frozenset, type(None))):
        return one == other or one != one
    return True  # functions, generators, files: no way to tell, and no harm


def unreadable(got: Opaque, expected: Any) -> str:
    """Return what was returned instead of plain data, and what to do about it.

    >>> unreadable(Opaque("map"), (1, 2))
    'a map, which holds no values yet: turn it into a tuple with `tuple(...)`'
    """
    if got.kind in LAZY:
        kind = "tuple" if isinstance(expected, tuple) else "list"
        return f"{a(got.kind)}, which holds no values yet: turn it into a {kind} with `{kind}(...)`"
    if got.kind in FUNCTIONS:
        return "a function, not its result: call it with `(...)`"
    return (
        f"{a(got.kind)}, which cannot be used as the answer: {got.why}"
        if got.why
        else f"{a(got.kind)}, expected {_kind(expected)}"
    )


def _all_numbers(row: tuple) -> bool:
    return all(isinstance(item, (bool, int, float)) for item in row)


def _as_tensor(rows: list | tuple) -> torch.Tensor | None:
    """A rectangular list of numbers, or of tensors, as a tensor of doubles, integers or booleans; None if it is not."""
    try:
        return torch.from_numpy(numpy.array(_listed(rows)))
    except (TypeError, ValueError, OverflowError):
        return None


def _listed(rows: Any) -> Any:
    if isinstance(rows, torch.Tensor):
        return rows.tolist()
    if isinstance(rows, (list, tuple)):
        return [_listed(row) for row in rows]
    if isinstance(rows, (bool, int, float)):
        return rows
    raise TypeError("not a number")  # numpy would give every item as much room as the longest text takes


def _kind(thing: Any) -> str:
    """What sort of thing it is, in words: "a tensor of shape (2, 3)", "an integer"."""
    if isinstance(thing, torch.Tensor):
        return f"a tensor of shape {tuple(thing.shape)}"
    names = {bool: "True or False", int: "an integer", float: "a number", str: "a string", type(None): "None"}
    return names.get(type(thing), a(type(thing).__name__))


def _elements(tensor: torch.Tensor) -> str:
    return "True and False" if tensor.dtype == torch.bool else "numbers"


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"
