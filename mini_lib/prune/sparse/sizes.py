"""How many bytes zeros save: each format compared with the dense weight, layer by layer, and where each begins to pay.

With v bytes per value, d the density and rows * columns weights, the bytes per weight are

    dense     v
    bitmap    v*d + 1/8                        pays below d = 1 - 1/(8v)         fp32 .969, fp16 .938
    CSR       (v + 2)*d + 4/columns            pays below about d = v/(v + 2)    fp32 2/3,  fp16 1/2
    blocks    (v + 2/(r*c))*d + 4/(r*columns)  d the share of r x c blocks that are not all zero
    n:m       (v + bits/8)*n/m                 whatever the density

where CSR stores its columns in 2 bytes (up to 65,536 columns, else 4), and the one row pointer beyond the number of
rows is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from mini_lib.columns import aligned
from mini_lib.costs import stored_bytes
from mini_lib.prune.mask import Mask, apply_mask
from mini_lib.prune.scores import is_prunable, prunable_weights
from mini_lib.prune.sparse.bitmap import to_bitmap
from mini_lib.prune.sparse.block_csr import to_blocks
from mini_lib.prune.sparse.csr import to_csr
from mini_lib.prune.sparse.matrix import DoesNotFit, SparseMatrix, as_matrix, index_dtype, need_matrix
from mini_lib.prune.sparse.n_of_m import to_n_of_m
from mini_lib.prune.structure.blocks import two_sides
from mini_lib.require import callable_, of_type, whole
from mini_lib.surgery import Where

Encode = Callable[[Tensor], SparseMatrix]  # a matrix of weights -> how it is stored

FORMATS: Mapping[str, Encode] = {
    "bitmap": to_bitmap,
    "CSR": to_csr,
    "blocks 4x4": partial(to_blocks, block=(4, 4)),
    "2:4": partial(to_n_of_m, n=2, m=4),
}


def stored_formats(weight: Tensor, formats: Mapping[str, Encode] = FORMATS) -> dict[str, int]:
    """Return the bytes of a weight in dense form and in each format that can hold it.

    weight: a matrix, or a convolution's weight, which is stored as [out, in * kh * kw]. A format that cannot hold it
    (2:4, where there are more nonzeros in a group) is left out.

    Raises:
        TypeError: `weight` is not a tensor of fp32, fp16 or bf16.
        ValueError: `weight` has fewer than two axes, is empty, or holds NaN or infinity.

    4 x 8 weights, four of them in one 4 x 4 block. Dense 32 * 4; bitmap 32/8 + 4 * 4; CSR 5 * 4 + 4 * 2 + 4 * 4;
    one block, 2 * 4 + 2 + 16 * 4; 2:4 stores 16 values and 16 * 2 bits:

    >>> import torch
    >>> weight = torch.zeros(4, 8)
    >>> weight[:, 0] = 1.0
    >>> stored_formats(weight)
    {'dense': 128, 'bitmap': 20, 'CSR': 44, 'blocks 4x4': 74, '2:4': 68}
    """
    matrix = need_matrix(as_matrix(weight))
    of_type("formats", formats, Mapping, fix="leave it out for all of them")
    sizes = {"dense": matrix.nbytes}
    for name, encode in formats.items():
        callable_(f"formats[{name!r}]", encode, fix="pass to_csr, say")
        try:
            sizes[name] = _bytes_of(encode(matrix))
        except DoesNotFit:
            continue
    return sizes


def break_even_densities(weight: Tensor, block: tuple[int, int] = (4, 4)) -> dict[str, float]:
    """Return the density below which bitmap, CSR and blocks are smaller than the dense weight.

    Only the shape and the dtype of `weight` matter. The density of "blocks" is the share of blocks that are not all
    zero, of a weight that the blocks divide evenly. 2:4 has no such density: it takes the same bytes at every density.

    Raises:
        TypeError, ValueError: as `stored_formats`.

    For 300 x 784 weights in fp32: bitmap 1 - 1/32; CSR (4 - 4 * 301 / 235,200) / 6; blocks of 4 x 4, in 75 rows,
    (64 - 4 * 76 / 14,700) / 66:

    >>> import torch
    >>> break_even = break_even_densities(torch.zeros(300, 784))
    >>> {name: round(density, 4) for name, density in break_even.items()}
    {'bitmap': 0.9688, 'CSR': 0.6658, 'blocks': 0.9694}
    """
    matrix = need_matrix(as_matrix(weight))
    (rows, columns), value_bytes, (r, c) = matrix.shape, matrix.element_size(), two_sides(block)
    high, wide = -(-rows // r), -(-columns // c)
    pointer_bytes, block_pointer_bytes = 4 * (rows + 1), 4 * (high + 1)
    block_bytes = value_bytes * r * c
    return {
        "bitmap": 1 - 1 / (8 * value_bytes),
        "CSR": (value_bytes - pointer_bytes / matrix.numel()) / (value_bytes + index_dtype(columns).itemsize),
        "blocks": (block_bytes - block_pointer_bytes / (high * wide)) / (block_bytes + index_dtype(wide).itemsize),
    }


def model_bytes(model: nn.Module, encode: Encode, mask: Mask | None = None, where: Where = is_prunable) -> int:
    """Return the bytes of a model whose prunable weights are stored in a sparse format, and everything else as it is.

    model: its zeros are left out, or with a `mask`, the zeros that this would write. `encode` is any function from a
    matrix to something with `stored_bytes`, such as `to_csr`.

    Raises:
        TypeError: `model` is not a module, or a weight is not of fp32, fp16 or bf16.
        ValueError: the mask does not fit the model, a chosen layer has no plain weight (a masked model: take
            `baked(model)`), or the format cannot hold a weight; the message names it.

    A linear layer of 2 x 8 weights, 3 of them not zero, and a bias: 2/8 * 8 + 3 * 4 + 2 * 4:

    >>> layer = nn.Linear(8, 2)
    >>> _ = layer.weight.data.zero_()
    >>> _ = layer.weight.data[0, :3].fill_(1.0)
    >>> stored_bytes(layer), model_bytes(layer, to_bitmap)
    (72, 22)
    """
    callable_("encode", encode, fix="pass to_csr, say")
    pruned = model if mask is None else apply_mask(model, mask)
    total = stored_bytes(pruned)
    for name, weight in prunable_weights(pruned, where).items():
        try:
            total += _bytes_of(encode(as_matrix(weight))) - weight.nbytes
        except ValueError as error:
            raise type(error)(f"{name}: {error}") from error
    return total


def _bytes_of(stored: object) -> int:
    """The bytes of a matrix in the form that a format gave it."""
    return whole("stored_bytes of a format", getattr(stored, "stored_bytes", None), low=0, fix="pass to_csr, say")


@dataclass(frozen=True)
class LayerBytes:
    """One weight: its density, and its bytes in each format that can hold it."""

    name: str
    density: float
    bytes: Mapping[str, int]

    @property
    def smallest(self) -> str:
        """The format with the fewest bytes; dense, if no format has fewer."""
        return min(self.bytes, key=self.bytes.__getitem__)


@dataclass(frozen=True)
class StorageTable:
    """The bytes of each prunable weight in each format; printed, a table with the smallest marked."""

    layers: tuple[LayerBytes, ...]

    @property
    def smallest_bytes(self) -> int:
        """The bytes of all these weights, each in the format that is smallest for it."""
        return sum(layer.bytes[layer.smallest] for layer in self.layers)

    def __str__(self) -> str:
        formats = list(dict.fromkeys(name for layer in self.layers for name in layer.bytes))
        lines = [("bytes", "density", *formats, "smallest")]
        for layer in self.layers:
            cells = (f"{layer.bytes[name]:,}" if name in layer.bytes else "-" for name in formats)
            lines.append((layer.name, f"{layer.density:.1%}", *cells, layer.smallest))
        return aligned(lines)


def smallest_formats(
    model: nn.Module, mask: Mask | None = None, where: Where = is_prunable, formats: Mapping[str, Encode] = FORMATS
) -> StorageTable:
    """Return the bytes of each prunable weight in each format, so that the smallest can be seen.

    Raises:
        TypeError, ValueError: as `model_bytes`.

    >>> layer = nn.Linear(8, 2)
    >>> _ = layer.weight.data.zero_()
    >>> _ = layer.weight.data[0, :2].fill_(1.0)
    >>> print(smallest_formats(layer))
    bytes   density  dense  bitmap  CSR  blocks 4x4  2:4  smallest
    weight    12.5%     64      10   24          74   34    bitmap
    """
    of_type("formats", formats, Mapping, fix="leave it out for all of them")
    pruned = model if mask is None else apply_mask(model, mask)
    return StorageTable(
        tuple(
            LayerBytes(name, float((weight != 0).float().mean()), stored_formats(weight, formats))
            for name, weight in prunable_weights(pruned, where).items()
        )
    )
