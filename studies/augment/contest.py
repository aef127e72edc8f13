"""The contest of policies: its questions, its pictures, and the results of one search and of one final net.

A seed is a whole repetition, with its own pictures to train and to validate on, its own search and its own nets. Only
the test pictures are the same for all seeds, and nothing is chosen by them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from mini_lib.data import Split, Splits, fashion
from mini_lib.require import checked, positive, whole

# Each searched method is an arm: its policy trains the final nets.
RANDOM_SEARCH, EVOLUTION, FORWARD, TPE = "random search", "evolution", "forward selection", "Optuna TPE"
CONTROLLER = "controller, PPO"
POPULATION, DENSITY = "population-based", "density matching"
SEARCHED = (RANDOM_SEARCH, EVOLUTION, FORWARD, CONTROLLER, TPE, POPULATION, DENSITY)
# Its count and magnitude are tuned with the same compute, on the same validation pictures.
RANDAUGMENT = "RandAugment, tuned"
METHODS = (*SEARCHED, RANDAUGMENT)
WITHOUT_CHILDREN = (POPULATION, DENSITY)  # one trains whole nets, the other none: their rewards are not comparable
# Policies without a search. A random policy is drawn anew for each net; so is each of five that are joined.
NONE, AFFINE, TRIVIAL = "none", "hand-written affine", "TrivialAugment"
RANDOM, JOINED = "a random policy", "five random policies joined"
UNSEARCHED = (NONE, AFFINE, TRIVIAL, RANDOM, JOINED)
# Training also uses the validation labels, which a search spends: the same number of steps, twice the pictures.
ALL_LABELS = "all labels: "
WITH_ALL_LABELS = tuple(ALL_LABELS + arm for arm in (NONE, AFFINE, TRIVIAL, JOINED))  # and the best searched method
HALF = ", half as long"
WITH_HALF_THE_STEPS = tuple(arm + HALF for arm in (NONE, TRIVIAL, JOINED))
ARMS = (*UNSEARCHED, *METHODS, *WITH_HALF_THE_STEPS, *WITH_ALL_LABELS)


def quick_cnn(seed: int) -> nn.Module:
    """Return the untrained net of the contest: three 3x3 convolutions, the first two of stride 2, and a linear layer.

    Takes images [N, 1, 28, 28], gives logits [N, 10]. A step takes a fifth of the time that it takes with `small_cnn`.

    By hand: convolutions 9 * (8 + 8*16 + 16*32), batch norms 2 * (8 + 16 + 32), linear 32*10 + 10:

    >>> sum(weight.numel() for weight in quick_cnn(0).parameters())
    6274
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number, (inputs, outputs, stride) in enumerate(((1, 8, 2), (8, 16, 2), (16, 32, 1)), start=1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            layers |= {f"conv{number}_bn": nn.BatchNorm2d(outputs), f"conv{number}_relu": nn.ReLU()}
        layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(32, 10)}
    return nn.Sequential(layers)


@dataclass(frozen=True)
class Contest:
    """The settings that decide the results. Every method may train `trials` children for `child_steps` steps each.

    `together` children are asked for at a time. A searched policy is the `joined` best trials in one, of `sub_policies`
    each. A final net takes `final_steps` steps; there are `nets` of them for each arm and seed. `again` nets are
    further children with the winner of a search: they show how much of its reward was luck. `build(seed)` makes an
    untrained net and `load_data()` the pictures; both are functions that another process can import by name.

    The learning rate was chosen from .01 and .03, without augmentation, on pictures that no seed of the record has.

    Raises:
        TypeError, ValueError: a setting is out of range, there are no seeds, or there are not enough pictures.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    methods: tuple[str, ...] = METHODS
    train_pictures: int = 500
    validation_pictures: int = 500
    trials: int = 60
    child_steps: int = 80
    together: int = 10
    sub_policies: int = 5
    joined: int = 5
    again: int = 3
    nets: int = 2
    final_steps: int = 800
    batch_size: int = 32
    learning_rate: float = 0.03
    weight_decay: float = 0.1
    build: Callable[[int], nn.Module] = quick_cnn
    load_data: Callable[[], Splits] = fashion

    def __post_init__(self) -> None:
        for name in ("seeds", "methods"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be one or more different numbers, got {self.seeds}; (0, 1, 2) is a start")
        if not set(self.methods) <= set(METHODS) or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods must be some of {', '.join(METHODS)}, each once, got {self.methods}")
        for name in _COUNTS:
            checked(self, name, whole, low=1, fix="see the settings of the record")
        for name in ("learning_rate", "weight_decay"):
            checked(self, name, positive, fix="see the settings of the record")

    @property
    def child_pictures(self) -> int:
        """The number of pictures that one child is trained on, where each counts every time that it is seen."""
        return self.child_steps * self.batch_size

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that are trained in the end, except the last, which these decide (see `best_searched`)."""
        return tuple(arm for arm in ARMS if arm not in METHODS or arm in self.methods)


_COUNTS = (
    "train_pictures",
    "validation_pictures",
    "trials",
    "child_steps",
    "together",
    "sub_policies",
    "joined",
    "again",
    "nets",
    "final_steps",
    "batch_size",
)


def pictures_of(contest: Contest, seed: int, splits: Splits) -> Splits:
    """Return the pictures of a seed: training and validation pictures that no other seed has, and all test pictures.

    Both come from `splits.train`, in which the classes take turns.

    Raises:
        ValueError: there are not enough training pictures for this seed.

    >>> rows = Split(torch.arange(8.0).reshape(8, 1), torch.arange(8) % 2)
    >>> two = Contest(train_pictures=2, validation_pictures=1)
    >>> own = pictures_of(two, 1, Splits(rows, rows, rows))           # seed 0 has 0, 1 and 2
    >>> own.train.images.flatten(), own.validation.images.flatten(), len(own.test)
    (tensor([3., 4.]), tensor([5.]), 8)
    """
    each = contest.train_pictures + contest.validation_pictures
    first = whole("seed", seed, low=0, fix="a seed is also the place of its pictures") * each
    if first + each > len(splits.train):
        raise ValueError(
            f"seed {seed} needs pictures {first} to {first + each - 1}, and there are {len(splits.train)}; "
            f"use seeds below {len(splits.train) // each}, or fewer pictures for each"
        )
    middle = first + contest.train_pictures
    return Splits(_rows(splits.train, first, middle), _rows(splits.train, middle, first + each), splits.test)


def _rows(split: Split, first: int, end: int) -> Split:
    return Split(split.images[first:end], split.labels[first:end])


@dataclass(frozen=True)
class Search:
    """One search: its cost, its rewards, and its result.

    `policy` is used to train the final nets, and `best` is the trial with the highest reward, both as JSON. `rewards`
    are those that the method was told, trial by trial; `reward` is that of `best`. The winner was trained again as a
    child, with other seeds: `again_validation` and `again_test` are its accuracies then, and are empty for
    `WITHOUT_CHILDREN`. Trained and judged pictures count each time that they are seen.
    """

    seed: int
    method: str
    policy: str
    best: str
    rewards: tuple[float, ...]
    reward: float
    again_validation: tuple[float, ...]
    again_test: tuple[float, ...]
    trained_pictures: int
    judged_pictures: int
    seconds: float

    def __post_init__(self) -> None:
        for name in ("rewards", "again_validation", "again_test"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a file gives a list


@dataclass(frozen=True)
class Final:
    """The final nets of one arm and seed: their validation and test accuracies, one per net.

    Nets that were trained on the validation pictures have no validation accuracy.
    """

    seed: int
    arm: str
    validation: tuple[float, ...]
    test: tuple[float, ...]
    trained_pictures: int  # by each net
    seconds: float

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
