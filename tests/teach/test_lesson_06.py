"""The answers of lesson 06 agree with the library, with torch's optimizer, and with numbers worked by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn, tensor
from torch.nn.utils import prune as torch_prune

from mini_lib import prune
from mini_lib.data import Split, Splits
from mini_lib.prune import tickets
from mini_lib.prune.tickets import imp
from studies.tickets import Results, Run
from teach.exercise import Exercise
from teach.exercises.lesson_06 import (
    EXERCISES,
    comparing,
    pairing,
    rewinding,
    rounds,
    searching,
    shrinking,
    starting,
    stepping,
)
from teach.judge import judge

SEEDS = st.integers(0, 10_000)
RATES = st.sampled_from((0.2, 0.3, 0.4))
BY_ID = {exercise.id: exercise for exercise in EXERCISES}


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some(seed, *shape):
    """A mask that keeps at least two."""
    mask = drawn(seed, *shape) > 0
    mask.view(-1)[:2] = True
    return mask


def said(exercise: Exercise, answer) -> str:
    return judge(exercise, answer).message


@given(RATES, st.integers(1, 12))
def test_what_is_left_is_what_the_schedule_says(rate, count):
    # a dozen products on either side, each with one rounding of at most 2**-53 of the value
    assert rounds.density_after(rate, count) == pytest.approx(prune.geometric(rate, count)[-1], rel=2.0**-48, abs=0)


@given(SEEDS, RATES)
def test_the_next_mask_is_that_of_torch(seed, rate):
    """torch prunes a share of what is left when it is told the number, and what has gone stays out."""
    trained, mask = drawn(seed, 6, 7), some(seed + 1, 6, 7)
    layer = nn.Linear(7, 6)
    layer.weight.data = trained.clone()
    torch_prune.custom_from_mask(layer, "weight", mask)
    torch_prune.l1_unstructured(layer, "weight", amount=round(rate * int(mask.sum())))
    assert torch.equal(shrinking.next_mask(trained, mask, rate), layer.weight_mask.bool())


@given(SEEDS)
def test_two_rounds_are_those_of_the_library(seed):
    """100 weights, rate .2: 80 and 64 stay, whole numbers, so that both ways of counting agree."""
    model = nn.Linear(10, 10)
    first, second = ({"weight": drawn(seed + place, 10, 10), "bias": torch.zeros(10)} for place in (0, 1))
    mask = imp.next_mask(model, first, None, 1, rate=0.2)
    following = imp.next_mask(model, second, mask, 2, rate=0.2)
    ours = shrinking.next_mask(first["weight"], torch.ones(10, 10, dtype=torch.bool), 0.2)
    assert torch.equal(ours, mask["weight"])
    assert torch.equal(shrinking.next_mask(second["weight"], ours, 0.2), following["weight"])


@given(SEEDS)
def test_the_start_is_that_of_a_ticket(seed):
    model, mask = nn.Linear(4, 3), some(seed, 3, 4)
    initial = {"weight": drawn(seed, 3, 4), "bias": drawn(seed, 3)}
    start = starting.reset(initial, {name: value + 1 for name, value in initial.items()}, {"weight": mask})
    expected = tickets.weights_of(prune.apply_mask(tickets.with_weights(model, initial), prune.Mask({"weight": mask})))
    assert start.keys() == expected.keys()
    assert all(torch.equal(start[name], expected[name]) for name in expected)


@given(SEEDS)
def test_steps_are_those_of_torch_on_a_masked_layer(seed):
    """Three steps of torch's SGD, with momentum, on a weight whose mask is part of the net."""
    weight, mask, inputs = drawn(seed, 4), some(seed + 1, 4), drawn(seed + 2, 3, 4)
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = weight[None].clone()
    net = prune.masked(layer, prune.Mask({"weight": mask[None]}))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    velocity = drawn(seed + 3, 4)
    # the velocity of the time before goes on where the weight stays
    [parameter] = net.parameters()
    optimizer.state[parameter]["momentum_buffer"] = (velocity * mask)[None].clone()
    for x in inputs:
        optimizer.zero_grad()
        net(x).sum().backward()  # the gradient of a linear net is its input
        optimizer.step()
        weight, velocity = stepping.masked_step(weight, x, velocity, mask, 0.5, 0.9)
    # All numbers stay below 32, so a rounding is at most 32 * 2**-24 = 2**-19. A step has four, two of them in the
    # velocity, which moves the weight by half of it in three steps at most: 6 + 6 * 1.5 = 15 roundings in all.
    torch.testing.assert_close(weight, prune.baked(net).weight.detach()[0], rtol=0, atol=16 * 2.0**-19)
    assert not weight[~mask].any() and not velocity[~mask].any()


@given(SEEDS)
def test_controls_change_one_thing_and_keep_the_rest(seed):
    shapes = {"a": (5, 6), "b": (3, 4)}
    mask = {name: some(seed + at, *shape) for at, (name, shape) in enumerate(shapes.items())}
    initial, other, chance = ({name: drawn(seed + at, *shapes[name]) for name in shapes} for at in (2, 3, 4))
    reinit, shuffled = comparing.controls(mask, initial, other, chance)
    library = tickets.shuffled_mask(prune.Mask(mask), seed)
    for layer in library.layers():
        name = layer.name
        assert torch.equal(reinit[name], torch.where(mask[name], other[name], 0))
        places = shuffled[name] != 0
        assert int(places.sum()) == layer.kept
        assert torch.equal(shuffled[name], torch.where(places, initial[name], 0))
        assert places.all() or chance[name][places].min() > chance[name][~places].max()


def test_a_difference_is_that_of_results():
    """Seeds 0 and 1: .75 - .5 and .5 - .5. Mean .125; deviations of .125 each: sqrt(2 * .125**2 / 1) = .1768."""
    runs = [Run(seed, 0, "dense", 1.0, (0.5,), 0.5) for seed in (0, 1)]
    runs += [Run(seed, 1, "ticket", 0.5, (0.5,), accuracy) for seed, accuracy in ((0, 0.75), (1, 0.5))]
    results = Results(tuple(runs), (1,))
    found = results.differences("ticket", 1, "dense")
    got = pairing.paired_difference(results.values("ticket", 1), results.values("dense", 0))
    assert got == (found.mean, found.std)
    assert got == pytest.approx((0.125, 0.03125**0.5), rel=2.0**-50)


@pytest.mark.parametrize("rewind_to", [0, 2])
def test_the_search_makes_as_many_steps_as_the_answer_says(monkeypatch, rewind_to):
    made = []

    def counting(model, start, mask, order, splits, recipe, *, first_step=0, snapshot_at=None):
        made.append(recipe.steps - first_step)
        return train(model, start, mask, order, splits, recipe, first_step=first_step, snapshot_at=snapshot_at)

    train = imp.train_alone
    monkeypatch.setattr(imp, "train_alone", counting)
    dots = Split(tensor([[-1.0, 0.1], [1.0, 0.1]]), tensor([0, 1]))
    imp.find_ticket(
        lambda seed: nn.Linear(2, 2),
        Splits(dots, dots, dots),
        recipe=tickets.Recipe(steps=5, batch_size=2),
        rounds=2,
        rate=0.3,
        rewind_to=rewind_to,
    )
    assert sum(made) + (5 - rewind_to) == searching.search_steps(2, 5, rewind_to)  # and the ticket's own training


def test_a_rewound_net_makes_the_rest_of_its_schedule():
    recipe = tickets.Recipe(steps=6, learning_rate=1.0, drops=(2, 4))
    rates = [recipe.rate_at(step) for step in range(6)]
    start, left = rewinding.rewind([tensor([float(step)]) for step in range(7)], rates, tensor([True]), 3)
    assert start.item() == 3.0
    assert left == pytest.approx([0.1, 0.01, 0.01])  # steps 3, 4 and 5: behind one drop, then behind two


class TestOtherWrongAnswers:
    """Answers that are written differently from the listed mistakes get the sentence of the mistake that they are."""

    def test_a_threshold_that_takes_one_too_many(self):
        def answer(trained, mask, rate):
            left = trained[mask].abs()
            return mask & (trained.abs() > left.kthvalue(round(rate * left.numel()) + 1).values)

        assert "prunes n + 1" in said(BY_ID["6.2"], answer)

    def test_a_start_from_the_trained_weights(self):
        def answer(initial, trained, mask):
            return {name: torch.where(mask.get(name, tensor(True)), value, 0.0) for name, value in trained.items()}

        assert "before any training" in said(BY_ID["6.3"], answer)

    def test_a_mask_that_goes_stale(self):
        def answer(weight, gradient, velocity, mask, learning_rate, momentum):
            velocity = velocity * momentum + gradient
            return torch.where(mask, weight, 0.0) - velocity * learning_rate, velocity

        assert "goes stale" in said(BY_ID["6.4"], answer)

    def test_the_population_deviation(self):
        def answer(ticket, control):
            found = tensor([ticket[seed] - control[seed] for seed in sorted(ticket)], dtype=torch.float64)
            return found.mean(), found.std(correction=0)

        assert "divide by n - 1" in said(BY_ID["6.6"], answer)


class TestATensorOfInitialComesBack:
    def shared(self, own):
        return lambda initial, trained, mask: {
            name: value * mask[name] if name in mask else own(value) for name, value in initial.items()
        }

    @pytest.mark.parametrize("own", [lambda value: value, lambda value: value[:], lambda value: value.numpy()])
    def test_a_bias_that_shares_its_memory_is_no_new_tensor(self, own):
        assert "comes back itself" in said(BY_ID["6.3"], self.shared(own))

    @pytest.mark.parametrize("own", [lambda value: value.clone(), lambda value: value.numpy().copy(), Tensor.tolist])
    def test_a_copy_passes(self, own):
        assert judge(BY_ID["6.3"], self.shared(own)).state == "passed"
