"""What the chosen layers read: those of the core, and the choices that are refused."""

import pytest
import torch
from torch import nn

from mini_lib import zoo
from mini_lib.prune.second_order import input_mean_squares, input_second_moments
from mini_lib.second_moments import mean_squares_of, second_moments_of


@pytest.mark.parametrize(
    "chosen, of", [(input_second_moments, second_moments_of), (input_mean_squares, mean_squares_of)]
)
def test_linear_layers_and_convolutions_are_chosen(chosen, of):
    model, x = zoo.small_cnn().eval(), torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))}
    found, expected = chosen(model, x), of(model, x, layers)
    assert list(found) == list(layers) and all(torch.equal(found[name], expected[name]) for name in layers)


def test_what_is_refused():
    model, x = nn.Sequential(nn.Linear(2, 2), nn.Bilinear(2, 2, 1), nn.BatchNorm1d(2)).eval(), torch.ones(3, 2)
    with pytest.raises(TypeError, match="layer '1': it is a Bilinear, and not nn.Linear or nn.Conv1d or nn.Conv2d"):
        input_second_moments(model, x, lambda name, module: name == "1")
    with pytest.raises(ValueError, match="where chooses no layer"):
        input_second_moments(model, x, lambda name, module: False)
    with pytest.raises(ValueError, match=r"training mode.*call model.eval\(\) first"):
        input_second_moments(nn.Linear(2, 2), x)
    with pytest.raises(ValueError, match="calibration holds no batch"):
        input_second_moments(nn.Linear(2, 2).eval(), [])
    with pytest.raises(TypeError, match="calibration batch 0 must be a tensor"):
        input_second_moments(nn.Linear(2, 2).eval(), [(x, x)])

    idle = nn.Sequential(nn.Linear(2, 2)).eval()
    idle[0].add_module("spare", nn.Linear(2, 2).eval())
    with pytest.raises(ValueError, match="layer '0.spare' did not run on the calibration data"):
        input_second_moments(idle, x)

    shared = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).eval()
    shared[1].weight = shared[0].weight
    with pytest.raises(ValueError, match="layer '0' shares its weight with '"):
        input_second_moments(shared, x)
