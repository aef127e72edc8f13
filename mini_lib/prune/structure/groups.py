"""Which channels can be removed, and what else must go with each of them.

A channel is made by a row of one layer and read by columns of others. Without the row, the columns have nothing to
read, so both go; so do the numbers that a batch norm keeps for the channel. A residual sum adds channel 3 of one layer
to channel 3 of another: those rows can only go together. Channels that must go together form a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mini_lib.prune.structure.reader import Reader, read_channels

Slots = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of several layers that are removed together.

    Attributes:
        name: the first layer that makes these channels.
        channels: how many there are.
        producers: for each layer that makes them, which channel of the group each of its outputs is (-1: none).
        passed_by: the same for layers that treat each channel separately: batch norms, depthwise convolutions, PReLU.
        consumers: for each layer that reads them, which channel each of its inputs is. A linear layer after a
            flatten reads a channel once per place.
    """

    name: str
    channels: int
    producers: Slots
    passed_by: Slots
    consumers: Slots

    def __str__(self) -> str:
        makes, passes, takes = (", ".join(slots) for slots in (self.producers, self.passed_by, self.consumers))
        return f"{self.name}: {self.channels} channels of {makes}" + (f" | {passes}" if passes else "") + f" -> {takes}"


def channel_groups(model: nn.Module, example: Tensor) -> tuple[ChannelGroup, ...]:
    """Return the groups of channels that can be removed from `model`, in the order in which they are made.

    Channels that reach the model's output, meet its input, or pass a convolution in several groups are not among them.

    Args:
        model: convolutions and linear layers with batch norm, activations, pooling, sums, cat and flatten between.
        example: an input with a batch axis, such as [1, 1, 28, 28]; only its shape matters.

    Raises:
        TypeError: `model` is not a module, or `example` is not a tensor.
        ValueError: the forward cannot be traced, cannot be run on the example, or calls an unknown operation.

    Two channels on 2 x 2 places are eight numbers for the linear layer:

    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 10))
    >>> (group,) = channel_groups(model, torch.zeros(1, 1, 2, 2))
    >>> print(group)
    0: 2 channels of 0 -> 3
    >>> group.consumers["3"]
    (0, 0, 0, 0, 1, 1, 1, 1)

    Source: G. Fang et al., "DepGraph: Towards Any Structural Pruning", 2023, section 3.
    """
    return sort_channels(read_channels(model, example))[0]


def sort_channels(reader: Reader) -> tuple[tuple[ChannelGroup, ...], dict[str, str]]:
    """Return the groups that can be removed, and for each layer whose channels must stay, why they must."""
    # Layers that share one channel share a group: join the channels of each layer in a copy of the labels.
    linked = reader.labels.copy()
    for made in reader.made.values():
        linked.join(made[:1].expand_as(made), made)
    members: dict[int, list[str]] = {}
    for name, made in reader.made.items():
        members.setdefault(linked.classes(made[:1])[0], []).append(name)
    groups, stays = [], {}
    for label, names in members.items():
        reason = linked.reason(label)
        if reason is None:
            groups.append(_group(reader, names))
        else:
            stays |= dict.fromkeys(names, reason)
    return tuple(groups), stays


def _group(reader: Reader, names: list[str]) -> ChannelGroup:
    number: dict[int, int] = {}
    for name in names:
        for channel in reader.labels.classes(reader.made[name]):
            number.setdefault(channel, len(number))

    def slots(book: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
        found = {name: tuple(number.get(one, -1) for one in reader.labels.classes(book[name])) for name in book}
        return {name: channels for name, channels in found.items() if max(channels) >= 0}

    return ChannelGroup(names[0], len(number), slots(reader.made), slots(reader.passed), slots(reader.taken))
