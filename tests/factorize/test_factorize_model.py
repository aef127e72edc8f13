"""Whole models with layers taken apart: what is computed, what it costs, what is left alone, and what is refused."""

import re
from fractions import Fraction

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mini_lib import measure, zoo
from mini_lib.factorize import low_rank, methods
from mini_lib.factorize.cost import cost_ratio
from mini_lib.factorize.model import factorize, separate_model
from mini_lib.factorize.moments import input_moments
from mini_lib.fold import fold_batch_norm
from mini_lib.surgery import swap

EXAMPLE = torch.zeros(1, 1, 28, 28)
LAYERS = ("conv2", "conv3", "conv4")


def says(message: str) -> str:
    return re.escape(message)


def inner(name: str, module: nn.Module) -> bool:
    return name in LAYERS


@pytest.fixture(scope="module")
def trained():
    return zoo.load("small_cnn", seed=0)


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """A convolution with a skip around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + torch.relu(self.norm(self.conv(x)))


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


# --- by hand -------------------------------------------------------------------------------------------------------


def test_costs_before_and_after_are_those_counted_by_hand(trained):
    """conv2 has 16 -> 32 channels, 28 x 28 places before its stride and 14 x 14 behind it."""
    [change] = factorize(trained, EXAMPLE, {"conv2": (6, 12)}, method=methods.tucker()).changes
    assert change.macs_before == 14 * 14 * 16 * 32 * 9
    assert change.macs_after == 28 * 28 * 16 * 6 + 14 * 14 * (6 * 12 * 9 + 12 * 32)
    assert change.parameters_before == 16 * 32 * 9 + 32  # the folded batch norm left a bias
    assert change.parameters_after == 16 * 6 + 6 * 12 * 9 + 12 * 32 + 32
    assert (change.name, change.kind, change.ranks, change.replaced) == ("conv2", "Conv2d", (6, 12), True)


def test_a_layer_with_one_input_channel_is_left_alone_and_reported(trained):
    """conv1 has 16 x 1 x 3 x 3 weights; Tucker-2 at ranks (1, 6) would need 1 + 54 + 96 = 151 of 144."""
    found = factorize(trained, EXAMPLE, {"conv1": (1, 6), "conv3": (8, 16)}, method=methods.tucker())
    assert found.left_alone == ("conv1",)
    first = found.changes[0]
    assert (first.macs_before, first.macs_after) == (784 * 144, 784 * 151)
    assert type(found.model.conv1) is nn.Conv2d and type(found.model.conv3) is nn.Sequential
    assert "left alone: costs more than it saves" in str(found).splitlines()[1]
    assert measure.macs(found.model, EXAMPLE) == measure.macs(trained, EXAMPLE) + sum(
        change.macs_after - change.macs_before for change in found.changes if change.replaced
    )


def test_what_has_to_fall_can_be_chosen():
    """Stride 4: the first 1 x 1 of Tucker-2 runs at 16 times the places, so MACs rise where weights fall."""
    model = seeded(lambda: nn.Sequential(nn.Conv2d(8, 8, 3, stride=4, padding=1)))
    example, ranks = torch.zeros(1, 8, 32, 32), {"0": (5, 5)}
    by_macs = factorize(model, example, ranks, method=methods.tucker())
    by_parameters = factorize(model, example, ranks, method=methods.tucker(), cost="parameters")
    [change] = by_macs.changes
    assert change.macs_before == 64 * 576 and change.macs_after == 1024 * 40 + 64 * (225 + 40)
    assert change.parameters_after < change.parameters_before
    assert by_macs.left_alone == ("0",) and by_parameters.left_alone == ()


def test_exactly_as_dear_is_left_alone():
    """4 * 4 = 16 weights, and rank 2 has 2 * (4 + 4)."""
    found = factorize(nn.Sequential(nn.Linear(4, 4)), torch.zeros(1, 4), {"0": 2})
    assert found.left_alone == ("0",) and found.changes[0].macs_after == 16


def test_a_layer_is_not_charged_for_another_whose_name_begins_alike():
    """Layers '1' and '10', of 64 MACs each; rank 2 makes it 32."""
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(11)))
    [change] = factorize(model, torch.zeros(1, 8), {"1": 2}).changes
    assert (change.macs_before, change.macs_after, change.parameters_after) == (64, 32, 40)


def test_the_table_names_every_layer(trained):
    text = str(factorize(trained, EXAMPLE, {"conv3": 16, "linear": 2}))
    assert [line.split()[:2] for line in text.splitlines()[1:]] == [["conv3", "16"], ["linear", "2"]]
    assert "3,612,672" in text  # 196 * 32 * 64 * 9


# --- against others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_macs_of_the_whole_model_are_those_of_fvcore(trained, fraction):
    ranks = methods.tucker_ranks(trained, fraction, inner)
    model = factorize(trained, EXAMPLE, ranks, method=methods.tucker("hosvd")).model
    counter = FlopCountAnalysis(model, EXAMPLE).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = counter.by_operator()
    assert measure.macs(model, EXAMPLE) == counted["conv"] + counted["linear"]


METHODS = {
    "svd": (methods.plain_svd, {"conv2": 32, "conv3": 64, "conv4": 64}),
    "tucker": (methods.tucker(), {"conv2": (16, 32), "conv3": (32, 64), "conv4": (64, 64)}),
    "spatial": (methods.as_method(low_rank.spatial_svd), {"conv2": 48, "conv3": 96, "conv4": 192}),
}


@pytest.mark.parametrize("name", METHODS)
def test_at_full_rank_a_method_computes_what_the_model_did(trained, pictures, name):
    """Full rank costs more, so it must be asked for by name: through `swap`, as `factorize` would."""
    method, ranks = METHODS[name]
    dense = fold_batch_norm(trained)

    model = swap(dense, {layer: method(layer, dense.get_submodule(layer), rank).layer for layer, rank in ranks.items()})
    with torch.no_grad():
        expected, got = trained(pictures), model(pictures)
    # Sums of up to 576 products in another order: 576 * 2**-24 relative to the largest logit, four layers.
    assert (got - expected).abs().max() <= 4 * 576 * 2**-24 * expected.abs().max()


def test_the_predicted_error_is_that_of_the_weights_in_the_model(trained):
    found = factorize(trained, EXAMPLE, methods.matrix_ranks(trained, 0.25, inner))
    dense = fold_batch_norm(trained)
    for change in found.changes:
        old, new = dense.get_submodule(change.name).weight, low_rank.rebuild(found.model.get_submodule(change.name))
        # Factors are stored in float32, each off by at most 2**-24 of itself: so is their product, a few times over.
        assert low_rank.relative_error(old.detach(), new) == pytest.approx(change.predicted_error, abs=1e-6)


def test_data_aware_is_nearer_to_the_output_of_the_first_layer_taken_apart(trained, pictures):
    """On the pictures it was calibrated with it is the best of its rank, so plain SVD cannot be better."""
    moments = input_moments(trained, pictures, inner)
    dense = fold_batch_norm(trained)
    with torch.no_grad():
        before = dense[:4](pictures)
        errors = {}
        for name, method in {"aware": methods.data_aware_svd(moments), "plain": methods.plain_svd}.items():
            model = factorize(trained, EXAMPLE, {"conv2": 6}, method=method).model
            errors[name] = (model[:4](pictures) - before).norm().item()
    assert errors["aware"] < errors["plain"]


# --- what must hold ------------------------------------------------------------------------------------------------


def test_the_argument_is_untouched(trained, pictures):
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    model = factorize(trained, EXAMPLE, {"conv3": 8}).model
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in before.items())


def test_a_residual_and_its_batch_norm_are_handled():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), Residual(16), nn.Conv2d(16, 4, 1))).eval()
    with torch.no_grad():
        model[1].norm.running_mean.normal_(generator=torch.Generator().manual_seed(0))
        model[1].norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
        # a weight of rank 3: nothing is lost, so the skip can be seen to be there
        low = torch.randn(16, 3) @ torch.randn(3, 144)
        model[1].conv.weight.copy_(low.reshape(16, 16, 3, 3))
    found = factorize(model, torch.zeros(1, 1, 8, 8), {"1.conv": 3})
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    assert type(found.model[1]) is Residual and type(found.model[1].conv) is nn.Sequential
    with torch.no_grad():
        expected = model(x)
        # 144 products a place in another order, and a weight that is rounded after its decomposition
        assert (found.model(x) - expected).abs().max() <= 4 * 144 * 2**-24 * expected.abs().max()


def test_batch_norm_stays_where_it_is_told_to(trained, pictures):
    found = factorize(trained, EXAMPLE, {"conv3": 16}, fold=False)
    assert type(found.model.conv3_bn) is nn.BatchNorm2d
    assert found.model.conv3[1].bias is None
    with torch.no_grad():
        assert found.model(pictures).isfinite().all()


def test_a_layer_that_runs_twice_is_one_layer_taken_apart_once():
    layer = seeded(lambda: nn.Linear(16, 16))
    model = nn.Sequential(layer, nn.ReLU(), layer)
    found = factorize(model, torch.zeros(1, 16), {"0": 2})
    assert found.model[0] is found.model[2] and found.changes[0].macs_before == 2 * 256


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_whatever_the_rank_a_model_never_gets_dearer(inputs, outputs, rank):
    model = nn.Sequential(nn.Linear(inputs, outputs))
    rank = min(rank, inputs, outputs)
    example = torch.zeros(1, inputs)
    found = factorize(model, example, {"0": rank})
    assert measure.macs(found.model, example) <= inputs * outputs
    assert (found.left_alone == ()) == (rank * (inputs + outputs) < inputs * outputs)


# --- depthwise-separable -------------------------------------------------------------------------------------------


def test_a_separated_model_costs_what_the_formula_says(trained):
    found = separate_model(trained, EXAMPLE, 1, where=inner)
    for change, channels in zip(found.changes, (32, 64, 64), strict=True):
        assert Fraction(change.macs_after, change.macs_before) == cost_ratio(channels, 3)
    assert [type(found.model.get_submodule(name)).__name__ for name in LAYERS] == ["Sequential"] * 3


def test_the_first_convolution_is_chosen_too_and_left_alone(trained):
    """One slice of 16 x 9: multiplier 5 is 5 * (1/16 + 1/9) = 125/144; multiplier 6 would be 150/144."""
    assert separate_model(trained, EXAMPLE, 5).left_alone == ()
    assert separate_model(trained, EXAMPLE, 6).left_alone == ("conv1",)


def test_multipliers_by_name(trained):
    assert [c.ranks for c in separate_model(trained, EXAMPLE, {"conv4": 3, "conv3": 2}).changes] == [(3,), (2,)]


def test_pointwise_and_grouped_convolutions_are_not_separated():
    with pytest.raises(ValueError, match="where chooses no layer of the model; its nn.Conv2d layers are '0', '1'"):
        separate_model(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, groups=4)), torch.zeros(1, 4, 8, 8))


# --- ranks ---------------------------------------------------------------------------------------------------------


def test_fractions_of_full_rank(trained):
    assert methods.matrix_ranks(trained, 0.375, inner) == {"conv2": 12, "conv3": 24, "conv4": 24}
    assert methods.tucker_ranks(trained, 0.375) == {
        "conv1": (1, 6),
        "conv2": (6, 12),
        "conv3": (12, 24),
        "conv4": (24, 24),
        "linear": 4,
    }


@pytest.mark.parametrize("ranks", [methods.matrix_ranks, methods.tucker_ranks])
def test_a_fraction_lies_above_0_and_at_most_at_1(trained, ranks):
    for fraction in (0, -0.5, 1.1, float("nan")):
        with pytest.raises(ValueError, match=says(f"fraction must lie in (0, 1], got {fraction}")):
            ranks(trained, fraction)
    with pytest.raises(ValueError, match="where chooses no layer"):
        ranks(trained, 0.5, lambda name, module: False)


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks, message", [
    ({}, "ranks names no layer; there are 'conv1', 'conv2', 'conv3', 'conv4', 'linear'"),
    ({"conv9": 4}, "ranks names 'conv9', which the model does not have; there are 'conv1', 'conv2'"),
    ({"conv3": 0}, "layer 'conv3': rank must be a whole number from 1 to 64, got 0; 64 is exact for a 64 x 288 weight"),
    ({"conv3": 65}, "layer 'conv3': rank must be a whole number from 1 to 64, got 65; 64 is exact for a 64 x 288 w"),
])  # fmt: skip
def test_ranks_that_do_not_fit_the_model(trained, ranks, message):
    with pytest.raises(ValueError, match=says(message)):
        factorize(trained, EXAMPLE, ranks)


def test_a_rank_that_is_no_whole_number_is_refused_with_the_layers_name(trained):
    message = "layer 'conv3': rank must be a whole number from 1 to 64, got 2.5; 64 is exact for a 64 x 288 w"
    with pytest.raises(TypeError, match=says(message)):
        factorize(trained, EXAMPLE, {"conv3": 2.5})


@pytest.mark.parametrize("rank, message", [
    (4, "layer 'conv3': a Tucker-2 decomposition needs two ranks, (in, out), got 4"),
    ((4, 4, 4), "needs two ranks"),
    ((0, 4), "layer 'conv3': "),
    ((33, 4), "from 1 to 32, got 33"),
])  # fmt: skip
def test_tucker_ranks_that_do_not_fit(trained, rank, message):
    with pytest.raises(ValueError, match=says(message)):
        factorize(trained, EXAMPLE, {"conv3": rank}, method=methods.tucker())


def test_layers_that_cannot_be_taken_apart(trained):
    with pytest.raises(TypeError, match=says("layer 'pool' is a AdaptiveAvgPool2d, which cannot be taken apart")):
        factorize(trained, EXAMPLE, {"pool": 2})
    attention = nn.MultiheadAttention(8, 2)
    with pytest.raises(TypeError, match="layer 'out_proj' is a NonDynamicallyQuantizableLinear"):
        factorize(attention, torch.zeros(3, 8), {"out_proj": 2})
    grouped = nn.Sequential(nn.Conv2d(8, 8, 3, groups=2))
    with pytest.raises(ValueError, match=says("layer '0': cannot factorize a convolution with groups=2")):
        factorize(grouped, torch.zeros(1, 8, 8, 8), {"0": 2})


def test_a_multiplier_out_of_range(trained):
    with pytest.raises(ValueError, match=says("layer 'conv3': multiplier must be a whole number from 1 to 9")):
        separate_model(trained, EXAMPLE, {"conv3": 10})
    with pytest.raises(ValueError, match=says("multipliers must be a whole number of 1 or more, got 0")):
        separate_model(trained, EXAMPLE, 0)


def test_other_wrong_arguments(trained):
    with pytest.raises(TypeError, match=says("ranks must be a rank by layer name, got int; pass a dict")):
        factorize(trained, EXAMPLE, 4)
    with pytest.raises(TypeError, match="model must be an nn.Module, got str"):
        factorize("small_cnn", EXAMPLE, {"conv3": 4})
    with pytest.raises(ValueError, match="cost must be 'macs' or 'parameters', got 'time'"):
        factorize(trained, EXAMPLE, {"conv3": 4}, cost="time")
    with pytest.raises(ValueError, match="is in training mode"):
        factorize(zoo.small_cnn().train(), EXAMPLE, {"conv3": 4})
    with pytest.raises(ValueError, match=says("there are no moments of layer 'conv3'; there are those of none")):
        factorize(trained, EXAMPLE, {"conv3": 4}, method=methods.data_aware_svd({}))


def test_weights_and_names_that_are_shared():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    with pytest.raises(ValueError, match=says("layer '0' shares its weight with '1'")):
        factorize(nn.Sequential(first, second), torch.zeros(1, 8), {"0": 2})
    embedding, head = nn.Embedding(8, 8), nn.Linear(8, 8)
    head.weight = embedding.weight
    with pytest.raises(ValueError, match=says("layer '1' shares its weight with '0'")):
        factorize(nn.Sequential(embedding, head), torch.zeros(1, dtype=torch.long), {"1": 2})
    with pytest.raises(ValueError, match=says("'1' is another name of layer '0'; use that one")):
        factorize(nn.Sequential(first, first), torch.zeros(1, 8), {"1": 2})


def test_a_layer_that_does_not_run():
    class Idle(nn.Module):
        """Holds a layer that it does not use."""

        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="layer 'idle' did not run on the example"):
        factorize(Idle(), torch.zeros(1, 8), {"idle": 2})
