"""The geometry of a window that slides over an image: kernel, stride, padding, dilation, and the places it visits."""

from mini_lib.require import whole

Sides = int | tuple[int, int]
Padding = Sides | str | None


def at_least_one(name: str, value: object) -> int:
    """Return `value` if it is a possible number of channels or places.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is below 1.

    >>> at_least_one("groups", 4)
    4
    """
    return whole(name, value, low=1, fix="pass an int in that range")


def sides(name: str, value: object, low: int = 1) -> tuple[int, int]:
    """Return (along the rows, along the columns): one whole number is used for both.

    Raises:
        TypeError: it is neither a whole number nor two of them.
        ValueError: a number is below `low`, or there are not two.

    >>> sides("kernel", 3), sides("kernel", (3, 5))
    ((3, 3), (3, 5))
    """
    if not isinstance(value, (tuple, list)):
        value = (value, value)
    if len(value) != 2:
        raise ValueError(f"{name} must be a whole number or two of them (height, width), got {value!r}")
    rows, columns = (whole(name, one, low=low, fix="pass an int in that range") for one in value)
    return rows, columns


def window_padding(
    kernel: Sides, padding: Padding = None, dilation: Sides = 1, stride: Sides = 1
) -> tuple[int, int] | str:
    """Return the padding that nn.Conv2d is given: pixels (above and below, left and right), or "same" or "valid".

    None is half of the kernel's span, dilation * (kernel - 1) // 2: with stride 1 an odd kernel then keeps the size.

    Raises:
        TypeError, ValueError: an argument is not such a number, a word unknown to torch, or "same" with a stride.

    >>> window_padding(3), window_padding((3, 7), dilation=2), window_padding(3, padding=0)
    ((1, 1), (2, 6), (0, 0))
    """
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f'padding must be pixels, "same", "valid" or None (half of the kernel), got {padding!r}')
        if padding == "same" and (steps := sides("stride", stride)) != (1, 1):
            raise ValueError(f'padding "same" keeps the size, and stride {steps} does not; give the padding in pixels')
        return padding
    if padding is not None:
        return sides("padding", padding, low=0)
    spans = zip(sides("kernel", kernel), sides("dilation", dilation), strict=True)
    rows, columns = (step * (length - 1) // 2 for length, step in spans)
    return rows, columns


def output_size(
    size: Sides, kernel: Sides, *, stride: Sides = 1, padding: Padding = None, dilation: Sides = 1
) -> tuple[int, int]:
    """Return the (height, width) of a convolution's output for one image of `size` pixels.

    Each is floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1; padding as in `window_padding`.

    Raises:
        TypeError, ValueError: an argument is not such a number; the window is larger than the padded image; "same" with
            a stride.

    By hand: 28 pixels and one on either side are 30. A 3-wide window has 28 places there, and every second one makes
    14:

    >>> output_size(28, 3, stride=2)
    (14, 14)

    Source: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, sections 2.4 and 5.1.
    """
    size, kernel, stride = sides("size", size), sides("kernel", kernel), sides("stride", stride)
    dilation, pixels = sides("dilation", dilation), window_padding(kernel, padding, dilation, stride)
    if pixels == "same":
        return size
    if pixels == "valid":
        pixels = (0, 0)
    rows, columns = (_places(*axis) for axis in zip(size, kernel, stride, pixels, dilation, strict=True))
    return rows, columns


def _places(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Count the places of a window along one axis."""
    span, room = dilation * (kernel - 1) + 1, size + 2 * padding
    if span > room:
        raise ValueError(
            f"a window of {span} pixels (kernel {kernel}, dilation {dilation}) does not fit into {room} "
            f"({size} and padding {padding} on either side); use a larger image, more padding or a smaller kernel"
        )
    return (room - span) // stride + 1
