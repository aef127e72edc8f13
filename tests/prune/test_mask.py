"""A mask counts itself by hand-made examples, keeps its zeros through real training, and goes away without a trace."""

import copy
import pickle
import re
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune

from mini_lib import measure
from mini_lib.data import Split
from mini_lib.fit import fit
from mini_lib.prune import LayerDensity, Mask, apply_mask, baked, keep_top, magnitude, masked, random_scores


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def net(seed=0):
    """For pictures [N, 1, 4, 4] of three classes, in evaluation mode; no weight of it is zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = {
            "conv": nn.Conv2d(1, 4, 3, bias=False),
            "norm": nn.BatchNorm2d(4),
            "smooth": nn.Tanh(),
            "flatten": nn.Flatten(),
            "hidden": nn.Linear(16, 8),
            "tanh": nn.Tanh(),
            "last": nn.Linear(8, 3),
        }
        model = nn.Sequential(OrderedDict(layers)).eval()
    assert all(weight.all() for weight in magnitude(model).values())
    return model


def pictures(count=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(count, 1, 4, 4, generator=generator), torch.arange(count) % 3)


def half(model, seed=1):
    """A mask that has nothing to do with the sizes of the weights."""
    return keep_top(random_scores(model, seed), 0.5, "layer")


def bits(tensor):
    """The tensor's bytes: -0.0 is not 0.0 here."""
    return tensor.detach().contiguous().numpy().tobytes()


def states_equal(a, b):
    return [(name, bits(value)) for name, value in a.items()] == [(name, bits(value)) for name, value in b.items()]


# --- the mask itself -----------------------------------------------------------------------------------------------

TWO = {"a": torch.tensor([[True, False], [True, True]]), "b": torch.tensor([False, True, False])}


def test_a_mask_counts_itself():
    mask = Mask(TWO)
    assert (mask.kept, mask.total, mask.density) == (4, 7, 4 / 7)
    assert mask.layers() == (LayerDensity("a", 3, 4), LayerDensity("b", 1, 3))
    assert [layer.density for layer in mask.layers()] == [0.75, 1 / 3]
    assert mask.names == tuple(mask) == ("a", "b")
    assert mask["b"].tolist() == [False, True, False]


def test_a_mask_prints_its_layers():
    big = Mask({"wide.weight": torch.ones(40, 50, dtype=torch.bool), "b": torch.tensor([True, False])})
    assert str(big).splitlines() == [
        "weight        kept     of  density",
        "wide.weight  2,000  2,000  100.00%",
        "b                1      2   50.00%",
        "all          2,001  2,002   99.95%",
    ]


def test_masks_are_equal_where_their_tensors_are():
    mask = Mask(TWO)
    assert mask == Mask({name: tensor.clone() for name, tensor in reversed(TWO.items())})
    assert mask != Mask({"a": TWO["a"], "b": ~TWO["b"]})
    assert mask != Mask({"a": TWO["a"]}) and mask != TWO
    with pytest.raises(TypeError):
        hash(mask)  # equal by value, so no key


def test_a_mask_can_be_copied_and_sent_but_not_rearranged():
    mask = Mask(TWO)
    for again in (copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
        assert again == mask and again["a"] is not mask["a"]
    with pytest.raises(TypeError):
        mask.tensors["c"] = TWO["a"]
    with pytest.raises(AttributeError):
        mask.tensors = TWO
    tensors = dict(TWO)
    mask = Mask(tensors)
    del tensors["a"]
    assert mask.names == ("a", "b")


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({}, ValueError, "a mask needs at least one tensor, got none; give one for each weight that is pruned"),
        (TWO["a"], TypeError, 'a mask needs tensors by parameter name, got Tensor; give a dict such as '
         '{"linear.weight": keep}'),
        ({"w": torch.ones(2)}, TypeError, "the mask of 'w' must be a bool tensor, got torch.float32; compare, as "
         "in scores > 0.1"),
        ({"w": [True]}, TypeError, "the mask of 'w' must be a bool tensor, got list; compare, as in scores > 0.1"),
        ({**TWO, "w": torch.zeros(2, 3).bool()}, ValueError, "the mask of 'w' keeps 0 of 6 weights, and nothing would "
         "pass through that layer; keep at least one, or leave the layer out"),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_refused(tensors, error, message):
    with pytest.raises(error, match=says(message)):
        Mask(tensors)


USES = {"check": lambda model, mask: mask.check(model), "apply_mask": apply_mask, "masked": masked}


@pytest.mark.parametrize("use", USES)
def test_a_mask_that_does_not_fit_is_refused(use):
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    some = torch.tensor([[True, False], [True, False]])
    for model, mask, message in (
        (
            nn.Linear(2, 2),
            {"wieght": some},
            "the model has no parameter 'wieght'; it has weight, bias. A mask goes "
            "with the model that it was made from, not with its masked copy",
        ),
        (
            nn.ReLU(),
            {"weight": some},
            "the model has no parameter 'weight'; it has none. A mask goes with the model "
            "that it was made from, not with its masked copy",
        ),
        (
            nn.Linear(2, 3),
            {"weight": some},
            "the mask of 'weight' has shape [2, 2], but the weight has [3, 2]; make it from this model's scores",
        ),
        (
            nn.Linear(4, 1),
            {"weight": some},
            "the mask of 'weight' has shape [2, 2], but the weight has [1, 4]; make it from this model's scores",
        ),
        (
            tied,
            {"0.weight": some, "1.weight": ~some},
            "the mask holds '0.weight' and '1.weight', which are one shared weight; give it a single mask",
        ),
    ):
        with pytest.raises(ValueError, match=says(message)):
            USES[use](model, Mask(mask))


def test_a_model_is_masked_once():
    model = net()
    with pytest.raises(
        ValueError, match=says("the model is masked (or parametrized) already; make it plain with baked(model) first")
    ):
        masked(masked(model, half(model)), Mask({"norm.weight": torch.ones(4, dtype=torch.bool)}))


# --- applied, masked, baked ----------------------------------------------------------------------------------------


@given(seed=st.integers(0, 50))
@settings(max_examples=20)
def test_three_ways_to_mask_give_the_same_outputs_bit_by_bit(seed):
    model, images = net(), pictures().images
    before = copy.deepcopy(model.state_dict())
    mask = half(model, seed)
    held = masked(model, mask)
    plain, applied = baked(held), apply_mask(model, mask)
    theirs = copy.deepcopy(model)
    for name in mask:
        torch_prune.custom_from_mask(theirs.get_submodule(name.removesuffix(".weight")), "weight", mask[name])
    with torch.no_grad():
        expected = bits(theirs(images))
        assert bits(held(images)) == bits(plain(images)) == bits(applied(images)) == expected
    for name in mask:
        # torch multiplies by the mask, which makes -0.0 of a negative weight; a zero here is always the same zero.
        assert torch.equal(plain.get_parameter(name), theirs.get_submodule(name.removesuffix(".weight")).weight)
        assert bits(plain.get_parameter(name)[~mask[name]]) == bits(torch.zeros(int((~mask[name]).sum())))
    assert states_equal(model.state_dict(), before)


def test_a_baked_model_is_an_ordinary_one():
    model = net()
    mask = half(model)
    plain = baked(masked(model, mask))
    assert [type(module) for module in plain.modules()] == [type(module) for module in model.modules()]
    assert [name for name, _ in plain.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert all(type(weight) is nn.Parameter and weight.requires_grad for weight in plain.parameters())
    assert list(plain.state_dict()) == list(model.state_dict())
    assert states_equal(plain.state_dict(), apply_mask(model, mask).state_dict())
    fresh = net(seed=3)
    fresh.load_state_dict(plain.state_dict())
    assert states_equal(fresh.state_dict(), plain.state_dict())
    # It can be masked, copied and baked again; baking a plain model is copying it.
    again = baked(masked(copy.deepcopy(plain), mask))
    assert states_equal(again.state_dict(), plain.state_dict())
    assert states_equal(baked(model).state_dict(), model.state_dict())
    assert baked(model) is not model


def test_baking_leaves_the_masked_model_and_its_copies_working():
    # A deep copy shares its layers' classes with the original, and torch's remove_parametrizations changes the class.
    model, images = net(), pictures().images
    held = masked(model, half(model))
    twin = copy.deepcopy(held)
    plain = baked(held)
    assert bits(held(images)) == bits(twin(images)) == bits(plain(images)) == bits(baked(held)(images))
    twin.hidden.parametrizations.weight.original.data.add_(1)
    assert bits(twin(images)) != bits(held(images))  # they share no memory
    plain.hidden.weight.data.add_(1)
    assert bits(baked(held)(images)) == bits(held(images))


def test_the_mode_and_what_is_frozen_survive():
    model = net().train()
    model.norm.eval()
    model.hidden.weight.requires_grad_(False)
    for result in (masked(model, half(model)), baked(masked(model, half(model))), apply_mask(model, half(model))):
        assert (result.training, result.conv.training, result.norm.training) == (True, True, False)
        assert not result.hidden.weight.requires_grad and result.last.weight.requires_grad
    plain = baked(masked(model, half(model)))
    assert [one.requires_grad for one in plain.parameters()] == [one.requires_grad for one in model.parameters()]


class Odd(nn.Module):
    """Parameters in an order of its own, of which two are masked."""

    def __init__(self):
        super().__init__()
        self.scale, self.weight, self.bias, self.gain = (nn.Parameter(torch.arange(1.0, 4.0)) for _ in range(4))
        self.register_parameter("none", None)

    def forward(self, x):
        return (x * self.scale * self.weight + self.bias) * self.gain


def test_parameters_keep_their_order_whatever_it_is():
    model = nn.Sequential(Odd(), Odd())
    some = torch.tensor([True, False, True])
    held = masked(model, Mask({"0.gain": some, "0.weight": ~some}))
    assert list(held[0].parametrizations) == ["weight", "gain"] and not parametrize.is_parametrized(held[1])
    plain = baked(held)
    assert list(plain.state_dict()) == list(model.state_dict())
    assert list(plain[0]._parameters) == ["scale", "weight", "bias", "gain", "none"]
    assert plain[0].weight.tolist() == [0.0, 2.0, 0.0] and plain[0].gain.tolist() == [1.0, 0.0, 3.0]


def test_another_parametrization_is_not_baked_away():
    model = masked(nn.Linear(2, 1), Mask({"weight": torch.tensor([[True, False]])}))
    parametrize.register_parametrization(model, "bias", nn.Tanh())
    with pytest.raises(
        ValueError,
        match=says("layer '' has a parametrization of its bias that masked() did not make; remove that first"),
    ):
        baked(model)


def test_a_masked_layer_may_be_the_model_itself_or_have_two_names():
    layer = nn.Linear(3, 3, bias=False)
    mask = half(layer)
    assert torch.equal(masked(layer, mask).weight != 0, mask["weight"])
    shared = nn.Sequential(layer, nn.Tanh(), layer)
    for name in ("0.weight", "2.weight"):
        held = masked(shared, Mask({name: mask["weight"]}))
        plain = baked(held)
        assert held[0] is held[2] and plain[0] is plain[2]
        assert torch.equal(held[0].weight != 0, mask["weight"])
        assert torch.equal(plain[2].weight, layer.weight * mask["weight"])


def test_a_tied_weight_is_masked_wherever_it_is_used():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    mask = keep_top(magnitude(model), 0.5)
    held = masked(model, mask)
    optimizer = torch.optim.SGD(held.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        held(torch.randn(8, 3, generator=torch.Generator().manual_seed(0))).square().sum().backward()
        optimizer.step()
    assert torch.equal(held[0].weight != 0, mask["0.weight"])
    assert torch.equal(held[2].weight, held[0].weight)
    plain = baked(held)
    assert plain[0].weight is plain[2].weight
    assert [name for name, _ in plain.named_parameters()] == ["0.weight", "0.bias", "2.bias"]


def test_the_report_measures_a_baked_model():
    model = net()
    table = measure.report({"dense": model, "pruned": baked(masked(model, half(model)))}, pictures(1).images, repeats=1)
    dense, pruned = table.rows
    # Zeros are numbers like others: a dense file holds them, and a dense layer multiplies them.
    assert (pruned.parameters, pruned.macs, pruned.stored_bytes) == (dense.parameters, dense.macs, dense.stored_bytes)


# --- training ------------------------------------------------------------------------------------------------------


def train_with(model, make_optimizer, steps=8):
    """Plain steps on a copy, all weights at once."""
    model = copy.deepcopy(model).train()
    optimizer = make_optimizer(model.parameters())
    split = pictures()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(split.images), split.labels).backward()
        optimizer.step()
    return model.eval()


OPTIMIZERS = {
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.1),
    "SGD with momentum and decay": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01),
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_zeros_stay_zero_and_the_others_move(optimizer):
    model = net()
    mask = half(model, seed=4)
    # A hidden unit that no weight leads out of would learn nothing.
    assert mask["last.weight"].any(dim=0).all()
    plain = baked(train_with(masked(model, mask), OPTIMIZERS[optimizer]))
    for name in mask:
        after, before = plain.get_parameter(name), model.get_parameter(name)
        assert torch.equal(after != 0, mask[name])
        assert (after != before)[mask[name]].all()
    assert not torch.equal(plain.last.bias, model.last.bias)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_mask_that_was_merely_applied_goes_stale(optimizer):
    model = net()
    mask = half(model)
    after = train_with(apply_mask(model, mask), OPTIMIZERS[optimizer], steps=1)
    assert all(after.get_parameter(name)[~mask[name]].any() for name in mask)


def test_a_mask_put_on_late_is_not_undone_by_momentum():
    # The trap of writing zeros after the fact: momentum gathered before goes on pushing. A masked weight has none.
    model = train_with(net(), OPTIMIZERS["SGD with momentum and decay"])
    held = masked(model, half(model))
    assert {id(one) for one in held.parameters()}.isdisjoint(id(one) for one in model.parameters())
    held = train_with(held, OPTIMIZERS["SGD with momentum and decay"], steps=1)
    assert all(torch.equal(held.get_submodule(name[:-7]).weight != 0, half(model)[name]) for name in half(model))


def test_fit_trains_a_masked_model():
    model = net()
    mask = half(model)
    fitted = fit(
        masked(model, mask), pictures(), pictures(seed=1), epochs=3, seed=0, learning_rate=0.01, weight_decay=0.1
    )
    plain = baked(fitted.model)
    assert list(plain.state_dict()) == list(model.state_dict())
    for name in mask:
        assert torch.equal(plain.get_parameter(name) != 0, mask[name])
        assert not torch.equal(plain.get_parameter(name)[mask[name]], model.get_parameter(name)[mask[name]])
    images = pictures().images
    with torch.no_grad():
        assert bits(plain(images)) == bits(fitted.model(images))


def test_training_masked_is_training_with_zeros_written_after_each_step():
    # Without momentum or decay the two are one: zero the weights after each step of plain gradient descent.
    model = net()
    mask = half(model)
    by_hand = apply_mask(model, mask)
    for _ in range(5):
        by_hand = apply_mask(train_with(by_hand, OPTIMIZERS["SGD"], steps=1), mask)
    ours = baked(train_with(masked(model, mask), OPTIMIZERS["SGD"], steps=5))
    for name, value in ours.state_dict().items():
        # The same operations in the same order, so no tolerance for the weights.
        torch.testing.assert_close(value, by_hand.state_dict()[name], rtol=0, atol=0)


def test_the_gradient_is_that_of_the_zeroed_model_where_it_stays_and_none_elsewhere():
    model, split = net(), pictures()
    mask = half(model)
    held, applied = masked(model, mask), apply_mask(model, mask)
    for one in (held, applied):
        F.cross_entropy(one(split.images), split.labels).backward()
    for name in mask:
        gradient = held.get_submodule(name[:-7]).parametrizations.weight.original.grad
        assert torch.equal(gradient, applied.get_parameter(name).grad * mask[name])


def test_a_masked_weight_that_is_not_finite_does_not_come_through():
    held = masked(nn.Linear(2, 1, bias=False), Mask({"weight": torch.tensor([[True, False]])}))
    held.parametrizations.weight.original.data[0, 1] = torch.nan
    assert held(torch.ones(1, 2)).isfinite().all() and baked(held).weight[0, 1] == 0
