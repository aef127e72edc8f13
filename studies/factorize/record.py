"""The results of the recorded study, which is longer than fits into a lesson, as shipped, and their tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mini_lib import _assets
from mini_lib.columns import aligned
from mini_lib.fit import Spread
from mini_lib.latency import milliseconds
from mini_lib.roofline import arithmetic_intensity
from studies.factorize.equal import Trained
from studies.factorize.speed import Timed
from studies.factorize.sweep import DENSE, Run
from studies.parts import read_record

RECORD_FILE = Path(__file__).parents[1] / "records" / "factorize.json"
RECORD_SHA256 = "7c959a3d5930dcfc07bb07539746c7310f23bf43178cfdfe4d14573dfd512a2e"
HOW_TO_GET_IT = (
    "run `git restore studies/records/factorize.json` in the course's folder, "
    "or regenerate it with `python tools/factorize_study.py --record DIR`"
)


@dataclass(frozen=True)
class Study:
    """The parts of the study.

    `sweeps` holds the runs of `run_sweep` by the name of the model, `equal` the results of training from scratch,
    `speed` the timed contests, and `trap` the contest that was timed with an allocator that gives memory back.
    `settings` says how everything was made, and on what machine.
    """

    sweeps: dict[str, tuple[Run, ...]]
    equal: tuple[Trained, ...]
    speed: tuple[Timed, ...]
    trap: tuple[Timed, ...]
    settings: dict[str, object]

    def contest(self, name: str, batch: int, layout: str) -> tuple[Timed, ...]:
        """Return the rows of a contest; the first is the one that the others are compared with.

        Raises:
            ValueError: it was not timed in this way.
        """
        return find_contest(self.speed, name, batch, layout)


def find_contest(rows: Sequence[Timed], name: str, batch: int, layout: str) -> tuple[Timed, ...]:
    """Return the rows of one contest at one batch and layout.

    Raises:
        ValueError: there are none.
    """
    found = tuple(row for row in rows if (row.contest, row.batch, row.layout) == (name, batch, layout))
    if not found:
        there = sorted({f"{row.contest} at batch {row.batch} in {row.layout}" for row in rows})
        raise ValueError(f"{name!r} at batch {batch} in {layout!r} was not timed; there are {', '.join(there)}")
    return found


def sweep_table(runs: Sequence[Run], times: Sequence[Timed] = ()) -> str:
    """Return methods and ranks as rows: costs, accuracy before and after fine-tuning, and milliseconds where known.

    Accuracies are those of test data, in percent: mean and standard deviation over the seeds. The last column before
    the time is the difference from the dense control, which was also fine-tuned, seed by seed. `times` are the rows of
    the contest of the same model; both kinds of SVD make the same layers, so they share a time.
    """
    kinds = list(dict.fromkeys((run.method, run.fraction) for run in runs))
    heads = ["method", "of full rank", "KiB", "MMAC", "MACs /", "test before", "after", "less dense control"]
    whole = next(run.macs for run in runs if run.method == DENSE)
    by_name = {row.name: row for row in times}
    lines = [heads + ["ms", "times faster"] * bool(times)]
    for method, fraction in kinds:
        these = [run for run in runs if (run.method, run.fraction) == (method, fraction)]
        first = these[0]
        cells = [
            method,
            f"{fraction:g}",
            f"{first.stored_bytes / 1024:.1f}",
            f"{first.macs / 1e6:.2f}",
            f"{whole / first.macs:.2f}",
            percent([run.test_before for run in these]),
            percent([run.test_after for run in these]),
            points(against_control(runs, method, fraction)),
        ]
        if times:
            name = DENSE if method == DENSE else f"{method.removeprefix('data-aware ')} {fraction:g}"
            time = by_name.get(name)
            cells += [_ms(time), f"{time.times_faster:.2f}"] if time else ["-", "-"]
        lines.append(cells)
    return aligned(lines)


def against_control(runs: Sequence[Run], method: str, fraction: float, what: str = "test_after") -> Spread:
    """Return by how much a method differs from the dense control of the same seed, as fractions.

    Raises:
        ValueError: there is no such run, or no control of its seed.
    """
    control = {run.seed: getattr(run, what) for run in runs if run.method == DENSE}
    these = [run for run in runs if (run.method, run.fraction) == (method, fraction)]
    missing = [run.seed for run in these if run.seed not in control]
    if not these or missing:
        raise ValueError(f"there is no run of {method!r} at {fraction!r}, or no dense control of seed {missing}")
    return Spread(tuple(getattr(run, what) - control[run.seed] for run in these))


def choose_fraction(runs: Sequence[Run], method: str, lose_at_most: float = 0.01) -> float | None:
    """Return the smallest fraction at which a method loses at most this much of *validation* accuracy, or None.

    The comparison is with the dense control, both after fine-tuning, on average over the seeds.

    >>> def run(method, fraction, after):
    ...     return Run(0, method, fraction, 1, 1, 4, 0.0, after, 0.0, 0.0)
    >>> choose_fraction([run("dense", 1.0, 0.90), run("svd", 0.25, 0.85), run("svd", 0.5, 0.895)], "svd")
    0.5
    """
    fractions = sorted({run.fraction for run in runs if run.method == method})
    good = (f for f in fractions if against_control(runs, method, f, "validation_after").mean >= -lose_at_most)
    return next(good, None)


def equal_table(nets: Sequence[Trained], times: Sequence[Timed] = ()) -> str:
    """Return the nets of equal MACs side by side: costs, accuracy over the seeds, and milliseconds where known."""
    by_name = {row.name: row for row in times}
    lines = [["net", "parameters", "KiB", "MMAC", "validation", "test"] + ["ms"] * bool(times)]
    for net in dict.fromkeys(one.net for one in nets):
        these = [one for one in nets if one.net == net]
        first = these[0]
        lines.append(
            [
                net,
                f"{first.parameters:,}",
                f"{first.stored_bytes / 1024:.1f}",
                f"{first.macs / 1e6:.3f}",
                percent([one.validation for one in these]),
                percent([one.test for one in these]),
            ]
            + [_ms(by_name.get(net))] * bool(times)
        )
    return aligned(lines)


def speed_table(rows: Sequence[Timed]) -> str:
    """Return a contest as text: the savings in MACs, in MACs by whole vectors, by the roofline, and on the clock.

    All four columns of factors say how many times less a row needs than the first row.
    """
    first = rows[0]
    heads = ["", "MMAC", "MACs /", "in vectors /", "FLOP per byte", "roofline ms", "roofline /", "ms", "time /"]
    lines = [heads]
    lines += [
        [
            row.name,
            f"{row.macs / 1e6:.2f}",
            f"{first.macs / row.macs:.2f}",
            f"{first.vector_macs / row.vector_macs:.2f}",
            f"{arithmetic_intensity(row.macs, row.moved_bytes):.1f}",
            f"{1e3 * row.bound_s:.3f}",
            f"{first.bound_s / row.bound_s:.2f}",
            _ms(row),
            f"{row.times_faster:.2f}",
        ]
        for row in rows
    ]
    return aligned(lines)


def trap_table(kept: Sequence[Timed], given_back: Sequence[Timed]) -> str:
    """Return the same layers with an allocator that keeps its memory, and with one that gives it back at each call."""
    lines = [["", "memory kept: ms", "page faults per call", "memory given back: ms", "page faults per call"]]
    others = {row.name: row for row in given_back}
    lines += [
        [row.name, _ms(row), f"{row.page_faults:.0f}", _ms(others[row.name]), f"{others[row.name].page_faults:.0f}"]
        for row in kept
    ]
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
        sweeps={name: tuple(Run(**run) for run in runs) for name, runs in values["sweeps"].items()},
        equal=tuple(Trained(**one) for one in values["equal"]),
        speed=tuple(Timed(**row) for row in values["speed"]),
        trap=tuple(Timed(**row) for row in values["trap"]),
        settings=values["settings"],
    )


def recorded(path: Path = RECORD_FILE) -> Study:
    """Return the shipped study.

    Raises:
        ValueError: its file is missing or damaged.
    """
    return from_json(_assets.read_verified(path, RECORD_SHA256, HOW_TO_GET_IT).decode())


def percent(shares: Sequence[float]) -> str:
    """Return a share as percent, mean and standard deviation.

    >>> percent([0.90, 0.91, 0.92]), percent([0.9])
    ('91.0 ± 1.0', '90.0')
    """
    spread = Spread(tuple(shares))
    return f"{100 * spread.mean:.1f}" + (f" ± {100 * spread.std:.1f}" if len(spread.values) > 1 else "")


def points(spread: Spread) -> str:
    """Return a difference of shares as percentage points with its sign.

    >>> points(Spread((-0.01, -0.03)))
    '-2.0 ± 1.4'
    """
    return f"{100 * spread.mean:+.1f}" + (f" ± {100 * spread.std:.1f}" if len(spread.values) > 1 else "")


def _ms(row: Timed | None) -> str:
    return milliseconds(row.median_s, row.low_s, row.high_s) if row else "-"
