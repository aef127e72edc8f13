"""The results of a study: its runs, and the spread over seeds of any arm at any density."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mini_lib import _assets
from mini_lib.columns import aligned
from mini_lib.fit import Spread
from studies.parts import read_record
from studies.tickets.study import Run

RECORDED_FOLDER = Path(__file__).parents[1] / "records"
RECORDING_COMMAND = "python tools/ticket_study.py"
# This command made them and prints these lines: the study, and the hash of its file.
RECORDED = {
    "tickets": "2515b7df45cc923ee6e336d279b283d29ad77437790cf7b7ad2ca62a91912aab",
    "rewinding": "325045b7b88c03a24be878f7f7b0015bdd80aa5a392a75b91964f2245a474293",
}


@dataclass(frozen=True)
class Results:
    """The runs of a study, and the steps that their validation accuracies belong to.

    Raises:
        ValueError: there is no run.
    """

    runs: tuple[Run, ...]
    evaluate_at: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", tuple(self.runs))
        object.__setattr__(self, "evaluate_at", tuple(self.evaluate_at))
        if not self.runs:
            raise ValueError("results need at least one run, got none; run the study first")

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms other than the dense net, in the study's order."""
        return tuple(dict.fromkeys(run.arm for run in self.runs if run.arm != "dense"))

    @property
    def rounds(self) -> tuple[int, ...]:
        """The rounds of pruning that were trained; round 0, the dense net, is not among them."""
        return tuple(sorted({run.round for run in self.runs if run.round}))

    def density(self, number: int) -> float:
        """Return the share of weights that is left in a round.

        Raises:
            ValueError: there is no such round.
        """
        found = [run.density for run in self.runs if run.round == number]
        if not found:
            raise ValueError(f"there is no round {number}; there are 0 (dense), {', '.join(map(str, self.rounds))}")
        return found[0]

    def values(self, arm: str, number: int, at: int | Literal["test"] = "test") -> dict[int, float]:
        """Return one accuracy per seed: on test data at the end, or on validation data after step `at`.

        The dense net is arm "dense", in round 0.

        Raises:
            ValueError: there is no such arm in that round, or nothing was measured at that step.
        """
        found = {run.seed: run for run in self.runs if (run.arm, run.round) == (arm, number)}
        if not found:
            raise ValueError(
                f"there is no {arm!r} in round {number}; there are dense in round 0, and {', '.join(self.arms)} in "
                f"rounds {', '.join(map(str, self.rounds))}"
            )
        if at == "test":
            return {seed: found[seed].test_accuracy for seed in sorted(found)}
        # A net that was rewound to a later step has only the last evaluations: count from the end.
        from_end = self.evaluate_at[::-1].index(at) if at in self.evaluate_at else len(self.evaluate_at)
        curves = {seed: found[seed].validation_accuracies[::-1] for seed in sorted(found)}
        if any(from_end >= len(curve) for curve in curves.values()):
            raise ValueError(
                f"{arm!r} was not measured at step {at}; accuracies were taken at steps "
                f"{', '.join(map(str, self.evaluate_at))} (later ones only, for a net that was rewound)"
            )
        return {seed: curve[from_end] for seed, curve in curves.items()}

    def spread(self, arm: str, number: int, at: int | Literal["test"] = "test") -> Spread:
        """Return the mean and spread over seeds of the `values`."""
        return Spread(tuple(self.values(arm, number, at).values()))

    def differences(self, arm: str, number: int, other: str, at: int | Literal["test"] = "test") -> Spread:
        """Return by how much `arm` is more accurate than `other`, seed by seed.

        Nets of one seed share their initial weights and the order of their pictures: the effect of the seed on both
        cancels.
        """
        theirs = self.values(other, 0 if other == "dense" else number, at)
        return Spread(tuple(value - theirs[seed] for seed, value in self.values(arm, number, at).items()))

    def table(self, at: int | Literal["test"] = "test") -> str:
        """Return densities as rows and arms as columns: mean and standard deviation over seeds, in percent.

        There is a dash where an arm was not measured, because it is rewound to a later step than `at`.

        Raises:
            ValueError: nothing was measured at that step.
        """
        rows = [
            ["density", "dense", *self.arms],
            ["100.0%", _percent(self.spread("dense", 0, at)), *["" for _ in self.arms]],
        ]
        rows += [
            [f"{self.density(number):.1%}", "", *(self._cell(arm, number, at) for arm in self.arms)]
            for number in self.rounds
        ]
        return aligned(rows, left=())

    def _cell(self, arm: str, number: int, at: int | Literal["test"]) -> str:
        try:
            return _percent(self.spread(arm, number, at))
        except ValueError:
            return "-"

    def __str__(self) -> str:
        return f"test accuracy in percent, mean ± standard deviation over {len(self.seeds)} seeds\n{self.table()}"


def to_json(results: Results, settings: dict[str, object]) -> str:
    """Return results as text that `from_json` reads, with the settings that they were made with."""
    return json.dumps(
        {"settings": settings, "evaluate_at": results.evaluate_at, "runs": [asdict(run) for run in results.runs]}
    )


def from_json(text: str) -> tuple[Results, dict[str, object]]:
    """Return results, and the settings that they were made with.

    Raises:
        ValueError: the text holds no results.
    """
    return read_record(text, _results_of, "study", f"`git restore {RECORDED_FOLDER}` brings the shipped ones back")


def _results_of(values: Any) -> tuple[Results, dict[str, object]]:
    return Results(tuple(Run(**run) for run in values["runs"]), tuple(values["evaluate_at"])), values["settings"]


def recorded(name: str = "tickets", folder: Path = RECORDED_FOLDER) -> tuple[Results, dict[str, object]]:
    """Return a longer, shipped study, and the settings that it was made with.

    Raises:
        ValueError: there is no such study, or its file is missing or damaged.
    """
    if name not in RECORDED:
        raise ValueError(f"no study {name!r} was recorded; there are {', '.join(RECORDED)}")
    how = (
        f"run `git restore studies/records/{name}.json`, "
        f"or regenerate it with `{RECORDING_COMMAND} {name} --folder DIR`"
    )
    return from_json(_assets.read_verified(folder / f"{name}.json", RECORDED[name], how).decode())


def _percent(spread: Spread) -> str:
    return f"{100 * spread.mean:.1f} ± {100 * spread.std:.1f}" if len(spread.values) > 1 else f"{100 * spread.mean:.1f}"


def chosen(runs: Sequence[Run], seeds: Sequence[int], rounds: int) -> tuple[Run, ...]:
    """Return the runs of these seeds up to this round, in the order of rounds and then of seeds."""
    wanted = [run for run in runs if run.seed in seeds and run.round <= rounds]
    return tuple(sorted(wanted, key=lambda run: (run.round, run.seed)))
