"""The whole study, part by part: parts in the folder are kept, and missing ones are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from mini_lib.data import Splits
from studies.bits.record import Study
from studies.bits.students import Schooling, run_students
from studies.bits.study import FLOAT, Plan, Run, judged, run_width
from studies.bits.teachers import ENSEMBLE, ensemble_for
from studies.parts import open_parts, read_part, write_part


@dataclass(frozen=True)
class Settings:
    """The settings that decide the results: the seeds, the plan of few bits, and the schoolings of students."""

    seeds: tuple[int, ...] = (0, 1, 2)
    few_bits: Plan = field(default_factory=Plan)
    students: tuple[Schooling, ...] = (
        Schooling(pictures=8_000, epochs=5),
        Schooling(pictures=1_000, epochs=32, unlabelled=8_000),
    )


Part = Callable[[Splits, Callable[[Run], None] | None], tuple[Run, ...]]


def parts_of(settings: Settings) -> Mapping[str, Part]:
    """Return the parts of a study by name, each made separately: a teacher, a width or a schooling, of one seed.

    >>> list(parts_of(Settings(seeds=(0,))))[:2]
    ['teacher-0', 'bits-32-0']
    """
    parts: dict[str, Part] = {}
    for seed in settings.seeds:
        parts[f"teacher-{seed}"] = _part(_run_teacher, seed)
        for width in settings.few_bits.widths:
            parts[f"bits-{width}-{seed}"] = _part(run_width, settings.few_bits, width, seed)
        for schooling in settings.students:
            parts[f"students-{schooling.pictures}-{seed}"] = _part(run_students, schooling, seed)
    return parts


def _run_teacher(seed: int, splits: Splits, progress: Callable[[Run], None] | None) -> tuple[Run, ...]:
    run = judged(ensemble_for(seed), splits, seed=seed, width=FLOAT, arm=ENSEMBLE)
    if progress is not None:
        progress(run)
    return (run,)


def _part(make: Callable[..., tuple[Run, ...]], *what: object) -> Part:
    return lambda splits, progress: make(*what, splits, progress)


def run_study(
    settings: Settings,
    folder: Path,
    splits: Splits,
    machine: Mapping[str, object],
    progress: Callable[[str, Run], None] | None = None,
) -> Study:
    """Make the parts that are missing in the folder, and return the study made of all parts.

    `progress` is called with a part's name after each of its runs. Several processes may share a folder, as long as
    each makes different seeds; the last one to be called combines all parts.

    Raises:
        ValueError: the folder belongs to a study with other settings, or a part cannot be read.
    """
    # Seeds may be added or removed.
    open_parts(folder, {name: value for name, value in _plain(settings).items() if name != "seeds"})
    found = {}
    for name, make in parts_of(settings).items():
        path = folder / f"{name.replace('/', '-')}.json"
        if not path.exists():
            runs = make(splits, None if progress is None else partial(progress, name))
            write_part(path, [asdict(run) for run in runs])
        found[name] = read_part(path, lambda rows: tuple(Run(**row) for row in rows))

    def together(part: str) -> tuple[Run, ...]:
        return tuple(run for seed in settings.seeds for run in found[f"{part}-{seed}"])

    return Study(
        teachers=together("teacher"),
        few_bits=tuple(run for width in settings.few_bits.widths for run in together(f"bits-{width}")),
        students={str(one.pictures): together(f"students-{one.pictures}") for one in settings.students},
        settings=_plain(settings) | {"machine": dict(machine)},
    )


def _plain(settings: Settings) -> dict[str, object]:
    return json.loads(json.dumps(asdict(settings)))
