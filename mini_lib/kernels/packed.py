"""packed.c bound: products of float vectors and images with matrices of few bits.

Activations are rounded to int8 (one scale per vector, or per image of a convolution): that is part of the result, and
the one way in which it differs from a product with the dequantized weights. With a largest magnitude of m in x, each
input moves by at most m / 254, and an output by at most m / 254 * sum |w| of its row.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib import native
from mini_lib.kernels.binding import compiled_function, need_layout, thread_count
from mini_lib.kernels.packed_matrix import PackedMatrix, need_packed
from mini_lib.kernels.places import Places
from mini_lib.require import of_type, one_of

TORCH = "torch"  # the path that needs no compiler

# Best first: the name, the files, and what the compiler defines where the processor has it (one of them is enough).
_SETS = {
    "vnni": (("packed_vnni.c", "packed.c"), ("__AVX512VNNI__", "__AVXVNNI__")),
    "avx2": (("packed_avx2.c", "packed.c"), ("__AVX2__",)),
    "neon": (("packed_neon.c", "packed.c"), ("__ARM_FEATURE_DOTPROD",)),
    "portable": (("packed.c",), ()),
    "plain": (("packed.c",), ()),
}
_FLOAT, _BYTE, _INT8 = (torch.float32,), torch.uint8, (torch.int8,)
_SCALE = {torch.float32: 24, torch.float16: 16, torch.bfloat16: 8}  # packed.c's name for each
_SMALLEST = 2.0**-100  # as in packed.c
_PIECE = 64  # scratch memory is cut into pieces that start on multiples of this many bytes


@cache
def instruction_sets() -> tuple[str, ...]:
    """Return the ways in which this machine can multiply packed matrices, best first.

    "vnni", "avx2" and "neon" are there where the processor has them; "portable" is C with vectors and no intrinsics,
    "plain" C without vectors; "torch" needs no compiler, and multiplies the unpacked codes. The answer is kept for the
    process.
    """
    try:
        native.find_compiler()
    except native.NoCompiler:
        return (TORCH,)
    here = [name for name, (_, macros) in _SETS.items() if not macros or any(map(native.has_instructions, macros))]
    return (*here, TORCH)


def packed_linear(matrix: PackedMatrix, x: Tensor, instructions: str | None = None) -> Tensor:
    """Return x Wᵀ + bias, float32 [n, rows], for x float32 [n, columns] rounded to int8, one scale per row of x.

    A row of x with NaN or infinity gives NaN. instructions: one of `instruction_sets()`, by default the best.

    Raises:
        TypeError: x does not hold float32.
        ValueError: x does not fit the matrix, or this machine does not have these instructions.

    >>> from mini_lib.kernels import pack_matrix
    >>> packed = pack_matrix(torch.tensor([[1, 2, 15]]), torch.tensor([[0.5]]), 8, bits=4)
    >>> packed_linear(packed, torch.tensor([[1.0, -127.0, 4.0]]))          # -3.5 * 1 + -3 * -127 + 3.5 * 4
    tensor([[391.5000]])
    """
    need_packed(matrix)
    count, _ = need_layout("x", x, _FLOAT, (None, matrix.columns))
    chosen = _chosen(instructions)
    if chosen == TORCH:
        return _in_torch(matrix, *_rounded(x))
    y = torch.empty(count, matrix.rows)
    scratch = torch.empty(_laid_out_bytes(matrix, count), dtype=_BYTE)
    arguments = _arguments(matrix)
    function = _function("linear", matrix.bits, matrix.scales.dtype, chosen)
    function(*arguments, count, x.data_ptr(), y.data_ptr(), scratch.data_ptr())
    return y


def bind_packed_linear(
    matrix: PackedMatrix, x: Tensor, y: Tensor, threads: int = 1, instructions: str | None = None
) -> Callable[[], None]:
    """Bind `packed_linear`: return a call without arguments that reads x and writes y, float32 [n, rows].

    threads: how many threads share the rows of the matrix; the result is the same bit for bit. Where the instructions
    are "torch", torch divides its work as always.

    Raises:
        TypeError, ValueError: as `packed_linear`; y does not fit; or threads is not a whole number of 1 or more.
        NoCompiler: there are two threads or more, and the compiler has no OpenMP.

    >>> from mini_lib.kernels import pack_matrix
    >>> packed = pack_matrix(torch.tensor([[1, 2, 15]]), torch.tensor([[0.5]]), 8, bits=4)
    >>> x, y = torch.tensor([[1.0, -127.0, 4.0]]), torch.empty(1, 1)
    >>> bind_packed_linear(packed, x, y)()
    >>> y                                                                  # -3.5 * 1 + -3 * -127 + 3.5 * 4
    tensor([[391.5000]])
    """
    need_packed(matrix)
    threads = thread_count(threads)
    count, _ = need_layout("x", x, _FLOAT, (None, matrix.columns))
    need_layout("y", y, _FLOAT, (count, matrix.rows))
    chosen = _chosen(instructions)
    if chosen == TORCH:
        return partial(_linear_in_torch, matrix, x, y)
    scratch = torch.empty(_laid_out_bytes(matrix, count), dtype=_BYTE)
    function = _function("linear", matrix.bits, matrix.scales.dtype, chosen, threads)
    arguments = (*_arguments(matrix), count, x.data_ptr(), y.data_ptr(), scratch.data_ptr())
    values = [kind(value) for kind, value in zip(function.argtypes, arguments)]
    kept = [
        part.detach() for part in (matrix.codes, matrix.scales, matrix.zeros, matrix.bias, x, y) if part is not None
    ]

    def call(_kept_alive: object = (kept, scratch)) -> None:
        function(*values)

    return call


def packed_integers(matrix: PackedMatrix, x: Tensor, instructions: str | None = None) -> Tensor:
    """Return (codes - zeros) xᵀ without any rounding: int8 [n, columns] to int32 [n, rows].

    With codes of 8 bits this is int8 x int8 to int32, the product of integer inference. Scales and bias are left out.

    Raises:
        TypeError: x does not hold int8.
        ValueError: x does not fit the matrix, it has more than one group, or this machine lacks these instructions.

    >>> from mini_lib.kernels import pack_matrix
    >>> packed = pack_matrix(torch.tensor([[-128, 127]]) + 128, torch.ones(1, 1), 128, bits=8)
    >>> packed_integers(packed, torch.tensor([[-128, 2]], dtype=torch.int8))                 # 128 * 128 + 254
    tensor([[16638]], dtype=torch.int32)
    """
    need_packed(matrix)
    count, _ = need_layout("x", x, _INT8, (None, matrix.columns))
    if matrix.groups != 1:
        raise ValueError(f"sums of integers need one group, got {matrix.groups}; each group has a scale of its own")
    chosen = _chosen(instructions)
    if chosen == TORCH:
        return (x.double() @ matrix.steps().flatten(1).double().T).int()
    y = torch.empty(count, matrix.rows, dtype=torch.int32)
    scratch = torch.empty(_laid_out_bytes(matrix, count), dtype=_BYTE)
    arguments = _arguments(matrix)
    function = _function("integers", matrix.bits, matrix.scales.dtype, chosen)
    function(*arguments, count, x.data_ptr(), y.data_ptr(), scratch.data_ptr())
    return y


def packed_convolution(matrix: PackedMatrix, x: Tensor, places: Places, instructions: str | None = None) -> Tensor:
    """Return the convolution of images x, float32 [n, channels, height, width], rounded to int8, one scale per image.

    matrix: one row per output channel, its columns in the order channel, row, column of the kernel. An image with NaN
    or infinity gives NaN.

    Raises:
        TypeError: x does not hold float32.
        ValueError: x has other channels than the matrix, or is smaller than the kernel; or this machine does not have
            these instructions.

    >>> from mini_lib.kernels import pack_matrix
    >>> packed = pack_matrix(torch.tensor([[1, 2, 0, 0]]), torch.tensor([[1.0]]), 0, bits=2)
    >>> packed_convolution(packed, torch.tensor([[[[0.0, 127.0, 3.0], [0.0, 0.0, 0.0]]]]), Places((2, 2)))
    tensor([[[[254., 133.]]]])
    """
    need_packed(matrix)
    of_type("places", places, Places, fix="Places((3, 3)) is a kernel of 3 x 3")
    count, channels, height, width = need_layout("x", x, _FLOAT, (None,) * 4)
    kh, kw = places.kernel
    if channels * kh * kw != matrix.columns:
        raise ValueError(
            f"x must have {matrix.columns / (kh * kw):g} channels, got {channels}; give the images that the matrix was "
            "packed for"
        )
    if not height * width:
        raise ValueError(f"images must have a pixel or more, got {height} x {width}; leave them out")
    high, wide = places.output(height, width)
    if min(high, wide) < 1:
        raise ValueError(
            f"a kernel of {kh} x {kw} does not fit an image of {height} x {width} with its border; widen the border"
        )
    chosen = _chosen(instructions)
    if chosen == TORCH:
        return _convolution_in_torch(matrix, x, places)
    (top, bottom), (left, right) = places.border
    y = torch.empty(count, matrix.rows, high, wide)
    bordered = top + height + bottom, left + width + right
    pixels = height * width + bordered[0] * bordered[1]
    scratch_bytes = _laid_out_bytes(matrix, high * wide) + channels * pixels + 4 * _PIECE
    scratch = torch.empty(scratch_bytes, dtype=_BYTE)
    what = _what((channels, height, width, kh, kw, *places.stride, *places.dilation, top, left, high, wide, *bordered))
    arguments = _arguments(matrix)
    function = _function("convolution", matrix.bits, matrix.scales.dtype, chosen)
    function(*arguments, count, x.data_ptr(), y.data_ptr(), scratch.data_ptr(), what)
    return y


# --- between Python and C ------------------------------------------------------------------------------------------


def _chosen(instructions: str | None) -> str:
    here = instruction_sets()
    if instructions is None:
        return here[0]
    return one_of("instructions", instructions, here, fix="the others are not in this processor, or need a compiler")


@cache
def _function(name: str, bits: int, scales: torch.dtype, instructions: str, threads: int = 1) -> Callable[..., None]:
    plain = {"PLAIN": 1} if instructions == "plain" else {}
    settings = {"threads": threads, "BITS": bits, "SCALE": _SCALE[scales], **plain}
    function = compiled_function(_SETS[instructions][0], name, **settings)
    number, address = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [*[number] * 5, *[address] * 4, number, *[address] * (4 if name == "convolution" else 3)]
    return function


@cache
def _what(sides: tuple[int, ...]) -> ctypes.Array:
    return (ctypes.c_int64 * len(sides))(*sides)


def _arguments(matrix: PackedMatrix) -> tuple[int | None, ...]:
    """The first arguments of each function: the matrix."""
    return (
        matrix.rows,
        matrix.groups,
        matrix.size,
        matrix.padded,
        1 if matrix.bits == 1 else matrix.constant_zero,
        *matrix.addresses(),
    )


def _laid_out_bytes(matrix: PackedMatrix, count: int) -> int:
    """Bytes of scratch memory, on pieces: `count` vectors of at most 16 bits, their totals and steps, one of int8."""
    return count * (2 * matrix.groups * matrix.padded + 4 * matrix.groups + 4) + matrix.columns + 4 * _PIECE


# --- the path without a compiler -----------------------------------------------------------------------------------


def _rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each row rounded to int8 (float64 [n, columns]), and its step [n, 1]."""
    top = x.abs().amax(dim=1, keepdim=True).clamp(min=_SMALLEST)
    codes = torch.round(x * (127 / top))
    return torch.where(top.isfinite(), codes, 0).double(), top / 127  # 0 times infinity is NaN


def _in_torch(matrix: PackedMatrix, x: Tensor, steps: Tensor) -> Tensor:
    """The same product from unpacked codes. The sums are whole numbers below 2**53, so float64 has them exactly."""
    _, scales, _ = matrix.unpacked()
    sums = torch.einsum("ngs,rgs->nrg", x.view(len(x), matrix.groups, matrix.size), matrix.steps().double())
    y = (sums * scales).sum(dim=-1).float() * steps
    return y if matrix.bias is None else y + matrix.bias


def _linear_in_torch(matrix: PackedMatrix, x: Tensor, y: Tensor) -> None:
    y.copy_(_in_torch(matrix, *_rounded(x)))


def _convolution_in_torch(matrix: PackedMatrix, x: Tensor, places: Places) -> Tensor:
    codes, steps = _rounded(x.flatten(1))
    (top, bottom), (left, right) = places.border
    codes = F.pad(codes.view(x.shape), (left, right, top, bottom))
    seen = F.unfold(codes, places.kernel, places.dilation, stride=places.stride).transpose(1, 2)
    high, wide = places.output(*x.shape[2:])
    y = _in_torch(matrix, seen.reshape(-1, matrix.columns), steps.repeat_interleave(high * wide, 0))
    return y.view(len(x), high * wide, matrix.rows).transpose(1, 2).reshape(len(x), matrix.rows, high, wide)
