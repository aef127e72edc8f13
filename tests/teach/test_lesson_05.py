"""The answers of lesson 05 agree with the library, which was written and tested apart from them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import prune
from mini_lib.data import Split
from mini_lib.prune import second_order, sparse, structure
from teach.exercises.lesson_05 import KEEP_BEST, channels, choosing, crossing, falling, training, wanda
from teach.exercises.lesson_05 import sparse as storing
from teach.judge import judge

SEEDS = st.integers(0, 2**16)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(SEEDS, st.integers(1, 24))
def test_what_is_kept_is_what_the_library_keeps(seed, count):
    scores = torch.randint(-3, 4, (4, 6), generator=generator(seed)) / 2  # many ties
    kept = prune.keep_top({"w": scores}, count / 24)["w"]
    assert torch.equal(choosing.keep_best(scores, count), kept)


def test_whoever_thresholds_is_told_so_however_it_is_written():
    found = judge(KEEP_BEST, lambda scores, count: scores >= torch.topk(scores.flatten(), count).values.min())
    assert "threshold" in found.text and "`scores = [0.5, 0.2, 0.5, 0.5], count = 2`" in found.text


@given(SEEDS)
def test_the_cost_of_a_removal_is_the_score_of_the_library(seed):
    chance = generator(seed)
    images, labels = torch.randn(5, 4, generator=chance), torch.randint(3, (5,), generator=chance)
    model = nn.Linear(4, 3, bias=False)
    model.weight.data = torch.randn(3, 4, generator=chance)
    single = []
    for image, label in zip(images, labels):
        model.zero_grad()
        nn.functional.cross_entropy(model(image[None]), label[None]).backward()
        single.append(model.weight.grad.flatten().clone())
    costs = choosing.removal_costs(model.weight.detach().flatten(), torch.stack(single))
    scores = prune.gradient_times_weight(model, Split(images, labels))["weight"].flatten()
    # Sums of 5 images of at most 4 terms each: some 20 roundings of 2**-24, of numbers that may cancel. The largest
    # gradient of an image is |p - y| * |x| <= max |x|, so no partial sum exceeds max |x| * max |w|.
    bound = 32 * 2.0**-24 * float(images.abs().max() * model.weight.detach().abs().max())
    torch.testing.assert_close(costs, scores, rtol=0, atol=max(bound, 1e-9))


@given(SEEDS, st.integers(0, 5))
def test_a_masked_model_trains_as_the_answer_says(seed, steps):
    chance = generator(seed)
    curvature, lowest, start = torch.eye(4) + torch.ones(4, 4), *torch.randn(2, 4, generator=chance)
    mask = torch.tensor([True, False, True, False])
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = start[None].clone()
    model = prune.masked(layer, prune.Mask({"weight": mask[None]}))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        away = model.weight[0] - lowest
        (away @ curvature @ away / 2).backward()
        optimizer.step()
    expected = training.train_pruned(start, mask, training.Slope(curvature, lowest), 0.1, steps)
    # Each step multiplies distances by at most |1 - 0.1 * 5| and adds some 10 roundings of numbers below 100.
    torch.testing.assert_close(
        prune.baked(model).weight.detach()[0], expected, rtol=0, atol=steps * 10 * 100 * 2.0**-24
    )


@given(st.floats(0.01, 1.0), st.integers(1, 9))
def test_the_density_falls_as_in_the_library(target, rounds):
    # a handful of roundings of numbers of at most 1, 2**-53 each
    assert falling.falling_densities(target, rounds) == pytest.approx(prune.cubic(target, rounds), rel=0, abs=2.0**-50)


@settings(max_examples=20)  # each traces and prunes a model
@given(SEEDS, st.sets(st.integers(0, 4), min_size=1))
def test_what_is_left_of_two_convolutions_is_what_the_library_leaves(seed, keep):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(2, 5, 3, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.Conv2d(5, 3, 3),
            nn.Flatten(),
            nn.Linear(12, 2),
        ).eval()
        for part in (model[1].weight, model[1].bias, model[1].running_mean, model[1].running_var):
            part.data.uniform_(0.5, 1.5)

    def parts(network):
        norm = network[1]
        vectors = zip(channels.NORM, (norm.weight, norm.bias, norm.running_mean, norm.running_var))
        return {"conv1": network[0].weight, **dict(vectors), "conv2": network[3].weight}

    kept = sorted(keep)
    expected = parts(structure.remove_channels(model, torch.zeros(1, 2, 6, 6), {"0": kept}))
    answer = channels.remove_channels(parts(model), kept)
    assert answer.keys() == expected.keys()
    assert all(torch.equal(answer[name], expected[name]) for name in expected)


@given(st.integers(1, 20), st.integers(1, 10), st.data())
def test_the_bytes_are_those_that_are_stored(rows, groups, data):
    columns = 4 * groups
    places = data.draw(st.sets(st.integers(0, rows * columns - 1)))
    weight = torch.zeros(rows * columns)
    weight[sorted(places)] = 1.0
    weight = weight.reshape(rows, columns)
    said = storing.sparse_bytes(rows, columns, len(places))
    assert said["bitmap"] == sparse.to_bitmap(weight).stored_bytes
    assert said["CSR"] == sparse.to_csr(weight).stored_bytes
    assert said["2:4"] == sparse.to_n_of_m(torch.zeros(rows, columns)).stored_bytes


TIMES = st.tuples(st.integers(1, 9), st.integers(0, 4)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=6))
def test_below_the_crossover_all_are_faster_and_the_next_one_is_not(pairs):
    densities = [0.9 / 2**place for place in range(len(pairs))]
    dense, other = map(list, zip(*pairs))
    found = crossing.crossover(densities, dense, other)
    faster = [high < low for (low, _), (_, high) in pairs]
    below = [win for density, win in zip(densities, faster) if found is not None and density <= found]
    above = [win for density, win in zip(densities, faster) if found is None or density > found]
    assert all(below)
    assert not above or not above[-1]


@given(SEEDS, st.integers(1, 6))
def test_wanda_keeps_what_the_library_keeps(seed, kept):
    chance = generator(seed)
    inputs = torch.randn(7, 6, generator=chance) * torch.logspace(-1, 1, 6)
    model = nn.Sequential(nn.Linear(6, 4)).eval()
    model[0].weight.data = torch.randn(4, 6, generator=chance)
    scores = second_order.activation_weighted(model, inputs)
    expected = prune.keep_top(scores, kept / 6, "row")["0.weight"]
    assert torch.equal(wanda.wanda_mask(model[0].weight.detach(), inputs, kept), expected)
