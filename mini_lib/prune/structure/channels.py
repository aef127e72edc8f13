"""The worth of a channel, and which channels to keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mini_lib.graph import BATCH_NORMS
from mini_lib.prune.checks import check_density, check_scores
from mini_lib.prune.keep import keep_top
from mini_lib.prune.structure.groups import ChannelGroup, channel_groups
from mini_lib.require import one_of, whole

_NO_GROUP = (
    "scores hold no group of channels, so none can be removed: channels stay where they reach the model's output, meet "
    "its input, pass a grouped convolution or are used all together; prune weights instead"
)


@torch.no_grad()
def channel_scores(
    model: nn.Module, example: Tensor, norm: Literal["l1", "l2", "batch_norm"] = "l2"
) -> dict[str, Tensor]:
    """Score each channel that can be removed: a higher score means that it is worth more.

    "l1" and "l2" are the norms of the weights that make the channel. Where several layers make it, as around a
    residual sum, their norms are added. "batch_norm" is |gamma|, by which the batch norm multiplies the channel.

    Returns:
        For each group of `channel_groups(model, example)`, by name, a tensor [channels]. A row with more inputs has a
        larger norm, so scores of different groups can be compared only roughly.

    Raises:
        ValueError: an unknown norm; with "batch_norm", a group whose channels pass no batch norm with a gamma; or as
            `channel_groups`.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> model[0].weight.data = torch.tensor([[3.0, -4.0], [1.0, 0.0]])
    >>> channel_scores(model, torch.zeros(1, 2))["0"], channel_scores(model, torch.zeros(1, 2), "l1")["0"]
    (tensor([5., 1.]), tensor([7., 1.]))

    Source: H. Li et al., "Pruning Filters for Efficient ConvNets", 2017, section 3.1 (l1); Z. Liu et al., "Learning
    Efficient Convolutional Networks through Network Slimming", 2017, section 3 (batch_norm).
    """
    one_of("norm", norm, ("l1", "l2", "batch_norm"), fix="'l2' is the length of a filter")
    return {group.name: _scores(model, group, norm) for group in channel_groups(model, example)}


def _scores(model: nn.Module, group: ChannelGroup, norm: str) -> Tensor:
    slots = group.producers
    if norm == "batch_norm":
        slots = {name: slots for name, slots in group.passed_by.items() if _has_gamma(model.get_submodule(name))}
        if not slots:
            raise ValueError(
                f"the channels of {group.name!r} pass no batch norm with a gamma to score them by; use norm='l2'"
            )
    total = torch.zeros(group.channels)
    for name, channels in slots.items():
        weight = model.get_submodule(name).weight.abs().double()  # squares overflow in half precision
        score = weight if norm == "batch_norm" else weight.flatten(1).norm(p=int(norm[1]), dim=1)
        here = torch.tensor(channels)
        total.index_add_(0, here[here >= 0], score[here >= 0].to(total.dtype))  # a channel may be made by several
    return total


def _has_gamma(module: nn.Module) -> bool:
    return isinstance(module, BATCH_NORMS) and module.weight is not None


def keep_channels(
    scores: Mapping[str, Tensor],
    density: float,
    scope: Literal["layer", "global"] = "layer",
    *,
    at_least: int = 1,
    multiple_of: int = 1,
) -> dict[str, Tensor]:
    """Return the best-scored share `density` of the channels, as indexes for `remove_channels`.

    Of n channels of a group (scope "layer"), or of all groups together ("global"), round(density * n) stay; of equal
    scores the first. At least `at_least` channels of every group stay, or all if it has fewer; scope "global" lowers
    the share of the others for that. With `multiple_of`, the number in each group is rounded to a multiple (a half
    rounds up, never to zero; all stay if the group has fewer), because fast kernels work in multiples of eight, for
    example; the total then differs.

    Raises:
        TypeError: `at_least` or `multiple_of` is not a whole number.
        ValueError: `density` outside (0, 1], an unknown scope, `at_least` or `multiple_of` below 1, scores that are
            NaN, no scores since no channel can go, or a global share too small for `at_least` in every group.

    >>> keep = keep_channels({"conv1": torch.tensor([1.0, 4.0, 3.0, 4.0])}, density=0.5)
    >>> keep["conv1"]
    tensor([1, 3])
    """
    density, at_least, multiple_of = _checked(scores, density, scope, at_least, multiple_of)
    sizes = {name: len(score) for name, score in scores.items()}
    at_leasts = {name: min(at_least, size) for name, size in sizes.items()}
    if scope == "global":
        counts = _counts_globally(scores, density, at_leasts)
    else:
        counts = {name: max(round(density * size), at_leasts[name]) for name, size in sizes.items()}
    counts = {name: _to_multiple(counts[name], at_leasts[name], sizes[name], multiple_of) for name in scores}
    return {name: _best(scores[name], counts[name]).sort().values for name in scores}


def _best(scores: Tensor, count: int) -> Tensor:
    return scores.argsort(descending=True, stable=True)[:count]


def _counts_globally(scores: Mapping[str, Tensor], density: float, at_leasts: Mapping[str, int]) -> dict[str, int]:
    total = sum(len(score) for score in scores.values())
    if sum(at_leasts.values()) > round(density * total):
        raise ValueError(
            f"density {density:g} keeps {round(density * total)} of {total} channels, and at_least asks for "
            f"{sum(at_leasts.values())}; use a smaller at_least or a higher density"
        )
    first = {
        name: score.double().index_fill(0, _best(score, at_leasts[name]), torch.inf) for name, score in scores.items()
    }
    return {row.name: row.kept for row in keep_top(first, density, scope="global").layers()}


def _to_multiple(count: int, at_least: int, size: int, multiple_of: int) -> int:
    """The nearest multiple, but not below `at_least` and not above `size`."""
    if count == size:
        return size
    nearest = (2 * count + multiple_of) // (2 * multiple_of) * multiple_of
    return min(size, max(nearest, -(-at_least // multiple_of) * multiple_of))


def _checked(
    scores: Mapping[str, Tensor], density: float, scope: str, at_least: int, multiple_of: int
) -> tuple[float, int, int]:
    density = check_density(density)
    one_of("scope", scope, ("layer", "global"), fix="'layer' keeps the share in every group")
    at_least = whole("at_least", at_least, low=1, fix="1 asks for nothing special")
    multiple_of = whole("multiple_of", multiple_of, low=1, fix="1 asks for nothing special")
    check_scores(scores, none=_NO_GROUP)
    for name, score in scores.items():
        if score.dim() != 1:
            raise ValueError(
                f"the scores of {name!r} have shape {list(score.shape)}, expected one per channel; "
                "channel_scores(model, example) makes them"
            )
    return density, at_least, multiple_of
