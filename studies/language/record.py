"""The results of the recorded study, as shipped, and their tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mini_lib import _assets
from mini_lib.columns import aligned
from mini_lib.llm.model.perplexity import Ratio
from studies.language.study import FLOAT, Run
from studies.parts import read_record

RECORD_FILE = Path(__file__).parents[1] / "records" / "language.json"
RECORD_SHA256 = "a77effb6060d6b2d6f4efe73b338fdb18f92e8c67899d3fed3c39d2b997a0b53"
HOW_TO_GET_IT = (
    "run `git restore studies/records/language.json` in the course's folder, "
    "or regenerate it with `python tools/language_study.py --record DIR`"
)


@dataclass(frozen=True)
class Study:
    """All runs, with how and on what machine they were made."""

    runs: tuple[Run, ...]
    settings: dict[str, object]

    def find(self, method: str, at: str) -> Run:
        """Return a run.

        Raises:
            ValueError: there is none.
        """
        for run in self.runs:
            if (run.method, run.at) == (method, at):
                return run
        there = ", ".join(f"{run.method} at {run.at}" for run in self.runs)
        raise ValueError(f"there is no run of {method!r} at {at!r}; there are: {there}")

    @property
    def baseline(self) -> Run:
        """The model as its file unpacks it."""
        return self.find(FLOAT, FLOAT)

    def times(self, method: str, over: str, at: str) -> Ratio:
        """Return the perplexity of one method divided by another's on the same grid, paired by window.

        Raises:
            ValueError: one of the runs is missing.
        """
        return self.find(method, at).perplexity.times(self.find(over, at).perplexity)

    def times_float(self, method: str, at: str) -> Ratio:
        """Return the perplexity of a run divided by that of the model as its file unpacks it, paired by window.

        Raises:
            ValueError: there is no such run.
        """
        return self.find(method, at).perplexity.times(self.baseline.perplexity)


def table(study: Study, runs: Iterable[Run] | None = None) -> str:
    """Return runs as rows: perplexity with its interval, times that of the float model, bits, and seconds to make."""
    weights = study.baseline.stored_bytes
    lines = [["method", "at", "perplexity", "95% interval", "times float", "95% paired", "MB", "of file", "made in s"]]
    for run in study.runs if runs is None else runs:
        found, ratio = run.perplexity, run.perplexity.times(study.baseline.perplexity)
        lines.append(
            [
                run.method,
                run.at,
                _short(found.value),
                " to ".join(map(_short, found.interval)),
                f"{ratio.value:.4g}",
                f"{ratio.low:.4g} to {ratio.high:.4g}",
                f"{run.stored_bytes / 1e6:.1f}",
                f"{run.stored_bytes / weights:.0%}",
                f"{run.made_s:.0f}",
            ]
        )
    return aligned(lines, left=(0, 1))


def contest(study: Study, pairs: Sequence[tuple[str, str, str]]) -> str:
    """Return for (method, other, at) the first's perplexity over the other's, and whether this separates the two."""
    lines = [["method", "over", "at", "ratio", "95% paired", "told apart"]]
    for method, other, at in pairs:
        ratio = study.times(method, other, at)
        apart = "better" if ratio.high < 1 else "worse" if ratio.low > 1 else "no"
        lines.append([method, other, at, f"{ratio.value:.4g}", f"{ratio.low:.4g} to {ratio.high:.4g}", apart])
    return aligned(lines, left=(0, 1, 2, 5))


def to_json(study: Study) -> str:
    """Return the study as text that `from_json` reads; losses have seven decimals."""
    values = asdict(study)
    for run in values["runs"]:
        run["losses"] = [round(loss, 7) for loss in run["losses"]]
        run["made_s"], run["judged_s"] = round(run["made_s"], 1), round(run["judged_s"], 1)
    return json.dumps(values, indent=0)


def from_json(text: str) -> Study:
    """Return the study that `to_json` wrote.

    Raises:
        ValueError: the text is not a study.
    """
    return read_record(text, _study_of, "study", HOW_TO_GET_IT)


def _study_of(values: Any) -> Study:
    runs = tuple(Run(**run | {"losses": tuple(run["losses"])}) for run in values["runs"])
    return Study(runs, values["settings"])


def recorded(path: Path = RECORD_FILE) -> Study:
    """Return the shipped study.

    Raises:
        ValueError: its file is missing or damaged.
    """
    return from_json(_assets.read_verified(path, RECORD_SHA256, HOW_TO_GET_IT).decode())


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:,.0f}"
