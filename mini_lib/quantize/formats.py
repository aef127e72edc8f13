"""Formats: how the values of a tensor are written down.

A format is a description, not a tensor: how many bits a code has, which values the codes stand for,
and which weights share a scale. `quantize(weight, fmt)` puts it to use.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mini_lib.quantize.granularity import Granularity, PerChannel, PerTensor
from mini_lib.quantize.validate import require_bits, require_dtype, require_whole_number

SCALE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SHORT_NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class FloatFormat:
    """Plain floating point: 32 or 16 bits a weight and no scale.

    >>> FloatFormat(torch.bfloat16).bits
    16

    Raises: ValueError for any other dtype.
    """

    dtype: torch.dtype = torch.float32

    def __post_init__(self):
        require_dtype("dtype", self.dtype, SCALE_DTYPES)

    @property
    def bits(self) -> int:
        return torch.finfo(self.dtype).bits

    @property
    def label(self) -> str:
        return SHORT_NAMES[self.dtype]


@dataclass(frozen=True)
class IntFormat:
    """A uniform grid: value = scale * (code - zero_point), with the codes from `qmin` to `qmax`.

    symmetric: zero_point is 0 and is not stored. A signed symmetric grid gives up its lowest code so
        that it reaches as far up as down: 4 bits are -7 to 7. An unsigned one starts at zero, which is
        all that the output of a ReLU needs.
    symmetric=False (affine): the grid is shifted so that it covers the lowest and the highest value;
        zero_point is the code that stands for exactly 0.
    scale_dtype: the dtype in which scales are stored. A zero point is stored in 16 bits.

    >>> fmt = IntFormat(4)
    >>> fmt.qmin, fmt.qmax
    (-7, 7)
    >>> fmt = IntFormat(4, symmetric=False, signed=False)
    >>> fmt.qmin, fmt.qmax
    (0, 15)
    >>> IntFormat(4, granularity=PerGroup(128)).label
    'int4 per group of 128'

    Raises: TypeError or ValueError if `bits` is not a whole number from 1 to 16; ValueError for
    1 bit, symmetric and signed, since that grid has no positive code, and for another scale_dtype.

    Source: Jacob 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 2.1; Nagel 2021, "A White Paper on Neural Network
    Quantization", section 2.2.
    """

    bits: int
    symmetric: bool = True
    signed: bool = True
    granularity: Granularity = PerTensor()
    scale_dtype: torch.dtype = torch.float32

    def __post_init__(self):
        require_bits(self.bits)
        _require_granularity(self.granularity)
        require_dtype("scale_dtype", self.scale_dtype, SCALE_DTYPES)
        if self.bits == 1 and self.symmetric and self.signed:
            raise ValueError(
                "a symmetric signed grid of 1 bit has the one code 0 and no positive code; "
                "use BinaryFormat() for -1 and +1, or symmetric=False for two levels, one of them 0"
            )

    @property
    def qmin(self) -> int:
        """The lowest code."""
        if not self.signed:
            return 0
        return -(2 ** (self.bits - 1)) + (1 if self.symmetric else 0)

    @property
    def qmax(self) -> int:
        """The highest code."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @property
    def label(self) -> str:
        kind = "int" if self.signed else "uint"
        return f"{kind}{self.bits} {'' if self.symmetric else 'affine '}{self.granularity.label}"


@dataclass(frozen=True)
class CodebookFormat:
    """A table of 2**bits values found by k-means; a code is a line of the table.

    init: "linear" spreads the first centroids evenly from the lowest to the highest weight;
        "kmeans++" draws them at random, far from each other, with `seed`.
    iterations: Lloyd's iterations at most; they stop as soon as nothing moves.

    >>> CodebookFormat(4).label
    'codebook of 16'

    Raises: TypeError or ValueError for bits outside 1 to 16, another init, or iterations below 1.

    Source: Han 2016, "Deep Compression", section 3; Arthur 2007, "k-means++".
    """

    bits: int
    init: str = "linear"
    iterations: int = 100
    seed: int = 0
    codebook_dtype: torch.dtype = torch.float32

    def __post_init__(self):
        require_bits(self.bits)
        require_whole_number("iterations", self.iterations)
        require_whole_number("seed", self.seed)
        require_dtype("codebook_dtype", self.codebook_dtype, SCALE_DTYPES)
        if self.init not in ("linear", "kmeans++"):
            raise ValueError(f"init must be 'linear' or 'kmeans++', got {self.init!r}")
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")

    @property
    def label(self) -> str:
        return f"codebook of {2**self.bits}"


@dataclass(frozen=True)
class NF4Format:
    """4-bit NormalFloat: sixteen fixed values, dense where a normal distribution is, times the largest
    magnitude of each block of `block_size` weights.

    double_quantize: store the blocks' magnitudes in 8 bits too, which takes 0.5 bits a weight down to 0.127.

    >>> NF4Format().label
    'nf4 per block of 64'

    Raises: TypeError or ValueError if `block_size` is not a positive whole number.

    Source: Dettmers 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", section 3 and appendix E.
    """

    block_size: int = 64
    double_quantize: bool = False

    def __post_init__(self):
        require_whole_number("block_size", self.block_size)
        if self.block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {self.block_size}; use 64")

    @property
    def bits(self) -> int:
        return 4

    @property
    def label(self) -> str:
        return f"nf4 per block of {self.block_size}{', double' if self.double_quantize else ''}"


@dataclass(frozen=True)
class TernaryFormat:
    """Three values, -scale, 0 and +scale, five of them to a byte.

    >>> TernaryFormat().bits                # 8 bits / 5
    1.6

    Raises: ValueError for another scale_dtype.

    Source: Li 2016, "Ternary Weight Networks", section 2.
    """

    granularity: Granularity = PerTensor()
    scale_dtype: torch.dtype = torch.float32

    def __post_init__(self):
        _require_granularity(self.granularity)
        require_dtype("scale_dtype", self.scale_dtype, SCALE_DTYPES)

    @property
    def bits(self) -> float:
        return 8 / 5

    @property
    def label(self) -> str:
        return f"ternary {self.granularity.label}"


@dataclass(frozen=True)
class BinaryFormat:
    """Two values, -scale and +scale: one bit a weight.

    >>> BinaryFormat().label
    'binary per channel'

    Raises: ValueError for another scale_dtype.

    Source: Rastegari 2016, "XNOR-Net", section 3.1.
    """

    granularity: Granularity = PerChannel(0)
    scale_dtype: torch.dtype = torch.float32

    def __post_init__(self):
        _require_granularity(self.granularity)
        require_dtype("scale_dtype", self.scale_dtype, SCALE_DTYPES)

    @property
    def bits(self) -> int:
        return 1

    @property
    def label(self) -> str:
        return f"binary {self.granularity.label}"


Format = FloatFormat | IntFormat | CodebookFormat | NF4Format | TernaryFormat | BinaryFormat


def _require_granularity(granularity: object) -> None:
    if not isinstance(granularity, Granularity):
        raise TypeError(f"granularity must be PerTensor(), PerChannel(axis) or PerGroup(size), got {granularity!r}")
