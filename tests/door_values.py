"""Hostile values: what people hand to a function by mistake, by the kind of the argument that they stand in for."""

from __future__ import annotations

import copy
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

Make = Callable[[], object]  # makes a fresh value for each call: an argument may be changed by the call before


class Nothing:
    """An object of a class that nobody knows."""

    def __repr__(self) -> str:
        return "Nothing()"


def nonsense(*arguments: object, **named: object) -> object:
    """A function that takes everything and returns nothing of use."""
    return Nothing()


def nested(depth: int) -> list:
    """A list in a list in a list ..."""
    inner: list = []
    for _ in range(depth):
        inner = [inner]
    return inner


ANYTHING: dict[str, Make] = {
    "None": lambda: None,
    "True": lambda: True,
    "a list": lambda: [1, 2],
    "a string": lambda: "four",
    "an object": Nothing,
    "-1": lambda: -1,
    "0": lambda: 0,
    "1.5": lambda: 1.5,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "10**400": lambda: 10**400,
    "a numpy array": lambda: np.arange(3.0),
    "a tensor": lambda: torch.arange(3.0),
    "an empty tensor": lambda: torch.empty(0),
    "a deep list": lambda: nested(100),
    "a nonsense function": lambda: nonsense,
    "a generator": lambda: (each for each in ()),
    "an empty list": list,
    "an empty dict": dict,
}
PATHS: dict[str, Make] = {"None": lambda: None, "a list": lambda: [1, 2], "an object": Nothing}
TEXTS: dict[str, Make] = {
    "an empty string": str,
    "a long string": lambda: "9" * 200_000,
    "a NUL": lambda: "\0",
    "deep JSON": lambda: "[" * 100_000,
    "JSON null": lambda: "null",
    "a JSON list": lambda: '[{"a": NaN}]',
    "a JSON object": lambda: '{"kind": 3, "format": [1]}',
    "bytes": lambda: b"int8",
    "a surrogate": lambda: "\ud800",
}


def _tensors(value: torch.Tensor) -> dict[str, Make]:
    """What is wrong with a tensor, and what is odd and may be taken."""
    plain = value.detach()
    made: dict[str, Make] = {
        "numpy instead": lambda: plain.numpy().copy(),
        "a list instead": lambda: plain.tolist(),
        "one rank more": lambda: plain[None].clone(),
        "flat": lambda: plain.flatten().clone(),
        "rank 0": lambda: plain.flatten()[0].clone() if plain.numel() else torch.zeros(()),
        "no rows": lambda: plain[:0].clone() if plain.dim() else torch.empty(0),
        "float64": lambda: plain.double(),
        "float16": lambda: plain.half(),
        "int64": lambda: plain.long(),
        "bool": lambda: plain.bool(),
        "complex": lambda: plain.to(torch.complex64),
        "meta": lambda: plain.to("meta"),
        "sparse": lambda: plain.to_sparse(),
        "with a gradient": lambda: plain.float().requires_grad_(),
        "not contiguous": lambda: (
            plain.mT.contiguous().mT if plain.dim() > 1 else torch.stack([plain, plain], -1)[..., 0]
        ),
        "negative": lambda: -plain if plain.dtype is not torch.bool else ~plain,
        "zeros": lambda: torch.zeros_like(plain),
    }
    if plain.dim():
        made["one row less"] = lambda: plain[:-1].clone()
        made["one column less"] = lambda: plain[..., :-1].clone()
    if plain.is_floating_point():
        made["with NaN"] = lambda: _with(plain, float("nan"))
        made["with infinity"] = lambda: _with(plain, float("inf"))
        made["huge"] = lambda: plain * 1e38
        made["tiny"] = lambda: plain * 1e-42
    return made


def _with(tensor: torch.Tensor, value: float) -> torch.Tensor:
    changed = tensor.clone()
    if changed.numel():
        changed.view(-1)[0] = value
    return changed


def _arrays(value: np.ndarray) -> dict[str, Make]:
    made: dict[str, Make] = {
        "a list instead": value.tolist,
        "a tensor instead": lambda: torch.as_tensor(value.copy()),
        "one rank more": lambda: value[None].copy(),
        "rank 0": lambda: value.reshape(-1)[:1].reshape(()).copy(),
        "no rows": lambda: value[:0].copy(),
        "float64": lambda: value.astype(np.float64),
        "int64": lambda: value.astype(np.int64),
        "objects": lambda: value.astype(object),
        "complex": lambda: value.astype(complex),
        "read-only": lambda: _locked(value),
        "reversed": lambda: value[::-1],
    }
    if value.dtype.kind == "f":
        made["with NaN"] = lambda: np.where(np.arange(value.size).reshape(value.shape) == 0, np.nan, value)
    return made


def _locked(value: np.ndarray) -> np.ndarray:
    copied = value.copy()
    copied.setflags(write=False)
    return copied


def _modules(model: nn.Module) -> dict[str, Make]:
    def copied(change: Callable[[nn.Module], object]) -> Make:
        def make() -> nn.Module:
            other = copy.deepcopy(model)
            changed = change(other)
            return changed if isinstance(changed, nn.Module) else other

        return make

    def hooked(other: nn.Module) -> None:
        for module in other.modules():
            module.register_forward_hook(lambda module, inputs, output: output)

    return {
        "a lazy layer": lambda: nn.LazyLinear(3),
        "a model with a lazy layer": lambda: nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(3)).eval(),
        "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()),
        "in training mode": copied(lambda other: other.train()),
        "in evaluation mode": copied(lambda other: other.eval()),
        "float64": copied(lambda other: other.double()),
        "float16": copied(lambda other: other.half()),
        "meta": copied(lambda other: other.to("meta")),
        "hooked": copied(hooked),
        "without gradients": copied(lambda other: other.requires_grad_(False)),
        "with NaN": copied(lambda other: [parameter.data.fill_(float("nan")) for parameter in other.parameters()]),
        "with zeros": copied(lambda other: [parameter.data.zero_() for parameter in other.parameters()]),
        "an empty model": nn.Sequential,
        "no weights": lambda: nn.Sequential(nn.ReLU()).eval(),
        "an embedding": lambda: nn.Embedding(3, 2),
        "a class": lambda: nn.Linear,
        "complex": lambda: nn.Sequential(nn.Linear(4, 3, dtype=torch.complex64)).eval(),
    }


def _sequences(value: Sequence) -> dict[str, Make]:
    kind = list if isinstance(value, list) else tuple
    made: dict[str, Make] = {
        "nothing": kind,
        "twice": lambda: kind(value) + kind(value),
        "as a generator": lambda: (each for each in value),
        "with None": lambda: kind([*value, None]),
        "with an object": lambda: kind([Nothing(), *value[1:]]),
        "with a string": lambda: kind(["four", *value[1:]]),
        "with NaN": lambda: kind([*value[:-1], float("nan")]),
        "with -1": lambda: kind([*value[:-1], -1]),
        "with 10**400": lambda: kind([10**400, *value[1:]]),
        "nested": lambda: kind([kind(value)]),
        "as numpy": lambda: np.array([0.0] * len(value)),
    }
    if value:
        made["one less"] = lambda: kind(value[:-1])
    return made


def _mappings(value: Mapping) -> dict[str, Make]:
    def every(other: Make) -> Make:
        return lambda: {key: other() for key in value}

    made: dict[str, Make] = {
        "nothing": dict,
        "an unknown name": lambda: {**value, "no such name": next(iter(value.values()), 1)},
        "a key that is None": lambda: {**value, None: 1},
        "as a list": lambda: list(value.items()),
    }
    return made | {f"of {name}": every(other) for name, other in ANYTHING.items() if name not in ("an empty list",)}


def _functions(value: object) -> dict[str, Make]:
    return {
        "a function that returns an object": lambda: nonsense,
        "a function that returns None": lambda: lambda *arguments, **named: None,
        "a function that returns NaN": lambda: lambda *arguments, **named: float("nan"),
        "a function that returns True": lambda: lambda *arguments, **named: True,
    }


def is_path(name: str, annotation: object) -> bool:
    """Whether an argument says where to read or to write: it gets no value that could name a place."""
    words = set(name.lower().split("_"))
    return bool(words & {"path", "file", "folder", "directory", "root", "filename"}) or "Path" in str(annotation)


def hostile(name: str, annotation: object, right: object) -> dict[str, Make]:
    """The hostile values for one argument, given its annotation and a right value."""
    if is_path(name, annotation):
        return PATHS
    made = dict(ANYTHING)
    if isinstance(right, torch.Tensor):
        made |= _tensors(right) if right.layout is torch.strided and right.device.type == "cpu" else {}
    elif isinstance(right, np.ndarray):
        made |= _arrays(right)
    elif isinstance(right, nn.Module):
        made |= _modules(right)
    elif isinstance(right, str):
        made |= TEXTS
    elif isinstance(right, (list, tuple)):
        made |= _sequences(right)
    elif isinstance(right, Mapping):
        made |= _mappings(right)
    elif isinstance(right, bool):
        pass
    elif isinstance(right, int):
        made |= {
            "numpy int64": lambda: np.int64(right),
            "numpy int32": lambda: np.int32(right) if abs(right) < 2**31 else np.int64(right),
            "numpy bool": lambda: np.True_,
            "a float that is whole": lambda: float(right),
            "2**31": lambda: 2**31,
            "2**63": lambda: 2**63,
            "-2**63": lambda: -(2**63),
            "a tensor of one": lambda: torch.tensor(right if abs(right) < 2**62 else 1),
        }
    elif isinstance(right, float):
        made |= {
            "numpy float64": lambda: np.float64(right),
            "numpy float32": lambda: np.float32(right),
            "negative": lambda: -right,
            "1e308": lambda: 1e308,
            "5e-324": lambda: 5e-324,
            "a tensor of one": lambda: torch.tensor(right),
        }
    if callable(right) and not isinstance(right, nn.Module):
        made |= _functions(right)
    return made


def admits(annotation: object, kind: type) -> bool:
    """Whether an annotation allows a kind of value; what cannot be read allows everything."""
    if annotation in (inspect.Parameter.empty, typing.Any, object) or isinstance(annotation, (str, typing.TypeVar)):
        return True
    if annotation is None or annotation is type(None):
        return kind is type(None)
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(admits(each, kind) for each in typing.get_args(annotation))
    if origin is typing.Literal:
        return any(type(each) is kind for each in typing.get_args(annotation))
    real = origin or annotation
    if not isinstance(real, type):
        return True
    if real is float and kind in (int, np.float64, np.float32, np.int64):
        return True
    if real is int and kind in (np.int64, np.int32):
        return True
    try:
        return issubclass(kind, real)
    except TypeError:
        return True


def numbers(value: object, depth: int = 0, seen: set[int] | None = None) -> Iterator[object]:
    """Every tensor, array and float in a value."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth > 6:
        return
    seen.add(id(value))
    if isinstance(value, (torch.Tensor, np.ndarray, float, complex, np.floating)):
        yield value
    elif isinstance(value, nn.Module):
        yield from (*value.parameters(), *value.buffers())
    elif isinstance(value, Mapping):
        for each in list(value.values())[:200]:
            yield from numbers(each, depth + 1, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in list(value)[:200]:
            yield from numbers(each, depth + 1, seen)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for each in value.__dataclass_fields__:
            yield from numbers(getattr(value, each, None), depth + 1, seen)


def has_nan(value: object, *, infinite: bool = False) -> bool:
    """Whether NaN (or infinity, if asked) lies anywhere in a value."""
    for each in numbers(value):
        try:
            if isinstance(each, torch.Tensor):
                if each.device.type == "meta" or each.layout is not torch.strided:
                    continue
                if each.is_floating_point() or each.is_complex():
                    bad = ~each.isfinite() if infinite else each.isnan()
                    if bool(bad.any()):
                        return True
            elif isinstance(each, np.ndarray):
                if each.dtype.kind in "fc" and bool((~np.isfinite(each) if infinite else np.isnan(each)).any()):
                    return True
            elif each != each or (infinite and abs(each) == float("inf")):
                return True
        except (RuntimeError, NotImplementedError, TypeError, ValueError, OverflowError):
            continue
    return False
