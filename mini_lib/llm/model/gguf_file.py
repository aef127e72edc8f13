"""Read a model from a GGUF file: a header of named values, a table of tensors, and their bytes.

Weights in such a file are usually in blocks of 32 with one scale each. They are unpacked to float32 when they are read.

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

MAGIC, VERSIONS = b"GGUF", (2, 3)
_BLOCK = 32  # weights in a block
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


class DamagedFile(ValueError):
    """What a GGUF file holds is not what its header says."""


@dataclass(frozen=True)
class _Encoding:
    """How weights lie in a file: `block_bytes` for `block` of them, and the function that unpacks rows of blocks."""

    name: str
    block: int
    block_bytes: int
    unpack: Callable[[np.ndarray], np.ndarray]


def _halves(blocks: np.ndarray, at: int) -> np.ndarray:
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)


def _nibbles(blocks: np.ndarray) -> np.ndarray:
    """16 bytes to 32 codes: the low halves are the first sixteen."""
    return np.concatenate((blocks & 15, blocks >> 4), axis=1)


_ENCODINGS = {
    0: _Encoding("F32", 1, 4, lambda b: b.view(np.float32)),
    1: _Encoding("F16", 1, 2, lambda b: b.view(np.float16).astype(np.float32)),
    2: _Encoding("Q4_0", _BLOCK, 18, lambda b: _halves(b, 0) * (_nibbles(b[:, 2:]).astype(np.float32) - 8)),
    3: _Encoding("Q4_1", _BLOCK, 20, lambda b: _halves(b, 0) * _nibbles(b[:, 4:]) + _halves(b, 2)),
    8: _Encoding("Q8_0", _BLOCK, 34, lambda b: _halves(b, 0) * b[:, 2:].view(np.int8)),
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
        DamagedFile: this is no GGUF file, or it ends before what its table says.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < 24:
                raise DamagedFile(f"{self.path} has no GGUF header; it is empty or was cut short: get it again")
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        try:
            self.values, self._entries = self._read_header()
        except (struct.error, UnicodeDecodeError, OverflowError, MemoryError) as error:
            raise DamagedFile(f"{self.path} is damaged: its header cannot be read ({error}); get it again") from error
        for name, entry in self._entries.items():
            if entry.start + entry.stored_bytes > len(self._bytes):
                raise DamagedFile(
                    f"{self.path} is cut short: tensor {name} ends at byte {entry.start + entry.stored_bytes:,}, and "
                    f"the file has {len(self._bytes):,}; get it again"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors of the file."""
        return tuple(self._entries)

    def encoding(self, name: str) -> str:
        """Return how a tensor is stored: "Q4_1" is 4-bit codes, in blocks of 32 with a step and a lowest value."""
        return self._entry(name).encoding.name

    def stored_bytes(self, name: str) -> int:
        """Return how many bytes of the file a tensor takes."""
        return self._entry(name).stored_bytes

    def tensor(self, name: str) -> Tensor:
        """Return a tensor's values, float32.

        Raises:
            DamagedFile: the file has none of this name.
        """
        entry = self._entry(name)
        raw = np.frombuffer(self._bytes, np.uint8, entry.stored_bytes, entry.start)
        values = entry.encoding.unpack(raw.reshape(-1, entry.encoding.block_bytes))
        return torch.from_numpy(values.reshape(entry.shape).astype(np.float32, copy=entry.encoding.name == "F32"))

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
            values[name] = self._value(*self._numbers("I"))
        lines = []
        for _ in range(tensors):
            name = self._text()
            (dimensions,) = self._numbers("I")
            sides = self._numbers("Q" * dimensions)
            kind, offset = self._numbers("IQ")
            if kind not in _ENCODINGS:
                known = ", ".join(one.name for one in _ENCODINGS.values())
                raise DamagedFile(f"{self.path}: tensor {name} is of GGUF type {kind}, and this reader knows {known}")
            if sides and sides[0] % _ENCODINGS[kind].block:
                raise DamagedFile(f"{self.path} is damaged: the {sides[0]} columns of {name} are no whole blocks")
            lines.append((name, sides[::-1], _ENCODINGS[kind], offset))
        step = values.get("general.alignment", 32)
        data = -(-self._at // step) * step
        return values, {name: _Entry(sides, kind, data + offset) for name, sides, kind, offset in lines}

    def _take(self, size: int) -> bytes:
        if self._at + size > len(self._bytes):
            raise DamagedFile(f"{self.path} is cut short: it ends at byte {len(self._bytes):,}, in its header")
        self._at += size
        return self._bytes[self._at - size : self._at]

    def _numbers(self, kinds: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{kinds}", self._take(struct.calcsize(f"<{kinds}")))

    def _text(self) -> str:
        (size,) = self._numbers("Q")
        return self._take(size).decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            inner, count = self._numbers("IQ")
            if inner in _NUMBERS:
                return self._numbers(f"{count}{_NUMBERS[inner]}")
            return tuple(self._value(inner) for _ in range(count))
        if kind not in _NUMBERS:
            raise DamagedFile(f"{self.path} is damaged: there is no kind of value {kind}")
        return self._numbers(_NUMBERS[kind])[0]
