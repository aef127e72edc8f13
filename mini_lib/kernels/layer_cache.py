"""Keys and values of one layer for the tokens so far, in 32, 8 or 4 bits, as decoder.c reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib.kernels.binding import need_layout
from mini_lib.require import checked, one_of, whole
from mini_lib.tensor_checks import need_tensor

CACHE_BITS = (32, 8, 4)

_FLOAT, _HALF, _BYTE = (torch.float32,), (torch.float16,), (torch.uint8,)


@dataclass(frozen=True, eq=False)
class LayerCache:
    """Keys and values of one layer, with room for `room` tokens.

    32 bits: keys and values are float32 [kv_heads, room, head_dim], and the grids None.
    8 and 4 bits: they are uint8 [kv_heads, room, head_dim · bits / 8]; byte i of 4-bit codes holds code i in its low
    half and code i + head_dim / 2 in its high half. The grids, float16 [kv_heads, groups, 2, room], hold a step and a
    lowest value for each `group_size` numbers of a token: value = low + step · code.

    Raises:
        TypeError, ValueError: the parts do not fit together.
    """

    bits: int
    keys: Tensor
    values: Tensor
    key_grid: Tensor | None = None
    value_grid: Tensor | None = None
    group_size: int = 32

    def __post_init__(self) -> None:
        checked(self, "bits", _cache_bits)
        checked(self, "group_size", whole, low=1, fix="32 numbers share a step and a lowest value")
        shape = need_layout("keys", self.keys, _FLOAT if self.bits == 32 else _BYTE, (None,) * 3)
        need_layout("values", self.values, (self.keys.dtype,), shape)
        _check_sizes(self.head_dim, self.bits, self.group_size)
        for name, grid in {"key_grid": self.key_grid, "value_grid": self.value_grid}.items():
            if self.bits != 32:
                need_layout(name, grid, _HALF, (shape[0], self.head_dim // self.group_size, 2, shape[1]))

    @classmethod
    def empty(cls, kv_heads: int, room: int, head_dim: int, bits: int = 32, group_size: int = 32) -> LayerCache:
        """Return a cache of zeros.

        Raises:
            TypeError, ValueError: a size is not a whole number of 1 or more, or the sizes do not fit together.

        >>> LayerCache.empty(3, 2048, 64, bits=4).stored_bytes       # 2 · 3 · 2,048 · (64 / 2 + 2 groups · 2 · 2)
        491520
        """
        kv_heads, room = (
            whole(name, size, low=1, fix="a cache has a place or more")
            for name, size in {"kv_heads": kv_heads, "room": room}.items()
        )
        bits = _cache_bits("bits", bits)
        head_dim, group_size = _check_sizes(head_dim, bits, group_size)
        try:
            if bits == 32:
                return cls(bits, *(torch.zeros(kv_heads, room, head_dim) for _ in range(2)), group_size=group_size)
            cells = [torch.zeros(kv_heads, room, head_dim * bits // 8, dtype=torch.uint8) for _ in range(2)]
            grids = [torch.zeros(kv_heads, head_dim // group_size, 2, room, dtype=torch.float16) for _ in range(2)]
            return cls(bits, *cells, *grids, group_size)
        except RuntimeError as error:  # what torch raises where memory does not suffice
            raise ValueError(
                f"a cache of {kv_heads:,} x {room:,} x {head_dim:,} numbers does not fit into memory; make room smaller"
            ) from error

    @property
    def room(self) -> int:
        return self.keys.shape[1]

    @property
    def head_dim(self) -> int:
        return self.keys.shape[2] * (1 if self.bits == 32 else 8 // self.bits)

    @property
    def stored_bytes(self) -> int:
        return sum(part.nbytes for part in (self.keys, self.values, self.key_grid, self.value_grid) if part is not None)

    def write(self, first: int, keys: Tensor, values: Tensor) -> None:
        """Put keys (rotated) and values of tokens, float32 [kv_heads, n, head_dim], at the places from `first` on.

        Raises:
            TypeError, ValueError: as `need_layout`, there is no room for them, or the cache has 8 or 4 bits and a
                number is NaN, infinite or beyond what float16 holds.

        >>> cache = LayerCache.empty(1, 2, 4, bits=4, group_size=4)
        >>> cache.write(1, torch.tensor([[[0.0, 1, 2, 15]]]), torch.tensor([[[7.0, 7, 7, 7]]]))
        >>> cache.keys[0, 1]                                         # 0 + 16 · 2, 1 + 16 · 15
        tensor([ 32, 241], dtype=torch.uint8)
        >>> cache.read(2)[1][0]
        tensor([[0., 0., 0., 0.],
                [7., 7., 7., 7.]])
        """
        for name, x in {"keys": keys, "values": values}.items():
            need_tensor(name, x, dims=3, empty=True, fix="give [kv_heads, tokens, head_dim] in float32")
            need_layout(name, x.contiguous(), _FLOAT, (len(self.keys), keys.shape[1], self.head_dim))
        last = self.room - keys.shape[1]
        first = whole("first", first, low=0, high=last, fix=f"the cache has room for {self.room} tokens")
        here = slice(first, first + keys.shape[1])
        if self.bits == 32:
            self.keys[:, here], self.values[:, here] = keys.detach(), values.detach()
            return
        self.keys[:, here], self.key_grid[..., here] = _quantized(keys.detach(), self.bits, self.group_size)
        self.values[:, here], self.value_grid[..., here] = _quantized(values.detach(), self.bits, self.group_size)

    def read(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the keys and values of the first `count` tokens, float32 [kv_heads, count, head_dim].

        Raises:
            TypeError, ValueError: count is not a whole number from 0 to the room.
        """
        count = whole("count", count, low=0, high=self.room, fix=f"the cache has room for {self.room} tokens")
        if self.bits == 32:
            return self.keys[:, :count], self.values[:, :count]
        pairs = ((self.keys, self.key_grid), (self.values, self.value_grid))
        return tuple(_dequantized(cells[:, :count], grid[..., :count], self.bits) for cells, grid in pairs)


def _cache_bits(name: str, bits: object) -> int:
    return one_of(name, whole(name, bits, fix="it is 32, 8 or 4"), CACHE_BITS, fix="other widths have no kernel")


def _check_sizes(head_dim: int, bits: int, group_size: int) -> tuple[int, int]:
    head_dim = whole("head_dim", head_dim, low=2, fix="rotary positions turn pairs of numbers")
    group_size = whole("group_size", group_size, low=1, fix="32 numbers share a step and a lowest value")
    if head_dim % 2:
        raise ValueError(f"head_dim must be even, got {head_dim}; rotary positions turn pairs of numbers")
    if bits != 32 and (head_dim % group_size or bits * group_size % 8):
        raise ValueError(
            f"group_size must divide head_dim ({head_dim}) and fill whole bytes at {bits} bits, got {group_size}; "
            "use a divisor such as 32"
        )
    return head_dim, group_size


def _quantized(x: Tensor, bits: int, group_size: int) -> tuple[Tensor, Tensor]:
    """Cells uint8 [heads, n, head_dim · bits / 8], grid float16 [heads, groups, 2, n] of x [heads, n, head_dim].

    code = round((x - low) / step), kept from 0 to 2**bits - 1, where step and low have been rounded to float16 before.
    """
    x, top = x.unflatten(-1, (-1, group_size)), 2**bits - 1
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    grid = torch.cat([(high - low) / top, low], dim=-1).half()
    if not grid.isfinite().all():
        raise ValueError(
            f"a key or value is NaN, infinite or too large for the steps of a cache of {bits} bits, which are float16; "
            "find out where it comes from, or use 32 bits"
        )
    step, low = grid.float().split(1, dim=-1)
    steps = (x - low) / torch.where(step == 0, torch.inf, step)
    codes = torch.where(steps > 0, steps, 0).clamp(max=top).round().to(torch.uint8).flatten(-2)
    if bits == 4:
        first, second = codes.chunk(2, dim=-1)
        codes = first | second << 4
    return codes, grid.permute(0, 2, 3, 1)


def _dequantized(cells: Tensor, grid: Tensor, bits: int) -> Tensor:
    """The inverse of `_quantized`, up to its rounding: float32 [heads, n, head_dim]."""
    codes = torch.cat([cells & 15, cells >> 4], dim=-1) if bits == 4 else cells
    step, low = grid.float().permute(0, 3, 1, 2).split(1, dim=-1)
    return (low + step * codes.unflatten(-1, (grid.shape[1], -1))).flatten(-2)
