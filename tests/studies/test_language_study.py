"""The study of compressing a language model, on a tiny one: its grids, its parts, how it goes on after a stop."""

import json
import re
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from mini_lib.llm.cost import Architecture, Attention, FeedForward
from mini_lib.llm.model import prose
from mini_lib.llm.model.layerwise import in_blocks
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.quantize import IntFormat, PerChannel, PerGroup, quantize, quantize_weights
from mini_lib.quantize.model import UNSIGNED_8_BITS, quantize_weights_and_activations
from mini_lib.quantize.packed import pack_for_speed
from mini_lib.surgery import find
from studies.language import pruning, record, run, stored, study

PLAN = study.Plan(window=16, evaluation_windows=3, calibration_windows=4, candidates=2)
SETTINGS = run.Settings("0123", PLAN)
VOCABULARY = 64


def tiny_lm() -> LanguageModel:
    torch.manual_seed(0)
    shape = Architecture("tiny", 2, 32, VOCABULARY, Attention(2, 1, 32), FeedForward(64), tied=True)
    return LanguageModel(shape).eval().requires_grad_(False)


@cache
def bench() -> study.Bench:
    chance = torch.Generator().manual_seed(1)
    calibration, evaluation = (torch.randint(VOCABULARY, (count,), generator=chance) for count in (64, 48))
    return study.Bench(tiny_lm(), calibration, evaluation)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The whole study, and what it told on its way."""
    folder, told = tmp_path_factory.mktemp("parts"), []
    found = run.run_study(SETTINGS, folder, bench(), {"threads": 1}, lambda part, one: told.append((part, one.method)))
    return found, folder, told


def like_the_file(rows: int = 8) -> torch.Tensor:
    """Weights as Q4_1 unpacks them: a step and a lowest value in float16 per group, and all sixteen codes."""
    chance = torch.Generator().manual_seed(0)
    step = (0.01 + 0.1 * torch.rand(rows, 1, generator=chance)).half().float()
    low = (-0.7 * torch.rand(rows, 1, generator=chance)).half().float()
    codes = torch.stack([torch.randperm(32, generator=chance) % 16 for _ in range(rows)])
    return step * codes + low


# --- grids ---------------------------------------------------------------------------------------------------------


def test_the_grid_of_the_file_gives_its_weights_back_and_no_other_grid_does():
    weight = like_the_file()
    assert torch.equal(study.on_file_grid(weight), weight)
    for kind in (study.SYMMETRIC, study.ZERO_POINT):
        assert (quantize(weight, study.grid(4, kind, PLAN)).dequantize() - weight).abs().max() > 0.001
    assert not torch.equal(study.on_file_grid(weight, bits=3), weight)


def test_a_zero_point_moves_all_weights_of_a_group_alike():
    """As the text says of it: the step is the file's, so what is lost is the same part of a step in a whole group."""
    weight = like_the_file()
    weight = weight - weight.mean(dim=1, keepdim=True).half().float()  # so that 0 lies inside the range
    change = quantize(weight, study.grid(4, study.ZERO_POINT, PLAN)).dequantize() - weight
    step = (weight.amax(dim=1) - weight.amin(dim=1)) / 15
    # the scale is rounded to float16, by 2^-11 of it, and multiplied with codes up to 15
    assert (change.amax(dim=1) - change.amin(dim=1) <= step * 15 * 2**-10).all()


def test_the_head_of_the_file_loses_nothing_at_8_bits():
    """Q8_0 has a float16 step, and its largest code is 127: so has the symmetric grid."""
    chance = torch.Generator().manual_seed(0)
    codes = torch.randint(-127, 128, (4, 32), generator=chance)
    codes[:, 3] = 127
    head = codes * (0.01 * torch.rand(4, 1, generator=chance)).half().float()
    assert torch.equal(quantize(head, study.grid(8, study.SYMMETRIC, PLAN)).dequantize(), head)


# --- pruning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", pruning.PRUNED_BY)
@pytest.mark.parametrize(("pattern", "zeros"), [("30%", 0.3), ("50%", 0.5), ("2:4", 0.5)])
def test_as_many_weights_go_as_the_pattern_says(method, pattern, zeros):
    chance = torch.Generator().manual_seed(0)
    weight, x = torch.randn(20, 40, generator=chance), torch.randn(100, 40, generator=chance).double()
    pruned = pruning.PRUNED_BY[method](weight, x.T @ x / 100, pattern)
    assert (pruned == 0).sum().item() == round(zeros * weight.numel())
    if pattern == "2:4":
        assert ((pruned.view(-1, 4) != 0).sum(dim=1) == 2).all()
    if method in (pruning.WANDA, pruning.MAGNITUDE_BY_ROW):
        assert ((pruned == 0).sum(dim=1) == zeros * 40).all()
    if method != pruning.SPARSE_GPT:
        assert torch.equal(pruned, weight * (pruned != 0))


def test_wanda_with_inputs_of_equal_strength_is_magnitude_by_row():
    weight = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    for pattern in study.PATTERNS:
        one, other = (how(weight, torch.eye(16), pattern) for how in (pruning.by_wanda, pruning.by_magnitude_of_row))
        assert torch.equal(one, other)


# --- bytes, and models that are quicker to judge -------------------------------------------------------------------


def test_bytes_by_hand():
    lm = tiny_lm()
    # per block: query and out 64 x 32, key and value 32 x 32, and three of 64 x 32; the head 64 x 32
    weights = 2 * (2 * 64 * 32 + 2 * 32 * 32 + 3 * 64 * 32)
    rest = 64 * 32 * 34 // 32 + 4 * 32 * 5  # the head, and five norms of 32
    assert stored.stored_bytes(lm) == weights * 20 // 32 + rest
    four = quantize_weights(lm, study.grid(4, study.SYMMETRIC, PLAN), in_blocks)
    assert stored.stored_bytes(four) == weights // 2 + weights // 32 * 2 + rest
    zero_point = quantize_weights(lm, study.grid(3, study.ZERO_POINT, PLAN), in_blocks)
    assert stored.stored_bytes(zero_point) == weights * 3 // 8 + weights // 32 * 4 + rest
    for _, layer in find(lm, in_blocks):
        layer.weight[:, ::2] = 0
    assert stored.stored_bytes(lm) == weights // 2 * 2 + weights // 8 + rest


def test_an_unpacked_model_computes_the_same_to_the_last_bit():
    lm, tokens = bench().lm, bench().evaluation[None]
    fmt = IntFormat(4, granularity=PerGroup(32))
    for quantized in (
        quantize_weights(lm, fmt, in_blocks),
        quantize_weights_and_activations(lm, fmt, UNSIGNED_8_BITS, [tokens], where=in_blocks),
    ):
        assert torch.equal(stored.unpacked(quantized)(tokens), quantized(tokens))
        assert len(find(stored.unpacked(quantized), lambda name, module: isinstance(module, stored.Unpacked))) == 14


def test_packed_layers_differ_by_what_they_say():
    """The whole model's distance is measured in the study; a layer's is bounded: max|x| / 254 * sum|w|."""
    lm, fmt = bench().lm, IntFormat(8, granularity=PerChannel())
    layer = quantize_weights(lm, fmt, in_blocks).blocks[0].feed_forward.gate
    packed = pack_for_speed(nn.Sequential(layer))
    x = torch.randn(5, 7, 32, generator=torch.Generator().manual_seed(0))
    bound = x.abs().amax(dim=-1, keepdim=True) / 254 * layer.weight.abs().sum(dim=1)
    assert ((packed(x) - layer(x)).abs() <= bound * 1.001).all()


# --- the parts -----------------------------------------------------------------------------------------------------


def test_every_part_runs_and_all_judge_the_same_windows(made):
    found, _, told = made
    assert list(dict.fromkeys(part for part, _ in told)) == list(study.parts_of(PLAN))
    assert len({(one.method, one.at) for one in found.runs}) == len(found.runs) == len(told)
    assert {(one.text, one.tokens, len(one.losses)) for one in found.runs} == {(found.baseline.text, 45, 3)}
    for one in found.runs:
        assert one.perplexity.times(found.baseline.perplexity).value > 0
        assert (one.largest_change is not None) == (one.method == study.FILE_GRID)


def test_runs_that_only_differ_in_unpacking_agree(made):
    """8 bits per row, with inputs rounded per token or not: far closer than any 3-bit model is."""
    found, _, _ = made
    per_token = abs(found.times(study.DYNAMIC, study.NEAREST, study.PER_ROW).value - 1)
    three = found.find(study.NEAREST, study.at(3, study.SYMMETRIC)).perplexity.times(found.baseline.perplexity)
    assert per_token < abs(three.value - 1)


def test_it_goes_on_where_it_was(made, monkeypatch):
    found, folder, _ = made
    monkeypatch.setattr(run, "run_part", None)  # nothing is left to make
    assert run.run_study(SETTINGS, folder, bench(), {"threads": 1}) == found
    with pytest.raises(ValueError, match="holds a study with model_sha256 = '0123', and this one has '4567'"):
        run.run_study(replace(SETTINGS, model_sha256="4567"), folder, bench(), {})
    with pytest.raises(ValueError, match="there is no part 'gptq-5'"):
        run.run_study(SETTINGS, folder, bench(), {}, names=("gptq-5",))


def test_parts_can_be_made_one_by_one(tmp_path):
    found = run.run_study(SETTINGS, tmp_path, bench(), {}, names=("nearest-3",))
    assert [one.method for one in found.runs] == [study.NEAREST]
    with pytest.raises(ValueError, match=re.escape("there is no run of 'as unpacked'")):
        _ = found.baseline


def test_json_there_and_back(made):
    found, _, _ = made
    again = record.from_json(record.to_json(found))
    assert [(one.method, one.at, one.stored_bytes) for one in again.runs] == [
        (one.method, one.at, one.stored_bytes) for one in found.runs
    ]
    for one, other in zip(again.runs, found.runs):
        assert one.losses == pytest.approx(other.losses, abs=5e-8)
    assert record.from_json(record.to_json(again)) == again
    with pytest.raises(ValueError, match="not a recorded study"):
        record.from_json(json.dumps({"runs": [{}]}))


def test_tables_name_every_run(made):
    found, _, _ = made
    assert len(record.table(found).splitlines()) == len(found.runs) + 1
    at = study.at(3, study.SYMMETRIC)
    lines = record.contest(found, [(study.GPTQ, study.NEAREST, at), (study.NEAREST, study.NEAREST, at)]).splitlines()
    assert lines[2].endswith("no") and "1 to 1" in lines[2]


# --- the text ------------------------------------------------------------------------------------------------------


def test_the_bench_takes_the_first_tokens_of_both_texts():
    lm = tiny_lm()
    lm.tokenizer = type("Letters", (), {"encode": lambda self, text: [ord(letter) % VOCABULARY for letter in text]})()
    made = run.bench_of(lm, PLAN)
    assert made.calibration.tolist() == [ord(letter) % VOCABULARY for letter in prose.calibration_text()[:64]]
    assert made.evaluation.tolist() == [ord(letter) % VOCABULARY for letter in prose.evaluation_text()[:48]]
    with pytest.raises(ValueError, match="the text has 61,484 tokens"):
        run.bench_of(lm, study.Plan(window=256, evaluation_windows=1000))


@pytest.mark.parametrize("setting", [{"window": 1}, {"candidates": 0}, {"strength": 2.0}, {"evaluation_windows": 1}])
def test_a_bad_plan_is_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        study.Plan(**setting)
