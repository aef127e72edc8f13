"""Call every public function with hostile arguments, one at a time, in a process of its own.

    python tests/door_fuzz.py [--all] [--seconds 30] [--seed 0] [--out FILE] [TOPIC ...]

A call may end in two ways: with a right result, or with a ValueError or TypeError that the library itself raised. The
calls run in a forked child, which may die or hang without taking the test along.

Nothing is ever written outside a temporary folder: an audit hook refuses it, the child works in an empty folder, and an
argument that names a place on disk only gets values that name none.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import inspect
import itertools
import json
import linecache
import os
import pickle
import random
import resource
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from door_calls import NOT_CALLED, TOPICS, Call, Door, copied, doors_of, harvest  # noqa: E402
from door_values import admits, has_nan, hostile, is_path  # noqa: E402
from torch import nn  # noqa: E402

from mini_lib import native  # noqa: E402

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
LIMIT_S = 30.0  # one call, also on a machine that others use
MEMORY_BYTES = 3 << 30
LIBRARY = str(ROOT / "mini_lib")


def fingerprint(value: object, depth: int = 0, seen: dict[int, tuple] | None = None) -> object:
    """What a value holds, to see whether a call changed it: tensors by their bytes, objects by their fields."""
    seen = {} if seen is None else seen
    if isinstance(value, (int, float, complex, str, bytes, type(None), type, np.generic, torch.dtype)):
        return (
            type(value).__name__,
            repr(value) if not isinstance(value, int) or value.bit_length() < 9999 else "huge",
        )
    if id(value) in seen:
        return ("seen", seen[id(value)][0])
    seen[id(value)] = len(seen), value  # held, so that no other value gets its id
    if depth > 40:
        return "deep"
    inner = functools.partial(fingerprint, depth=depth + 1, seen=seen)
    if isinstance(value, torch.Tensor):
        if value.device.type == "meta":
            return ("meta", tuple(value.shape), str(value.dtype))
        if isinstance(value, nn.parameter.UninitializedTensorMixin):
            return "uninitialized"
        if value.layout is not torch.strided:
            return ("sparse", tuple(value.shape), inner(value.detach().to_dense()))
        plain = value.detach().flatten().clone()
        data = (
            plain.resolve_conj().numpy().tobytes()
            if plain.dtype not in (torch.bfloat16, *FLOAT8)
            else repr(plain.float().tolist()).encode()
        )
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        # of a tensor that another is computed from, whether it has a gradient depends on who ran the model last
        learns = value.requires_grad if value.is_leaf and isinstance(value, nn.Parameter) else None
        return ("tensor", tuple(value.shape), str(value.dtype), learns, digest)
    if isinstance(value, np.ndarray):
        data = value.tobytes() if value.dtype != object else repr(value).encode()
        return ("array", value.shape, str(value.dtype), hashlib.blake2b(data, digest_size=8).hexdigest())
    if isinstance(value, Mapping):
        return ("mapping", tuple((inner(key), inner(each)) for key, each in list(value.items())[:2000]))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, len(value), tuple(inner(each) for each in value[:2000]))
    if isinstance(value, (set, frozenset)):
        return ("set", tuple(sorted(repr(each) for each in value)))
    if isinstance(value, torch.jit.ScriptModule):
        return "scripted"
    if isinstance(value, nn.Module):
        hooks = tuple(len(getattr(value, name)) for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"))
        state = {name: each for name, each in vars(value).items() if not name.startswith("_")}
        parts = (value._parameters, value._buffers, value._modules, state)
        return (type(value).__name__, hooks, tuple(inner(part) for part in parts))
    if dataclasses.is_dataclass(value):
        fields = (
            getattr(value, each.name, None) for each in dataclasses.fields(value) if not each.name.startswith("_")
        )
        return (type(value).__name__, tuple(inner(each) for each in fields))
    return type(value).__name__


def hidden_state(value: object) -> bool:
    """Whether a value is there to be changed: a source of randomness, or an iterator."""
    return isinstance(value, (torch.Generator, random.Random, np.random.Generator, types.GeneratorType, Iterator))


class Guard:
    """Refuses, in this process, to open a file for writing, to remove, move or make one outside a folder."""

    WRITES = (
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.symlink",
        "os.link",
        "os.chmod",
        "os.chown",
        "os.truncate",
        "os.utime",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copyfile",
        "shutil.copytree",
    )

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)

    def inside(self, path: object) -> bool:
        if isinstance(path, int) or path is None:
            return True  # a file that is open already
        real = os.path.realpath(os.fsdecode(path))
        return real == self.folder or real.startswith(self.folder + os.sep) or real == os.devnull

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            if writes and not isinstance(path, int) and not self.inside(path):
                raise PermissionError(f"the fuzz writes nothing outside its folder: {path!r}")
        elif event in self.WRITES:
            for path in arguments[:2] if "rename" in event or "link" in event else arguments[:1]:
                if isinstance(path, (str, bytes, os.PathLike)) and not self.inside(path):
                    raise PermissionError(f"the fuzz changes nothing outside its folder: {event} {path!r}")


class TooLong(BaseException):
    """A call did not end in time."""


def _too_long(signum: int, frame: object) -> None:
    raise TooLong


def parts_of(call: Call, door: Door) -> dict[str, object]:
    parts = dict(call.arguments)
    for number, value in enumerate(call.rest):
        parts[f"*{number}"] = value
    return parts


def perform(door: Door, parts: dict[str, object]) -> object:
    """Call a door; what it yields is drawn, up to a thousand values."""
    parameters = inspect.signature(inspect.unwrap(door.call) if door.kind != "class" else door.call).parameters
    positional, named = [], {}
    rest = [value for name, value in parts.items() if name.startswith("*")]
    before_rest = True
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += rest
            before_rest = False
        elif parameter.kind is parameter.VAR_KEYWORD:
            continue
        elif name in parts:
            if parameter.kind is parameter.POSITIONAL_ONLY or (
                rest and before_rest and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            ):
                positional.append(parts[name])
            else:
                named[name] = parts[name]
    known = set(parameters)
    named |= {name: value for name, value in parts.items() if not name.startswith("*") and name not in known}
    if door.receiver in named:
        positional.insert(0, named.pop(door.receiver))
    result = door.call(*positional, **named)
    if isinstance(result, types.GeneratorType):
        result = list(itertools.islice(result, 1000))
    return result


def judge_error(error: BaseException) -> str | None:
    """None if the library raised this error on purpose, else what is foreign about it."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    if LIBRARY in last.filename:
        where = f"{Path(last.filename).relative_to(ROOT)}:{last.lineno}"
    mine = [frame for frame in frames if frame.filename.startswith(LIBRARY)]
    via = f" via {Path(mine[-1].filename).relative_to(ROOT)}:{mine[-1].lineno}" if mine and mine[-1] is not last else ""
    raised = last.filename.startswith(LIBRARY) and linecache.getline(last.filename, last.lineno).strip().startswith(
        "raise"
    )
    own = type(error).__module__.startswith("mini_lib")
    text = str(error).split("\n")[0][:100]
    theirs = frames[frames.index(mine[-1]) + 1 :] if mine else frames
    if any(frame.filename.startswith("<doctest") or "door_" in frame.filename for frame in theirs):
        return None  # a function that the caller passed fails in its own way
    if raised and (own or isinstance(error, (ValueError, TypeError, FileNotFoundError))):
        return None
    return f"{type(error).__name__}: {text} [{where}{via}]"


def cases_of(door: Door, call: Call, rng: random.Random, most: int | None) -> list[tuple[str, str]]:
    """Which argument gets which hostile value."""
    parameters = door.signature.parameters
    cases = []
    for name, right in parts_of(call, door).items():
        if name == door.receiver:
            continue
        annotation = parameters[name].annotation if name in parameters else inspect.Parameter.empty
        cases += [(name, value) for value in hostile(name, annotation, right)]
    if most is not None:  # the first of one order: a faster machine tries the same cases, and more
        rng.shuffle(cases)
    return cases[:most]


def annotation_of(door: Door, name: str) -> object:
    parameters = door.signature.parameters
    return parameters[name].annotation if name in parameters else inspect.Parameter.empty


def fuzz_door(door: Door, rng: random.Random, budget_s: float | None, say, skip: int = 0) -> None:
    """Every case of a door; `say(event, ...)` is told what came of each."""
    number = fit = 0
    for call in door.calls:
        if fit == 2:
            break
        try:
            right = Right(door, call)
            took = right.try_out()
        except (Exception, TooLong) as error:
            refusal = f"{type(error).__name__}: {str(error)[:90]}"
            continue  # an example of a refusal
        fit += 1
        if skip == 0:
            for name in right.changes - right.excused:
                say("changed", door.name, f"a right call changes {name}")
        most = None if budget_s is None else 12 if took < budget_s / 60 else 4
        for name, value in cases_of(door, call, rng, most):
            number += 1
            if number <= skip:
                continue
            say("begin", door.name, f"{name} = {value}")
            try:
                _one(door, right, name, value, say)
            except Exception:
                say("unfit", f"{door.name}({name} = {value})", traceback.format_exc()[-300:].replace("\n", " | "))
        if most is not None and took * 40 > budget_s:
            break
    if not fit and door.name not in NOT_CALLED:
        say("unfit", door.name, refusal)


class Right:
    """A right call of a door: its arguments, what they hold, and which of them such a call changes."""

    def __init__(self, door: Door, call: Call) -> None:
        self.door = door
        self.spare = parts_of(call, door)
        for name in self.spare:
            if is_path(name, annotation_of(door, name)):  # this process works in a folder of its own
                self.spare[name] = Path(str(self.spare[name])).name
        self.parts = copied(self.spare)
        self.prints = {name: fingerprint(value) for name, value in self.parts.items()}
        self.changes: set[str] = set()
        owns = door.kind == "class" and issubclass(
            door.call, nn.Module
        )  # a layer takes over the modules that it is made of
        self.excused = {name for name, value in self.parts.items() if hidden_state(value) or owns}

    def try_out(self) -> float:
        """Make the right call and return its seconds."""
        begin = time.perf_counter()
        with limited(20):
            self.result = perform(self.door, self.parts)
        took = time.perf_counter() - begin
        self.changes = self.restore()
        self.excused |= {self.door.receiver} & self.changes
        self.result_print = fingerprint(self.result)
        return took

    def restore(self, *but: str) -> set[str]:
        """The names of the arguments that a call has changed, which are made anew."""
        changed = set()
        for name, value in self.parts.items():
            if name not in but and fingerprint(value) != self.prints[name]:
                changed.add(name)
        if changed or self.excused:
            self.parts = copied(self.spare)
        return changed


class limited:
    """A time limit for what stands in the block; TooLong where it is passed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


NO_MEMORY = ("can't allocate memory", "Storage size calculation overflowed")
LARGE = ("2**31", "2**63", "10**400", "1e308", "infinity")


def _one(door: Door, right: Right, name: str, value: str, say) -> None:
    what = f"{door.name}({name} = {value})"
    annotation = annotation_of(door, name)
    try:
        made = hostile(name, annotation, right.spare[name])[value]()
        again = fingerprint(made)
    except Exception:
        return  # this value cannot be made of this one: a sparse bool, half of an integer
    parts = right.parts | {name: made}
    clean = not has_nan(list(parts.values()), infinite=True)
    try:
        with limited(0.3 if value in LARGE else LIMIT_S):
            result = perform(door, parts)
    except TooLong:
        if value in LARGE:
            say("taken", what, "so much work takes long")
        else:
            say("hang", what, f"no answer within {LIMIT_S:g} s")
    except BaseException as error:
        foreign = judge_error(error)
        if value in LARGE and (isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)):
            say("taken", what, "so much work takes too much memory")
        elif foreign:
            say("foreign", what, foreign)
        elif name.strip("*_") and name not in str(error):
            say("unnamed", what, str(error)[:160])
        else:
            say("refused", what, "")
    else:
        kind = type(made)
        if clean and has_nan(result):
            say("nan", what, "NaN from finite input")
        elif value.startswith("numpy int") and fingerprint(result) != right.result_print:
            say("taken", what, "")
        elif not admits(annotation, kind) or (kind is bool and not admits_bool(annotation)):
            say("accepted", what, f"{kind.__name__} for {annotation}"[:120])
        else:
            say("taken", what, "")
    changed = right.restore(name) - right.excused - right.changes
    if name not in right.changes | right.excused and not hidden_state(made) and fingerprint(made) != again:
        changed.add(name)
    for other in changed:
        say("changed", what, f"{other} is changed")


def admits_bool(annotation: object) -> bool:
    import typing

    if annotation in (int, float):
        return False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(admits_bool(each) for each in typing.get_args(annotation))
    return True


def child(doors: list[Door], start: int, skip: int, arguments: argparse.Namespace, out: int, folder: str) -> None:
    """Fuzz the doors from `start` on, and tell the parent through a pipe."""
    os.setsid()
    os.chdir(tempfile.mkdtemp(dir=folder))
    tempfile.tempdir = folder
    sys.addaudithook(Guard(folder))
    signal.signal(signal.SIGALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    )
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    warnings.simplefilter("ignore")

    def say(event: str, *words: object) -> None:
        data = pickle.dumps((event, *words))
        os.write(out, struct.pack("I", len(data)) + data)

    for index in range(start, len(doors)):
        say("door", index)
        begin = cpu_s()
        if doors[index].calls:
            rng = random.Random(f"{arguments.seed} {doors[index].name}")
            torch.manual_seed(0)
            fuzz_door(doors[index], rng, None if arguments.all else arguments.budget, say, skip)
        skip = 0
        say("time", doors[index].name, cpu_s() - begin)
    say("end")


def compile_once(folder: str) -> None:
    """Let this process and its children share what they compile, and compile it quickly: nothing here is timed."""
    build, place = native._build, Path(folder, "compiled")
    place.mkdir()

    def quickly(source: str, flags: Iterable[str], *how: object) -> Path:
        return build(source, ["-O1" if flag in ("-O2", "-O3") else flag for flag in native.flag_words(flags)], *how)

    native._build, native._folder = quickly, lambda: place


def cpu_s() -> float:
    """The seconds that this process and its children have computed."""
    return sum(os.times()[:4])


def run(doors: list[Door], arguments: argparse.Namespace, folder: str) -> dict[str, list]:
    """Fuzz all doors in children; a child that dies or hangs is followed by another."""
    found: dict[str, list] = {}
    start, skip = 0, 0
    while start < len(doors):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            try:
                child(doors, start, skip, arguments, write, folder)
            except BaseException:
                os.write(write, b"")
                with open(os.path.join(folder, "trouble"), "w") as file:
                    traceback.print_exc(file=file)
            finally:
                os._exit(0)
        os.close(write)
        current, done, last, ended = start, skip, ("", ""), False
        buffer = b""
        while True:
            ready, _, _ = select.select([read], [], [], LIMIT_S + 25)
            data = os.read(read, 1 << 16) if ready else None
            if not data:
                break
            buffer += data
            while len(buffer) >= 4 and len(buffer) >= 4 + (size := struct.unpack("I", buffer[:4])[0]):
                event, *words = pickle.loads(buffer[4 : 4 + size])
                buffer = buffer[4 + size :]
                if event == "door":
                    done = skip if words[0] == start else 0
                    current, last = words[0], (doors[words[0]].name, "a right call")
                elif event == "begin":
                    done, last = done + 1, tuple(words)
                    found.setdefault("begin", []).append(1)
                elif event == "end":
                    ended = True
                else:
                    found.setdefault(event, []).append(words)
        if data is None:
            os.kill(pid, signal.SIGKILL)
        os.close(read)
        _, status = os.waitpid(pid, 0)
        if ended:
            break
        trouble = Path(folder, "trouble")
        if trouble.exists():
            raise RuntimeError(trouble.read_text())
        why = "no answer: killed" if data is None else f"the process died, status {status}"
        found.setdefault("crash", []).append([f"{last[0]}({last[1]})", why])
        start, skip = (current, done) if last[1] != "a right call" else (current + 1, 0)
    return found


def table(doors: list[Door], found: dict[str, list]) -> str:
    count = {
        event: len(found.get(event, []))
        for event in (
            "begin",
            "refused",
            "unnamed",
            "taken",
            "accepted",
            "foreign",
            "nan",
            "changed",
            "hang",
            "crash",
            "unfit",
        )
    }
    covered = sum(bool(door.calls) for door in doors)
    return f"{covered} of {len(doors)} doors, {count.pop('begin')} calls: " + ", ".join(
        f"{n} {k}" for k, n in count.items()
    )


def grouped(rows: list) -> list[str]:
    """One line for what ended alike: the door, its argument, the values, and what came of them."""
    groups: dict[tuple[str, str], dict[str, None]] = {}
    first: dict[tuple[str, str], str] = {}
    for what, why in rows:
        call, _, value = what.partition(" = ")
        place = why[why.rfind("[") :] if why.endswith("]") else why
        key = (call, why.partition(":")[0] + place)
        groups.setdefault(key, {})[value.removesuffix(")")] = None
        first.setdefault(key, why)
    return [f"{call} = {' | '.join(values)}): {first[call, key]}" for (call, key), values in groups.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("topics", nargs="*")
    parser.add_argument("--all", action="store_true", help="every value for every argument")
    parser.add_argument("--budget", type=float, default=0.006, help="about how many seconds for one function")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a folder for the lists of failures")
    parser.add_argument("--json", type=Path, help="a file for all that was found")
    parser.add_argument("--slowest", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="doors_", ignore_cleanup_errors=True) as folder:
        compile_once(folder)
        fuzz(arguments, folder)


def fuzz(arguments: argparse.Namespace, folder: str) -> None:
    """Fuzz the topics, print a line for each, and write down what was found."""
    everything, total = {}, {}
    for topic in arguments.topics or TOPICS:
        doors = doors_of(topic)
        begin = cpu_s()
        wrong = harvest(topic, doors)
        middle = cpu_s()
        found = run(doors, arguments, folder)
        found["unfit"] = [*found.get("unfit", []), *(each.split(": ", 1) for each in wrong)]
        never = [door.name for door in doors if not door.calls]
        counts = {event: len(rows) for event, rows in found.items()}
        everything[topic] = {"doors": len(doors), "never": never, "counts": counts, "found": found}
        for kind, count in {"doors": len(doors), "called": len(doors) - len(never), **counts}.items():
            total[kind] = total.get(kind, 0) + count
        print(f"{topic}: {table(doors, found)}; {middle - begin:.1f} + {cpu_s() - middle:.1f} s", flush=True)
        for name, took in sorted(found.get("time", []), key=lambda row: -row[1])[: arguments.slowest]:
            print(f"    {took:.2f} s {name}")
        if arguments.out:
            lines = []
            for event in ("crash", "hang", "nan", "changed", "foreign", "accepted", "unnamed", "unfit"):
                rows = found.get(event, [])
                lines += [f"== {event}: {len(rows)}", *grouped(rows), ""]
            lines += ["== no right call known", *(door.name for door in doors if not door.calls)]
            (arguments.out / f"doors_{topic}.txt").write_bytes(
                ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
            )
    print(
        f"all: {total['called']} of {total['doors']} public functions, {total.get('begin', 0)} calls, "
        f"foreign exceptions {total.get('foreign', 0)}, NaN from finite input {total.get('nan', 0)}, "
        f"arguments changed {total.get('changed', 0)}, no answer {total.get('hang', 0)}, "
        f"processes died {total.get('crash', 0)}"
    )
    if arguments.json:
        text = json.dumps(everything).encode("utf-8", "backslashreplace")
        arguments.json.write_bytes(text)


if __name__ == "__main__":
    main()
