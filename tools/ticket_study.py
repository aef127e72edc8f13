"""Record the lottery-ticket studies that are shipped in studies/records.

    python tools/ticket_study.py tickets --folder DIR        # 15 to 40 minutes
    python tools/ticket_study.py rewinding --folder DIR

If it is stopped, it continues where it was when it is called with the same folder again. It prints the study's table
and the line of results.RECORDED for the new file. No setting was chosen by looking at test data; lengths were chosen so
that a study ends within half an hour. On the same machine a study gives the same results. Another machine or number of
threads sums in another order: accuracies then differ slightly, and tables in the last digit.
"""

import argparse
import hashlib
from pathlib import Path

import torch
from tqdm import tqdm

from mini_lib.files import write_file
from mini_lib.prune.tickets import Recipe
from studies.tickets import Study, run_study
from studies.tickets.results import RECORDED_FOLDER, to_json
from studies.tickets.store import settings_of

STUDIES = {
    "tickets": Study(Recipe(steps=1000, evaluate_at=(50, 100, 200, 400)), seeds=tuple(range(10)), rounds=15),
    # A trial with seeds 0 and 1 at several learning rates suggested that at this rate it is better to go back to a
    # later step. Other seeds must decide whether that is true.
    "rewinding": Study(
        Recipe(steps=600, learning_rate=5e-3, evaluate_at=(120, 300)),
        seeds=tuple(range(10, 20)),
        arms=("ticket", "reinit", "late"),
        rounds=6,
        rate=0.4,
        rewind_to=60,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--folder", type=Path, required=True, help="where the study keeps its state, to continue from")
    parser.add_argument("--threads", type=int, default=1, help="with 1, results repeat to the last digit")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    study = STUDIES[arguments.study]
    with tqdm(total=len(study.seeds) * (study.rounds + 1), unit="round") as bar:
        results = run_study(study, arguments.folder, progress=lambda state: bar.update())
    text = to_json(results, settings_of(study)).encode()
    write_file(RECORDED_FOLDER / f"{arguments.study}.json", text)
    print(results)
    print(f'"{arguments.study}": "{hashlib.sha256(text).hexdigest()}",')


if __name__ == "__main__":
    main()
