"""The recorded study of compressing a language model: it is whole, it was made as it says, and what it shows.

All of it about the figures in the file; nothing is computed anew. Orderings are asked for, with the paired interval of
95% all on one side, and no digits: another machine gives others.
"""

import hashlib

import pytest

from mini_lib.llm.model import prose
from mini_lib.llm.model.source import SMOLLM2_SHA256
from studies.language import record, run, study
from studies.language.pruning import MAGNITUDE, SPARSE_GPT, WANDA
from studies.language.study import AWQ, GPTQ, NEAREST, SYMMETRIC, at

THREE, FOUR = at(3, SYMMETRIC), at(4, SYMMETRIC)


@pytest.fixture(scope="module")
def shipped():
    return record.recorded()


def better(shipped, method, other, where, than=1.0):
    """Whether all of the interval says that a method has the lower perplexity."""
    return shipped.times(method, other, where).high < than


def test_the_file_is_the_one_that_the_readme_lists():
    content = record.RECORD_FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == record.RECORD_SHA256
    row = f"| `language.json` | {len(content):,} | "
    readme = (record.RECORD_FILE.parent / "README.md").read_text(encoding="utf-8")
    assert any(line.startswith(row) and record.RECORD_SHA256 in line for line in readme.splitlines())


def test_it_was_made_with_the_settings_of_the_code(shipped):
    made = {name: value for name, value in shipped.settings.items() if name != "machine"}
    settings = run.Settings(made["model_sha256"], study.Plan(**made["plan"]), made["text_sha256"])
    assert settings == run.Settings(made["model_sha256"], study.Plan(), prose.SHA256)
    assert made["model_sha256"] == SMOLLM2_SHA256
    assert shipped.settings["machine"]["threads"] == 1


def test_every_model_was_judged_on_the_same_windows(shipped):
    assert len({(one.text, one.tokens) for one in shipped.runs}) == 1
    assert len({(one.method, one.at) for one in shipped.runs}) == len(shipped.runs)
    assert shipped.baseline.tokens == len(shipped.baseline.losses) * 255 >= 8192


def test_a_grid_like_the_file_s_own_gives_the_same_perplexity_and_every_weight_back(shipped):
    fake = shipped.find(study.FILE_GRID, "4 bits, lowest value")
    assert fake.losses == shipped.baseline.losses
    assert fake.largest_change == 0.0
    assert fake.stored_bytes == shipped.baseline.stored_bytes


@pytest.mark.parametrize("method", [GPTQ, AWQ])
def test_at_3_bits_gptq_and_awq_lose_less_than_to_nearest(shipped, method):
    assert better(shipped, method, NEAREST, THREE)


@pytest.mark.parametrize("pattern", study.PATTERNS)
@pytest.mark.parametrize("method", [WANDA, SPARSE_GPT])
def test_wanda_and_sparse_gpt_lose_less_than_magnitude(shipped, method, pattern):
    assert better(shipped, method, MAGNITUDE, pattern)


def test_fewer_bits_lose_more(shipped):
    three, four = (shipped.find(NEAREST, where).perplexity for where in (THREE, FOUR))
    assert three.times(four).low > 1
    assert four.times(shipped.baseline.perplexity).low > 1
    assert three.times(shipped.baseline.perplexity).low > 2


def test_smoothing_and_grids_per_token_repair_static_8_bit_inputs(shipped):
    assert better(shipped, study.SMOOTHED, study.STATIC, study.PER_ROW)
    assert better(shipped, study.DYNAMIC, study.STATIC, study.PER_ROW)
    static = shipped.find(study.STATIC, study.PER_ROW).perplexity
    assert static.times(shipped.baseline.perplexity).low > 1
