"""Published measurements as data: what a figure counts, and files that are wrong."""

import csv
import re
from dataclasses import replace

import pytest

from mini_lib import _assets
from mini_lib.llm.cost import ENGINES
from mini_lib.llm.published.fit import compare, fit_engines
from mini_lib.llm.published.rows import BITS, halves, published_rows, read_rows

THROUGHPUT = (
    "source,gpu,weight_bits,kv_bits,model,batch,tensor_parallel,input_tokens,output_tokens,output_tokens_per_s,counted"
)
TTFT = "source,gpu,weight_bits,model,batch,tensor_parallel,input_tokens,ttft_ms"
DECODE = "source,gpu,model,weight_format,tensor_parallel,context_tokens,tokens_per_s"


def read(tmp_path, *lines):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_rows(path)


def test_a_figure_for_each_gpu_is_multiplied_and_a_total_is_not(tmp_path):
    line = "a table,H100-SXM-80GB,8,8,LLaMA-2-70B,64,4,128,2048,500"
    each, total = read(tmp_path, THROUGHPUT, f"{line},per_gpu", f"{line},total")
    assert each.seconds == 1 / 2000  # four devices of 500 tokens a second
    assert total.seconds == 1 / 500
    assert (each.kind, each.engine, each.batch, each.prompt, each.output) == (
        "throughput",
        "TensorRT-LLM 2023",
        64,
        128,
        2048,
    )
    assert (each.tensor_parallel, each.weight_bits, each.kv_bits, each.compute_bits) == (4, 8, 8, 8)


def test_sixteen_bits_are_computed_in_sixteen(tmp_path):
    (row,) = read(tmp_path, THROUGHPUT, "a table,A100-SXM-80GB,16,16,LLaMA-7B,32,1,128,2048,1459,total")
    assert (row.weight_bits, row.compute_bits) == (16, 16)


def test_milliseconds_to_the_first_token(tmp_path):
    (row,) = read(tmp_path, TTFT, "a table,L40S,8,GPT-J-6B,1,1,2048,71")
    assert (row.kind, row.seconds, row.prompt, row.output) == ("ttft", 0.071, 2048, 1)
    assert (row.weight_bits, row.kv_bits, row.compute_bits) == (8, 8, 8)  # the table has one width for all


def test_a_text_that_grows_from_nothing_has_half_of_itself_as_context(tmp_path):
    grown, fast, apple = read(
        tmp_path,
        DECODE,
        "somebody (llama.cpp),RTX-3090,LLaMA-3-8B,Q4_K_M,1,1024,100",
        "gpt-fast README,A100-SXM-80GB-330W,LLaMA-2-7B,int4-g32,2,,200",
        "somebody (llama.cpp),M2-Ultra-76,LLaMA-3-8B,F16,1,512,40",
    )
    assert (grown.kind, grown.engine, grown.seconds, grown.prompt) == ("decode", "llama.cpp 2024", 0.01, 512)
    assert (fast.engine, fast.prompt, fast.tensor_parallel) == ("gpt-fast 2023", 5 + 200 // 2, 2)
    assert (apple.engine, apple.weight_bits) == ("llama.cpp, Metal 2024", 16)


def test_stored_bits_by_hand():
    assert BITS["int4-g32"] == 4 + (16 + 16) / 32  # a scale and a zero point for 32 weights
    # 4.58 GiB for 8.03e9 weights, to the tenth that the file's name leaves open
    assert BITS["Q4_K_M"] == pytest.approx(4.58 * 2**30 * 8 / 8_030_261_248, abs=0.05)


SAMPLE = (
    # typed from the tables themselves: kind, device, model, batch, in, out, devices, figure of the service or user
    ("throughput", "H100-SXM-80GB", "GPT-J-6B", 1024, 128, 128, 1, 26150),
    ("throughput", "H100-SXM-80GB", "GPT-J-6B", 120, 128, 2048, 1, 8011),
    ("throughput", "H100-SXM-80GB", "LLaMA-2-70B", 64, 2048, 2048, 4, 1583),
    ("throughput", "H100-SXM-80GB", "Falcon-180B", 96, 128, 128, 8, 2686),
    ("throughput", "L40S", "LLaMA-7B", 16, 2048, 2048, 1, 531),
    ("throughput", "A100-SXM-80GB", "GPT-J-6B", 64, 128, 128, 1, 3679),
    ("ttft", "H100-SXM-80GB", "LLaMA-7B", 1, 2048, 1, 1, 1 / 0.036),
    ("ttft", "A100-SXM-80GB", "Falcon-180B", 1, 2048, 1, 8, 1 / 0.509),
    ("decode", "A100-SXM-80GB-330W", "LLaMA-2-7B", 1, 105, 1, 1, 104.9),
    ("decode", "A100-SXM-80GB-330W", "LLaMA-2-70B", 1, 105, 1, 8, 80.44),
    ("decode", "RTX-3090", "LLaMA-3-8B", 1, 512, 1, 1, 46.51),
    ("decode", "RTX-4090", "LLaMA-3-8B", 1, 512, 1, 1, 127.74),
    ("decode", "M2-Ultra-76", "LLaMA-3-70B", 1, 512, 1, 1, 4.71),
)


@pytest.mark.parametrize("kind, device, model, batch, prompt, output, devices, figure", SAMPLE)
def test_the_shipped_tables_hold_what_was_published(kind, device, model, batch, prompt, output, devices, figure):
    run = (kind, device, model, batch, prompt, output, devices)
    found = [
        1 / row.seconds
        for row in published_rows()
        if (row.kind, row.device, row.model, row.batch, row.prompt, row.output, row.tensor_parallel) == run
    ]
    assert any(rate == pytest.approx(figure, rel=1e-12) for rate in found)


def test_no_row_is_there_twice():
    rows = published_rows()
    assert len(set(rows)) == len(rows)
    both = halves(rows)
    assert sorted(map(repr, (*both[0], *both[1]))) == sorted(map(repr, rows))


def test_a_mark_of_spreadsheets_at_the_beginning_does_no_harm(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"{TTFT}\na table,L40S,8,GPT-J-6B,1,1,2048,71\n", encoding="utf-8-sig")
    assert read_rows(path)[0].source == "a table"


@pytest.mark.parametrize(
    "lines, says",
    [
        (
            (),
            "rows.csv must have one of the columns output_tokens_per_s, ttft_ms, tokens_per_s, got none; "
            "copy the head of",
        ),
        (
            ("a,b", "1,2"),
            "rows.csv must have one of the columns output_tokens_per_s, ttft_ms, tokens_per_s, got a, b; copy",
        ),
        ((f"{DECODE},ttft_ms", "x,L4,m,F16,1,512,10,7"), "must have one of the columns"),
        (("tokens_per_s", "10"), "rows.csv has no column 'weight_format'; copy the head of a shipped table"),
        ((DECODE, "x,RTX-3090,LLaMA-3-8B,F16"), "rows.csv, line 2: it has fewer cells than the head; compare it with"),
        (
            (DECODE, "x,RTX-3090,LLaMA-3-8B,F16,1,512,40", "x,RTX-3090,LLaMA-3-8B,F16,1,512,fast"),
            "rows.csv, line 3: could not convert string to float: 'fast'; compare it with a shipped row",
        ),
        (
            (DECODE, "x,RTX-3090,LLaMA-3-8B,Q5_0,1,512,40"),
            "rows.csv, line 2: weight_format must be one of bf16, F16, int8, int4-g32, Q4_K_M, got 'Q5_0'; compare",
        ),
        (
            (DECODE, "x,RTX-3090,LLaMA-3-8B,F16,1,512,0"),
            "rows.csv, line 2: tokens_per_s must be a finite number above 0, got 0.0; leave out what could not be run;",
        ),
        ((DECODE, "x,RTX-3090,LLaMA-3-8B,F16,1,512,nan"), "tokens_per_s must be a finite number above 0, got nan"),
        (
            (DECODE, "x,RTX-3090,LLaMA-3-8B,F16,0,512,40"),
            "line 2: tensor_parallel must be a whole number of 1 or more, got 0",
        ),
        ((TTFT, "x,L40S,8,GPT-J-6B,1,1,2048,-3"), "line 2: ttft_ms must be a finite number above 0, got -3.0"),
        ((TTFT, "x,L40S,0,GPT-J-6B,1,1,2048,3"), "line 2: weight_bits must be a finite number above 0, got 0.0"),
        ((TTFT, "x,L40S,8,GPT-J-6B,1,1,2e3,3"), "rows.csv, line 2: invalid literal for int() with base 10: '2e3'"),
        (
            (THROUGHPUT, "x,L40S,8,8,GPT-J-6B,64,1,128,128,100,each"),
            """rows.csv, line 2: counted must be "per_gpu" or "total", got 'each'; compare it with a shipped row""",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(tmp_path, lines, says):
    with pytest.raises(ValueError) as refused:
        read(tmp_path, *lines)
    assert says in str(refused.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(
        ValueError, match="none.csv is missing; `git restore mini_lib/assets/llm` brings the shipped tables"
    ):
        read_rows(tmp_path / "none.csv")


def test_how_a_file_was_saved_does_not_matter(tmp_path):
    line, plain = "x,RTX-3090,LLaMA-3-8B,F16,1,512,40", tmp_path / "plain.csv"
    plain.write_text(f"{DECODE}\n{line}\n")
    for number, saved in enumerate((f"{DECODE}\r\n{line}\r\n", f"{DECODE}\n{line}\n\n,,,,,,\n", f"{DECODE}\n\n{line}")):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(saved.encode())
        assert read_rows(path) == read_rows(str(path)) == read_rows(plain)


@pytest.mark.parametrize(
    "content, says",
    [
        (f"{DECODE}\nx,RTX-3090,m,F16,1,512,40,7\n".encode(), "line 2: it has more cells than the head; compare"),
        (f"{DECODE},gpu\n".encode(), "has a column twice in source, gpu, model,"),
        (f"{DECODE}\n{'x' * 200_000},,,,,,\n".encode(), "line 2: field larger than field limit (131072); close"),
        (f"{DECODE}\nM\xfcller,".encode("latin-1"), "rows.csv is not a text in UTF-8; save it as CSV, UTF-8"),
        (f"{DECODE}\nx,RTX-3090,m,F16,1,512,1e999\n".encode(), "tokens_per_s must be a finite number above 0, got inf"),
        (
            f"{THROUGHPUT}\nx,L40S,8,8,m,64,0,128,128,9,per_gpu\n".encode(),
            "tensor_parallel must be a whole number of 1",
        ),
        (b"[" * 100_000, "must have one of the columns output_tokens_per_s"),
        (b"", "got none; copy the head of a shipped table"),
    ],
)
def test_what_is_no_table_is_refused_in_few_words(tmp_path, content, says):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(says)) as refused:
        read_rows(path)
    assert len(str(refused.value)) < 600


ROW = published_rows()[0]


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"kind": "guess"}, ValueError, "kind must be 'throughput', 'queued', 'ttft' or 'decode', got 'guess'"),
        ({"model": ""}, ValueError, "model must not be empty; copy it from the table"),
        ({"engine": None}, TypeError, "engine must be of type str, got None"),
        ({"batch": None}, ValueError, "batch must be a number unless all requests are queued, got None for kind 'thr"),
        ({"kind": "queued"}, ValueError, "batch must be None where all requests are queued, got"),
        ({"compute_bits": 0}, ValueError, "compute_bits must be a whole number of 1 or more, got 0"),
        ({"weight_bits": 1e9}, ValueError, "weight_bits must be 64 or fewer, got 1000000000.0; copy it from the table"),
    ],
)
def test_a_measurement_checks_itself(change, error, says):
    with pytest.raises(error, match=re.escape(says)):
        replace(ROW, **change)


CONSTANT = ("matmul_16", ("TensorRT-LLM 2023",), 0.7, 1.0)


@pytest.mark.parametrize(
    "constants, error, says",
    [
        ((), ValueError, "there must be at least one constant, got none; use CONSTANTS_2025"),
        ((CONSTANT, CONSTANT), ValueError, "matmul_16 must be given once for TensorRT-LLM 2023, got it twice"),
        ((("speed", *CONSTANT[1:]),), ValueError, "the name of a constant must be 'matmul_16', 'matmul_8'"),
        ((("matmul_16", "MLX 2025", 0.7, 1.0),), TypeError, "the engines of matmul_16 must be a tuple of names"),
        ((("matmul_16", ("MLX 2025",), 0, 1.0),), ValueError, "first of matmul_16 must be a finite number above 0"),
        ((("matmul_16", ("MLX 2025",), 2, 1.0),), ValueError, "first of matmul_16 must not exceed its highest (1.0)"),
        (
            (("matmul_16", 0.7),),
            TypeError,
            "a constant must be (name, engines, first, highest), got ('matmul_16', 0.7)",
        ),
    ],
)
def test_constants_that_cannot_be_fitted_are_refused(constants, error, says):
    with pytest.raises(error, match=re.escape(says)):
        fit_engines([ROW] * 3, constants)


def test_engines_to_compare_with_are_a_mapping():
    with pytest.raises(TypeError, match="engines must be of type Mapping, got"):
        compare([ROW], ENGINES)
    with pytest.raises(TypeError, match="efficiency must be of type Efficiency, got 0.5"):
        compare([ROW], {ROW.engine: 0.5})


@pytest.mark.parametrize("slip", ["1_0", "\u0661\u0660"])
def test_a_number_that_python_alone_would_read_is_refused(tmp_path, slip):
    shipped = (_assets.ASSETS / "llm" / "published_ttft.csv").read_text(encoding="utf-8").splitlines()
    columns, first = shipped[0].split(","), next(csv.reader([shipped[1]]))
    first[columns.index("ttft_ms")] = slip
    path = tmp_path / "slip.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, first])
    with pytest.raises(ValueError, match="slip.csv, line 2: .* is not a number in plain digits"):
        read_rows(path)
