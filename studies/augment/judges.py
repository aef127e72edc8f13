"""Why density matching fails where its target data looks different: one policy, judged in four ways.

A policy T should make training pictures look like the pictures to come. Four ways to judge it without those:

- *matched*, as in Fast AutoAugment: a net of plain training pictures judges T(other training pictures). It asks whether
  T stays inside the training data. A policy that leaves it, as it must where validation pictures lie outside, is
  penalised by the net's failure on such pictures: T(training) and validation look alike to it.
- *undone*: the same net judges T(validation pictures). It asks whether T makes them look like training pictures, which
  finds the inverse of their change, if there is one. A turn by a random angle has none.
- *backwards*: a net of plain validation pictures judges T(training pictures). It asks whether T stays inside the
  validation data. That holds for the right policy, but also for the policy that does nothing, if validation pictures
  are more varied than training pictures.
- *child*: a net of T(training pictures) judges plain validation pictures. It asks whether the validation data lies
  inside T(training). Only this one answers our question, and only this one takes a training per policy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import spearmanr

from mini_lib.augment.chain import Standardised
from mini_lib.augment.search.children import Build, ChildRecipe, train_children
from mini_lib.augment.search.density_matching import DensityMatching, folds
from mini_lib.augment.search.spent import Spent
from mini_lib.batch import Augment
from mini_lib.columns import aligned
from mini_lib.data import Splits
from mini_lib.fit import accuracy

WAYS = ("matched", "undone", "backwards", "child")


@dataclass(frozen=True)
class Judgement:
    """One policy: its reward in each of the four ways, and the test accuracy of its child; all in [0, 1]."""

    name: str
    matched: float
    undone: float
    backwards: float
    child: float
    test: float


@dataclass(frozen=True)
class Judges:
    """Policies as four judges see them, and the accuracies of the net of plain training pictures.

    `upright` is the accuracy on other training pictures, `shifted` the accuracy on validation pictures. `spent` holds
    the cost of each way, for all policies together.
    """

    rows: tuple[Judgement, ...]
    upright: float
    shifted: float
    spent: Mapping[str, Spent]

    def choice(self, way: str) -> Judgement:
        """Return the policy with the highest reward in one of the `WAYS`; of equal policies the first."""
        return max(self.rows, key=lambda row: getattr(row, way))

    def correlation(self, way: str) -> float:
        """Return Spearman's rank correlation of the rewards with test accuracy, from -1 to 1."""
        rewards = [getattr(row, way) for row in self.rows]
        return float(spearmanr(rewards, [row.test for row in self.rows]).statistic)

    def __str__(self) -> str:
        """A line per policy, the best on test data first; then the choice of each way, and its cost."""
        percent = lambda share: f"{100 * share:.1f}"  # noqa: E731
        lines = [["accuracy in %", *WAYS, "test"]]
        for row in sorted(self.rows, key=lambda row: -row.test):
            lines.append([row.name, *(percent(getattr(row, way)) for way in WAYS), percent(row.test)])
        lines += [
            ["its choice, on test data", *(percent(self.choice(way).test) for way in WAYS), ""],
            ["rank correlation with it", *(f"{self.correlation(way):+.2f}" for way in WAYS), ""],
        ]
        return aligned(lines)


def judge_policies(
    policies: Mapping[str, Augment],
    splits: Splits,
    *,
    build: Build,
    recipe: ChildRecipe,
    seed: int = 0,
    together: int = 8,
    wrap: Callable[[Augment], Augment] = Standardised,
    progress: Callable[[int], None] | None = None,
) -> Judges:
    """Return each policy's reward from four judges, and its child's test accuracy, which chooses nothing.

    The nets that judge and all children learn one half of `splits.train`; the policies change the other half for the
    first and the third judge.

    Args:
        policies: by name.
        splits: upright training pictures, and validation and test pictures that differ from them in the same way.
        build: makes an untrained net from a seed.
        recipe: for every net.
        seed: for weights, pictures and policies.
        together: how many children are trained as one.
        wrap: turns a policy into an augmentation of the pictures.
        progress: called with the number of policies done.

    Raises:
        ValueError: there are fewer than two policies, or a net cannot be trained (see `train_children`).
    """
    if len(policies) < 2:
        raise ValueError(f"judges need at least two policies to rank, got {len(policies)}; give some by name")
    learned, other = next(folds(splits.train, 2, seed=seed))
    (plain,) = train_children(build, [None], learned, splits.validation, recipe, [seed])
    (shifted,) = train_children(build, [None], splits.validation, learned, recipe, [seed])
    judges = {
        "matched": DensityMatching(plain.model, other, wrap=wrap, seed=seed),
        "undone": DensityMatching(plain.model, splits.validation, wrap=wrap, seed=seed),
        "backwards": DensityMatching(shifted.model, other, wrap=wrap, seed=seed),
    }
    columns = {way: rewards_of(list(policies.values())) for way, rewards_of in judges.items()}
    spent = {way: judges[way].spent + net.spent for way, net in zip(judges, (plain, plain, shifted))}
    columns |= {"child": [], "test": []}
    spent["child"] = Spent()
    for group in _groups(list(policies.values()), together):
        augments = [wrap(policy) for policy in group]
        for child in train_children(build, augments, learned, splits.validation, recipe, [seed] * len(group)):
            columns["child"].append(child.validation_accuracy)
            columns["test"].append(accuracy(child.model, splits.test))
            spent["child"] += child.spent
        if progress is not None:
            progress(len(columns["child"]))
    rows = tuple(Judgement(name, *values) for name, *values in zip(policies, *columns.values()))
    return Judges(rows, accuracy(plain.model, other), plain.validation_accuracy, spent)


def _groups(policies: Sequence[Augment], size: int) -> list[Sequence[Augment]]:
    return [policies[first : first + size] for first in range(0, len(policies), size)]
