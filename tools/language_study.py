"""The loss of a language model by compression: as recorded, or computed again.

    python tools/language_study.py                                        # the tables of studies/records/language.json
    python tools/language_study.py --record DIR                           # everything again, an hour on one core
    python tools/language_study.py --record DIR --parts float gptq-3      # only these parts

--record keeps each part in DIR as it is done, and continues where it was when it is called with the same folder again.
It writes the file with the parts that are there and prints its hash, for record.RECORD_SHA256 and
studies/records/README.md. On another machine perplexities differ slightly. --model FILE names the model's file if it is
not installed.
"""

import argparse
import hashlib
import platform
import time
from pathlib import Path

import torch

from mini_lib.files import write_file
from mini_lib.llm.model.load import load_language_model
from mini_lib.llm.model.source import SMOLLM2_SHA256, find_model_file
from studies.language.record import RECORD_FILE, Study, contest, from_json, recorded, table, to_json
from studies.language.run import Settings, bench_of, run_study
from studies.language.study import Plan

QUICK = Plan(evaluation_windows=2, calibration_windows=1, candidates=2)


def record(model: Path | None, folder: Path, parts: tuple[str, ...] | None, plan: Plan, file: Path) -> None:
    """Make what is missing in the folder, and the file of the study."""
    torch.set_num_threads(1)
    path = find_model_file(model)
    settings = Settings(SMOLLM2_SHA256, plan)
    machine = {"torch": torch.__version__, "processor": platform.machine(), "threads": 1}
    started = time.perf_counter()

    def show(part: str, run: object) -> None:
        took = (
            f"made in {run.made_s:.0f} s, judged in {run.judged_s:.0f} s, {time.perf_counter() - started:.0f} s in all"
        )
        print(f"{part}: {run.method}, {run.at}: {run.perplexity.value:.3f}, {took}", flush=True)

    study = run_study(settings, folder, bench_of(load_language_model(path), plan), machine, show, parts)
    text = to_json(study).encode()
    write_file(file, text)
    show_tables(from_json(text.decode()))
    print(f'\n{file}: {len(text):,} bytes\nRECORD_SHA256 = "{hashlib.sha256(text).hexdigest()}"')


def show_tables(study: Study) -> None:
    """Print all tables."""
    print(table(study))
    methods = {}
    for run in study.runs:
        methods.setdefault(run.at, []).append(run.method)
    pairs = [(method, those[0], at) for at, those in methods.items() for method in those[1:]]
    print(f"\non the same windows\n\n{contest(study, pairs)}")


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="FILE", help="with --record: the model's GGUF file")
    parser.add_argument("--record", type=Path, metavar="DIR", help="make the study again")
    parser.add_argument("--parts", nargs="+", help="with --record: only these")
    parser.add_argument("--quick", type=Path, metavar="FILE", help="with --record: two windows, written to this file")
    given = parser.parse_args()
    if given.record:
        parts = None if given.parts is None else tuple(given.parts)
        record(given.model, given.record, parts, QUICK if given.quick else Plan(), given.quick or RECORD_FILE)
    else:
        show_tables(recorded())


if __name__ == "__main__":
    main()
