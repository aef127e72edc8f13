"""warp.c called: each pixel of a picture is fetched, whole, from the place where an affine map takes it.

Places are computed in whole multiples of 1/65536 of a pixel, as in PIL (Geometry.c, affine_fixed): the same pixels.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from mini_lib import native
from mini_lib.kernels.binding import compiled_function, need_layout
from mini_lib.require import whole
from mini_lib.tensor_checks import need_tensor


def warp_nearest(pictures: Tensor, matrix: Tensor, fill: int) -> Tensor:
    """Return pictures whose pixel (x, y) is the one at (a x + b y + c, d x + e y + f) of its picture, else `fill`.

    pictures: uint8 [N, channels, height, width], height and width up to 4096; matrix: float64 [6, N], a to f of each
    picture, of which a, b, d and e lie in [-2, 2] and c and f in [-8192, 8192]: places then fit into 32 bits. (0, 0) is
    the upper left corner of the first pixel, whose middle is (0.5, 0.5). Without a C compiler torch does the same, in
    more passes.

    Raises:
        TypeError: the pictures are not uint8, the matrix not float64.
        ValueError: a shape differs, a side is longer than 4096, or a number is out of range.

    >>> one_to_the_right = torch.tensor([[1.0], [0], [-1], [0], [1], [0]], dtype=torch.float64)
    >>> warp_nearest(torch.tensor([7, 8, 9], dtype=torch.uint8).view(1, 1, 1, 3), one_to_the_right, 0).flatten()
    tensor([0, 7, 8], dtype=torch.uint8)
    """
    for name, tensor in {"pictures": pictures, "matrix": matrix}.items():
        need_tensor(name, tensor, floating=False, empty=True, fix="see the shapes above")
    pictures, matrix = pictures.contiguous(), matrix.contiguous()
    count, channels, height, width = need_layout("pictures", pictures, (torch.uint8,), (None,) * 4)
    need_layout("matrix", matrix, (torch.float64,), (6, count))
    if max(height, width) > 4096:
        raise ValueError(f"a side of a picture must be 4096 or less, got {max(height, width)}; scale it down first")
    fill = whole("fill", fill, low=0, high=255, fix="0 is black")
    if not (matrix.abs() <= matrix.new_tensor([2, 2, 8192, 2, 2, 8192]).unsqueeze(1)).all():
        raise ValueError(
            "a, b, d and e of the matrix must lie in [-2, 2], c and f in [-8192, 8192], got up to "
            f"{matrix.abs().amax(dim=1).tolist()}; places must fit into 32 bits"
        )
    call = _compiled("warp")
    if call is None:
        return _warped_by_torch(pictures, matrix, fill)
    places, result = torch.empty(width, dtype=torch.int32), torch.empty_like(pictures)
    numbers = map(ctypes.c_int64, (count, channels, height, width, fill))
    call(*numbers, *(ctypes.c_void_p(one.data_ptr()) for one in (pictures, matrix, places, result)))
    return result


def mirrored(pictures: Tensor) -> Tensor:
    """Return pictures, uint8 [N, channels, height, width], with left and right exchanged: `flip(3)`, but faster.

    Raises:
        TypeError: the pictures are not uint8.
        ValueError: they have another shape.

    >>> mirrored(torch.tensor([7, 8, 9], dtype=torch.uint8).view(1, 1, 1, 3)).flatten()
    tensor([9, 8, 7], dtype=torch.uint8)
    """
    need_tensor("pictures", pictures, floating=False, empty=True, fix="give uint8 [N, channels, height, width]")
    pictures = pictures.contiguous()
    count, channels, height, width = need_layout("pictures", pictures, (torch.uint8,), (None,) * 4)
    call = _compiled("mirror")
    if call is None:
        return pictures.flip(3)
    result = torch.empty_like(pictures)
    numbers = map(ctypes.c_int64, (count * channels * height, width))
    call(*numbers, *(ctypes.c_void_p(one.data_ptr()) for one in (pictures, result)))
    return result


def _warped_by_torch(pictures: Tensor, matrix: Tensor, fill: int) -> Tensor:
    """Do the same with a border of `fill`, one pixel wide, round each picture: what lies further out is moved there."""
    count, channels, height, width = pictures.shape
    a, b, c, d, e, f = matrix
    starts = torch.stack([a, b, c + 0.5 * a + 0.5 * b, d, e, f + 0.5 * d + 0.5 * e])
    a, b, c, d, e, f = (starts * 65536 + 0.5).floor().to(torch.int32).view(6, count, 1, 1)
    x, y = torch.arange(width, dtype=torch.int32), torch.arange(height, dtype=torch.int32).unsqueeze(1)
    column = (x * a + c + y * b).bitwise_right_shift_(16).clamp_(-1, width).add_(1)
    row = (x * d + f + y * e).bitwise_right_shift_(16).clamp_(-1, height).add_(1)
    index = torch.add(column, row, alpha=width + 2).long().view(count, 1, height * width)
    framed = pictures.new_full((count, channels, height + 2, width + 2), fill)
    framed[:, :, 1:-1, 1:-1] = pictures
    return framed.flatten(2).gather(2, index.expand(-1, channels, -1)).view(pictures.shape)


@cache
def _compiled(function: str):
    """Return this function of warp.c, or None where there is no compiler."""
    try:
        native.find_compiler()
    except native.NoCompiler:
        return None
    return compiled_function(("warp.c",), function)
