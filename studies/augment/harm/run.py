"""The whole study, part by part: parts in the folder are kept, and missing ones are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mini_lib.batch import Augment
from mini_lib.data import Split
from studies.augment.harm.arms import AFFINE, CONTROLLED, NONE, single_operations, turning
from studies.augment.harm.cells import Run, as_tuples, run_arms, turned_test
from studies.augment.harm.nets import Cell, Task
from studies.augment.harm.record import Study
from studies.augment.harm.references import Measured, guards_of, measure_safety
from studies.parts import open_parts, read_part, write_part

TASKS: tuple[Task, ...] = ("digits", "clothes")


@dataclass(frozen=True)
class Settings:
    """The settings that decide the results. All nets of a cell see equally many pictures: steps times batch size.

    `few`, `longer` and `more` are the labels and the steps of a training: few labels, few labels for four times as many
    steps, and more labels. Widths are in channels of the first convolution.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    few: tuple[int, int] = (500, 400)
    longer: tuple[int, int] = (500, 1600)
    more: tuple[int, int] = (1500, 1600)
    more_labels: tuple[int, int] = (1500, 400)
    width: int = 8
    widths: tuple[int, ...] = (1, 2, 16)
    learning_rate: float = 0.003
    batch_size: int = 32
    judge_labels: int = 1500
    judge_steps: int = 500
    judge_batch_size: int = 64
    judged_pictures: int = 1500
    at_least: float = 0.8


Part = Callable[[Mapping[str, object]], tuple[Run, ...] | tuple[Measured, ...]]


def parts_of(settings: Settings) -> Mapping[str, Part]:
    """Return the parts of a study by name, in the order in which they are made; a part gets those made before it.

    >>> list(parts_of(Settings()))[:4]
    ['safety-digits', 'turning-500-400', 'width-digits-1-500-400', 'width-digits-2-500-400']
    """
    parts: dict[str, Part] = {}
    for task in TASKS:
        parts[f"safety-{task}"] = partial(_safety, settings, task)
        if task == "digits":
            parts[_name("turning", settings.few)] = partial(_turning, settings, _cell(settings, task, settings.few))
        for cell in width_cells(settings):
            if cell.task == task:
                name = _name(f"width-{task}-{cell.width}", (cell.labels, cell.steps))
                parts[name] = partial(_widths, settings, cell)
        parts[f"operations-{task}"] = partial(_operations, settings, _cell(settings, task, settings.few))
    for task in TASKS:
        parts[f"control-{task}"] = partial(_control, settings, _cell(settings, task, settings.more))
    parts[_name("turning", settings.more)] = partial(_turning, settings, _cell(settings, "digits", settings.more))
    return parts


def width_cells(settings: Settings) -> tuple[Cell, ...]:
    """Return the trainings of nets of each width: with few labels, and as controls on digits longer or with more
    labels."""
    trainings = [("digits", how) for how in (settings.few, settings.longer, settings.more_labels)]
    trainings.append(("clothes", settings.few))
    return tuple(Cell(task, *how, width) for task, how in trainings for width in settings.widths)


def _name(what: str, labels_and_steps: tuple[int, int]) -> str:
    return f"{what}-{labels_and_steps[0]}-{labels_and_steps[1]}"


def _cell(settings: Settings, task: Task, labels_and_steps: tuple[int, int]) -> Cell:
    return Cell(task, *labels_and_steps, settings.width)


def make_part(settings: Settings, folder: Path, name: str) -> tuple[Run, ...] | tuple[Measured, ...]:
    """Return a part: the one in the folder, or a new one, which is written there.

    Raises:
        ValueError: a part cannot be read.
    """
    path = folder / f"{name}.json"
    kind = Measured if name.startswith("safety") else Run
    if not path.exists():
        before = {"safety-digits": make_part(settings, folder, "safety-digits")} if name.startswith("turning") else {}
        write_part(path, [asdict(row) for row in parts_of(settings)[name](before)])
    return read_part(path, lambda rows: tuple(kind(**as_tuples(row)) for row in rows))


def run_study(
    settings: Settings, folder: Path, machine: Mapping[str, object], progress: Callable[[str], None] | None = None
) -> Study:
    """Make the parts that are missing in the folder, and return the study made of all parts.

    `progress` is called with a part's name when that part is done. A run that is stopped loses only the unfinished
    part.

    Raises:
        ValueError: the folder belongs to a study with other settings, or a part cannot be read.
    """
    open_parts(folder, _plain(settings))
    found: dict[str, list] = {"safety": [], "turning": [], "width": [], "operations": [], "control": []}
    for name in parts_of(settings):
        found[name.split("-")[0]] += make_part(settings, folder, name)
        if progress is not None:
            progress(name)
    return Study(
        safety=tuple(found["safety"]),
        turning=tuple(found["turning"]),
        widths=tuple(found["width"]),
        operations=tuple(found["operations"]),
        control=tuple(found["control"]),
        settings=_plain(settings) | {"machine": dict(machine)},
    )


def _plain(settings: Settings) -> dict[str, object]:
    return json.loads(json.dumps(asdict(settings)))


def _safety(settings: Settings, task: Task, before: Mapping[str, object]) -> tuple[Measured, ...]:
    return measure_safety(
        task,
        width=settings.width,
        labels=settings.judge_labels,
        pictures=settings.judged_pictures,
        steps=settings.judge_steps,
        learning_rate=settings.learning_rate,
        batch_size=settings.judge_batch_size,
        seed=settings.seeds[0],
    )


def _turning(settings: Settings, cell: Cell, before: Mapping[str, object]) -> tuple[Run, ...]:
    arms = turning(guards_of(before["safety-digits"], settings.at_least))
    return _run(settings, cell, arms, turned_test())


def _operations(settings: Settings, cell: Cell, before: Mapping[str, object]) -> tuple[Run, ...]:
    return _run(settings, cell, {NONE: None, **single_operations()})


def _control(settings: Settings, cell: Cell, before: Mapping[str, object]) -> tuple[Run, ...]:
    policies = single_operations()
    return _run(settings, cell, {NONE: None, **{name: policies[name] for name in CONTROLLED}})


def _widths(settings: Settings, cell: Cell, before: Mapping[str, object]) -> tuple[Run, ...]:
    return _run(settings, cell, AFFINE)


def _run(
    settings: Settings, cell: Cell, arms: Mapping[str, Augment | None], turned: Split | None = None
) -> tuple[Run, ...]:
    return run_arms(
        cell, arms, settings.seeds, learning_rate=settings.learning_rate, batch_size=settings.batch_size, turned=turned
    )
