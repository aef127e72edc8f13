"""Iterative magnitude pruning with one net, written out: train, take the smallest away, go back to the start, again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from mini_lib.data import Splits
from mini_lib.prune.keep import keep_top
from mini_lib.prune.mask import Mask, apply_mask
from mini_lib.prune.schedules import geometric
from mini_lib.prune.scores import prunable_weights
from mini_lib.prune.tickets.alone import train_alone
from mini_lib.prune.tickets.net import Trained, Weights, weights_of, with_weights
from mini_lib.prune.tickets.recipe import Recipe, batch_order
from mini_lib.require import callable_, of_type, one_of, share, whole
from mini_lib.tensor_checks import need_tensor


@dataclass(frozen=True, eq=False)
class Ticket:
    """A sparse net, not yet trained from its current weights, and how it was found.

    `model` holds the weights that training starts from, with zeros where `mask` says so; `rounds` holds the result of
    each training, the dense one first.
    """

    model: nn.Module
    mask: Mask
    rounds: tuple[Trained, ...]


def find_ticket(
    build: Callable[[int], nn.Module],
    splits: Splits,
    *,
    recipe: Recipe,
    rounds: int = 8,
    rate: float = 0.2,
    rewind_to: int = 0,
    seed: int = 0,
    progress: Callable[[Trained], None] | None = None,
) -> Ticket:
    """Find a ticket: train, prune the share `rate` of what remains, rewind to step `rewind_to`, `rounds` times.

    `build(seed)` makes the untrained net, and `seed` also decides the order of the pictures. All prunable weights are
    ranked together by magnitude. After n rounds (1 - rate)^n of them are left. `progress` is called after each
    training.

    Raises:
        ValueError: `rate` outside (0, 1), `rounds` below 1, `rewind_to` out of range, or a model with batch norm.

    Source: J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis", 2019, section 2, strategy 1 of appendix B.

    >>> import torch
    >>> from mini_lib.data import Split
    >>> dots = Split(torch.tensor([[-1.0, 0.1], [1.0, 0.1]]), torch.tensor([0, 1]))
    >>> ticket = find_ticket(lambda seed: nn.Linear(2, 2), Splits(dots, dots, dots),
    ...                      recipe=Recipe(steps=2, batch_size=2), rounds=2, rate=0.5)
    >>> ticket.mask.kept, len(ticket.rounds)                                  # 4 -> 2 -> 1
    (1, 2)
    """
    rounds, rate = len(geometric(rate, rounds)), float(rate)  # raises an error if the two do not fit
    rewind_to, seed = check_rewind(recipe, rewind_to), whole("seed", seed, fix="the same seed finds the same ticket")
    of_type("splits", splits, Splits, fix="data.fashion() gives them")
    if progress is not None:
        callable_("progress", progress, fix="pass a function of a Trained, or None")
    model = callable_("build", build, fix="pass a function of a seed, such as zoo.lenet_300_100")(seed)
    order = batch_order(len(splits.train), recipe, seed)
    # The first training passes the step to go back to; all others begin there.
    trainings = [train_alone(model, weights_of(model), None, order, splits, recipe, snapshot_at=rewind_to)]
    start, mask = trainings[0].snapshot, None
    for number in range(1, rounds + 1):
        if progress is not None:
            progress(trainings[-1])
        mask = next_mask(model, trainings[-1].weights, mask, number, rate)
        if number < rounds:
            trainings.append(train_alone(model, start, mask, order, splits, recipe, first_step=rewind_to))
    return Ticket(apply_mask(with_weights(model, start), mask), mask, tuple(trainings))


def check_rewind(recipe: Recipe, rewind_to: int) -> int:
    """Return the step to go back to after checking that at least one step of training follows it.

    Raises:
        TypeError: `recipe` is not a recipe, or the step not a whole number.
        ValueError: none does.
    """
    of_type("recipe", recipe, Recipe, fix="use Recipe(steps=...)")
    return whole("rewind_to", rewind_to, low=0, high=recipe.steps - 1, fix="0 goes back to the start")


def next_mask(
    model: nn.Module,
    trained: Weights,
    mask: Mask | None,
    number: int,
    rate: float,
    scope: Literal["global", "layer"] = "global",
) -> Mask:
    """Return the mask of round `number`, counted from 1: of what `mask` keeps, the share `rate` is pruned.

    `model` says which weights can be pruned, `trained` how large they have become. Scope "global" ranks all of them
    together; "layer" prunes each layer separately and the last one at half the rate, as the paper does for this net. At
    least one weight of each layer stays.

    Raises:
        TypeError, ValueError: a setting is out of range, `trained` lacks a weight, or as `keep_top`.

    Source: J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis", 2019, section 2 and figure 2.

    >>> model = nn.Sequential(nn.Linear(5, 2), nn.Linear(2, 5))
    >>> mask = next_mask(model, weights_of(model), None, 1, rate=0.4, scope="layer")
    >>> [layer.kept for layer in mask.layers()]                               # 10 * (1 - .4), 10 * (1 - .2)
    [6, 8]
    """
    rate = share("rate", rate, one=False, fix="0.2 takes a fifth of what remains in each round")
    number = whole("number", number, low=1, fix="rounds count from 1")
    one_of("scope", scope, ("global", "layer"), fix="'global' ranks all weights together")
    wanted = prunable_weights(model)
    missing = [name for name in wanted if name not in of_type("trained", trained, Mapping, fix="use weights_of(model)")]
    if missing:
        raise ValueError(f"trained holds nothing for {missing[0]!r}; pass what weights_of(model) gives")
    scores = {name: need_tensor(name, trained[name], fix="use weights_of(model)").abs() for name in wanted}
    if scope == "global":
        return keep_top(scores, (1 - rate) ** number, among=mask, at_least=1)
    last = list(scores)[-1]
    kept = {}
    for name, score in scores.items():
        density = (1 - (rate / 2 if name == last else rate)) ** number
        before = Mask({name: mask[name]}) if mask is not None else None
        kept[name] = keep_top({name: score}, density, "layer", among=before, at_least=1)[name]
    return Mask(kept)
