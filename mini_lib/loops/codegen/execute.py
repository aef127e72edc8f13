"""Compile a program, call it on arrays, and time it on this machine."""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter

import numpy as np

from mini_lib import native
from mini_lib.latency import Latency
from mini_lib.loops.buffer import ALIGNMENT_BYTES
from mini_lib.loops.codegen.emit import function_name, to_c
from mini_lib.loops.ir import Buffer, Program, all_loops, need_program
from mini_lib.loops.legality.domain import require_in_bounds
from mini_lib.loops.meaning.interpret import check_arrays, random_arguments
from mini_lib.loops.meaning.numbers import NUMPY_DTYPES
from mini_lib.require import whole

MOST_THREADS = 1024
SHORTEST_RUN_S = 1e-3  # a shorter run is repeated inside the C code


@dataclass(frozen=True)
class Compiled:
    """A program as machine code. Call it like `run`: arrays in, new arrays out.

    `prepare` lays out the arrays once; its result runs again and again without a copy.
    """

    program: Program
    source: str
    library: ctypes.CDLL

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Run once on copies of the arrays and return the outputs.

        Raises:
            ValueError: an array is missing, unknown, or of the wrong shape or dtype.
        """
        prepared = self.prepare(**arrays)
        prepared.run()
        return prepared.outputs()

    def prepare(self, **arrays: np.ndarray) -> "Prepared":
        """Copy the arrays into storage as the buffers' strides say, each aligned to 64 bytes.

        Raises:
            ValueError: an array is missing, unknown, or of the wrong shape or dtype.
        """
        check_arrays(self.program, arrays)
        return Prepared(self, {b.name: _store(b, arrays) for b in self.program.arguments})

    def use_threads(self, threads: int) -> None:
        """Set how many threads parallel loops use, in the whole process; without OpenMP it is one."""
        threads = whole("threads", threads, low=1, high=MOST_THREADS, fix="use 1, or as many as there are cores")
        setter = getattr(self.library, "omp_set_num_threads", None) if _is_parallel(self.program) else None
        if setter is not None:
            setter(ctypes.c_int(threads))


@dataclass(frozen=True)
class Prepared:
    """A compiled program and its arguments: `run()` works on them, `outputs()` copies them."""

    compiled: Compiled
    storage: Mapping[str, np.ndarray]

    def run(self, times: int = 1) -> None:
        """Run on the storage, once or several times in a row without returning to Python."""
        times = whole("times", times, low=0, fix="1 runs it once")
        function = self.compiled.library[_repeated(self.compiled.program)]
        function.restype = None
        function(ctypes.c_int64(times), *(ctypes.c_void_p(s.ctypes.data) for s in self.storage.values()))

    def outputs(self) -> dict[str, np.ndarray]:
        """The outputs as they are now."""
        program = self.compiled.program
        return {name: np.array(_view(program.buffer(name), self.storage[name]), order="C") for name in program.outputs}


def compile_nest(
    program: Program, *, flags: Sequence[str] = ("-O1",), volatile: bool = False, restrict: bool = False
) -> Compiled:
    """Compile a program with this machine's C compiler.

    Nothing is added to `flags`; `native.native_flags()` asks for the fastest code. For floats equal to those of `run`
    to the last bit, add "-ffp-contract=off" where a*b + c may become one operation (-march=native, and ARM). Parallel
    loops use OpenMP where the compiler has it; otherwise they are serial. `volatile` and `restrict` as in `to_c`.

    Raises:
        NoCompiler: there is no C compiler.
        ValueError: the program cannot be written in C (see `to_c`), or one of its subscripts leaves its array.

    >>> from mini_lib.loops import matmul
    >>> two = compile_nest(matmul(m=1, n=1, k=2))
    >>> two(A=np.float32([[1, 2]]), B=np.float32([[3], [4]]), C=np.zeros((1, 1), np.float32))
    {'C': array([[11.]], dtype=float32)}
    """
    require_in_bounds(need_program("program", program))
    source = _hidden(to_c(program, volatile=volatile, restrict=restrict), program) + _repeat_text(program)
    openmp = _is_parallel(program) and native.find_compiler().openmp
    library = native.load(source, flags=flags, openmp=openmp)
    return Compiled(program, source, library)


def time_native(
    program: Program, *, flags: Sequence[str] = ("-O1",), repeats: int = 5, threads: int = 1, seed: int = 0
) -> Latency:
    """Seconds of one run of the compiled program, measured `repeats` times after a warm-up.

    The arguments are random (floats in [-1, 1)) and stay in place from run to run. A program that
    takes less than a millisecond is repeated in C, and the time divided.

    Raises:
        NoCompiler: there is no C compiler.
        TypeError: a count is not a whole number.
        ValueError: `repeats` or `threads` is below 1, or the program cannot be written in C.
    """
    repeats = whole("repeats", repeats, low=1, fix="use 5")
    threads = whole("threads", threads, low=1, high=MOST_THREADS, fix="use 1, or as many as there are cores")
    compiled = compile_nest(program, flags=flags)
    compiled.use_threads(threads)
    prepared = compiled.prepare(**random_arguments(program, seed))
    _elapsed_s(prepared, 1)  # caches and clock warm up
    times = max(1, ceil(SHORTEST_RUN_S / max(_elapsed_s(prepared, 1), 1e-7)))
    return Latency(tuple(_elapsed_s(prepared, times) / times for _ in range(repeats)))


def _elapsed_s(prepared: Prepared, times: int) -> float:
    start_s = perf_counter()
    prepared.run(times)
    return perf_counter() - start_s


def _is_parallel(program: Program) -> bool:
    return any(loop.kind == "parallel" for loop in all_loops(program.body))


def _repeated(program: Program) -> str:
    return f"{function_name(program)}_times"


def _hidden(text: str, program: Program) -> str:
    """The text with its function made static: a nest may have the name of a function of the C library."""
    head = f"\nvoid {function_name(program)}("
    return text.replace(head, "\nstatic __attribute__((noinline)) " + head.lstrip(), 1)


def _repeat_text(program: Program) -> str:
    """A C function that calls the program's function several times; the barrier keeps the compiler from merging
    runs."""
    name = function_name(program)
    pointers = [f"{name}_a{at}" for at in range(len(program.arguments))]
    parameters = ", ".join([f"int64_t {name}_n", *(f"void *{pointer}" for pointer in pointers)])
    return (
        f"\nvoid {_repeated(program)}({parameters}) {{\n"
        f"    for (; {name}_n > 0; {name}_n--) {{\n"
        f"        {name}({', '.join(pointers)});\n"
        f'        __asm__ volatile("" ::: "memory");\n'
        f"    }}\n}}\n"
    )


def _store(buffer: Buffer, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Zeroed, aligned storage, with an array's elements placed by the strides."""
    room = np.zeros(buffer.stored_bytes + ALIGNMENT_BYTES, np.uint8)
    start = -room.ctypes.data % ALIGNMENT_BYTES
    storage = room[start : start + buffer.stored_bytes].view(NUMPY_DTYPES[buffer.dtype])
    if buffer.name in arrays:
        _view(buffer, storage)[...] = arrays[buffer.name]
    return storage


def _view(buffer: Buffer, storage: np.ndarray) -> np.ndarray:
    strides = tuple(stride * buffer.element_bytes for stride in buffer.strides)
    return np.lib.stride_tricks.as_strided(storage, buffer.shape, strides)
