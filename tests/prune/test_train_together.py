"""Many nets trained as one: each comes out as if it had been alone, and none notices the others."""

import re

import pytest
import tiny_tickets as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.data import Splits, fashion
from mini_lib.prune import Mask, keep_top, magnitude
from mini_lib.prune.tickets import Recipe, batch_order, random_mask, train_alone, train_together, weights_of
from mini_lib.zoo import lenet_300_100

SPLITS = tiny.pictures()

pytestmark = pytest.mark.usefixtures("one_thread")


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def nets(build, recipe, count=3, count_pictures=96):
    """Nets that differ in everything that nets may differ in: one is dense, the others have masks of their own."""
    models = [build(seed) for seed in range(count)]
    masks = [None, *(keep_top(magnitude(model), 0.9 - 0.3 * net / count) for net, model in enumerate(models[1:], 1))]
    orders = [batch_order(count_pictures, recipe, seed) for seed in range(count)]
    return models[0], [weights_of(model) for model in models], masks, orders


def largest_difference(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("build", [tiny.build_in_doubles, tiny.build_conv_in_doubles])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("first_step, snapshot_at", [(0, None), (0, 0), (0, 7), (4, 6)])
def test_in_doubles_each_is_the_net_trained_alone(build, optimizer, first_step, snapshot_at):
    """The two differ only in the order of sums: a gradient by some 2**-53 of its terms, say 1e-15.

    SGD passes that on times the rate. Adam multiplies it by rate / (sqrt(v) + 1e-8), so by .01 * 1e8 at the very most,
    where a gradient is nearly 0: 1e-9. Another algorithm would differ by a whole step of Adam, which is about the
    rate, .01: ten million times as much.
    """
    recipe = Recipe(
        steps=10, batch_size=16, learning_rate=0.01, optimizer=optimizer, warmup_steps=3, drops=(8,), evaluate_at=(2, 5)
    )
    model, starts, masks, orders = nets(build, recipe)
    steps = {"first_step": first_step, "snapshot_at": snapshot_at}
    together = train_together(model, starts, masks, orders, SPLITS, recipe, **steps)
    assert len(together) == 3
    for net, start, mask, order in zip(together, starts, masks, orders):
        alone = train_alone(model, start, mask, order, SPLITS, recipe, **steps)
        assert list(net.weights) == list(alone.weights)
        assert largest_difference(net.weights, alone.weights) <= 1e-9
        assert (net.snapshot is None) == (snapshot_at is None)
        if net.snapshot is not None:
            assert largest_difference(net.snapshot, alone.snapshot) <= 1e-9
        assert net.validation_accuracies == alone.validation_accuracies
        assert net.test_accuracy == alone.test_accuracy


@pytest.mark.parametrize("build", [tiny.build, tiny.build_conv])
def test_in_floats_sgd_is_the_net_trained_alone_up_to_rounding(build):
    """A sum of n products of size 1 is off by n * 2**-24 at most, whatever its order: here n = 16 pictures * 16 inputs.

    The gradient is that of a mean, so of size 1. With momentum .9 a step's error moves a weight by rate / (1 - .9) in
    all: 5 steps * .01 * 10 * 2 * 256 * 2**-24 = 1.5e-5, were all roundings to go the same way.
    """
    recipe = Recipe(steps=5, batch_size=16, learning_rate=0.01, optimizer="sgd")
    model, starts, masks, orders = nets(build, recipe)
    for net, start, mask, order in zip(
        train_together(model, starts, masks, orders, SPLITS, recipe), starts, masks, orders
    ):
        alone = train_alone(model, start, mask, order, SPLITS, recipe)
        assert largest_difference(net.weights, alone.weights) <= 1.5e-5


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("build", [tiny.build, tiny.build_conv])
def test_on_easy_pictures_accuracies_are_the_same_to_the_last_bit(build, optimizer):
    """Adam divides by sqrt(v): where a gradient is nearly 0 the two may part by a whole step. In the end every net gets
    every picture right by a margin far above that."""
    recipe = Recipe(steps=120, batch_size=16, learning_rate=0.02, optimizer=optimizer, evaluate_at=(100,))
    model, starts, masks, orders = nets(build, recipe)
    for net, start, mask, order in zip(
        train_together(model, starts, masks, orders, SPLITS, recipe), starts, masks, orders
    ):
        alone = train_alone(model, start, mask, order, SPLITS, recipe)
        assert net.validation_accuracies == alone.validation_accuracies == (1.0, 1.0)
        assert net.test_accuracy == alone.test_accuracy == 1.0


def test_the_net_of_the_course_with_adam():
    """LeNet-300-100 on real pictures. Where a gradient is far above its rounding, Adam's steps agree.

    Two steps move a weight by about the rate each, and a gradient g that is off by d moves it by rate * d / |g| more.
    Sums of 60 products of size up to 3, off by 60 * 3 * 2**-24 = 1e-5 of a mean gradient's scale (1 / 60): d = 2e-7.
    So all weights of the last layer whose gradient is 2e-5 or more agree to 1% of a step; hardly any is smaller.
    """
    everything = fashion()
    splits = Splits(everything.train.first(300), everything.validation.first(100), everything.test.first(100))
    recipe = Recipe(steps=2)
    model, starts, masks, orders = nets(lenet_300_100, recipe, count_pictures=300)
    for net, start, mask, order in zip(
        train_together(model, starts, masks, orders, splits, recipe), starts, masks, orders
    ):
        alone = train_alone(model, start, mask, order, splits, recipe)
        apart = (net.weights["linear3.weight"] - alone.weights["linear3.weight"]).abs()
        assert (apart <= 0.01 * 1.2e-3).float().mean() > 0.99
        assert largest_difference(net.weights, alone.weights) <= 2 * 2 * 1.2e-3  # two steps, were each to turn around
        if mask is not None:
            assert all((net.weights[name][~mask[name]] == 0).all() for name in mask)


def test_no_net_notices_what_becomes_of_another():
    recipe = Recipe(steps=6, batch_size=16, evaluate_at=(3,))
    model, starts, masks, orders = nets(tiny.build, recipe)
    before = train_together(model, starts, masks, orders, SPLITS, recipe, snapshot_at=2)
    starts[1] = {name: 100 * weight for name, weight in starts[1].items()}
    masks[1] = keep_top(magnitude(tiny.build(7)), 0.1, at_least=1)
    orders[1] = batch_order(96, recipe, seed=77)
    after = train_together(model, starts, masks, orders, SPLITS, recipe, snapshot_at=2)
    assert largest_difference(before[1].weights, after[1].weights) > 1
    for net in (0, 2):
        assert largest_difference(before[net].weights, after[net].weights) == 0
        assert largest_difference(before[net].snapshot, after[net].snapshot) == 0
        assert before[net].validation_accuracies == after[net].validation_accuracies


@settings(max_examples=15)
@given(st.integers(1, 4), st.sampled_from(["adam", "sgd"]), st.floats(0.1, 0.9), st.randoms(use_true_random=False))
def test_masked_weights_stay_zero_and_each_net_gets_its_own_mask(count, optimizer, density, chance):
    recipe = Recipe(steps=2, batch_size=48, learning_rate=0.1, optimizer=optimizer)
    model, starts, masks, orders = nets(tiny.build, recipe, count)
    for net in range(count):
        masks[net] = random_mask(keep_top(magnitude(model), density), seed=net) if chance.random() < 0.7 else None
    for net, mask in zip(train_together(model, starts, masks, orders, SPLITS, recipe), masks):
        for name in mask or ():
            assert (net.weights[name][~mask[name]] == 0).all()
        if mask is None:
            assert all((weight != 0).all() for weight in net.weights.values())


def test_masks_may_be_of_different_layers():
    recipe = Recipe(steps=2)
    model, starts, _, orders = nets(tiny.build, recipe, 2)
    both = keep_top(magnitude(model), 0.5)
    first, last = (Mask({name: both[name]}) for name in ("1.weight", "5.weight"))
    one, other = train_together(model, starts, [first, last], orders, SPLITS, recipe)
    assert int((one.weights["1.weight"] == 0).sum()) == first.total - first.kept
    assert int((other.weights["5.weight"] == 0).sum()) == last.total - last.kept
    assert (one.weights["5.weight"] != 0).all() and (other.weights["1.weight"] != 0).all()


def test_arguments_stay_as_they_are_and_results_share_no_memory():
    recipe = Recipe(steps=2)
    model, starts, masks, orders = nets(tiny.build, recipe)
    before = weights_of(model)
    trained = train_together(model, starts, masks, orders, SPLITS, recipe, snapshot_at=0)
    assert largest_difference(before, weights_of(model)) == 0 and largest_difference(before, starts[0]) == 0
    assert not any(parameter.requires_grad for parameter in starts[0].values())
    trained[0].weights["1.weight"].zero_()
    assert (trained[1].weights["1.weight"] != 0).any()
    assert largest_difference(trained[0].snapshot, starts[0]) == 0
    # A slice that still holds the stack of all nets would keep them all in memory, and go to disk with them.
    assert trained[0].weights["1.weight"].untyped_storage().nbytes() == 16 * 12 * 4


@pytest.mark.parametrize("starts, masks, orders, counts", [
    (0, 0, 0, "0, 0 and 0"), (2, 1, 2, "2, 1 and 2"), (2, 2, 3, "2, 2 and 3"),
])  # fmt: skip
def test_each_net_needs_all_three(starts, masks, orders, counts):
    recipe = Recipe(steps=2)
    model = tiny.build(0)
    with pytest.raises(ValueError, match=says(f"each net needs a start, a mask (or None) and an order, got {counts}")):
        train_together(
            model, [weights_of(model)] * starts, [None] * masks, [batch_order(96, recipe, 0)] * orders, SPLITS, recipe
        )


def test_what_is_refused_is_refused_as_for_one_net():
    recipe = Recipe(steps=5, optimizer="sgd", learning_rate=1e30)
    model, starts, masks, orders = nets(tiny.build, recipe)
    with pytest.raises(
        ValueError, match=says("first_step must be a whole number from 0 to 4, got 5; 0 trains from the start")
    ):
        train_together(model, starts, masks, orders, SPLITS, recipe, first_step=5)
    with pytest.raises(ValueError, match=r"^a loss is not finite at step \d; lower learning_rate \(1e\+30\)$"):
        train_together(model, starts, masks, orders, SPLITS, recipe)
    masks[2] = Mask({"1.weight": torch.ones(3, 3, dtype=torch.bool)})
    with pytest.raises(ValueError, match="the mask of '1.weight' has shape"):
        train_together(model, starts, masks, orders, SPLITS, recipe)
    with pytest.raises(ValueError, match="has buffers"):
        train_together(
            torch.nn.Sequential(model, torch.nn.BatchNorm1d(4)), starts[:1], [None], orders[:1], SPLITS, recipe
        )
