"""What a layer multiplies its weight with, for layers of every geometry: against a kernel that passes it through."""

import pytest
import torch
from torch import nn

from mini_lib import calibration
from mini_lib.calibration import observe_windows, per_weight, windows

GEOMETRIES = {
    "plain": (nn.Conv2d(3, 4, 3), (2, 3, 5, 6)),
    "one picture": (nn.Conv2d(3, 4, 3), (1, 3, 5, 6)),
    "two axes, two ways": (nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(0, 2), dilation=(1, 2)), (2, 2, 7, 6)),
    "groups": (nn.Conv2d(6, 4, (1, 2), groups=2, padding=(1, 0)), (3, 6, 4, 3)),
    "depthwise": (nn.Conv2d(3, 6, 2, groups=3, stride=2), (2, 3, 4, 5)),
    "same": (nn.Conv2d(2, 1, (2, 3), padding="same", dilation=(1, 2)), (2, 2, 4, 5)),
    "reflected": (nn.Conv2d(1, 2, 3, padding=(2, 1), padding_mode="reflect"), (2, 1, 4, 5)),
    "1-d": (nn.Conv1d(4, 2, 3, stride=2, padding=1, dilation=2, groups=2), (3, 4, 9)),
    "1-d, circular": (nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular"), (2, 1, 5)),
}


def seen_through(layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The same layer with unit vectors for weights: each output is one of the inputs of its window."""
    size = layer.weight[0].numel()
    like = dict(stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=layer.groups)
    reader = type(layer)(
        layer.in_channels, layer.groups * size, layer.kernel_size, bias=False, padding_mode=layer.padding_mode, **like
    )
    reader.weight.data = torch.eye(size).repeat(layer.groups, 1).reshape(reader.weight.shape)
    outputs = reader(inputs).detach().flatten(2)  # [N, groups * k, places]
    return outputs.reshape(len(inputs), layer.groups, size, -1).permute(1, 0, 3, 2).flatten(1, 2)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_windows_are_what_the_kernel_sees(name):
    layer, shape = GEOMETRIES[name]
    inputs = torch.arange(1.0, torch.Size(shape).numel() + 1).reshape(shape)
    found = windows(layer, inputs)
    assert torch.equal(found, seen_through(layer, inputs))
    # and the weight times these is the output
    weight = layer.weight.detach().reshape(layer.groups, -1, found.shape[-1])
    outputs = torch.einsum("gwk,gok->gow", found, weight).reshape(layer.out_channels, len(inputs), -1).transpose(0, 1)
    expected = layer(inputs).detach().flatten(2) - layer.bias.detach()[:, None]
    assert (outputs - expected).abs().max() <= 1e-5 * found.abs().max()  # a few float32 products and their sums


@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 3, 4), (2, 1, 3, 4)])
def test_a_linear_layer_sees_vectors_wherever_they_lie(shape):
    inputs = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    assert torch.equal(windows(nn.Linear(4, 2), inputs), inputs.reshape(1, -1, 4))


def test_parts_are_told_in_order_and_in_float64():
    most = calibration._IMAGES_AT_ONCE
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).eval()
    data = [torch.rand(2 * most + 1, 2), torch.rand(1, 2)]
    told = []
    observe_windows(model, data, {"1": model[1], "0": model[0]}, lambda name, x: told.append((name, x)))
    assert [(name, x.shape[1]) for name, x in told] == [
        (name, count) for counts in ([most, most, 1], [1]) for name in "01" for count in counts
    ]
    assert all(x.dtype == torch.float64 for _, x in told)
    seen = torch.cat([x[0] for name, x in told if name == "0"])
    assert torch.equal(seen, torch.cat(data).double())


def test_a_layer_that_does_not_run_is_named():
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    model = Idle().eval()
    with pytest.raises(ValueError, match="layer 'idle' did not run on the calibration data"):
        observe_windows(model, [torch.ones(1, 2)], {"used": model.used, "idle": model.idle}, lambda name, x: None)


def test_values_of_each_group_lie_as_the_weight_that_reads_them():
    """4 outputs in 2 groups, 3 inputs each: the first two outputs read the first row, the others the second."""
    rows = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    found = per_weight(torch.zeros(4, 3, 1), rows)
    assert found.shape == (4, 3, 1)
    assert found.flatten(1).tolist() == [[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]]
    assert per_weight(torch.zeros(3, 2), torch.tensor([7.0, 8.0])).tolist() == [[7, 8]] * 3
    with pytest.raises(ValueError, match=r"values of shape \[2, 3\] do not fit a weight of shape \[3, 3\]"):
        per_weight(torch.zeros(3, 3), rows)  # 3 outputs are not 2 groups
