"""The results of the recorded study, as shipped, and their tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mini_lib import _assets
from mini_lib.columns import aligned
from mini_lib.fit import Spread
from studies.bits.study import Run
from studies.factorize.record import percent, points
from studies.parts import read_record

RECORD_FILE = Path(__file__).parents[1] / "records" / "bits.json"
RECORD_SHA256 = "ba9cfc845e5720fae992d678718001a08c08285260b404124c10068ad1f53cdc"
HOW_TO_GET_IT = (
    "run `git restore studies/records/bits.json` in the course's folder, "
    "or regenerate it with `python tools/bits_study.py --record DIR`"
)
Which = Literal["validation", "test"]


@dataclass(frozen=True)
class Study:
    """The parts of the study.

    `teachers` holds the ensembles themselves, one per seed; `few_bits` holds the runs of `run_width`, and `students`
    those of `run_students` by the number of their labelled pictures. `settings` says how everything was made, and on
    what machine.
    """

    teachers: tuple[Run, ...]
    few_bits: tuple[Run, ...]
    students: dict[str, tuple[Run, ...]]
    settings: dict[str, object]


def spread(runs: Sequence[Run], width: str, arm: str, which: Which = "test") -> Spread:
    """Return the accuracy of an arm at a width over the seeds.

    Raises:
        ValueError: there is no such run.
    """
    return Spread(tuple(getattr(run, which) for run in _find(runs, width, arm)))


def gain(runs: Sequence[Run], width: str, arm: str, over: str, which: Which = "test") -> Spread:
    """Return by how much an arm is more accurate than another of the same width, seed by seed, as shares.

    Raises:
        ValueError: there is no such run, or the two have different seeds.
    """
    these, those = _find(runs, width, arm), _find(runs, width, over)
    if [run.seed for run in these] != [run.seed for run in those]:
        raise ValueError(f"{arm!r} and {over!r} at width {width!r} were run with different seeds; run the missing ones")
    return Spread(tuple(getattr(one, which) - getattr(other, which) for one, other in zip(these, those)))


def best_arm(runs: Sequence[Run], width: str, arms: Sequence[str]) -> str:
    """Return the arm with the highest mean *validation* accuracy at a width; of equal arms the first.

    >>> runs = [Run(0, "2", "plain", 0.86, 0.88, 1), Run(0, "2", "ensemble teacher", 0.87, 0.85, 1)]
    >>> best_arm(runs, "2", ["plain", "ensemble teacher"])
    'ensemble teacher'
    """
    return max(arms, key=lambda arm: spread(runs, width, arm, "validation").mean)


def accuracy_table(runs: Sequence[Run], which: Which = "test") -> str:
    """Return widths as rows and arms as columns: accuracy in percent, mean and standard deviation over the seeds."""
    arms = tuple(dict.fromkeys(run.arm for run in runs))
    lines = [["bits", *arms]]
    for width in dict.fromkeys(run.width for run in runs):
        there = {run.arm for run in runs if run.width == width}
        cells = (percent(spread(runs, width, arm, which).values) if arm in there else "-" for arm in arms)
        lines.append([width, *cells])
    return aligned(lines)


def gain_table(runs: Sequence[Run], arms: Sequence[str], over: str, which: Which = "test") -> str:
    """Return by how many points arms differ from the arm `over`, widths as rows; a dash where one was not run."""
    lines = [["bits", *arms]]
    for width in dict.fromkeys(run.width for run in runs):
        there = {run.arm for run in runs if run.width == width}
        cells = (points(gain(runs, width, arm, over, which)) if {arm, over} <= there else "-" for arm in arms)
        lines.append([width, *cells])
    return aligned(lines)


def choice_table(runs: Sequence[Run], arms: Sequence[str]) -> str:
    """Return which of the `arms` validation data chooses at each width, and its test accuracy, in percent.

    Widths at which one of them was not run are left out.
    The last column is the difference of test accuracy to the first of the arms, seed by seed, in points.
    """
    lines = [["bits", "chosen on validation data", "validation", "test", f"test less {arms[0]}"]]
    for width in dict.fromkeys(run.width for run in runs):
        if not set(arms) <= {run.arm for run in runs if run.width == width}:
            continue
        best = best_arm(runs, width, arms)
        accuracies = (percent(spread(runs, width, best, which).values) for which in ("validation", "test"))
        lines.append([width, best, *accuracies, points(gain(runs, width, best, arms[0]))])
    return aligned(lines, left=(0, 1))


def bytes_table(runs: Sequence[Run]) -> str:
    """Return the KiB stored at each width, rounded after training and trained, and whether both models predict alike.

    In the rounded model batch norm is folded; in the trained one it is stored with the codes, so that nothing is
    rounded again.
    """
    lines = [["bits", "rounded KiB", "trained KiB", "packed predicts as trained"]]
    for width in dict.fromkeys(run.width for run in runs):
        these = [run for run in runs if run.width == width]
        exported = [run for run in these if run.same_predictions is not None]
        same = sum(bool(run.same_predictions) for run in exported)
        lines.append(
            [
                width,
                f"{these[0].file_bytes / 1024:.1f}",
                f"{these[-1].file_bytes / 1024:.1f}",
                f"{same} of {len(exported)}" if exported else "-",
            ]
        )
    return aligned(lines)


def to_json(study: Study) -> str:
    """Return the study as text that `from_json` reads."""
    return json.dumps(asdict(study), indent=0)


def from_json(text: str) -> Study:
    """Return the study that `to_json` wrote.

    Raises:
        ValueError: the text is not a study.
    """
    return read_record(text, _study_of, "study", HOW_TO_GET_IT)


def _study_of(values: Any) -> Study:
    return Study(
        teachers=tuple(Run(**run) for run in values["teachers"]),
        few_bits=tuple(Run(**run) for run in values["few_bits"]),
        students={name: tuple(Run(**run) for run in runs) for name, runs in values["students"].items()},
        settings=values["settings"],
    )


def recorded(path: Path = RECORD_FILE) -> Study:
    """Return the shipped study.

    Raises:
        ValueError: its file is missing or damaged.
    """
    return from_json(_assets.read_verified(path, RECORD_SHA256, HOW_TO_GET_IT).decode())


def _find(runs: Sequence[Run], width: str, arm: str) -> list[Run]:
    found = sorted((run for run in runs if (run.width, run.arm) == (width, arm)), key=lambda run: run.seed)
    if not found:
        there = sorted({f"{run.arm} at {run.width}" for run in runs})
        raise ValueError(f"there is no run of {arm!r} at width {width!r}; there are {', '.join(there)}")
    return found
