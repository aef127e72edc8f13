"""Label safety, measured by classifiers that are right by construction: every count can be worked out by hand."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from mini_lib.augment import Guard, LabelSafety, flip, identity, invert, label_safety, posterize, rotate

ROUND = replace(rotate, strongest=180.0)


class Side(nn.Module):
    """Says which half of a picture is brighter: left (0) or right (1)."""

    def forward(self, images):
        half = images.shape[-1] // 2
        return torch.stack([images[..., :half].sum((1, 2, 3)), images[..., half:].sum((1, 2, 3))], dim=1)


class Bar(nn.Module):
    """Says whether a bright bar in the middle lies flat (0) or stands upright (1)."""

    def forward(self, images):
        middle = images.shape[-1] // 2
        rows, columns = images[:, 0, middle - 1 : middle + 1], images[:, 0, :, middle - 1 : middle + 1]
        return torch.stack([rows.sum((1, 2)), columns.sum((1, 2))], dim=1)


def sides(count=4):
    """Pictures that are bright on the left, on the right, on the left ..., and their labels."""
    pictures = torch.zeros(count, 1, 8, 8, dtype=torch.uint8)
    pictures[0::2, :, :, 1:3] = 200
    pictures[1::2, :, :, 5:7] = 200
    return pictures, torch.arange(count) % 2


def bars():
    pictures = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    pictures[0, :, 7:9, :] = 200
    pictures[1, :, :, 7:9] = 200
    return pictures, torch.tensor([0, 1])


def test_counts_by_hand():
    safety = label_safety(Side(), *sides(6), [identity, flip, posterize, ROUND], shares=(1.0,))
    stays, crosses = [[3, 0], [0, 3]], [[0, 3], [3, 0]]
    assert safety.counts[:, 0].tolist() == [stays, crosses, stays, [[0, 6], [6, 0]]]  # rotate: once to either side
    assert safety.kept[:, 0].tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]
    assert safety.strengths == ((0.0,), (0.0,), (4.0,), (180.0,)) and safety.units[3] == "degrees"


def test_only_pictures_that_the_reference_gets_right_are_judged():
    pictures, labels = sides(8)
    labels[0] = 1  # what the reference calls a mistake tells nothing
    safety = label_safety(Side(), pictures, labels, [identity], shares=(1.0,))
    assert safety.counts[0, 0].tolist() == [[3, 0], [0, 4]]


def test_a_limit_stops_before_the_first_strength_that_is_not_safe():
    # At 90 degrees a bar has become the other one, at 180 it is itself again.
    safety = label_safety(Bar(), *bars(), [ROUND], shares=(1 / 12, 0.5, 1.0))
    assert safety.kept[0].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert safety.limits() == {"rotate": (15.0, 15.0)}
    assert safety.limits(per_class=False) == {"rotate": 15.0}
    assert safety.guard() == Guard({"rotate": (15.0, 15.0)}, {"rotate": "degrees"})


def test_limits_by_hand():
    counts = torch.tensor([[[[90, 10], [0, 100]], [[40, 60], [5, 95]]]])  # kept: .90 and 1.00, then .40 and .95
    safety = LabelSafety(("rotate",), (0.5, 1.0), ((15.0, 30.0),), ("degrees",), counts)
    assert safety.limits(at_least=0.95) == {"rotate": (None, 30.0)}
    assert safety.limits(at_least=0.9) == {"rotate": (15.0, 30.0)}
    assert safety.limits(at_least=0.95, per_class=False) == {"rotate": 15.0}  # together .95, then .675
    assert safety.limits(at_least=0.3) == {"rotate": (30.0, 30.0)}


def test_the_table_by_hand():
    counts = torch.tensor([[[[90, 10], [0, 100]], [[40, 60], [5, 95]]]])
    safety = LabelSafety(("rotate",), (0.5, 1.0), ((15.0, 30.0),), ("degrees",), counts)
    assert str(safety).splitlines() == [
        "operation  strength  unit     kept  worst class  kept  taken for",
        "rotate           15  degrees   95%            0   90%          1",
        "rotate           30  degrees   68%            0   40%          1",
    ]


def test_no_chance_but_the_seed():
    state = torch.random.get_rng_state()
    pictures, labels = sides()
    once = label_safety(Side(), pictures, labels, [flip, ROUND], seed=1)
    again = label_safety(Side(), pictures, labels, [flip, ROUND], seed=1)
    assert torch.equal(once.counts, again.counts) and torch.equal(torch.random.get_rng_state(), state)


# Bad input


def test_a_reference_that_knows_nothing_is_refused():
    pictures, labels = sides()
    with pytest.raises(ValueError, match="the reference recognises no picture of class 0; give pictures of every cl"):
        label_safety(Side(), pictures, 1 - labels, [flip])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(operations=[]), ValueError, "at least one operation, got none"),
        (dict(operations=invert), TypeError, "operations must be of type list or tuple, got Operation("),
        (dict(operations=["invert"]), TypeError, "operation must be an Operation, got the name 'invert'"),
        (dict(operations=[rotate, replace(rotate, strongest=90.0)]), ValueError, "operations must differ in name"),
        (dict(shares=0.5), TypeError, "shares must be of type list or tuple, got 0.5"),
        (dict(shares=()), ValueError, "shares must rise from the weakest to the strongest, got []; sort them"),
        (dict(shares=(0.5, 0.5)), ValueError, "shares must rise from the weakest to the strongest, got [0.5, 0.5]"),
        (dict(shares=(0.5, 1.5)), ValueError, "each of the shares must lie in (0, 1], got 1.5"),
        (dict(pictures=torch.zeros(4, 1, 8, 8)), TypeError, "pictures must be uint8"),
        (dict(labels=torch.tensor([0, 1])), ValueError, "one label for each"),
        (dict(labels=torch.full((4, 2), 0.5)), TypeError, "one class per picture, int64 [N], got [4, 2]"),
    ],
)
def test_bad_input_is_named(change, error, message):
    pictures, labels = sides()
    arguments = dict(pictures=pictures, labels=labels, operations=[invert]) | change
    with pytest.raises(error, match=re.escape(message)):
        label_safety(Side(), **arguments)


@pytest.mark.parametrize("at_least", [0, 1.1])
def test_a_share_to_keep_lies_above_0_and_up_to_1(at_least):
    safety = label_safety(Side(), *sides(), [flip], shares=(1.0,))
    with pytest.raises(ValueError, match=rf"at_least must lie in \(0, 1\], got {at_least}; 0.95 lets one picture"):
        safety.limits(at_least=at_least)
