"""Right calls of every public function: what its doctests call it with.

The doors of a topic are what its `__init__` exports: functions, classes, and the public methods of these classes. The
house rule that a public function has a doctest gives each of them a small, right call: the doctests are traced, and the
arguments of each call of a door are kept.
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
import time
import warnings
from collections.abc import Callable, Iterator
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
# The core has no `__init__` that exports: these are the files that lessons use. What only the topics call (checks,
# calibration, the graph) is theirs: a topic's own door stands before it.
CORE = (
    "batch",
    "columns",
    "costs",
    "data",
    "distill",
    "fit",
    "fold",
    "knapsack",
    "latency",
    "measure",
    "native",
    "packing",
    "roofline",
    "second_moments",
    "stacked",
    "surgery",
    "zoo",
)
# Doctests that take seconds: the arguments of their functions come from other doctests, or from EXTRA.
SLOW = {
    "mini_lib.quantize.packed.race.race_packed",
    "mini_lib.quantize.packed.layers.PackedConv2d",
    "mini_lib.quantize.packed.layers.PackedLinear",
    "mini_lib.quantize.mixed.accelerators.accelerator_costs",
    "mini_lib.quantize.mixed.allocate.allocate",
    "mini_lib.prune.sparse.compare.compare_kernels",
    "mini_lib.prune.sparse.crossover.sweep_kernels",
    "mini_lib.factorize.low_rank.tensor_layers.cp",
    "mini_lib.llm.serving.load.load_curve",
    "mini_lib.costs.layer_costs",
}
# Methods that a topic's own functions call, after their checks: `quantize` and `QTensor` call a format, which calls its
# granularity; the transformations make layers; a policy calls its operations.
INNER = {
    "encode",
    "decode",
    "layout",
    "pack",
    "unpack",
    "packed_codes",
    "scale",
    "in_blocks",
    "fields",
    "from_rows",
    "rows",
    "unrows",
    "scale_shape",
    "of",
    "set_input_grid",
    "quantized_input",
    "rounded_input",
    "accumulate",
    "own_macs",
    "tie_to",
    "unchecked",
    "embed",
    "rotary",
}
# Layers that a transformation makes: nobody makes one by hand.
MADE = {
    "FakeQuantConv2d",
    "FakeQuantLayer",
    "FakeQuantLinear",
    "IntegerConv2d",
    "IntegerLinear",
    "IntegerNet",
    "Requantize",
    "QuantizedConv2d",
    "QuantizedLayer",
    "QuantizedLinear",
    "PackedConv2d",
    "PackedLayer",
    "PackedLinear",
    "TensorTrainLinear",
    "LoRA",
    "InvertedResidual",
}
INNER_TOPICS = ("quantize", "augment", "llm_model")
# Not called at all, each for a reason.
NOT_CALLED = {
    "llm.model.load_language_model": "reads a file of 98 MB",
    "quantize.load_model": "reads a file that is not there any more",
    "llm.model.find_model_file": "looks for a file that is not there",
    "data.read_idx": "reads files that are not shipped",
    "data.cifar10": "reads files that are not shipped",
    "data.full_fashion": "reads files that are not shipped",
    "native.build_program": "compiles a program into a folder",
    "parallel.as_they_are_done": "starts processes",
    "llm.model.KVCache.check_grids": "is for caches of few bits, which language_model.py makes",
    "llm.published.read_rows": "reads a shipped table by its name, and the fuzz gives it a folder of its own",
    "zoo.restore": "reads a checkpoint by its name, and the fuzz gives it a folder of its own",
    "zoo.Checkpoint": "is made by the zoo alone",
    "quantize.race_packed": "compiles a kernel for each width",
    "loops.measure_machine_model": "measures for seconds",
    "roofline.measure_machine": "measures for seconds",
    "roofline.measure_bandwidth_bytes_per_s": "measures for seconds",
    "roofline.measure_peak_flops_per_s": "measures for seconds",
}
TOOK: dict[str, float] = {}
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

    @property
    def receiver(self) -> str | None:
        """The argument that is the object of a method: no caller hands it over, so it is always a right one."""
        return next(iter(self.signature.parameters)) if self.kind == "method" else None


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
            if (topic == "core" and not info.ispkg and info.name.rpartition(".")[2] in CORE) or (
                topic != "core" and info.ispkg
            ):
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
            elif (isinstance(value, FunctionType) or hasattr(value, "__wrapped__")) and signature(value).parameters:
                found.setdefault(value, Door(f"{short}.{name}", topic, value, code_of(value), "function"))
    return list(found.values())


def _class_doors(topic: str, name: str, kind: type) -> Iterator[Door]:
    if issubclass(kind, (BaseException, enum.Enum)) or getattr(kind, "_is_protocol", False):
        return
    if not inspect.isabstract(kind) and kind.__name__ not in MADE and signature(kind).parameters:
        yield Door(name, topic, kind, code_of(kind.__init__), "class")
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("mini_lib"):
            continue
        for attribute, value in vars(base).items():
            function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
            if attribute.startswith("_") and attribute != "__call__":
                continue
            if attribute in INNER and topic in INNER_TOPICS:
                continue
            if attribute == "forward" and issubclass(kind, torch.nn.Module):
                continue  # what a layer is given passes through torch, which has its own words
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
    """Keeps the arguments of every call of a door while it traces."""

    def __init__(self, doors: list[Door], most: int = 6) -> None:
        self.doors: dict[CodeType, list[Door]] = {}
        for door in doors:
            if door.code is not None:
                self.doors.setdefault(door.code, []).append(door)
        self.most = most
        self.busy = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or self.busy or frame.f_code not in self.doors:
            return
        for door in self.doors[frame.f_code]:
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
            if type(made) is not door.call and (door.calls or not isinstance(made, door.call)):
                return
        arguments = {
            name: value for name, value in arguments.items() if repr(type(value)).find("_HAS_DEFAULT_FACTORY") < 0
        }
        once = (Iterator,)  # what can be read once cannot be given again
        if (
            any(isinstance(value, once) for value in arguments.values())
            or size_bytes([*arguments.values()]) > MOST_BYTES
        ):
            return
        door.calls.append(Call(copied(arguments), tuple(copied(dict(enumerate(rest))).values())))


def copied(parts: dict[str, object]) -> dict[str, object]:
    """A deep copy of some arguments; what cannot be copied (an iterator, a view of a mapping) stays what it is."""
    try:
        return copy.deepcopy(parts)
    except Exception:
        return {name: _copied(value) for name, value in parts.items()}


def _copied(value: object) -> object:
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def harvest(topic: str, doors: list[Door]) -> list[str]:
    """Run the doctests of a topic and the extra calls, and keep the arguments of each call of a door.

    Returns what went wrong in the extra calls.
    """
    from door_extra import EXTRA

    finder, runner = doctest.DocTestFinder(recurse=True), doctest.DocTestRunner(verbose=False)
    keeper = Harvest(doors)
    wrong = []

    def watched(run: Callable[[], object]) -> None:
        sys.settrace(keeper)  # a profiler would be told of returns and of calls of C too
        try:
            with redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run()
        finally:
            sys.settrace(None)

    try:  # first, since these are quick
        for number, call in enumerate(EXTRA[topic]()):
            try:
                watched(call)
            except Exception as error:
                wrong.append(f"extra call {number} of {topic}: {type(error).__name__}: {str(error)[:160]}")
    except Exception as error:
        wrong.append(f"extra calls of {topic}: {type(error).__name__}: {str(error)[:160]}")
    for module in sources_of(topic):
        for test in finder.find(module, module.__name__):
            if test.examples and test.name not in SLOW:
                begin = time.process_time()
                watched(lambda test=test: runner.run(test, out=lambda text: None, clear_globs=False))
                TOOK[test.name] = time.process_time() - begin
    return wrong
