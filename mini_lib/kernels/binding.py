"""From a function in a C file of this folder to a call in Python with its arguments in place."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection, Sequence
from functools import cache, lru_cache
from importlib.resources import files

import torch
from torch import Tensor

from mini_lib import native
from mini_lib.require import of_type, one_of, shown, whole


def bound(
    file: str,
    function: str,
    arguments: Sequence[int | Tensor],
    *,
    flags: Sequence[str] | None = None,
    threads: int = 1,
    **defines: object,
) -> Callable[[], None]:
    """Compile one function of a C file, and return a call of it that takes no arguments and returns nothing.

    file: its name in this folder, such as "sparse.c". The function's name in capitals and `defines` are defined in it.
    flags: for the compiler; by default for the fastest code on this machine.
    arguments: an int is passed as int64_t, a tensor as the address of its first element; the call keeps tensors alive.
    threads: two or more ask for OpenMP, and are defined as THREADS.
    The call takes about a microsecond more than the kernel, and sees later changes to the tensors.

    Raises:
        TypeError, NoCompiler, ValueError: as `native.load`; there is no such file or function, an argument is neither a
            whole number nor a tensor that lies in one piece on the CPU, or threads are not 1 to 256.

    >>> y = torch.empty(2)
    >>> call = bound("sparse.c", "dense", (2, 1, torch.tensor([3.0, 4.0]), torch.tensor([10.0]), y))
    >>> call()
    >>> y
    tensor([30., 40.])
    """
    _need_identifier(function)
    of_type("arguments", arguments, (list, tuple), fix="give those of the function in C")
    arguments = [_passed(number, one) for number, one in enumerate(arguments)]
    compiled = compiled_function((file,), function, flags=flags, threads=threads, **{function.upper(): 1}, **defines)
    values = [
        ctypes.c_void_p(argument.data_ptr()) if isinstance(argument, Tensor) else ctypes.c_int64(argument)
        for argument in arguments
    ]

    def call(_kept_alive: object = arguments) -> None:
        compiled(*values)

    return call


def compiled_function(
    names: Sequence[str], function: str, *, flags: Sequence[str] | None = None, threads: int = 1, **defines: object
) -> Callable[..., None]:
    """Compile files of this folder as one text, and return one of its functions, which itself returns nothing.

    It takes what ctypes takes: `ctypes.c_int64(3)`, `ctypes.c_void_p(tensor.data_ptr())`. The caller keeps the tensors
    alive; `bound` does this by itself.

    Raises:
        TypeError, NoCompiler, ValueError: as `native.load`.
    """
    of_type("names", names, (list, tuple), fix="give files of this folder")
    _need_identifier(function)
    threads = thread_count(threads)
    for name, value in defines.items():
        of_type(name, value, (int, str), fix="it is defined in C as a number or a word")
    for name in names:
        one_of("file", name, _sources(), fix="it is a C file of mini_lib/kernels")
    words = native.native_flags() if flags is None else native.flag_words(flags)
    if threads > 1:
        defines["THREADS"] = threads
    settings = [f"-D{name}={value}" for name, value in defines.items()]
    return _compiled(tuple(names), function, (*words, *settings), threads > 1, native.find_compiler(), os.getpid())


@lru_cache(maxsize=512)
def _compiled(
    names: tuple[str, ...], function: str, flags: tuple[str, ...], openmp: bool, *_compiler_and_process: object
) -> Callable[..., None]:
    """A plan binds hundreds of calls of the same few functions: each is hashed and looked for once."""
    library = native.load("".join(map(_text, names)), flags=flags, openmp=openmp)
    compiled = getattr(library, function, None)
    if compiled is None:
        raise ValueError(
            f"{' and '.join(names)} define no function {function!r} in this way; look for its defines there"
        )
    compiled.restype = None
    return compiled


def need_layout(
    name: str, tensor: Tensor, dtypes: Collection[torch.dtype], shape: Sequence[int | None]
) -> tuple[int, ...]:
    """Check that a tensor is as the C code expects (dtype, shape, contiguous on the CPU), and return its shape.

    shape: None stands for any number.

    Raises:
        TypeError: it is not a tensor of one of these dtypes.
        ValueError: its shape differs, or it is not contiguous on the CPU.

    >>> need_layout("positions", torch.zeros(3, dtype=torch.uint8), (torch.uint8,), (4,))
    Traceback (most recent call last):
    ValueError: positions must have shape [4], got [3]; reshape it
    """
    for what, given in {"dtypes": dtypes, "shape": shape}.items():
        of_type(what, given, (list, tuple, dict), fix="give what the C code expects")
    if not isinstance(tensor, Tensor) or tensor.dtype not in dtypes:
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be {' or '.join(str(dtype) for dtype in dtypes)}, got {got}; convert it")
    _need_one_piece(name, tensor)
    if tensor.dim() != len(shape) or any(want not in (None, got) for want, got in zip(shape, tensor.shape)):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"{name} must have shape [{wanted}], got {list(tensor.shape)}; reshape it")
    return tuple(tensor.shape)


def thread_count(threads: object) -> int:
    """Return a number of threads that OpenMP can start: with a million of them it would end the process.

    Raises:
        TypeError, ValueError: it is not a whole number from 1 to 256.
    """
    return whole("threads", threads, low=1, high=256, fix="1 leaves the loops serial")


def _need_identifier(function: object) -> None:
    of_type("function", function, str, fix="it is the name of a function in the file")
    if not function.isidentifier():
        raise ValueError(f"function must be a name in C, got {shown(function)}; look it up in the file")


def _passed(number: int, argument: object) -> int | Tensor:
    """An argument as C gets it."""
    name = f"argument {number}"
    if not isinstance(argument, Tensor):
        return whole(name, argument, fix="a tensor is passed by its address")
    _need_one_piece(name, argument)
    # An alias shares the memory and keeps it alive, whatever becomes of the tensor itself.
    return argument.detach()


def _need_one_piece(name: str, tensor: Tensor) -> None:
    """Refuse a tensor whose memory does not hold its numbers one after the other.

    One example is a view whose sign torch has yet to flip (the imaginary part of a conjugate).
    """
    dense = tensor.layout is torch.strided and not tensor.is_nested and tensor.device.type == "cpu"
    if not dense or not tensor.is_contiguous() or tensor.is_neg() or tensor.is_conj():
        raise ValueError(f"{name} must be contiguous on the CPU, and dense; pass {name}.cpu().contiguous(), or a clone")


@cache
def _sources() -> tuple[str, ...]:
    return tuple(sorted(one.name for one in files("mini_lib.kernels").iterdir() if one.name.endswith(".c")))


@cache
def _text(file: str) -> str:
    return (files("mini_lib.kernels") / file).read_text(encoding="utf-8")
