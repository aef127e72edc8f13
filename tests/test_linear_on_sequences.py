"""Linear layers that read sequences [N, places, features]: whatever is learnt from them is what their vectors tell."""

import pytest
import torch
from torch import nn

from mini_lib.factorize.moments import input_moments
from mini_lib.prune.second_order import activation_weighted, sparse_gpt
from mini_lib.quantize import (
    IntFormat,
    PerChannel,
    awq,
    correct_bias,
    gptq,
    quantize_weights,
    quantize_weights_and_activations,
    smooth,
)
from mini_lib.second_moments import second_moments_of

FOUR_BITS = IntFormat(4, granularity=PerChannel(0))


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def sequences() -> torch.Tensor:
    """7 sequences of 3 places of 6 features, in which places and features differ in mean and in size."""
    x = torch.randn(7, 3, 6, generator=torch.Generator().manual_seed(1))
    return x * torch.tensor([3.0, 1.0, 0.5, 2.0, 0.1, 1.0]) + torch.tensor([[0.0], [2.0], [-1.0]])


def tensors_of(result: object) -> dict[str, torch.Tensor]:
    """What a transformation has learnt, as tensors by name."""
    if isinstance(result, tuple):  # a pruned model and its mask
        return tensors_of(result[0]) | {f"mask {name}": result[1][name] for name in result[1]}
    if isinstance(result, nn.Module):
        return {name: part for name, part in result.state_dict().items() if isinstance(part, torch.Tensor)}
    tensors = {}
    for name, part in result.items():
        parts = {"": part} if isinstance(part, torch.Tensor) else {"mean": part.mean, "covariance": part.covariance}
        tensors |= {f"{name} {what}": one for what, one in parts.items()}
    return tensors


LEARNT = {
    "second moments": lambda net, x: second_moments_of(net, x, {"0": net[0], "2": net[2]}),
    "mean and covariance": lambda net, x: input_moments(net, x),
    "scores by activation": lambda net, x: activation_weighted(net, x),
    "sparse_gpt": lambda net, x: sparse_gpt(net, x, density=0.5),
    "gptq": lambda net, x: gptq(net, FOUR_BITS, x),
    "awq": lambda net, x: awq(net, FOUR_BITS, x),
    "smooth": lambda net, x: smooth(net, x),
    "bias correction": lambda net, x: correct_bias(net, quantize_weights(net, FOUR_BITS), x),
    "ranges of activations": lambda net, x: quantize_weights_and_activations(
        net, FOUR_BITS, IntFormat(8, symmetric=False), x
    ),
}


@pytest.mark.parametrize("name", LEARNT)
def test_sequences_teach_what_their_vectors_teach(name):
    x = sequences()
    vectors = tensors_of(LEARNT[name](model(), x.flatten(0, 1)))
    for data in (x, list(x.split(3)), x.transpose(0, 1)):
        found = tensors_of(LEARNT[name](model(), data))
        assert list(found) == list(vectors)
        for key, expected in vectors.items():
            assert found[key].shape == expected.shape
            if expected.dtype.is_floating_point:
                # sums over 21 vectors in another order, in float64 of what float32 layers gave
                assert (found[key] - expected).abs().max() <= 1e-5 * expected.abs().max(), key
            else:
                assert torch.equal(found[key], expected), key


@pytest.mark.parametrize("name", LEARNT)
def test_places_are_not_taken_for_features(name):
    """Where features trade places, what is learnt differs: the test above compares more than shapes."""
    x = sequences()
    first, second = (tensors_of(LEARNT[name](model(), one)) for one in (x, x.flip(-1)))
    assert any(not torch.equal(first[key], second[key]) for key in first)
