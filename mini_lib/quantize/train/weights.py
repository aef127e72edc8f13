"""Weights in training: a module that holds the learned parameters, and gives the weight that the layer computes with.

A layer always computes with a weight that its format can store: codes, and scales in the format's scale_dtype. So
`fields()`, which `export` packs, decodes to what `forward()` returned, to the last bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mini_lib.quantize.affine import nearest_codes
from mini_lib.quantize.formats import (
    BinaryFormat,
    CodebookFormat,
    Format,
    IntFormat,
    Observer,
    TernaryFormat,
    binarize,
    choose_qparams,
    k_means,
    ternarize,
)
from mini_lib.quantize.formats.scaled import ScaledFormat
from mini_lib.quantize.train.lsq import lsq, lsq_gradient_scale
from mini_lib.quantize.train.ste import straight_through
from mini_lib.quantize.train.step import SMALLEST, LearnedStep
from mini_lib.quantize.validate import cast_finite, finite_float32, need_range


class FakeQuantWeight(nn.Module, ABC):
    """A weight of the shape `shape` that is rounded to the format `fmt` each time it is used."""

    def __init__(self, fmt: Format, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.fmt, self.shape = fmt, tuple(shape)

    @abstractmethod
    def fields(self) -> dict[str, Tensor]:
        """Return the fields that the format computes with, as `Format.encode` does."""

    def extra_repr(self) -> str:
        return f"{list(self.shape)}, {self.fmt.label}"


class LatentWeight(FakeQuantWeight):
    """A float weight, `latent`, that is laid out in the rows of its format, each with its scale."""

    fmt: ScaledFormat

    def __init__(self, weight: Tensor, fmt: ScaledFormat) -> None:
        super().__init__(fmt, weight.shape)
        self.latent = nn.Parameter(weight.detach().clone(), weight.requires_grad)

    def rows(self) -> Tensor:
        """Return the floats [rows, n]."""
        return self.fmt.granularity.rows(self.latent)

    @abstractmethod
    def rounded_rows(self) -> Tensor:
        """Return the rows rounded, as the layer computes with them."""

    def forward(self) -> Tensor:
        return self.fmt.granularity.unrows(self.rounded_rows(), self.shape)


class GridWeight(LatentWeight):
    """Weights on uniform grids whose steps are learned or fixed; zero points are fixed. See `lsq`.

    Ternary weights with a learned scale are also a grid, with the codes -1, 0 and 1.
    """

    def __init__(self, weight: Tensor, fmt: IntFormat | TernaryFormat, observer: Observer, learned: bool) -> None:
        super().__init__(weight, fmt)
        grid = fmt if isinstance(fmt, IntFormat) else IntFormat(2, scale_dtype=fmt.scale_dtype)
        rows = self.rows().detach()
        scale, zero_point = (each[:, None] for each in choose_qparams(*need_range(observer(rows, grid)), grid))
        self.step = LearnedStep(scale, fmt.scale_dtype, learned and weight.requires_grad)
        self.register_buffer("zero_point", zero_point)
        self.affine, self.qmin, self.qmax = not grid.symmetric, grid.qmin, grid.qmax
        self.gradient_scale = lsq_gradient_scale(rows.shape[1], grid.qmax)

    def rounded_rows(self) -> Tensor:
        """Return round(x / step) * step, cut off at the ends of the grid."""
        low, high = self.qmin - self.zero_point, self.qmax - self.zero_point
        return lsq(self.rows(), self.step(), low, high, self.gradient_scale)

    @torch.no_grad()
    def fields(self) -> dict[str, Tensor]:
        """Return the codes, the steps and, on an affine grid, the zero points."""
        step = self.step.settled()
        codes = nearest_codes(self.rows(), step, self.zero_point, self.qmin, self.qmax)
        fields = self.fmt.from_rows(codes, step, self.shape)
        return fields | {"zero_point": self.zero_point.reshape(fields["scale"].shape)} if self.affine else fields


class TernaryWeight(LatentWeight):
    """Ternary weights whose threshold and scale are fitted to the floats each time, by `ternarize`.

    The gradient of the ternary weight moves the float one unchanged.

    Source: F. Li, B. Liu, "Ternary Weight Networks", 2016, section 2.3.
    """

    def rounded_rows(self) -> Tensor:
        """Return -scale, 0 or scale for each weight."""
        rows = self.rows()
        codes, scale = ternarize(rows)
        return straight_through(codes * scale.to(self.fmt.scale_dtype).float()[:, None], rows)

    def fields(self) -> dict[str, Tensor]:
        """Return the codes and the scales."""
        return self.fmt.from_rows(*ternarize(self.rows()), self.shape)


class BinaryWeight(LatentWeight):
    """The signs of the floats, times scales that are learned, or fitted to the floats each time, by `binarize`.

    XNOR-Net lets the gradient pass the sign where |w| <= 1, for weights of about that size. Here the unit of a weight
    is its row's scale, the mean magnitude, so the gradient passes where |w| <= scale: larger weights have settled, and
    are far from flipping. The gradient of a learned scale is the sum of sign(w) * gradient over its row.

    Source: M. Rastegari et al., "XNOR-Net", 2016, section 3.1.
    """

    def __init__(self, weight: Tensor, fmt: BinaryFormat, learned: bool) -> None:
        super().__init__(weight, fmt)
        _, scale = binarize(self.rows())
        if learned and not scale.all():
            raise ValueError("a row of zeros has no scale to learn from; method='ste' keeps it at zero")
        stored = fmt.from_rows(self.rows(), scale, self.shape)["scale"].float().reshape(-1, 1)
        self.step = LearnedStep(stored, fmt.scale_dtype, weight.requires_grad) if learned else None

    def scale(self, rows: Tensor) -> Tensor:
        """Return the scale of each row [rows, 1], as it is stored."""
        if self.step is not None:
            return self.step()
        mean = rows.abs().mean(dim=1, keepdim=True)  # its gradient is the 1/n term of the paper's
        return straight_through(binarize(rows)[1].to(self.fmt.scale_dtype).float()[:, None], mean)

    def rounded_rows(self) -> Tensor:
        """Return -scale or scale for each weight."""
        rows = self.rows()
        scale = self.scale(rows)
        in_steps = rows / scale.detach().clamp(min=SMALLEST)
        # the signs of `sign_ste(in_steps)`, but a quotient may underflow to 0 and lose its sign
        return straight_through(torch.where(rows < 0, -1.0, 1.0), in_steps.clamp(-1, 1)) * scale

    @torch.no_grad()
    def fields(self) -> dict[str, Tensor]:
        """Return the signs and the scales."""
        codes, scale = binarize(self.rows())
        return self.fmt.from_rows(codes, scale if self.step is None else self.step.settled(), self.shape)


class CodebookWeight(FakeQuantWeight):
    """Fixed indices, found by k-means, into a table of learned centroids.

    The gradient of a centroid is the sum of the gradients of the weights that share it.

    Source: S. Han et al., "Deep Compression", 2016, section 3.3, equation 3.
    """

    def __init__(self, weight: Tensor, fmt: CodebookFormat) -> None:
        super().__init__(fmt, weight.shape)
        codes, centroids = k_means(weight, fmt)
        self.centroids = nn.Parameter(centroids.float(), weight.requires_grad)
        self.register_buffer("codes", codes)

    def forward(self) -> Tensor:
        stored = self.centroids.detach().to(self.fmt.codebook_dtype).float()
        return straight_through(stored, self.centroids)[self.codes]

    @torch.no_grad()
    def fields(self) -> dict[str, Tensor]:
        """Return the codes and the table, ascending: centroids may have passed each other."""
        stored, order = cast_finite("a centroid", self.centroids, self.fmt.codebook_dtype).sort(stable=True)
        return {"codes": order.argsort().int()[self.codes], "codebook": stored}


def fake_quant_weight(weight: Tensor, fmt: Format, method: str, observer: Observer) -> FakeQuantWeight:
    """Return the module that trains `weight` in the format `fmt`; see `prepare`.

    Raises:
        ValueError: no training is known for this format, or the weight does not fit it.
    """
    finite_float32("the weight", weight)
    learned = method == "lsq"
    if isinstance(fmt, IntFormat) or (isinstance(fmt, TernaryFormat) and learned):
        return GridWeight(weight, fmt, observer, learned)
    if isinstance(fmt, TernaryFormat):
        return TernaryWeight(weight, fmt)
    if isinstance(fmt, BinaryFormat):
        return BinaryWeight(weight, fmt, learned)
    if isinstance(fmt, CodebookFormat):
        return CodebookWeight(weight, fmt)
    raise ValueError(
        f"no training is known for {fmt.label}; use IntFormat, TernaryFormat, BinaryFormat or CodebookFormat, or leave "
        "the layer out in where"
    )
