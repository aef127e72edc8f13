"""Print how far the LLM calculator is from published measurements: `python tools/llm_error.py`.

The constants of the engines are fitted on one half of the rows (a hash of what was run decides which); the errors
that count are those of the other half. `--rows FILE` checks further rows of your own, in the columns of one of the
tables in mini_lib/assets/llm, against the constants as they are. `--fit` fits the constants anew and prints them.
`--exchange` fits them on the half that is else held out.
"""

import argparse
from dataclasses import fields
from pathlib import Path

from mini_lib.columns import aligned
from mini_lib.llm.published.fit import CONSTANTS, ComparedRow, compare, fit_engines, median_error
from mini_lib.llm.cost.engines import GENERATION_2023
from mini_lib.llm.published.rows import halves, published_rows, read_rows

GROUPS = (
    ("all rows", lambda row: True),
    ("throughput", lambda row: row.kind == "throughput"),
    ("throughput, one device", lambda row: row.kind == "throughput" and row.tensor_parallel == 1),
    ("throughput, tensor parallel", lambda row: row.kind == "throughput" and row.tensor_parallel > 1),
    ("tensor parallel, all kinds", lambda row: row.tensor_parallel > 1),
    ("time to first token", lambda row: row.kind == "ttft"),
    ("decode, batch 1", lambda row: row.kind == "decode"),
    ("TensorRT-LLM", lambda row: row.engine == "TensorRT-LLM"),
    ("gpt-fast", lambda row: row.engine == "gpt-fast"),
    ("llama.cpp, NVIDIA", lambda row: row.engine == "llama.cpp"),
    ("llama.cpp, Apple", lambda row: row.engine == "llama.cpp, Metal"),
)


def summary(halves_checked: dict[str, tuple[ComparedRow, ...]]) -> str:
    """Return the median absolute error of each group of rows, a column pair for each half."""
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
    """Return the rows that are furthest off."""
    rows = [("off by", "measured", "predicted", "at best", "what was run")]
    for one in sorted(checks, key=lambda one: -abs(one.error))[:count]:
        r = one.row
        run = (
            f"{r.kind}: {r.model}, {r.tensor_parallel} x {r.device}, batch {r.batch}, "
            f"{r.prompt} in, {r.output} out, {r.weight_bits:g} bits ({r.source})"
        )
        rows.append(
            (f"{one.error:+.0%}", *(f"{s * 1e3:.4g} ms" for s in (r.seconds, one.predicted_s, one.ideal_s)), run)
        )
    return aligned(rows, left=(4,))


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, help="a CSV of further rows, in the columns of a shipped table")
    parser.add_argument("--fit", action="store_true", help="fit the constants anew, and print them")
    parser.add_argument("--exchange", action="store_true", help="exchange the halves, and fit the constants anew")
    parser.add_argument("--worst", type=int, default=12, help="how many of the worst rows to name")
    arguments = parser.parse_args()
    calibration, held_out = halves(published_rows())
    if arguments.exchange:
        calibration, held_out = held_out, calibration
    engines = fit_engines(calibration) if arguments.fit or arguments.exchange else BY_ENGINE
    names = [field.name for field in fields(next(iter(engines.values())))]
    print(f"{len(CONSTANTS)} constants, fitted on {len(calibration)} rows\n")
    print(
        aligned([("", *engines), *((name, *(f"{getattr(e, name):.3g}" for e in engines.values())) for name in names)])
    )
    if arguments.rows:
        checked = {arguments.rows.name: compare(read_rows(arguments.rows), engines)}
    else:
        checked = {"held out": compare(held_out, engines), "fitted": compare(calibration, engines)}
    print(f"\n{summary(checked)}\n")
    every = tuple(one for checks in checked.values() for one in checks)
    beaten = [one for one in every if one.row.seconds < one.ideal_s]
    print(f"{len(every) - len(beaten)} of {len(every)} rows are slower than the ideal roofline, as all must be\n")
    print(worst(every, arguments.worst))


if __name__ == "__main__":
    main()
