"""Decode speeds of 2024 to 2026: what is shipped is what was published, and no device is faster than its limits."""

import csv
import re
from collections import Counter
from hashlib import sha256

import pytest

from mini_lib._assets import ASSETS
from mini_lib.llm.cost.architecture import Experts
from mini_lib.llm.cost.devices import find_device
from mini_lib.llm.cost.efficiency import IDEAL
from mini_lib.llm.cost.memory import memory
from mini_lib.llm.cost.models import LLAMA_3_8B, find_model
from mini_lib.llm.cost.workload import Workload
from mini_lib.llm.published.fit import predicted_s
from mini_lib.llm.published.rows import decode_rows_2025, published_rows, read_rows

ROWS = decode_rows_2025()
with (ASSETS / "llm" / "published_decode_2025.csv").open(newline="", encoding="utf-8") as file:
    LINES = tuple(csv.DictReader(file))

# Typed a second time from the documents: engine, device, model, mean context, tokens a second. tg128 has 64 on average.
SAMPLE = (
    ("llama.cpp 2025", "DGX-Spark", "Qwen2.5-7B", 16, 29.30),
    ("llama.cpp 2025", "DGX-Spark", "Qwen2.5-7B", 32768 + 16, 22.70),
    ("llama.cpp 2025", "DGX-Spark", "Gemma-3-4B", 4096 + 16, 68.94),
    ("llama.cpp 2025", "DGX-Spark", "Qwen3-30B-A3B", 16384 + 16, 40.81),
    ("llama.cpp 2025", "RTX-5090", "LLaMA-2-7B", 64, 222.24),
    ("llama.cpp 2025", "RTX-4070", "Qwen2.5-14B", 64, 47.21),
    ("llama.cpp 2025", "RTX-3090", "LLaMA-3-8B", 8192, 64.76),
    ("llama.cpp 2025", "RX-7900-XTX", "LLaMA-3-8B", 4096 + 32, 98.54),
    ("llama.cpp 2025", "MI300X", "LLaMA-2-7B", 64, 183.18),
    ("llama.cpp 2025", "RTX-PRO-6000", "LLaMA-3-70B", 64, 34.05),
    ("llama.cpp 2025", "Ryzen-AI-Max-395", "LLaMA-2-7B", 64, 53.49),
    ("llama.cpp, Metal 2025", "M3-Pro-18", "LLaMA-3-8B", 64, 25.75),
    ("llama.cpp, Metal 2025", "M3-Ultra-80", "DeepSeek-V3", 64, 20.21),
    ("llama.cpp, Metal 2025", "M2-Max-30", "Gemma-3-27B", 64, 10.23),
    ("MLX 2025", "M4-Max-40", "Qwen3-4B", 2048 + 64, 52.47),
    ("MLX 2025", "M4-Pro-20", "Qwen3-0.6B", 11 + 128, 284.21658575981587),
    ("vLLM 2025", "A100-SXM-80GB", "Qwen2.5-7B", 1025, 84.28),
    ("vLLM 2025", "H100-SXM-80GB", "Qwen2.5-32B", 300, 78.6386),
    ("SGLang 2025", "H20-96GB", "Qwen3-8B", 1025, 81.73),
)


@pytest.mark.parametrize("engine, device, model, context, rate", SAMPLE)
def test_the_table_holds_what_was_published(engine, device, model, context, rate):
    run = (engine, device, model, context)
    found = [1 / row.seconds for row in ROWS if (row.engine, row.device, row.model, row.prompt) == run]
    assert any(figure == pytest.approx(rate, rel=1e-12) for figure in found)


def test_a_depth_is_there_before_the_first_token_and_half_of_the_answer_on_average(tmp_path):
    head = "source,engine,gpu,model,weight_format,weight_bits,tensor_parallel,depth_tokens,output_tokens,tokens_per_s"
    path = tmp_path / "rows.csv"
    path.write_text(
        f"{head}\nx,SGLang,H20-96GB,Qwen3-8B,FP8,8.7,1,4096,128,50\nx,MLX,M5-10,Qwen3-8B,4-bit,4.5,1,0,2,4\n"
    )
    eight, four = read_rows(path)
    assert (eight.kind, eight.engine, eight.device, eight.prompt, eight.seconds) == (
        "decode",
        "SGLang 2025",
        "H20-96GB",
        4096 + 64,
        0.02,
    )
    assert (eight.weight_bits, eight.kv_bits, eight.compute_bits) == (8.7, 16, 8)
    assert (four.prompt, four.weight_bits, four.compute_bits) == (1, 4.5, 16)


@pytest.mark.parametrize(
    "cells, says",
    [
        ("many,128,50", "rows.csv, line 2: invalid literal for int() with base 10: 'many'; compare it with"),
        ("0,0,50", "rows.csv, line 2: prompt must be a whole number of 1 or more, got 0; copy it from the table"),
        ("0,128,0", "rows.csv, line 2: tokens_per_s must be a finite number above 0, got 0.0; leave out what could"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_line(tmp_path, cells, says):
    head = "source,engine,gpu,model,weight_format,weight_bits,tensor_parallel,depth_tokens,output_tokens,tokens_per_s"
    path = tmp_path / "rows.csv"
    path.write_text(f"{head}\nx,MLX,M5-10,Qwen3-8B,4-bit,4.5,1,{cells}\n")
    with pytest.raises(ValueError) as refused:
        read_rows(path)
    assert says in str(refused.value)


def test_there_are_many_rows_of_many_sources_devices_and_engines():
    assert len(ROWS) == len(LINES) >= 25
    assert len({row.source for row in ROWS}) >= 5
    assert len({row.device for row in ROWS}) >= 20
    assert min(Counter(row.engine for row in ROWS).values()) >= 10
    assert len(set(ROWS)) == len(ROWS)
    assert not set(ROWS) & set(published_rows())


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['gpu']} {line['model']} {line['tokens_per_s']}")
def test_every_row_has_a_date_an_address_and_one_device(line):
    assert re.fullmatch(r"202[456](-(0[1-9]|1[012])(-\d\d)?)?", line["date"])
    assert line["date"] <= "2026-11-30"
    assert line["url"].startswith("https://")
    assert line["flash_attention"] in ("yes", "no", "")
    assert line["backend"] in ("CUDA", "Metal", "ROCm", "Vulkan", "")
    assert (line["backend"] == "Metal") == line["gpu"].startswith(("M1", "M2-", "M3-", "M4-", "M5-"))
    assert line["tensor_parallel"] == "1"
    experts = isinstance(find_model(line["model"]).feed_forward, Experts)
    assert ("mixture of experts" in line["note"]) == experts


@pytest.mark.parametrize("path", sorted((ASSETS / "llm").glob("published_*.csv")), ids=lambda path: path.name)
def test_the_table_of_files_has_the_bytes_and_the_hash(path):
    content = path.read_bytes()
    (line,) = re.findall(rf"^\| `llm/{path.name}` .*", (ASSETS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"| {len(content):,} |" in line
    assert f"`{sha256(content).hexdigest()}`" in line


def test_stored_bits_follow_from_the_size_of_the_file():
    """A file of GGUF holds the parameters and little else: its bits over their number, to three decimals."""
    sized = [line for line in LINES if line["size_gib"]]
    assert len(sized) > 50
    for line in sized:
        bits = float(line["size_gib"]) * 2**30 * 8 / find_model(line["model"]).published_parameters
        assert float(line["weight_bits"]) == pytest.approx(bits, abs=0.0005)


def test_stored_bits_where_no_size_is_told():
    """MLX adds a 16-bit scale and offset to 64 weights, or to 32; 16 bits have nothing to add."""
    for line in LINES:
        form, bits = line["weight_format"], float(line["weight_bits"])
        if line["engine"] == "MLX" and form != "bf16":
            assert bits == int(form[0]) + 32 / (32 if form.endswith("g32") else 64)
        if form in ("bf16", "BF16", "F16"):
            assert bits == pytest.approx(16, abs=0.01)


def test_a_head_in_16_bits_counts_with_the_layers_in_4():
    """Qwen2.5-7B by hand: 28 layers in 4 bits, each 128 with 16 bits of scale and 4 of zero; the head in 16."""
    layer = 3584 * (3584 + 2 * 512) + 3584 * 3584 + 3 * 3584 * 18944
    head = 3584 * 152064
    expected = (28 * layer * (4 + 20 / 128) + 16 * head) / (28 * layer + head)
    (bits,) = {line["weight_bits"] for line in LINES if (line["model"], line["weight_format"]) == ("Qwen2.5-7B", "AWQ")}
    assert float(bits) == pytest.approx(expected, abs=0.0005)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.engine} {row.configuration} {1 / row.seconds:.2f}")
def test_no_row_is_faster_than_the_limits_of_its_device_and_every_run_fits(row):
    assert predicted_s(row, IDEAL) <= row.seconds
    asked = Workload(1, 1, 2 * row.prompt, row.weight_bits, row.kv_bits)
    assert memory(find_model(row.model), find_device(row.device), asked).fits


def test_a_device_of_half_the_bandwidth_would_be_found_out():
    """The bound has teeth: most rows reach more than half of what their device could, so half would break it."""
    near = [row for row in ROWS if predicted_s(row, IDEAL) > row.seconds / 2]
    assert len(near) > len(ROWS) / 2
    (fast,) = [row for row in ROWS if (row.device, row.model) == ("M4-10", LLAMA_3_8B.name)]
    assert predicted_s(fast, IDEAL) > fast.seconds / 2
