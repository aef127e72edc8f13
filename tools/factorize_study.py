"""The costs and gains of decomposition: accuracy, bytes, MACs and milliseconds, as recorded, or measured again.

    python tools/factorize_study.py                    # the tables of studies/records/factorize.json
    python tools/factorize_study.py --time             # only the times, measured on this machine: about two minutes
    python tools/factorize_study.py --record DIR       # everything again, about twenty minutes on one free core

--record keeps each part in DIR as it is done, and continues where it was when it is called with the same folder again.
It writes the file and prints its hash, for record.RECORD_SHA256 and studies/records/README.md. Times are taken last, in
processes of their own with an allocator that keeps its memory (clean_process.py says why), on one thread, in turns;
they are processor times. Test data chose nothing. On another machine accuracies differ slightly, and times a lot.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from mini_lib import data, zoo
from mini_lib.files import write_file
from studies.factorize.clean_process import in_clean_process
from studies.factorize.contests import CONTESTS
from studies.factorize.equal import Recipe, judge, train, train_net
from studies.factorize.nets import WIDE, plain_cnn
from studies.factorize.record import (
    RECORD_FILE,
    Study,
    choose_fraction,
    equal_table,
    find_contest,
    from_json,
    recorded,
    speed_table,
    sweep_table,
    to_json,
    trap_table,
)
from studies.factorize.speed import Timed
from studies.factorize.sweep import METHODS, Sweep, run_sweep
from studies.parts import read_part, write_part

SEEDS = (0, 1, 2)
SMALL = Sweep()
WIDE_SWEEP = Sweep(methods=("data-aware svd", "tucker-2"), fractions=(0.125, 0.25, 0.375))
WIDE_RECIPE = Recipe(epochs=4)
TRAP = "depthwise_alone"
# The contests that are shown: where time does not follow the MACs, and where it does.
SHOWN = {
    "small_layer": ("16 -> 16 channels at 14 x 14", ((1, "NCHW"), (32, "NCHW"), (32, "channels_last"))),
    "large_layer": ("128 -> 128 channels at 14 x 14", ((32, "NCHW"), (32, "channels_last"))),
    "equal_layers": ("equal MACs, one layer", ((1, "NCHW"), (32, "NCHW"), (32, "channels_last"))),
    "equal_models": ("equal MACs, whole nets", ((1, "NCHW"), (32, "NCHW"), (32, "channels_last"))),
    "ranks": ("64 -> 64 channels at 14 x 14, split at many ranks", ((32, "channels_last"),)),
    "small_model": ("small_cnn", ((1, "NCHW"), (32, "NCHW"), (32, "channels_last"))),
    "wide_model": ("the wide net", ((1, "NCHW"), (32, "NCHW"), (32, "channels_last"))),
}


def parts() -> dict[str, Callable[[data.Splits, Callable], list]]:
    """Return the parts recorded before the times, by name: a part is one model with one seed."""
    made = {}
    for seed in SEEDS:
        made[f"small-{seed}"] = partial(_small, seed)
        made[f"equal-{seed}"] = partial(_equal, seed)
        made[f"wide-{seed}"] = partial(_wide, seed)
    return made


def _small(seed: int, splits: data.Splits, progress: Callable) -> list:
    return list(run_sweep(SMALL, zoo.load("small_cnn", seed), splits, seed, progress))


def _wide(seed: int, splits: data.Splits, progress: Callable) -> list:
    model = train(lambda seed: plain_cnn(WIDE, seed), seed, splits, WIDE_RECIPE, progress)
    return list(run_sweep(WIDE_SWEEP, model, splits, seed, progress))


def _equal(seed: int, splits: data.Splits, progress: Callable) -> list:
    # The checkpoint of the zoo was trained by the same recipe, with the same function.
    plain = train_net("plain_cnn", seed, splits, progress=progress)
    return [plain, judge("depthwise_cnn", seed, zoo.load("depthwise_cnn", seed), splits)]


def record(folder: Path) -> None:
    """Make what is missing in the folder, and the file of the study from all of it."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    splits = data.fashion()
    rows = {}
    for name, make in parts().items():
        path = folder / f"{name}.json"
        if not path.exists():
            with tqdm(desc=name, unit="step") as bar:
                done = [asdict(row) for row in make(splits, lambda row: bar.update())]
                write_part(path, done)
        rows[name] = read_part(path, list)

    def together(part: str) -> list[dict]:
        return [row for seed in SEEDS for row in rows[f"{part}-{seed}"]]

    speed, trap, machine = timed(repeats=100)
    settings = {
        "seeds": SEEDS,
        "small_cnn": asdict(SMALL),
        "wide_cnn": asdict(WIDE_SWEEP) | {"widths": WIDE, "trained": asdict(WIDE_RECIPE)},
        "equal": asdict(Recipe()),
        "machine": machine,
    }
    values = {
        "sweeps": {"small_cnn": together("small"), "wide_cnn": together("wide")},
        "equal": together("equal"),
        "speed": [asdict(row) for row in speed],
        "trap": [asdict(row) for row in trap],
        "settings": settings,
    }
    text = to_json(from_json(json.dumps(values))).encode()
    write_file(RECORD_FILE, text)
    show(from_json(text.decode()))
    print(f'\n{RECORD_FILE}: {len(text):,} bytes\nRECORD_SHA256 = "{hashlib.sha256(text).hexdigest()}"')


def timed(repeats: int) -> tuple[list[Timed], list[Timed], dict[str, object]]:
    """Return all timed contests, the contest of the trap with memory given back, and a description of the machine."""
    rows, machine = [], {}
    for name in tqdm(CONTESTS, desc="timing", unit="contest"):
        more, machine = in_clean_process([name], repeats=repeats)
        rows += more
    # Only one batch and layout: larger tensors before it would make the allocator keep the memory of smaller ones.
    trap, _ = in_clean_process([TRAP], batches=(32,), layouts=("NCHW",), repeats=repeats, keep_memory=False)
    return rows, trap, machine


def show_times(rows: list[Timed], trap: list[Timed], machine: dict[str, object]) -> None:
    """Print the tables of the contests."""
    print(f"measured on one thread; {', '.join(f'{name} {value}' for name, value in machine.items())}")
    for name, (title, settings) in SHOWN.items():
        for batch, layout in settings:
            print(f"\n{title}, batch {batch}, {layout}\n{speed_table(find_contest(rows, name, batch, layout))}")
    print("\nthe trap: memory kept, and given back to the system at each call, batch 32, NCHW")
    print(trap_table(find_contest(rows, TRAP, 32, "NCHW"), find_contest(trap, TRAP, 32, "NCHW")))


def show(study: Study) -> None:
    """Print all tables."""
    for model, contest in (("small_cnn", "small_model"), ("wide_cnn", "wide_model")):
        runs = study.sweeps[model]
        print(f"\n{model}: {len({run.seed for run in runs})} seeds; ms at batch 32, channels_last")
        print(sweep_table(runs, study.contest(contest, 32, "channels_last")))
        for method in METHODS:
            if any(run.method == method for run in runs):
                print(f"{method}: at most a point of validation accuracy lost from {choose_fraction(runs, method)} on")
    print("\nequal MACs, trained alike; ms at batch 32, channels_last")
    print(equal_table(study.equal, study.contest("equal_models", 32, "channels_last")))
    print()
    show_times(list(study.speed), list(study.trap), dict(study.settings["machine"]))


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--time", action="store_true", help="time the contests on this machine")
    what.add_argument("--record", type=Path, metavar="DIR", help="make the study again")
    parser.add_argument("--repeats", type=int, default=30, help="turns with --time")
    given = parser.parse_args()
    if given.record:
        record(given.record)
    elif given.time:
        show_times(*timed(given.repeats))
    else:
        show(recorded())


if __name__ == "__main__":
    main()
