"""Searched policies compared with their controls, on few labels: as recorded, or searched and trained again.

    python tools/policy_study.py                         # the tables of studies/records/policies.json
    python tools/policy_study.py --policies 0            # and the winners of one seed, as tables of steps
    python tools/policy_study.py --record DIR            # everything again, three quarters of an hour on one core
    python tools/policy_study.py --record DIR --jobs 2   # two processes; for several machines see run_contest

--record keeps each search and each arm's nets in DIR as they are done, and continues where it was when it is called
with the same folder again. It writes the file and prints its hash, for contest_record.RECORD_SHA256 and
studies/records/README.md. Test data chose nothing. On another machine accuracies differ slightly. They also differ
slightly from the shipped record, which is older than a correction of `auto_contrast` by one grey level.
"""

import argparse
import hashlib
import platform
from pathlib import Path

import torch
from joblib import parallel_config
from tqdm import tqdm

from mini_lib.files import write_file
from studies.augment.contest import AFFINE, ALL_LABELS, JOINED, NONE, Contest
from studies.augment.contest_record import (
    RECORD_FILE,
    Results,
    accuracy_table,
    cost_table,
    from_json,
    gain_table,
    luck_table,
    recorded,
    to_json,
    winner_text,
)
from studies.augment.contest_run import run_contest


def record(folder: Path, jobs: int) -> None:
    """Make what is missing in the folder, and the file of the contest."""
    torch.set_num_threads(1)
    machine = {"torch": torch.__version__, "processor": platform.machine(), "threads": 1}
    with tqdm(desc="parts", unit="part") as bar:

        def show(part: object) -> None:
            bar.set_postfix_str(f"seed {part.seed} {getattr(part, 'method', None) or part.arm}", refresh=False)
            bar.update()

        with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
            results = run_contest(Contest(), folder, machine=machine, progress=show)
    text = to_json(results).encode()
    write_file(RECORD_FILE, text)
    show_tables(from_json(text.decode()))
    print(f'\n{RECORD_FILE}: {len(text):,} bytes\nRECORD_SHA256 = "{hashlib.sha256(text).hexdigest()}"')


def show_tables(results: Results) -> None:
    """Print all tables."""
    print(f"cost of a search, mean over seeds\n\n{cost_table(results)}")
    print(f"\nreward of the winner of a search, and its accuracies trained again, in percent\n\n{luck_table(results)}")
    print(f"\nfinal nets: accuracies in percent, mean ± standard deviation over seeds\n\n{accuracy_table(results)}")
    for over in (NONE, JOINED, AFFINE, ALL_LABELS + NONE):
        print(f"\npoints of test accuracy more than {over!r}, seed by seed\n\n{gain_table(results, over)}")


def show_policies(results: Results, seed: int) -> None:
    """Print the winner of each search of a seed."""
    for search in results.searches:
        if search.seed == seed:
            print(f"\n{search.method}, reward {search.reward:.1%}\n\n{winner_text(search)}")


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="DIR", help="make the contest again")
    parser.add_argument("--jobs", type=int, default=1, help="with --record: processes at a time")
    parser.add_argument("--policies", type=int, metavar="SEED", help="print the winners of this seed too")
    given = parser.parse_args()
    if given.record:
        record(given.record, given.jobs)
        return
    results = recorded()
    show_tables(results)
    if given.policies is not None:
        show_policies(results, given.policies)


if __name__ == "__main__":
    main()
