"""The C compiler of this machine: find it, compile a text, and call the result from Python.

Compiled files lie in one temporary folder per process, which is removed when the process ends.
"""

import atexit
import ctypes
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from mini_lib.require import of_type, shown

SHARED_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
PROGRAM_SUFFIX = ".exe" if sys.platform == "win32" else ""

_PROBE = "int mini_lib_probe(int x) { return x + 1; }\n"
_OPENMP_PROBE = "#include <omp.h>\nint mini_lib_probe(void) { return omp_get_max_threads(); }\n"
_OPENMP_FLAG = "-fopenmp"


class NoCompiler(RuntimeError):
    """There is no C compiler that works; the message says how to get one."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler that was found to work.

    `command` starts it, `version` is the first line of its version message, and `openmp` is whether it can compile and
    link a program with OpenMP.

    >>> Compiler(("gcc",), "gcc 12.2.0", openmp=True).command
    ('gcc',)
    """

    command: tuple[str, ...]
    version: str
    openmp: bool


def find_compiler() -> Compiler:
    """Find a C compiler: $CC if it is set, else cc, gcc, clang, else the PyPI package ziglang.

    A compiler counts when it compiles a program of one line. The answer is kept for the process.

    Raises:
        NoCompiler: none works. If $CC is set and does not work, no other is tried.
    """
    return _find_compiler(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@lru_cache(maxsize=8)
def _find_compiler(wish: str, path: str) -> Compiler:
    tried = []
    for command in [tuple(shlex.split(wish))] if wish.strip() else _candidates(path):
        why_not = _why_not(command, _PROBE)
        if why_not is None:
            version = _run((*command, "--version")).stdout.partition("\n")[0].strip()
            openmp = _why_not((*command, _OPENMP_FLAG), _OPENMP_PROBE) is None
            return Compiler(command, version or command[0], openmp)
        tried.append(f"{' '.join(command)}: {why_not}")
    found = "; ".join(tried) if tried else "none of cc, gcc, clang and ziglang is here"
    fix = "set $CC to one that works, or unset it" if wish.strip() else "install gcc or clang"
    raise NoCompiler(f"no C compiler works ({found}); {fix}, or `pip install ziglang`, a whole C compiler")


def _candidates(path: str) -> list[tuple[str, ...]]:
    commands = [(name,) for name in ("cc", "gcc", "clang") if shutil.which(name, path=path)]
    if importlib.util.find_spec("ziglang") is not None:
        # zig checks for undefined behaviour unless it is told not to; no other compiler here does
        commands.append((sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=undefined"))
    return commands


def _why_not(command: Sequence[str], source: str) -> str | None:
    """Why a command does not compile a source to a shared library, or None if it does."""
    with tempfile.TemporaryDirectory(prefix="mini_lib_", ignore_cleanup_errors=True) as folder:
        try:
            _compile(command, source, Path(folder) / f"probe{SHARED_SUFFIX}", _shared_flags())
        except (OSError, ValueError) as error:
            return str(error)
    return None


def load(source: str, *, flags: Sequence[str] = ("-O2",), openmp: bool = False) -> ctypes.CDLL:
    """Compile a C source to a shared library and load it; the same source and flags compile once.

    Say what a function takes and returns before you call it (`argtypes`, `restype`): without these, ctypes assumes int.
    A call lets other Python threads run.

    Raises:
        NoCompiler: there is no C compiler, or OpenMP is asked for and this compiler has none.
        TypeError: `flags` is one string.
        ValueError: the source does not compile; the message has the compiler's first lines.

    >>> library = load("long twice(long x) { return 2 * x; }")
    >>> library.twice.argtypes, library.twice.restype = [ctypes.c_long], ctypes.c_long
    >>> library.twice(21)
    42
    """
    path = _build(source, flags, openmp, _folder(), SHARED_SUFFIX)
    return _open_library(str(path), os.getpid())


def build_program(source: str, folder: Path, *, flags: Sequence[str] = ("-O2",), openmp: bool = False) -> Path:
    """Compile a C source with a `main` into an executable in a folder, and return its path.

    Raises:
        NoCompiler, TypeError, ValueError: as `load`.
        ValueError: the folder is not there.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"folder must exist, got {str(folder)!r}; make it first")
    return _build(source, flags, openmp, Path(folder), PROGRAM_SUFFIX)


def has_flag(flag: str) -> bool:
    """Say whether the compiler knows a flag and obeys it: a warning that it is ignored counts as no.

    Raises:
        NoCompiler: there is no C compiler.

    >>> has_flag("-O2"), has_flag("-fno-such-flag")
    (True, False)
    """
    return _compiles(find_compiler().command, (*flag_words((flag,)), "-Werror"), _PROBE)


def native_flags() -> tuple[str, ...]:
    """Flags for the fastest code that runs on this machine, such as ("-O3", "-march=native").

    Where the CPU has 512-bit vectors, the flags ask for them: compilers stop at 256 bits by default.

    Raises:
        NoCompiler: there is no C compiler.
    """
    flags = ["-O3", *[flag for flag in ("-march=native", "-mcpu=native") if has_flag(flag)][:1]]
    wide = "-mprefer-vector-width=512"
    if _defines("__AVX512F__", tuple(flags)) and has_flag(wide):
        flags.append(wide)
    return tuple(flags)


def has_instructions(name: str) -> bool:
    """Say whether this processor has a set of instructions, by the macro that the compiler defines for it: "__AVX2__".

    Raises:
        NoCompiler: there is no C compiler.
    """
    return _defines(name, native_flags())


def _defines(name: str, flags: tuple[str, ...]) -> bool:
    return _compiles(find_compiler().command, flags, f"#ifndef {name}\n#error no\n#endif\n{_PROBE}")


@lru_cache(maxsize=256)
def _compiles(command: tuple[str, ...], flags: tuple[str, ...], source: str) -> bool:
    return _why_not((*command, *flags), source) is None


def flag_words(flags: Sequence[str]) -> tuple[str, ...]:
    """Return flags for the compiler, one word each; a single text would fall apart into letters.

    Raises:
        TypeError: the flags are a single text, or no texts.
        ValueError: a flag holds a zero byte.

    >>> flag_words(["-O1", "-g"])
    ('-O1', '-g')
    """
    if isinstance(flags, str):
        raise TypeError(f"flags must be a sequence of strings, got {flags!r}; write ({flags!r},)")
    fix = "write such as ('-O2',)"
    words = tuple(of_type("flags", flags, Sequence, fix=fix))
    for word in words:
        _need_text("each flag", word, fix)
        if "\0" in word:
            raise ValueError(f"a flag must not hold a zero byte, got {shown(word)}; {fix}")
    return words


def _need_text(name: str, value: object, fix: str) -> None:
    """Refuse anything but text, and text that cannot be written as bytes."""
    try:
        of_type(name, value, str, fix=fix).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} must be text in UTF-8, got {shown(value)}, with half a surrogate pair; {fix}"
        ) from error


def _build(source: str, flags: Sequence[str], openmp: bool, folder: Path, suffix: str) -> Path:
    """Compile into a folder, under a name that is a digest of everything that decides the result."""
    flags = flag_words(flags)
    _need_text("source", source, "give the text of a C program")
    of_type("openmp", openmp, bool, fix="True compiles with OpenMP")
    compiler = find_compiler()
    if openmp and not compiler.openmp:
        raise NoCompiler(
            f"{' '.join(compiler.command)} has no OpenMP here; install gcc and set $CC to it, or leave the loops serial"
        )
    command = (*compiler.command, *flags, *([_OPENMP_FLAG] if openmp else []))
    digest = hashlib.sha256("\0".join((source, compiler.version, *command)).encode()).hexdigest()
    path = folder / f"{'library' if suffix == SHARED_SUFFIX else 'program'}_{digest[:16]}{suffix}"
    if not path.exists():
        _compile(command, source, path, _shared_flags() if suffix == SHARED_SUFFIX else ())
    return path


def _shared_flags() -> tuple[str, ...]:
    return ("-shared",) if sys.platform == "win32" else ("-shared", "-fPIC")


def _compile(command: Sequence[str], source: str, path: Path, kind: Sequence[str]) -> None:
    """Run the compiler in a folder of its own, then move the result into place in one step."""
    with tempfile.TemporaryDirectory(dir=path.parent, ignore_cleanup_errors=True) as work:
        (Path(work) / "source.c").write_text(source, encoding="utf-8")
        math = () if sys.platform == "win32" else ("-lm",)
        done = _run((*command, *kind, "-o", path.name, "source.c", *math), cwd=work)
        if done.returncode or not (Path(work) / path.name).exists():
            raise ValueError(_complaint(command, done.stderr or done.stdout, source))
        os.replace(Path(work) / path.name, path)


def _complaint(command: Sequence[str], said: str, source: str) -> str:
    """The compiler's first message, and the line of the source that it is about."""
    lines = [line for line in said.splitlines() if line.strip()]
    first = next((at for at, line in enumerate(lines) if re.search("error|undefined", line)), 0)
    message = f"{' '.join(command)} does not compile this:\n" + "\n".join(lines[first : first + 6])
    where = re.search(r"source\.c:(\d+)", "\n".join(lines[first:]))
    if where and 0 < int(where[1]) <= len(source.splitlines()):
        message += f"\nline {where[1]} is: {source.splitlines()[int(where[1]) - 1].strip()}"
    return message


def _run(command: Sequence[str], cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )


@cache
def _open_library(path: str, _process: int) -> ctypes.CDLL:
    return ctypes.CDLL(path)


def _folder() -> Path:
    """This process's folder; a fork gets its own, since it may outlive its parent."""
    return _folder_of(os.getpid())


@cache
def _folder_of(process: int) -> Path:
    folder = tempfile.mkdtemp(prefix="mini_lib_native_")
    atexit.register(_remove, folder, process)
    return Path(folder)


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a fork inherits its parent's exit functions
        shutil.rmtree(folder, ignore_errors=True)
