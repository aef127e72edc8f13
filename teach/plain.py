"""Values as plain data: what is left of a returned object once it is only numbers, text and tensors.

Plain data can be compared by value and sent to another process, whatever class carried it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy
import torch

from teach.words import a

MOST_BITS = 1024  # of an integer: what a float can still be compared with


@dataclasses.dataclass(frozen=True)
class Opaque:
    """Stands for an object that is not plain data: only its kind is kept, and why its content could not be read."""

    kind: str
    why: str = ""

    def __repr__(self) -> str:
        return a(self.kind)


def plain(thing: Any) -> Any:
    """Return a value as plain data: None, bool, int, float, str, list, tuple, dict, set or a CPU tensor.

    Numpy values become numbers and tensors, dataclasses become dicts, anything else an `Opaque`.
    The result shares no memory with the argument.

    >>> plain(numpy.float32(0.5)), plain(torch.tensor(3)), plain(range(3)), plain(object())
    (0.5, 3, [0, 1, 2], an object)
    """
    if type(thing) is int and thing.bit_length() > MOST_BITS:
        return Opaque("integer", f"it has {thing.bit_length()} bits")
    if thing is None or type(thing) in (bool, int, float, str, Opaque):
        return thing
    if isinstance(thing, range):
        return list(thing)
    if isinstance(thing, torch.Tensor):
        return _plain_tensor(thing)
    if isinstance(thing, (numpy.ndarray, numpy.generic)):
        return _plain_array(thing)
    if isinstance(thing, (bool, int, float, str)):  # a subclass, such as an enum with numbers
        return plain(next(kind(thing) for kind in (int, float, str) if isinstance(thing, kind)))
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return {field.name: plain(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
    if isinstance(thing, Mapping):
        return {plain_key(key): plain(item) for key, item in thing.items()}
    if isinstance(thing, (list, tuple)):
        return tuple(map(plain, thing)) if isinstance(thing, tuple) else list(map(plain, thing))
    if isinstance(thing, (set, frozenset)):
        return {plain_key(item) for item in thing}
    if isinstance(thing, torch.dtype):
        return str(thing)
    try:
        return float(thing)  # Fraction, Decimal and their like
    except (TypeError, ValueError, OverflowError):
        return Opaque(type(thing).__name__)


def plain_key(key: Any) -> Any:
    """Return a dict key or set item as plain data that can be hashed."""
    simple = plain(key)
    return simple if isinstance(simple, (str, int, float, bool, tuple, type(None))) else str(simple)


def _plain_array(array: numpy.ndarray | numpy.generic) -> Any:
    if array.ndim == 0 or array.dtype.kind not in "biuf":  # text, complex numbers, objects
        return plain(array.tolist())
    dtype = numpy.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return torch.from_numpy(numpy.array(array, dtype=dtype, order="C"))


def _plain_tensor(tensor: torch.Tensor) -> Any:
    tensor = tensor.detach()
    if tensor.is_complex():
        return Opaque("complex tensor")
    if tensor.is_meta:
        return Opaque("tensor", "it is on the device meta, which holds no values")
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    return tensor.item() if tensor.ndim == 0 else tensor.cpu().clone().contiguous()
