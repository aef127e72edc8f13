"""Engines with a date: what they cover, what they say of the rest, and how far off they are on rows held out."""

from dataclasses import fields, replace

import numpy as np
import pytest

from mini_lib.llm.cost.devices import find_device
from mini_lib.llm.cost.efficiency import IDEAL, Efficiency
from mini_lib.llm.cost.engines import (
    ENGINE_2023,
    ENGINE_2025,
    ENGINES,
    GENERATION_2023,
    GENERATION_2025,
    LLAMA_CPP_2025,
    find_engine,
)
from mini_lib.llm.cost.estimate import estimate
from mini_lib.llm.cost.models import LLAMA_3_8B, find_model
from mini_lib.llm.cost.workload import Draft, Workload
from mini_lib.llm.published.fit import CONSTANTS_2025, OF_2023, compare, fit_engines, median_error, predicted_s
from mini_lib.llm.published.rows import decode_rows_2025, published_rows, queued_rows_2025, read_rows
from mini_lib.llm.serving.full_load import full_load

H100, B200 = find_device("H100-SXM-80GB"), find_device("B200")
BY_NAME = {engine.name: engine for engine in ENGINES}
QUEUED, DECODE = queued_rows_2025(), decode_rows_2025()


@pytest.fixture(scope="module")
def compared():
    return {"queued": compare(QUEUED, BY_NAME), "decode": compare(DECODE, BY_NAME)}


def held_out(row):
    return not row.calibrates


def test_every_engine_has_a_name_a_year_and_its_rows():
    assert len(BY_NAME) == len(ENGINES) == len(GENERATION_2023) + len(GENERATION_2025)
    for engine in ENGINES:
        assert engine.name == str(engine) == f"{engine.software} {engine.year}"
        assert "half of" in engine.fitted_on
        assert find_engine(engine.name.lower()) is engine
    assert {engine.year for engine in GENERATION_2023} == {2023, 2024}
    assert {engine.year for engine in GENERATION_2025} == {2025}


@pytest.mark.parametrize("rows", [QUEUED, DECODE], ids=["queued", "decode"])
def test_an_engine_covers_the_rows_of_its_year(rows):
    """All but the number of requests, which is not in the rows."""
    for row in rows:
        engine = BY_NAME[row.engine]
        workload = Workload(
            batch=engine.fewest_requests,
            prompt=row.prompt,
            weight_bits=row.weight_bits,
            kv_bits=row.kv_bits,
            compute_bits=row.compute_bits,
            tensor_parallel=row.tensor_parallel,
        )
        assert engine.beyond(find_device(row.device), workload) == ()


def test_the_devices_of_an_engine_are_those_of_its_rows():
    for engine in GENERATION_2025:
        assert engine.devices == {row.device for row in (*QUEUED, *DECODE) if row.engine == engine.name}


def test_what_no_row_covers_is_computed_and_said():
    asked = Workload(batch=64, weight_bits=8, kv_bits=8, compute_bits=8)
    covered = estimate(LLAMA_3_8B, H100, asked, ENGINE_2025)
    assert (covered.engine, covered.extrapolates) == ("TensorRT-LLM 2025", ())
    assert "extrapolates" not in str(covered)
    beyond = estimate(LLAMA_3_8B, find_device("A100-SXM-80GB"), replace(asked, compute_bits=16, batch=1), ENGINE_2025)
    assert beyond.extrapolates == (
        "no row of A100-SXM-80GB",
        "compute_bits 16: rows have 4 or 8",
        "batch 1: rows have 32 or more",
    )
    name, said = str(beyond).splitlines()[-1].split(maxsplit=1)
    assert (name, said) == ("extrapolates", "; ".join(beyond.extrapolates))
    several = replace(asked, tensor_parallel=8, pipeline_parallel=2, weight_bits=2)
    assert ENGINE_2025.beyond(H100, several) == (
        "weight_bits 2: rows have 4 or more",
        "16 devices: rows have 8 or fewer",
        "no row in 2 stages",
    )


@pytest.mark.parametrize(
    "change, says",
    [
        ({"kv_bits": 16}, "kv_bits 16: rows have 8"),
        ({"batch": 20_000}, "batch 20000: rows have 16384 or fewer"),
        ({"cached_prompt": 512}, "no row with 512 tokens of the prompt cached"),
        ({"prefill_chunk": 256}, "no row with prompts in chunks of 256"),
        ({"draft": Draft(LLAMA_3_8B, tokens=4, acceptance=0.5)}, "no row with a draft"),
        ({"pipeline_parallel": 4}, "no row in 4 stages"),
    ],
)
def test_what_the_fit_never_saw_is_named(change, says):
    asked = Workload(batch=64, weight_bits=8, kv_bits=8, compute_bits=8)
    assert ENGINE_2025.beyond(H100, replace(asked, **change)) == (says,)


def test_an_engine_of_one_user_says_so():
    rtx = find_device("RTX-4090")
    assert LLAMA_CPP_2025.beyond(rtx, Workload()) == ()
    assert LLAMA_CPP_2025.beyond(rtx, Workload(batch=2)) == ("batch 2: rows have 1",)
    shared = Workload(tensor_parallel=2, attention_parallel="data")
    assert LLAMA_CPP_2025.beyond(rtx, shared) == (
        "2 devices: rows have 1 or fewer",
        "attention_parallel 'data': rows have tensor",
    )


def test_what_an_engine_covers_is_what_its_rows_have():
    for engine in ENGINES:
        own = [row for row in (*published_rows(), *QUEUED, *DECODE) if row.engine == engine.name]
        assert engine.kv_bits == {row.kv_bits for row in own}
        assert engine.compute_bits == {row.compute_bits for row in own}
        assert engine.most_devices == max(row.tensor_parallel for row in own)
        assert engine.most_requests == max(row.batch or 2048 * row.tensor_parallel for row in own)


def test_an_efficiency_without_a_date_says_nothing():
    found = estimate(LLAMA_3_8B, H100, Workload(), IDEAL)
    assert (found.engine, found.extrapolates) == ("", ())


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"year": 1999}, "year must be a whole number of 2017 or more, got 1999; it is that of the measurements"),
        ({"most_devices": 0}, "most_devices must be a whole number of 1 or more, got 0; count it in the rows"),
        ({"kv_bandwidth": 0}, "kv_bandwidth"),
        ({"experts": 1.5}, "experts"),
        ({"matmul_4": 0}, "matmul_4"),
        ({"kv_bits": {0}}, "each of kv_bits must be a finite number above 0, got 0; use {8, 16}"),
        ({"kv_bits": ()}, "kv_bits must not be empty; use {8, 16}"),
        ({"compute_bits": {0}}, "each of compute_bits must be a whole number of 1 or more, got 0"),
        ({"most_requests": 31}, "most_requests must be a whole number of 32 or more, got 31; count it in the rows"),
        ({"attention_parallel": {"expert"}}, "each of attention_parallel must be 'tensor' or 'data', got 'expert'"),
        ({"devices": [""]}, "each of devices must not be empty; use {'H100-SXM-80GB'}"),
        ({"software": " "}, "software must not be empty; say whose rows they are"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        replace(ENGINE_2025, **wrong)


# what was fitted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, bar", [("queued", 0.12), ("decode", 0.15)])
def test_rows_of_2025_that_were_not_fitted_are_predicted(compared, kind, bar):
    assert median_error(compared[kind], held_out) <= bar


def test_the_engine_of_2023_is_far_too_slow_for_them(compared):
    rows = [one for one in compared["queued"] if held_out(one.row)]
    older = [replace(one, predicted_s=predicted_s(one.row, ENGINE_2023)) for one in rows]
    assert median_error(older) > 0.4
    assert sum(one.error > 0 for one in older) > 0.8 * len(older)


@pytest.mark.parametrize("kind", ["queued", "decode"])
def test_the_ideal_bounds_every_row_of_2025(compared, kind):
    assert all(one.ideal_s <= one.row.seconds for one in compared[kind])


def test_nothing_but_what_was_fitted_or_carried_over_differs_from_the_ideal():
    for engine in GENERATION_2025:
        own = {name: getattr(engine, name) for name, engines, *_ in CONSTANTS_2025 if engine.name in engines}
        carried = {"matmul_16": OF_2023["matmul_16"]} if engine is ENGINE_2025 else OF_2023
        expected = replace(IDEAL, unfused=1.0, **carried, **own)
        assert {f.name: getattr(engine, f.name) for f in fields(Efficiency)} == vars(expected)


def test_constants_are_few():
    assert len(CONSTANTS_2025) <= 9
    assert sum(row.calibrates for row in (*QUEUED, *DECODE)) > 10 * len(CONSTANTS_2025)


def test_the_constants_of_one_user_are_what_the_fit_gives():
    """Of those of full load, `bandwidth` alone is shared, and 67 rows of one user hold it."""
    one_user = tuple(constant for constant in CONSTANTS_2025 if constant[1] != ("TensorRT-LLM 2025",))
    fitted = fit_engines([row for row in DECODE if row.calibrates], one_user)
    for name, engines, *_ in one_user:
        assert getattr(BY_NAME[engines[-1]], name) == pytest.approx(getattr(fitted[engines[-1]], name), rel=0.03)


def loss(checks):
    """What the fit makes small: squares of small errors, distances of large ones (soft_l1 with a scale of 5%)."""
    return sum((1 + (np.log1p(one.error) / 0.05) ** 2) ** 0.5 - 1 for one in checks)


@pytest.mark.parametrize(
    "name, touched",
    [
        ("matmul_8", lambda row: row.compute_bits == 8),
        ("matmul_4", lambda row: row.compute_bits == 4),
        ("experts", lambda row: row.model.startswith("Qwen3")),
        ("kv_bandwidth", lambda row: True),
        ("collective_s", lambda row: row.tensor_parallel > 1),
    ],
)
def test_the_constants_of_full_load_lie_where_the_loss_is_least(compared, name, touched):
    """A step of 10% up or down makes it worse; a whole fit takes minutes, since these rows are simulated."""
    checks = [one for one in compared["queued"] if one.row.calibrates and touched(one.row)]
    best = loss(checks)
    for factor in (0.9, 1.1):
        moved = replace(ENGINE_2025, **{name: getattr(ENGINE_2025, name) * factor})
        # the ideal of a row does not depend on the engine: it is not simulated again
        assert loss(replace(one, predicted_s=predicted_s(one.row, moved)) for one in checks) > best


def test_rows_of_an_engine_that_is_not_there_are_refused():
    with pytest.raises(ValueError, match="rows of TensorRT-LLM 2025 need an engine of that name, got none"):
        compare(QUEUED[:1], {})
    with pytest.raises(ValueError, match="rows of MLX 2025.* need an engine of that name, got TensorRT-LLM 2025"):
        fit_engines(DECODE, CONSTANTS_2025[-5:])


def test_an_engine_by_its_name_alone_is_told():
    with pytest.raises(TypeError, match="efficiency must be of type Efficiency, got 'TensorRT-LLM 2025'; find_engine"):
        estimate(LLAMA_3_8B, H100, Workload(), "TensorRT-LLM 2025")
    with pytest.raises(TypeError, match="an engine is found by its name, a string, got int"):
        find_engine(2025)


def test_a_table_without_batches_is_read_as_queued(tmp_path):
    head = "source,gpu,weight_bits,kv_bits,model,tensor_parallel,pipeline_parallel,input_tokens,output_tokens"
    path = tmp_path / "rows.csv"
    path.write_text(f"{head},output_tokens_per_s,counted\nx,B200,4,8,LLaMA-3.3-70B,1,1,128,64,500,total\n")
    (row,) = read_rows(path)
    assert (row.kind, row.engine, row.batch, row.prompt, row.output) == ("queued", "TensorRT-LLM 2025", None, 128, 64)
    assert (row.weight_bits, row.kv_bits, row.compute_bits, row.seconds) == (4.5, 8, 4, 1 / 500)
    path.write_text(f"{head},output_tokens_per_s,counted\nx,B200,4,8,LLaMA-3-70B,1,2,128,64,500,total\n")
    with pytest.raises(ValueError, match='line 2: counted must be "total" and pipeline_parallel 1'):
        read_rows(path)


# full load ---------------------------------------------------------------------------------------------

SERVED = Workload(prompt=500, output=200, weight_bits=8, kv_bits=8, compute_bits=8)


def test_full_load_takes_in_as_many_as_find_room():
    """80 GiB less 8.56 GB of weights (the embedding in 16 bits) and .74 GB of activations, nine tenths of the rest.

    A token of LLaMA-3-8B takes 65,536 bytes in 8 bits; 699 of a request and a block of 16 for its end.
    """
    weights = 8_030_261_248 + 128_256 * 4096 + 266_240  # norms too are kept in 16 bits
    free = 80 * 2**30 - weights - 8192 * (4 * 4096 + 28672) * 2
    room = int(0.9 * int(free / 65536))
    found = full_load(LLAMA_3_8B, H100, SERVED, ENGINE_2025)
    assert found.batch == int(room / (699 + 16))
    assert full_load(LLAMA_3_8B, H100, SERVED, ENGINE_2025, max_batch=64).batch == 64


def test_nobody_has_to_go_again_and_the_beginning_is_soon_forgotten():
    three, six = (full_load(LLAMA_3_8B, H100, SERVED, ENGINE_2025, rounds=rounds) for rounds in (3, 6))
    assert three.served.preemptions.sum() == six.served.preemptions.sum() == 0
    # the first and the last round are not full: of n rounds, at most a share of 1 / n each
    assert three.tokens_per_s == pytest.approx(six.tokens_per_s, rel=0.1)


def test_a_model_with_windows_holds_less_of_each_request():
    model = find_model("Mistral-7B")
    plain = replace(model, attention=replace(model.attention, window=None, windowed_layers=0))
    long = Workload(prompt=16_000, output=100)
    windowed, whole = (full_load(one, H100, long, LLAMA_CPP_2025, rounds=1).batch for one in (model, plain))
    assert windowed > 3 * whole


def test_a_request_that_finds_no_room_is_refused():
    with pytest.raises(ValueError, match="leaves room for .* use shorter requests, fewer bits or more devices"):
        full_load(LLAMA_3_8B, H100, Workload(prompt=600_000, output=10), ENGINE_2025)


def test_experts_over_several_devices_are_served_with_the_sequences_shared_out():
    row = next(row for row in QUEUED if row.model == "Qwen3-235B-A22B" and row.calibrates)
    asked = Workload(
        prompt=row.prompt,
        output=row.output,
        weight_bits=row.weight_bits,
        kv_bits=row.kv_bits,
        compute_bits=row.compute_bits,
        tensor_parallel=8,
        attention_parallel="data",
    )
    found = full_load(find_model(row.model), find_device(row.device), asked, ENGINE_2025)
    assert predicted_s(row, ENGINE_2025) == pytest.approx(1 / found.tokens_per_s, rel=1e-12)
