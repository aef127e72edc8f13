"""What a notebook's cells find in Jupyter and not in a script: `get_ipython`, `display`, an event loop that runs."""

import __future__

import ast
import asyncio
import importlib
import inspect
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

FUTURE = __future__.annotations.compiler_flag


class Nothing:
    """Whatever is asked of it, it gives itself; whatever it is told to do, it does nothing."""

    def __getattr__(self, name: str) -> "Nothing":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **how: Any) -> "Nothing":
        return self

    def __getitem__(self, key: Any) -> "Nothing":
        return self

    def __contains__(self, key: Any) -> bool:
        return False

    def __iter__(self):
        return iter(())


@dataclass(frozen=True)
class Captured:
    """What `%%capture` gives a name to: what is printed goes nowhere."""

    stdout: str = ""
    stderr: str = ""
    outputs: tuple[()] = ()

    def show(self) -> None:
        """Shows it: nothing."""

    __call__ = show

    def __str__(self) -> str:
        return self.stdout


class Timed:
    """What `%timeit -o` gives: here the code ran once."""

    loops = repeat = 1
    stdev = compile_time = 0.0

    def __init__(self, seconds: float) -> None:
        self.best = self.worst = self.average = seconds
        self.timings = self.all_runs = [seconds]


class Shell(Nothing):
    """IPython's shell as far as graded cells need it: commands do nothing, and most magics."""

    kernel = None  # nobody looks at what moves

    def run_line_magic(self, *args: Any, **how: Any) -> None:
        """A magic such as `%matplotlib inline`."""

    magic = system = run_line_magic

    def run_cell_magic(self, name: str = "", line: str = "", cell: str = "", **how: Any) -> None:
        """A magic over a cell: `%%writefile` writes a file, which later cells may import or read."""
        if name in ("writefile", "file") and line.strip():
            *options, place = line.split()
            file = Path(place.strip("'\"")).expanduser()
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a" if "-a" in options or "--append" in options else "w", encoding="utf-8") as text:
                text.write(cell)
            importlib.invalidate_caches()

    def captured(self) -> Captured:
        """What the name in `%%capture name` is bound to."""
        return Captured()

    def clock(self) -> float:
        """The time in seconds, to be given to `timed`."""
        return time.perf_counter()

    def timed(self, start_s: float, value: Any = None) -> Timed:
        """What `%timeit -o` gives for code that has run since `start_s`."""
        return Timed(max(time.perf_counter() - start_s, 1e-9))

    def getoutput(self, *args: Any, **how: Any) -> list[str]:
        """What `!ls` printed: no lines."""
        return []


class Runner:
    """Runs the cells of a notebook, one after the other, in one namespace."""

    def __init__(self, names: dict[str, Any]) -> None:
        shell = Shell()
        names |= {"display": lambda *things, **how: None, "get_ipython": lambda: shell, "In": [""], "Out": {}, "_": ""}
        if "IPython" in sys.modules:  # `from IPython import get_ipython`
            ipython = sys.modules["IPython"]
            ipython.get_ipython = ipython.core.getipython.get_ipython = names["get_ipython"]
        self._names = names
        self._future = 0  # `from __future__ import annotations` holds for the cells after it, too
        self._loop: asyncio.AbstractEventLoop | None = None

    def compile(self, tree: ast.Module, file: str) -> CodeType:
        """The program of a cell, which may `await` outside functions.

        Raises:
            SyntaxError, ValueError: what the parser lets through, such as a `return` outside a function.
        """
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | self._future
        program = compile(tree, file, "exec", flags=flags, dont_inherit=True)
        self._future |= program.co_flags & FUTURE
        return program

    def run(self, program: CodeType) -> None:
        """Runs the program of a cell; what it raises is raised."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run(program))

    async def _run(self, program: CodeType) -> None:
        left = eval(program, self._names)
        if program.co_flags & inspect.CO_COROUTINE:
            await left
