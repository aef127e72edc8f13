"""When equalization ends: rounds over three layers of one weight each, by hand, in powers of 2."""

import math

import pytest
import torch
from torch import nn

from mini_lib.quantize.equalize import LayerPair, equalize, find_pairs


def three(*weights: float) -> nn.Module:
    model = nn.Sequential(
        nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)
    )
    for layer, weight in zip(model[::2], weights, strict=True):
        layer.weight.data.fill_(weight)
    return model.double().eval()


def exponents(model: nn.Module) -> list[float]:
    return [math.log2(layer.weight.item()) for layer in model[::2]]


# 2^4, 1, 1. A pair's turn gives both the mean of their exponents: 2, 2, 0 and then 2, 1, 1. Round 2: 1.5, 1.5, 1 and
# then 1.5, 1.25, 1.25. Round 3: 1.375, 1.375, 1.25 and then 1.375, 1.3125, 1.3125.
ROUNDS = [[2, 1, 1], [1.5, 1.25, 1.25], [1.375, 1.3125, 1.3125]]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_as_many_rounds_as_asked(rounds):
    assert exponents(equalize(three(16, 1, 1), max_rounds=rounds)) == pytest.approx(ROUNDS[rounds - 1], abs=1e-12)


def test_it_ends_with_the_round_in_which_no_factor_is_beyond_the_tolerance():
    """The largest factors are 2^2 in round 1, 2^.5 in round 2 (a half: 2 against 1 becomes 1.5), 2^.125 in round 3."""
    for tolerance, rounds in ((3.01, 1), (2.99, 2), (2**0.5 - 0.99, 2), (2**0.5 - 1.01, 3), (2**0.125 - 0.99, 3)):
        found = exponents(equalize(three(16, 1, 1), tolerance=tolerance))
        assert found == pytest.approx(ROUNDS[rounds - 1], abs=1e-12), tolerance


@pytest.mark.parametrize("weights", [(16, 1, 1), (1, 1, 16), (1, 16, 1), (1 / 16, 1, 1), (1, 1, 1 / 16)])
def test_it_does_not_matter_which_layer_is_large(weights):
    """Factors below 1 count like those above. All end at the geometric mean, within what the tolerance leaves.

    Each round leaves a quarter of the distance; the last step was within 1e-4, so a third of that is left at most.
    """
    found = exponents(equalize(three(*weights), tolerance=1e-4))
    mean = math.log2(math.prod(weights)) / 3
    assert found == pytest.approx([mean] * 3, abs=1e-4 / math.log(2))


def test_a_balanced_model_is_left_as_it_is():
    model = three(3, 3, 3)
    assert [layer.weight.item() for layer in equalize(model)[::2]] == [3, 3, 3]
    x = torch.tensor([[2.0]], dtype=torch.float64)
    assert equalize(three(16, 1, 1))(x).item() == pytest.approx(32, rel=1e-12)


class Pooled(nn.Module):
    """A convolution, a ReLU, and a linear layer on what `pool` makes of the places."""

    def __init__(self, pool) -> None:
        super().__init__()
        self.conv, self.pool, self.fc = nn.Conv2d(1, 3, 2), pool, nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(torch.relu(self.conv(x))))


MEANS = {
    "function": lambda x: torch.mean(x, (2, 3)),
    "function, from the end": lambda x: torch.mean(x, [-2, -1]),
    "method": lambda x: x.mean((2, 3)),
    "method, by name": lambda x: x.mean(dim=[2, 3]),
    "function, by name": lambda x: torch.mean(x, dim=(-2, -1)),
}


@pytest.mark.parametrize("how", MEANS)
def test_a_mean_over_all_places_lets_ranges_through(how):
    torch.manual_seed(0)
    model = Pooled(MEANS[how]).double().eval()
    assert find_pairs(model) == [LayerPair("conv", "fc")]
    x = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    assert (equalize(model)(x) - model(x)).abs().max() <= 1e-12  # sums of some ten products of about 1


@pytest.mark.parametrize(
    "pool",
    [lambda x: x.mean((1, 2)), lambda x: torch.mean(x, (0, 3)), lambda x: torch.std(x, (2, 3)), lambda x: x.mean((3,))],
)
def test_other_means_are_not_looked_through(pool):
    with pytest.raises(ValueError, match="no two layers follow each other"):
        find_pairs(Pooled(pool).eval())
