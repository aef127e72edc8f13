"""How a layer of a model is taken apart: one function per method, all called alike, so that `factorize` takes any.

A method gets the name of a layer, the layer and its rank or ranks, and returns its replacement. A method of your own is
a function of this form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import nn

from mini_lib.factorize import low_rank
from mini_lib.factorize.data_aware import output_svd
from mini_lib.factorize.low_rank import Factorized
from mini_lib.factorize.moments import is_factorizable, matrix_layers
from mini_lib.factorize.separable import separate
from mini_lib.require import callable_, of_type, one_of, share
from mini_lib.second_moments import Moments
from mini_lib.surgery import Where

Rank = int | tuple[int, ...]
Method = Callable[[str, nn.Module, Rank], Factorized]


def plain_svd(name: str, layer: nn.Module, rank: Rank) -> Factorized:
    """Take a linear layer apart by `svd_linear`, a convolution by `channel_svd`: the smallest error of the weight.

    >>> plain_svd("fc", nn.Linear(8, 4), 2).ranks
    (2,)
    """
    return (low_rank.svd_linear if isinstance(layer, nn.Linear) else low_rank.channel_svd)(layer, rank)


def data_aware_svd(moments: Mapping[str, Moments]) -> Method:
    """Return the method with the smallest error of the *output*, given the moments of each layer's inputs.

    `moments` are those of `input_moments`. They may come from the model before its batch norms were folded, since the
    inputs of its layers stay the same.

    Raises:
        TypeError: `moments` is not a mapping.
        ValueError: raised by the method, if it gets a layer without moments.

    >>> import torch
    >>> method = data_aware_svd({"fc": Moments(torch.zeros(8), torch.eye(8), 100)})
    >>> method("fc", nn.Linear(8, 4), 2).ranks
    (2,)
    >>> method("other", nn.Linear(8, 4), 2)
    Traceback (most recent call last):
    ValueError: there are no moments of layer 'other'; there are those of fc: take them with input_moments
    """

    of_type("moments", moments, Mapping, fix="input_moments(model, pictures) gives them")

    def method(name: str, layer: nn.Module, rank: Rank) -> Factorized:
        if name not in moments:
            raise ValueError(
                f"there are no moments of layer {name!r}; there are those of {', '.join(moments) or 'none'}: take them "
                "with input_moments"
            )
        return output_svd(layer, moments[name], rank)

    return method


def tucker(method: Literal["hosvd", "hooi"] = "hooi") -> Method:
    """Return the method that takes a convolution apart by `tucker2`, at ranks (in, out); a linear layer by its SVD.

    Raises:
        ValueError: the method is unknown; also raised by the returned function, unless a convolution has two ranks.

    >>> tucker()("conv", nn.Conv2d(8, 16, 3), (4, 6)).ranks
    (4, 6)
    """
    one_of("method", method, ("hosvd", "hooi"), fix="'hooi' has the smaller error")

    def apart(name: str, layer: nn.Module, rank: Rank) -> Factorized:
        if isinstance(layer, nn.Linear):
            return low_rank.svd_linear(layer, rank)
        if not isinstance(rank, tuple) or len(rank) != 2:
            raise ValueError(f"a Tucker-2 decomposition needs two ranks, (in, out), got {rank!r}")
        return low_rank.tucker2(layer, *rank, method=method)

    return apart


def as_method(take_apart: Callable[[nn.Module, Rank], Factorized]) -> Method:
    """Return the method that calls `take_apart` for every layer, such as `low_rank.spatial_svd` or `low_rank.cp`.

    Raises:
        TypeError: `take_apart` cannot be called.

    >>> as_method(low_rank.cp)("conv", nn.Conv2d(8, 16, 3), 4).ranks
    (4,)
    """
    callable_("take_apart", take_apart, fix="pass a function (layer, rank) -> Factorized, such as low_rank.cp")
    return lambda name, layer, rank: take_apart(layer, rank)


def slice_svd(name: str, layer: nn.Module, rank: Rank) -> Factorized:
    """Take a convolution apart into a depthwise and a pointwise one with `separate`; the rank is the multiplier.

    >>> slice_svd("conv", nn.Conv2d(8, 16, 3), 1).parameters          # 8 * 9, 8 * 16 and a bias
    216
    """
    fit = separate(layer, rank)
    return Factorized(fit.layer, layer, (rank,), fit.relative_error)


def matrix_ranks(model: nn.Module, fraction: float, where: Where = is_factorizable) -> dict[str, int]:
    """Return each chosen layer's rank at this fraction of its full rank, rounded, and at least 1.

    The full rank is min(out, k) with k = in_features or in_channels * K^2, as for `plain_svd` and `data_aware_svd`.

    Raises:
        TypeError: the fraction is not a number.
        ValueError: the fraction is not above 0 and at most 1, or no layer is chosen.

    >>> matrix_ranks(nn.Sequential(nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)), 0.25)
    {'0': 2, '1': 8}
    """
    fraction = share("fraction", fraction, fix="0.25 is a quarter of full rank")
    return {
        name: _part(fraction, min(len(layer.weight), layer.weight[0].numel()))
        for name, layer in matrix_layers(model, where).items()
    }


def tucker_ranks(model: nn.Module, fraction: float, where: Where = is_factorizable) -> dict[str, int | tuple[int, int]]:
    """Return each chosen layer's ranks at this fraction of its channels, rounded, and at least 1.

    A convolution gets two ranks (in, out); a linear layer gets one, as from `matrix_ranks`.

    Raises:
        TypeError: the fraction is not a number.
        ValueError: the fraction is not above 0 and at most 1, or no layer is chosen.

    >>> tucker_ranks(nn.Sequential(nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)), 0.375)
    {'0': (1, 6), '1': (6, 12)}
    """
    fraction = share("fraction", fraction, fix="0.25 is a quarter of full rank")
    return {
        name: _part(fraction, min(layer.weight.shape))
        if isinstance(layer, nn.Linear)
        else (_part(fraction, layer.in_channels), _part(fraction, layer.out_channels))
        for name, layer in matrix_layers(model, where).items()
    }


def _part(fraction: float, full: int) -> int:
    return max(1, round(fraction * full))
