"""claim("It keeps 87%", 86.9): a sentence of the page, compared with the numbers that it speaks of.

Claims are in cells of the solution that the lesson does not have. What each one found is kept in the built notebook,
and the builder (teach/build/claims.py) refuses a page whose text and numbers have parted.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mini_lib.require import finite, not_negative, of_type

#: How a claim is kept among a cell's outputs.
MIME_TYPE = "application/vnd.course.claim+json"

#: 14.3, .5, -2, 1,024, 87%, 5.2x; not the digits of int8 or conv3, and not those of 1.5GB: a unit is written apart.
NUMBER = re.compile(
    r"(?:(?<![\w.)])[-–−])?(?<![\w.])(?:(?:\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?|(\.\d+))(?:e[-+]?\d+)?(?!\.\d|,\d{3}|(?!x\b)\w)"
)


@dataclass(frozen=True, repr=False)
class Claim:
    """A sentence and what was measured: one value for each of its numbers, or None for a number that was not measured.

    A value agrees with its number where it rounds to it as written (14.3 stands for 14.25 to 14.35), give or take
    `within`. `holds` is the answer to what the sentence says in addition: who wins, that nothing was lost.

    Raises:
        TypeError: a value is no number, or `holds` neither True nor False.
        ValueError: there is nothing to compare, or not one value for each number.

    >>> Claim("It keeps 87% of 10", (86.9, None)).problem()
    ''
    >>> Claim("It keeps 87% of 10", (86.2, None)).problem()
    'says 87%, but it is 86.2'
    >>> Claim("It keeps 87% of 10", (86.2, None), within=0.5).problem()
    ''
    """

    sentence: str
    measured: tuple[float | None, ...] = ()
    within: float = 0.0
    holds: bool | None = None
    page: str = ""

    def __post_init__(self) -> None:
        of_type("sentence", self.sentence, str, fix="quote the page")
        fix = "give the number that the page speaks of, or None"
        values = (None if value is None else float(finite("measured", value, fix=fix)) for value in self.measured)
        object.__setattr__(self, "measured", tuple(values))
        object.__setattr__(self, "within", not_negative("within", self.within, fix="give it in the sentence's units"))
        if self.holds is not None:
            of_numpy_or_torch = getattr(self.holds, "ndim", None) == 0 and str(self.holds.dtype).endswith("bool")
            if not isinstance(self.holds, bool) and not of_numpy_or_torch:
                fix = "join several with `and`, or use all(...)"
                raise TypeError(f"holds must be True or False, got {self.holds!r}; {fix}")
            object.__setattr__(self, "holds", bool(self.holds))
        written = [found[0] for found in numbers(self.sentence)]
        if self.measured and len(self.measured) != len(written):
            raise ValueError(
                f"{self.sentence!r} has {len(written)} numbers ({', '.join(written)}), got {len(self.measured)} values"
                "; give one for each, in order, and None for one that was not measured (write units apart: 1.5 GB)"
            )
        if self.holds is None and not any(value is not None for value in self.measured):
            raise ValueError(f"{self.sentence!r} is compared with nothing; give its numbers, or holds=")

    def problem(self) -> str:
        """Return where the sentence and the numbers part; empty where they agree."""
        parted = [
            f"says {text}, but it is {value:.6g}"
            for (text, number, half), value in zip(numbers(self.sentence), self.measured)
            if value is not None and abs(value - number) > half * (1 + 1e-9) + self.within
        ]
        return "; ".join(parted + ["does not hold"] * (self.holds is False))

    def __repr__(self) -> str:
        return f"claim: {self.sentence!r} {self.problem() or 'holds'}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), MIME_TYPE: asdict(self) | {"measured": list(self.measured)}}


def numbers(sentence: str) -> list[tuple[str, float, float]]:
    """Return the numbers of a sentence: as written, their value, and half a unit of their last digit.

    >>> numbers("int8 takes 1,024 bytes, 5.2x less (.05 s) than 32-bit")
    [('1,024', 1024.0, 0.5), ('5.2', 5.2, 0.05), ('.05', 0.05, 0.005), ('32', 32.0, 0.5)]
    """
    found = []
    for match in NUMBER.finditer(sentence):
        text = match[0].replace(",", "").replace("−", "-").replace("–", "-")
        mantissa, _, exponent = text.partition("e")
        places = len(mantissa.partition(".")[2])
        percent = "%" * sentence[match.end() :].startswith("%")
        found.append((match[0] + percent, float(text), 0.5 * 10.0 ** (int(exponent or 0) - places)))
    return found


def claim(
    sentence: str, *measured: float | None, within: float = 0.0, holds: bool | None = None, page: str = ""
) -> None:
    """Compare a sentence of the page with what was measured, and keep the answer among the cell's outputs.

    sentence: words of the lesson, exactly as written there. measured: a value for each number in it, in its units
    (87 for 87%), and None for one not measured. within: a tolerance on top of rounding, in the same units.
    holds: whether what else it says is true. page: the file that has the sentence, where it is not the lesson:
    `"README.md"`, `"slides/05_prune.md"`.

    On another machine a claim may not hold: it then says so. Only a build fails.

    Raises:
        TypeError: a value is no number.
        ValueError: there is nothing to compare, or not one value for each number.
    """
    from IPython.display import display

    display(Claim(sentence, measured, within, holds, page))


def read(data: Mapping[str, Any]) -> Claim:
    """Return the claim that a built notebook keeps.

    Raises:
        ValueError: it is none.
    """
    try:
        return Claim(**{**data, "measured": tuple(data["measured"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a claim: {data}; build the lesson again") from error
