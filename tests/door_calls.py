"""Right calls of every public function: what its doctests call it with.

The doors of a topic are what its `__init__` exports: functions, classes, and the public methods of these classes. The
house rule that a public function has a doctest gives each of them a small, right call: the doctests are run under a
profiler, which keeps the arguments of each call of a door.
"""

from __future__ import annotations

import copy
import doctest
import enum
import importlib
import inspect
import io
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType, ModuleType

import numpy as np
import torch

TOPICS = {
    "quantize": ("mini_lib.quantize",),
    "prune": ("mini_lib.prune",),
    "factorize": ("mini_lib.factorize",),
    "loops": ("mini_lib.loops",),
    "augment": ("mini_lib.augment",),
    "llm_cost": ("mini_lib.llm.cost",),
    "llm_serving": ("mini_lib.llm.serving",),
    "llm_prices": ("mini_lib.llm.prices",),
    "llm_published": ("mini_lib.llm.published",),
    "llm_model": ("mini_lib.llm.model",),
    "kernels": ("mini_lib.kernels",),
    "data": ("mini_lib.data",),
    "core": ("mini_lib",),
}
# Doctests that take seconds: the arguments of their functions come from other doctests, or from EXTRA.
SLOW = {
    "mini_lib.quantize.packed.race.race_packed",
    "mini_lib.prune.sparse.compare.compare_kernels",
}
MOST_BYTES = 4_000_000  # a call with larger arguments is not kept


@dataclass
class Call:
    """A right call: the arguments by name, and those of `*arguments`."""

    arguments: dict[str, object]
    rest: tuple[object, ...] = ()
    receiver: object = None


@dataclass
class Door:
    """A public function, class or method, and right calls of it."""

    name: str
    topic: str
    call: object  # what is called
    code: CodeType | None
    kind: str  # function, class, method
    calls: list[Call] = field(default_factory=list)

    @property
    def signature(self) -> inspect.Signature:
        return signature(self.call)


def signature(function: object) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, TypeError, SyntaxError):
        return inspect.signature(function)


def code_of(function: object) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None)


def modules_of(topic: str) -> list[ModuleType]:
    """The topic's doors: the packages, and for the core its public files."""
    found = []
    for name in TOPICS[topic]:
        package = importlib.import_module(name)
        for info in pkgutil.iter_modules(package.__path__, f"{name}."):
            if info.name.rpartition(".")[2].startswith("_"):
                continue
            if topic == "core" and not info.ispkg:
                found.append(importlib.import_module(info.name))
            elif topic != "core" and info.ispkg:
                found.append(importlib.import_module(info.name))
        if topic != "core":
            found.insert(0, package)
    return found


def sources_of(topic: str) -> list[ModuleType]:
    """All files of a topic: their doctests are run."""
    if topic == "core":
        return modules_of("core")
    found = []
    for name in TOPICS[topic]:
        package = importlib.import_module(name)
        found.append(package)
        found += [importlib.import_module(info.name) for info in pkgutil.walk_packages(package.__path__, f"{name}.")]
    return found


def doors_of(topic: str) -> list[Door]:
    """Every public function, class and method of a topic, each once."""
    found: dict[object, Door] = {}
    for module in modules_of(topic):
        short = module.__name__.removeprefix("mini_lib.")
        for name, value in sorted(vars(module).items()):
            home = getattr(value, "__module__", None) or ""
            if name.startswith("_") or not home.startswith("mini_lib"):
                continue
            if topic == "core" and home != module.__name__:
                continue
            if inspect.isclass(value):
                for door in _class_doors(topic, f"{short}.{name}", value):
                    found.setdefault(door.call, door)
            elif isinstance(value, FunctionType) or hasattr(value, "__wrapped__"):
                found.setdefault(value, Door(f"{short}.{name}", topic, value, code_of(value), "function"))
    return list(found.values())


def _class_doors(topic: str, name: str, kind: type) -> Iterator[Door]:
    if issubclass(kind, (BaseException, enum.Enum)) or getattr(kind, "_is_protocol", False):
        return
    if not inspect.isabstract(kind) and signature(kind).parameters:
        yield Door(name, topic, kind, code_of(kind.__init__), "class")
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("mini_lib"):
            continue
        for attribute, value in vars(base).items():
            function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
            if attribute.startswith("_") and attribute != "__call__":
                continue
            if not isinstance(function, FunctionType) or getattr(function, "__isabstractmethod__", False):
                continue
            if isinstance(value, classmethod):
                bound = getattr(kind, attribute)
                if signature(bound).parameters:
                    yield Door(f"{name}.{attribute}", topic, bound, code_of(function), "function")
            elif len(signature(function).parameters) > (0 if isinstance(value, staticmethod) else 1):
                yield Door(f"{name}.{attribute}", topic, function, code_of(function), "method")


def size_bytes(value: object) -> int:
    """About how large the tensors and arrays in a value are."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, torch.nn.Module):
        return sum(size_bytes(tensor) for tensor in value.state_dict().values() if isinstance(tensor, torch.Tensor))
    if isinstance(value, dict):
        return sum(map(size_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return len(value) + sum(size_bytes(each) for each in value[:1000])
    if hasattr(value, "__dict__") and not isinstance(value, (type, FunctionType, ModuleType)):
        return sum(size_bytes(each) for each in vars(value).values() if isinstance(each, (torch.Tensor, np.ndarray)))
    return 0


class Harvest:
    """Keeps the arguments of every call of a door while it is the profiler."""

    def __init__(self, doors: list[Door], most: int = 3) -> None:
        self.doors = {door.code: door for door in doors if door.code is not None}
        self.most = most
        self.busy = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or self.busy or frame.f_code not in self.doors:
            return
        door = self.doors[frame.f_code]
        if len(door.calls) < self.most:
            self.busy = True
            try:
                self.keep(door, frame)
            finally:
                self.busy = False

    def keep(self, door: Door, frame: FrameType) -> None:
        parameters = inspect.signature(inspect.unwrap(door.call)).parameters
        arguments: dict[str, object] = {}
        rest: tuple[object, ...] = ()
        for name, parameter in parameters.items():
            if name not in frame.f_locals:
                return
            if parameter.kind is parameter.VAR_POSITIONAL:
                rest = frame.f_locals[name]
            elif parameter.kind is parameter.VAR_KEYWORD:
                arguments |= frame.f_locals[name]
            else:
                arguments[name] = frame.f_locals[name]
        if door.kind == "class":
            made = frame.f_locals[frame.f_code.co_varnames[0]]
            if type(made) is not door.call:
                return
        if size_bytes(list(arguments.values())) > MOST_BYTES:
            return
        try:
            call = copy.deepcopy(Call(arguments, rest))
        except Exception:  # an iterator, a lock
            return
        door.calls.append(call)


def harvest(topic: str, doors: list[Door]) -> None:
    """Run the doctests of a topic, and keep the arguments of each call of a door."""
    finder, runner = doctest.DocTestFinder(recurse=True), doctest.DocTestRunner(verbose=False)
    keeper = Harvest(doors)
    for module in sources_of(topic):
        for test in finder.find(module, module.__name__):
            if not test.examples or test.name in SLOW:
                continue
            sys.setprofile(keeper)
            try:
                with redirect_stdout(io.StringIO()):
                    runner.run(test, out=lambda text: None)
            finally:
                sys.setprofile(None)
