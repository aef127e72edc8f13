"""The results of the contest, as shipped, and their tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from mini_lib import _assets
from mini_lib.augment.policy import policy_from_json
from mini_lib.columns import aligned
from mini_lib.fit import Spread
from studies.augment.contest import ALL_LABELS, POPULATION, RANDAUGMENT, WITHOUT_CHILDREN, Final, Search
from studies.factorize.record import percent, points
from studies.paired import Paired, holm, paired
from studies.parts import read_record

RECORD_FILE = Path(__file__).parents[1] / "records" / "policies.json"
RECORD_SHA256 = "9eef4490c98597b80e305a60f40e8faa2a368b3ba62e05d21f67a4dd1a37ec1c"
HOW_TO_GET_IT = (
    "run `git restore studies/records/policies.json` in the course's folder, "
    "or regenerate it with `python tools/policy_study.py --record DIR`"
)
Which = Literal["validation", "test"]


@dataclass(frozen=True)
class Results:
    """The searches and the final nets of a contest, and the settings and the machine of the run."""

    searches: tuple[Search, ...]
    finals: tuple[Final, ...]
    settings: dict[str, object]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that were trained in the end, in the order of the contest."""
        return tuple(dict.fromkeys(one.arm for one in self.finals))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that searched, in the order of the contest."""
        return tuple(dict.fromkeys(one.method for one in self.searches))


def accuracies(results: Results, arm: str, which: Which = "test") -> dict[int, float]:
    """Return the accuracy of an arm for each seed, mean over its nets.

    Raises:
        ValueError: there is no such arm, or it was trained on the validation pictures.
    """
    found = {one.seed: fmean(getattr(one, which)) for one in results.finals if one.arm == arm and getattr(one, which)}
    if not found and arm in results.arms:
        raise ValueError(f"{arm!r} has no validation accuracy, since it was trained on those pictures; ask for test")
    if not found:
        raise ValueError(f"no nets were trained with {arm!r}; there are {', '.join(results.arms)}")
    return dict(sorted(found.items()))


def spread(results: Results, arm: str, which: Which = "test") -> Spread:
    """Return the accuracy of an arm over the seeds.

    Raises:
        ValueError: there is no such arm.
    """
    return Spread(tuple(accuracies(results, arm, which).values()))


def gain(results: Results, arm: str, over: str, which: Which = "test") -> Paired:
    """Return by how much an arm is more accurate than another, seed by seed, as shares.

    Raises:
        ValueError: there is no such arm, or the two have different seeds or only one seed.
    """
    return paired(accuracies(results, arm, which), accuracies(results, over, which))


def accuracy_table(results: Results, arms: Sequence[str] = ()) -> str:
    """Return arms as rows, the best on test data first: accuracies in percent, mean and standard deviation over seeds.

    The last column is how far validation accuracy is too optimistic. The default is all arms.
    """
    ranked = sorted(arms or results.arms, key=lambda arm: -spread(results, arm).mean)
    lines = [["", "validation", "test", "validation less test"]]
    for arm in ranked:
        test = accuracies(results, arm)
        validation, too_much = "-", "-"
        if not arm.startswith(ALL_LABELS):
            seen = accuracies(results, arm, "validation")
            validation = percent(list(seen.values()))
            too_much = points(Spread(tuple(seen[seed] - test[seed] for seed in seen)))
        lines.append([arm, validation, percent(list(test.values())), too_much])
    return aligned(lines)


def gain_table(results: Results, over: str, arms: Sequence[str] = ()) -> str:
    """Return by how many points of test accuracy arms differ from `over`, with 95 % interval and permutation test.

    The last column is corrected by Holm's method for as many comparisons as the table has rows. The default is all
    arms, the best first.
    """
    gains = {arm: gain(results, arm, over) for arm in arms or results.arms if arm != over}
    ranked = sorted(gains, key=lambda arm: -gains[arm].mean)
    corrected = holm([gains[arm].p_value for arm in ranked])
    lines = [["", "points", "95 % interval", "seeds better", "p", f"p of {len(ranked)}"]]
    for arm, p in zip(ranked, corrected):
        low, high = (100 * end for end in gains[arm].interval())
        better = sum(difference > 0 for difference in gains[arm].differences)
        lines.append(
            [
                arm,
                f"{100 * gains[arm].mean:+.1f}",
                f"{low:+.1f} to {high:+.1f}",
                f"{better} of {len(gains[arm].differences)}",
                f"{gains[arm].p_value:.3f}",
                f"{p:.3f}",
            ]
        )
    return aligned(lines)


def cost_table(results: Results) -> str:
    """Return the cost of one search of each method, mean over the seeds: trials, pictures in thousands, seconds."""
    lines = [["", "trials", "thousands trained on", "thousands judged", "seconds"]]
    for method in results.methods:
        own = _searches(results, method)
        values = (
            [len(one.rewards) for one in own],
            [one.trained_pictures / 1000 for one in own],
            [one.judged_pictures / 1000 for one in own],
            [one.seconds for one in own],
        )
        lines.append([method, *(f"{fmean(value):,.0f}" for value in values)])
    return aligned(lines)


def luck_table(results: Results) -> str:
    """Return the reward of the winner of each search, and its accuracies when it is trained again, in percent.

    The reward is the validation accuracy that made it the winner. When it is trained again as a child with other seeds,
    its validation accuracy differs: the difference was luck in training. Its test accuracy is on pictures that no
    search has seen. The first column is the mean of all trials of the search. Methods that train no children are left
    out.
    """
    lines = [["", "all trials", "reward of the winner", "again, validation", "luck, points", "again, test"]]
    for method in (one for one in results.methods if one not in WITHOUT_CHILDREN):
        own = _searches(results, method)
        lines.append(
            [
                method,
                percent([fmean(one.rewards) for one in own]),
                percent([one.reward for one in own]),
                percent([fmean(one.again_validation) for one in own]),
                points(Spread(tuple(luck(one) for one in own))),
                percent([fmean(one.again_test) for one in own]),
            ]
        )
    return aligned(lines)


def luck(search: Search) -> float:
    """Return by how much the winner's reward exceeds its validation accuracy when it is trained again, as a share."""
    return search.reward - fmean(search.again_validation)


def winner_text(search: Search) -> str:
    """Return the winner of a search as text: its steps as a table, one table for each part of a schedule."""
    if search.method == RANDAUGMENT:
        return ", ".join(f"{name} {value}" for name, value in json.loads(search.best).items())
    parts = json.loads(search.best) if search.method == POPULATION else [json.loads(search.best)]
    return "\n\n".join(str(policy_from_json(json.dumps(part))) for part in parts)


def best_so_far(results: Results, method: str) -> tuple[Spread, ...]:
    """Return the highest reward that a method had been told after each trial, over the seeds.

    Raises:
        ValueError: the method did not search.
    """
    own = _searches(results, method)
    counts = range(1, min(len(one.rewards) for one in own) + 1)
    return tuple(Spread(tuple(max(one.rewards[:count]) for one in own)) for count in counts)


def to_json(results: Results) -> str:
    """Return the results as text that `from_json` reads."""
    return json.dumps(asdict(results), indent=0)


def from_json(text: str) -> Results:
    """Return the results that `to_json` wrote.

    Raises:
        ValueError: the text holds no results.
    """
    return read_record(text, _study_of, "contest", HOW_TO_GET_IT)


def _study_of(values: Any) -> Results:
    return Results(
        searches=tuple(Search(**one) for one in values["searches"]),
        finals=tuple(Final(**one) for one in values["finals"]),
        settings=values["settings"],
    )


def recorded(path: Path = RECORD_FILE) -> Results:
    """Return the shipped contest.

    Raises:
        ValueError: its file is missing or damaged.
    """
    return from_json(_assets.read_verified(path, RECORD_SHA256, HOW_TO_GET_IT).decode())


def _searches(results: Results, method: str) -> list[Search]:
    found = sorted((one for one in results.searches if one.method == method), key=lambda one: one.seed)
    if not found:
        raise ValueError(f"{method!r} did not search; those that did are {', '.join(results.methods)}")
    return found
