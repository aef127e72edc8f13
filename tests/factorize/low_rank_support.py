"""What the tests of low rank share: seeded values, layers of every geometry, and error bounds that are derived."""

import copy

import torch
from torch import nn

from mini_lib.factorize.low_rank import Factorized, rebuild

# of one operation, relative
ROUNDING = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 2.0**-24, torch.float64: 2.0**-53}

# (inputs, outputs, kernel, settings): everything that a factor has to hand on
GEOMETRIES = {
    "plain": (3, 5, 3, {}),
    "no bias": (4, 3, 3, {"bias": False}),
    "stride and padding": (3, 4, 3, {"stride": 2, "padding": 1}),
    "two axes, two ways": (4, 5, (3, 2), {"stride": (2, 1), "padding": (0, 1), "dilation": (1, 3)}),
    "same": (3, 4, 3, {"padding": "same", "dilation": 2}),
    "same, even kernel": (3, 4, (2, 4), {"padding": "same"}),
    "valid": (3, 4, 3, {"padding": "valid"}),
    "reflect": (3, 4, (3, 5), {"padding": (1, 2), "padding_mode": "reflect"}),
    "replicate": (3, 4, 3, {"padding": 2, "padding_mode": "replicate", "stride": (1, 2)}),
    "circular": (3, 4, 3, {"padding": 1, "padding_mode": "circular", "dilation": (1, 1)}),
}
WRONG_LAYERS = [
    (nn.ConvTranspose2d(4, 4, 3), TypeError, "cannot factorize ConvTranspose2d as a convolution; pass an nn.Conv2d"),
    (nn.Conv1d(4, 4, 3), TypeError, "cannot factorize Conv1d"),
    (nn.Linear(4, 4), TypeError, "cannot factorize Linear as a convolution"),
    (nn.Conv2d(4, 4, 3, groups=2), ValueError, "groups=2: its weight holds 2 of 4 inputs per output.* leave the layer"),
]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def make_conv(name: str = "plain", dtype: torch.dtype = torch.float32) -> nn.Conv2d:
    """A convolution of this geometry with seeded values."""
    inputs, outputs, kernel, settings = GEOMETRIES[name]
    conv = nn.Conv2d(inputs, outputs, kernel, **settings).to(dtype)
    conv.weight.data = normal(*conv.weight.shape, seed=1, dtype=dtype)
    if conv.bias is not None:
        conv.bias.data = normal(outputs, seed=2, dtype=dtype)
    return conv


def make_linear(outputs: int, inputs: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> nn.Linear:
    layer = nn.Linear(inputs, outputs).to(dtype)
    layer.weight.data = normal(outputs, inputs, seed=seed, dtype=dtype)
    layer.bias.data = normal(outputs, seed=seed + 1, dtype=dtype)
    return layer


def magnitudes(layer: nn.Module) -> nn.Module:
    """The layer with the absolute values of its weights, in float64: it bounds what roundings can add up to."""
    layer = copy.deepcopy(layer).double()
    for parameter in layer.parameters():
        parameter.data.abs_()
    return layer


@torch.no_grad()
def assert_same_function(found: Factorized, x: torch.Tensor, bar: float = 1e-5) -> None:
    """The factors answer as the dense layer does in float64, up to their own roundings, and within `bar` overall.

    A sum of n products of rounded numbers is off by at most (n + 1) roundings of the sum of their magnitudes (Higham,
    "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1). Over a chain of layers the numbers of terms
    add up, and the magnitudes are what the chain of |weights| makes of |x|. Storing a factor costs one more rounding,
    the bias another; twice that much bounds the terms of second order.
    """
    got, expected = found.layer(x), copy.deepcopy(found.dense).double()(x.double())
    assert got.shape == expected.shape and got.dtype == x.dtype
    terms = sum(parameter.shape[1:].numel() + 3 for parameter in found.layer.parameters())
    bound = 2 * terms * ROUNDING[x.dtype] * magnitudes(found.layer)(x.double().abs())
    off = (got.double() - expected).abs()
    assert (off <= bound).all(), f"off by {(off / bound).max():.2f} of the bound"
    assert off.norm() <= bar * expected.norm()


def storage_tolerance(found: Factorized) -> float:
    """How far rounding the factors to the layer's type can move the relative error of the weight.

    Each of the k factors is off by one rounding of each entry, so the product by k roundings of the product of the
    magnitudes; twice that bounds the second order and the roundings of float64, in which all else is computed.
    """
    factors = [parameter for parameter in found.layer.parameters() if parameter.dim() > 1]
    product = rebuild(magnitudes(found.layer)).norm() / found.dense.weight.double().norm()
    return 2 * len(factors) * ROUNDING[found.dense.weight.dtype] * product.item() + 1e-13
