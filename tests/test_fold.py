"""Folding batch norm: by hand, against torch's own fusion, as a property, and what it refuses."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from mini_lib.fold import FoldedBatchNorm, find_batch_norms, fold_batch_norm, fold_pair

FLOAT32_ROUNDING = 2.0**-24  # the largest relative error of one rounding to float32


def shake(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm of `model` statistics, gains and shifts as training would, and set eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) * 4 + 0.1)
            if module.affine:
                module.weight.data.copy_(torch.randn(module.num_features, generator=generator))
                module.bias.data.copy_(torch.randn(module.num_features, generator=generator))
    return model.eval()


def assert_same_function(model: nn.Module, example: torch.Tensor) -> None:
    """Compare the model and its fold in float64, where the comparison is sharp: rounding is 2**-53.

    An output is a few nested sums of at most n = 300 products; each sum is off by at most n * 2**-53 of the sum of
    magnitudes, and the gains of these small models amplify that by less than 1e4. 300 * 2**-53 * 1e4 = 3.3e-10.
    """
    model, example = copy.deepcopy(model).double(), example.double()
    expected, got = model(example), fold_batch_norm(model)(example)
    assert (got - expected).abs().max() <= 3.3e-10 * expected.abs().max()


class Custom(nn.Module):
    """A forward of its own: nested modules, functional calls, a residual branch, a depthwise layer, no biases."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({"conv": nn.Conv2d(1, 8, 3, padding=1, bias=False), "norm": nn.BatchNorm2d(8)})
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8, affine=False)
        self.head = nn.Linear(8, 5)
        self.head_norm = nn.BatchNorm1d(5)

    def forward(self, x):
        x = F.relu(self.stem["norm"](self.stem["conv"](x)))
        x = x + F.relu(self.norm(self.depthwise(x)))
        return self.head_norm(self.head(x.mean((2, 3))))


def test_a_pair_worked_by_hand():
    # y = 2 * (x - 3) / sqrt(15 + 1) + 7 with x = 4 a + 5:   weight 4 * 2 / 4 = 2, bias (5 - 3) * 2 / 4 + 7 = 8
    layer, norm = nn.Linear(1, 1), nn.BatchNorm1d(1, eps=1.0).eval()
    layer.weight.data.fill_(4.0), layer.bias.data.fill_(5.0)
    norm.weight.data.fill_(2.0), norm.bias.data.fill_(7.0), norm.running_mean.fill_(3.0), norm.running_var.fill_(15.0)
    folded = fold_pair(layer, norm)
    assert (folded.weight.item(), folded.bias.item()) == (2.0, 8.0)
    assert folded(torch.tensor([[10.0]])).item() == 28.0 == norm(layer(torch.tensor([[10.0]]))).item()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "layer, norm, oracle",
    [
        (lambda bias: nn.Conv1d(4, 6, 3, bias=bias), nn.BatchNorm1d(6), fuse_conv_bn_eval),
        (lambda bias: nn.Conv2d(4, 6, 3, stride=2, bias=bias), nn.BatchNorm2d(6), fuse_conv_bn_eval),
        (lambda bias: nn.Conv2d(6, 6, 3, groups=6, bias=bias), nn.BatchNorm2d(6), fuse_conv_bn_eval),
        (lambda bias: nn.Conv3d(2, 6, 2, groups=2, bias=bias), nn.BatchNorm3d(6), fuse_conv_bn_eval),
        (lambda bias: nn.Linear(4, 6, bias=bias), nn.BatchNorm1d(6), fuse_linear_bn_eval),
    ],
    ids=["conv1d", "conv2d", "depthwise", "conv3d", "linear"],
)
def test_a_pair_against_torch(layer, norm, oracle, bias):
    torch.manual_seed(0)
    layer, norm = layer(bias).eval(), shake(norm)
    ours, theirs = fold_pair(layer, norm), oracle(copy.deepcopy(layer), copy.deepcopy(norm))
    # torch works in float32: var + eps, rsqrt (2 roundings), times gamma, times W are 5 roundings, and we round once.
    assert ((ours.weight - theirs.weight).abs() <= 6 * FLOAT32_ROUNDING * theirs.weight.abs()).all()
    # The bias also subtracts the mean and adds beta: 7 roundings, relative to the terms and not to their sum.
    gain = norm.weight.abs() / (norm.running_var + norm.eps).sqrt()
    terms = ((layer.bias.abs() if bias else 0) + norm.running_mean.abs()) * gain + norm.bias.abs()
    assert ((ours.bias - theirs.bias).abs() <= 8 * FLOAT32_ROUNDING * terms).all()


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**31), groups=st.sampled_from([1, 2, 4]), kernel=st.sampled_from([1, 3]), bias=st.booleans()
)
def test_a_folded_model_computes_the_same(seed, groups, kernel, bias):
    torch.manual_seed(seed)
    model = shake(
        nn.Sequential(
            nn.Conv2d(4, 8, kernel, groups=groups, bias=bias),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1, bias=bias),
            nn.BatchNorm2d(4),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        ),
        seed,
    )
    assert_same_function(model, torch.randn(2, 4, 6, 6))


def test_a_custom_forward_with_a_residual_branch():
    torch.manual_seed(0)
    model = shake(Custom())
    folded = fold_batch_norm(model)
    assert_same_function(model, torch.randn(3, 1, 6, 6))
    assert type(folded) is Custom and not folded.training
    assert isinstance(folded.stem["norm"], FoldedBatchNorm)


def test_in_float32_the_outputs_agree_to_1e_5():
    # Sums of n = 9 * 16 = 144 products, off by at most 144 * 2**-24 = 8.6e-6 of the sum of magnitudes in each of the
    # two models; signs cancel, and what is seen is nearer to sqrt(144) * 2**-24 = 7e-7.
    torch.manual_seed(0)
    model = shake(nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()))
    x = torch.randn(4, 16, 8, 8)
    expected = model(x)
    assert (fold_batch_norm(model)(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_nothing_of_the_batch_norm_is_left_and_the_argument_is_untouched():
    model = shake(Custom())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_batch_norm(model)
    assert set(folded.state_dict()) == {
        f"{layer}.{part}" for layer in ("stem.conv", "depthwise", "head") for part in ("weight", "bias")
    }
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(find_batch_norms(model)) == 3 and find_batch_norms(folded) == []


def test_folding_twice_is_folding_once():
    once = fold_batch_norm(shake(Custom()))
    twice = fold_batch_norm(once)
    assert twice is not once
    assert all(torch.equal(a, b) for a, b in zip(once.state_dict().values(), twice.state_dict().values(), strict=True))


def test_a_layer_held_under_two_names_is_folded_under_both():
    model = Wired(lambda m, x: m.norm(m.conv(x)))
    model.also = nn.ModuleList([model.conv, model.norm])
    folded = fold_batch_norm(shake(model))
    assert folded.also[0] is folded.conv and folded.also[1] is folded.norm and find_batch_norms(folded) == []


class Wired(nn.Module):
    """A conv and a batch norm, wired as `wire(conv, norm, x)` says."""

    def __init__(self, wire, conv=None, norm=None) -> None:
        super().__init__()
        self.conv, self.norm, self.wire = conv or nn.Conv2d(2, 2, 1), norm or nn.BatchNorm2d(2), wire
        self.tied = nn.Conv2d(2, 2, 1, bias=False)

    def forward(self, x):
        return self.wire(self, x)


@pytest.mark.parametrize(
    "wire, says",
    [
        (lambda m, x: m.conv(m.norm(x)), "cannot fold batch norm 'norm': it reads the model's input"),
        (lambda m, x: m.norm(F.relu(m.conv(x))), "cannot fold batch norm 'norm': it reads relu, not the output of"),
        (lambda m, x: m.norm(h := m.conv(x)) + h, "the output of Conv2d 'conv' is used elsewhere too"),
        (lambda m, x: m.norm(m.conv(m.conv(x))), "the weight of Conv2d 'conv' is used more than once"),
        (lambda m, x: m.norm(m.norm(m.conv(x))), "forward calls it 2 times"),
        (lambda m, x: m.conv(x), "forward calls it 0 times"),
        (lambda m, x: m.norm(m.conv(x)) if x.sum() > 0 else x, "cannot follow the forward of Wired"),
    ],
)
def test_wiring_that_cannot_be_folded(wire, says):
    with pytest.raises(ValueError, match=says):
        fold_batch_norm(Wired(wire).eval())


def test_a_shared_weight_is_refused():
    model = Wired(lambda m, x: m.tied(m.norm(m.conv(x)))).eval()
    model.tied.weight = model.conv.weight
    with pytest.raises(ValueError, match="the weight of Conv2d 'conv' is used more than once"):
        fold_batch_norm(model)


def test_layers_that_cannot_take_a_batch_norm():
    straight = lambda m, x: m.norm(m.conv(x))  # noqa: E731
    with pytest.raises(ValueError, match="into ConvTranspose2d 'conv': cannot fold batch norm into ConvTranspose2d"):
        fold_batch_norm(Wired(straight, conv=nn.ConvTranspose2d(2, 2, 1)).eval())
    with pytest.raises(ValueError, match="without running statistics"):
        fold_batch_norm(Wired(straight, norm=nn.BatchNorm2d(2, track_running_stats=False)).eval())
    with pytest.raises(ValueError, match="the layer has 2 output channels and the batch norm 4"):
        fold_pair(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(4).eval())


def test_training_mode_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    with pytest.raises(ValueError, match=r"batch norm '1' is in training mode.*call model.eval\(\) first"):
        fold_batch_norm(model)
    with pytest.raises(ValueError, match=r"call norm.eval\(\) first"):
        fold_pair(model[0], model[1])


@pytest.mark.parametrize(
    "layer, norm, batch, other",
    [
        (nn.Linear(4, 8), nn.BatchNorm1d(8), (5, 4), (5, 8, 4)),  # the 8 of axis 1 are no features
        (nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8), (5, 3, 8), (3, 8)),  # unbatched: axis 1 is the places
        (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), (5, 3, 8, 8), (3, 8, 8)),
    ],
)
def test_a_folded_model_refuses_an_input_whose_channels_lie_on_another_axis(layer, norm, batch, other):
    model = shake(nn.Sequential(layer, norm))
    assert_same_function(model, torch.randn(batch))
    with pytest.raises(ValueError, match=rf"normalised axis 1, so it can stand for {len(batch)} axes only, got shape"):
        fold_batch_norm(model)(torch.randn(other))


def test_what_a_leaf_reads_behind_the_back_of_forward_is_not_folded():
    class Tied(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder, self.bias = [encoder], nn.Parameter(torch.randn(4))

        def forward(self, x):
            return F.linear(x, self.encoder[0].weight.t(), self.bias)

    encoder = nn.Linear(4, 8)
    model = shake(nn.Sequential(encoder, nn.BatchNorm1d(8), Tied(encoder)))
    with pytest.raises(ValueError, match="the weight of Linear '0' is used more than once"):
        fold_batch_norm(model)
    model = shake(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)))
    model.register_forward_hook(lambda module, inputs, output: output + module[0](inputs[0]))
    with pytest.raises(ValueError, match="this Sequential has a forward hook of its own"):
        fold_batch_norm(model)
