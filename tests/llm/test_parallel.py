"""Which splits of a model over devices are possible."""

import re

import pytest

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward
from mini_lib.llm.cost.models import DEEPSEEK_V3, FALCON_7B, LLAMA_2_7B, LLAMA_2_70B, LLAMA_3_8B, MODELS, SMOLLM2_135M
from mini_lib.llm.cost.parallel import check_pipeline_parallel, check_tensor_parallel


def _allowed(check, model, parts) -> bool:
    try:
        check(model, parts)
    except ValueError:
        return False
    return True


def _shared_out(model: Architecture, devices: int) -> bool:
    """Deal the query heads out one by one, and see which KV heads each device needs."""
    ff = model.feed_forward
    widths = (ff.width, ff.shared_width, ff.dense_width) if isinstance(ff, Experts) else (ff.width,)
    heads = model.attention.heads
    if any(width % devices for width in widths) or heads % devices:
        return False
    if not isinstance(model.attention, Attention):
        return True
    each, group = heads // devices, model.attention.group
    needed = [[head // group for head in range(first, first + each)] for first in range(0, heads, each)]
    # each device has whole groups of query heads, or a part of one group
    return all(len(set(kv)) == 1 or all(kv.count(one) == group for one in kv) for kv in needed)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_split_is_possible_exactly_where_heads_can_be_dealt_out(model):
    for devices in range(1, 65):
        assert _allowed(check_tensor_parallel, model, devices) == _shared_out(model, devices), devices


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_splits_that_a_message_names_are_possible(model):
    with pytest.raises(ValueError) as refused:
        check_tensor_parallel(model, 59)  # a prime that divides no model's heads
    named = [int(number) for number in re.findall(r"\d+", str(refused.value).partition("; use ")[2])]
    assert named[0] == 1
    for devices in range(1, 65):
        assert _allowed(check_tensor_parallel, model, devices) == (devices in named)


@pytest.mark.parametrize(
    "model, devices, says",
    [
        (LLAMA_3_8B, 3, "tensor_parallel 3 does not divide the 32 heads of LLaMA-3-8B; use 1, 2, 4, 8, 16 or 32"),
        (SMOLLM2_135M, 2, "tensor_parallel 2 does not divide the 9 heads of SmolLM2-135M; use 1 or 3"),
        (FALCON_7B, 8, "tensor_parallel 8 does not divide the 71 heads of Falcon-7B; use 1"),
        (
            DEEPSEEK_V3,
            3,
            "tensor_parallel 3 does not divide the 128 heads of DeepSeek-V3; use 1, 2, 4, 8, 16, 32 or 64",
        ),
        (
            Architecture("odd", 1, 8, 8, Attention(4, 4, 2), FeedForward(7)),
            2,
            "tensor_parallel 2 does not divide the feed-forward width 7 of odd; use 1",
        ),
        (
            Architecture("groups", 1, 8, 8, Attention(12, 6, 2), FeedForward(24)),
            4,
            "tensor_parallel 4 does not divide the groups of heads of groups; use 1, 2, 3, 6 or 12",
        ),
        (LLAMA_2_7B, 0, "tensor_parallel must be a whole number of 1 or more, got 0; use 1 for a single device"),
    ],
)
def test_an_impossible_split_is_refused_with_those_that_work(model, devices, says):
    with pytest.raises(ValueError) as refused:
        check_tensor_parallel(model, devices)
    assert str(refused.value) == says


def test_each_stage_needs_a_layer():
    for stages in range(1, 81):
        check_pipeline_parallel(LLAMA_2_70B, stages)
    with pytest.raises(ValueError) as refused:
        check_pipeline_parallel(LLAMA_2_70B, 81)
    assert str(refused.value) == (
        "pipeline_parallel 81 is more than the 80 layers of LLaMA-2-70B; a stage holds at least one layer"
    )
    with pytest.raises(ValueError, match="pipeline_parallel must be a whole number of 1 or more, got 0"):
        check_pipeline_parallel(LLAMA_2_70B, 0)


@pytest.mark.parametrize("check", [check_tensor_parallel, check_pipeline_parallel])
@pytest.mark.parametrize("parts", [2.0, "2", True])
def test_a_split_is_a_whole_number(check, parts):
    with pytest.raises(TypeError, match="parallel must be a whole number of 1 or more"):
        check(LLAMA_2_7B, parts)
