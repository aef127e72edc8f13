"""The whole study, part by part: parts in the folder are kept, and missing ones are made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch

from mini_lib.llm.model import prose
from mini_lib.llm.model.transformer import LanguageModel
from studies.language.record import Study
from studies.language.study import Bench, Plan, Run, parts_of, run_part
from studies.parts import open_parts, read_part, write_part


@dataclass(frozen=True)
class Settings:
    """The settings that decide the results: the plan, and the text and the model file by their sha256."""

    model_sha256: str
    plan: Plan = field(default_factory=Plan)
    text_sha256: str = prose.SHA256


def bench_of(lm: LanguageModel, plan: Plan) -> Bench:
    """Return the bench of a model with a tokenizer: the first tokens of both parts of the shipped text.

    Raises:
        ValueError: a text has fewer tokens than the plan asks for.
    """
    ids = []
    for text, windows in (
        (prose.calibration_text(), plan.calibration_windows),
        (prose.evaluation_text(), plan.evaluation_windows),
    ):
        tokens = lm.tokenizer.encode(text)
        if len(tokens) < windows * plan.window:
            raise ValueError(
                f"the text has {len(tokens):,} tokens, and {windows} windows of {plan.window} are asked for"
            )
        ids.append(torch.tensor(tokens[: windows * plan.window]))
    return Bench(lm, *ids)


def run_study(
    settings: Settings,
    folder: Path,
    bench: Bench,
    machine: Mapping[str, object],
    progress: Callable[[str, Run], None] | None = None,
    names: tuple[str, ...] | None = None,
) -> Study:
    """Make the parts that are missing in the folder, and return the study made of all parts.

    `progress` is called with a part's name after each of its runs. `names` lists the parts to make; the default is all.

    Raises:
        ValueError: the folder belongs to a study with other settings, there is no part of that name, or a part cannot
            be read.
    """
    open_parts(folder, _plain(settings))
    parts = parts_of(settings.plan)
    if unknown := [name for name in names or () if name not in parts]:
        raise ValueError(f"there is no part {unknown[0]!r}; there are {', '.join(parts)}")
    runs: list[Run] = []
    for name, part in parts.items():
        path = folder / f"{re.sub(r'[ ,:%]+', '-', name)}.json"
        if not path.exists() and (names is None or name in names):
            made = run_part(part, settings.plan, bench, None if progress is None else partial(progress, name))
            write_part(path, [asdict(run) for run in made])
        if path.exists():
            runs += read_part(path, lambda rows: [Run(**row | {"losses": tuple(row["losses"])}) for row in rows])
    return Study(tuple(runs), _plain(settings) | {"machine": dict(machine)})


def _plain(settings: Settings) -> dict[str, object]:
    return json.loads(json.dumps(asdict(settings)))
