"""Sensitivity: one layer at a time, checked with weights zeroed by hand."""

import copy
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mini_lib.data import Split
from mini_lib.fit import accuracy
from mini_lib.prune import apply_mask, keep_top, magnitude, random_scores
from mini_lib.prune.keep import keep_top_per_layer
from mini_lib.prune.sensitivity import LayerAccuracy, Sensitivity, densities_for, sensitivity


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def redundant_and_fragile():
    """Four classes, told by which of four inputs is 1. The first layer says it four times over, the second once.

    The first layer's 16 rows repeat each input four times, with sizes 4, 3, 2, 1 for the copies; the second adds the
    copies up. So the first may lose three copies of four; of the second every class needs one of its weights.
    """
    model = nn.Sequential(nn.Linear(4, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False))
    model[0].weight.data.zero_()
    model[2].weight.data.zero_()
    for copy_of in range(4):
        for which in range(4):
            model[0].weight.data[4 * copy_of + which, which] = 4.0 - copy_of
            model[2].weight.data[which, 4 * copy_of + which] = 4.0 - which  # class 3 has the smallest weights
    return model


VALIDATION = Split(torch.eye(4), torch.arange(4))


def test_one_layer_is_pruned_at_a_time_by_hand():
    # 64 weights in each layer, 16 of them not zero. Of the first layer a 16th keeps the largest copy of every input:
    # all right. A 32nd keeps that of inputs 0 and 1; input 2 then gives logits 0, 0, 0, 0, so class 0 is said: half.
    # Of the second, a 16th keeps the four weights of class 0 alone; three classes are lost. Of classes 0 and 1: 8 / 64.
    found = sensitivity(redundant_and_fragile(), VALIDATION, densities=(1 / 4, 1 / 8, 1 / 16, 1 / 32))
    assert found.unpruned == 1.0
    assert [(row.layer, row.density, row.accuracy) for row in found.rows] == [
        ("0.weight", 1 / 4, 1.0),
        ("0.weight", 1 / 8, 1.0),
        ("0.weight", 1 / 16, 1.0),
        ("0.weight", 1 / 32, 0.5),
        ("2.weight", 1 / 4, 1.0),
        ("2.weight", 1 / 8, 0.5),
        ("2.weight", 1 / 16, 0.25),
        ("2.weight", 1 / 32, 0.25),
    ]
    assert str(found).splitlines() == [
        "pruned alone   100%    25%  12.5%  6.25%  3.125%",
        "0.weight      100.0  100.0  100.0  100.0    50.0",
        "2.weight      100.0  100.0   50.0   25.0    25.0",
    ]
    assert found.layers == ("0.weight", "2.weight") and found.densities == (1 / 4, 1 / 8, 1 / 16, 1 / 32)
    assert found.accuracy("2.weight", 1 / 8) == 0.5


def random_net(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 3))


def pictures(count=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(count, 1, 4, 4, generator=generator), torch.arange(count) % 3)


@pytest.mark.parametrize("scope", ["layer", "row", "global"])
def test_it_is_zeroing_one_layer_and_asking(scope):
    model, split = random_net(), pictures()
    before = copy.deepcopy(model.state_dict())
    told = []
    found = sensitivity(
        model, split, (0.6, 0.3), lambda model: random_scores(model, 1), scope=scope, progress=told.append
    )
    assert told == list(found.rows)
    scores = random_scores(model, 1)
    for row in found.rows:
        pruned = copy.deepcopy(model)
        kept = keep_top({row.layer: scores[row.layer]}, row.density, scope)[row.layer]
        pruned.get_parameter(row.layer).data *= kept
        assert row.accuracy == accuracy(pruned, split)
    assert found.unpruned == accuracy(model, split)
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_where_chooses_the_layers():
    model, split = random_net(), pictures()
    found = sensitivity(model, split, (0.5,), where=lambda name, module: name == "3")
    assert found.layers == ("3.weight",)
    assert sensitivity(model, split, (0.5,)).layers == ("0.weight", "3.weight", "4.weight")
    with pytest.raises(
        ValueError,
        match=says(
            "score gives no scores for '1.weight', which where chooses; "
            "give both the same where, as in score=lambda model: magnitude(model, where)"
        ),
    ):
        sensitivity(model, split, (0.5,), where=lambda name, module: name == "1")


def test_a_density_of_one_is_no_pruning():
    found = sensitivity(random_net(), pictures(), (1.0, 0.5))
    assert all(found.accuracy(layer, 1.0) == found.unpruned for layer in found.layers)
    assert str(found).splitlines()[0].split() == ["pruned", "alone", "100%", "50%"]  # and not twice


@pytest.mark.parametrize(
    ("densities", "message"),
    [
        ((), "densities must be at least one, each given once, got []"),
        ((0.5, 0.2, 0.5), "densities must be at least one, each given once, got [0.5, 0.2, 0.5]"),
        ((0.5, 0), "density must lie in (0, 1], got 0; 0.2 keeps a fifth of the weights"),
        ((0.01,), "density 0.01 (scope 'layer') would prune '0.weight' to nothing: 0 of 27 weights stay; use a higher "
         "density or at_least=1"),
    ],
)  # fmt: skip
def test_densities_that_make_no_sense_are_refused(densities, message):
    with pytest.raises(ValueError, match=says(message)):
        sensitivity(random_net(), pictures(), densities)


def test_other_refusals():
    with pytest.raises(
        TypeError, match=says("validation must be a data.Split, got Tensor; use data.Split(images, labels)")
    ):
        sensitivity(random_net(), pictures().images)
    half = LayerAccuracy("a", 0.5, 0.8)
    with pytest.raises(ValueError, match=says("accuracy must lie in [0, 1], got -0.1; give a share such as 0.9")):
        LayerAccuracy("a", 0.5, -0.1)
    for rows, unpruned, message in (
        ((), 0.9, "rows must hold at least one LayerAccuracy, got none; use sensitivity(model, validation)"),
        ((half,), 90, "unpruned must lie in [0, 1], got 90; give a share such as 0.9"),
        ((half, half), 0.9, "rows hold density 0.5 of 'a' 2 times; give each layer each density once"),
        (
            (half, LayerAccuracy("b", 0.2, 0.8)),
            0.9,
            "rows hold density 0.2 of 'a' 0 times; give each layer each density once",
        ),
    ):
        with pytest.raises(ValueError, match=says(message)):
            Sensitivity(rows, unpruned)
    with pytest.raises(ValueError, match=says("density 0.2 of 'a' was not measured; there are a at 0.5")):
        Sensitivity((half,), 0.9).accuracy("a", 0.2)
    for most_lost in (-0.01, 1, 5, float("nan")):
        with pytest.raises(
            ValueError,
            match=says(f"most_lost must lie in [0, 1), got {most_lost}; 0.01 lets a layer lose one point of accuracy"),
        ):
            densities_for(Sensitivity((half,), 0.9), most_lost)


def table(unpruned=0.9, **layers):
    """From layer names to {density: accuracy}."""
    return Sensitivity(
        tuple(LayerAccuracy(name, *pair) for name, pairs in layers.items() for pair in pairs.items()), unpruned
    )


def test_the_lowest_density_within_the_bound_by_hand():
    found = table(
        a={0.5: 0.9, 0.2: 0.89, 0.1: 0.5}, b={0.5: 0.88, 0.2: 0.87, 0.1: 0.1}, c={0.5: 0.95, 0.2: 0.95, 0.1: 0.93}
    )
    assert densities_for(found, 0.0) == {"a": 0.5, "b": 1.0, "c": 0.1}  # to gain is not to lose
    assert densities_for(found, 0.01) == {"a": 0.2, "b": 1.0, "c": 0.1}  # 0.9 - 0.89 > 0.01 in floats, not in points
    assert densities_for(found, 0.02) == {"a": 0.2, "b": 0.5, "c": 0.1}
    assert densities_for(found, 0.5) == {"a": 0.1, "b": 0.2, "c": 0.1}


def test_luck_below_a_density_that_is_too_low_does_not_count():
    # The order of the columns does not matter either.
    assert densities_for(table(a={0.1: 0.9, 0.5: 0.9, 0.2: 0.6}), 0.05) == {"a": 0.5}


@given(st.lists(st.integers(0, 100), min_size=4, max_size=4), st.integers(0, 100), st.integers(0, 99))
def test_what_is_chosen_loses_no_more_and_a_looser_bound_keeps_no_more(hundredths, unpruned, most_lost):
    densities = (0.5, 0.3, 0.2, 0.1)
    found = table(unpruned / 100, a=dict(zip(densities, (share / 100 for share in hundredths))))
    chosen = densities_for(found, most_lost / 100)["a"]
    # In whole hundredths there is no rounding.
    within = dict(zip(densities, (unpruned - share <= most_lost for share in hundredths)))
    assert all(within[density] for density in densities if density >= chosen)
    below = [density for density in densities if density < chosen]
    assert not below or not within[max(below)]
    if most_lost:
        assert densities_for(found, (most_lost - 1) / 100)["a"] >= chosen


def test_the_losses_of_single_layers_do_not_add_up():
    # Each layer alone may lose half of its weights for nothing, but the two halves do not fit together: the first
    # keeps hidden unit 0, the second reads only hidden unit 1.
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[0].weight.data = torch.tensor([[2.0], [1.0]])
    model[1].weight.data = torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    split = Split(torch.ones(3, 1), torch.ones(3).long())
    scores = magnitude(model)
    alone = [
        keep_top({name: scores[name]}, density, "layer") for name, density in (("0.weight", 0.5), ("1.weight", 0.25))
    ]
    both = keep_top_per_layer(scores, {"0.weight": 0.5, "1.weight": 0.25})
    assert [accuracy(apply_mask(model, mask), split) for mask in alone] == [1.0, 1.0]
    assert accuracy(apply_mask(model, both), split) == 0.0


def test_the_densities_found_make_a_mask():
    model = redundant_and_fragile()
    found = sensitivity(model, VALIDATION, (1 / 4, 1 / 8, 1 / 16, 1 / 32))
    mask = keep_top_per_layer(magnitude(model), densities_for(found, most_lost=0.1))
    assert [(layer.name, layer.kept) for layer in mask.layers()] == [("0.weight", 4), ("2.weight", 16)]
