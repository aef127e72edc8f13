"""Print how far the LLM calculator is from published speeds, by generation of engines: `python tools/llm_error.py`.

The constants of the engines are fitted to one half of the rows of their generation (a hash of the run decides which
half); the errors that count are those of the other half. `--rows FILE` compares further rows of your own, in the
columns of one of the tables in mini_lib/assets/llm, with the present constants. `--fit` fits the constants again and
prints them (two minutes for 2025, whose rows under full load are simulated). `--exchange` fits them to the half that is
otherwise held out. `--generation` prints only one of the two.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from mini_lib.columns import aligned
from mini_lib.llm.cost.efficiency import Efficiency
from mini_lib.llm.cost.engines import ENGINE_2023, ENGINES, GENERATION_2023, GENERATION_2025, find_engine
from mini_lib.llm.published.fit import CONSTANTS_2023, CONSTANTS_2025, ComparedRow, compare, fit_engines, median_error
from mini_lib.llm.published.rows import (
    Measurement,
    decode_rows_2025,
    halves,
    published_rows,
    queued_rows_2025,
    read_rows,
)

BY_NAME = {engine.name: engine for engine in ENGINES}
BEFORE = {"TensorRT-LLM 2025": ENGINE_2023, "llama.cpp, Metal 2025": find_engine("llama.cpp, Metal 2024")}
GENERATIONS = {2023: (GENERATION_2023, CONSTANTS_2023), 2025: (GENERATION_2025, CONSTANTS_2025)}


def _of(**wanted: object) -> Callable[[Measurement], bool]:
    return lambda row: all(getattr(row, name) == value for name, value in wanted.items())


GROUPS = (
    ("all rows", lambda row: True),
    ("throughput, one device", _of(kind="throughput", tensor_parallel=1)),
    ("throughput, tensor parallel", lambda row: row.kind == "throughput" and row.tensor_parallel > 1),
    ("full load, requests queued", _of(kind="queued")),
    ("full load, H100", _of(kind="queued", device="H100-SXM-80GB")),
    ("full load, H200", _of(kind="queued", device="H200-SXM-141GB")),
    ("full load, B200", _of(kind="queued", device="B200")),
    ("time to first token", _of(kind="ttft")),
    ("decode, one user", _of(kind="decode")),
    *((engine.name, _of(kind="decode", engine=engine.name)) for engine in ENGINES),
)  # fmt: skip


def summary(halves_checked: Mapping[str, tuple[ComparedRow, ...]]) -> str:
    """Return the median absolute error of each group of rows, with a pair of columns per half."""
    rows = [("median error", *(text for name in halves_checked for text in (name, "rows")))]
    for name, where in GROUPS:
        cells = []
        for checks in halves_checked.values():
            count = sum(where(one.row) for one in checks)
            cells += [f"{median_error(checks, where):.1%}" if count else "-", str(count)]
        if set(cells) != {"-", "0"}:
            rows.append((name, *cells))
    return aligned(rows)


def worst(checks: tuple[ComparedRow, ...], count: int) -> str:
    """Return the rows with the largest errors."""
    rows = [("off by", "measured", "predicted", "at best", "what was run")]
    for one in sorted(checks, key=lambda one: -abs(one.error))[:count]:
        r = one.row
        run = (
            f"{r.kind}: {r.model}, {r.tensor_parallel} x {r.device}, {r.engine}, batch {r.batch or 'as fits'}, "
            f"{r.prompt} in, {r.output} out, {r.weight_bits:g} bits ({r.source})"
        )
        rows.append(
            (f"{one.error:+.0%}", *(f"{s * 1e3:.4g} ms" for s in (r.seconds, one.predicted_s, one.ideal_s)), run)
        )
    return aligned(rows, left=(4,))


def report(checked: Mapping[str, tuple[ComparedRow, ...]], engines: Mapping[str, Efficiency], most: int) -> None:
    """Print the constants, the errors, how many rows the ideal roofline bounds, and the worst rows."""
    names = [field.name for field in fields(Efficiency)]
    heads = ("", *engines)
    print(aligned([heads, *((name, *(f"{getattr(e, name):.3g}" for e in engines.values())) for name in names)]))
    print(f"\n{summary(checked)}\n")
    every = tuple(one for checks in checked.values() for one in checks)
    bounded = sum(one.row.seconds >= one.ideal_s for one in every)
    print(f"{bounded} of {len(every)} rows are slower than the ideal roofline, as all must be\n")
    print(worst(every, most))


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, help="a CSV of further rows, in the columns of a shipped table")
    parser.add_argument("--generation", type=int, choices=tuple(GENERATIONS), help="print only this one")
    parser.add_argument("--fit", action="store_true", help="fit the constants again, and print them")
    parser.add_argument("--exchange", action="store_true", help="exchange the halves, and fit the constants again")
    parser.add_argument("--worst", type=int, default=8, help="how many of the worst rows to name")
    arguments = parser.parse_args()
    if arguments.rows:
        rows = read_rows(arguments.rows)
        used = {name: BY_NAME[name] for name in sorted({row.engine for row in rows})}
        report({arguments.rows.name: compare(rows, used)}, used, arguments.worst)
        return
    for generation, (profiles, constants) in GENERATIONS.items():
        if arguments.generation not in (None, generation):
            continue
        rows = published_rows() if generation == 2023 else (*queued_rows_2025(), *decode_rows_2025())
        calibration, held_out = halves(rows)
        if arguments.exchange:
            calibration, held_out = held_out, calibration
        engines = {engine.name: engine for engine in profiles}
        if arguments.fit or arguments.exchange:
            engines = fit_engines(calibration, constants)
        print(f"Engines of {generation}: {len(constants)} constants, fitted to {len(calibration)} rows\n")
        checked = {"held out": compare(held_out, engines), "fitted": compare(calibration, engines)}
        report(checked, engines, arguments.worst)
        if generation == 2025:
            older = {name: BEFORE.get(name, find_engine("llama.cpp 2024")) for name in engines}
            before = compare(held_out, older)
            said = (f"{kind} {median_error(before, _of(kind=kind)):.0%}" for kind in ("queued", "decode"))
            print(f"\nwith the engines of 2023, the held-out rows are off by: {', '.join(said)} (median)")
        print()


if __name__ == "__main__":
    main()
