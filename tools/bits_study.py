"""How few bits a CNN needs, and how much a teacher helps: as recorded, or trained again.

    python tools/bits_study.py                         # the tables of studies/records/bits.json
    python tools/bits_study.py --record DIR            # everything again, about twenty-five minutes on one core
    python tools/bits_study.py --record DIR --seeds 0 # only one seed, to share the work among processes

--record keeps each part in DIR as it is done, and continues where it was when it is called with the same folder again.
With all seeds it writes the file and prints its hash, for record.RECORD_SHA256 and studies/records/README.md. Settings
were chosen on validation data; test data chose nothing. On another machine accuracies differ slightly.
"""

import argparse
import hashlib
import platform
from pathlib import Path

import torch
from tqdm import tqdm

from mini_lib import data
from mini_lib.files import write_file
from studies.bits.record import (
    RECORD_FILE,
    Study,
    accuracy_table,
    bytes_table,
    choice_table,
    from_json,
    gain_table,
    recorded,
    to_json,
)
from studies.bits.run import Settings, parts_of, run_study
from studies.bits.study import LONGER, ROUNDED, ROUNDED_ANEW, TRAINED_ANEW
from studies.bits.teachers import HELPS, PLAIN
from studies.factorize.record import percent


def record(folder: Path, seeds: tuple[int, ...]) -> None:
    """Make what is missing in the folder and, once all seeds are there, the file of the study."""
    torch.set_num_threads(1)
    settings = Settings(seeds=seeds)
    machine = {"torch": torch.__version__, "processor": platform.machine(), "threads": 1}
    with tqdm(desc="runs", unit="run") as bar:

        def show(part: str, run: object) -> None:
            bar.set_postfix_str(f"{part} {run.arm}", refresh=False)
            bar.update()

        study = run_study(settings, folder, data.fashion(), machine, show)
    if seeds != Settings().seeds:
        print(f"{len(parts_of(settings))} parts of seeds {seeds} are in {folder}")
        return
    text = to_json(study).encode()
    write_file(RECORD_FILE, text)
    show_tables(from_json(text.decode()))
    print(f'\n{RECORD_FILE}: {len(text):,} bytes\nRECORD_SHA256 = "{hashlib.sha256(text).hexdigest()}"')


def show_tables(study: Study) -> None:
    """Print all tables."""
    runs = study.few_bits
    for which in ("validation", "test"):
        print(
            f"the ensembles that teach: {which} accuracy {percent([getattr(one, which) for one in study.teachers])} %"
        )
    for which in ("validation", "test"):
        print(f"\nsmall_cnn, {which} accuracy in percent, mean ± standard deviation over seeds\n")
        print(accuracy_table(runs, which))
    print("\npoints of test accuracy more than the plain training of the same width, seed by seed\n")
    print(gain_table(runs, (ROUNDED, ROUNDED_ANEW, *HELPS[1:], TRAINED_ANEW, LONGER), PLAIN))
    print(f"\nof these four trainings, all of the same steps\n\n{choice_table(runs, HELPS)}")
    print(f"\nwhole files\n\n{bytes_table(runs)}")
    for pictures, students in study.students.items():
        arms = list(dict.fromkeys(run.arm for run in students))
        print(
            f"\na float student of half the channels from scratch, {int(pictures):,} labelled pictures: test accuracy\n"
        )
        print(accuracy_table(students))
        print(f"\npoints more than plain\n\n{gain_table(students, arms[1:], PLAIN)}")


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="DIR", help="make the study again")
    parser.add_argument("--seeds", type=int, nargs="+", default=Settings().seeds, help="with --record: only these")
    given = parser.parse_args()
    if given.record:
        record(given.record, tuple(given.seeds))
    else:
        show_tables(recorded())


if __name__ == "__main__":
    main()
