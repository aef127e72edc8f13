"""Cheaper layers: what each computes, by hand, from plain convolutions put together, and against torchvision."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision_support import import_torchvision

from mini_lib import fold
from mini_lib.factorize import layers

EPS = 2**-52


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- what they compute ---------------------------------------------------------------------------------------------


def test_a_depthwise_convolution_by_hand():
    # channel 0 is summed over pairs, and differenced; channel 1 likewise by its own kernels
    layer = layers.depthwise(2, (1, 2), multiplier=2, padding=0, bias=False)
    layer.weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0], [2.0, 0.0], [0.0, 3.0]]).reshape(4, 1, 1, 2)
    x = torch.tensor([[1.0, 2.0, 4.0], [5.0, 6.0, 8.0]]).reshape(1, 2, 1, 3)
    assert layer(x).reshape(4, 2).tolist() == [[3.0, 6.0], [-1.0, -2.0], [10.0, 12.0], [18.0, 24.0]]


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2))
def test_groups_are_convolutions_side_by_side(groups, inputs, outputs, stride, padding):
    layer = layers.grouped(inputs * groups, outputs * groups, 3, groups, stride=stride, padding=padding).double()
    x = normal(2, inputs * groups, 7, 6)
    alone = [
        F.conv2d(
            x[:, g * inputs : (g + 1) * inputs],
            layer.weight[g * outputs : (g + 1) * outputs],
            layer.bias[g * outputs : (g + 1) * outputs],
            stride,
            padding,
        )
        for g in range(groups)
    ]
    # sums of at most 27 products and a bias in another order: each product is below 6 * 1
    assert (layer(x) - torch.cat(alone, dim=1)).abs().max() <= 28 * 28 * 6 * EPS


def test_a_pointwise_layer_is_a_linear_layer_at_every_place():
    layer, x = layers.pointwise(5, 3).double(), normal(2, 5, 4, 6)
    linear = F.linear(x.movedim(1, -1), layer.weight.flatten(1), layer.bias).movedim(-1, 1)
    assert (layer(x) - linear).abs().max() <= 6 * 6 * 6 * EPS


def test_a_separable_layer_is_linear():
    # nothing between the parts and, without bias, f(2a - b) = 2 f(a) - f(b)
    layer, a, b = (
        layers.depthwise_separable(3, 5, 3, multiplier=2, bias=False).double(),
        normal(1, 3, 6, 6),
        normal(1, 3, 6, 6, seed=1),
    )
    assert [name for name, _ in layer.named_children()] == ["depthwise", "pointwise"]
    difference = (layer(2 * a - b) - (2 * layer(a) - layer(b))).abs().max()
    assert difference <= 100 * 100 * EPS


def test_sobels_filter_is_spatially_separable():
    layer = layers.spatially_separable(1, 1, 3, padding=0, bias=False)
    layer.vertical.weight.data = torch.tensor([1.0, 2.0, 1.0]).reshape(1, 1, 3, 1)
    layer.horizontal.weight.data = torch.tensor([1.0, 0.0, -1.0]).reshape(1, 1, 1, 3)
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    x = torch.arange(30.0).reshape(1, 1, 5, 6) ** 2
    # whole numbers below 2**24: no rounding
    assert torch.equal(layer(x), F.conv2d(x, sobel.reshape(1, 1, 3, 3)))


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.none() | st.tuples(st.integers(0, 2), st.integers(0, 2)) | st.just("valid"),
    st.tuples(st.integers(1, 2), st.integers(1, 2)), st.integers(1, 3), st.booleans(),
)  # fmt: skip
def test_a_spatially_separable_layer_is_the_convolution_of_its_outer_products(
    kernel, stride, padding, dilation, middle, bias
):
    layer = layers.spatially_separable(
        2, 3, kernel, middle=middle, stride=stride, padding=padding, dilation=dilation, bias=bias
    ).double()
    with torch.no_grad():
        weight = torch.einsum("mih,nmw->nihw", layer.vertical.weight[..., 0], layer.horizontal.weight[:, :, 0])
        whole = layers.grouped(2, 3, kernel, 1, stride=stride, padding=padding, dilation=dilation, bias=bias).double()
        whole.weight.copy_(weight)
        if bias:
            whole.bias.copy_(layer.horizontal.bias)
        x = normal(1, 2, 9, 11)
        # at most 2 * 16 * 3 products of numbers below 6: sums of 100 terms, each rounding below 100 * 6 * EPS
        assert (layer(x) - whole(x)).abs().max() <= 100 * 100 * 6 * EPS


# --- the inverted residual -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("expansion", [1, 6])
@pytest.mark.parametrize(("outputs", "stride"), [(8, 1), (8, 2), (12, 1)])
def test_the_inverted_residual_is_torchvisions(expansion, outputs, stride):
    theirs = import_torchvision().models.mobilenetv2.InvertedResidual(8, outputs, stride, expansion)
    ours = layers.inverted_residual(8, outputs, expansion, stride=stride)
    # in the same order: convolution, batch norm, ...; so the tensors can be handed over one by one
    tensors = list(theirs.state_dict().values())
    assert [tensor.shape for tensor in tensors] == [tensor.shape for tensor in ours.state_dict().values()]
    x = torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    theirs(x)  # moves the running statistics away from 0 and 1
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    assert ours.skips == theirs.use_res_connect
    assert torch.equal(ours.eval()(20 * x), theirs.eval()(20 * x))  # loud enough to reach the 6 of ReLU6


def test_the_input_is_added_only_where_the_shapes_allow():
    x = torch.ones(1, 4, 8, 8)
    for outputs, stride, skips in [(4, 1, True), (4, 2, False), (4, (1, 2), False), (6, 1, False)]:
        block = layers.inverted_residual(4, outputs, 2, stride=stride).eval()
        assert block.skips == skips
        nn.init.zeros_(block.body.project.weight)  # the body is silent, what is left is the skip
        result = block(x)
        assert torch.equal(result, x) if skips else not result.any()


@pytest.mark.parametrize("kernel", [1, 3, 5, (3, 5)])
def test_a_skip_fits_whatever_the_odd_kernel_and_its_dilation(kernel):
    block = layers.inverted_residual(4, 4, 2, kernel=kernel, dilation=2)
    assert block(torch.ones(2, 4, 9, 7)).shape == (2, 4, 9, 7)


def test_batch_norm_of_the_block_can_be_folded():
    block = layers.inverted_residual(4, 4, 3).double()
    x = normal(4, 4, 6, 6)
    block(x), block.eval()
    folded = fold.fold_batch_norm(block)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    # three layers of at most 12 products each; values stay below 20 after batch norm
    assert (folded(x) - block(x)).abs().max() <= 1000 * 20 * EPS


# --- bad input -----------------------------------------------------------------------------------------------------

BAD = {
    "groups 3 does not divide inputs \\(8\\); use a divisor of both 8 and 16": lambda: layers.grouped(8, 16, 3, 3),
    "groups must be a whole number of 1 or more, got 0": lambda: layers.grouped(8, 16, 3, 0),
    "channels must be a whole number of 1 or more, got 0": lambda: layers.depthwise(0, 3),
    "multiplier must be a whole number of 1 or more, got 0": lambda: layers.depthwise(8, 3, multiplier=0),
    "multiplier must be a whole number from 1 to 9, got 0; 9 is exact for 16 outputs and a 3x3 kernel":
        lambda: layers.depthwise_separable(8, 16, 3, multiplier=0),
    "multiplier must be a whole number from 1 to 9, got 10; 9 is exact for 16 outputs and a 3x3 kernel":
        lambda: layers.depthwise_separable(8, 16, 3, multiplier=10),
    "multiplier must be a whole number from 1 to 4, got 5; 4 is exact for 4 outputs and a 3x3 kernel":
        lambda: layers.depthwise_separable(8, 4, 3, multiplier=5),
    "middle must be a whole number of 1 or more, got 0": lambda: layers.spatially_separable(8, 4, 3, middle=0),
    "kernel must be a whole number of 1 or more, got 0": lambda: layers.spatially_separable(8, 4, 0),
    "kernel must be odd to keep the size of the image, got 4; use 3 or 5":
        lambda: layers.inverted_residual(8, 8, 6, kernel=4),
    "expansion must be a whole number of 1 or more, got 0": lambda: layers.inverted_residual(8, 8, 0),
    "stride must be a whole number of 1 or more, got 0": lambda: layers.inverted_residual(8, 8, 6, stride=0),
    'padding "same" keeps the size, and stride \\(2, 2\\) does not; give the padding in pixels':
        lambda: layers.depthwise(8, 3, stride=2, padding="same"),
}  # fmt: skip


@pytest.mark.parametrize(("message", "call"), BAD.items(), ids=BAD)
def test_bad_numbers(message, call):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("multiplier", [1.0, "2", True, None])
def test_a_multiplier_is_a_whole_number(multiplier):
    for call in (
        lambda: layers.depthwise(8, 3, multiplier=multiplier),
        lambda: layers.depthwise_separable(8, 16, 3, multiplier=multiplier),
    ):
        with pytest.raises(TypeError, match="multiplier must be a whole number (of 1 or more|from 1 to 9), got"):
            call()
