"""Many nets of one shape, trained as one: their weights are stacked, and each step updates them all.

The nets differ in weights, masks and the order of their pictures, and nothing passes from one to another.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mini_lib.copying import copied
from mini_lib.data import Splits
from mini_lib.fit import need_classes
from mini_lib.prune.mask import Mask
from mini_lib.prune.tickets.alone import check_order, check_steps, need_trainable, not_finite
from mini_lib.prune.tickets.net import Trained, Weights, weights_of, with_weights
from mini_lib.prune.tickets.recipe import Recipe
from mini_lib.require import of_type
from mini_lib.stacked import Stack, accuracies_together, losses_together, stack, unstack


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
    """Train a net from each of `starts`, all in the same steps, and return the result of each.

    Net i equals the result of `train_alone(model, starts[i], masks[i], orders[i], ...)`, up to the rounding of sums.

    Raises:
        ValueError: the numbers of starts, masks and orders differ; a mask does not fit; steps are out of range; no
            parameter is trainable; a loss is not finite.
    """
    first_step, snapshot_at = check_steps(recipe, first_step, snapshot_at)
    _check(model, starts, masks, orders, splits, recipe)
    shape = copied(model).eval()
    stacks, keeps = _masked(starts, masks)
    order = torch.stack(list(orders), dim=1)  # [steps, nets, batch]
    images, labels = splits.train.images, splits.train.labels
    for name, weight in shape.named_parameters():
        stacks[name].requires_grad_(weight.requires_grad)  # what the model froze stays
    optimizer = recipe.make_optimizer(stacks.values())
    nets = range(len(starts))
    snapshots = [unstack(stacks, net) if snapshot_at == first_step else None for net in nets]
    curve = []
    for step in range(first_step, recipe.steps):
        optimizer.param_groups[0]["lr"] = recipe.rate_at(step)
        losses = losses_together(shape, stacks, images[order[step]], labels[order[step]])
        if not losses.isfinite().all():
            raise ValueError(not_finite(step, recipe))
        optimizer.zero_grad()
        losses.sum().backward()
        for name, keep in keeps.items():
            if stacks[name].grad is not None:  # a frozen weight has none
                stacks[name].grad.mul_(keep)
        optimizer.step()
        if step + 1 == snapshot_at:
            snapshots = [unstack(stacks, net) for net in nets]
        if step + 1 in recipe.evaluate_at:
            curve.append(accuracies_together(shape, stacks, splits.validation))
    test = accuracies_together(shape, stacks, splits.test)
    return [
        Trained(unstack(stacks, net), snapshots[net], tuple(accuracies[net] for accuracies in curve), test[net])
        for net in nets
    ]


def _masked(starts: Sequence[Weights], masks: Sequence[Mask | None]) -> tuple[Stack, Stack]:
    """The weights of all nets, [nets, ...] by name, with zeros where a mask says so; and the masks, as 0 and 1."""
    stacks = stack(starts)
    pruned = {name for mask in masks if mask is not None for name in mask}
    keeps = {name: torch.ones_like(stacks[name]) for name in stacks if name in pruned}
    for net, mask in enumerate(masks):
        for name, keep in mask.tensors.items() if mask is not None else ():
            keeps[name][net] = keep
    for name, keep in keeps.items():
        stacks[name].mul_(keep)
    return stacks, keeps


def _check(
    model: nn.Module,
    starts: Sequence[Weights],
    masks: Sequence[Mask | None],
    orders: Sequence[Tensor],
    splits: Splits,
    recipe: Recipe,
) -> None:
    for name, several in (("starts", starts), ("masks", masks), ("orders", orders)):
        of_type(name, several, Sequence, fix="give one for each net, in a list")
    if not starts or not len(starts) == len(masks) == len(orders):
        raise ValueError(
            f"each net needs a start, a mask (or None) and an order, got {len(starts)}, {len(masks)} and {len(orders)}"
        )
    weights_of(model)
    need_trainable(model)
    for start, mask, order in zip(starts, masks, orders):
        with_weights(model, start)
        check_order(order, recipe, splits)
        if mask is not None:
            of_type("mask", mask, Mask, fix="None prunes nothing").check(model)
    need_classes(model, splits.train, splits.validation, splits.test)
