"""Iterative magnitude pruning: counts and rewinding by hand, and the same ticket as the batched study finds."""

import re

import pytest
import tiny_tickets as tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mini_lib.prune import Mask
from mini_lib.prune.tickets import Recipe, batch_order, find_ticket, next_mask, weights_of
from mini_lib.prune.tickets.alone import train_alone
from studies.tickets import State, Study, advance

SPLITS = tiny.pictures()
RECIPE = Recipe(steps=15, batch_size=16, learning_rate=0.02, evaluate_at=(5,))


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def subset(inner, outer):
    return all((outer[name] | ~inner[name]).all() for name in inner)


# --- the mask of a round -------------------------------------------------------------------------------------------


def test_two_rounds_by_hand():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    trained = {"0.weight": torch.tensor([[0.5, -4.0], [1.0, 2.0]]), "1.weight": torch.tensor([[-3.0, 0.1]])}
    first = next_mask(model, trained, None, 1, rate=0.5)  # three of six: 4, 3, 2
    assert first["0.weight"].tolist() == [[False, True], [False, True]]
    assert first["1.weight"].tolist() == [[True, False]]
    # The largest of all is one that is out already, as if it had grown back. Two of three stay, one per layer or more.
    again = {"0.weight": torch.tensor([[9.0, -4.0], [9.0, 5.0]]), "1.weight": torch.tensor([[-3.0, 9.0]])}
    second = next_mask(model, again, first, 2, rate=0.4)  # round(.36 * 6) = 2
    assert second["0.weight"].tolist() == [[False, False], [False, True]]
    assert second["1.weight"].tolist() == [[True, False]]


@given(st.integers(1, 8), st.floats(0.05, 0.5), st.integers(0, 99))
def test_each_round_takes_its_share_of_what_is_left(rounds, rate, seed):
    chance = torch.Generator().manual_seed(seed)
    model, mask = tiny.build(0), None
    for number in range(1, rounds + 1):
        trained = {name: torch.randn(weight.shape, generator=chance) for name, weight in model.named_parameters()}
        kept = round(320 * (1 - rate) ** number)
        if kept < 3:
            break  # the three layers keep one weight each
        following = next_mask(model, trained, mask, number, rate)
        assert following.kept == kept and following.names == ("1.weight", "3.weight", "5.weight")
        assert mask is None or subset(following, mask)
        # Each round by itself takes `rate` of the survivors, up to the rounding of this count and of the last one.
        before = 320 if mask is None else mask.kept
        assert abs(following.kept - (1 - rate) * before) <= 1
        mask = following


@given(st.integers(1, 30), st.floats(0.05, 0.9))
def test_by_layers_the_last_is_pruned_at_half_the_rate(number, rate):
    model = tiny.build(0)
    mask = next_mask(model, weights_of(model), None, number, rate, scope="layer")
    counts = [round(192 * (1 - rate) ** number), round(96 * (1 - rate) ** number), round(32 * (1 - rate / 2) ** number)]
    assert [layer.kept for layer in mask.layers()] == [max(1, count) for count in counts]


def test_by_layers_each_round_is_within_the_last():
    model, mask = tiny.build(0), None
    for number in range(1, 40):
        following = next_mask(model, weights_of(tiny.build(number)), mask, number, 0.3, scope="layer")
        assert mask is None or subset(following, mask)
        mask = following
    assert [layer.kept for layer in mask.layers()] == [1, 1, 1]  # 32 * .85**39 = .06, and one stays


def test_more_rounds_than_there_are_weights_are_refused():
    model = tiny.build(0)
    with pytest.raises(ValueError, match=r"^at_least=1 in each of 3 layers does not fit into the 2 of 320 weights"):
        next_mask(model, weights_of(model), None, 5, rate=1 - (2 / 320) ** 0.2)


# --- a ticket ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rewind_to", [0, 6])
def test_a_ticket_is_found_round_by_round(rewind_to):
    """Written out by hand: three rounds, each mask from the weights of the round before."""
    ticket = find_ticket(tiny.build, SPLITS, recipe=RECIPE, rounds=3, rate=0.4, rewind_to=rewind_to, seed=2)
    model, order = tiny.build(2), batch_order(96, RECIPE, 2)
    dense = train_alone(model, weights_of(model), None, order, SPLITS, RECIPE, snapshot_at=rewind_to)
    start = dense.snapshot
    one = next_mask(model, dense.weights, None, 1, 0.4)
    first = train_alone(model, start, one, order, SPLITS, RECIPE, first_step=rewind_to)
    two = next_mask(model, first.weights, one, 2, 0.4)
    second = train_alone(model, start, two, order, SPLITS, RECIPE, first_step=rewind_to)
    three = next_mask(model, second.weights, two, 3, 0.4)

    assert ticket.mask == three and subset(three, two) and subset(two, one)
    assert [round(320 * 0.6**number) for number in (1, 2, 3)] == [one.kept, two.kept, three.kept]
    assert [done.test_accuracy for done in ticket.rounds] == [
        dense.test_accuracy,
        first.test_accuracy,
        second.test_accuracy,
    ]
    for name, weight in ticket.model.named_parameters():
        assert torch.equal(weight, start[name] * three[name] if name in three.tensors else start[name])


def test_rewinding_goes_back_to_the_weights_after_that_step():
    model = tiny.build(0)
    after_six = train_alone(
        model,
        weights_of(model),
        None,
        batch_order(96, RECIPE, 0),
        SPLITS,
        Recipe(steps=6, batch_size=16, learning_rate=0.02),
    ).weights
    to_zero, to_six = (
        find_ticket(tiny.build, SPLITS, recipe=RECIPE, rounds=1, rewind_to=step).model for step in (0, 6)
    )
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert torch.equal(to_zero.get_parameter(name), weight)
            assert torch.equal(to_six.get_parameter(name), after_six[name])
        else:
            kept = to_six.get_parameter(name) != 0
            assert torch.equal(to_six.get_parameter(name)[kept], after_six[name][kept])
            assert not torch.equal(after_six[name][kept], weight[kept])


def widest_gap(weights, mask, before):
    """How far the smallest weight that stays lies above the largest that goes, among those that were still there."""
    kept = torch.cat([weights[name][mask[name]].abs() for name in mask])
    gone = torch.cat(
        [weights[name][~mask[name] & (before[name] if before is not None else True)].abs() for name in mask]
    )
    return float(kept.min() - gone.max())


@pytest.mark.parametrize("arm, rewind_to", [("ticket", 0), ("late", 6)])
@pytest.mark.parametrize("build", [tiny.build_in_doubles, tiny.build_conv_in_doubles])
def test_it_is_the_ticket_that_the_study_finds(build, arm, rewind_to):
    """In doubles weights differ by 1e-8 at most (see test_train_together), and the weights that decide who stays lie
    further apart than that: so masks must be equal, and not only nearly so."""
    ticket = find_ticket(build, SPLITS, recipe=RECIPE, rounds=3, rate=0.4, rewind_to=rewind_to, seed=2)
    study = Study(
        RECIPE, seeds=(2,), arms=(arm,), rounds=3, rate=0.4, rewind_to=rewind_to, build=build, load_data=tiny.pictures
    )
    states, masks = [State(2)], [None]
    for _ in range(3):
        states = advance(study, states)
        masks.append(states[0].masks[arm])
    for done, before, after in zip(ticket.rounds, masks, masks[1:]):
        assert widest_gap(done.weights, after, before) > 1e-8
    assert states[0].masks[arm] == ticket.mask
    for run, done in zip(states[0].runs, ticket.rounds, strict=True):
        assert (run.validation_accuracies, run.test_accuracy) == (done.validation_accuracies, done.test_accuracy)
    start = states[0].weights["late" if arm == "late" else "start"]
    for name, weight in ticket.model.named_parameters():
        kept = weight != 0
        torch.testing.assert_close(weight.detach()[kept], start[name][kept], rtol=0, atol=1e-8)


def test_progress_comes_after_each_training_the_dense_one_first():
    seen = []
    ticket = find_ticket(tiny.build, SPLITS, recipe=RECIPE, rounds=3, progress=seen.append)
    assert len(seen) == 3 and all(one is other for one, other in zip(seen, ticket.rounds, strict=True))


def test_a_ticket_is_not_trained_and_can_be():
    ticket = find_ticket(tiny.build, SPLITS, recipe=RECIPE, rounds=2, rate=0.5)
    assert isinstance(ticket.mask, Mask) and ticket.mask.density == 0.25
    recipe = Recipe(steps=200, batch_size=16, learning_rate=0.02)
    trained = train_alone(
        ticket.model, weights_of(ticket.model), ticket.mask, batch_order(96, recipe, 0), SPLITS, recipe
    )
    assert trained.test_accuracy > 0.9  # a quarter of the weights learns four quarters easily


@pytest.mark.parametrize("given, message", [
    ({"rate": 1.0}, "rate must lie in (0, 1), got 1.0; 0.2 takes a fifth of what remains in each round"),
    ({"rounds": 0}, "rounds must be a whole number of 1 or more, got 0; one_shot is a single round"),
    ({"rewind_to": 15}, "rewind_to must be a whole number from 0 to 14, got 15; 0 goes back to the start"),
    ({"rewind_to": -1}, "rewind_to must be a whole number from 0 to 14, got -1; 0 goes back to the start"),
])  # fmt: skip
def test_settings_that_find_nothing(given, message):
    def never(seed):
        raise AssertionError("wrong settings are to be found before anything is trained")

    with pytest.raises(ValueError, match=says(message)):
        find_ticket(never, SPLITS, recipe=RECIPE, **given)
