"""Read a model from a GGUF file: a header of named values, a table of tensors, and their bytes.

Weights in such a file are usually in blocks of 32 with one scale per block. They are unpacked to float32 when read.

Source: the GGUF specification, <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; the blocks:
ggml-common.h and ggml-quants.c there.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mini_lib.require import of_type

MAGIC, VERSIONS = b"GGUF", (2, 3)
_BLOCK = 32  # weights in a block
_MOST_DIMENSIONS = 4
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


class DamagedFile(ValueError):
    """The content of a GGUF file does not match its header."""


@dataclass(frozen=True)
class _Encoding:
    """How weights are stored in a file: `block_bytes` for `block` weights, and how rows of blocks unpack."""

    name: str
    block: int
    block_bytes: int
    unpack: Callable[[np.ndarray], np.ndarray]


def _halves(blocks: np.ndarray, at: int) -> np.ndarray:
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)


def _nibbles(blocks: np.ndarray) -> np.ndarray:
    """Turn 16 bytes into 32 codes, float32 so that they can be scaled in place; the low halves are the first
    sixteen."""
    codes = np.empty((len(blocks), _BLOCK), np.float32)
    codes[:, : _BLOCK // 2], codes[:, _BLOCK // 2 :] = blocks & 15, blocks >> 4
    return codes


def _q4_0(blocks: np.ndarray) -> np.ndarray:
    values = _nibbles(blocks[:, 2:])
    values -= 8
    values *= _halves(blocks, 0)
    return values


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    values = _nibbles(blocks[:, 4:])
    values *= _halves(blocks, 0)
    values += _halves(blocks, 2)
    return values


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    values = blocks[:, 2:].view(np.int8).astype(np.float32)
    values *= _halves(blocks, 0)
    return values


_ENCODINGS = {
    0: _Encoding("F32", 1, 4, lambda blocks: blocks.view(np.float32).copy()),
    1: _Encoding("F16", 1, 2, lambda blocks: blocks.view(np.float16).astype(np.float32)),
    2: _Encoding("Q4_0", _BLOCK, 18, _q4_0),
    3: _Encoding("Q4_1", _BLOCK, 20, _q4_1),
    8: _Encoding("Q8_0", _BLOCK, 34, _q8_0),
}


@dataclass(frozen=True)
class _Entry:
    """One line of the table of tensors; `start` counts from the start of the file."""

    shape: tuple[int, ...]  # rows first, as in torch
    encoding: _Encoding
    start: int

    @property
    def stored_bytes(self) -> int:
        return prod(self.shape) // self.encoding.block * self.encoding.block_bytes


class GGUFFile:
    """An open file: `values` by name, and tensors on demand.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is not a GGUF file, or its content does not match its header.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(of_type("path", path, (str, os.PathLike), fix="give the name of a file"))
        if self.path.exists() and not self.path.is_file():
            raise DamagedFile(f"{self.path} is not a file; give the name of a GGUF file")
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < 24:
                raise DamagedFile(f"{self.path} has no GGUF header; it is empty or was cut short: get it again")
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        self.values, self._entries = self._read_header()
        end = max((entry.start + entry.stored_bytes for entry in self._entries.values()), default=0)
        if missing := max(0, end - len(self._bytes)):
            raise DamagedFile(f"{self.path} is cut short: {missing:,} of {end:,} bytes are missing; get it again")

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors of the file."""
        return tuple(self._entries)

    def encoding(self, name: str) -> str:
        """Return how a tensor is stored: "Q4_1" is 4-bit codes, in blocks of 32 with a step and a lowest value."""
        return self._entry(name).encoding.name

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, rows first."""
        return self._entry(name).shape

    def stored_bytes(self, name: str) -> int:
        """Return how many bytes of the file a tensor takes."""
        return self._entry(name).stored_bytes

    def tensor(self, name: str) -> Tensor:
        """Return a tensor's values, float32.

        Raises:
            DamagedFile: the file has no tensor of this name.
        """
        entry = self._entry(name)
        raw = np.frombuffer(self._bytes, np.uint8, entry.stored_bytes, entry.start)
        values = entry.encoding.unpack(raw.reshape(-1, entry.encoding.block_bytes))
        return torch.from_numpy(values.reshape(entry.shape))

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise DamagedFile(f"{self.path} has no tensor {name!r}; it is no model of this kind, or was altered")
        return self._entries[name]

    # --- the header, front to back ---------------------------------------------------------------------------------

    def _read_header(self) -> tuple[dict[str, Any], dict[str, _Entry]]:
        magic = self._take(4)
        if magic != MAGIC:
            raise DamagedFile(f"{self.path} is no GGUF file: it starts with {magic!r}, expected {MAGIC!r}")
        version, tensors, count = self._numbers("IQQ")
        if version not in VERSIONS:
            raise DamagedFile(f"{self.path} is GGUF version {version}, and this reader knows {VERSIONS}; convert it")
        values = {}
        for _ in range(count):
            name = self._text()
            self._need(name not in values, f"it has two values {name!r}")
            values[name] = self._value(*self._numbers("I"))
        lines = {}
        for _ in range(tensors):
            name = self._text()
            self._need(name not in lines, f"it has two tensors {name!r}")
            lines[name] = self._line(name)
        step = values.get("general.alignment", 32)
        self._need(isinstance(step, int) and step > 0 and step % 8 == 0, f"its tensors are {step!r} bytes apart")
        first = _filled(self._at, step)
        expected, entries = 0, {}
        for name, (shape, encoding, offset) in lines.items():
            self._need(offset == expected, f"tensor {name} lies at {offset:,}, and by those before it at {expected:,}")
            entries[name] = _Entry(shape, encoding, first + offset)
            expected = _filled(offset + entries[name].stored_bytes, step)
        return values, entries

    def _line(self, name: str) -> tuple[tuple[int, ...], _Encoding, int]:
        """One line of the table of tensors, after its name: the shape, the encoding, the place among the bytes."""
        (dimensions,) = self._numbers("I")
        self._need(1 <= dimensions <= _MOST_DIMENSIONS, f"tensor {name} has {dimensions} dimensions")
        sides = self._numbers("Q" * dimensions)
        kind, offset = self._numbers("IQ")
        if kind not in _ENCODINGS:
            known = ", ".join(one.name for one in _ENCODINGS.values())
            raise DamagedFile(f"{self.path}: tensor {name} is of GGUF type {kind}, and this reader knows {known}")
        self._need(all(sides), f"tensor {name} has shape {list(sides[::-1])}")
        block = _ENCODINGS[kind].block
        self._need(sides[0] % block == 0, f"the {sides[0]} columns of {name} are no whole blocks of {block}")
        return sides[::-1], _ENCODINGS[kind], offset

    def _need(self, right: bool, what: str) -> None:
        if not right:
            raise DamagedFile(f"{self.path} is damaged: {what}; get it again")

    def _take(self, size: int) -> bytes:
        self._need(
            self._at + size <= len(self._bytes),
            f"its header goes on where the file ends, at byte {len(self._bytes):,}: it was cut short or altered",
        )
        self._at += size
        return self._bytes[self._at - size : self._at]

    def _numbers(self, kinds: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{kinds}", self._take(struct.calcsize(f"<{kinds}")))

    def _text(self) -> str:
        return self._texts(1)[0]

    def _texts(self, count: int) -> tuple[str, ...]:
        """This many texts, each after its length; a vocabulary has 100,000, so this loop makes as few calls as it
        can."""
        data, at, texts = self._bytes, self._at, []
        try:
            for _ in range(count):
                start = at + 8
                at = start + int.from_bytes(data[at:start], "little")
                if at > len(data):
                    self._take(at - self._at)
                texts.append(data[start:at].decode())
        except UnicodeDecodeError as error:
            raise DamagedFile(f"{self.path} is damaged: a text in its header is not UTF-8; get it again") from error
        self._at = at
        return tuple(texts)

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._numbers(_NUMBERS[kind])[0]
        if kind == _TEXT:
            return self._text()
        self._need(kind == _ARRAY, f"there is no kind of value {kind}")
        inner, count = self._numbers("IQ")
        if inner in _NUMBERS:
            size = struct.calcsize(f"<{_NUMBERS[inner]}")
            return struct.unpack(f"<{count}{_NUMBERS[inner]}", self._take(count * size))
        self._need(inner == _TEXT, f"there is no array of kind {inner}, or of arrays")
        return self._texts(count)


def _filled(size: int, step: int) -> int:
    """`size` rounded up to whole steps."""
    return -(-size // step) * step
