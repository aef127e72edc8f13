"""One net's training against a loop in plain torch, written here: same batches, torch's optimizer, zeros put back."""

import re

import pytest
import tiny_tickets as tiny
import torch
from torch import nn
from torch.nn import functional as F

from mini_lib.data import Split, Splits
from mini_lib.prune import Mask, keep_top, magnitude
from mini_lib.prune.tickets import Recipe, batch_order, train_alone, weights_of, with_weights

SPLITS = tiny.pictures()

pytestmark = pytest.mark.usefixtures("one_thread")


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def half_of(model):
    return keep_top(magnitude(model), 0.5)


def plain_loop(model, mask, order, rates, make_optimizer):
    """The oracle, in the way of every tutorial: backward, step, then zeros written into the weights."""
    named = dict(model.named_parameters())

    def write_zeros():
        with torch.no_grad():
            for name in mask or ():
                named[name][~mask[name]] = 0

    write_zeros()
    optimizer = make_optimizer(model.parameters())
    for batch, rate in zip(order, rates):
        optimizer.param_groups[0]["lr"] = rate
        model.zero_grad()
        F.cross_entropy(model(SPLITS.train.images[batch]), SPLITS.train.labels[batch]).backward()
        optimizer.step()
        write_zeros()
    return model


OPTIMIZERS = {
    "adam": lambda fused: lambda weights: torch.optim.Adam(weights, fused=fused),
    "sgd": lambda fused: lambda weights: torch.optim.SGD(weights, momentum=0.9, lr=1e-3, fused=fused),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("build", [tiny.build, tiny.build_conv])
@pytest.mark.parametrize("pruned", [False, True])
def test_weights_are_bit_for_bit_those_of_a_plain_loop(optimizer, build, pruned):
    recipe = Recipe(steps=25, batch_size=16, learning_rate=0.01, optimizer=optimizer, warmup_steps=5, drops=(20,))
    model, order = build(1), batch_order(96, recipe, seed=5)
    mask = half_of(model) if pruned else None
    rates = [0.01 * (step + 1) / 5 for step in range(5)] + [0.01] * 15 + [0.01 * 0.1] * 5
    # Bit for bit takes the same kernels: a fused one may round a product and a sum once instead of twice.
    expected = plain_loop(build(1), mask, order, rates, OPTIMIZERS[optimizer](fused=True))
    trained = train_alone(model, weights_of(model), mask, order, SPLITS, recipe)
    for name, weight in expected.named_parameters():
        assert torch.equal(trained.weights[name], weight), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_doubles_it_is_torchs_default_optimizer_too(optimizer):
    """Tolerance: between two kernels a step's rounding differs by 2**-53 of a few terms, a gradient by 1e-15 or less.

    Adam multiplies that by rate / (sqrt(v) + 1e-8), at most .01 * 1e8: 1e-9 in the worst case, a gradient of nearly 0.
    """
    recipe = Recipe(steps=10, batch_size=16, learning_rate=0.01, optimizer=optimizer)
    model, order = tiny.build_in_doubles(1), batch_order(96, recipe, seed=5)
    mask = half_of(model)
    expected = plain_loop(tiny.build_in_doubles(1), mask, order, [0.01] * 10, OPTIMIZERS[optimizer](fused=False))
    trained = train_alone(model, weights_of(model), mask, order, SPLITS, recipe)
    for name, weight in expected.named_parameters():
        torch.testing.assert_close(trained.weights[name], weight, rtol=0, atol=1e-9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masked_weights_are_exactly_zero_and_all_others_move(optimizer):
    recipe = Recipe(steps=8, batch_size=48, learning_rate=0.01, optimizer=optimizer)
    model = tiny.build(0)
    mask = half_of(model)
    trained = train_alone(model, weights_of(model), mask, batch_order(96, recipe, 0), SPLITS, recipe)
    start = weights_of(model)
    for name in mask:
        assert (trained.weights[name][~mask[name]] == 0).all()
    assert (trained.weights["5.weight"] != start["5.weight"])[mask["5.weight"]].any()
    assert trained.weights.keys() == start.keys()


def test_arguments_stay_as_they_are():
    recipe = Recipe(steps=3)
    model, start = tiny.build(0), weights_of(tiny.build(1))
    before, at_start = weights_of(model), {name: weight.clone() for name, weight in start.items()}
    train_alone(model, start, half_of(model), batch_order(96, recipe, 0), SPLITS, recipe, snapshot_at=0)
    for name in before:
        assert torch.equal(before[name], dict(model.named_parameters())[name])
        assert torch.equal(start[name], at_start[name])


def test_a_snapshot_is_the_weights_after_so_many_steps():
    recipe = Recipe(steps=12, batch_size=16)
    model, order = tiny.build(0), batch_order(96, recipe, 0)
    start = weights_of(model)
    whole = train_alone(model, start, None, order, SPLITS, recipe, snapshot_at=7)
    shorter = train_alone(model, start, None, order, SPLITS, Recipe(steps=7, batch_size=16))
    at_once = train_alone(model, start, None, order, SPLITS, recipe, snapshot_at=0)
    in_the_end = train_alone(model, start, None, order, SPLITS, recipe, snapshot_at=12)
    for name in start:
        assert torch.equal(whole.snapshot[name], shorter.weights[name])
        assert torch.equal(at_once.snapshot[name], start[name])
        assert torch.equal(in_the_end.snapshot[name], whole.weights[name])
    assert shorter.snapshot is None


def test_a_snapshot_at_the_start_has_the_zeros():
    recipe = Recipe(steps=2)
    model = tiny.build(0)
    mask = half_of(model)
    snapshot = train_alone(
        model, weights_of(model), mask, batch_order(96, recipe, 0), SPLITS, recipe, snapshot_at=0
    ).snapshot
    assert all(torch.equal(snapshot[name] != 0, mask[name]) for name in mask)


def test_training_from_a_later_step_has_that_steps_rates_and_pictures():
    recipe = Recipe(steps=10, batch_size=8, learning_rate=0.1, optimizer="sgd", drops=(7,), evaluate_at=(2, 6, 9))
    model, order = tiny.build(2), batch_order(96, recipe, 0)
    rewound = train_alone(model, weights_of(model), None, order, SPLITS, recipe, first_step=6)
    expected = plain_loop(
        tiny.build(2), None, order[6:], [0.1, 0.1 * 0.1, 0.1 * 0.1, 0.1 * 0.1], OPTIMIZERS["sgd"](fused=True)
    )
    for name, weight in expected.named_parameters():
        assert torch.equal(rewound.weights[name], weight)
    assert len(rewound.validation_accuracies) == 2  # after steps 9 and 10: step 6 is not trained


def test_accuracies_are_those_of_the_net_at_that_step_on_the_right_pictures():
    recipe = Recipe(steps=9, batch_size=8, learning_rate=0.01, evaluate_at=(4,))
    model, order = tiny.build(0), batch_order(96, recipe, 0)
    trained = train_alone(model, weights_of(model), None, order, SPLITS, recipe, snapshot_at=4)

    def accuracy(weights, split):
        with torch.no_grad():
            right = with_weights(model, weights)(split.images).argmax(dim=1) == split.labels
        return int(right.sum()) / len(right)

    assert trained.validation_accuracies == (
        accuracy(trained.snapshot, SPLITS.validation),
        accuracy(trained.weights, SPLITS.validation),
    )
    assert trained.test_accuracy == accuracy(trained.weights, SPLITS.test)


def test_neither_validation_nor_test_pictures_change_what_is_learned():
    recipe = Recipe(steps=6, evaluate_at=(3,))
    model, order = tiny.build(0), batch_order(96, recipe, 0)
    other = Splits(
        SPLITS.train,
        Split(-SPLITS.validation.images, SPLITS.validation.labels),
        Split(SPLITS.test.images, SPLITS.test.labels.flip(0)),
    )
    one, two = (train_alone(model, weights_of(model), None, order, splits, recipe) for splits in (SPLITS, other))
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)


def test_no_chance_is_used_not_even_by_dropout():
    recipe = Recipe(steps=4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 4))
    order = batch_order(96, recipe, 0)
    state = torch.random.get_rng_state()
    one, two = (train_alone(model, weights_of(model), None, order, SPLITS, recipe) for _ in range(2))
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("given, message", [
    ({"first_step": 5}, "first_step must be a whole number from 0 to 4, got 5; 0 trains from the start"),
    ({"first_step": -1}, "first_step must be a whole number from 0 to 4, got -1; 0 trains from the start"),
    ({"snapshot_at": 6}, "snapshot_at must be a whole number from 0 to 5, got 6; None takes no snapshot"),
    ({"first_step": 3, "snapshot_at": 2},
     "snapshot_at must be a whole number from 3 to 5, got 2; None takes no snapshot"),
])  # fmt: skip
def test_steps_that_do_not_exist(given, message):
    recipe = Recipe(steps=5)
    model = tiny.build(0)
    with pytest.raises(ValueError, match=says(message)):
        train_alone(model, weights_of(model), None, batch_order(96, recipe, 0), SPLITS, recipe, **given)


def test_a_mask_that_does_not_fit_is_refused():
    recipe = Recipe(steps=5)
    model = tiny.build(0)
    mask = Mask({"1.weight": torch.ones(3, 3, dtype=torch.bool)})
    with pytest.raises(ValueError, match="the mask of '1.weight' has shape"):
        train_alone(model, weights_of(model), mask, batch_order(96, recipe, 0), SPLITS, recipe)


def test_a_loss_that_explodes_is_said_with_its_step():
    recipe = Recipe(steps=20, learning_rate=1e30, optimizer="sgd")
    model = tiny.build(0)
    with pytest.raises(ValueError, match=r"^a loss is not finite at step \d+; lower learning_rate \(1e\+30\)$"):
        train_alone(model, weights_of(model), None, batch_order(96, recipe, 0), SPLITS, recipe)


def test_a_model_with_batch_norm_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.BatchNorm1d(4))
    with pytest.raises(
        ValueError,
        match=says(
            "Sequential has buffers (2.running_mean, ...), and a study knows parameters only; use a model without "
            "batch norm"
        ),
    ):
        weights_of(model)


def test_weights_go_into_a_copy():
    model = tiny.build(0)
    other = with_weights(model, weights_of(tiny.build(1)))
    assert torch.equal(other[1].weight, tiny.build(1)[1].weight)
    assert torch.equal(model[1].weight, tiny.build(0)[1].weight)
