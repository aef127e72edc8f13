"""One net, trained alone: the plain loop, which defines what a training in a study is."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib.data import Splits
from mini_lib.fit import accuracy, need_classes
from mini_lib.prune.mask import Mask
from mini_lib.prune.tickets.net import Trained, Weights, weights_of, with_weights
from mini_lib.prune.tickets.recipe import Recipe
from mini_lib.require import of_type, whole
from mini_lib.tensor_checks import need_tensor


def train_alone(
    model: nn.Module,
    start: Weights,
    mask: Mask | None,
    order: Tensor,
    splits: Splits,
    recipe: Recipe,
    *,
    first_step: int = 0,
    snapshot_at: int | None = None,
) -> Trained:
    """Train one net from `start` and return the result.

    `model` gives the shape. The net sees the pictures `order` [steps, batch_size]. Training begins at `first_step`,
    with that step's learning rate and pictures. Masked weights are zero throughout: they start as zeros, get no
    gradient, and there is no weight decay.

    Raises:
        ValueError: the mask does not fit, steps are out of range, no parameter is trainable, or the loss is not finite.
    """
    first_step, snapshot_at = check_steps(recipe, first_step, snapshot_at)
    check_order(order, recipe, splits)
    net = with_weights(model, start).eval()  # no dropout: only the start and the order are random
    weights = dict(net.named_parameters(remove_duplicate=False))  # a mask may name a shared weight by its second name
    if mask is not None:
        of_type("mask", mask, Mask, fix="None prunes nothing").check(net)
    need_trainable(net)
    need_classes(net, splits.train, splits.validation, splits.test)
    # As floats, since a bool mask would be converted in each step.
    keeps = {name: keep.to(weights[name].dtype) for name, keep in mask.tensors.items()} if mask is not None else {}
    with torch.no_grad():
        for name, keep in keeps.items():
            weights[name].mul_(keep)
    optimizer = recipe.make_optimizer(net.parameters())
    snapshot = weights_of(net) if snapshot_at == first_step else None
    curve = []
    for step in range(first_step, recipe.steps):
        optimizer.param_groups[0]["lr"] = recipe.rate_at(step)
        loss = F.cross_entropy(net(splits.train.images[order[step]]), splits.train.labels[order[step]])
        if not loss.isfinite():
            raise ValueError(not_finite(step, recipe))
        optimizer.zero_grad()
        loss.backward()
        for name, keep in keeps.items():
            if weights[name].grad is not None:  # a frozen weight has none
                weights[name].grad.mul_(keep)
        optimizer.step()
        if step + 1 == snapshot_at:
            snapshot = weights_of(net)
        if step + 1 in recipe.evaluate_at:
            curve.append(accuracy(net, splits.validation))
    return Trained(weights_of(net), snapshot, tuple(curve), accuracy(net, splits.test))


def need_trainable(model: nn.Module) -> None:
    """Make sure that there is something to train.

    Raises:
        ValueError: all parameters of the model are frozen, or it has none.
    """
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError(
            "the model has no trainable parameter, so there is nothing to train; set requires_grad on some"
        )


def check_steps(recipe: Recipe, first_step: int, snapshot_at: int | None) -> tuple[int, int | None]:
    """Return both after checking that a training begins before it ends, and that its snapshot lies within it.

    Raises:
        TypeError: `recipe` is not a recipe, or a step not a whole number.
        ValueError: one of them does not.
    """
    of_type("recipe", recipe, Recipe, fix="use Recipe(steps=...)")
    first_step = whole("first_step", first_step, low=0, high=recipe.steps - 1, fix="0 trains from the start")
    if snapshot_at is not None:
        snapshot_at = whole("snapshot_at", snapshot_at, low=first_step, high=recipe.steps, fix="None takes no snapshot")
    return first_step, snapshot_at


def check_order(order: Tensor, recipe: Recipe, splits: Splits) -> None:
    """Make sure that the order of the pictures serves every step.

    Raises:
        TypeError: `order` is not a tensor of int64, or `splits` are not Splits.
        ValueError: it lacks a row for a step, or names a picture that is not there.
    """
    count = len(of_type("splits", splits, Splits, fix="data.fashion() gives them").train)
    need_tensor("order", order, dims=2, floating=False, fix="batch_order(count, recipe, seed) gives it")
    if order.dtype != torch.int64:
        raise TypeError(f"order must be of int64, got {order.dtype}; batch_order(count, recipe, seed) gives it")
    if len(order) < recipe.steps or order.min() < 0 or order.max() >= count:
        raise ValueError(
            f"order must be [{recipe.steps} steps, batch] of pictures 0 to {count - 1}, got {list(order.shape)} of "
            f"{int(order.min())} to {int(order.max())}; batch_order(count, recipe, seed) gives it"
        )


def not_finite(step: int, recipe: Recipe) -> str:
    """Return the message for a loss that has become infinite or NaN."""
    return f"a loss is not finite at step {step}; lower learning_rate ({recipe.learning_rate:g})"
