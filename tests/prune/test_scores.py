"""Scores against cases worked by hand, finite differences, and a real optimizer's steps."""

import copy
import math
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mini_lib.data import Split
from mini_lib.prune import gradient_times_weight, is_prunable, keep_top, magnitude, masked, movement, random_scores
from mini_lib.prune.scores import prunable_weights


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def small_net(seed=0):
    """A convolution, a batch norm, dropout and a linear layer, for pictures [N, 1, 4, 4] of three classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3)
        )


def pictures(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(count, 1, 4, 4, generator=generator), torch.arange(count) % 3)


def one_line(first=2.0, second=0.0):
    """Logits (first * x, second * x): at x = 1 and class 0 the gradient of the loss is sigmoid(first - second) - 1."""
    model = nn.Linear(1, 2, bias=False)
    model.weight.data = torch.tensor([[first], [second]])
    return model


ONE = Split(torch.ones(1, 1), torch.tensor([0]))


# --- which weights -------------------------------------------------------------------------------------------------


def test_weights_of_linear_layers_and_convolutions_are_scored_and_nothing_else():
    model = nn.ModuleDict(
        {
            "a": nn.Conv1d(1, 1, 1),
            "b": nn.Conv2d(1, 1, 1),
            "c": nn.Linear(1, 1),
            "d": nn.BatchNorm1d(1),
            "e": nn.Embedding(2, 1),
            "f": nn.LayerNorm(1),
        }
    )
    assert list(magnitude(model)) == ["a.weight", "b.weight", "c.weight"]
    assert list(magnitude(nn.Linear(2, 1))) == ["weight"]


@pytest.mark.parametrize("score", [
    lambda model, where: magnitude(model, where),
    lambda model, where: random_scores(model, 0, where),
    lambda model, where: gradient_times_weight(model, pictures(), where),
    lambda model, where: movement(model, pictures(), lambda model, split: model, steps=1, where=where),
])  # fmt: skip
def test_where_chooses_for_every_score(score):
    model = small_net()
    assert list(score(model, is_prunable)) == ["0.weight", "5.weight"]
    for name, values in score(model, lambda name, module: name in ("0", "1")).items():
        assert values.shape == model.get_parameter(name).shape
        assert not values.requires_grad
    assert list(score(model, lambda name, module: name in ("0", "1"))) == ["0.weight", "1.weight"]


def test_a_weight_that_two_layers_share_is_scored_once():
    layer, tied = nn.Linear(3, 3), nn.Linear(3, 3)
    tied.weight = layer.weight
    assert list(prunable_weights(nn.Sequential(layer, nn.ReLU(), tied, layer))) == ["0.weight"]


def test_layers_without_a_weight_to_prune_are_refused():
    with pytest.raises(
        ValueError, match=says("layer '2' (Tanh) has no weight of its own to prune; leave it out in where")
    ):
        magnitude(small_net(), lambda name, module: name == "2")
    with pytest.raises(
        ValueError,
        match=says(
            "where chooses no layer of the model; the default, is_prunable, takes linear layers and convolutions"
        ),
    ):
        magnitude(nn.Sequential(nn.ReLU()))
    with pytest.raises(TypeError, match=says("model must be an nn.Module, got dict; pass the model itself")):
        magnitude({})


def test_a_masked_model_says_how_it_is_scored():
    layer = nn.Linear(4, 1)
    model = masked(layer, keep_top(magnitude(layer), 0.5))
    with pytest.raises(
        ValueError,
        match=says(
            "the weight of layer '' is masked already, or parametrized; score baked(model), and give the mask as "
            "`among`"
        ),
    ):
        magnitude(model)


# --- magnitude and chance ------------------------------------------------------------------------------------------


def test_magnitude_is_a_copy_of_the_size():
    model = one_line(-2.0, 0.5)
    scores = magnitude(model)
    assert scores["weight"].tolist() == [[2.0], [0.5]]
    scores["weight"].zero_()
    assert model.weight.tolist() == [[-2.0], [0.5]]


def test_random_scores_are_the_seeds_and_leave_the_global_generator_alone():
    model = small_net()
    before = torch.get_rng_state()
    first, same, other = (random_scores(model, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) and not torch.equal(first[name], other[name]) for name in first)
    # They know nothing of the weights: another model of the same shape has the same ones.
    assert all(torch.equal(values, random_scores(small_net(5), 1)[name]) for name, values in first.items())


def test_random_scores_are_uniform():
    values = random_scores(nn.Linear(100, 100), seed=0)["weight"]
    assert values.min() >= 0 and values.max() < 1
    # The mean of n = 10,000 uniform values has standard deviation sqrt(1/12/n) = 0.0029: six of them.
    assert abs(values.mean() - 0.5) < 6 * math.sqrt(1 / 12 / 1e4)


# --- gradient times weight -----------------------------------------------------------------------------------------


def loss_in_doubles(model, split):
    """The mean cross-entropy, written out anew and in float64."""
    logits = model.double().eval()(split.images.double())
    chosen = logits[torch.arange(len(split)), split.labels]
    return (logits.exp().sum(dim=1).log() - chosen).mean().item()


def test_gradient_times_weight_is_what_finite_differences_say():
    model, split = small_net(), pictures()
    model(split.images)  # in training mode: gives the batch norm statistics that are not 0 and 1
    scores = gradient_times_weight(model, split)
    step = 1e-5
    for name, values in scores.items():
        expected = torch.zeros(values.shape, dtype=torch.float64)
        for index in range(values.numel()):
            losses = []
            for sign in (1, -1):
                moved = copy.deepcopy(model).double()
                moved.get_parameter(name).data.view(-1)[index] += sign * step
                losses.append(loss_in_doubles(moved, split))
            slope = (losses[0] - losses[1]) / (2 * step)
            expected.view(-1)[index] = abs(slope * model.get_parameter(name).data.view(-1)[index].item())
        # Central differences err by step^2 = 1e-10 and by rounding, 1e-16 / step = 1e-11. So the float32 gradient is
        # what errs: a sum over 12 pictures and at most 4 places, of terms of size 1, each off by a few 6e-8.
        torch.testing.assert_close(values.double(), expected, rtol=1e-4, atol=1e-5)
        assert values.max() > 100 * 1e-5  # there is something to compare


def test_gradient_times_weight_is_the_first_order_change_of_the_loss():
    # Scaled by 1 - t, the loss falls by t * g * w: here with g = sigmoid(w) - 1 and w = 2.
    expected = abs((1 / (1 + math.exp(-2.0)) - 1) * 2.0)
    scores = gradient_times_weight(one_line(), ONE)["weight"]
    assert scores[0].item() == pytest.approx(expected, rel=1e-6)
    assert scores[1].item() == 0.0  # the gradient is there, but the weight is 0


def test_gradient_times_weight_is_the_mean_over_the_batch():
    scores, twice = (gradient_times_weight(one_line(), Split(torch.ones(n, 1), torch.zeros(n).long())) for n in (1, 2))
    torch.testing.assert_close(scores, twice, rtol=1e-6, atol=0)


def test_scoring_leaves_the_model_as_it_was():
    model, split = small_net().train(), pictures()
    model[1].eval()
    model.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    with torch.no_grad():  # a caller may be in here, and the scores need gradients all the same
        scores = gradient_times_weight(model, split)
        movement(model, split, lambda model, split: model, steps=2)
    assert all(values.any() for values in scores.values())  # a frozen weight has a score, too
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[0].weight.grad.eq(1).all() and model[5].weight.grad is None


def test_the_mode_comes_back_after_an_error():
    model = small_net().train()
    with pytest.raises(ValueError, match=r"cannot be run on float32 \[1, 7, 4, 4\]"):
        gradient_times_weight(model, Split(torch.ones(1, 7, 4, 4), torch.tensor([0])))
    assert all(module.training for module in model.modules())


def test_a_weight_that_the_loss_does_not_depend_on_is_worth_nothing():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = one_line(), nn.Linear(3, 3)

        def forward(self, images):
            return self.used(images)

    scores = gradient_times_weight(Idle(), ONE)
    assert not scores["idle.weight"].any() and scores["used.weight"].any()


# --- movement ------------------------------------------------------------------------------------------------------


def descend(learning_rate):
    """One real step of gradient descent on a copy."""

    def step(model, split):
        model = copy.deepcopy(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        F.cross_entropy(model(split.images), split.labels).backward()
        optimizer.step()
        return model

    return step


def test_movement_follows_real_steps_by_hand():
    # Class 0 pulls the first logit w up and the second one v down, both by 1 - sigmoid(w - v) a unit of learning rate.
    w, v, rate, expected = -1.0, 0.5, 0.8, [0.0, 0.0]
    for _ in range(3):
        gradient = 1 / (1 + math.exp(v - w)) - 1  # of w; that of v is its opposite
        expected = [expected[0] - gradient * w, expected[1] + gradient * v]
        w, v = w - rate * gradient, v + rate * gradient
    model = one_line(-1.0, 0.5)
    scores = movement(model, ONE, descend(rate), steps=3)["weight"]
    assert scores.flatten().tolist() == pytest.approx(expected, rel=1e-5)  # three float32 steps: some 1e-7 each
    assert expected[0] < 0 and expected[1] < 0  # both were on their way to zero
    assert model.weight.flatten().tolist() == [-1.0, 0.5]


def test_movement_tells_growing_from_shrinking_weights_where_magnitude_does_not():
    growing, shrinking = one_line(0.5, -0.5), one_line(-0.5, 0.5)
    assert (movement(growing, ONE, descend(0.1), steps=3)["weight"] > 0).all()
    assert (movement(shrinking, ONE, descend(0.1), steps=3)["weight"] < 0).all()


def test_movement_of_one_step_is_gradient_times_weight_but_for_the_sign():
    model, split = small_net(), pictures()
    signed = movement(model, split, descend(0.1), steps=1)
    torch.testing.assert_close(
        {name: values.abs() for name, values in signed.items()}, gradient_times_weight(model, split), rtol=0, atol=0
    )
    assert any((values < 0).any() and (values > 0).any() for values in signed.values())


def test_movement_refuses_no_steps_and_steps_that_return_nothing():
    with pytest.raises(
        ValueError,
        match=says("steps must be a whole number of 1 or more, got 0; ten or more show where the weights go"),
    ):
        movement(one_line(), ONE, descend(0.1), steps=0)
    with pytest.raises(
        TypeError,
        match=says(
            "train_step must return the model after its step, got NoneType; let it change a copy and return that"
        ),
    ):
        movement(one_line(), ONE, lambda model, split: None, steps=1)
