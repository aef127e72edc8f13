"""Many nets of one shape, trained as one: their weights are stacked, and each step moves them all.

A small net leaves a processor waiting for the next small piece of work. Twelve of them, as one batched matrix product,
do not. The nets differ in weights, masks and the order of their pictures, and nothing passes from one to another.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from mini_lib.data import Split, Splits
from mini_lib.prune.mask import Mask
from mini_lib.prune.tickets.alone import check_steps, not_finite
from mini_lib.prune.tickets.net import Trained, Weights, weights_of
from mini_lib.prune.tickets.recipe import Recipe


def train_together(
    model: nn.Module,
    starts: Sequence[Weights],
    masks: Sequence[Mask | None],
    orders: Sequence[Tensor],
    splits: Splits,
    recipe: Recipe,
    *,
    first_step: int = 0,
    snapshot_at: int | None = None,
) -> list[Trained]:
    """Train a net from each of `starts`, all in the same steps, and return what came of each.

    Net i is what `train_alone(model, starts[i], masks[i], orders[i], ...)` makes, up to the rounding of its sums.

    Raises:
        ValueError: not as many starts, masks and orders; a mask that does not fit; steps out of range; a loss that is
            not finite.
    """
    _check(model, starts, masks, orders, recipe, first_step, snapshot_at)
    shape = deepcopy(model).eval()
    stacks, keeps = _stack(starts, masks)
    order = torch.stack(list(orders), dim=1)  # [steps, nets, batch]
    images, labels = splits.train.images, splits.train.labels

    def loss_of_one(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(shape, weights, (x,)), y)

    optimizer = recipe.make_optimizer(stacks.values())
    snapshot = _copy(stacks) if snapshot_at == first_step else None
    curve = []
    for step in range(first_step, recipe.steps):
        optimizer.param_groups[0]["lr"] = recipe.rate_at(step)
        losses = vmap(loss_of_one)(stacks, images[order[step]], labels[order[step]])
        if not losses.isfinite().all():
            raise ValueError(not_finite(step, recipe))
        optimizer.zero_grad()
        losses.sum().backward()  # a net's gradient is that of its own loss: no other depends on its weights
        for name, keep in keeps.items():
            stacks[name].grad.mul_(keep)
        optimizer.step()
        if step + 1 == snapshot_at:
            snapshot = _copy(stacks)
        if step + 1 in recipe.evaluate_at:
            curve.append(_accuracies(shape, stacks, splits.validation))
    test = _accuracies(shape, stacks, splits.test)
    return [
        Trained(
            _unstack(stacks, net),
            _unstack(snapshot, net) if snapshot else None,
            tuple(accuracies[net] for accuracies in curve),
            test[net],
        )
        for net in range(len(starts))
    ]


def _stack(starts: Sequence[Weights], masks: Sequence[Mask | None]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of all nets, [nets, ...] by name, with zeros where a mask says so; and the masks, as 0 and 1."""
    stacks = {name: torch.stack([start[name].detach() for start in starts]) for name in starts[0]}
    pruned = {name for mask in masks if mask is not None for name in mask}
    keeps = {name: torch.ones_like(stacks[name]) for name in stacks if name in pruned}
    for net, mask in enumerate(masks):
        for name, keep in mask.tensors.items() if mask is not None else ():
            keeps[name][net] = keep
    for name, keep in keeps.items():
        stacks[name].mul_(keep)
    for stack in stacks.values():
        stack.requires_grad_()
    return stacks, keeps


def _copy(stacks: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: stack.detach().clone() for name, stack in stacks.items()}


def _unstack(stacks: dict[str, Tensor], net: int) -> dict[str, Tensor]:
    return {name: stack[net].detach().clone() for name, stack in stacks.items()}


@torch.no_grad()
def _accuracies(model: nn.Module, stacks: dict[str, Tensor], split: Split) -> list[float]:
    """The share of pictures that each net gets right, in [0, 1]."""
    correct = torch.zeros(len(next(iter(stacks.values()))), dtype=torch.int64)
    logits_of = vmap(lambda weights, images: functional_call(model, weights, (images,)), in_dims=(0, None))
    for images, labels in zip(split.images.split(500), split.labels.split(500)):
        correct += (logits_of(stacks, images).argmax(dim=2) == labels).sum(dim=1)
    return [count / len(split) for count in correct.tolist()]


def _check(
    model: nn.Module,
    starts: Sequence[Weights],
    masks: Sequence[Mask | None],
    orders: Sequence[Tensor],
    recipe: Recipe,
    first_step: int,
    snapshot_at: int | None,
) -> None:
    if not starts or not len(starts) == len(masks) == len(orders):
        raise ValueError(
            f"each net needs a start, a mask (or None) and an order, got {len(starts)}, {len(masks)} and {len(orders)}"
        )
    weights_of(model)
    for mask in masks:
        if mask is not None:
            mask.check(model)
    check_steps(recipe, first_step, snapshot_at)
