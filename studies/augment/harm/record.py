"""The results of the recorded study, as shipped, and their tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from mini_lib import _assets
from mini_lib.columns import aligned
from mini_lib.fit import Spread
from studies.augment.harm.arms import NONE, STRENGTHS, named
from studies.augment.harm.cells import Run, as_tuples
from studies.augment.harm.nets import Cell, Task
from studies.augment.harm.references import JUDGES, Judge, Measured, safety_at
from studies.factorize.record import percent
from studies.paired import Paired
from studies.parts import read_record

RECORD_FILE = Path(__file__).parents[2] / "records" / "augment.json"
RECORD_SHA256 = "6aa125d4e3d351f482c3e5567d93918d7732605a53c68a285856cf09014364a3"
HOW_TO_GET_IT = (
    "run `git restore studies/records/augment.json` in the course's folder, "
    "or regenerate it with `python tools/harm_study.py --record DIR`"
)


_QUESTIONS = ("turning", "widths", "operations", "control")


@dataclass(frozen=True)
class Study:
    """The parts of the study: the opinions of the judges, and the nets by the question that they answer.

    `control` tries a few of the operations again, with more labels and longer training.
    `settings` says how everything was made, and on what machine.
    """

    safety: tuple[Measured, ...]
    turning: tuple[Run, ...]
    widths: tuple[Run, ...]
    operations: tuple[Run, ...]
    control: tuple[Run, ...]
    settings: dict[str, object]


def runs_of(runs: Sequence[Run], cell: Cell, arm: str) -> tuple[Run, ...]:
    """Return the runs of an arm in a cell, in the order of their seeds.

    Raises:
        ValueError: there is none.
    """
    found = [run for run in runs if (run.task, run.labels, run.steps, run.width) == astuple(cell) and run.arm == arm]
    if not found:
        there = sorted({f"{run.arm} ({run.task}, {run.labels}, {run.steps}, {run.width})" for run in runs})
        raise ValueError(f"there is no run of {arm!r} in {cell}; there are {', '.join(there)}")
    return tuple(sorted(found, key=lambda run: run.seed))


def astuple(cell: Cell) -> tuple[str, int, int, int]:
    """Return the key of a cell, to compare runs by."""
    return cell.task, cell.labels, cell.steps, cell.width


def spread(runs: Sequence[Run], cell: Cell, arm: str, classes: Sequence[int] = tuple(range(10))) -> Spread:
    """Return the test accuracy of an arm over the seeds, on pictures of some classes, which are equally frequent."""
    return Spread(
        tuple(sum(run.per_class[label] for label in classes) / len(classes) for run in runs_of(runs, cell, arm))
    )


def gain(
    runs: Sequence[Run], cell: Cell, arm: str, classes: Sequence[int] = tuple(range(10)), over: str = NONE
) -> Paired:
    """Return by how much an arm is more accurate than another, seed by seed, as shares."""
    these, those = spread(runs, cell, arm, classes).values, spread(runs, cell, over, classes).values
    return Paired(tuple(one - other for one, other in zip(these, those, strict=True)))


def turned_spread(
    runs: Sequence[Run], cell: Cell, arm: str, rows: Sequence[int] = tuple(range(10)), taken_for: int | None = None
) -> Spread:
    """Return the share of turned test digits of the classes `rows` recognised as their own class, or as a given one.

    Raises:
        ValueError: these nets were not asked about turned digits.
    """
    values = []
    for run in runs_of(runs, cell, arm):
        if run.turned is None:
            raise ValueError(f"the nets of {arm!r} in {cell} were not asked about turned digits; see the turning runs")
        hits = sum(run.turned[row][row if taken_for is None else taken_for] for row in rows)
        values.append(hits / sum(sum(run.turned[row]) for row in rows))
    return Spread(tuple(values))


def cells_of(runs: Sequence[Run]) -> tuple[Cell, ...]:
    """Return the cells of runs, in their order."""
    return tuple(dict.fromkeys(Cell(run.task, run.labels, run.steps, run.width) for run in runs))


def arms_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the arms of runs, in their order."""
    return tuple(dict.fromkeys(run.arm for run in runs))


def turning_table(study: Study, cell: Cell) -> str:
    """Return the test accuracy of each way to turn digits, in percent: of all digits, of 6 and 9, of the others."""
    others = [digit for digit in range(10) if digit not in (6, 9)]
    lines = [["training pictures turned", "all", "6", "9", "others", "turned: all", "6 and 9", "others"]]
    for arm in arms_of(study.turning):
        upright = [spread(study.turning, cell, arm, classes) for classes in (range(10), [6], [9], others)]
        turned = [turned_spread(study.turning, cell, arm, rows) for rows in (range(10), (6, 9), others)]
        lines.append([arm, *(percent(one.values) for one in (*upright, *turned))])
    return aligned(lines)


def class_table(study: Study, cell: Cell) -> str:
    """Return by how many points each way to turn digits changes the test accuracy of each digit, on average."""
    lines = [["training pictures turned", *map(str, range(10))]]
    for arm in arms_of(study.turning)[1:]:
        lines.append([arm, *(f"{100 * gain(study.turning, cell, arm, [digit]).mean:+.0f}" for digit in range(10))])
    return aligned(lines)


def shortcut_table(study: Study, cell: Cell) -> str:
    """Return which digit nets recognise in a turned 6 and a turned 9, in percent."""
    lines = [["training pictures turned", "6 is a 6", "6 is a 9", "9 is a 9", "9 is a 6"]]
    for arm in arms_of(study.turning):
        cells = [turned_spread(study.turning, cell, arm, [a], b) for a, b in ((6, 6), (6, 9), (9, 9), (9, 6))]
        lines.append([arm, *(percent(one.values) for one in cells)])
    return aligned(lines)


def width_table(study: Study) -> str:
    """Return for each width the test accuracy without augmentation, in percent, and what augmentation adds, in points.

    The 95% interval of the mean is in brackets.
    """
    arms = arms_of(study.widths)
    lines = [["data", "labels", "steps", "width", arms[0], *arms[1:]]]
    for cell in cells_of(study.widths):
        gains = (interval_text(gain(study.widths, cell, arm)) for arm in arms[1:])
        lines.append([*map(str, astuple(cell)), percent(spread(study.widths, cell, arms[0]).values), *gains])
    return aligned(lines)


def operation_table(study: Study) -> str:
    """Return what each operation adds on digits and on clothes, in points, next to its label safety, in percent."""
    digits, clothes = cells_of(study.operations)
    head = ["operation", *("digits", "clean", "experienced"), *("clothes", "clean", "experienced")]
    lines = [head]
    for operation, strength in operations_and_strengths():
        name, line = named(operation, strength), []
        for cell in (digits, clothes):
            kept = [safety_at(study.safety, cell.task, judge, operation, strength).kept for judge in JUDGES]
            line += [interval_text(gain(study.operations, cell, name)), *(f"{100 * one:.0f}" for one in kept)]
        lines.append([name, *line])
    return aligned(lines)


def control_table(study: Study) -> str:
    """Return what some operations add with few labels, and with more labels and longer training, in points."""
    arms = arms_of(study.control)[1:]
    lines = [["data", "labels", "steps", *arms]]
    for runs in (study.operations, study.control):
        for cell in cells_of(runs):
            gains = (interval_text(gain(runs, cell, arm)) for arm in arms)
            lines.append([cell.task, str(cell.labels), str(cell.steps), *gains])
    return aligned(lines)


def effect(gained: Paired) -> str:
    """Return "helps" or "harms" if the 95% interval of the mean is on one side of 0, otherwise "unclear".

    >>> effect(Paired((0.01, 0.02, 0.03))), effect(Paired((-0.019, -0.02, -0.021)))
    ('unclear', 'harms')
    """
    low, high = gained.interval()
    return "helps" if low > 0 else "harms" if high < 0 else "unclear"


def effect_table(study: Study) -> str:
    """Return which operations help or harm digits and clothes.

    With this many intervals, one in twenty may be on one side of 0 by chance: small effects are doubtful.
    """
    digits, clothes = cells_of(study.operations)
    found: dict[tuple[str, str], list[str]] = {}
    for arm in arms_of(study.operations)[1:]:
        here = effect(gain(study.operations, digits, arm)), effect(gain(study.operations, clothes, arm))
        found.setdefault(here, []).append(arm)
    lines = [["digits", "clothes", "operations"]]
    kinds = ("helps", "unclear", "harms")
    lines += [[one, other, ", ".join(found[one, other])] for one in kinds for other in kinds if (one, other) in found]
    return aligned(lines, left=(0, 1, 2))


def rank_correlation(study: Study, task: Task, judge: Judge) -> float:
    """Return Spearman's rank correlation of label safety and gain over all operations and strengths, in [-1, 1]."""
    (cell,) = (cell for cell in cells_of(study.operations) if cell.task == task)
    pairs = [
        (
            safety_at(study.safety, task, judge, operation, strength).kept,
            gain(study.operations, cell, named(operation, strength)).mean,
        )
        for operation, strength in operations_and_strengths()
    ]
    return float(spearmanr(*zip(*pairs)).statistic)


def operations_and_strengths() -> list[tuple[object, float]]:
    """Return each operation of the study with each of its strengths."""
    return [(operation, operation.strength(share)) for operation, shares in STRENGTHS for share in shares]


def interval_text(gained: Paired) -> str:
    """Return a difference in points with the 95% interval of its mean.

    >>> interval_text(Paired((0.01, 0.02, 0.03)))
    '+2.0 (-0.5 to +4.5)'
    """
    low, high = (100 * end for end in gained.interval())
    return f"{100 * gained.mean:+.1f} ({low:+.1f} to {high:+.1f})"


def to_json(study: Study) -> str:
    """Return the study as text that `from_json` reads; shares are rounded to six decimals."""
    rounded = json.loads(json.dumps(asdict(study)), parse_float=lambda text: round(float(text), 6))
    return json.dumps(rounded, separators=(",", ":")).replace("},{", "},\n{") + "\n"


def from_json(text: str) -> Study:
    """Return the study that `to_json` wrote.

    Raises:
        ValueError: the text is not a study.
    """
    return read_record(text, _study_of, "study", HOW_TO_GET_IT)


def _study_of(values: Any) -> Study:
    runs = {name: tuple(Run(**as_tuples(run)) for run in values[name]) for name in _QUESTIONS}
    safety = tuple(Measured(**as_tuples(row)) for row in values["safety"])
    return Study(safety=safety, **runs, settings=values["settings"])


def recorded(path: Path = RECORD_FILE) -> Study:
    """Return the shipped study.

    Raises:
        ValueError: its file is missing or damaged.
    """
    return from_json(_assets.read_verified(path, RECORD_SHA256, HOW_TO_GET_IT).decode())
