"""The result of every factorization: the new layer, its error known beforehand, and its cost next to the old one's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from mini_lib import costs
from mini_lib.calibration import run_model
from mini_lib.copying import copied
from mini_lib.counting import evaluating
from mini_lib.factorize.low_rank.tensors import relative_error
from mini_lib.plain import why_not_plain
from mini_lib.require import checked, not_negative, of_type, whole
from mini_lib.surgery import hook_of
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True)
class Factorized:
    """A layer taken apart into cheaper ones.

    Attributes:
        layer: the factors, one after the other; the last has the bias. Its inputs and outputs are shaped as those of
            `dense`.
        dense: the layer it replaces, unchanged.
        ranks: as requested.
        predicted_error: the relative error that the decomposition predicts before any data pass: of the weight, in the
            Frobenius norm, or of the output where the method says so.

    Raises:
        TypeError: a layer is not an nn.Module, or the error is not a number.
        ValueError: the error is negative or not finite.

    >>> dense = nn.Linear(8, 8)
    >>> Factorized(nn.Sequential(nn.Linear(8, 2, bias=False), nn.Linear(2, 8)), dense, (2,), 0.25).saves
    True
    >>> print(Factorized(nn.Sequential(nn.Linear(8, 6, bias=False), nn.Linear(6, 8)), dense, (6,), 0.1))
    rank 6: error 0.1, parameters 72 -> 104: costs more than it saves
    """

    layer: nn.Module
    dense: nn.Module
    ranks: tuple[int, ...]
    predicted_error: float

    def __post_init__(self) -> None:
        for name in ("layer", "dense"):
            checked(self, name, of_type, kinds=nn.Module, fix="pass a layer")
        checked(self, "predicted_error", not_negative, fix="0 is no error")

    @property
    def parameters(self) -> int:
        """How many weights and biases the factors hold."""
        return costs.parameters(self.layer)

    @property
    def dense_parameters(self) -> int:
        """How many weights and biases the old layer holds."""
        return costs.parameters(self.dense)

    @property
    def saves(self) -> bool:
        """Whether the factors hold fewer parameters than the old layer.

        Where all factors run at equally many places (stride 1, and padding that keeps the size), the same holds for
        MACs. Otherwise use `macs`: a factor before the stride runs at more places than one after it.
        """
        return self.parameters < self.dense_parameters

    @property
    def measured_error(self) -> float:
        """The relative Frobenius error of the weight that the factors make up, computed from the layer as it is
        stored."""
        return relative_error(self.dense.weight.detach().cpu(), rebuild(self.layer).cpu())

    def macs(self, size: tuple[int, int] | None = None) -> int:
        """Return the MACs of the factors for one input: a row of features, or an image of `size` (height, width).

        Raises:
            ValueError: a convolution needs the size.

        >>> dense = nn.Conv2d(4, 4, 3, padding=1)
        >>> pair = nn.Sequential(nn.Conv2d(4, 1, 3, padding=1, bias=False), nn.Conv2d(1, 4, 1))
        >>> found = Factorized(pair, dense, (1,), 0.5)
        >>> found.macs((10, 10)), found.dense_macs((10, 10))       # 100 places of 4 * 9 + 4 and of 4 * 4 * 9
        (4000, 14400)
        """
        return costs.macs(self.layer, _one_input(self.dense, size))

    def dense_macs(self, size: tuple[int, int] | None = None) -> int:
        """Return the MACs of the old layer for the same input; see `macs`."""
        return costs.macs(self.dense, _one_input(self.dense, size))

    def __str__(self) -> str:
        ranks = ", ".join(map(str, self.ranks))
        verdict = "" if self.saves else ": costs more than it saves"
        return (
            f"rank{'s' if len(self.ranks) > 1 else ''} {ranks}: error {self.predicted_error:.3g}, parameters "
            f"{self.dense_parameters:,} -> {self.parameters:,}{verdict}"
        )


@torch.no_grad()
def rebuild(layer: nn.Module) -> Tensor:
    """Return the one weight that a chain of linear layers, or of convolutions, amounts to, in float64.

    A weight is the layer's output when one place of its patch is 1 and all others are 0. So each place is set to 1 in
    turn, with bias, padding, stride and dilation left out.

    Args:
        layer: nn.Conv2d, or several in nn.Sequential; or a layer that maps rows of features linearly.

    Returns:
        [outputs, inputs] for linear layers; [outputs, inputs, height, width] for convolutions.

    Raises:
        TypeError: the chain begins with neither kind of layer, or holds something else between convolutions.
        ValueError: a convolution is not plain (`mini_lib.plain`), or the map of features is not linear.

    >>> first, second = nn.Linear(2, 1, bias=False), nn.Linear(1, 2)
    >>> _ = first.weight.data.copy_(torch.tensor([[1.0, 2.0]])), second.weight.data.copy_(torch.tensor([[3.0], [4.0]]))
    >>> rebuild(nn.Sequential(first, second))
    tensor([[3., 6.],
            [4., 8.]], dtype=torch.float64)
    """
    if any(isinstance(module, nn.Conv2d) for module in of_type("layer", layer, nn.Module, fix="a chain").modules()):
        return _rebuild_convolution(_convolutions(layer))
    bare = copied(layer).double()
    inputs = next((m.in_features for m in bare.modules() if isinstance(getattr(m, "in_features", None), int)), None)
    if inputs is None:
        raise TypeError(f"cannot rebuild a weight from {type(layer).__name__}; pass linear layers or nn.Conv2d")
    some = need_tensor("a weight of layer", next(bare.parameters(), None), fix="pass linear layers or nn.Conv2d")
    with evaluating(bare):
        silent = run_model(bare, torch.zeros(1, inputs, dtype=torch.float64, device=some.device))  # the bias alone
        each = torch.eye(inputs, dtype=torch.float64, device=some.device)
        weight, twice = run_model(bare, each) - silent, run_model(bare, -2 * each) - silent
    if not torch.allclose(twice, -2 * weight):
        raise ValueError(
            f"{type(layer).__name__} is not linear, so no weight stands for it; pass layers without a ReLU"
        )
    return weight.T.contiguous()


def _convolutions(layer: nn.Module) -> list[nn.Conv2d]:
    """The convolutions of a chain in order, after a check that the chain holds nothing else."""
    if type(layer) is nn.Sequential and hook_of(layer) is None:
        return [conv for part in layer for conv in _convolutions(part)]
    reason = why_not_plain(layer, (nn.Conv2d,))
    if reason is not None:
        error = ValueError if isinstance(layer, nn.Conv2d) else TypeError
        raise error(f"cannot rebuild a weight from {type(layer).__name__}: {reason}")
    return [layer]


def _rebuild_convolution(chain: list[nn.Conv2d]) -> Tensor:
    channels = chain[0].in_channels
    height, width = (1 + sum(conv.kernel_size[axis] - 1 for conv in chain) for axis in (0, 1))
    places = channels * height * width
    answer = torch.eye(places, dtype=torch.float64, device=chain[0].weight.device)
    answer = answer.reshape(places, channels, height, width)
    for conv in chain:
        answer = conv2d(answer, conv.weight.double(), groups=conv.groups)
    return answer.reshape(places, -1).T.reshape(-1, channels, height, width).contiguous()


def _one_input(dense: nn.Module, size: tuple[int, int] | None) -> Tensor:
    weight = next(dense.parameters())
    if not isinstance(dense, nn.Conv2d):
        return weight.new_zeros(1, dense.in_features)
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(
            "the MACs of a convolution depend on the image; pass its size (height, width), such as (14, 14)"
        )
    return weight.new_zeros(1, dense.in_channels, *(whole("size", side, low=1, fix="pixels") for side in size))
