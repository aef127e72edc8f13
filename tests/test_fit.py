"""The training loop learns, repeats itself, leaves everything else alone, and names each bad input."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mini_lib import data, fit
from mini_lib.batch import Batch
from mini_lib.data import Split


def two_moods(count=300, seed=0):
    """Points in the plane in two clouds, four standard deviations apart: any classifier should tell them apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    centres = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
    return Split(centres[labels] + torch.randn(count, 2, generator=generator), labels)


def mlp(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


TRAIN, VALIDATION = two_moods(seed=0), two_moods(seed=1)


def short(model=None, seed=0, **changes):
    settings = dict(epochs=2, learning_rate=0.02, batch_size=64) | changes
    return fit.fit(mlp() if model is None else model, TRAIN, VALIDATION, seed=seed, **settings)


def same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_clouds_that_can_be_told_apart():
    fitted = short(epochs=10)
    # The best boundary, x = 0, is two standard deviations from each centre and errs on 2.3% of the points. Of 300
    # points that is 7, and more than 20 of them would be five standard deviations (sqrt(7) = 2.6) beyond it.
    assert fit.accuracy(fitted.model, VALIDATION) > 1 - 20 / 300
    assert fitted.history[-1].train_loss < fitted.history[0].train_loss


def test_it_learns_pictures():
    splits = data.fashion()
    model = nn.Sequential(nn.Conv2d(1, 8, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 7 * 7, 10))
    fitted = fit.fit(model, splits.train.first(500), splits.validation.first(300), epochs=5, seed=0, learning_rate=0.01)
    assert fitted.history[-1].validation_accuracy > 0.5  # guessing gives 0.1


def test_the_first_steps_are_those_of_adamw_by_hand():
    # One linear layer, two steps on all the data at once. The schedule: lr_max / 25 at step 0; it peaks at step
    # .3 * 4 - 1 = 0.2 and so is on the falling cosine from 0.2 to 3 by step 1.
    model = nn.Linear(2, 2)
    weights = [p.detach().clone() for p in model.parameters()]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in weights]
    peak, start, end = 0.1, 0.1 / 25, 0.1 / 25 / 1e4
    rates = [start]
    for step in (1, 2, 3):
        rates.append(end + (peak - end) * (1 + math.cos(math.pi * (step - 0.2) / (3 - 0.2))) / 2)
    for step, rate in enumerate(rates, start=1):
        weights = [w.requires_grad_() for w in weights]
        gradients = torch.autograd.grad(F.cross_entropy(F.linear(TRAIN.images, *weights), TRAIN.labels), weights)
        updated = []
        for w, g, (m, v) in zip(weights, gradients, moments):
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g * g)
            direction = (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
            updated.append((w * (1 - rate * 0.05) - rate * direction).detach())
        weights = updated
    fitted = short(model, epochs=4, learning_rate=peak, batch_size=300, weight_decay=0.05)
    # Both sides add up 300 float32 terms in another order: a relative error of sqrt(300) * 6e-8 = 1e-6 in a gradient.
    # Where a gradient is about zero Adam's direction is not stable; no gradient here is. Four steps of at most 0.1.
    for got, expected in zip(fitted.model.parameters(), weights):
        torch.testing.assert_close(got.detach(), expected, rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_whatever_the_global_state():
    torch.manual_seed(1)
    first = short()
    torch.manual_seed(2)
    second = short()
    assert same_weights(first.model, second.model)
    assert first.history == second.history
    assert not same_weights(first.model, short(seed=1).model)


def test_the_global_random_state_is_left_as_it_was():
    before = torch.random.get_rng_state()
    short()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_returns_a_new_model_and_leaves_the_argument_alone():
    model = mlp()
    before = copy.deepcopy(model)
    model.eval()
    fitted = short(model)
    assert same_weights(model, before) and not same_weights(fitted.model, before)
    assert not model.training and not fitted.model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_convolutions_come_back_in_the_usual_memory_layout():
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    split = Split(torch.randn(8, 2, 5, 5, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4)
    fitted = fit.fit(model, split, split, epochs=1, seed=0, learning_rate=0.01)
    assert fitted.model[0].weight.is_contiguous()


def test_frozen_weights_stay():
    model = mlp()
    model[0].weight.requires_grad_(False)
    fitted = short(model, weight_decay=0.1)
    assert torch.equal(fitted.model[0].weight, model[0].weight)
    assert not torch.equal(fitted.model[4].weight, model[4].weight)


def test_weight_decay_shrinks_the_weights():
    def size(decay):
        return sum(float(p.detach().square().sum()) for p in short(weight_decay=decay).model.parameters())

    assert size(1.0) < size(0.0)


def test_history_has_a_row_an_epoch_and_tells_of_the_model_returned():
    rows = []
    fitted = short(epochs=3, progress=rows.append)
    assert tuple(rows) == fitted.history
    assert [row.epoch for row in rows] == [1, 2, 3] and {row.epochs for row in rows} == {3}
    assert rows[-1].validation_accuracy == fit.accuracy(fitted.model, VALIDATION)
    loss = F.cross_entropy(fit.predict(fitted.model, VALIDATION.images), VALIDATION.labels).item()
    assert rows[-1].validation_loss == loss


def test_a_row_reads_as_a_line():
    row = fit.Epoch(2, 15, 0.51, 0.8125, 0.4567, 0.83)
    assert str(row) == "epoch  2/15: train loss 0.510, accuracy 81.2%; validation loss 0.457, accuracy 83.0%"


def test_training_figures_are_means_over_all_pictures():
    # With a learning rate too small to move anything, the loss while training is the loss of the untrained model,
    # also where the last batch is a short one (300 = 2 * 128 + 44).
    model = nn.Linear(2, 2)
    fitted = short(model, epochs=1, learning_rate=1e-12, batch_size=128)
    loss = F.cross_entropy(model(TRAIN.images), TRAIN.labels).item()
    assert fitted.history[0].train_loss == pytest.approx(loss, rel=1e-5)  # 300 float32 terms in another order
    assert fitted.history[0].train_accuracy == fit.accuracy(model, TRAIN)


def test_every_picture_is_seen_once_an_epoch_in_an_order_that_changes():
    seen = []

    class Recorder(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.extend(x[:, 0].tolist())
            return super().forward(x)

    split = Split(torch.stack([torch.arange(50.0), torch.ones(50)], dim=1), torch.arange(50) % 2)
    fit.fit(Recorder(2, 2), split, split, epochs=2, seed=0, learning_rate=1e-3, batch_size=16)
    first, second = seen[:50], seen[50:]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first != list(range(50))


# Accuracy


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_accuracy_is_the_share_of_right_answers(pairs):
    guesses, labels = zip(*pairs)
    split = Split(F.one_hot(torch.tensor(guesses), 4).float(), torch.tensor(labels))
    assert fit.accuracy(nn.Identity(), split) == sum(g == t for g, t in pairs) / len(pairs)


def test_accuracy_is_taken_in_evaluation_mode_and_each_mode_is_given_back():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.9), nn.Linear(2, 2))
    model[0].eval()
    before = copy.deepcopy(model.state_dict())
    first, second = fit.accuracy(model, TRAIN), fit.accuracy(model, TRAIN)
    assert first == second  # dropout of nine tenths would tell
    assert [module.training for module in model] == [False, True, True] and model.training
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_modes_are_given_back_after_an_error_too():
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"Sequential cannot be run on float32 \[100, 2\]: mat1 and mat2 shapes"):
        fit.accuracy(model, TRAIN)
    assert model.training and model[0].training


@pytest.mark.parametrize("batch_size", [1, 7, 300, 1000])
def test_predict_gives_the_same_in_any_batches(batch_size):
    model = nn.Linear(2, 2)
    # Sums of three terms: the order does not depend on the batch by more than two roundings of values below 8.
    torch.testing.assert_close(
        fit.predict(model, TRAIN.images, batch_size), model(TRAIN.images).detach(), rtol=0, atol=2 * 8 * 2**-24
    )


# Spread


def test_spread_by_hand():
    spread = fit.Spread((0.2, 0.4, 0.9))  # mean 0.5; deviations -.3, -.1, .4; squares sum to .26; .26 / 2 = .13
    assert spread.mean == pytest.approx(0.5, rel=1e-12)
    assert spread.std == pytest.approx(math.sqrt(0.13), rel=1e-12)
    assert str(spread) == "50.0 ± 36.1 % (3 seeds)"


def test_one_value_has_no_spread():
    spread = fit.Spread((0.25,))
    assert math.isnan(spread.std) and str(spread) == "25.0 % (1 seed)"


def test_over_seeds_asks_once_a_seed():
    asked = []
    spread = fit.over_seeds(lambda seed: asked.append(seed) or seed / 10, seeds=(3, 5))
    assert asked == [3, 5] and spread.values == (0.3, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [((), "at least one value, got none"), ((0.5, math.nan), "value of a spread must be a finite number, got nan")],
)
def test_a_spread_of_nothing_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        fit.Spread(values)


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0; one epoch is"),
        ({"batch_size": 0}, "batch_size must be a whole number of 1 or more, got 0; 128 is"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0, got 0.0; 0.003 is"),
        ({"learning_rate": math.nan}, "learning_rate must be a finite number above 0, got nan; 0.003 is"),
        ({"weight_decay": -0.1}, "weight_decay must be a finite number of 0 or more, got -0.1; 0 leaves"),
        ({"model": nn.ReLU()}, "no trainable parameter, so there is nothing to fit"),
        ({"model": nn.Linear(2, 1)}, r"highest label is 1, but the model has 1 classes"),
        ({"model": nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (2, 2)))}, r"logits \[N, classes\], got \[1, 2, 2\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        short(**changes)


@pytest.mark.parametrize("which", ["train", "validation"])
def test_anything_but_a_split_is_refused(which):
    splits = {"train": TRAIN, "validation": VALIDATION} | {which: [1, 2]}
    with pytest.raises(TypeError, match=f"{which} must be a data.Split, got list; use data.Split"):
        fit.fit(mlp(), **splits, epochs=1, seed=0, learning_rate=0.1)


def test_all_three_splits_at_once_are_refused():
    splits = data.Splits(TRAIN, VALIDATION, VALIDATION)
    with pytest.raises(TypeError, match="train must be a data.Split, got Splits"):
        fit.fit(mlp(), splits, VALIDATION, epochs=1, seed=0, learning_rate=0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_training(value):
    images = TRAIN.images.clone()
    images[7, 0] = value
    broken = Split(images, TRAIN.labels)
    with pytest.raises(ValueError, match=r"the loss is nan in epoch 1, step \d of 5; check the images .* \(0.1\)"):
        fit.fit(nn.Linear(2, 2), broken, VALIDATION, epochs=1, seed=0, learning_rate=0.1, batch_size=64)


def test_training_that_blows_up_stops_with_the_learning_rate():
    with pytest.raises(ValueError, match=r"the loss is (inf|nan) in epoch \d, step .*lower learning_rate \(1e\+38\)"):
        fit.fit(nn.Linear(2, 2), TRAIN, VALIDATION, epochs=3, seed=0, learning_rate=1e38, batch_size=64)


class TestAugment:
    def test_it_sees_each_training_batch_and_no_validation_picture(self):
        seen = []

        def watch(batch, generator):
            seen.append(batch)
            return batch

        short(augment=watch)
        assert sum(len(batch) for batch in seen) == 2 * len(TRAIN)
        assert all(any(torch.equal(row, known) for known in TRAIN.images) for row in seen[0].images[:5])

    def test_what_it_draws_changes_no_order_and_repeats_with_the_seed(self):
        orders, draws = [], []

        def noisy(batch, generator):
            orders.append(batch.labels)
            draws.append(torch.rand(3, generator=generator))
            return Batch(batch.images + torch.randn(batch.images.shape, generator=generator), batch.labels)

        first, second = short(augment=noisy), short(augment=noisy)
        half = len(orders) // 2
        assert same_weights(first.model, second.model)
        assert all(torch.equal(a, b) for a, b in zip(draws[:half], draws[half:]))
        plain = []
        short(augment=lambda batch, generator: plain.append(batch.labels) or batch)
        assert all(torch.equal(a, b) for a, b in zip(orders, plain))

    def test_leaving_all_as_it_is_is_no_augmentation(self):
        assert same_weights(short().model, short(augment=lambda batch, generator: batch).model)

    def test_mixed_labels_are_learned_by_their_shares(self):
        def mix(batch, generator):
            hot = F.one_hot(batch.labels, 2).float()
            return Batch((batch.images + batch.images.flip(0)) / 2, (hot + hot.flip(0)) / 2)

        fitted = short(augment=mix, epochs=8)
        assert fitted.history[-1].validation_accuracy > 0.9
        assert fitted.history[-1].train_loss > 0.3  # half of the pairs are of two classes: their loss is ln 2 at best

    @pytest.mark.parametrize(
        "augment, error, message",
        [
            ("flip", TypeError, r"augment must be a function \(batch, generator\) -> batch, got 'flip'"),
            (lambda batch, generator: batch.images, TypeError, "augment must give a Batch, got Tensor"),
            (
                lambda batch, generator: Batch(batch.images[1:], batch.labels[1:]),
                ValueError,
                "augment made 63 pictures of 64",
            ),
        ],
    )
    def test_what_is_no_augmentation(self, augment, error, message):
        with pytest.raises(error, match=message):
            short(augment=augment)


class TestBatch:
    @pytest.mark.parametrize(
        "images, labels, error, message",
        [
            (torch.zeros(2, 3), [0, 1], TypeError, r"labels of a batch must be a tensor, got \[0, 1\]"),
            (torch.zeros(2, 3), torch.zeros(2), TypeError, "must be int64"),
            (torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), ValueError, "one label for each"),
            (torch.zeros(2, 3), torch.zeros(1, 10), ValueError, "one label for each"),
            (torch.zeros(2, 3), torch.zeros(2, 1, dtype=torch.int64), ValueError, "one label for each"),
            (torch.zeros(2, 3), torch.tensor([0, -100]), ValueError, "labels count classes from 0, got -100"),
            (torch.zeros(1, 3), torch.tensor([[2.0, 1.5]]), ValueError, r"add up to 1 .*, got rows .* \[3.5\]"),
            (torch.zeros(1, 3), torch.tensor([[1.5, -0.5]]), ValueError, "must be 0 or more and add up to 1"),
            (torch.zeros(1, 3), torch.tensor([[torch.nan, 1]]), ValueError, "must be 0 or more and add up to 1"),
            (torch.zeros(1, 3), torch.zeros(1, 0), ValueError, "must be 0 or more and add up to 1"),
        ],
    )
    def test_what_is_no_batch(self, images, labels, error, message):
        with pytest.raises(error, match=message):
            Batch(images, labels)
