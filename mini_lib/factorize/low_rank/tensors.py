"""Plain tensor algebra: a tensor seen as a matrix, and a matrix applied along one of its axes.

A *mode* is an axis of a tensor. The methods of low rank work on matrices; so a tensor is unfolded into a matrix,
changed, and folded again. The decompositions (`tucker.py`, `canonical.py`, `tt.py`) are built from these few functions,
and all of them compute in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mini_lib.require import shown, whole
from mini_lib.tensor_checks import need_tensor


def unfold(tensor: Tensor, mode: int) -> Tensor:
    """Return the tensor as a matrix whose rows are the places along `mode`.

    A tensor [n0, n1, ..., nd] becomes [n_mode, product of the others]; the other modes keep their order, and the last
    of them runs fastest.

    Raises:
        TypeError: `tensor` is not a tensor, or the mode not a whole number.
        ValueError: `tensor` has no such mode.

    >>> tensor = torch.arange(8).reshape(2, 2, 2)
    >>> unfold(tensor, 0)
    tensor([[0, 1, 2, 3],
            [4, 5, 6, 7]])
    >>> unfold(tensor, 2)
    tensor([[0, 2, 4, 6],
            [1, 3, 5, 7]])

    Source: T. Kolda, B. Bader, "Tensor decompositions and applications", 2009, section 2.4 (there the first of the
    other modes runs fastest).
    """
    tensor = need_tensor("tensor", tensor, floating=False, fix="pass a weight")
    mode = _mode(mode, tensor.dim())
    return tensor.movedim(mode, 0).reshape(tensor.shape[mode], -1)


def refold(matrix: Tensor, mode: int, shape: Sequence[int]) -> Tensor:
    """Return the tensor of this shape whose unfolding along `mode` is `matrix`: the inverse of `unfold`.

    Raises:
        ValueError: there is no such mode, or the shape of the matrix is not that of such a tensor's unfolding.

    >>> tensor = torch.arange(12).reshape(2, 3, 2)
    >>> torch.equal(refold(unfold(tensor, 1), 1, (2, 3, 2)), tensor)
    True
    """
    matrix = need_tensor("matrix", matrix, floating=False, fix="pass an unfolding")
    shape = whole_numbers("shape", shape, fix="pass the tensor's shape")
    mode = _mode(mode, len(shape))
    others = [size for place, size in enumerate(shape) if place != mode]
    columns = torch.Size(others).numel()
    if tuple(matrix.shape) != (shape[mode], columns):
        raise ValueError(
            f"a tensor of shape {tuple(shape)} unfolds along mode {mode} into {shape[mode]} x {columns}, got a matrix "
            f"of shape {tuple(matrix.shape)}; pass the shape that the tensor should have"
        )
    return matrix.reshape(shape[mode], *others).movedim(0, mode)


def mode_product(tensor: Tensor, matrix: Tensor, mode: int) -> Tensor:
    """Return the tensor with `matrix` applied to every fibre along `mode`.

    `matrix` is [m, n_mode]; the mode's size becomes m, the others stay. In terms of matrices it is
    `unfold(result, mode) = matrix @ unfold(tensor, mode)`.

    Raises:
        ValueError: there is no such mode, or `matrix` does not have as many columns as the mode has places.

    >>> matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mode_product(matrix, torch.tensor([[1.0, 1.0]]), 0)          # along mode 0: the sum of the rows
    tensor([[4., 6.]])
    >>> mode_product(matrix, torch.tensor([[1.0, 1.0]]), 1)
    tensor([[3.],
            [7.]])

    Source: Kolda and Bader 2009, section 2.5.
    """
    tensor = need_tensor("tensor", tensor, floating=False, fix="pass a weight")
    matrix = need_tensor("matrix", matrix, floating=False, fix="pass [m, places along the mode]")
    mode = _mode(mode, tensor.dim())
    if matrix.dim() != 2 or matrix.shape[1] != tensor.shape[mode]:
        raise ValueError(
            f"a matrix for mode {mode} of a tensor of shape {tuple(tensor.shape)} needs {tensor.shape[mode]} columns, "
            f"got shape {tuple(matrix.shape)}; pass its transpose if the rows fit"
        )
    dtype = torch.promote_types(matrix.dtype, tensor.dtype)
    return torch.tensordot(matrix.to(dtype), tensor.to(dtype), dims=([1], [mode])).movedim(0, mode)


def relative_error(tensor: Tensor, approximation: Tensor) -> float:
    """Return the Frobenius norm of the difference relative to the tensor's, in float64; 0 for two tensors of zeros.

    Raises:
        TypeError: one is not a tensor of real numbers.
        ValueError: their shapes differ, or a value is infinite or not a number.

    >>> relative_error(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 3.0]))
    0.2
    """
    if double(tensor).shape != double(approximation).shape:
        raise ValueError(
            f"tensor has shape {list(tensor.shape)} and approximation {list(approximation.shape)}; compare two of one "
            "shape"
        )
    return relative_norm(torch.linalg.vector_norm(double(tensor) - double(approximation)), tensor)


def relative_norm(norm: Tensor, tensor: Tensor) -> float:
    """Return `norm` relative to the tensor's Frobenius norm; 0 for a tensor of zeros, of which nothing is lost.

    >>> relative_norm(torch.tensor(1.0), torch.tensor([3.0, 4.0]))
    0.2
    """
    size = torch.linalg.vector_norm(tensor.double()).item()
    return norm.item() / size if size else 0.0


def leading_vectors(matrix: Tensor, rank: int) -> Tensor:
    """Return the `rank` leading left singular vectors of a matrix [m, n], as columns [m, rank]; rank is at most m.

    Where the matrix has fewer columns than `rank`, directions orthogonal to all of them are added.

    >>> leading_vectors(torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 1.0]]), 1).abs()
    tensor([[0.],
            [1.],
            [0.]])
    """
    return torch.linalg.svd(matrix, full_matrices=rank > matrix.shape[1]).U[:, :rank]


def check_rank(rank: int, full: int, of: str, name: str = "rank") -> int:
    """Return `rank` if it is a whole number from 1 to `full`; `of` names the thing that has that full rank.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is out of range.

    >>> check_rank(8, 64, "a 64 x 128 weight")
    8
    """
    return whole(name, rank, low=1, high=full, fix=f"{full} is exact for {of}")


def double(tensor: Tensor) -> Tensor:
    """Return a tensor's values in float64 on the CPU, detached from any graph of gradients.

    Raises:
        TypeError: it is not a tensor of real numbers: an imaginary part would be dropped silently.
        ValueError: a value is infinite or not a number: no decomposition exists; or it has no values at all.

    >>> double(torch.tensor([1.0])).dtype
    torch.float64
    """
    tensor = need_tensor("tensor", tensor, floating=False, fix="pass a weight, such as layer.weight")
    values = tensor.detach().to("cpu", torch.float64)
    if not values.isfinite().all():
        raise ValueError(
            f"a tensor of shape {tuple(tensor.shape)} holds values that are infinite or not a number; "
            "a decomposition needs finite ones: look at the training that made them"
        )
    return values


def whole_numbers(name: str, values: Sequence[int], *, low: int = 1, fix: str) -> tuple[int, ...]:
    """Return several whole numbers as a tuple, such as sizes or ranks.

    Raises:
        TypeError: `values` is not a sequence, or holds something else.
        ValueError: one is below `low`.

    >>> whole_numbers("ranks", [2, 3], fix="one for each pair of neighbours")
    (2, 3)
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {shown(values)}; {fix}")
    return tuple(whole(f"each of {name}", value, low=low, fix=fix) for value in values)


def _mode(mode: int, modes: int) -> int:
    mode = whole("mode", mode, fix="modes count from 0")
    if not 0 <= mode < modes:
        raise ValueError(f"mode must be between 0 and {modes - 1} for a tensor of {modes} modes, got {mode}")
    return mode
