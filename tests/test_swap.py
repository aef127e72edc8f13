"""Swapping modules in a copy."""

import torch
from torch import nn

from mini_lib.surgery import swap


def test_the_copy_has_the_new_modules_and_shares_nothing_with_the_argument():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))
    tanh = nn.Tanh()
    swapped = swap(model, {"0.1": tanh})
    assert swapped[0][1] is tanh and isinstance(model[0][1], nn.ReLU)
    assert torch.equal(swapped[0][0].weight, model[0][0].weight)
    assert swapped[0][0].weight is not model[0][0].weight and swapped[1] is not model[1]


def test_a_module_held_under_two_names_is_replaced_under_both():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu)
    for name in ("1", "3"):
        swapped = swap(model, {name: nn.Tanh()})
        assert isinstance(swapped[1], nn.Tanh) and swapped[3] is swapped[1]


def test_the_model_itself_can_be_replaced():
    assert isinstance(swap(nn.ReLU(), {"": nn.Tanh()}), nn.Tanh)
