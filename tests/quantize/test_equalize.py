"""Cross-layer equalization: by hand, the theorem behind it, which layers make a pair, and what it refuses."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from mini_lib import data, zoo
from mini_lib.fit import accuracy
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import IntFormat, PerChannel, PerTensor, quantize
from mini_lib.quantize.equalize import LayerPair, equalize, find_pairs, rescaled
from mini_lib.quantize.model import quantize_weights

# In float64 an equalized model differs from the original by a few roundings of 2**-53 in each weight and by those of
# its sums of at most 300 products: 300 * 2**-53 = 3.3e-14 of the sum of magnitudes, and with the rescaling of a
# residual-free chain of three layers, at worst 1e3 times that of the result.
SAME_FUNCTION = 3.3e-11


def chain(seed: int = 0, activation=nn.ReLU) -> nn.Module:
    """Conv, depthwise conv, grouped conv, pooling, flatten, linear: every kind of input side there is."""
    torch.manual_seed(seed)
    return (
        nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            activation(),
            nn.Conv2d(6, 6, 3, padding=1, groups=6),
            activation(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 4, 3, groups=2, bias=False),
            activation(),
            nn.Flatten(),
            nn.Linear(4 * 4, 5),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(5, 3),
        )
        .double()
        .eval()
    )


CHAIN_PAIRS = [LayerPair("0", "2"), LayerPair("2", "5"), LayerPair("5", "8"), LayerPair("8", "11")]


def rescale(model: nn.Module, first: str, second: str, factors: torch.Tensor) -> nn.Module:
    """Multiply the outputs of `first` by `factors` and divide the inputs of a plain or depthwise `second` by them."""
    model = copy.deepcopy(model)
    one, two = model.get_submodule(first), model.get_submodule(second)
    one.weight.data *= factors.reshape(-1, 1, 1, 1)
    one.bias.data *= factors
    two.weight.data /= factors.reshape((-1, 1, 1, 1) if two.groups > 1 else (1, -1, 1, 1))
    return model


def ranges(model: nn.Module, pair: LayerPair) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest magnitude of each channel on both sides of a pair, with a loop over channels."""
    first, second = model.get_submodule(pair.first), model.get_submodule(pair.second)
    channels, groups = first.weight.shape[0], getattr(second, "groups", 1)
    outputs, inputs = second.weight.shape[0] // groups, second.weight.shape[1]
    block = inputs * groups // channels
    r1, r2 = [], []
    for channel in range(channels):
        r1.append(first.weight[channel].abs().max().item())
        largest = 0.0
        for column in range(channel * block, (channel + 1) * block):
            group, position = divmod(column, inputs)
            largest = max(largest, second.weight[group * outputs : (group + 1) * outputs, position].abs().max().item())
        r2.append(largest)
    return torch.tensor(r1, dtype=torch.float64), torch.tensor(r2, dtype=torch.float64)


def test_a_pair_worked_by_hand():
    # Channel 0: r1 = 8, r2 = 2, s = 2; channel 1: r1 = 1, r2 = 4, s = 1 / 2. The bias goes with its channel.
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).eval()
    model[0].weight.data = torch.tensor([[8.0, -4.0], [0.5, -1.0]])
    model[0].bias.data = torch.tensor([6.0, 3.0])
    model[2].weight.data = torch.tensor([[-2.0, 4.0]])
    model[2].bias.data = torch.tensor([0.25])
    balanced = equalize(model)
    assert balanced[0].weight.tolist() == [[4.0, -2.0], [1.0, -2.0]]
    assert balanced[0].bias.tolist() == [3.0, 6.0]
    assert balanced[2].weight.tolist() == [[-4.0, 2.0]] and balanced[2].bias.tolist() == [0.25]
    assert model[0].weight.tolist() == [[8.0, -4.0], [0.5, -1.0]]  # the argument stays as it is
    x = torch.tensor([[1.0, 2.0]])
    assert balanced(x).item() == model(x).item()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_the_function_is_unchanged_and_the_ranges_meet(seed):
    model = chain(seed)
    model[0].weight.data *= torch.logspace(-2, 2, 6, dtype=torch.float64).reshape(-1, 1, 1, 1)
    balanced = equalize(model)
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    expected = model(x)
    assert (balanced(x) - expected).abs().max() <= SAME_FUNCTION * expected.abs().max()
    for pair in find_pairs(model):
        r1, r2 = ranges(balanced, pair)
        # A pair's turn makes its ranges equal. In the last round the next pair's turn then moved one of the two sides,
        # by a factor within 1e-4 of 1.
        assert ((r1 / r2).log().abs() <= 1e-4).all()


def test_a_custom_forward_with_functional_calls():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.a(x)), 2)
            return self.c(torch.relu(self.b(x)).mean((2, 3)))

    torch.manual_seed(0)
    model = Net().double().eval()
    assert find_pairs(model) == [LayerPair("a", "b"), LayerPair("b", "c")]
    x = torch.randn(2, 1, 12, 12, dtype=torch.float64)
    assert (equalize(model)(x) - model(x)).abs().max() <= SAME_FUNCTION * model(x).abs().max()


def test_dead_channels_are_left_alone():
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
    model[0].weight.data = torch.tensor([[0.0], [2.0], [4.0]])
    model[2].weight.data = torch.tensor([[3.0, 0.0, 1.0]])
    balanced = equalize(model)
    assert balanced[0].weight.flatten().tolist() == [0.0, 2.0, 2.0]
    assert balanced[2].weight.flatten().tolist() == [3.0, 0.0, 2.0]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_equalization_undoes_any_rescaling(seed):
    # r1_i * r2_i does not change when a channel is rescaled, and the result depends on the ranges through it alone.
    # Rounds end within 1e-4 of the fixed point of a chain; the two runs start from different places.
    model = chain(seed)
    factors = 10 ** (4 * torch.rand(6, dtype=torch.float64) - 2)
    wrecked = rescale(model, "0", "2", factors)
    for one, two in zip(equalize(model).parameters(), equalize(wrecked).parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-2, atol=0)


def lost_channels(weight: torch.Tensor, fmt: IntFormat) -> int:
    """How many output channels have nothing left of them once the weight is quantized."""
    return int((quantize(weight, fmt).dequantize().flatten(1) == 0).all(dim=1).sum())


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_what_a_rescaling_does_to_per_channel_and_per_tensor_grids(seed):
    """The reason for all this. Powers of two make it exact: they move no mantissa."""
    model = chain(seed).float()
    factors = 2.0 ** torch.tensor([-6, -3, 0, 1, 4, 6])
    wrecked = rescale(model, "0", "2", factors)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(model(x), wrecked(x))  # the network is the same one

    # One grid a channel follows its channel: the codes are the same, and so is what the quantized network computes.
    per_channel = IntFormat(4, granularity=PerChannel(0))
    for name in ("0", "2"):
        one, two = (quantize(each.get_submodule(name).weight, per_channel) for each in (model, wrecked))
        assert torch.equal(one.codes, two.codes)
    assert torch.equal(quantize_weights(model, per_channel)(x), quantize_weights(wrecked, per_channel)(x))

    # One grid for all: its first code is at 1/14 of the widest channel's range. Before, no channel is below that (the
    # ranges of 9 uniform numbers); after, the channel at 2**-6 is, at most 2**-12 times as wide as the one at 2**6.
    per_tensor = IntFormat(4, granularity=PerTensor())
    assert lost_channels(model[0].weight, per_tensor) == 0
    assert lost_channels(wrecked[0].weight, per_tensor) >= 1 and lost_channels(wrecked[2].weight, per_tensor) >= 1
    # And equalization brings it back, without having seen the model as it was.
    assert lost_channels(equalize(wrecked)[0].weight, per_tensor) == 0


def test_a_grid_a_channel_notices_a_rescaling_of_its_inputs():
    # A layer that is not depthwise reads every channel in each of its rows, and a row has one grid: [1, 1] at 4 bits is
    # [7, 7], but [1, 1/64] is [7, 0].
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).eval()
    model[2].weight.data = torch.tensor([[1.0, 1.0]])
    wrecked = copy.deepcopy(model)
    wrecked[0].weight.data[1] *= 64
    wrecked[0].bias.data[1] *= 64
    wrecked[2].weight.data[0, 1] /= 64
    x = torch.ones(1, 1)
    assert torch.equal(model(x), wrecked(x))
    fmt = IntFormat(4, granularity=PerChannel(0))
    assert torch.equal(quantize(model[0].weight, fmt).codes, quantize(wrecked[0].weight, fmt).codes)
    assert quantize(model[2].weight, fmt).codes.tolist() == [[7, 7]]
    assert quantize(wrecked[2].weight, fmt).codes.tolist() == [[7, 0]]


def test_what_it_does_for_a_trained_depthwise_model():
    # Depthwise channels differ widely in range. With 5 bits and one grid a tensor the three checkpoints lose 11, 51 and
    # 74 points, and 0 to 3 once they are equalized.
    model = fold_batch_norm(zoo.load("depthwise_cnn", seed=0))
    validation = data.fashion().validation.first(500)
    fmt = IntFormat(5, granularity=PerTensor())
    balanced = equalize(model)
    as_trained, as_balanced = (accuracy(quantize_weights(each, fmt), validation) for each in (model, balanced))
    assert accuracy(balanced, validation) == pytest.approx(accuracy(model, validation), abs=0.002)  # one picture
    assert as_trained < 0.5 < 0.85 < as_balanced


def test_pairs_of_a_chain():
    assert find_pairs(chain()) == CHAIN_PAIRS


class Wired(nn.Module):
    """Two convs and a linear layer, wired as `wire(model, x)` says."""

    def __init__(self, wire) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.head, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm, self.wire = nn.GroupNorm(1, 4), wire

    def forward(self, x):
        return self.wire(self, x)


@pytest.mark.parametrize(
    "wire",
    [
        lambda m, x: m.b(h := F.relu(m.a(x))) + h,  # the second reader would see the change
        lambda m, x: m.a(F.relu(m.a(x))),  # one weight, two uses
        lambda m, x: m.b(m.norm(m.a(x))),  # undoes a factor for all channels together
        lambda m, x: m.b(m.a(x) + 1.0),
        lambda m, x: m.head(m.a(x)),  # a linear layer over the width of the image
        lambda m, x: m.head(m.a(x).flatten(2)),
        lambda m, x: m.head(m.a(x).mean((1, 2))),
        lambda m, x: m.other(F.avg_pool2d(m.head(x), 1)),  # pools over features, which are a linear layer's channels
        lambda m, x: m.b(torch.sigmoid(m.norm(x))),
    ],
)
def test_layers_that_make_no_pair(wire):
    with pytest.raises(ValueError, match="no two layers follow each other .* nothing to equalize"):
        find_pairs(Wired(wire).eval())


@pytest.mark.parametrize(
    "activation, name",
    [(nn.ReLU6, "ReLU6"), (nn.SiLU, "SiLU"), (nn.GELU, "GELU"), (nn.Sigmoid, "Sigmoid"), (nn.Hardswish, "Hardswish")],
)
def test_other_activations_are_refused(activation, name):
    says = f"{name} '1' stands between Conv2d '0' and Conv2d '2', and it does not let a positive factor through"
    with pytest.raises(ValueError, match=says):
        equalize(chain(activation=activation))


@pytest.mark.parametrize("function", [F.relu6, torch.sigmoid, F.silu, torch.tanh, lambda x: x.clamp(0, 6)])
def test_other_activations_as_functions_are_refused(function):
    with pytest.raises(ValueError, match="stands between Conv2d 'a' and Conv2d 'b'.*equalize needs ReLU there"):
        equalize(Wired(lambda m, x: m.b(function(m.a(x)))).eval())


def test_an_activation_at_the_end_of_the_model_does_not_matter():
    model = Wired(lambda m, x: torch.sigmoid(m.b(F.relu(m.a(x))))).eval()
    assert find_pairs(model) == [LayerPair("a", "b")]


def test_batch_norm_and_training_mode_are_refused():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 1, 1))
    with pytest.raises(ValueError, match=r"batch norm '1' would undo .* fold it first with fold_batch_norm\(model\)"):
        equalize(model.eval())
    with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\) first"):
        equalize(chain().train())


def test_weights_that_are_not_finite_are_named():
    model = chain()
    model[2].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="layer '2': the weight holds NaN or infinity"):
        equalize(model)


def _three_layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


@pytest.mark.parametrize("method", ["mask", "weight_norm"])
def test_a_weight_that_torch_computes_anew_in_each_forward_pass_is_refused(method):
    # what is written to such a weight is gone after the next forward pass, while the bias stays scaled
    model = _three_layers()
    if method == "mask":
        prune.l1_unstructured(model[2], "weight", amount=0.5)
    else:
        with pytest.warns(FutureWarning):
            torch.nn.utils.weight_norm(model[2])
    model(torch.ones(1, 4))  # after this, the weight is no leaf, and torch refuses to copy the model
    with pytest.raises(ValueError, match="the range of layer '2' cannot be moved: its weight is masked"):
        equalize(model)


def test_a_bias_that_is_masked_or_shared_is_refused():
    masked = _three_layers()
    prune.l1_unstructured(masked[0], "bias", amount=0.5)
    with pytest.raises(ValueError, match="the range of layer '0' cannot be moved: its bias is masked"):
        equalize(masked)
    shared = _three_layers()
    shared[2].bias = shared[0].bias
    with pytest.raises(ValueError, match="layers '0' and '2' share one bias; give each its own"):
        equalize(shared)


def test_a_weight_that_would_overflow_is_refused():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).eval()
    model[0].weight.data.fill_(1e20)
    with pytest.raises(ValueError, match="would become 1e.50, beyond what torch.float32 holds; call model.float"):
        rescaled(model, {LayerPair("0", "2"): torch.tensor([1e-30], dtype=torch.float64)})


class Chained(nn.Module):
    """A layer, a ReLU, what `between` does and a second layer."""

    def __init__(self, first: nn.Module, between, second: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.second = first, between, second

    def forward(self, x):
        return self.second(self.between(F.relu(self.first(x))))


@pytest.mark.parametrize(
    "first, between, second",
    [
        (nn.Conv3d(2, 8, 1), lambda x: x.mean((2, 3)), nn.Linear(8, 5)),  # the last axis is one of places, 8 of them
        (nn.Conv2d(3, 8, 1), nn.Flatten(1), nn.Linear(36, 5)),  # runs only without a batch, where axis 0 is channels
        (nn.Conv1d(3, 8, 1), nn.MaxPool2d(1), nn.Conv1d(8, 5, 1)),  # pools over channels and places
        (nn.Conv2d(3, 8, 1), nn.Identity(), nn.Conv3d(8, 5, 1)),  # takes the batch for channels
    ],
)
def test_layers_whose_channels_lie_on_different_axes_make_no_pair(first, between, second):
    with pytest.raises(ValueError, match="no two layers follow each other"):
        equalize(Chained(first, between, second).eval())


@pytest.mark.parametrize(
    "first, between, second, example",
    [
        (nn.Conv3d(2, 8, 1), lambda x: x.mean((2, 3, 4)), nn.Linear(8, 5), (2, 2, 4, 4, 4)),
        (nn.Conv3d(2, 8, 1), lambda x: x.mean((-3, -2, -1)), nn.Linear(8, 5), (2, 2, 4, 4, 4)),
        (nn.Conv3d(2, 8, 1), nn.MaxPool3d(2), nn.Conv3d(8, 5, 1), (2, 2, 4, 4, 4)),
        (nn.Conv1d(2, 8, 1), nn.AdaptiveAvgPool1d(3), nn.Conv1d(8, 5, 1), (2, 2, 6)),
        (nn.Conv2d(2, 8, 1), nn.Flatten(1), nn.Linear(32, 5), (2, 2, 2, 2)),
    ],
)
def test_layers_with_any_number_of_places_make_a_pair(first, between, second, example):
    model = Chained(first, between, second).double().eval()
    model.first.weight.data[0] *= 50
    x = torch.rand(example, dtype=torch.float64)
    assert find_pairs(model) == [LayerPair("first", "second")]
    assert (equalize(model)(x) - model(x)).abs().max() <= 1e-12  # sums of some thirty products of about 1
