"""Pruning step by step: each step checked against its parts, put together by hand."""

import copy
import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from mini_lib.data import Split
from mini_lib.fit import accuracy, fit
from mini_lib.prune import Mask, cubic, keep_top, magnitude, masked, one_shot, random_scores
from mini_lib.prune.gradual import PrunedStep, prune_and_train


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def clouds(count=200, seed=0):
    """Three clouds in eight dimensions, of which only the first two tell them apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    points = torch.randn(count, 8, generator=generator)
    points[:, :2] += torch.tensor([[4.0, 0.0], [-2.0, 3.5], [-2.0, -3.5]])[labels]
    return Split(points, labels)


TRAIN, VALIDATION = clouds(seed=0), clouds(seed=1)


@pytest.fixture(scope="module")
def trained():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    return fit(model, TRAIN, VALIDATION, epochs=5, seed=0, learning_rate=0.02).model


def prune(model, densities=(0.5, 0.2, 0.1), **changes):
    chosen = dict(epochs=2, seed=0, learning_rate=0.01) | changes
    return prune_and_train(model, TRAIN, VALIDATION, densities=densities, **chosen)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("scope", ["global", "layer", "row"])
def test_each_step_keeps_its_count_of_what_was_left(trained, scope):
    densities = (0.7, 0.4, 0.15)
    steps = prune(trained, densities, scope=scope)
    assert [step.density for step in steps] == list(densities)
    # 128 and 48 weights; the rows have 8 and 16
    expected = {
        "global": [123, 70, 26],
        "layer": [90 + 34, 51 + 19, 19 + 7],
        "row": [16 * 6 + 3 * 11, 16 * 3 + 3 * 6, 16 * 1 + 3 * 2],
    }
    assert [step.mask.kept for step in steps] == expected[scope]
    for step in steps:
        for name in step.mask:
            weight = step.model.get_parameter(name)
            assert torch.equal(weight != 0, step.mask[name])
        assert list(step.model.state_dict()) == list(trained.state_dict()) and not step.model.training
    for earlier, later in pairwise(steps):
        assert all(not (later.mask[name] & ~earlier.mask[name]).any() for name in later.mask)


def test_a_step_is_scoring_masking_and_training_on(trained):
    first, second = prune(trained, (0.5, 0.2))
    # The first mask is that of the given model, the second that of the first step's weights.
    assert first.mask == keep_top(magnitude(trained), 0.5)
    assert second.mask == keep_top(magnitude(first.model), 0.2)  # what is pruned has magnitude 0, the lowest
    # The accuracy before is that of the model with zeros written in by hand.
    for source, step in ((trained, first), (first.model, second)):
        zeroed = copy.deepcopy(source)
        for name in step.mask:
            zeroed.get_parameter(name).data *= step.mask[name]
        assert step.validation_accuracy_before == accuracy(zeroed, VALIDATION)
        assert step.validation_accuracy == accuracy(step.model, VALIDATION)
    # Training goes on from there: with a learning rate of next to nothing the survivors are where they were.
    for name, weight in prune(trained, (0.5,), learning_rate=1e-9, epochs=1)[0].model.named_parameters():
        kept = first.mask[name] if name in first.mask.names else torch.ones_like(weight, dtype=torch.bool)
        # Adam moves a weight by about the learning rate a step, and there are two steps.
        torch.testing.assert_close(weight[kept], trained.get_parameter(name)[kept], rtol=1e-6, atol=1e-7)


def test_training_makes_up_for_what_was_taken(trained):
    unpruned = accuracy(trained, VALIDATION)
    (step,) = prune(trained, one_shot(0.3), epochs=15, learning_rate=0.03)
    # A standard deviation of 200 pictures is at most sqrt(1/4 / 200) = 3.5 points; ten points are no accident.
    assert step.validation_accuracy_before < unpruned - 0.1
    assert step.validation_accuracy > step.validation_accuracy_before + 0.1


def test_the_seed_decides_and_the_model_stays(trained):
    before = copy.deepcopy(trained.state_dict())
    steps, again, other = (prune(trained, seed=seed) for seed in (3, 3, 4))
    assert all(a.mask == b.mask and same(a.model, b.model) for a, b in zip(steps, again, strict=True))
    assert not same(steps[0].model, other[0].model)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    # A longer schedule begins with the same steps.
    shorter = prune(trained, (0.5, 0.2), seed=3)
    assert all(a.mask == b.mask and same(a.model, b.model) for a, b in zip(shorter, steps))


def test_every_step_sees_the_pictures_in_an_order_of_its_own(trained):
    orders = []

    class Spy(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, images):
            if self.training:
                orders[-1].append(images[0, 0].item())
            return self.model(images)

    def score(model):
        orders.append([])
        return magnitude(model)

    for seed in (0, 1):
        prune(Spy(trained), (0.5, 0.5), seed=seed, score=score)
    assert len({tuple(order) for order in orders}) == 4  # nor do neighbouring seeds share a step


def test_any_score_will_do_and_is_asked_about_the_trained_survivors(trained):
    seen = []

    def score(model):
        seen.append(model)
        return random_scores(model, seed=len(seen))

    steps = prune(trained, (0.5, 0.2), score=score)
    assert seen[0] is trained and seen[1] is steps[0].model
    first = keep_top(random_scores(trained, seed=1), 0.5)
    assert steps[0].mask == first
    assert steps[1].mask == keep_top(random_scores(trained, seed=2), 0.2, among=first)


def test_at_least_keeps_every_layer_alive(trained):
    shrunk = copy.deepcopy(trained)
    shrunk[3].weight.data *= 1e-3  # a global ranking would take all of it
    with pytest.raises(ValueError, match=r"would prune '3\.weight' to nothing"):
        prune(shrunk, (0.2,))
    (step,) = prune(shrunk, (0.2,), at_least=5)
    assert step.mask["3.weight"].sum() == 5 and step.mask.kept == 35  # a fifth of 176


def test_progress_is_told_of_each_step(trained):
    told = []
    steps = prune(trained, cubic(0.2, rounds=3), progress=told.append)
    assert told == list(steps)
    assert str(steps[0]).startswith("density 43.70%: validation accuracy ")  # 0.2 + 0.8 (2/3)^3


def test_what_cannot_end_well_is_refused_before_training(trained):
    never = lambda step: pytest.fail("a step was trained")  # noqa: E731
    for densities, changes, message in (
        (
            (0.5, 0.01),
            dict(scope="layer"),
            "density 0.01 (scope 'layer') would prune '3.weight' to nothing: 0 of 48 "
            "weights stay; use a higher density or at_least=1",
        ),
        (
            (0.5, 0.01),
            dict(at_least=5),
            "at_least=5 in each of 2 layers does not fit into the 2 of 176 weights that "
            "density 0.01 keeps; use a smaller at_least or a higher density",
        ),
        ((0.2, 0.5), {}, "densities must not rise, got 0.5 after 0.2; a pruned weight does not come back"),
        ((0.5, 0), {}, "density must lie in (0, 1], got 0; 0.2 keeps a fifth of the weights"),
        ((), {}, "densities hold none; give at least one, such as one_shot(0.2)"),
        (
            (0.5,),
            dict(scope="rows"),
            "scope must be 'global', 'layer' or 'row', got 'rows'; 'global' ranks all weights together",
        ),
        (
            (0.5,),
            dict(epochs=0),
            "epochs must be a whole number of 1 or more, got 0; one epoch is one pass over the training data",
        ),
    ):
        with pytest.raises(ValueError, match=says(message)):
            prune(trained, densities, progress=never, **changes)
    for name, splits in (("train", ([], VALIDATION)), ("validation", (TRAIN, []))):
        with pytest.raises(
            TypeError, match=says(f"{name} must be a data.Split, got list; use data.Split(images, labels)")
        ):
            prune_and_train(trained, *splits, densities=(0.5,), epochs=1, seed=0, learning_rate=0.01)
    with pytest.raises(ValueError, match="is masked already"):
        prune(masked(trained, keep_top(magnitude(trained), 0.5)))


@pytest.mark.parametrize("name", ["validation_accuracy_before", "validation_accuracy"])
def test_a_step_takes_shares(name):
    shares = {"validation_accuracy_before": 0.5, "validation_accuracy": 0.5} | {name: 50}
    with pytest.raises(ValueError, match=says(f"{name} must lie in [0, 1], got 50; give a share such as 0.9")):
        PrunedStep(0.5, Mask({"weight": torch.tensor([True])}), nn.Linear(1, 1), **shares)
