"""Density matching: a policy is judged without training a net for it, as in Fast AutoAugment.

A net is trained once, without augmentation, on one part of the training data. It then judges policies on the other
part: a policy is good if the net still recognises the pictures that the policy has changed. Augmented pictures that it
recognises lie where its training data is dense, hence the name. One judgement costs only forward passes, where a child
costs a whole training.

This measures how little a policy harms, not how much it helps: the policy that does nothing is always near the top.
Also, training data alone decides. Where validation data looks different, a net trained on augmented data may profit
from a policy that is only noise to this net (`studies/augment/judges.py`).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mini_lib import require
from mini_lib.augment.chain import Standardised
from mini_lib.augment.pictures import logits_of
from mini_lib.augment.policy import Policy
from mini_lib.augment.search.by_children import fingerprint
from mini_lib.augment.search.children import Build, ChildRecipe, train_children
from mini_lib.augment.search.run import SearchOutcome
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment, Batch, need_batch
from mini_lib.copying import need_module
from mini_lib.data import Split


class DensityMatching:
    """An `evaluate` for `run_search`: how well a net recognises pictures that a policy has changed.

    Each policy draws from a generator with the same seed, so a reward depends on the policy alone, and a search that is
    started again finds the same result. `spent` adds up the pictures that this object has judged.

    Args:
        net: trained without augmentation, on other pictures than `held_out`. A copy of it is used.
        held_out: the pictures that are changed and judged.
        wrap: turns a policy into an augmentation of `held_out`; `Standardised` for the course's standardised pictures.
        reward: "accuracy" in [0, 1], or "loss": the cross-entropy in nats with its sign changed, as in the paper.
        draws: how often each picture is changed and judged.
        seed: decides the draws of the policies.
        setup: the cost of training the net; a search adds it to its own.

    Raises:
        TypeError: `net` is not a module, `held_out` is not a `Split`, or a number is not one.
        ValueError: `reward` is another word, or `draws` is below 1.

    Source: S. Lim et al., "Fast AutoAugment", 2019, section 3.
    """

    def __init__(
        self,
        net: nn.Module,
        held_out: Split,
        *,
        wrap: Callable[[Augment], Augment] = Standardised,
        reward: Literal["accuracy", "loss"] = "accuracy",
        draws: int = 1,
        seed: int = 0,
        setup: Spent = Spent(),  # noqa: B008 - it is frozen
    ) -> None:
        need_module(net)
        require.callable_(
            "wrap", wrap, fix="it turns a policy into an augmentation of the pictures, such as Standardised"
        )
        require.of_type("setup", setup, Spent, fix="use Spent()")
        if not isinstance(held_out, Split):
            raise TypeError(f"held_out must be a data.Split, got {type(held_out).__name__}; take one of `folds(...)`")
        require.one_of("reward", reward, ("accuracy", "loss"), fix="'loss' also sees how sure the net is")
        draws = require.whole(
            "draws", draws, low=1, fix="more draws make a reward less noisy, and cost more in proportion"
        )
        seed = require.whole("seed", seed, low=0, fix="any whole number will do")
        # never switched back: threads that judge at the same time would switch each other's mode
        self.net = copy.deepcopy(net).eval()
        self.held_out, self.wrap, self.reward, self.draws, self.seed = held_out, wrap, reward, draws, seed
        self.spent, self.setup = Spent(), setup

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide the rewards, as plain values; net and pictures by a hash of their numbers."""
        return {
            "net": fingerprint(self.net.state_dict()),
            "held_out": fingerprint(vars(self.held_out)),
            "wrap": getattr(self.wrap, "__qualname__", type(self.wrap).__qualname__),
            "reward": self.reward,
            "draws": self.draws,
            "seed": self.seed,
        }

    def __call__(self, policies: Sequence[Augment]) -> list[float]:
        """Return one reward per policy."""
        require.of_type("policies", policies, (list, tuple), fix="give a list of policies")
        return [self._judge(self.wrap(policy)) for policy in policies]

    def _judge(self, augment: Augment) -> float:
        generator = torch.Generator().manual_seed(self.seed)
        rewards = []
        for _ in range(self.draws):
            changed = need_batch(augment(Batch(self.held_out.images, self.held_out.labels), generator))
            logits = logits_of(self.net, changed.images)
            self.spent += Spent(judged_pictures=len(logits))
            rewards.append(self._reward(logits, changed))
        return sum(rewards) / self.draws

    def _reward(self, logits: Tensor, changed: Batch) -> float:
        if self.reward == "loss":
            return -F.cross_entropy(logits, changed.labels).item()
        return (logits.argmax(dim=1) == changed.main_labels).double().mean().item()


@dataclass(frozen=True)
class Matched:
    """The policy that density matching has found, and its cost: of training the nets, and of judging with them."""

    policy: Policy
    spent: Spent


def fast_autoaugment(
    build: Build,
    train: Split,
    search: Callable[[DensityMatching, int], SearchOutcome],
    *,
    recipe: ChildRecipe,
    seed: int,
    count: int = 5,
    top: int = 10,
    wrap: Callable[[Augment], Augment] = Standardised,
    reward: Literal["accuracy", "loss"] = "loss",
    draws: int = 1,
) -> Matched:
    """Return the best policies of each fold joined into one; it takes no validation data, and one training per fold.

    For each of `count` folds, a net is trained by `recipe`, without augmentation, on the other folds, and judges the
    policies that `search(evaluate, fold)` tries. The sub-policies of the `top` best of each fold are joined:

        def search(evaluate, fold):
            return run_search(RandomSearch(space, seed=fold), evaluate, trials=200)

    Raises:
        TypeError: a number is not a whole number, or `train` is not a `Split`.
        ValueError: a number is too small, or there are fewer pictures of a class than folds.

    Source: S. Lim et al., "Fast AutoAugment", 2019, section 3 and algorithm 1.
    """
    require.callable_("search", search, fix="pass a function (evaluate, fold) -> SearchOutcome")
    seed = require.whole("seed", seed, low=0, fix="any whole number will do")
    top = require.whole("top", top, low=1, fix="the paper has 10")
    joined, spent = [], Spent()
    for fold, (learned, judged) in enumerate(folds(train, count, seed=seed)):
        (child,) = train_children(build, [None], learned, judged, recipe, [seed + fold])
        evaluate = DensityMatching(
            child.model, judged, wrap=wrap, reward=reward, draws=draws, seed=seed, setup=child.spent
        )
        outcome = require.of_type("an outcome", search(evaluate, fold), SearchOutcome, fix="return that of run_search")
        joined += outcome.joined(min(top, len(outcome.trials))).sub_policies
        spent += outcome.spent
    return Matched(Policy(joined), spent)


def folds(split: Split, count: int, *, seed: int) -> Iterator[tuple[Split, Split]]:
    """Yield `count` pairs (part to learn, part to judge), which together make up `split`, with equal shares of classes.

    Every picture is judged in exactly one of the pairs.

    Raises:
        TypeError: `count` is not a whole number, or `split` is not a `Split`.
        ValueError: the count is below 2, or larger than the smallest class.

    >>> six = Split(torch.zeros(6, 1), torch.tensor([0, 0, 0, 1, 1, 1]))
    >>> [(len(learned), judged.labels.tolist()) for learned, judged in folds(six, 3, seed=0)]
    [(4, [0, 1]), (4, [0, 1]), (4, [0, 1])]
    """
    count = require.whole("count", count, low=2, fix="one part judges, the others are learned; the paper has 5")
    seed = require.whole("seed", seed, low=0, fix="any whole number will do")
    if not isinstance(split, Split):
        raise TypeError(f"folds are made of a data.Split, got {type(split).__name__}; use data.Split(images, labels)")
    smallest = int(split.labels.unique(return_counts=True)[1].min())
    if count > smallest:
        raise ValueError(f"{count} folds need {count} pictures of each class, got {smallest} of one; use fewer folds")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    by_class = order[split.labels[order].argsort(stable=True)]
    fold_of = torch.empty(len(split), dtype=torch.int64)
    fold_of[by_class] = torch.arange(len(split)) % count  # the pictures, sorted by class, are dealt out in turn
    for fold in range(count):
        yield _where(split, fold_of != fold), _where(split, fold_of == fold)


def _where(split: Split, keep: Tensor) -> Split:
    return Split(split.images[keep], split.labels[keep])
