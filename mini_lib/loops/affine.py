"""Affine expressions over loop variables: the only subscripts, bounds and guards that a nest can have."""

from collections.abc import Mapping
from dataclasses import dataclass

from mini_lib.require import whole


@dataclass(frozen=True)
class Affine:
    """A sum of whole multiples of variables, plus a whole constant: `16*m.o + m.i - 1`.

    `terms` holds (variable, coefficient) pairs, sorted by name, with no zero coefficient. Make one with `affine`, and
    calculate with `+`, `-` and `*` (by a whole number).

    >>> i, j = affine("i"), affine("j")
    >>> print(16 * i + j - 1)
    16*i + j - 1
    >>> (16 * i + j - 1).value({"i": 2, "j": 3})
    34
    """

    terms: tuple[tuple[str, int], ...] = ()
    constant: int = 0

    @property
    def names(self) -> frozenset[str]:
        """The variables in it."""
        return frozenset(name for name, _ in self.terms)

    @property
    def is_constant(self) -> bool:
        """Whether no variable is in it."""
        return not self.terms

    def coefficient(self, name: str) -> int:
        """The coefficient of a variable; 0 where it does not appear."""
        return dict(self.terms).get(name, 0)

    def __add__(self, other: "Affine | int | str") -> "Affine":
        other = affine(other)
        if not other.terms:
            return Affine(self.terms, self.constant + other.constant)
        counts = dict(self.terms)
        for name, count in other.terms:
            counts[name] = counts.get(name, 0) + count
        return _affine(counts, self.constant + other.constant)

    def __mul__(self, factor: int) -> "Affine":
        # the names stay in their order
        terms = tuple([(name, count * factor) for name, count in self.terms]) if factor else ()
        return Affine(terms, self.constant * factor)

    def __neg__(self) -> "Affine":
        return self * -1

    def __sub__(self, other: "Affine | int | str") -> "Affine":
        return self + -affine(other)

    def __rsub__(self, other: "Affine | int | str") -> "Affine":
        return affine(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def substitute(self, values: Mapping[str, "Affine"]) -> "Affine":
        """The same expression with some variables replaced by expressions, all at once."""
        result = Affine((), self.constant)
        for name, count in self.terms:
            result += values.get(name, affine(name)) * count
        return result

    def value(self, values: Mapping[str, int]) -> int:
        """The value of the expression at a point, which gives every variable a value."""
        return self.constant + sum(count * values[name] for name, count in self.terms)

    def extremes(self, ranges: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
        """The smallest and largest value over a box: each variable runs from its low to its high, both included.

        >>> (affine("i") - affine("j")).extremes({"i": (0, 3), "j": (0, 7)})
        (-7, 3)
        """
        low = high = self.constant
        for name, count in self.terms:
            ends = (count * ranges[name][0], count * ranges[name][1])
            low, high = low + min(ends), high + max(ends)
        return low, high

    def __str__(self) -> str:
        parts = [(count, f"{abs(count)}*{name}" if abs(count) != 1 else name) for name, count in self.terms]
        if self.constant or not parts:
            parts.append((self.constant, str(abs(self.constant))))
        first = ("-" if parts[0][0] < 0 else "") + parts[0][1]
        rest = (f" {'-' if count < 0 else '+'} {text}" for count, text in parts[1:])
        return first + "".join(rest)


def affine(value: "Affine | int | str") -> Affine:
    """A whole number or the name of a variable, as an affine expression.

    Raises:
        TypeError: it is neither a whole number, nor a name, nor already affine.

    >>> affine("i") == Affine((("i", 1),))
    True
    """
    if isinstance(value, Affine):
        return value
    if isinstance(value, str):
        return Affine(((value, 1),))
    if type(value) is int:
        return Affine((), value)
    return Affine((), whole("a term of an affine expression", value, fix="give an int, a name or an Affine"))


def _affine(counts: Mapping[str, int], constant: int) -> Affine:
    terms = tuple(sorted([(name, count) for name, count in counts.items() if count]))
    return Affine(terms, constant)
