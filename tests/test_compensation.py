"""Compensation: the factor that serves all columns, columns settled one by one, and layers one after the other."""

import pytest
import torch

from mini_lib.compensation import inverse_factor


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
