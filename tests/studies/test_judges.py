"""Four judges of a policy, on a task where each of their answers is known."""

import pytest
import torch
from torch import nn

from mini_lib.augment.operations import identity, invert
from mini_lib.augment.policy import Policy, Step, SubPolicy
from mini_lib.augment.search.children import ChildRecipe
from mini_lib.augment.search.spent import Spent
from mini_lib.data import PIXEL_MEAN, PIXEL_STD, Split, Splits
from studies.augment.judges import judge_policies

RECIPE = ChildRecipe(steps=30, batch_size=8, learning_rate=0.1)


def sides(count: int, inverted: bool = False) -> Split:
    """Pictures whose left half is white (class 0) or whose right half is (class 1), or the same inverted."""
    labels = torch.arange(count) % 2
    pixels = torch.zeros(count, 1, 2, 2)
    pixels[labels == 0, :, :, 0] = 1
    pixels[labels == 1, :, :, 1] = 1
    return Split(((1 - pixels if inverted else pixels) - PIXEL_MEAN) / PIXEL_STD, labels)


def linear(seed: int) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.zeros_(net[1].weight)
    nn.init.zeros_(net[1].bias)
    return net


@pytest.fixture(scope="module")
def found():
    """Inverting swaps the sides: what the training pictures teach is wrong of every validation picture."""
    policies = {
        name: Policy([SubPolicy(Step(operation, probability=1.0))])
        for name, operation in (("nothing", identity), ("invert", invert))
    }
    return judge_policies(
        policies, Splits(sides(32), sides(16, inverted=True), sides(20, inverted=True)), build=linear, recipe=RECIPE
    )


def test_each_judge_says_what_follows_from_the_task(found):
    rows = {row.name: row for row in found.rows}
    assert (found.upright, found.shifted) == (1.0, 0.0)
    # A policy that makes training pictures look like validation pictures gets what the plain net makes of those.
    assert (rows["nothing"].matched, rows["invert"].matched) == (found.upright, found.shifted)
    assert (rows["nothing"].undone, rows["invert"].undone) == (0.0, 1.0)  # inverting twice does nothing
    assert (rows["nothing"].backwards, rows["invert"].backwards) == (0.0, 1.0)
    assert (rows["nothing"].child, rows["invert"].child) == (0.0, 1.0)
    assert (rows["nothing"].test, rows["invert"].test) == (0.0, 1.0)


def test_density_matching_ranks_the_wrong_way_round(found):
    assert found.choice("matched").name == "nothing"
    assert found.choice("child").name == "invert"
    assert (found.correlation("matched"), found.correlation("child")) == pytest.approx((-1, 1))


def test_what_each_way_costs_is_counted(found):
    trained = 30 * 8
    assert found.spent == {
        "matched": Spent(trained, 16 + 2 * 16),  # the net, judged once on validation data; two policies on half of 32
        "undone": Spent(trained, 16 + 2 * 16),  # the same net; two policies on the validation data
        "backwards": Spent(trained, 16 + 2 * 16),  # a net of the validation data, judged once on the learned half
        "child": Spent(2 * trained, 2 * 16),
    }


def test_it_prints_a_line_per_policy_and_what_each_way_would_have_chosen(found):
    lines = str(found).splitlines()
    assert lines[0].split()[-5:] == ["matched", "undone", "backwards", "child", "test"]
    assert [line.split()[0] for line in lines[1:3]] == ["invert", "nothing"]
    assert lines[-2].split()[-4:] == ["0.0", "100.0", "100.0", "100.0"]
    assert lines[-1].split()[-4:] == ["-1.00", "+1.00", "+1.00", "+1.00"]


def test_one_policy_cannot_be_ranked():
    with pytest.raises(ValueError, match="at least two policies to rank, got 1"):
        judge_policies({"nothing": lambda batch, generator: batch}, None, build=linear, recipe=RECIPE)
