"""Change a module in one small way at a time, run its tests, and print which changes no test noticed.

    python tools/mutants.py                                          # ten mutants of each module in TESTS
    python tools/mutants.py mini_lib/prune/keep.py --count 15 --seed 3

A *mutant* is the module with one change: `<` becomes `<=`, `+` becomes `-`, a 0 becomes a 1, two arguments swap places,
a condition is negated, a line is dropped. The module's tests, its own file in tests/ and its doctests, should then
fail: the mutant is *killed*. A survivor shows a line that the tests do not check, or it is *equivalent*: it does the
same thing in another way. A person decides whether it does, and gives the reason in tools/mutants_judged.toml. The
share is killed / (mutants - equivalent).

Everything happens in a copy of the course in a temporary folder. Each mutant has a process of its own, forked from this
one. By then this process has imported everything that the tests need from other packages (torch takes seconds to
import), but nothing of the course. It needs a system that can fork: Linux or macOS.

Source: DeMillo, Lipton, Sayward 1978, "Hints on Test Data Selection: Help for the Practicing Programmer".
"""

import argparse
import ast
import contextlib
import copy
import gc
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JUDGED = Path(__file__).with_name("mutants_judged.toml")
MEMORY_BYTES = 12 * 2**30  # of address space: an endless loop may fill a list

# The modules of the table, with the files that test them in addition to the file named after the module.
TESTS = {
    "mini_lib/quantize/affine.py": (),
    "mini_lib/quantize/observers.py": ("tests/quantize/test_observers_search.py",),
    "mini_lib/quantize/granularity.py": ("tests/quantize/test_qtensor.py",),
    "mini_lib/quantize/equalize.py": ("tests/quantize/test_equalize_rounds.py",),
    "mini_lib/quantize/qtensor.py": (),
    "mini_lib/quantize/formats/integer.py": (
        "tests/quantize/test_affine.py",
        "tests/quantize/test_formats.py",
        "tests/quantize/test_integer_scales.py",
    ),
    "mini_lib/quantize/rounding/gptq.py": (),
    "mini_lib/quantize/mixed/allocate.py": ("tests/quantize/test_mixed_allocate.py",),
    "mini_lib/prune/keep.py": ("tests/prune/test_keep_among.py",),
    "mini_lib/prune/mask.py": (),
    "mini_lib/prune/schedules.py": (),
    "mini_lib/prune/second_order/sparse_gpt.py": (),
    "mini_lib/prune/sparse/csr.py": ("tests/prune/test_sparse_formats.py",),
    "mini_lib/factorize/data_aware.py": ("tests/factorize/test_data_aware_unseen.py",),
    "mini_lib/factorize/rank.py": (),
    "mini_lib/factorize/budget.py": (),
    "mini_lib/factorize/low_rank/tucker.py": ("tests/factorize/test_tucker_stopping.py",),
    "mini_lib/llm/prices/halving.py": ("tests/llm/test_price_halving.py", "tests/llm/test_price_flat.py"),
    "mini_lib/llm/serving/engine.py": (
        "tests/llm/test_serving_simulate.py",
        "tests/llm/test_serving_reference.py",
        "tests/llm/test_serving_long_steps.py",
    ),
    "mini_lib/llm/model/sampling.py": (),
    "mini_lib/llm/model/speculative.py": (),
    "mini_lib/costs.py": ("tests/test_costs_odd.py",),
    "mini_lib/knapsack.py": (),
    "mini_lib/surgery.py": (),
    "mini_lib/packing.py": (),
    "mini_lib/calibration.py": ("tests/test_calibration_windows.py",),
    "mini_lib/require.py": (),
    "mini_lib/fit.py": ("tests/test_fit_small_batches.py",),
    "mini_lib/loops/memory/planner.py": (),
    "mini_lib/loops/legality/feasible.py": (),
    "mini_lib/augment/policy.py": (),
}

# --- mutants -------------------------------------------------------------------------------------------------------

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
PAIRS = (
    ("min", "max"), ("amin", "amax"), ("argmin", "argmax"), ("minimum", "maximum"), ("any", "all"), ("floor", "ceil"),
    ("floor_", "ceil_"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("mean", "sum"), ("sorted", "list"),
)  # fmt: skip
Change = tuple[ast.AST, str, ast.AST | str]  # what is changed, the kind of change, and what stands there instead
OTHER_NAME = {**dict(PAIRS), **{b: a for a, b in PAIRS if b not in ("list", "sum")}}


@dataclass(frozen=True)
class Mutant:
    """A module with one change: the first line that differs, the kind, the lines as they were and as they are.

    `after` is the line before these, which tells one `break` from another.
    """

    line: int
    kind: str
    after: str
    was: str
    now: str
    source: str


def mutants(source: str, changes: Callable[[ast.Module], Iterable[Change]] | None = None) -> list[Mutant]:
    """Every change that can be made to a module's source: those of `every_change`, or of another function.

    >>> [mutant.now for mutant in mutants("def larger(a, b):\\n    return a < b\\n")]
    ['return None', 'return a <= b', 'return a > b']
    """
    found, content = {}, source.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree = ast.parse(source)
    same = ast.dump(tree)
    for node, kind, new in (changes or every_change)(tree):
        first, last = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        text = new if isinstance(new, str) else ast.unparse(new)
        loose = isinstance(new, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp | ast.IfExp)
        if loose and not stands_alone(content, first, last):
            text = f"({text})"
        changed = (content[:first] + text.encode() + content[last:]).decode()
        with contextlib.suppress(SyntaxError):
            if changed not in found and ast.dump(ast.parse(changed)) != same:
                found[changed] = Mutant(node.lineno, kind, *difference(source, changed), changed)
    return list(found.values())


def stands_alone(source: bytes, first: int, last: int) -> bool:
    """Whether an expression needs no parentheses: it has them, or it is the end of an assignment or a return."""
    before, after = source[:first].rstrip(b" "), source[last : last + 1]
    return before.endswith((b"return", b" =", b"if", b"elif", b"while", b"(", b"[", b",")) and after in b"\n:)],"


def difference(before: str, after: str) -> tuple[str, str, str]:
    """The line before, the lines that were changed, and what they became, without their indentation."""
    was, now = before.splitlines(), after.splitlines()
    start = next(at for at, pair in enumerate(zip_longest(was, now)) if pair[0] != pair[1])
    end = next(at for at, pair in enumerate(zip_longest(was[::-1], now[::-1])) if pair[0] != pair[1])
    end = min(end, len(was) - start, len(now) - start)
    parts = was[max(start - 1, 0) : start], was[start : len(was) - end], now[start : len(now) - end]
    return tuple("\n".join(map(str.strip, lines)) for lines in parts)


def every_change(tree: ast.Module) -> Iterator[Change]:
    """Each node that can be changed, the kind of change, and its replacement."""
    for node in reachable(tree):
        if isinstance(node, ast.stmt):
            yield from changed_statement(node)
        elif isinstance(node, ast.expr):
            yield from changed_expression(node)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            yield from ((node, "statement dropped", "pass") for node in assigned_again(function))


def reachable(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that compute: not annotations, decorators, imports or the texts of messages."""
    yield node
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from reachable(child)


def changed_statement(node: ast.stmt) -> Iterator[Change]:
    """A statement is dropped, or moved."""
    match node:
        case ast.Raise() | ast.AugAssign() | ast.Expr(value=ast.Call()) | ast.Assign(targets=[ast.Subscript()]):
            yield node, "statement dropped", "pass"
        case ast.Return(value=ast.expr()):
            yield node, "returns nothing", "return None"
        case ast.Break():
            yield node, "break or continue", "continue"
        case ast.Continue():
            yield node, "break or continue", "break"
        case ast.If(test=test) | ast.While(test=test):
            yield test, "condition negated", ast.UnaryOp(ast.Not(), test)
        case ast.For(iter=rows):
            yield rows, "nothing to loop over", "()"
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield node, "arithmetic", remade(node, op=ARITHMETIC[type(node.op)]())


def changed_expression(node: ast.expr) -> Iterator[Change]:
    """An expression has another operator, constant, name or order."""
    match node:
        case ast.Compare():
            for place, op in enumerate(node.ops):
                for other in COMPARISONS[type(op)]:
                    yield node, "comparison", remade(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield node, "arithmetic", remade(node, op=ARITHMETIC[type(node.op)]())
        case ast.BoolOp():
            yield node, "and or", remade(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for place in range(len(node.values)):
                left = node.values[:place] + node.values[place + 1 :]
                yield node, "one of several conditions", remade(node, values=left) if len(left) > 1 else left[0]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield node, "sign", operand
        case ast.Constant(value=bool(value)):
            yield node, "constant", ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from ((node, "constant", ast.Constant(value + step)) for step in (1, -1))
        case ast.IfExp(test=test):
            yield test, "condition negated", f"(not ({ast.unparse(test)}))"
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield node.generators[0].iter, "nothing to loop over", "()"
            for test in node.generators[0].ifs:
                yield test, "condition negated", f"(not ({ast.unparse(test)}))"
        case ast.Name(id=name, ctx=ast.Load()) if name in OTHER_NAME:
            yield node, "name", ast.Name(OTHER_NAME[name])
        case ast.Attribute(attr=name, ctx=ast.Load()) if name in OTHER_NAME:
            yield node, "name", remade(node, attr=OTHER_NAME[name])
        case ast.Call():
            yield from changed_call(node)


def changed_call(node: ast.Call) -> Iterator[Change]:
    """A call has its arguments in another order, one fewer, or another axis."""
    for place in range(len(node.args) - 1):
        args = list(node.args)
        args[place : place + 2] = args[place + 1], args[place]
        yield node, "arguments swapped", remade(node, args=args)
    for place, word in enumerate(node.keywords):
        if word.arg not in ("fix", "strict", None):
            kept = node.keywords[:place] + node.keywords[place + 1 :]
            yield node, "argument dropped", remade(node, keywords=kept)
        if word.arg in ("dim", "axis") and isinstance(word.value, ast.Constant | ast.UnaryOp):
            axis = ast.literal_eval(word.value)
            yield word.value, "axis", str(1 if axis == 0 else 0)
    if isinstance(node.func, ast.Name) and node.func.id == "range":
        yield node, "nothing to loop over", "range(0)"
        end = min(len(node.args), 2) - 1
        args = [*node.args[:end], ast.BinOp(node.args[end], ast.Sub(), ast.Constant(1)), *node.args[end + 1 :]]
        yield node, "one pass fewer", remade(node, args=args)
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("abs", "sort", "flip") and not node.args:
        yield node, "step left out", node.func.value


def assigned_again(function: ast.FunctionDef) -> Iterator[ast.Assign]:
    """Assignments to a name that already has a value, so that the function runs without them."""
    known = {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in known:
                yield node
            known.add(node.targets[0].id)


def remade(node: ast.AST, **parts: object) -> ast.AST:
    """A copy of a node with some parts replaced."""
    other = copy.copy(node)
    for name, value in parts.items():
        setattr(other, name, value)
    return other


def chosen(source: str, count: int, seed: str) -> list[Mutant]:
    """`count` random mutants: first the kind is drawn, then one of that kind, so that rare kinds are among them."""
    by_kind, draw, taken = defaultdict(list), random.Random(seed), []
    for one in mutants(source):
        by_kind[one.kind].append(one)
    while by_kind and len(taken) < count:
        kind = draw.choice(sorted(by_kind))
        taken.append(by_kind[kind].pop(draw.randrange(len(by_kind[kind]))))
        if not by_kind[kind]:
            del by_kind[kind]
    return sorted(taken, key=lambda one: one.line)


# --- their tests ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tried:
    """A mutant, its outcome (`killed`, `too slow`, `survived` or `equivalent`), and why it is equivalent."""

    mutant: Mutant
    outcome: str
    why: str = ""


def tests_of(module: str, root: Path = ROOT) -> list[str]:
    """The tests of a module: its doctests, the file of tests that is named after it, and those of the table.

    Raises:
        ValueError: there is no file of tests.
    """
    found = [path.relative_to(root).as_posix() for path in (root / "tests").rglob(f"test_{Path(module).stem}.py")]
    files = [*found, *TESTS.get(module, ())]
    if len(files) == 0:
        raise ValueError(f"no test_{Path(module).stem}.py tests {module}; name its tests in TESTS")
    return [module, *files]


def run_tests(folder: Path, files: Sequence[str], limit_s: float, *, first: bool = False) -> tuple[str, list[str]]:
    """Run tests in a process of its own until one fails: their outcome, and the modules that they imported."""
    said = folder / "said.txt"
    gc.freeze()  # a child that collects garbage would otherwise copy the memory of this process
    child = os.fork()
    if child == 0:
        try:
            code = in_the_child(folder, files, said, first)
        finally:
            os._exit(code if "code" in locals() else 70)
    gc.unfreeze()
    end = time.monotonic() + limit_s
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "too slow", []
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # processes that a test has left running
    imported = json.loads((folder / "imported.json").read_text()) if first else []
    return ("survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"), imported


def in_the_child(folder: Path, files: Sequence[str], said: Path, first: bool) -> int:
    """Run pytest as the last thing that this process does."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    sys.path[:0] = [str(folder)]
    os.environ["PYTHONPATH"] = str(folder)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # looking for plugins takes longer than many tests
    before = set(sys.modules)
    sys.dont_write_bytecode = not first  # the course's compiled code is kept once; that of a mutant never
    import pytest

    plugins = ["-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0"]
    quickest = QuickestFirst(folder / "seconds.json", first)
    code = pytest.main(["-x", "-q", "-o", "addopts=--doctest-modules", *plugins, *files], plugins=[quickest])
    if first:
        (folder / "imported.json").write_text(json.dumps(sorted(set(sys.modules) - before)))
    return int(code)


class QuickestFirst:
    """Makes pytest begin with the quickest tests of each file, and stop at the first counterexample."""

    def __init__(self, path: Path, first: bool) -> None:
        self.path, self.first = path, first
        self.seconds: Counter[str] = Counter({} if first else json.loads(path.read_text()))

    def pytest_collection(self) -> None:
        """Tell hypothesis not to look for a smaller counterexample, which takes long, and not to remember any."""
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", settings.default, phases=phases, database=None)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list) -> None:
        """Sort the tests; those of a file stay together, since they share their set-up."""
        files = list(dict.fromkeys(item.path for item in items))
        items.sort(key=lambda item: (files.index(item.path), self.seconds[item.nodeid]))

    def pytest_runtest_logreport(self, report: object) -> None:
        """Add up the time of a test."""
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Keep the seconds of the first run."""
        if self.first:
            self.path.write_text(json.dumps(self.seconds))


def warm(imported: Sequence[str], folder: Path) -> None:
    """Import the modules that the tests have imported, except those of the course; each child then has them."""
    ours = {path.stem for path in folder.iterdir()} | {path.stem for path in (folder / "tests").rglob("*.py")}
    for name in imported:
        if name.split(".")[0] not in ours | {"conftest", "torchvision"}:  # the tests prepare the import of torchvision
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def try_module(folder: Path, module: str, files: Sequence[str], taken: Sequence[Mutant]) -> Iterator[Tried]:
    """Run the tests on the module in `folder` as it is, then on each mutant of it; then restore the module.

    Raises:
        ValueError: the tests fail without any mutant.
    """
    path = folder / module
    source, times = path.read_text(encoding="utf-8"), (path.stat().st_atime, path.stat().st_mtime)
    for first in (True, False):
        start = time.monotonic()
        outcome, imported = run_tests(folder, files, 600, first=first)
        if outcome != "survived":
            raise ValueError(f"the tests of {module} fail as it is:\n{(folder / 'said.txt').read_text()[-2000:]}")
        warm(imported, folder)
    limit_s = limit_of(time.monotonic() - start)
    reasons = judged(module)
    for one in taken:
        path.write_text(one.source, encoding="utf-8")
        try:
            outcome, _ = run_tests(folder, files, limit_s)
        finally:
            path.write_text(source, encoding="utf-8")
            os.utime(path, times)  # so that its compiled code still belongs to this file
        why = reasons.get((one.after, one.was, one.now)) or reasons.get(("", one.was, one.now), "")
        survived = outcome == "survived"
        yield Tried(one, "equivalent" if survived and why else outcome, why if survived else "")


def limit_of(seconds: float) -> float:
    """How long a mutant's tests may take if those of the unchanged module take `seconds`."""
    return 20 + 3 * seconds


def judged(module: str, path: Path = JUDGED) -> dict[tuple[str, str, str], str]:
    """The changes of a module that do not change its behaviour, each with the reason.

    A change is the line before it, "" where the lines themselves are enough, the lines as they were, and as they are.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", [])
    rows = [row for row in rows if row["module"] == module]
    return {(row.get("after", ""), row["was"].strip(), row["now"].strip()): row["why"] for row in rows}


# --- the table -----------------------------------------------------------------------------------------------------


def row_of(name: str, tried: Sequence[Tried]) -> tuple[str, ...]:
    """A line of the table: mutants, killed (too slow counts), equivalent, survived, share."""
    count = Counter(one.outcome for one in tried)
    killed = count["killed"] + count["too slow"]
    changing = len(tried) - count["equivalent"]
    share = f"{killed / changing:.1%}" if changing else "-"
    return name, *map(str, (len(tried), killed, count["equivalent"], count["survived"])), share


def table(tried: dict[str, list[Tried]]) -> str:
    """A line per module, and one for all together."""
    from mini_lib.columns import aligned

    head = ("module", "mutants", "killed", "equivalent", "survived", "share")
    together = [one for found in tried.values() for one in found]
    return aligned([head, *(row_of(*item) for item in tried.items()), row_of(f"{len(tried)} modules", together)])


def shown(module: str, one: Tried) -> str:
    """A survivor: its place and kind, the lines before and after, and the reason if it is equivalent."""
    lines = [f"{module}:{one.mutant.line}  {one.outcome}, {one.mutant.kind}"]
    lines += [f"  - {line}" for line in one.mutant.was.splitlines()]
    lines += [f"  + {line}" for line in one.mutant.now.splitlines()]
    return "\n".join(lines + [f"  {one.why}"] * bool(one.why))


def main() -> None:
    """Print the table and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS), help="files, such as mini_lib/prune/keep.py")
    parser.add_argument("--count", type=int, default=10, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the copy is removed
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path.insert(0, str(ROOT))
    tried: dict[str, list[Tried]] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary) / "course"
        sys.pycache_prefix = str(Path(temporary) / "compiled")
        skipped = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".hypothesis", ".pytest_cache", ".ruff_cache")
        shutil.copytree(ROOT, folder, ignore=skipped)
        for module in asked.modules:
            taken = chosen((folder / module).read_text(encoding="utf-8"), asked.count, f"{asked.seed} {module}")
            tried[module] = []
            try:
                for one in try_module(folder, module, tests_of(module), taken):
                    tried[module].append(one)
                    if one.outcome in ("survived", "equivalent"):
                        print(shown(module, one), flush=True)
            except ValueError as error:  # the other modules still get their rows
                print(error, flush=True)
            print(*row_of(module, tried[module]), flush=True)
    print(f"\n{table(tried)}")


if __name__ == "__main__":
    main()
