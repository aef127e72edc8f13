"""Compensation: the factor that serves all columns, columns settled one by one, and layers one after the other."""

import pytest
import torch
from torch import nn

from mini_lib.compensation import inverse_factor, layer_by_layer, settle_columns
from mini_lib.second_moments import second_moments_of


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("groups", [1, 3])
def test_one_factor_holds_the_inverses_without_the_first_inputs(groups):
    x = normal(groups, 50, 6)
    moments = x.mT @ x / 50
    factor = inverse_factor(moments)
    assert torch.equal(factor, factor.triu())
    for first in range(6):
        left, part = moments[:, first:, first:], factor[:, first:, first:]
        # the condition of 50 samples of 6 normal inputs is below 10: 10 * 6 * 2^-52, twice, with room for LAPACK
        assert (part.mT @ part @ left - torch.eye(6 - first)).abs().max() <= 1e-13
    with pytest.raises(ValueError, match="second moments are singular"):
        inverse_factor(torch.ones(2, 2))


def test_settled_columns_stay_and_the_block_changes_nothing_but_the_time():
    x, rows = normal(2, 40, 7), normal(2, 3, 7, seed=1)
    factor = inverse_factor(x.mT @ x / 40)
    nearest = lambda at, now: now[..., at].round()  # noqa: E731
    one, all_at_once = (settle_columns(rows, factor, nearest, block_size=size) for size in (1, 9))
    assert torch.equal(one, one.round())
    # numbers below 10, moved seven times, in another order
    assert (one - all_at_once).abs().max() <= 7 * 10 * 2**-50
    assert torch.equal(rows, normal(2, 3, 7, seed=1))


def test_each_layer_reads_what_the_changed_ones_give():
    model, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double().eval(), normal(20, 4)
    layers = {"2": model[2], "0": model[0]}
    order = []
    for name, layer, moments in layer_by_layer(model, x, layers):
        assert layer is layers[name] and torch.equal(moments, second_moments_of(model, x, {name: layer})[name])
        order.append(name)
        layer.weight.data.mul_(0.5)
    assert order == ["0", "2"]
    with pytest.raises(ValueError, match="layer 'spare' did not run"):
        model.spare = nn.Linear(2, 2).eval()
        model.forward = lambda x: model[2](model[1](model[0](x)))
        list(layer_by_layer(model, x, layers | {"spare": model.spare}))
