"""The whole study, part by part: what is in the folder already stays, and what is missing is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import torch

from mini_lib.augment.search.children import Child
from mini_lib.batch import Augment, Batch
from mini_lib.data import Split
from mini_lib.files import write_file
from mini_lib.fit import predict
from studies.augment.harm.arms import AFFINE, TURN, single_operations, turning, up_to
from studies.augment.harm.nets import Cell, Task, splits_of, standardised, train
from studies.augment.harm.references import Measured, guards_of, measure_safety

TASKS: tuple[Task, ...] = ("digits", "clothes")
_SETTINGS = "settings.json"


@dataclass(frozen=True)
class Settings:
    """What decides the results. All nets of a cell see as many pictures: steps times batch size.

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


@dataclass(frozen=True)
class Run:
    """One net: what it was trained with (`arm`) and how accurate it is, as shares; `per_class` on test data.

    `turned[i][j]`: of the test digits of class i, turned by any angle, how many it took for class j; None where nothing
    was turned.
    """

    task: Task
    labels: int
    steps: int
    width: int
    arm: str
    seed: int
    validation: float
    test: float
    per_class: tuple[float, ...]
    turned: tuple[tuple[int, ...], ...] | None = None


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
        for labels_and_steps in (settings.few, settings.longer, settings.more_labels):
            for width in settings.widths:
                name = _name(f"width-{task}-{width}", labels_and_steps)
                parts[name] = partial(_widths, settings, Cell(task, *labels_and_steps, width))
        parts[f"operations-{task}"] = partial(_operations, settings, _cell(settings, task, settings.few))
    parts[_name("turning", settings.more)] = partial(_turning, settings, _cell(settings, "digits", settings.more))
    return parts


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
        write_file(path, json.dumps([asdict(row) for row in parts_of(settings)[name](before)]).encode())
    try:
        return tuple(kind(**_tuples(row)) for row in json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"cannot read {path} ({error}); remove it, and it will be made again") from error


def open_folder(folder: Path, settings: Settings) -> None:
    """Make the folder, or make sure that its parts were made with these settings.

    Raises:
        ValueError: they were made with others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, wanted = folder / _SETTINGS, json.loads(json.dumps(asdict(settings)))
    if not path.exists():
        write_file(path, json.dumps(wanted, indent=1).encode())
    elif json.loads(path.read_text(encoding="utf-8")) != wanted:
        raise ValueError(f"{folder} holds a study with other settings, see {path.name} in it; give a new folder")


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
    return _runs(settings, cell, arms, turned=turned_test())


def _operations(settings: Settings, cell: Cell, before: Mapping[str, object]) -> tuple[Run, ...]:
    return _runs(settings, cell, {"none": None, **single_operations()})


def _widths(settings: Settings, cell: Cell, before: Mapping[str, object]) -> tuple[Run, ...]:
    return _runs(settings, cell, AFFINE)


@cache
def turned_test() -> Split:
    """Return the test digits, each turned by any angle up to 180 degrees to either side: the same ones for all nets."""
    test = splits_of("digits").test
    turn = standardised(up_to(TURN), "digits")
    batch = turn(Batch(test.images, test.labels), torch.Generator().manual_seed(0))
    return Split(batch.images, batch.labels)


def _runs(
    settings: Settings, cell: Cell, arms: Mapping[str, Augment | None], turned: Split | None = None
) -> tuple[Run, ...]:
    runs = []
    for arm, augment in arms.items():
        children = train(
            cell,
            [augment] * len(settings.seeds),
            settings.seeds,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
        )
        runs += [judged(child, cell, arm, seed, turned) for child, seed in zip(children, settings.seeds)]
    return tuple(runs)


def judged(child: Child, cell: Cell, arm: str, seed: int, turned: Split | None = None) -> Run:
    """Return what a trained net is worth on test data."""
    test = splits_of(cell.task).test
    right = predict(child.model, test.images).argmax(dim=1) == test.labels
    per_class = tuple(right[test.labels == label].double().mean().item() for label in range(10))
    confusion = None
    if turned is not None:
        taken = predict(child.model, turned.images).argmax(dim=1)
        confusion = tuple(map(tuple, (turned.labels * 10 + taken).bincount(minlength=100).reshape(10, 10).tolist()))
    return Run(
        **asdict(cell),
        arm=arm,
        seed=seed,
        validation=child.validation_accuracy,
        test=right.double().mean().item(),
        per_class=per_class,
        turned=confusion,
    )


def _tuples(row: Mapping[str, object]) -> dict[str, object]:
    """Turn the lists of JSON back into tuples."""

    def back(value: object) -> object:
        return tuple(map(back, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value

    return {name: back(value) for name, value in row.items()}
