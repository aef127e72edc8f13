"""Every transformation of pruning and factorization on odd models: it keeps what they compute, or refuses by name."""

import pytest
import torch
from odd_nets import ODD, build, inputs
from torch import nn
from torch.nn.parameter import is_lazy

from mini_lib.copying import copied
from mini_lib.distill import mean_of
from mini_lib.factorize import (
    add_lora,
    data_aware_svd,
    factorize,
    input_moments,
    is_factorizable,
    matrix_ranks,
    merge_lora,
    plain_svd,
    restore_mean_output,
)
from mini_lib.factorize.low_rank import Factorized, svd_linear
from mini_lib.prune import Mask, apply_mask, baked, masked
from mini_lib.prune.second_order import activation_weighted, optimal_brain_surgeon, sparse_gpt
from mini_lib.prune.structure import channel_groups, mask_channels, remove_channels
from mini_lib.prune.tickets import weights_of, with_weights


def everything(model):
    """A mask that prunes nothing, of all linear weights that are parameters."""
    found = {}
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and not is_lazy(weight):
            found[name] = weight
    return Mask({name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in found.items()})


def apart(model, x, method=plain_svd):
    """The model with its linear layers, of rank 2, taken apart at rank 2."""
    ranks = dict.fromkeys(matrix_ranks(model, 0.5), 2)
    found = factorize(model, x, ranks, method=method)
    assert any(change.replaced for change in found.changes)
    return found.model


def by_data(model, x):
    return apart(model, x, data_aware_svd(input_moments(model, x)))


def mean_restored(model, x):
    moments = input_moments(model, x)

    def method(name, layer, rank):
        restored = restore_mean_output(layer, svd_linear(layer, rank).layer, moments[name])
        return Factorized(restored, layer, (rank,), 0.0)

    return apart(model, x, method)


def all_channels(model, x):
    return {group.name: range(group.channels) for group in channel_groups(model, x)}


# Each changes nothing that counts: a mask that keeps all, full rank, a change of zero. So outputs must stay.
UNCHANGED = {
    "copied": lambda model, x: copied(model),
    "apply_mask": lambda model, x: apply_mask(model, everything(model)),
    "masked": lambda model, x: masked(model, everything(model)),
    "baked": lambda model, x: baked(model),
    "masked, baked": lambda model, x: baked(masked(model, everything(model))),
    "with_weights": lambda model, x: with_weights(model, weights_of(model)),
    "sparse_gpt": lambda model, x: sparse_gpt(model, x, density=1.0)[0],
    "mask_channels": lambda model, x: mask_channels(model, x, all_channels(model, x)),
    "remove_channels": lambda model, x: remove_channels(model, x, all_channels(model, x)),
    "factorize": apart,
    "output_svd": by_data,
    "restore_mean_output": mean_restored,
    "add_lora": lambda model, x: add_lora(model, 2),
    "add_lora, merge_lora": lambda model, x: merge_lora(add_lora(model, 2)),
    "add_lora twice, merge_lora": lambda model, x: merge_lora(add_lora(add_lora(model, 2), 1)),
    "mean_of": lambda model, x: mean_of([model]),
}
# Rounding to the weight's type once or twice, over sums of at most 8 products and two layers: a hundred roundings.
TOLERANCE = {
    torch.float16: 1e-1,
    torch.bfloat16: 5e-1,
    torch.float32: 1e-4,
    torch.float64: 1e-12,
    torch.complex64: 1e-4,
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", UNCHANGED)
def test_it_is_kept_or_refused_by_name(name, odd):
    model, x = build(odd), inputs(odd)
    state = {key: value.clone() for key, value in model.state_dict().items()} if odd != "lazy" else {}
    modes = [module.training for module in model.modules()]
    try:
        after = UNCHANGED[name](model, x)
    except (TypeError, ValueError) as error:
        assert odd != "plain", error
        assert len(str(error)) > 20
        after = None
    assert [module.training for module in model.modules()] == modes
    for key, value in state.items():
        now = model.state_dict()[key]
        assert value.is_meta or torch.equal(now, value), key
    if after is None or odd in ("meta", "lazy"):
        return
    assert name == "mean_of" or after.training == modes[0]
    with torch.no_grad():
        expected, found = model.eval()(x), after.eval()(x)
    assert found.dtype == expected.dtype
    assert (found - expected).abs().max() <= TOLERANCE.get(x.dtype, 1e-4) * expected.abs().max()


COPIES = [
    "weight read by others",
    "shape read by others",
    "called by name",
    "shared module",
    "attention",
    "half",
    "bfloat16",
    "float64",
    "training",
]
KEPT = {  # what must not be refused: the transformation has no need to
    "apply_mask": [*COPIES, "a hook", "a pre-hook", "a method from outside", "a subclass", "tied weights"],
    "masked": [*COPIES, "a hook", "a pre-hook", "a method from outside", "a subclass", "tied weights"],
    "baked": [*COPIES, "masked", "a hook", "a pre-hook", "a method from outside", "a subclass", "tied weights"],
    "sparse_gpt": ["called by name", "shared module", "half", "float64"],
    "factorize": ["called by name", "shared module", "half", "float64", "training"],
    "add_lora": COPIES,
    "add_lora, merge_lora": COPIES,
    "remove_channels": ["called by name", "half", "float64", "training"],
}


@pytest.mark.parametrize(("name", "odd"), [(name, odd) for name, odds in KEPT.items() for odd in odds])
def test_what_has_no_reason_to_be_refused_is_not(name, odd):
    UNCHANGED[name](build(odd), inputs(odd))


@pytest.mark.parametrize(
    "odd",
    [
        "a hook",
        "a pre-hook",
        "a subclass",
        "weight read by others",
        "called by name",
        "attention",
        "tied weights",
        "float64",
        "complex",
        "shared module",
    ],
)
def test_a_mask_makes_the_same_zeros_whatever_stands_around_it(odd):
    """Against the weights set to zero by hand, in place: after masking, after training a step, and baked."""
    model, x = build(odd), inputs(odd)
    mask = everything(model)
    mask = Mask({name: torch.arange(keep.numel()).reshape(keep.shape) % 3 > 0 for name, keep in mask.tensors.items()})
    by_mask, trained = apply_mask(model, mask), masked(model, mask)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        trained(x).abs().square().sum().backward()
        optimizer.step()
    plain = baked(trained)
    for name, keep in mask.tensors.items():
        assert not plain.get_parameter(name)[~keep].any() and plain.get_parameter(name)[keep].any()
    with torch.no_grad():
        for name, keep in mask.tensors.items():
            model.get_parameter(name).mul_(keep)
        assert torch.equal(by_mask(x), model(x))
        assert torch.allclose(plain(x), trained(x))


@pytest.mark.parametrize("score", [activation_weighted, optimal_brain_surgeon])
@pytest.mark.parametrize(
    "odd",
    [
        "a hook",
        "a pre-hook",
        "a subclass",
        "a method from outside",
        "parametrized",
        "masked",
        "pruned by torch",
        "tied weights",
        "complex",
        "meta",
        "lazy",
        "scripted",
        "training",
    ],
)
def test_scores_by_inputs_are_refused_by_name(score, odd):
    with pytest.raises((TypeError, ValueError), match=r"fc|weight|mode|scripted|calibration"):
        score(build(odd), inputs(odd))


def test_a_recurrent_layer_that_reads_past_its_mask_is_refused():
    lstm = nn.LSTM(3, 4)
    mask = Mask({"weight_ih_l0": torch.rand(16, 3) > 0.5})
    with pytest.raises(ValueError, match="'weight_ih_l0' belongs to an LSTM, which bypasses any mask on its weights"):
        masked(lstm, mask)
    assert not apply_mask(lstm, mask).weight_ih_l0[~mask["weight_ih_l0"]].any()


class Rolls(nn.ReLU):
    """A ReLU by name, that puts channels in another order."""

    def forward(self, x):
        return super().forward(x).roll(1, 1)


def chain(middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), middle, nn.Linear(8, 4)).eval()


def test_channels_are_not_followed_through_what_only_looks_like_a_relu():
    with pytest.raises(ValueError, match=r"cannot follow channels through the call of roll;"):
        remove_channels(chain(Rolls()), torch.zeros(1, 6), {"0": [0, 1, 5]})
    hooked = chain(nn.ReLU())
    hooked[1].register_forward_hook(lambda module, inputs, output: output.roll(1, 1))
    with pytest.raises(ValueError, match=r"ReLU '1' has a forward hook of its own"):
        remove_channels(hooked, torch.zeros(1, 6), {"0": [0, 1, 5]})


class Divides(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.first, self.second, self.last, self.by = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 4), by

    def forward(self, x):
        return self.last(self.by(self.first(x), torch.sigmoid(self.second(x))))


@pytest.mark.parametrize(
    "by",
    [
        lambda a, b: torch.div(a, other=b),
        lambda a, b: torch.div(input=a, other=b),
        lambda a, b: torch.div(a, b, rounding_mode=None),
        lambda a, b: a.div(other=b),
    ],
)
def test_a_divisor_that_is_named_is_seen(by):
    with pytest.raises(ValueError, match="div divides by it"):
        remove_channels(Divides(by), torch.zeros(1, 6), {"first": [0, 3]})


class Means(nn.Module):
    """The mean of 8 channels beside them, with the 8 written down."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.first(x)
        return self.last(nn.functional.dropout(x, 0.5))  # and training=True, whatever the mode


def test_what_draws_at_random_is_not_compared():
    with pytest.raises(ValueError, match="computes something else than the one with zeros"):
        remove_channels(Means().eval(), torch.zeros(3, 6), {"first": [0, 3]})


class Keyworded(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 4, 3)

    def forward(self, x):
        x = torch.relu(input=self.norm(input=self.conv(input=x)))
        x = nn.functional.max_pool2d(input=x, kernel_size=2)
        return self.fc(input=torch.flatten(input=x, start_dim=1))


def test_layers_that_are_called_by_name_lose_their_channels_too():
    torch.manual_seed(0)
    model, x = Keyworded().eval(), torch.randn(2, 1, 6, 6)
    smaller = remove_channels(model, x, {"conv": [1, 2]})
    zeros = mask_channels(model, x, {"conv": [1, 2]})
    assert smaller.fc.in_features == 8
    assert torch.allclose(smaller(x), zeros(x), atol=1e-6)


def test_two_lora_merge_into_one_layer():
    """W = (1, 2); the first change is 2 * 3 (5, 7) on top, the second one of each of its three parts."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0]])
    model = add_lora(add_lora(nn.Sequential(layer), 1), 1)
    parts = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for number, part in enumerate(parts):
        part.weight.data = torch.full_like(part.weight, float(number + 1))
    x = torch.tensor([[3.0, -5.0], [1.0, 4.0]])
    merged = merge_lora(model)
    assert type(merged[0]) is nn.Linear and len(list(merged.parameters())) == 1
    # base 1 + 3 * 2 = 7 each; down 4 + 6 * 5 = 34 each; up 7 + 9 * 8 = 79: 7 + 79 * 34
    assert merged[0].weight.tolist() == [[7 + 79 * 34, 7 + 79 * 34]]
    assert torch.equal(merged(x), model(x))


def test_a_lora_beside_what_has_no_weight_is_refused_by_name():
    model = add_lora(nn.Sequential(nn.Linear(4, 4)), 2)
    model[0].base = nn.Identity()
    with pytest.raises(TypeError, match=r"layer '0\.base': it is a Identity"):
        merge_lora(model)


def test_where_is_asked_in_one_way():
    for transform in (
        lambda where: add_lora(nn.Sequential(nn.ReLU()), 1, where=where),
        lambda where: input_moments(nn.Sequential(nn.ReLU()).eval(), torch.zeros(2, 2), where),
        lambda where: matrix_ranks(nn.Sequential(nn.ReLU()), 0.5, where),
    ):
        with pytest.raises(ValueError, match="there is nothing to choose"):
            transform(is_factorizable)
        with pytest.raises(TypeError, match="layer '0': it is a ReLU"):
            transform(lambda name, module: name == "0")
