"""Remove channels from a model, physically or by zeros: both give the same outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mini_lib.calibration import run_model
from mini_lib.copying import copied
from mini_lib.counting import evaluating, tensors_in
from mini_lib.prune.structure.groups import ChannelGroup, sort_channels
from mini_lib.prune.structure.reader import Reader, read_channels
from mini_lib.require import whole

Keep = Mapping[str, Tensor | Sequence[int]]  # name of a group -> the channels that stay, rising
Stays = dict[str, Tensor]  # name of a layer -> for each of its outputs or inputs, whether it stays


def remove_channels(model: nn.Module, example: Tensor, keep: Keep) -> nn.Module:
    """Return a copy of `model` that physically has only the channels in `keep`, made of the same plain torch layers.

    Weights, biases, the numbers of batch norms and the attributes that count channels are cut. Groups that `keep`
    does not name stay whole. In evaluation mode the result computes what `mask_channels` computes.

    Args:
        model: the argument stays as it is.
        example: an input with a batch axis; only its shape matters.
        keep: for each group of `channel_groups(model, example)`, by name, the indexes of the channels that stay.

    Raises:
        TypeError: `keep` is not a mapping, or holds something other than whole numbers.
        ValueError: a group is unknown, or its channels must stay; indexes are empty, not rising, or out of range; the
            forward has the number of channels written into it; something else that runs with the model, such as a hook
            of its own, uses them; or as `channel_groups`.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> remove_channels(model, torch.zeros(1, 2), {"0": [0, 2]})
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=1, bias=True)
    )

    Source: H. Li et al., "Pruning Filters for Efficient ConvNets", 2017, section 3.
    """
    rows, columns = _what_stays(read_channels(model, example), keep)
    result = copied(model)
    for name in {**rows, **columns}:
        _cut_(result.get_submodule(name), rows.get(name), columns.get(name))
    _check_same(result, mask_channels(model, example, keep), example)
    return result


@torch.no_grad()
def mask_channels(model: nn.Module, example: Tensor, keep: Keep) -> nn.Module:
    """Return a copy of `model` with the same shapes, in which everything that belongs to the other channels is zero.

    It sets to zero the rows and biases of the layers that make a removed channel, the numbers that batch norms and
    depthwise convolutions hold for it, and the columns of the layers that read it. The columns alone decide the output.
    Zero rows would not be enough: sigmoid(0) is 1/2, and the next layer would read that.

    Arguments are those of `remove_channels`.

    Raises:
        TypeError, ValueError: as `remove_channels`.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1))
    >>> model[0].bias.data, model[2].weight.data = torch.tensor([5.0, 6.0]), torch.tensor([[7.0, 8.0]])
    >>> masked = mask_channels(model, torch.zeros(1, 2), {"0": [1]})
    >>> masked[0].bias.data, masked[2].weight.data
    (tensor([0., 6.]), tensor([[0., 8.]]))
    """
    rows, columns = _what_stays(read_channels(model, example), keep)
    result = copied(model)
    for name, stay in rows.items():
        for parameter in result.get_submodule(name).parameters(recurse=False):
            parameter[~stay] = 0
    for name, stay in columns.items():
        result.get_submodule(name).weight[:, ~stay] = 0
    return result


def _chosen(reader: Reader, keep: Keep) -> list[tuple[ChannelGroup, list[int]]]:
    """Return the groups that are named, each with the channels that stay."""
    if not isinstance(keep, Mapping):
        raise TypeError(
            f"keep must be a mapping from the name of a group to the channels that stay, got {type(keep).__name__}; "
            "keep_channels(scores, density) makes one"
        )
    groups, must_stay = sort_channels(reader)
    by_name = {group.name: group for group in groups}
    for name in keep:
        if name in must_stay:
            raise ValueError(f"the channels of {name!r} cannot be removed: {must_stay[name]}; leave it out of keep")
        other = [group.name for group in groups if name in group.producers and name != group.name]
        if other:
            raise ValueError(
                f"the channels of {name!r} go together with those of {other[0]!r}; give keep[{other[0]!r}]"
            )
        if name not in by_name:
            raise ValueError(
                f"no channels are named {name!r}; those that can be removed: {', '.join(by_name) or 'none'}"
            )
    return [(by_name[name], _indexes(by_name[name], indexes)) for name, indexes in keep.items()]


def _indexes(group: ChannelGroup, indexes: Tensor | Sequence[int]) -> list[int]:
    where, fix = f"keep[{group.name!r}]", "from a mask, mask.nonzero().flatten()"
    found = indexes.tolist() if isinstance(indexes, Tensor) else indexes
    if not isinstance(found, Iterable):
        raise TypeError(f"{where} must hold whole numbers, got {found!r}; {fix}")
    found = [whole(f"each number in {where}", one, low=0, high=group.channels - 1, fix=fix) for one in found]
    if not found:
        raise ValueError(f"{where} is empty: nothing would be left of {', '.join(group.producers)}; keep one channel")
    if found != sorted(set(found)):
        raise ValueError(f"{where} must rise, without duplicates, got {found}; use sorted(set(...))")
    return found


def _what_stays(reader: Reader, keep: Keep) -> tuple[Stays, Stays]:
    """Return which outputs and which inputs stay, for every layer that loses some."""
    rows: Stays = {}
    columns: Stays = {}
    for group, kept in _chosen(reader, keep):
        gone = torch.ones(group.channels + 1, dtype=torch.bool)  # the last is for -1: of another group, so not gone
        gone[[*kept, -1]] = False
        for stays, slots in ((rows, group.producers), (rows, group.passed_by), (columns, group.consumers)):
            for name, channels in slots.items():
                stays[name] = stays.get(name, True) & ~gone[list(channels)]
        for name in group.producers:
            if not rows[name].any():
                raise ValueError(f"keep[{group.name!r}] leaves nothing of {name!r}; keep one of its channels too")
    return rows, columns


def _cut_(layer: nn.Module, rows: Tensor | None, columns: Tensor | None) -> None:
    """Take outputs and inputs out of a layer. A layer that passes each channel on its own has only rows."""
    for name, parameter in layer.named_parameters(recurse=False):
        cut = parameter.detach()
        cut = cut[rows] if rows is not None else cut
        cut = cut[:, columns] if columns is not None and name == "weight" else cut
        setattr(layer, name, nn.Parameter(cut.clone(), requires_grad=parameter.requires_grad))
    for name, buffer in layer.named_buffers(recurse=False):
        if buffer.dim() == 1 and rows is not None:  # running statistics; the number of batches has no axis
            setattr(layer, name, buffer[rows].clone())
    if rows is not None:
        _count_rows_(layer, int(rows.sum()))
    if columns is not None:
        setattr(layer, "in_features" if isinstance(layer, nn.Linear) else "in_channels", int(columns.sum()))


def _count_rows_(layer: nn.Module, left: int) -> None:
    if isinstance(layer, nn.PReLU):
        layer.num_parameters = left
    elif isinstance(layer, nn.Linear):
        layer.out_features = left
    elif not hasattr(layer, "out_channels"):
        layer.num_features = left
    else:
        if layer.groups > 1:  # depthwise: as many groups as channels come in
            layer.groups = layer.in_channels = left * layer.in_channels // layer.out_channels
        layer.out_channels = left


def _check_same(smaller: nn.Module, zeros: nn.Module, example: Tensor) -> None:
    """Make sure that both compute the same on noise of the example's shape: this shows what tracing cannot see."""
    if example.is_floating_point():
        example = torch.randn(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    with evaluating(zeros), torch.random.fork_rng(devices=[]):
        expected = run_model(zeros, example)
    try:
        with evaluating(smaller), torch.random.fork_rng(devices=[]):
            found = smaller(example)
    except Exception as error:  # a layer or a view that gets another number of channels than it was written for
        raise ValueError(
            f"the smaller model does not run ({error}): a number of channels is written into forward, as in "
            "x.view(-1, 512); write x.flatten(1), say"
        ) from error
    for one, other in zip(tensors_in(found), tensors_in(expected), strict=True):
        if one.shape != other.shape or not _close(one, other):
            raise ValueError(
                "the smaller model computes something else than the one with zeros: a number of channels is written "
                "into forward, as in x.sum(1) / 64, or forward draws at random; prune weights instead"
            )


def _close(one: Tensor, other: Tensor) -> bool:
    """Whether two outputs differ by rounding errors only, which grow with the sums, and these with the layers."""
    if not (one.is_floating_point() or one.is_complex()):
        return bool(torch.equal(one, other))
    largest = other.abs().nan_to_num().max().item() if other.numel() else 0.0
    return torch.allclose(
        one, other, rtol=0, atol=min(1e4 * torch.finfo(one.dtype).eps, 0.05) * largest, equal_nan=True
    )
