"""Weights in training: a module that holds what is learned, and gives the weight that the layer computes with.

What a weight computes with is always what its format can store: codes, and scales in the format's scale_dtype. So
`fields()`, which `export` packs, decodes to the last bit to what `forward()` returned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mini_lib.quantize.affine import to_codes
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
from mini_lib.quantize.train.lsq import lsq
from mini_lib.quantize.train.ste import straight_through


class FakeQuantWeight(nn.Module):
    """A weight that is rounded to `fmt` each time it is asked for.

    fmt, shape: the format, and the shape of the weight.
    """

    def __init__(self, fmt: Format, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.fmt, self.shape = fmt, tuple(shape)

    def fields(self) -> dict[str, Tensor]:
        """Return what the format stores, as `Format.encode` does."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{list(self.shape)}, {self.fmt.label}"


class GridWeight(FakeQuantWeight):
    """A float weight on a uniform grid whose steps are learned (`lsq`), or stay as they are (`fake_quantize_ste`).

    Learned is the logarithm of each step, so that a step stays positive, and so that Adam, whose updates have the size
    of the learning rate, changes steps of every size by the same share.

    Source: Esser 2020; the logarithm: S. Jain et al., "Trained Quantization Thresholds", 2020, section 3.
    """

    def __init__(self, weight: Tensor, fmt: IntFormat | TernaryFormat, observer: Observer, learned: bool) -> None:
        super().__init__(fmt, weight.shape)
        grid = fmt if isinstance(fmt, IntFormat) else IntFormat(2, scale_dtype=fmt.scale_dtype)  # -1, 0, 1
        rows = fmt.granularity.rows(weight.detach())
        scale, zero_point = choose_qparams(*observer(rows, grid), grid)
        self.latent = nn.Parameter(weight.detach().clone())
        self.log_step = nn.Parameter(scale[:, None].log(), requires_grad=learned)
        self.register_buffer("zero_point", zero_point[:, None])
        self.qmin, self.qmax, self.learned = grid.qmin, grid.qmax, learned

    @property
    def step(self) -> Tensor:
        """The step of each row [rows, 1], as it is stored."""
        step = self.log_step.exp()
        return step if self.fmt.scale_dtype == torch.float32 else straight_through(_stored(step, self.fmt), step)

    def forward(self) -> Tensor:
        rows = self.fmt.granularity.rows(self.latent)
        step, zero_point = self.step, self.zero_point
        rows = lsq(rows, step, self.qmin - zero_point, self.qmax - zero_point)
        return self.fmt.granularity.unrows(rows, self.shape)

    def fields(self) -> dict[str, Tensor]:
        """Return the codes, the steps and, on an affine grid, the zero points."""
        rows, step = self.fmt.granularity.rows(self.latent.detach()), self.step.detach()
        codes = to_codes(rows, step, self.zero_point, self.qmin, self.qmax)
        fields = self.fmt.from_rows(codes, step.flatten(), self.shape)
        affine = isinstance(self.fmt, IntFormat) and not self.fmt.symmetric
        return fields | {"zero_point": self.zero_point.reshape(fields["scale"].shape)} if affine else fields


class RefittedWeight(FakeQuantWeight):
    """A float weight whose ternary or binary codes and scale are fitted anew, in closed form, each time.

    The gradient passes straight through. See `ternarize` and `binarize`.

    Source: Li 2016, "Ternary Weight Networks", section 2.3; Rastegari 2016, "XNOR-Net", section 3.1.
    """

    def __init__(self, weight: Tensor, fmt: TernaryFormat | BinaryFormat) -> None:
        super().__init__(fmt, weight.shape)
        self.latent = nn.Parameter(weight.detach().clone())

    def forward(self) -> Tensor:
        with torch.no_grad():
            value = self.fmt.decode(self.fields(), self.shape)
        return straight_through(value, self.latent)

    def fields(self) -> dict[str, Tensor]:
        """Return the codes and the scales."""
        fit = ternarize if isinstance(self.fmt, TernaryFormat) else binarize
        return self.fmt.from_rows(*fit(self.fmt.granularity.rows(self.latent.detach())), self.shape)


class LearnedBinaryWeight(FakeQuantWeight):
    """The signs of a float weight, times scales that are learned."""

    def __init__(self, weight: Tensor, fmt: BinaryFormat) -> None:
        super().__init__(fmt, weight.shape)
        _, scale = binarize(fmt.granularity.rows(weight.detach()))
        self.latent = nn.Parameter(weight.detach().clone())
        self.log_step = nn.Parameter(scale[:, None].log())

    @property
    def step(self) -> Tensor:
        """The scale of each row [rows, 1], as it is stored."""
        step = self.log_step.exp()
        return step if self.fmt.scale_dtype == torch.float32 else straight_through(_stored(step, self.fmt), step)

    def forward(self) -> Tensor:
        rows = self.fmt.granularity.rows(self.latent)
        signs = torch.where(rows.detach() < 0, -1.0, 1.0)
        return self.fmt.granularity.unrows(signs * self.step + (rows - rows.detach()), self.shape)

    def fields(self) -> dict[str, Tensor]:
        """Return the signs and the scales."""
        rows = self.fmt.granularity.rows(self.latent.detach())
        return self.fmt.from_rows(torch.where(rows < 0, -1, 1).int(), self.step.detach().flatten(), self.shape)


class CodebookWeight(FakeQuantWeight):
    """Indices that stay as k-means found them, into a table of centroids that are learned.

    The gradient of a centroid is the sum of the gradients of the weights that share it.

    Source: Han 2016, "Deep Compression", section 3.3, equation 3.
    """

    def __init__(self, weight: Tensor, fmt: CodebookFormat) -> None:
        super().__init__(fmt, weight.shape)
        codes, centroids = k_means(weight.detach(), fmt)
        self.centroids = nn.Parameter(centroids.float())
        self.register_buffer("codes", codes)

    def forward(self) -> Tensor:
        centroids = self.centroids
        if self.fmt.codebook_dtype != torch.float32:
            centroids = straight_through(centroids.detach().to(self.fmt.codebook_dtype).float(), centroids)
        return centroids[self.codes]

    def fields(self) -> dict[str, Tensor]:
        """Return the codes and the table, ascending: centroids may have passed each other."""
        centroids, order = self.centroids.detach().to(self.fmt.codebook_dtype).sort(stable=True)
        return {"codes": order.argsort().int()[self.codes], "codebook": centroids}


def fake_quant_weight(weight: Tensor, fmt: Format, method: str, observer: Observer) -> FakeQuantWeight:
    """Return the module that trains `weight` in the format `fmt`.

    Raises:
        ValueError: no training is known for this format.
    """
    if isinstance(fmt, IntFormat) or (isinstance(fmt, TernaryFormat) and method == "lsq"):
        return GridWeight(weight, fmt, observer, learned=method == "lsq")
    if isinstance(fmt, BinaryFormat) and method == "lsq":
        return LearnedBinaryWeight(weight, fmt)
    if isinstance(fmt, TernaryFormat | BinaryFormat):
        return RefittedWeight(weight, fmt)
    if isinstance(fmt, CodebookFormat):
        return CodebookWeight(weight, fmt)
    raise ValueError(
        f"no training is known for {fmt.label}; use IntFormat, TernaryFormat, BinaryFormat or CodebookFormat, or leave "
        "the layer out in where"
    )


def _stored(scale: Tensor, fmt: Format) -> Tensor:
    return scale.detach().to(fmt.scale_dtype).float()
