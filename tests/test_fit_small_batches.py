"""Batches of one picture, a last batch that is not full, and one that holds everything: counted and by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mini_lib.data import Split
from mini_lib.fit import cross_entropy, fit, predict

IMAGES = torch.tensor([[-2.0, 1.0], [0.5, -1.0], [1.5, 2.0], [-0.5, 0.5], [3.0, -2.0]])
FIVE = Split(IMAGES, torch.tensor([0, 1, 1, 0, 1]))


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(2, 2)


@pytest.mark.parametrize("batch_size, sizes", [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (9, [5])])
def test_the_batches_of_an_epoch(batch_size, sizes):
    seen, losses = [], []

    def watched(logits, images, labels):
        seen.append(len(labels))
        losses.append(cross_entropy(logits, images, labels))
        return losses[-1]

    found = fit(linear(), FIVE, FIVE, epochs=2, seed=0, batch_size=batch_size, learning_rate=0.1, loss=watched)
    assert seen == sizes * 2
    # the loss of an epoch is the mean over its pictures, not over its batches
    for epoch, row in enumerate(found.history):
        of_epoch = losses[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        expected = sum(size * one.item() for size, one in zip(sizes, of_epoch, strict=True)) / 5
        assert row.train_loss == pytest.approx(expected, rel=1e-6)
        assert (row.epoch, row.epochs) == (epoch + 1, 2)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_an_epoch_is_adamw_along_one_cycle(batch_size):
    """Algorithm 2 of Loshchilov and Hutter, written out, over the batches in the order in which they came.

    The learning rate is torch's OneCycleLR over all steps of all epochs; the moments start at 0.
    """
    came = []

    def watched(logits, images, labels):
        came.append((images, labels))
        return cross_entropy(logits, images, labels)

    found = fit(
        linear(),
        FIVE,
        FIVE,
        epochs=3,
        seed=1,
        batch_size=batch_size,
        learning_rate=0.1,
        weight_decay=0.01,
        loss=watched,
    )
    steps = len(came)
    assert steps == 3 * -(-5 // batch_size)
    cycle = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(cycle, 0.1, total_steps=steps, cycle_momentum=False)
    model = linear()
    weights = [model.weight.detach().clone(), model.bias.detach().clone()]
    first, second = ([torch.zeros_like(one) for one in weights] for _ in range(2))
    for step, (images, labels) in enumerate(came, start=1):
        [one.requires_grad_() for one in weights]
        gradients = torch.autograd.grad(F.cross_entropy(F.linear(images, *weights), labels), weights)
        weights = [one.detach() for one in weights]
        rate = cycle.param_groups[0]["lr"]
        for k, gradient in enumerate(gradients):
            first[k] = 0.9 * first[k] + 0.1 * gradient
            second[k] = 0.999 * second[k] + 0.001 * gradient**2
            ahead = (first[k] / (1 - 0.9**step)) / ((second[k] / (1 - 0.999**step)).sqrt() + 1e-8)
            weights[k] = weights[k] * (1 - rate * 0.01) - rate * ahead
        cycle.step()
        schedule.step()
    # a few dozen float32 operations on numbers of about 1; Adam divides by roots of small squares
    for one, expected in zip((found.model.weight, found.model.bias), weights, strict=True):
        assert (one - expected).abs().max() <= 1e-4


def test_a_picture_at_a_time_is_asked_one_at_a_time():
    asked = []

    class Asked(nn.Module):
        def forward(self, x):
            asked.append(len(x))
            return x

    assert torch.equal(predict(Asked(), IMAGES, batch_size=1), IMAGES)
    assert asked == [1] * 5
    asked.clear()
    predict(Asked(), IMAGES.repeat(41, 1))
    assert asked == [100, 100, 5]


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, float("inf"), "2", None])
def test_counts_that_are_none_are_refused(name, wrong):
    with pytest.raises((TypeError, ValueError), match=f"{name} must be a whole number of 1 or more, got"):
        fit(linear(), FIVE, FIVE, **{"epochs": 1, "seed": 0, "learning_rate": 0.1, name: wrong})


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
@pytest.mark.parametrize("wrong", [-0.1, True, float("inf"), float("nan"), "2", None])
def test_rates_that_are_none_are_refused(name, wrong):
    with pytest.raises((TypeError, ValueError), match=f"{name} must be a (finite )?number"):
        fit(linear(), FIVE, FIVE, **{"epochs": 1, "seed": 0, "learning_rate": 0.1, name: wrong})


@pytest.mark.parametrize(
    "loss, got",
    [
        (lambda logits, images, labels: logits.sum(dim=1), r"shape \[2\]"),  # one number for each picture
        (lambda logits, images, labels: logits.sum().reshape(1), r"shape \[1\]"),
        (lambda logits, images, labels: logits.sum().detach(), "a number without a gradient"),
        (lambda logits, images, labels: logits.detach().sum(dim=1), r"shape \[2\]"),
    ],
)
def test_a_loss_that_cannot_be_lowered_is_refused(loss, got):
    with pytest.raises(ValueError, match=f"loss must give one number with a gradient, got {got}; take the mean, and"):
        fit(linear(), FIVE, FIVE, epochs=1, seed=0, learning_rate=0.1, batch_size=2, loss=loss)
