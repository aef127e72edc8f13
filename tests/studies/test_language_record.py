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


def test_8_bits_lose_less_than_a_hundredth(shipped):
    for where in (at(8, SYMMETRIC), study.PER_ROW):
        assert shipped.times_float(NEAREST, where).high < 1.01


def test_at_4_bits_gptq_and_awq_win_too_and_lose_something(shipped):
    for method in (GPTQ, AWQ):
        assert better(shipped, method, NEAREST, FOUR)
        assert shipped.times_float(method, FOUR).low > 1


def test_packed_kernels_come_within_a_tenth_of_the_same_codes_unpacked(shipped):
    """They round what they read to 8 bits per token, which costs more than nothing."""
    for where in (THREE, FOUR):
        ratio = shipped.times(study.PACKED, NEAREST, where)
        assert ratio.low > 1 and ratio.high < 1.1
    ratio = shipped.times(study.DYNAMIC, NEAREST, study.PER_ROW)
    assert ratio.low > 1 and ratio.high < 1.05


def test_bytes_are_those_of_the_codes(shipped):
    """The blocks hold 30 times 576 x (576 + 192 + 192 + 576 + 3 * 1536) weights; the head and 61 norms stay."""
    weights, head, norms = 30 * 576 * (576 + 192 + 192 + 576 + 3 * 1536), 49152 * 576, 61 * 576
    rest = head * 34 // 32 + norms * 4
    for bits in (3, 4, 8):
        assert shipped.find(NEAREST, at(bits, SYMMETRIC)).stored_bytes == weights * bits // 8 + weights // 32 * 2 + rest
    assert shipped.baseline.stored_bytes == weights * 20 // 32 + rest
    # half of the weights in 16 bits and a bit for each; a few that stay are exactly 0
    assert shipped.find(MAGNITUDE, "2:4").stored_bytes == pytest.approx(weights * 9 // 8 + rest, rel=1e-4)
