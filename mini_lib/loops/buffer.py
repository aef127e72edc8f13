"""Buffers: the arrays of a program, and where each element is stored."""

from dataclasses import dataclass
from math import prod

from mini_lib.loops.affine import Affine
from mini_lib.require import shown

ELEMENT_BYTES = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "u64": 8, "i8": 1}
SCOPES = ("memory", "scratch", "register")
ALIGNMENT_BYTES = 64  # where an array may start: a cache line, and the widest vector


@dataclass(frozen=True)
class Buffer:
    """An array: its logical shape, its element type, and where each element is stored.

    `strides` counts elements from one index to the next on each axis; the default is row-major without gaps.
    A larger stride is padding. `scope` is "memory" (an argument), "scratch" (local to the nest, in memory, so caches
    see it) or "register" (local, without an address). A local buffer is recreated in each iteration of the loop `home`.
    `temporary` marks an argument whose content is not read after the nest.

    Raises:
        ValueError: there is no axis, an axis has no elements, the dtype or scope is unknown, or the strides do not fit.

    >>> Buffer("A", (2, 3), "f32").strides
    (3, 1)
    >>> Buffer("A", (512, 512), "f32", strides=(520, 1)).stored_bytes
    1064960
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "f32"
    strides: tuple[int, ...] = ()
    scope: str = "memory"
    temporary: bool = False
    home: str = ""

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"buffer {self.name} has shape {self.shape}; every axis needs at least one element")
        if not isinstance(self.dtype, str) or self.dtype not in ELEMENT_BYTES:
            raise ValueError(f"buffer {self.name} has dtype {shown(self.dtype)}; use one of {', '.join(ELEMENT_BYTES)}")
        if self.scope not in SCOPES:
            raise ValueError(f"buffer {self.name} has scope {self.scope!r}; use one of {', '.join(SCOPES)}")
        if not self.strides:
            strides = tuple(prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))
            object.__setattr__(self, "strides", strides)
        if len(self.strides) != len(self.shape) or min(self.strides) < 1:
            raise ValueError(
                f"buffer {self.name} has {len(self.shape)} axes and strides {self.strides}; "
                "give one stride of 1 or more for each axis"
            )
        pairs = sorted((stride, size) for stride, size in zip(self.strides, self.shape, strict=True) if size > 1)
        reach = 1  # how many elements the faster axes take up
        for stride, size in pairs:
            if stride < reach:
                raise ValueError(
                    f"buffer {self.name} of shape {self.shape} with strides {self.strides} "
                    f"puts two elements in one place; an axis needs a stride of at least {reach}"
                )
            reach = stride * (size - 1) + reach
        if self.stored_bytes >= 2**63:
            raise ValueError(
                f"buffer {self.name} takes {shown(self.stored_bytes)} of bytes; 64 bits have no such address"
            )

    @property
    def element_bytes(self) -> int:
        """The bytes of one element."""
        return ELEMENT_BYTES[self.dtype]

    @property
    def stored_elements(self) -> int:
        """How many elements the storage spans, padding included (after the last row too)."""
        return max(stride * size for stride, size in zip(self.strides, self.shape, strict=True))

    @property
    def stored_bytes(self) -> int:
        """The bytes that the storage spans, padding included."""
        return self.stored_elements * self.element_bytes

    def offset(self, index: tuple[Affine, ...]) -> Affine:
        """An element's distance from the start in elements, as an affine expression of its subscripts."""
        total = Affine()
        for stride, subscript in zip(self.strides, index, strict=True):
            total += subscript * stride
        return total
