"""The recipe of a training: learning rates against torch's schedulers, and batches that miss no picture."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mini_lib.prune.tickets import Recipe, batch_order


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_rates_by_hand():
    recipe = Recipe(steps=6, learning_rate=0.8, warmup_steps=4, drops=[5])
    # a quarter, two, three and four quarters of .8; then .8; then a tenth of it
    assert [recipe.rate_at(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.08], rel=1e-15)


def test_the_default_is_a_constant_rate():
    assert {Recipe(steps=50).rate_at(step) for step in range(50)} == {1.2e-3}


@given(st.integers(0, 12), st.lists(st.integers(1, 20), max_size=3, unique=True))
def test_rates_are_those_of_torchs_schedulers(warmup, drops):
    recipe = Recipe(steps=20, learning_rate=0.1, warmup_steps=warmup, drops=drops)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    # Factors 1 / warmup at step 0 up to 1 at step warmup - 1: warmup - 1 equal steps of 1 / warmup each.
    schedulers = [torch.optim.lr_scheduler.MultiStepLR(optimizer, sorted(drops), gamma=0.1)]
    if warmup > 1:
        schedulers.append(torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1))
    scheduler = torch.optim.lr_scheduler.ChainedScheduler(schedulers)
    for step in range(20):
        # torch multiplies the rate anew in each step: at most 20 products, each rounded to 2**-53 of itself
        assert recipe.rate_at(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=100 * 2**-53)
        optimizer.step()
        scheduler.step()


def test_the_end_is_evaluated_too_and_steps_are_put_in_order():
    recipe = Recipe(steps=30, evaluate_at=[20, 5, 20])
    assert recipe.evaluate_at == (5, 20, 30)
    assert recipe == Recipe(steps=30, evaluate_at=(5, 20, 30))
    assert Recipe(steps=7).evaluate_at == (7,)


def test_the_optimizers():
    weight = nn.Parameter(torch.ones(3))
    adam = Recipe(steps=1, learning_rate=0.5).make_optimizer([weight])
    assert isinstance(adam, torch.optim.Adam)
    assert (adam.defaults["lr"], adam.defaults["weight_decay"], adam.defaults["betas"]) == (0.5, 0, (0.9, 0.999))
    sgd = Recipe(steps=1, optimizer="sgd", momentum=0.7).make_optimizer([weight])
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["lr"], sgd.defaults["weight_decay"], sgd.defaults["momentum"]) == (1.2e-3, 0, 0.7)


@given(st.integers(1, 40), st.integers(1, 10), st.integers(1, 15), st.integers(0, 99))
def test_each_epoch_shows_every_picture_once(count, steps, batch_size, seed):
    order = batch_order(count, Recipe(steps=steps, batch_size=batch_size), seed)
    assert order.shape == (steps, batch_size) and order.dtype == torch.int64
    for epoch in order.flatten().split(count):
        seen = epoch.tolist()
        assert len(set(seen)) == len(seen) and set(seen) <= set(range(count))


def test_order_is_that_of_the_seed_and_another_in_each_epoch():
    recipe = Recipe(steps=10, batch_size=10)
    first, again, other = (batch_order(50, recipe, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[:5], first[5:])
    # A longer training begins as the shorter one does.
    assert torch.equal(batch_order(50, Recipe(steps=20, batch_size=10), 3)[:10], first)


@pytest.mark.parametrize("given, message", [
    ({"steps": 0}, "steps must be a whole number of 1 or more, got 0; a small net learns in a few thousand"),
    ({"batch_size": 0}, "batch_size must be a whole number of 1 or more, got 0; the paper has 60"),
    ({"warmup_steps": -1}, "warmup_steps must be a whole number of 0 or more, got -1; 0 starts at the full rate"),
    ({"learning_rate": 0}, "learning_rate must be a finite number above 0, got 0; try 1.2e-3"),
    ({"learning_rate": float("nan")}, "learning_rate must be a finite number above 0, got nan; try 1.2e-3"),
    ({"optimizer": "lion"}, "optimizer must be 'adam' or 'sgd', got 'lion'; the paper has 'adam' for this net"),
    ({"momentum": 1.0}, "momentum must lie in [0, 1), got 1.0; 0.9 is usual"),
    ({"drops": (0,)}, "drops must lie in 1 to 100 (the steps), got (0,)"),
    ({"evaluate_at": (101,)}, "evaluate_at must lie in 1 to 100 (the steps), got (101,)"),
])  # fmt: skip
def test_a_recipe_says_what_is_wrong_with_it(given, message):
    with pytest.raises(ValueError, match=says(message)):
        Recipe(**{"steps": 100, **given})
