"""Published measurements of speed, each row with its source, to compare the calculator with.

Source: the tables of NVIDIA's TensorRT-LLM v0.5 and v0.6.1 (docs/source/performance.md), the README of gpt-fast,
and "GPU-Benchmarks-on-LLM-Inference" (llama.cpp, snapshots of May 2024). For 2024 to 2026, each row names its own
source.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mini_lib._assets import ASSETS
from mini_lib.llm.cost.limits import bits
from mini_lib.require import checked, of_type, one_of, positive, shown, whole

KINDS = ("throughput", "queued", "ttft", "decode")
BITS = {"bf16": 16.0, "F16": 16.0, "int8": 8.0, "int4-g32": 5.0, "Q4_K_M": 4.9}
"""Stored bits per weight. int4-g32: 4 bits, with a 16-bit scale and zero point per 32. Q4_K_M: 4.58 GiB for 8.03e9."""


@dataclass(frozen=True)
class Measurement:
    """One published row. `seconds` is the measured time, whatever the unit of the table.

    `kind` is "throughput" (seconds per token of the whole service, for a batch that starts and ends together), "queued"
    (the same, with all requests waiting from the start and served as they find room: `batch` is None), "ttft" (seconds
    to the first token), or "decode" (seconds per token of one user, after `prompt` tokens of context). `engine` is the
    name of an `EngineProfile`, with its year.

    Raises:
        TypeError, ValueError: the kind is unknown, a text is not a string or is empty, a count or figure is not a
            number above 0, or `batch` is given where all requests are queued, or not given where they are not.
    """

    kind: str
    engine: str
    source: str
    device: str
    model: str
    batch: int | None
    prompt: int
    output: int
    weight_bits: float
    kv_bits: float
    compute_bits: int
    tensor_parallel: int
    seconds: float

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS, fix="it says what the seconds are for")
        for name in ("engine", "source", "device", "model"):
            said = of_type(name, getattr(self, name), str, fix="copy it from the table").strip()
            if not said and name != "source":
                raise ValueError(f"{name} must not be empty; copy it from the table")
        if (self.batch is None) != (self.kind == "queued"):
            wanted = "None where" if self.kind == "queued" else "a number unless"
            raise ValueError(
                f"batch must be {wanted} all requests are queued, got {shown(self.batch)} for kind {self.kind!r}; "
                "copy it from the table"
            )
        counts = ("prompt", "output", "tensor_parallel", "compute_bits")
        for name in counts if self.batch is None else ("batch", *counts):
            checked(self, name, whole, low=1, fix="copy it from the table")
        for name in ("weight_bits", "kv_bits"):
            checked(self, name, bits, fix="copy it from the table")
        checked(self, "seconds", positive, fix="copy it from the table")

    @property
    def configuration(self) -> str:
        """The run itself, without who measured it and the result."""
        names = ("kind", "device", "model", "batch", "prompt", "output", "weight_bits", "kv_bits", "tensor_parallel")
        return "|".join(f"{getattr(self, name)}" for name in names)

    @property
    def calibrates(self) -> bool:
        """Whether this row belongs to the half that constants are fitted to: decided by a hash of the run.

        Neither its position nor its result decides, so a new row does not move the others, and two measurements of the
        same run are in the same half.
        """
        return sha256(self.configuration.encode()).digest()[-1] % 2 == 0


def read_rows(path: Path | str) -> tuple[Measurement, ...]:
    """Return the measurements in a CSV with the columns of one of the shipped tables. Empty lines are skipped.

    Raises:
        TypeError: not a path.
        ValueError: the file or a column is missing, the file is not text, or a cell is not a number above 0; the
            message names the line.
    """
    path = Path(of_type("path", path, (Path, str), fix="use Path('rows.csv')"))
    columns, rows = _cells(path)
    readers = {"output_tokens_per_s": _throughput, "ttft_ms": _ttft, "tokens_per_s": _decode}
    kinds = [read for column, read in readers.items() if column in columns]
    if kinds == [_throughput] and "batch" not in columns:
        kinds = [_queued]
    if len(kinds) != 1:
        raise ValueError(
            f"{path.name} must have one of the columns {', '.join(readers)}, got {', '.join(columns)[:200] or 'none'}; "
            "copy the head of a shipped table"
        )
    measured = []
    for number, row in rows:
        try:
            if len(row) != len(columns):
                raise ValueError(f"it has {'fewer' if len(row) < len(columns) else 'more'} cells than the head")
            measured.append(kinds[0](dict(zip(columns, row, strict=True))))
        except KeyError as error:
            raise ValueError(f"{path.name} has no column {error}; copy the head of a shipped table") from error
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path.name}, line {number}: {error}; compare it with a shipped row") from error
    return tuple(measured)


def _cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the head of a CSV, and its other lines that are not empty, each with its number."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; `git restore mini_lib/assets/llm` brings the shipped tables back")
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark at the beginning
        reader = csv.reader(file, strict=True)
        try:
            columns = next(reader, [])
            rows = [(reader.line_num, row) for row in reader if any(row)]
        except UnicodeDecodeError as error:
            raise ValueError(f"{path.name} is not a text in UTF-8; save it as CSV, UTF-8") from error
        except csv.Error as error:  # a cell beyond the reader's limit
            raise ValueError(f"{path.name}, line {reader.line_num}: {error}; close the quotes of each cell") from error
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path.name} has a column twice in {', '.join(columns)[:200]}; give each one name")
    return columns, rows


def published_rows() -> tuple[Measurement, ...]:
    """Return all shipped measurements.

    >>> rows = published_rows()
    >>> sorted({row.kind for row in rows}), len({row.source for row in rows})
    (['decode', 'throughput', 'ttft'], 4)
    """
    return tuple(
        row for kind in ("throughput", "ttft", "decode") for row in read_rows(ASSETS / "llm" / f"published_{kind}.csv")
    )


def queued_rows_2025() -> tuple[Measurement, ...]:
    """Return the shipped rows of 2025 in which all requests are queued at once, and served by in-flight batching.

    >>> rows = queued_rows_2025()
    >>> len(rows), {row.kind for row in rows}
    (77, {'queued'})
    """
    return read_rows(ASSETS / "llm" / "published_queued_2025.csv")


def decode_rows_2025() -> tuple[Measurement, ...]:
    """Return the shipped decode speeds of single devices from 2024 to 2026: newer engines than in `published_rows()`.

    >>> rows = decode_rows_2025()
    >>> sorted({row.engine for row in rows})
    ['MLX 2025', 'SGLang 2025', 'llama.cpp 2025', 'llama.cpp, Metal 2025', 'vLLM 2025']
    """
    return read_rows(ASSETS / "llm" / "published_decode_2025.csv")


def halves(rows: Iterable[Measurement]) -> tuple[tuple[Measurement, ...], tuple[Measurement, ...]]:
    """Return the rows that constants may be fitted to, and those that measure the error.

    Raises:
        TypeError: something other than a `Measurement`.
    """
    rows = check_rows(rows)
    return tuple(row for row in rows if row.calibrates), tuple(row for row in rows if not row.calibrates)


def check_rows(rows: object) -> tuple[Measurement, ...]:
    """Return the rows as a tuple.

    Raises:
        TypeError: something other than a `Measurement`.
    """
    fix = "use published_rows()"
    rows = tuple(of_type("rows", rows, Iterable, fix=fix))
    return tuple(of_type(f"rows[{place}]", row, Measurement, fix=fix) for place, row in enumerate(rows))


def _plain(digits: str) -> str:
    """Python accepts 0_15 as 15, and the digits of every script; in a table these are typing errors."""
    if "_" in digits or not digits.isascii():
        raise ValueError(f"{shown(digits)} is not a number in plain digits")
    return digits


def _number(row: dict[str, str], column: str) -> float:
    return float(_plain(row[column]))


def _whole(row: dict[str, str], column: str) -> int:
    return int(_plain(row[column]))


def _figure(row: dict[str, str], column: str) -> float:
    return positive(column, _number(row, column), fix="leave out what could not be run")


def _throughput(row: dict[str, str]) -> Measurement:
    devices = whole("tensor_parallel", _whole(row, "tensor_parallel"), low=1, fix="copy it from the table")
    if row["counted"] not in ("per_gpu", "total"):
        raise ValueError(f'counted must be "per_gpu" or "total", got {row["counted"]!r}')
    total = _figure(row, "output_tokens_per_s") * (devices if row["counted"] == "per_gpu" else 1)
    return _tensorrt(row, "throughput", _whole(row, "output_tokens"), _number(row, "kv_bits"), 1 / total)


def _queued(row: dict[str, str]) -> Measurement:
    if row["counted"] != "total" or row["pipeline_parallel"] != "1":
        got = f"{row['counted']!r} and {row['pipeline_parallel']}"
        raise ValueError(f'counted must be "total" and pipeline_parallel 1, got {got}; leave other rows out')
    bits = _number(row, "weight_bits")
    # 16 weights in 4 bits share a scale of 8 bits (NVFP4)
    stored = 4.5 if bits == 4 else bits
    run = (None, _whole(row, "input_tokens"), _whole(row, "output_tokens"), stored, _number(row, "kv_bits"), int(bits))
    return _measurement(row, "queued", "TensorRT-LLM 2025", run, 1 / _figure(row, "output_tokens_per_s"))


def _ttft(row: dict[str, str]) -> Measurement:
    return _tensorrt(row, "ttft", 1, _number(row, "weight_bits"), _figure(row, "ttft_ms") / 1e3)


def _tensorrt(row: dict[str, str], kind: str, output: int, kv_bits: float, seconds: float) -> Measurement:
    batch, prompt, bits = _whole(row, "batch"), _whole(row, "input_tokens"), _number(row, "weight_bits")
    compute = 8 if bits == 8 else 16  # in these tables, weights and activations have the same width
    return _measurement(row, kind, "TensorRT-LLM 2023", (batch, prompt, output, bits, kv_bits, compute), seconds)


def _decode(row: dict[str, str]) -> Measurement:
    if "engine" in row:
        return _decode_told(row)
    if row["weight_format"] not in BITS:
        raise ValueError(f"weight_format must be one of {', '.join(BITS)}, got {row['weight_format']!r}")
    engine = "gpt-fast 2023" if row["source"].startswith("gpt-fast") else "llama.cpp 2024"
    if engine == "llama.cpp 2024" and row["gpu"].startswith(("M1", "M2", "M3", "M4")):
        engine = "llama.cpp, Metal 2024"
    # llama.cpp writes that many tokens from an empty context, so on average half of them are there; gpt-fast writes 200
    # after a prompt of 5
    context = _whole(row, "context_tokens") // 2 if row["context_tokens"] else 105
    run = (1, context, 1, BITS[row["weight_format"]], 16, 16)
    return _measurement(row, "decode", engine, run, 1 / _figure(row, "tokens_per_s"))


def _decode_told(row: dict[str, str]) -> Measurement:
    """The table of 2024 to 2026 states what the older one leaves implicit: the engine, the bits and the context."""
    compute = 8 if row["weight_format"] == "FP8" else 16
    context = _whole(row, "depth_tokens") + _whole(row, "output_tokens") // 2
    run = (1, context, 1, _number(row, "weight_bits"), 16, compute)
    return _measurement(row, "decode", f"{row['engine']} 2025", run, 1 / _figure(row, "tokens_per_s"))


def _measurement(
    row: dict[str, str], kind: str, engine: str, run: tuple[float | None, ...], seconds: float
) -> Measurement:
    """`run`: batch, prompt, output, and the bits of weights, cache and arithmetic."""
    names = (row["source"], row["gpu"], row["model"])
    return Measurement(kind, engine, *names, *run, _whole(row, "tensor_parallel"), seconds)
