"""What happened when a function was called: plain data that can cross to another process as JSON.

The grader runs a submission in its own process and reads its outcomes back as text. Nothing that
comes back can run code here, as a pickle could.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy
import torch

from teach.plain import Opaque

LONGEST = 500  # characters of any text in an outcome
MOST_ALIKE = 100  # items of a set, or keys of a dict, that have the same hash
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
        *(torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.bfloat16, torch.float16, torch.float32, torch.float64),
    )
}


@dataclass(frozen=True)
class Raised:
    """An exception: its type, its message, and the line of the learner's code that it came from.

    line_number  counted within the learner's cell; None where it came from elsewhere
    leftover     the stub's `raise NotImplementedError` in a function that has more: "last", or "above" other lines
    parameters   those of the function, as written, where they do not take the arguments: the call itself failed
    """

    type: str
    message: str
    line_number: int | None = None
    line: str = ""
    leftover: Literal["", "last", "above"] = ""
    parameters: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """One call of the learner's function on one case.

    kind      "returned", "raised", or "unwritten": the function is the stub and nothing else
    value     what was returned, as plain data
    changed   names of the arguments that the call modified
    borrowed  name of the forbidden function that it called, if any
    printed   the beginning of what the call printed
    returns   whether the paths through the function return a value
    wrote     name under which the function was written, where it is not the exercise's
    slips     names of the slips that the text of the function shows, of `teach.slips.code`
    """

    kind: Literal["returned", "raised", "unwritten"]
    value: Any = None
    raised: Raised | None = None
    changed: tuple[str, ...] = ()
    borrowed: str | None = None
    printed: str = ""
    returns: Literal["always", "sometimes", "never"] = "always"
    wrote: str = ""
    slips: tuple[str, ...] = ()


def to_json(outcomes: list[Outcome]) -> str:
    """Return outcomes as text.

    >>> from_json(to_json([Outcome("returned", (1, 0.5))])) == [Outcome("returned", (1, 0.5))]
    True
    """
    rows = []
    for outcome in outcomes:
        row = {"kind": outcome.kind, "value": _encode(outcome.value), "changed": list(outcome.changed)}
        row |= {"borrowed": outcome.borrowed, "printed": outcome.printed, "raised": None}
        row |= {"returns": outcome.returns, "wrote": outcome.wrote, "slips": list(outcome.slips)}
        if outcome.raised is not None:
            row["raised"] = vars(outcome.raised)
        rows.append(row)
    return json.dumps(rows)


def from_json(text: str) -> list[Outcome]:
    """Return outcomes read back from text that may come from anywhere.

    Raises:
        ValueError: the text is not what `to_json` writes.
    """
    try:
        return [_read_outcome(row) for row in json.loads(text)]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"these are not outcomes: {error}; expected the text that to_json wrote") from None


def _read_outcome(row: dict[str, Any]) -> Outcome:
    if row["kind"] not in ("returned", "raised", "unwritten"):
        raise ValueError(f"kind {row['kind']!r}")
    raised = row["raised"]
    if raised is not None:
        number = raised["line_number"]
        number = None if number is None else int(number)
        parameters = None if raised["parameters"] is None else _texts(raised["parameters"])
        if raised["leftover"] not in ("", "last", "above"):
            raise ValueError(f"leftover {raised['leftover']!r}")
        words = (_short(raised[name]) for name in ("type", "message"))
        raised = Raised(*words, number, _short(raised["line"]), raised["leftover"], parameters)
    if (row["kind"] == "raised") != (raised is not None):
        raise ValueError("an exception that does not fit its kind")
    borrowed = None if row["borrowed"] is None else _short(row["borrowed"])
    if row["returns"] not in ("always", "sometimes", "never"):
        raise ValueError(f"returns {row['returns']!r}")
    printed, wrote = _short(row["printed"]), _short(row["wrote"])
    value, changed, slips = _decode(row["value"]), _texts(row["changed"]), _texts(row["slips"])
    return Outcome(row["kind"], value, raised, changed, borrowed, printed, row["returns"], wrote, slips)


def _texts(texts: Iterable[Any]) -> tuple[str, ...]:
    return tuple(_short(text) for text in texts)


def _short(text: Any) -> str:
    return str(text)[:LONGEST]


def _encode(value: Any) -> Any:
    """Numbers, strings and None stand for themselves; everything else is [kind, content]."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set)):
        return [type(value).__name__, [_encode(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[_encode(key), _encode(item)] for key, item in value.items()]]
    if isinstance(value, torch.Tensor):
        value = value if _dtype_name(value) in DTYPES else value.double()  # an 8-bit float, say
        raw = value.contiguous().view(torch.uint8) if value.numel() else torch.empty(0, dtype=torch.uint8)
        content = base64.b64encode(raw.numpy().tobytes()).decode("ascii")
        return ["tensor", [_dtype_name(value), list(value.shape), content]]
    return ["opaque", [value.kind, value.why] if isinstance(value, Opaque) else [type(value).__name__, ""]]


def _decode(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind, content = value
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](_decode(item) for item in content)
    if kind == "set":
        return set(_told_apart(_decode(item) for item in content))
    if kind == "dict":
        keys = _told_apart(_decode(key) for key, _ in content)
        return {key: _decode(item) for key, (_, item) in zip(keys, content)}
    if kind == "opaque":
        name, why = content
        return Opaque(_short(name), _short(why))
    if kind != "tensor":
        raise ValueError(f"value of kind {kind!r}")
    name, shape, data = content
    shape = [int(size) for size in shape]
    if 0 in shape and not data:
        return torch.empty(shape, dtype=DTYPES[name])
    raw = numpy.frombuffer(base64.b64decode(data, validate=True), dtype=numpy.uint8).copy()
    return torch.from_numpy(raw).view(DTYPES[name]).reshape(shape)


def _told_apart(items: Iterable[Any]) -> list[Any]:
    """The items; an error where so many have the same hash that a set of them would take the square of their number."""
    items = list(items)
    if max(Counter(map(hash, items)).values(), default=0) > MOST_ALIKE:
        raise ValueError("too many items of one hash")
    return items


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
