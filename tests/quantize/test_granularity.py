"""Which weights share a scale: rows by hand for each axis, back again, and what is said where a group does not fit."""

import re

import pytest
import torch

from mini_lib.quantize import PerChannel, PerGroup, PerTensor

CUBE = torch.arange(24).reshape(2, 3, 4)


def test_rows_by_hand():
    assert PerTensor().rows(CUBE).tolist() == [list(range(24))]
    assert PerChannel(0).rows(CUBE).tolist() == [list(range(12)), list(range(12, 24))]
    # along the middle axis, the middle one of three: 4 to 7 of the first block, 16 to 19 of the second
    assert PerChannel(1).rows(CUBE)[1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]
    assert PerChannel(2).rows(CUBE)[3].tolist() == [3, 7, 11, 15, 19, 23]
    assert PerGroup(6).rows(CUBE)[1].tolist() == [6, 7, 8, 9, 10, 11]


def test_an_axis_from_the_end_is_the_same_axis():
    for axis, channels in enumerate((2, 3, 4)):
        front, back = PerChannel(axis), PerChannel(axis - 3)
        assert torch.equal(front.rows(CUBE), back.rows(CUBE))
        assert front.scale_shape((2, 3, 4)) == back.scale_shape((2, 3, 4)) == (channels,)
        for one in (front, back):
            assert torch.equal(one.unrows(one.rows(CUBE), (2, 3, 4)), CUBE)
    for axis in (3, -4):
        for ask in (lambda one: one.rows(CUBE), lambda one: one.scale_shape((2, 3, 4))):
            with pytest.raises(ValueError, match=re.escape(f"axis {axis} is out of range for a tensor of shape (2, 3")):
                ask(PerChannel(axis))
    with pytest.raises(ValueError, match="use -3 to 2$"):
        PerChannel(3).rows(CUBE)
    with pytest.raises(ValueError, match=r"use PerTensor\(\)$"):
        PerChannel(0).rows(torch.tensor(1.0))


@pytest.mark.parametrize("one", [PerTensor(), PerChannel(0), PerChannel(-1), PerGroup(2), PerGroup(12)])
def test_rows_come_back_in_one_piece(one):
    back = one.unrows(one.rows(CUBE), (2, 3, 4))
    assert torch.equal(back, CUBE) and back.is_contiguous()


def test_shapes_of_the_scales():
    assert PerTensor().scale_shape((2, 3)) == ()
    assert PerGroup(4).scale_shape((8,)) == (2,)  # one run
    assert PerGroup(4).scale_shape((3, 8)) == (3, 2)
    assert PerGroup(6).scale_shape((5, 2, 3, 3)) == (5, 3)  # 18 weights feed one output


def test_labels():
    labels = [one.label for one in (PerTensor(), PerChannel(), PerChannel(1), PerChannel(-1), PerGroup(32))]
    assert labels == ["per tensor", "per channel", "per channel of axis 1", "per channel of axis -1", "per group of 32"]


@pytest.mark.parametrize(
    "run, size, divisors",
    [
        (256, 48, "32 or 64"),  # the powers of two between half and twice of it
        (96, 20, "16 or 32"),
        (24, 16, "12"),  # 8 is half of it, which is too small: the largest divisor below it
        (36, 7, "6"),  # 4 is not offered where others are nearer
        (28, 6, "4"),  # unless nothing else is below
        (7, 2, "1"),
        (5, 9, "5"),  # a group larger than the run
    ],
)
def test_a_group_that_does_not_fit_is_told_which_would(run, size, divisors):
    with pytest.raises(ValueError) as refused:
        PerGroup(size).scale_shape((3, run))
    assert str(refused.value) == (
        f"group_size {size} does not divide the last axis ({run}); use a divisor such as {divisors}"
    )
    with pytest.raises(ValueError, match=rf"the last axis \({run}\)"):
        PerGroup(size).rows(torch.zeros(run))


def test_the_axes_of_a_convolution_are_named():
    with pytest.raises(ValueError) as refused:
        PerGroup(5).rows(torch.zeros(4, 2, 3, 3))
    assert str(refused.value) == (
        "group_size 5 does not divide the flattened input axes (2 x 3 x 3 = 18); use a divisor such as 3"
    )


@pytest.mark.parametrize("wrong", [0, -8, True, 2.5, float("inf"), "32", None, [8]])
def test_what_is_no_size_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="group_size must be a whole number of 1 or more, got"):
        PerGroup(wrong)


@pytest.mark.parametrize("wrong", [True, 0.5, float("nan"), "0", None, (0, 1)])
def test_what_is_no_axis_is_refused(wrong):
    with pytest.raises(TypeError, match="axis must be a whole number, got"):
        PerChannel(wrong)
