"""What a child reports, as lines of JSON. Whatever comes in is checked: it may have been written by a learner's code.

One report a line, [what, step, text]. Values that a function returned are text within it: see teach.outcome.
"""

import json
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

MOST_LINE_BYTES = 4 * 2**20
MOST_ITEMS = 20_000  # in a returned list, dict and the like; tensors may hold as many as fit in a line
MOST_TEXT = 2000  # characters of an error's message
MOST_STEPS = 100_000
OUT_OF_MEMORY = 77  # exit status of a child that ran out of memory

# what          step       text
REPORTS = (
    "facts",  #   cell       Facts of the cell
    "begin",  #   step       -
    "case",  #    step       -        the exercise's next case begins
    "outcome",  # step       to_json of that case's outcome
    "too big",  # step       -        that outcome does not fit in a line
    "missing",  # step       what the function's name holds: "nothing", "mini_lib's own", or a type
    "failed",  #  step       the error that the cell raised
    "memory",  #  step       -        the limit was reached; the child ends
    "end",  #     step       -
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """One line from a child."""

    what: str
    step: int
    text: str = ""


def encode(report: Report) -> bytes:
    """A report as a line.

    >>> encode(Report("begin", 3))
    b'["begin", 3, ""]\\n'

    Raises:
        ValueError: it is longer than a line may be.
    """
    line = json.dumps([report.what, report.step, report.text]).encode("ascii") + b"\n"
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"a report of {len(line)} bytes; expected at most {MOST_LINE_BYTES}")
    return line


def decode(line: bytes) -> Report:
    """A report from a line that may hold anything.

    Raises:
        ValueError: it is not what `encode` writes.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("a line that is not JSON; expected a report") from None
    if not (isinstance(content, list) and len(content) == 3):
        raise ValueError("a line that is not [what, step, text]; expected a report")
    what, step, text = content
    if what not in REPORTS:
        raise ValueError(f"a report of {what!r:.40}; expected one of {', '.join(REPORTS)}")
    if type(step) is not int or not 0 <= step < MOST_STEPS or not isinstance(text, str):
        raise ValueError("a report whose step is no number or whose text is no text")
    return Report(what, step, text)


def fits(value: Any) -> bool:
    """Whether plain data is small enough to be sent and compared.

    >>> fits([0] * 19_999), fits([0] * 20_000), fits(torch.zeros(20_000)), fits(torch.zeros(1_000_000))
    (True, False, True, False)
    """
    return _items(value) <= MOST_ITEMS and _bytes(value) <= MOST_LINE_BYTES * 3 // 4  # base64 makes 4 bytes of 3


def read_line(stream: BinaryIO) -> bytes:
    """The next line, b"" at the end.

    Raises:
        ValueError: a line is longer than any report.
    """
    line = stream.readline(MOST_LINE_BYTES + 1)
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"a line of more than {MOST_LINE_BYTES} bytes; expected a report")
    return line


def _items(value: Any) -> int:
    """The number of values in plain data; a container counts as one, too."""
    if isinstance(value, dict):
        return 1 + sum(_items(key) + _items(item) for key, item in value.items())
    return 1 + sum(map(_items, value)) if isinstance(value, (list, tuple, set)) else 1


def _bytes(value: Any) -> int:
    """The bytes of the tensors and strings in plain data."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_bytes(key) + _bytes(item) for key, item in value.items())
    return (
        sum(map(_bytes, value))
        if isinstance(value, (list, tuple, set))
        else len(value)
        if isinstance(value, str)
        else 0
    )
