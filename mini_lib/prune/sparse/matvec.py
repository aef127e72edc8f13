"""y = W x for a matrix in any of the formats, through kernels in C: one thread, fp32.

Weights that a format leaves out are not multiplied. So where x holds a NaN or an infinity, a dense product gives NaN in
every row (0 * NaN = NaN), and a sparse one only in the rows that have a weight there. A zero that a format stores,
within a block or in a group of 2:4 that is not full, is multiplied like any other value. Both keep denormal numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mini_lib.kernels import bind_bitmap, bind_blocks, bind_csr, bind_dense, bind_n_of_m
from mini_lib.prune.sparse.bitmap import Bitmap
from mini_lib.prune.sparse.block_csr import BlockCSR
from mini_lib.prune.sparse.csr import CSR
from mini_lib.prune.sparse.matrix import need_matrix
from mini_lib.prune.sparse.n_of_m import NofM

Matrix = Tensor | Bitmap | CSR | BlockCSR | NofM


def matvec(matrix: Matrix, x: Tensor, *, flags: Sequence[str] | None = None) -> Tensor:
    """Return W x (fp32 [rows]) for a dense or sparse matrix W [rows, columns] and a vector x (fp32 [columns]).

    flags: how the kernel is compiled; by default for the fastest code on this machine.

    The result differs from the exact one by at most columns * 2**-23 * sum |w| |x| per row, whatever the order of the
    additions (N. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, 2002, section 3.1).

    Raises:
        TypeError: `matrix` is in none of the formats or its values are not fp32, or `x` is not an fp32 tensor.
        ValueError: `x` is not a vector with one number per column of the matrix, or the parts of the matrix no longer
            fit together.
        NoCompiler: there is no C compiler.

    >>> from mini_lib.prune.sparse import to_csr
    >>> weight = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    >>> matvec(to_csr(weight), torch.tensor([1.0, 10.0, 100.0]))         # 2 * 10; 1 + 3 * 100
    tensor([ 20., 301.])
    """
    return bind(matrix, x, flags=flags)()


def bind(matrix: Matrix, x: Tensor, *, flags: Sequence[str] | None = None) -> Callable[[], Tensor]:
    """Return a call that computes W x into the same tensor each time, with all preparation done.

    This call is what gets timed: it costs the kernel plus about a microsecond. It sees later changes of x.

    Raises:
        TypeError, ValueError, NoCompiler: as `matvec`.

    >>> x = torch.ones(2)
    >>> product = bind(torch.tensor([[3.0, 4.0]]), x)
    >>> first = product().item()
    >>> x[0] = 10.0
    >>> first, product().item()
    (7.0, 34.0)
    """
    if isinstance(matrix, Tensor):
        matrix = need_matrix(matrix)
    elif not isinstance(matrix, (Bitmap, CSR, BlockCSR, NofM)):
        raise TypeError(f"matrix must be a tensor, Bitmap, CSR, BlockCSR or NofM, got {type(matrix).__name__}")
    else:
        matrix = replace(matrix)  # check its parts once more: C follows indexes that may have changed since
    values = matrix if isinstance(matrix, Tensor) else matrix.values
    if values.dtype != torch.float32:
        raise TypeError(f"the kernels compute in float32, got values of {values.dtype}; store weight.float()")
    rows, columns = matrix.shape
    _need_vector(x, columns)
    # Blocks that hang over the edge read zeros after the end of x, and write after the last row of y.
    high, wide = _whole_blocks(matrix)
    padded = x if wide == columns else torch.zeros(wide)
    buffer = torch.empty(high)
    result = buffer[:rows]
    call = _bind(matrix, padded, buffer, flags)

    def product() -> Tensor:
        if padded is not x:
            padded[:columns] = x
        call()
        return result

    return product


def _bind(matrix: Matrix, x: Tensor, y: Tensor, flags: Sequence[str] | None) -> Callable[[], None]:
    """Pass the tensors of a format to its kernel."""
    match matrix:
        case Bitmap():
            return bind_bitmap(matrix.bits, matrix.values, x, y, flags=flags)
        case CSR():
            return bind_csr(matrix.row_pointers, matrix.columns, matrix.values, x, y, flags=flags)
        case BlockCSR():
            return bind_blocks(matrix.row_pointers, matrix.block_columns, matrix.values, x, y, flags=flags)
        case NofM():
            return bind_n_of_m(matrix.positions, matrix.values, matrix.m, x, y, flags=flags)
    return bind_dense(matrix, x, y, flags=flags)


def _whole_blocks(matrix: Matrix) -> tuple[int, int]:
    if isinstance(matrix, BlockCSR):
        return tuple(count * side for count, side in zip(matrix.block_counts, matrix.block))
    return tuple(matrix.shape)


def _need_vector(x: Tensor, columns: int) -> None:
    if not isinstance(x, Tensor) or x.dtype != torch.float32:
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x must be a float32 tensor, got {got}; convert it with .float()")
    if x.shape != (columns,):
        raise ValueError(
            f"x must be a vector of {columns} numbers, got shape {list(x.shape)}; the matrix has as many columns"
        )
    if not x.is_contiguous() or x.device.type != "cpu" or x.requires_grad:
        raise ValueError("x must be contiguous, on the CPU and without gradient; pass x.detach().cpu().contiguous()")
