"""What passes as a tensor, what does not, and the words."""

import re

import numpy as np
import pytest
import torch

from mini_lib.tensor_checks import need_tensor


def check(value, **how):
    return need_tensor("weight", value, fix="see there", **how)


@pytest.mark.parametrize(
    ("value", "how"),
    [
        (torch.zeros(2, 3), {}),
        (torch.tensor(1.0), {"dims": 0}),
        (torch.zeros(2, 3, dtype=torch.bfloat16).requires_grad_(), {"dims": (1, 2), "finite": True}),
        (torch.zeros(0, 3), {"dims": 2, "empty": True, "finite": True}),
        (torch.tensor([1]), {"floating": False}),
        (torch.tensor([True]), {"floating": False, "finite": True}),
        (torch.tensor([float("nan")]), {}),
        (torch.nn.Parameter(torch.zeros(2)), {}),
        (torch.zeros(4, 4)[::2, 1:], {}),
    ],
)
def test_it_gives_back_the_tensor_itself(value, how):
    assert check(value, **how) is value


KINDS = [
    (None, "weight must be a tensor, got None; see there"),
    ([1.0], "weight must be a tensor, got [1.0]; see there"),
    (np.zeros((2, 2)), "weight must be a tensor, got a ndarray of shape [2, 2]; see there"),
    (torch.tensor([1]), "weight must be a tensor of floating-point numbers, got torch.int64; see there"),
    (torch.zeros(2, dtype=torch.complex64), "weight must be a tensor of floating-point numbers, got torch.complex64"),
]


@pytest.mark.parametrize(("value", "says"), KINDS, ids=lambda value: type(value).__name__)
def test_another_type(value, says):
    with pytest.raises(TypeError, match=f"^{re.escape(says)}"):
        check(value)


VALUES = [
    (torch.zeros(2, 2, device="meta"), {}, "must be a dense tensor with values, got one that is on the meta device"),
    (torch.eye(2).to_sparse(), {}, "must be a dense tensor with values, got one that is sparse or nested"),
    (torch.zeros(2), {"dims": 2}, "must have 2 axes, got shape [2]"),
    (torch.zeros(2, 2), {"dims": 1}, "must have 1 axis, got shape [2, 2]"),
    (torch.tensor(1.0), {"dims": (2, 4)}, "must have 2 or 4 axes, got shape []"),
    (torch.zeros(0, 3), {}, "must hold at least one number, got shape [0, 3]"),
    (torch.tensor([1.0, float("nan")]), {"finite": True}, "must be finite, and holds NaN or infinity"),
    (torch.tensor([-float("inf")]), {"finite": True}, "must be finite, and holds NaN or infinity"),
]


@pytest.mark.parametrize(("value", "how", "says"), VALUES)
def test_another_value(value, how, says):
    with pytest.raises(ValueError, match=f"^{re.escape(f'weight {says}; see there')}$"):
        check(value, **how)
