"""Children: small nets, each trained for a short while with its own augmentation, to judge the augmentation.

All children of a call are one grouped model (`mini_lib.stacked`): a step trains all of them, and takes less time than
one step for each. Poor children can be stopped early: at each step number in `halve_at`, only the better half
continues.
"""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib import require
from mini_lib.augment.search.grouped import need_one_group
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment, Batch, need_batch
from mini_lib.data import Split
from mini_lib.stacked import Stack, accuracies_together, losses_together, stack, unstack

_BUILDING = threading.Lock()  # `build` may seed torch's global random state for a moment, which threads share
Build = Callable[[int], nn.Module]
State = Mapping[str, Tensor]  # the tensors of a net, as in its `state_dict()`


@dataclass(frozen=True)
class ChildRecipe:
    """How every child is trained: AdamW, whose rate climbs in a straight line over the first three tenths of the steps
    and falls to nearly zero after.

    `halve_at`: after each of these numbers of steps, the better half of the children still in training continues (of an
    odd number, the smaller half), judged on validation data. `batches_at_once`: the number of batches augmented by one
    call, which takes less time than one call for each. This changes nothing for an augmentation whose pictures draw for
    themselves, but leave it at 1 for one that counts its batches, such as a `Schedule`.

    Raises:
        TypeError: a setting is not a number.
        ValueError: a count is below 1, the rate is not positive, the weight decay is negative, or `halve_at` is not
            rising and below `steps`.

    >>> recipe = ChildRecipe(steps=10, learning_rate=0.3)
    >>> [round(recipe.rate_at(step), 2) for step in (0, 2, 3, 9)]                     # up by .1, down by .3 / 7
    [0.1, 0.3, 0.3, 0.04]
    """

    steps: int = 80
    batch_size: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.1
    halve_at: tuple[int, ...] = ()
    batches_at_once: int = 1

    def __post_init__(self) -> None:
        require.checked(self, "steps", require.whole, low=1, fix="80 steps tell a good policy from a bad one")
        require.checked(self, "batch_size", require.whole, low=1, fix="64 is a good start")
        require.checked(self, "learning_rate", require.positive, fix="0.01 is a good start")
        require.checked(self, "weight_decay", require.not_negative, fix="0 leaves it out")
        require.checked(self, "batches_at_once", require.whole, low=1, fix="8 saves most of the time that can be saved")
        require.of_type("halve_at", self.halve_at, (list, tuple), fix="() lets all children finish")
        steps = (
            require.whole("a step of halve_at", step, low=1, high=self.steps - 1, fix="() lets all children finish")
            for step in self.halve_at
        )
        object.__setattr__(self, "halve_at", tuple(steps))
        if list(self.halve_at) != sorted(set(self.halve_at)):
            raise ValueError(f"halve_at must rise, got {self.halve_at}; give each step once, the first one first")

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        Raises:
            TypeError, ValueError: there is no such step.
        """
        step = require.whole("step", step, low=0, high=self.steps - 1, fix="steps are counted from 0")
        climbs = max(1, round(0.3 * self.steps))
        return self.learning_rate * min((step + 1) / climbs, (self.steps - step) / max(1, self.steps - climbs))


@dataclass(frozen=True, eq=False)
class Child:
    """A trained child, in evaluation mode, and its cost: `steps`, fewer than the recipe's if it was stopped early.

    `validation_accuracy`, in [0, 1], is measured after its last step.
    """

    model: nn.Module
    validation_accuracy: float
    steps: int
    spent: Spent

    @property
    def weights(self) -> dict[str, Tensor]:
        """The net's tensors by name, to start another child from."""
        return dict(self.model.state_dict())


def train_children(
    build: Build,
    augments: Sequence[Augment | None],
    train: Split,
    validation: Split,
    recipe: ChildRecipe,
    seeds: Sequence[int],
    *,
    start: State | Sequence[State] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Child]:
    """Train one child for each augmentation, all in the same steps, and return them in order.

    Child i is `build(seeds[i])`, sees the training pictures in the order of its seed, and its augmentation draws by the
    same seed: children with the same seed differ only in their augmentation. None augments nothing. A child is the same
    as if it had been trained alone, up to the rounding of sums, unless `recipe.halve_at` stops it.

    `start` holds weights to begin with, one set for all (a shared start, trained once, saves each child's first steps)
    or one for each; the cost of training them is not in `Child.spent`. `progress(step)` is called after each step.

    Raises:
        TypeError: a split is not a `Split`, the recipe is not a `ChildRecipe`, a seed is not a whole number, or an
            augmentation cannot be called or does not return a `Batch`.
        ValueError: there are no children, or not as many seeds or starts as augmentations; a net cannot be grouped (it
            draws by itself, or its output in a group differs from its output alone) or has too few classes; an
            augmentation changes the number of pictures; or a loss is not finite.
    """
    seeds = _check(build, augments, train, validation, recipe, seeds, start)
    if progress is not None:
        require.callable_("progress", progress, fix="pass a function of a step, or None")
    with _BUILDING:
        nets = [build(seed) for seed in seeds]
    if start is not None:
        starts = [start] * len(nets) if isinstance(start, Mapping) else start
        nets = [_started(net, own) for net, own in zip(nets, starts)]
    need_one_group(nets, train, validation)
    group = _Group(nets[0], nets, recipe)
    feeds = [_Feed(augment, train, recipe, seed) for augment, seed in zip(augments, seeds)]
    accuracies, judged, trained = [0.0] * len(nets), [0] * len(nets), [0] * len(nets)
    alive, done = list(range(len(nets))), 0
    for end in (*recipe.halve_at, recipe.steps):
        for step in range(done, end):
            group.step(step, [feeds[child].batch(step) for child in alive])
            if progress is not None:
                progress(step + 1)
        done = end
        for child, accuracy in zip(alive, group.accuracies(validation)):
            accuracies[child], trained[child] = accuracy, end
            judged[child] += len(validation)
        if end < recipe.steps and len(alive) > 1:
            best = sorted(range(len(alive)), key=lambda place: -accuracies[alive[place]])[: len(alive) // 2]
            stay = sorted(best)
            for place in set(range(len(alive))) - set(stay):
                group.give_to(nets[alive[place]], place)
            group.keep(stay)
            alive = [alive[place] for place in stay]
    for place, child in enumerate(alive):
        group.give_to(nets[child], place)
    return [
        Child(net.eval(), accuracies[i], trained[i], Spent(trained[i] * recipe.batch_size, judged[i]))
        for i, net in enumerate(nets)
    ]


class _Group:
    """The children still in training, stacked, with their optimizer."""

    def __init__(self, shape: nn.Module, nets: Sequence[nn.Module], recipe: ChildRecipe) -> None:
        self.recipe = recipe
        self.shape = copy.deepcopy(shape).train()
        self.stacked: Stack = stack([net.state_dict() for net in nets])
        self.trainable = [name for name, weight in self.shape.named_parameters() if weight.requires_grad]
        self._optimize()

    def _optimize(self) -> None:
        weights = [self.stacked[name].requires_grad_() for name in self.trainable]
        self.optimizer = torch.optim.AdamW(
            weights, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay, fused=True
        )

    def step(self, step: int, batches: Sequence[Batch]) -> None:
        """Train each child by one step on a batch of its own."""
        images = torch.stack([batch.images for batch in batches])
        losses = losses_together(self.shape, self.stacked, images, _labels_together(batches))
        if not losses.isfinite().all():
            raise ValueError(
                f"the loss of child {int((~losses.isfinite()).nonzero()[0])} is not finite at step {step}; check the "
                f"images for values that are not finite, or lower learning_rate ({self.recipe.learning_rate:g})"
            )
        self.optimizer.param_groups[0]["lr"] = self.recipe.rate_at(step)
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()

    def accuracies(self, split: Split) -> list[float]:
        return accuracies_together(self.shape, self.stacked, split)

    def give_to(self, net: nn.Module, place: int) -> None:
        """Write the weights of the child at this place into `net`."""
        net.load_state_dict(unstack(self.stacked, place))

    def keep(self, places: Sequence[int]) -> None:
        """Continue with these children only; each keeps the state of its optimizer."""
        memory = [self.optimizer.state[self.stacked[name]] for name in self.trainable]
        self.stacked = {name: tensor.detach()[places] for name, tensor in self.stacked.items()}
        self._optimize()
        for name, remembered in zip(self.trainable, memory):
            self.optimizer.state[self.stacked[name]] = {
                key: value if value.ndim == 0 else value[places] for key, value in remembered.items()
            }


class _Feed:
    """The batches of one child: pictures in a random order, epoch after epoch, augmented a few batches at once."""

    def __init__(self, augment: Augment | None, train: Split, recipe: ChildRecipe, seed: int) -> None:
        self.augment, self.train, self.recipe = augment, train, recipe
        order = torch.Generator().manual_seed(seed)
        # However much an augmentation draws, it does not change the order of the pictures.
        self.chance = torch.Generator().manual_seed(int(torch.randint(2**31, (1,), generator=order)))
        wanted = recipe.steps * recipe.batch_size
        epochs = [torch.randperm(len(train), generator=order) for _ in range(-(-wanted // len(train)))]
        self.order = torch.cat(epochs)[:wanted]
        self.first, self.ready = 0, None  # the step at which the augmented pictures begin, and the pictures

    def batch(self, step: int) -> Batch:
        size = self.recipe.batch_size
        if self.ready is None or step >= self.first + self.recipe.batches_at_once:
            rows = self.order[step * size : (step + self.recipe.batches_at_once) * size]
            batch = Batch(self.train.images[rows], self.train.labels[rows])
            self.first = step
            self.ready = batch if self.augment is None else _as_before(self.augment(batch, self.chance), batch)
        here = slice((step - self.first) * size, (step - self.first + 1) * size)
        return Batch(self.ready.images[here], self.ready.labels[here])


def _labels_together(batches: Sequence[Batch]) -> Tensor:
    """The labels of each child's batch; if one child has shares of classes, all of them get shares."""
    soft = [batch.labels.shape[1] for batch in batches if batch.labels.ndim == 2]
    if len(set(soft)) > 1:
        raise ValueError(
            f"children are grouped, and their labels are shares of {soft} classes; give all the same number"
        )
    if soft and len(soft) < len(batches):
        return torch.stack(
            [batch.labels if batch.labels.ndim == 2 else F.one_hot(batch.labels, soft[0]).float() for batch in batches]
        )
    return torch.stack([batch.labels for batch in batches])


def _as_before(augmented: object, batch: Batch) -> Batch:
    augmented = need_batch(augmented)
    if augmented.images.shape != batch.images.shape or augmented.images.dtype != batch.images.dtype:
        raise ValueError(
            f"augment must keep shape and dtype of its pictures, made {list(augmented.images.shape)} "
            f"{augmented.images.dtype} of {list(batch.images.shape)} {batch.images.dtype}"
        )
    return augmented


def _started(net: nn.Module, start: State) -> nn.Module:
    try:
        net.load_state_dict(dict(start))
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"start does not fit the net that `build` makes: {error}") from error
    return net


def _check(
    build: Build,
    augments: Sequence[Augment | None],
    train: Split,
    validation: Split,
    recipe: ChildRecipe,
    seeds: Sequence[int],
    start: State | Sequence[State] | None,
) -> list[int]:
    """Return the seeds as plain numbers, after checking all arguments."""
    require.callable_("build", build, fix="pass a function that makes an untrained net from a seed, such as child_cnn")
    starts = {} if start is None or isinstance(start, Mapping) else {"start": start}
    for name, value in {"augments": augments, "seeds": seeds, **starts}.items():
        require.of_type(name, value, (list, tuple, range), fix="give one for each child")
    for name, split in (("train", train), ("validation", validation)):
        if not isinstance(split, Split):
            raise TypeError(f"{name} must be a data.Split, got {type(split).__name__}; use data.Split(images, labels)")
    starts = len(augments) if start is None or isinstance(start, Mapping) else len(start)
    if not augments or not len(augments) == len(seeds) == starts:
        raise ValueError(
            f"each child needs an augmentation (or None), a seed, and a start if there are several, got "
            f"{len(augments)}, {len(seeds)} and {starts}; give as many of each"
        )
    if not isinstance(recipe, ChildRecipe):
        raise TypeError(f"recipe must be a ChildRecipe, got {type(recipe).__name__}; use ChildRecipe(steps=80)")
    for augment in augments:
        if augment is not None and not callable(augment):
            raise TypeError(
                f"augment must be a function (batch, generator) -> batch, got {augment!r}; None leaves it out"
            )
    return [require.whole("a seed", seed, fix="any whole number will do") for seed in seeds]
