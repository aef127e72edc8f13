"""Compare the simulated caches with valgrind's cachegrind: every supplied kernel, several schedules, three machines.

    python -m tools.cachegrind_table                   # the whole table
    python -m tools.cachegrind_table matmul jacobi     # some kernels

Each nest becomes a C function over static arrays whose addresses the program prints. Every access is volatile, so that
it is one instruction. Before each function a large buffer is read, so that the caches hold nothing useful. The
simulation runs with the real addresses. The counts of a function are its own: cachegrind attributes references and
misses to the function that makes them.

Every access of the nest is in the function, but a compiler that runs out of registers adds loads
and stores of its own on the stack. So each function is compiled in three ways, and the one with the fewest references
is used: the others contain more than the nest.

A difference of 16 references and 4 misses, or 0.1 %, is allowed: entering and leaving a function touches the stack, and
instructions share the last level with data.

Source: Nethercote 2004, "Dynamic Binary Analysis and Instrumentation", section 3.3 (cachegrind's
caches).
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mini_lib import native
from mini_lib.loops import Nest
from mini_lib.loops.caches.cache import Cache
from mini_lib.loops.caches.trace import default_bases, misses
from mini_lib.loops.codegen.emit import function_lines, function_name, header_lines
from mini_lib.loops.codegen.text import scope_of
from mini_lib.loops.codegen.values import Prelude
from tools.cachegrind_cases import cases

MACHINES = (
    (Cache(8 * 1024, ways=2), Cache(64 * 1024, ways=8)),
    (Cache(32 * 1024, ways=8), Cache(256 * 1024, ways=16)),
    (Cache(4 * 1024, ways=1), Cache(128 * 1024, ways=4)),
)
WASH_BYTES = 512 * 1024  # twice the largest last level
FLAGS = ("-fno-pie", "-no-pie", "-mavx2", "-ffp-contract=off")
LEVELS = ("-O1", "-Os", "-Og")
INSTRUCTION_CACHE = "--I1=32768,8,64"
REFERENCES_OFF, MISSES_OFF, SHARE_OFF = 16, 4, 0.001


@dataclass(frozen=True)
class Counts:
    """Data references and misses of the first level, and misses of the last level."""

    references: int
    d1_misses: int
    ll_misses: int


@dataclass(frozen=True)
class Row:
    """One kernel under one schedule on one machine: our simulated counts, and those of cachegrind.

    `level` is how the function was compiled.
    """

    kernel: str
    schedule: str
    level: str
    machine: tuple[Cache, Cache]
    simulated: Counts
    counted: Counts

    @property
    def agrees(self) -> bool:
        """Whether each count is within the allowed difference."""
        pairs = (
            (self.simulated.references, self.counted.references, REFERENCES_OFF),
            (self.simulated.d1_misses, self.counted.d1_misses, MISSES_OFF),
            (self.simulated.ll_misses, self.counted.ll_misses, MISSES_OFF),
        )
        return all(abs(ours - theirs) <= max(off, SHARE_OFF * theirs) for ours, theirs, off in pairs)


def rows(nests: Sequence[tuple[str, str, Nest]]) -> list[Row]:
    """Run every nest under cachegrind on each machine, and in the simulation.

    Raises:
        RuntimeError: valgrind is not installed, or does not run the program.
    """
    if shutil.which("valgrind") is None:
        raise RuntimeError("valgrind is not installed; try: apt-get install valgrind")
    found = []
    with tempfile.TemporaryDirectory(prefix="cachegrind_") as folder:
        text = source(nests)
        programs = {level: native.build_program(text, Path(folder), flags=(level, *FLAGS)) for level in LEVELS}
        for machine in MACHINES:
            runs = {level: cachegrind(programs[level], machine, Path(folder)) for level in LEVELS}
            for number, case in enumerate(nests):
                found.append(_row(case, _prefix(number), machine, runs))
    return found


def _row(
    case: tuple[str, str, Nest],
    prefix: str,
    machine: tuple[Cache, Cache],
    runs: dict[str, tuple[dict[str, int], dict[str, Counts]]],
) -> Row:
    kernel, schedule, nest = case
    function, names = function_name(nest, prefix), scope_of(nest, prefix).names
    level = min(runs, key=lambda level: runs[level][1][function].references)
    addresses, counted = runs[level]
    bases = {name: addresses[names[name]] for name in default_bases(nest)}
    first, last = misses(nest, *machine, bases=bases)
    simulated = Counts(first.references, first.misses, last.misses)
    return Row(kernel, schedule, level, machine, simulated, counted[function])


def source(nests: Sequence[tuple[str, str, Nest]]) -> str:
    """One C program with a function for each nest; it prints all addresses, then calls them."""
    prelude = Prelude(volatile=True)
    functions, prints, calls = [], [], []
    for number, (_, _, nest) in enumerate(nests):
        prefix = _prefix(number)
        name, names = function_name(nest, prefix), scope_of(nest, prefix).names
        functions.append(f"__attribute__((noinline)) void {name}(void);")
        functions += function_lines(nest, prelude, volatile=True, static=True, prefix=prefix)
        for buffer in default_bases(nest):
            prints.append(f'    printf("{names[buffer]} %p\\n", (void *)&{names[buffer]});')
        calls.append(f"    wash(); {name}();")
    return "\n".join(
        [
            "#include <stdio.h>",
            *header_lines(prelude),
            # a real function would touch the stack and its tables; the value does not matter here
            "#define expf(x) (1.0f + (x))",
            "#define exp(x) (1.0 + (x))",
            f"static volatile char bath[{WASH_BYTES}];",
            "static __attribute__((noinline)) void wash(void) {",
            f"    for (int at = 0; at < {WASH_BYTES}; at += 64) bath[at] = 1;",
            "}",
            *functions,
            "int main(void) {",
            *prints,
            "    fflush(stdout);",
            *calls,
            "    return 0;",
            "}",
            "",
        ]
    )


def cachegrind(program: Path, machine: tuple[Cache, Cache], folder: Path) -> tuple[dict[str, int], dict[str, Counts]]:
    """The addresses that a program prints, and cachegrind's counts for each of its functions."""
    report = folder / "cachegrind.out"
    shapes = [
        f"--{name}={cache.size_bytes},{cache.ways},{cache.line_bytes}"
        for name, cache in zip(("D1", "LL"), machine, strict=True)
    ]
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=yes", INSTRUCTION_CACHE, *shapes]
    done = subprocess.run(
        [*command, f"--cachegrind-out-file={report}", str(program)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"valgrind does not run the program:\n{done.stderr[-2000:]}")
    addresses = {name: int(address, 16) for name, address in re.findall(r"^(\w+) (0x\w+)$", done.stdout, re.M)}
    return addresses, read_report(report.read_text(encoding="utf-8"))


def read_report(text: str) -> dict[str, Counts]:
    """The counts of each function in a cachegrind.out file, without those of the functions that it calls."""
    events: list[str] = []
    sums: dict[str, dict[str, int]] = {}
    function = ""
    for line in text.splitlines():
        if line.startswith("events:"):
            events = line.split()[1:]
        elif line.startswith("fn="):
            function = line.removeprefix("fn=")
        elif line[:1].isdigit():
            total = sums.setdefault(function, dict.fromkeys(events, 0))
            for event, count in zip(events, line.split()[1:], strict=False):
                total[event] += int(count)
    return {name: Counts(s["Dr"] + s["Dw"], s["D1mr"] + s["D1mw"], s["DLmr"] + s["DLmw"]) for name, s in sums.items()}


def table(found: Sequence[Row]) -> str:
    """The rows as text, our counts next to cachegrind's, one line per machine."""
    lines = [
        f"{'kernel':<17} {'schedule':<16} {'cc':<3} {'D1':>6} {'LL':>7} | "
        f"{'references':>10} {'cachegrind':>10} | "
        f"{'D1 misses':>9} {'cachegrind':>10} | {'LL misses':>9} {'cachegrind':>10} |"
    ]
    for row in found:
        first, last = (f"{c.size_bytes // 1024}K/{c.ways}" for c in row.machine)
        ours, theirs = row.simulated, row.counted
        lines.append(
            f"{row.kernel:<17} {row.schedule:<16} {row.level:<3} {first:>6} {last:>7} | "
            f"{ours.references:>10,} {theirs.references:>10,} | "
            f"{ours.d1_misses:>9,} {theirs.d1_misses:>10,} | "
            f"{ours.ll_misses:>9,} {theirs.ll_misses:>10,} | {'ok' if row.agrees else 'OFF'}"
        )
    agreeing = sum(row.agrees for row in found)
    lines.append(
        f"{agreeing} of {len(found)} within {REFERENCES_OFF} references and {MISSES_OFF} misses, or {SHARE_OFF:.1%}"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 if a row is off."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kernels", nargs="*", help="only these kernels; the default is all")
    wanted = parser.parse_args(arguments).kernels
    found = rows([case for case in cases() if not wanted or case[0] in wanted])
    print(table(found))
    return 0 if all(row.agrees for row in found) else 1


def _prefix(number: int) -> str:
    return f"case{number}_"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
