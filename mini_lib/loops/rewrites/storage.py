"""Where the elements of a buffer are stored: layout and padding."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from mini_lib.loops.ir import Program
from mini_lib.loops.rewrites.tree import replace_buffer
from mini_lib.require import of_type, shown, whole


def layout(nest: Program, buffer: str, order: tuple[int, ...]) -> Program:
    """Store the axes of a buffer in another order; elements along the last one listed are next to each other.

    `layout("B", (1, 0))` stores a matrix by columns. Subscripts stay as they are, only addresses change, so this is
    always legal. Padding is dropped. TVM: `transform_layout`. Halide: `reorder_storage`.

    Raises:
        ValueError: the buffer is unknown, or `order` does not name each axis once.

    >>> from mini_lib.loops import matmul
    >>> matmul(4, 8, 2).layout("B", (1, 0)).buffer("B").strides
    (1, 2)
    """
    old = nest.buffer(buffer)
    axes = range(len(old.shape))
    order = tuple(
        whole("layout: an axis", axis, fix=f"{buffer} has axes 0 to {axes[-1]}")
        for axis in of_type("layout: order", order, Sequence, fix="pass such as (1, 0)")
    )
    if sorted(order) != list(axes):
        raise ValueError(
            f"layout: order must name each axis of {buffer} once, from 0 to {axes[-1]}; got {shown(order)}"
        )
    strides = [0] * len(old.shape)
    for place, axis in enumerate(order):
        strides[axis] = prod(old.shape[one] for one in order[place + 1 :])
    return replace_buffer(nest, replace(old, strides=tuple(strides)))


def pad(nest: Program, buffer: str, axis: int, elements: int) -> Program:
    """Leave room after each run of elements along an axis, so that the next run starts further on.

    Rows of 512 floats start 2048 bytes apart: walking down a column touches few sets of a cache, again and again. With
    8 elements of padding each row starts in another set. Always legal. TVM: `storage_align`. Halide: `set_stride`.

    Args:
        axis: the axis along which each run gets longer; the strides of all axes with larger strides grow.
        elements: how many elements to add to each run; 1 or more.

    Raises:
        TypeError: the number of elements is not a whole number.
        ValueError: the buffer or the axis is unknown, or there is fewer than one element.

    >>> from mini_lib.loops import transpose
    >>> transpose(512, 512).pad("A", axis=1, elements=8).buffer("A").strides
    (520, 1)
    """
    old = nest.buffer(buffer)
    fix = f"{buffer} has axes 0 to {len(old.shape) - 1}"
    axis = whole("pad: axis", axis, low=0, high=len(old.shape) - 1, fix=fix)
    elements = whole("pad: elements", elements, low=1, fix="16 floats are a cache line")
    gap = old.strides[axis] * elements
    fastest_first = sorted(range(len(old.shape)), key=lambda one: old.strides[one])
    strides, added = list(old.strides), 0
    behind = fastest_first[fastest_first.index(axis) + 1 :]
    for one, before in zip(behind, fastest_first[fastest_first.index(axis) :], strict=False):
        added = gap if before == axis else added * old.shape[before]
        strides[one] += added
    return replace_buffer(nest, replace(old, strides=tuple(strides)))
