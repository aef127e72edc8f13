"""Judging a policy by children: the validation accuracy of small nets that are trained with it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from torch import Tensor

from mini_lib import require
from mini_lib.augment.chain import Standardised
from mini_lib.augment.search.children import Build, Child, ChildRecipe, train_children
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment
from mini_lib.data import Split


class ByChildren:
    """An `evaluate` for `run_search`: trains children with policies, and rewards each by their validation accuracy.

    The children of one call are one grouped model. The children of all policies have the same seeds, so the same
    initial weights and order of pictures: all policies share the same luck. `spent` adds up the pictures that were
    trained on and judged.

    Args:
        build: makes an untrained net from a seed, such as `child_cnn`.
        train, validation: the data that children learn from, and the data that they are judged by. The test data is for
            the end.
        recipe: how a child is trained.
        seeds: one child for each policy and seed; the reward is their mean.
        start: a child whose weights all children start from; its training is counted in `setup`.
        wrap: turns a policy into an augmentation of the pictures; `Standardised` for the course's standardised
            pictures.

    Raises:
        TypeError: a split, the recipe or the start is not of its type, a seed is not a whole number, or a function
            cannot be called.
        ValueError: there is no seed, or there are several with a recipe that stops children: it would compare children
            of different seeds.

    Source: E. Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", 2019, section 3.
    """

    def __init__(
        self,
        build: Build,
        train: Split,
        validation: Split,
        recipe: ChildRecipe,
        *,
        seeds: Sequence[int] = (0,),
        start: Child | None = None,
        wrap: Callable[[Augment], Augment] = Standardised,
    ) -> None:
        require.callable_("build", build, fix="pass a function that makes a net from a seed, such as child_cnn")
        require.callable_(
            "wrap", wrap, fix="it turns a policy into an augmentation of the pictures, such as Standardised"
        )
        for name, split in {"train": train, "validation": validation}.items():
            require.of_type(name, split, Split, fix="use data.Split(images, labels)")
        require.of_type("recipe", recipe, ChildRecipe, fix="use ChildRecipe(steps=80)")
        require.of_type("seeds", seeds, (list, tuple, range), fix="(0,) trains one child for each policy")
        seeds = [require.whole("a seed", seed, fix="any whole number will do") for seed in seeds]
        if start is not None:
            require.of_type("start", start, Child, fix="train one with train_children")
        if not seeds or (len(seeds) > 1 and recipe.halve_at):
            raise ValueError(
                f"children need one seed, or several and a recipe that lets all finish, got seeds {tuple(seeds)} and "
                f"halve_at {recipe.halve_at}; use halve_at=()"
            )
        self.build, self.train, self.validation, self.recipe = build, train, validation, recipe
        self.seeds, self.start, self.wrap = tuple(seeds), start, wrap
        self.setup = Spent() if start is None else start.spent
        self.spent = Spent()

    def __call__(self, policies: Sequence[Augment]) -> list[float]:
        """Return one reward per policy, in [0, 1]."""
        require.of_type("policies", policies, (list, tuple), fix="give a list of policies")
        children = train_children(
            self.build,
            [self.wrap(policy) for policy in policies for _ in self.seeds],
            self.train,
            self.validation,
            self.recipe,
            [*self.seeds] * len(policies),
            start=None if self.start is None else self.start.weights,
        )
        self.spent = sum((child.spent for child in children), self.spent)
        each = len(self.seeds)
        accuracies = [child.validation_accuracy for child in children]
        return [sum(accuracies[first : first + each]) / each for first in range(0, len(accuracies), each)]

    @property
    def settings(self) -> dict[str, object]:
        """The settings that decide the rewards, as plain values; nets and pictures by a hash of their numbers."""
        return {
            **{f"recipe.{name}": value for name, value in asdict(self.recipe).items()},
            "seeds": self.seeds,
            "net": fingerprint(self.build(self.seeds[0]).state_dict() if self.start is None else self.start.weights),
            "train": fingerprint(vars(self.train)),
            "validation": fingerprint(vars(self.validation)),
            "wrap": getattr(self.wrap, "__qualname__", type(self.wrap).__qualname__),
        }


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return 16 hexadecimal digits that almost certainly differ for other tensors, or the same under other names."""
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
