"""When augmentation hurts, and how a guard helps: as recorded, or trained again.

    python tools/harm_study.py                         # the tables of studies/records/augment.json
    python tools/harm_study.py --record DIR            # everything again, about fifteen minutes on one core

--record keeps each part in DIR as it is done, and continues where it was when it is called with the same folder again.
Once all parts are there it writes the file and prints its hash, for record.RECORD_SHA256 and studies/records/README.md.
Settings were chosen on training and validation data. Which guards and which longer controls are shown was decided
after a first run, with its test figures seen. On another machine accuracies differ slightly.
"""

import argparse
import hashlib
import platform
from pathlib import Path

import torch
from tqdm import tqdm

from mini_lib.files import write_file
from studies.augment.harm.nets import Cell
from studies.augment.harm.record import (
    RECORD_FILE,
    Study,
    cells_of,
    class_table,
    control_table,
    effect_table,
    from_json,
    operation_table,
    rank_correlation,
    recorded,
    shortcut_table,
    to_json,
    turning_table,
    width_table,
)
from studies.augment.harm.references import JUDGES
from studies.augment.harm.run import Settings, parts_of, run_study


def record(folder: Path) -> None:
    """Make what is missing in the folder, and then the file of the study."""
    torch.set_num_threads(1)
    settings = Settings()
    machine = {"torch": torch.__version__, "processor": platform.machine(), "threads": 1}
    with tqdm(desc="parts", unit="part", total=len(parts_of(settings))) as bar:

        def show(part: str) -> None:
            bar.set_postfix_str(part, refresh=False)
            bar.update()

        study = run_study(settings, folder, machine, show)
    text = to_json(study).encode()
    write_file(RECORD_FILE, text)
    show_tables(from_json(text.decode()))
    print(f'\n{RECORD_FILE}: {len(text):,} bytes\nRECORD_SHA256 = "{hashlib.sha256(text).hexdigest()}"')


def show_tables(study: Study) -> None:
    """Print all tables."""
    for cell in cells_of(study.turning):
        print(f"\ndigits, {said(cell)}: test accuracy in percent, mean ± standard deviation over seeds\n")
        print(turning_table(study, cell))
        print(f"\ngain of turning in the accuracy of each upright digit, in points\n\n{class_table(study, cell)}")
        print(f"\nclasses that turned test digits are recognised as, in percent\n\n{shortcut_table(study, cell)}")
    print("\ntest accuracy without augmentation, in percent, and the gain by augmentation, in points (95% interval)\n")
    print(width_table(study))
    print("\ngain by an operation on half of the pictures, in points (95% interval); kept classes, %\n")
    print(operation_table(study))
    print(f"\nhelps or harms where the interval lies on one side of 0\n\n{effect_table(study)}")
    print(f"\nthe same with more labels and longer training, in points (95% interval)\n\n{control_table(study)}")
    print("\nSpearman's rank correlation of label safety and gain\n")
    for task in ("digits", "clothes"):
        print(task, *(f"{judge}: {rank_correlation(study, task, judge):+.2f}" for judge in JUDGES))


def said(cell: Cell) -> str:
    """Return a cell in words."""
    return f"{cell.labels} labels, {cell.steps} steps, width {cell.width}"


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="DIR", help="make the study again")
    given = parser.parse_args()
    if given.record:
        record(given.record)
    else:
        show_tables(recorded())


if __name__ == "__main__":
    main()
