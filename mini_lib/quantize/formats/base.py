"""What a format is: how the numbers of a tensor are stored, and how a file names the format.

To add a format, derive a frozen dataclass from `Format`, in a file of its own. No other code has to know it:
quantizing, the layers and the files use a format only through the methods of this class. A file finds the class by its
name, so import the module that defines it before you read such a file.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from mini_lib import packing, require
from mini_lib.quantize.granularity import Granularity
from mini_lib.require import shown

SHORT_NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
SCALE_DTYPES = tuple(SHORT_NAMES)  # the dtypes in which scales and the entries of a codebook can be stored
_LONG_NAMES = {short: str(dtype).removeprefix("torch.") for dtype, short in SHORT_NAMES.items()}


class Observer(Protocol):
    """Chooses a range: (rows float32 [rows, n], fmt, counts) -> (low [rows], high [rows]).

    counts [rows, n] says how often each value occurs, as a histogram does; None means once each.
    """

    def __call__(self, rows: Tensor, fmt: Format, counts: Tensor | None = None) -> tuple[Tensor, Tensor]: ...


class Format(ABC):
    """A description, not a tensor: the values of the codes, the bits of a code, the weights that share a scale.

    A quantized tensor has two forms, each a dict of tensors by name. Its *fields* are for computing: "codes" (int32, or
    the values themselves in `FloatFormat`) and the tensors that give them values, such as "scale". Its *parts* are for
    storing: the codes packed into bytes.
    """

    bits: float  # how many bits a packed code takes; if not a whole number, the format packs its codes itself
    qmin: int = 0  # the lowest code, where codes are whole numbers

    @property
    @abstractmethod
    def label(self) -> str:
        """The format's name in tables."""

    @abstractmethod
    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Return the fields of `weight` (finite float32 of any shape, not empty).

        observer: chooses the range of each grid; a format without a range to choose does not use it.

        Raises:
            ValueError: the weight does not fit the format.
        """

    @abstractmethod
    def decode(self, fields: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Return the values that the fields stand for (float32 of this `shape`)."""

    @abstractmethod
    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the dtype and shape of each part of a tensor of this `shape`, known before any weight is known.

        Raises:
            ValueError: the format cannot hold a tensor of this shape.
        """

    def packed_codes(self, shape: tuple[int, ...]) -> tuple[torch.dtype, tuple[int, ...]]:
        """Return the dtype and shape of the codes of a tensor of this `shape`, packed."""
        return torch.uint8, (packing.packed_bytes(prod(shape), self._whole_bits),)

    def pack(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the parts: here, the fields with their codes counted from the lowest and written back to back."""
        return fields | {"codes": packing.pack(fields["codes"] - self.qmin, self._whole_bits)}

    def unpack(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Return the fields; the inverse of `pack`, to the last bit. The parts are as `layout` says, in its order."""
        return parts | {"codes": packing.unpack(parts["codes"], self._whole_bits, prod(shape)).view(shape) + self.qmin}

    @property
    def _whole_bits(self) -> int:
        return require.whole("bits", self.bits, fix="override layout, pack and unpack for a fraction")


def require_format(fmt: object) -> Format:
    """Return `fmt` if it is a format.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(fmt, Format):
        raise TypeError(f"fmt must be a format such as IntFormat(4) or NF4Format(), got {fmt!r}")
    return fmt


def format_to_json(fmt: Format) -> str:
    """Write a format as one line of JSON, so that a file can say how its tensors are written.

    Raises:
        TypeError: `fmt` is not a format.
        ValueError: it could not be read back: it is not a dataclass, a field is called "kind" or holds more than
            numbers, texts, dtypes (in a field `..._dtype`), formats and tuples of them, or another class has its name.

    >>> from mini_lib.quantize import NF4Format
    >>> format_to_json(NF4Format(64))
    '{"kind": "NF4Format", "block_size": 64, "double_quantize": false}'
    """
    try:
        text = json.dumps(_plain(require_format(fmt)))
        back = format_from_json(text)
    except ValueError as error:
        raise ValueError(f"{fmt!r} could not be read back from a file: {error}") from error
    # By fields, not by ==: a class that is defined again, as when a notebook's cell runs again, is a different class.
    own = {field.name: getattr(fmt, field.name) for field in dataclasses.fields(fmt)}
    if _place(type(back)) != _place(type(fmt)) or own != {name: getattr(back, name) for name in own}:
        raise ValueError(f"{fmt!r} could not be read back from a file: its text {text} gives {back!r}")
    return text


def format_from_json(text: str) -> Format:
    """Read a format back; the inverse of `format_to_json`.

    Raises:
        ValueError: the text does not describe a format, or the class that it names is not defined.

    >>> format_from_json('{"kind": "NF4Format", "block_size": 64, "double_quantize": false}')
    NF4Format(block_size=64, double_quantize=False)
    """
    try:
        return require_format(_built(json.loads(text)))
    except (LookupError, TypeError, AttributeError, RecursionError, ValueError) as reason:
        raise ValueError(f"{shown(text)} is not a format written by format_to_json: {reason}") from reason


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [*map(_plain, value)]
    if isinstance(value, Format | Granularity):
        if not dataclasses.is_dataclass(value):
            raise ValueError(f"{type(value).__name__} is not a dataclass; write @dataclass(frozen=True) above it")
        own = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **own}
    if isinstance(value, torch.dtype):
        return SHORT_NAMES.get(value, str(value).removeprefix("torch."))
    if value is None or isinstance(value, int | float | str):
        return value
    raise ValueError(f"{value!r} has no text in JSON")


def _built(plain: object) -> object:
    if isinstance(plain, list):
        return tuple(map(_built, plain))
    if not isinstance(plain, dict):
        return plain
    named = [kind for base in (Format, Granularity) for kind in _derived(base) if kind.__name__ == plain["kind"]]
    if not named:
        raise LookupError(f"nothing called {plain['kind']!r} is defined; import the module that defines it")
    places = sorted({*map(_place, named)})
    if len(places) > 1:
        raise LookupError(f"{' and '.join(places)} have one name; rename one of these classes")
    arguments = {
        name: _dtype(value) if name.endswith("dtype") and isinstance(value, str) else _built(value)
        for name, value in plain.items()
    }
    del arguments["kind"]
    return named[-1](**arguments)  # the last one defined


def _place(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, _LONG_NAMES.get(name, name))
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"{name!r} is not a dtype")
    return dtype


def _derived(base: type) -> Iterator[type]:
    """Yield all classes derived from `base`; of two with one name and base, the one defined last comes last."""
    for kind in base.__subclasses__():
        yield kind
        yield from _derived(kind)
