"""Codebooks: k-means chooses the values themselves, and a code is an index into the table.

In one dimension k-means is cheap: sort the weights once, and a cluster is a run of them, whose mean is a difference of
two running sums divided by a length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.quantize.formats.base import SCALE_DTYPES, Format, Observer
from mini_lib.quantize.validate import cast_finite, finite_float32


@dataclass(frozen=True)
class CodebookFormat(Format):
    """A table of 2**bits values found by k-means; a code is an index into the table.

    init: "linear" spreads the first centroids evenly from the lowest to the highest weight; "kmeans++" draws them at
        random, far from each other, with `seed`.
    iterations: the most iterations of Lloyd's algorithm; they stop as soon as nothing moves.

    Raises:
        TypeError: `bits`, `iterations` or `seed` is not a whole number.
        ValueError: `bits` is not from 1 to 16, `iterations` is below 1, or `init` or `codebook_dtype` is unknown.

    >>> CodebookFormat(4).label
    'codebook of 16'

    Source: Han 2016, "Deep Compression", section 3; Arthur 2007, "k-means++".
    """

    bits: int
    init: str = "linear"
    iterations: int = 100
    seed: int = 0
    codebook_dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        require.checked(self, "bits", require.whole, low=1, high=16, fix="4 bits are 16 codes")
        require.checked(self, "iterations", require.whole, low=1, fix="100 is usual")
        require.checked(self, "seed", require.whole, fix="use 0")
        require.checked(self, "codebook_dtype", require.one_of, choices=SCALE_DTYPES, fix="torch.float16 is smaller")
        require.checked(self, "init", require.one_of, choices=("linear", "kmeans++"), fix="'linear' needs no seed")

    @property
    def label(self) -> str:
        return f"codebook of {2**self.bits}"

    def encode(self, weight: Tensor, observer: Observer) -> dict[str, Tensor]:
        """Return the codes, and the table that `k_means` finds."""
        codes, codebook = k_means(weight, self)
        return {"codes": codes, "codebook": codebook}

    def decode(self, fields: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        """Look each code up in the table."""
        return fields["codebook"].float()[fields["codes"]]

    def layout(self, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Return the parts: packed codes, and the whole table."""
        return {"codes": self.packed_codes(shape), "codebook": (self.codebook_dtype, (2**self.bits,))}


def k_means(weight: Tensor, fmt: CodebookFormat) -> tuple[Tensor, Tensor]:
    """Return the codes (int32, shape of `weight`) and the codebook (codebook_dtype [2**bits], ascending).

    A tensor that has no more distinct values than the table has entries is kept exactly; the entries left over repeat
    the last value. A cluster that becomes empty is moved to the weight that is farthest from its centroid.

    Raises:
        TypeError: `weight` does not hold floats.
        ValueError: `weight` is empty or holds NaN or infinity, or a centroid does not fit the codebook_dtype.

    >>> codes, codebook = k_means(torch.tensor([0.0, 1.0, 9.0, 10.0, 11.0]), CodebookFormat(1))
    >>> codes, codebook                          # starts at 0 and 11, cut at 5.5; means 0.5 and 10
    (tensor([0, 0, 1, 1, 1], dtype=torch.int32), tensor([ 0.5000, 10.0000]))

    Source: Han 2016, "Deep Compression", section 3.1 and 3.2; Lloyd 1982, "Least squares quantization in PCM".
    """
    weight = finite_float32("weight", weight)
    require.of_type("fmt", fmt, CodebookFormat, fix="use CodebookFormat(4)")
    values = weight.reshape(-1).double().sort().values
    distinct = values.unique_consecutive()
    size = 2**fmt.bits
    if distinct.numel() <= size:
        centroids = distinct
    else:
        start = _linear(values, size) if fmt.init == "linear" else _far_apart(values, size, fmt.seed)
        centroids = _lloyd(values, start, fmt.iterations)
    codebook = cast_finite("a centroid", centroids, fmt.codebook_dtype)
    codebook = torch.cat([codebook, codebook[-1:].expand(size - codebook.numel())])
    codes = torch.bucketize(weight.double().contiguous(), _midpoints(codebook.double()), out_int32=True)
    return codes, codebook


def _lloyd(values: Tensor, centroids: Tensor, iterations: int) -> Tensor:
    """Give each of the sorted values to its nearest centroid, move each centroid to its values' mean, repeat."""
    running_sum = torch.cat([values.new_zeros(1), values.cumsum(0)])
    ends = torch.tensor([0, values.numel()])
    before = None
    for _ in range(iterations):
        cuts = torch.searchsorted(values, _midpoints(centroids), right=True)
        bounds = torch.cat([ends[:1], cuts, ends[1:]])
        if before is not None and torch.equal(bounds, before):
            break
        sums, counts = running_sum[bounds].diff(), bounds.diff()
        empty = counts == 0
        centroids = torch.where(empty, centroids, sums / counts.clamp(min=1))
        if bool(empty.any()):
            centroids, bounds = _refill(values, centroids, empty), None
        before = bounds
    return centroids


def _refill(values: Tensor, centroids: Tensor, empty: Tensor) -> Tensor:
    """Move the centroids of empty clusters to the values that are farthest from their own centroids."""
    distinct = values.unique_consecutive()
    taken = centroids[~empty]
    distance = (distinct - taken[torch.bucketize(distinct, _midpoints(taken))]).abs()
    farthest = distance.topk(int(empty.sum())).indices
    return torch.cat([taken, distinct[farthest]]).sort().values


def _linear(values: Tensor, size: int) -> Tensor:
    """Centroids spread evenly from the lowest value to the highest."""
    return torch.linspace(float(values[0]), float(values[-1]), size, dtype=values.dtype)


def _far_apart(values: Tensor, size: int, seed: int) -> Tensor:
    """k-means++: draw each centroid with a probability that grows as the squared distance to those drawn before.

    Source: Arthur 2007, "k-means++: The Advantages of Careful Seeding", section 2.2.
    """
    generator = torch.Generator().manual_seed(seed)
    chance = torch.ones_like(values)
    drawn = []
    for _ in range(size):
        running = chance.cumsum(0)
        ticket = torch.rand(1, generator=generator, dtype=values.dtype) * running[-1]
        at = torch.searchsorted(running, ticket, right=True)
        drawn.append(values[at.clamp(max=values.numel() - 1)])
        distance = (values - drawn[-1]).square()
        chance = distance if len(drawn) == 1 else torch.minimum(chance, distance)
    return torch.cat(drawn).sort().values


def _midpoints(ascending: Tensor) -> Tensor:
    return (ascending[:-1] + ascending[1:]) / 2
