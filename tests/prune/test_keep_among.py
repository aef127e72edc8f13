"""What is kept among what an earlier mask has left, in layers of unequal size with unequal shares left: by sorting."""

import math

import pytest
import torch

from mini_lib.prune import Mask, keep_top
from mini_lib.prune.keep import keep_top_per_layer

SHAPES = {"small": (2, 3), "large": (4, 5), "vector": (7,)}


def scores_of(seed: int, values: int) -> dict[str, torch.Tensor]:
    """Scores from 0 to values - 1: with few values, many are equal."""
    chance = torch.Generator().manual_seed(seed)
    return {name: torch.randint(values, shape, generator=chance).float() for name, shape in SHAPES.items()}


def left_of(seed: int) -> Mask:
    """A mask that has left half of one layer, most of another, and six in ten of the last, by chance."""
    chance = torch.Generator().manual_seed(seed)
    shares = {"small": 0.5, "large": 0.8, "vector": 0.6}
    return Mask({name: torch.rand(shape, generator=chance) < shares[name] for name, shape in SHAPES.items()})


def ranked(scores: list[float], left: list[bool], places: list[int]) -> list[int]:
    """Places from the best to the worst: what is left before what is not, high scores first, equals in their order."""
    return sorted(places, key=lambda place: (not left[place], -scores[place], place))


def sorted_out(scores, left, density, scope, at_least) -> dict[str, torch.Tensor]:
    """What `keep_top` is said to do, on lists."""
    flat, masked, layers, rows, at = [], [], {}, {}, 0
    for name, values in scores.items():
        flat += values.flatten().tolist()
        masked += left[name].flatten().tolist()
        layers[name] = list(range(at, at + values.numel()))
        per_row = values.numel() // len(values)
        rows[name] = [list(range(at + row * per_row, at + (row + 1) * per_row)) for row in range(len(values))]
        at += values.numel()
    kept = set()
    for name, places in layers.items():
        if scope == "layer":
            kept |= set(ranked(flat, masked, places)[: max(round(density * len(places)), at_least)])
        if scope == "row":
            for row in rows[name]:
                count = max(round(density * len(row)), math.ceil(at_least / len(rows[name])))
                kept |= set(ranked(flat, masked, row)[:count])
    if scope == "global":
        for places in layers.values():
            kept |= set(ranked(flat, masked, places)[:at_least])
        rest = [place for place in ranked(flat, masked, list(range(at))) if place not in kept]
        kept |= set(rest[: round(density * at) - len(kept)])
    return {
        name: torch.tensor([place in kept for place in places]).reshape(scores[name].shape)
        for name, places in layers.items()
    }


@pytest.mark.parametrize("values", [3, 1000])
@pytest.mark.parametrize("scope, density", [("global", 0.4), ("layer", 0.3), ("row", 0.4)])
@pytest.mark.parametrize("at_least", [0, 1, 2, 3])
def test_layers_of_unequal_size_with_unequal_shares_left(scope, density, at_least, values):
    for seed in range(5):
        scores, left = scores_of(seed, values), left_of(seed)
        if scope == "row":
            scores.pop("vector")  # whose rows are single weights: a share of them is all or nothing
            left = Mask({name: left[name] for name in scores})
        expected = sorted_out(scores, left, density, scope, at_least)
        if any((tensor & ~left[name]).any() or not tensor.any() for name, tensor in expected.items()):
            with pytest.raises(ValueError, match=r"asks for|to nothing|at_least"):
                keep_top(scores, density, scope, among=left, at_least=at_least)
            continue
        found = keep_top(scores, density, scope, among=left, at_least=at_least)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_each_layer_is_cut_among_its_own():
    scores, left = scores_of(1, 1000), left_of(1)
    densities = {"small": 0.2, "large": 0.6, "vector": 0.15}
    found = keep_top_per_layer(scores, densities, "layer", among=left)
    for name, density in densities.items():
        alone = {name: scores[name]}
        expected = sorted_out(alone, Mask({name: left[name]}), density, "layer", 0)
        assert torch.equal(found[name], expected[name]), name


def test_what_is_missing_is_counted_over_all_layers_that_compete():
    """8 of 10 weights are asked for, and 2 + 4 are left; in the second layer alone it is 6 of 8, and 4 are left."""
    scores = {"a": torch.ones(2), "b": torch.ones(8)}
    left = Mask({"a": torch.tensor([True, True]), "b": torch.arange(8) < 4})
    with pytest.raises(ValueError, match=r"scope 'global'\) asks for 8 weights, but `among` keeps 6,"):
        keep_top(scores, 0.8, among=left)
    with pytest.raises(ValueError, match=r"scope 'layer'\) asks for 6 weights of 'b', but `among` keeps 4,"):
        keep_top(scores, 0.75, "layer", among=left)
    assert keep_top(scores, 0.6, among=left) == left  # exactly what is left is not too much
    assert keep_top({"b": scores["b"]}, 0.5, "layer", among=Mask({"b": left["b"]})) == Mask({"b": left["b"]})


def test_at_least_up_to_what_is_left():
    scores = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([7.0, 8.0, 9.0, 10.0, 11.0])}
    left = Mask({"a": torch.tensor([True, False, True]), "b": torch.tensor([True, True, True, False, False])})
    found = keep_top(scores, 0.5, among=left, at_least=2)  # 4 of 8: two of each
    assert found["a"].tolist() == [True, False, True] and found["b"].tolist() == [False, True, True, False, False]
    with pytest.raises(ValueError, match="at_least=3 is more than the 2 weights that 'a' has left"):
        keep_top(scores, 0.75, among=left, at_least=3)
    with pytest.raises(ValueError, match="at_least=2 in each of 2 layers does not fit into the 3 of 8 weights"):
        keep_top(scores, 0.375, at_least=2)
