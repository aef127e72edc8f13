"""The shapes of released models, held against the parameter counts that their makers publish."""

from dataclasses import replace

import pytest

from mini_lib.llm.cost import models
from mini_lib.llm.cost.architecture import Architecture, Attention, Experts
from mini_lib.llm.cost.models import DEEPSEEK_V3, GPT_J_6B, LLAMA_3_8B, MIXTRAL_8X7B, MODELS, QWEN_3_32B, find_model
from mini_lib.llm.cost.parameters import count_parameters

# One number for each of 256 experts in 61 - 3 layers: the router's bias of DeepSeek-V3, which no shape holds.
ROUTER_BIAS = 58 * 256


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_shape_gives_the_published_count(model):
    """Every count is that of a checkpoint, so there is nothing to round: it has to agree to the last parameter."""
    missing = ROUTER_BIAS if model is DEEPSEEK_V3 else 0
    assert count_parameters(model).total + missing == model.published_parameters


# Copied a second time, from the model pages, so that a slip in the file of models is seen here.
PUBLISHED = {
    "GPT-J-6B": 6_050_882_784,
    "LLaMA-2-7B": 6_738_415_616,
    "LLaMA-2-70B": 68_976_648_192,
    "LLaMA-3-8B": 8_030_261_248,
    "LLaMA-3-70B": 70_553_706_496,
    "LLaMA-3.1-405B": 405_853_388_800,
    "Falcon-180B": 179_522_565_120,
    "Mixtral-8x7B": 46_702_792_704,
    "Qwen2.5-7B": 7_615_616_512,
    "SmolLM2-135M": 134_515_008,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_typed_in_a_second_time(name):
    assert count_parameters(find_model(name)).total == PUBLISHED[name]


# What the names and papers call them, in thousand millions: a plan that is right in total but wrong in kind would
# show here. The names round to the nearest digit shown, or leave something out (Llama 3 8B is 8.03, Gemma 2 27B 27.2).
ACTIVE = {"Mixtral-8x7B": 12.9, "Mixtral-8x22B": 39, "DeepSeek-V2": 21, "DeepSeek-V3": 37, "Qwen3-30B-A3B": 3.3}


@pytest.mark.parametrize("name", ACTIVE)
def test_active_parameters_of_mixtures(name):
    """The papers give two digits, so half a unit of the last digit, and embeddings that some papers leave out: 3 %."""
    assert count_parameters(find_model(name)).active == pytest.approx(ACTIVE[name] * 1e9, rel=0.03)


def test_llama_3_8b_by_hand():
    """An embedding and a head, 32 layers of attention, feed-forward and two norms, and the last norm."""
    embedding = 128256 * 4096
    attention = 4096 * 4096 + 2 * 4096 * 1024 + 4096 * 4096  # query; key and value of 8 heads of 128; output
    feed_forward = 3 * 4096 * 14336
    count = count_parameters(LLAMA_3_8B)
    assert (count.embedding, count.head) == (embedding, embedding)
    assert count.attention == 32 * attention
    assert count.feed_forward == 32 * feed_forward
    assert count.norms == 65 * 4096
    assert count.total == 2 * embedding + 32 * (attention + feed_forward) + 65 * 4096 == 8_030_261_248


def test_gpt_j_by_hand():
    """One norm a layer with scale and shift, biases in the feed-forward and in the head, none in the attention."""
    layer = 4 * 4096**2 + 2 * 4096 * 16384 + (16384 + 4096) + 2 * 4096
    assert count_parameters(GPT_J_6B).total == 2 * 50400 * 4096 + 50400 + 28 * layer + 2 * 4096


def test_mixtral_by_hand():
    """Eight feed-forwards and a router of 4096 x 8 in each layer, of which a token visits two."""
    expert = 3 * 4096 * 14336
    count = count_parameters(MIXTRAL_8X7B)
    assert count.feed_forward == 32 * (8 * expert + 4096 * 8)
    assert count.total - count.active == 32 * 6 * expert


def test_heads_need_not_fill_the_hidden_size():
    assert QWEN_3_32B.attention.heads * QWEN_3_32B.attention.head_dim != QWEN_3_32B.hidden


def test_every_model_says_where_it_comes_from():
    for model in MODELS:
        assert "config.json" in model.source, model
        assert model.source[-4:].isdigit(), f"{model}: the source ends with its year"
        assert model.published_parameters, model


def test_names_are_different_and_every_constant_is_listed():
    constants = [value for value in vars(models).values() if isinstance(value, Architecture)]
    assert len({model.name.lower() for model in MODELS}) == len(MODELS) == len(constants)
    assert all(constant in MODELS for constant in constants)


def test_windows_leave_the_layers_that_the_papers_say():
    """Gemma 2: every other layer. Gemma 3: one layer in six sees everything, counted from the first."""
    for name in ("Gemma-2-9B", "Gemma-2-27B"):
        assert find_model(name).attention.windowed_layers * 2 == find_model(name).layers
    for name in ("Gemma-3-4B", "Gemma-3-27B"):
        model = find_model(name)
        windowed = sum((layer + 1) % 6 != 0 for layer in range(model.layers))
        assert model.attention.windowed_layers == windowed


@pytest.mark.parametrize("name", ["LLaMA-3-8B", "llama-3-8b", "LLAMA_3_8B", "llama 3 8b"])
def test_a_model_is_found_however_it_is_spelled(name):
    assert find_model(name) is LLAMA_3_8B


def test_names_of_the_published_tables_are_found():
    for name in ("GPT-J-6B", "LLaMA-7B", "LLaMA-2-7B", "LLaMA-2-70B", "LLaMA-3-8B", "LLaMA-3-70B", "Falcon-180B"):
        assert find_model(name).name == name


def test_an_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match="no model is called 'mixtral-8x8b'; the nearest are Mixtral-8x7B"):
        find_model("mixtral-8x8b")
    with pytest.raises(ValueError, match="no model is called 'zzz'; there are GPT-J-6B, LLaMA-7B"):
        find_model("zzz")
    with pytest.raises(TypeError, match="a model is found by its name, a string, got Architecture"):
        find_model(LLAMA_3_8B)


def test_a_wrong_shape_would_be_seen():
    """The test of the counts can fail: a wrong number of KV heads, a forgotten bias, a tied head all miss by far."""
    right = count_parameters(LLAMA_3_8B).total
    for wrong in (
        replace(LLAMA_3_8B, attention=Attention(32, 32, 128)),
        replace(LLAMA_3_8B, attention=Attention(32, 8, 128, qkv_bias=True)),
        replace(LLAMA_3_8B, tied=True),
        replace(LLAMA_3_8B, feed_forward=Experts(2, 1, 14336)),
    ):
        assert count_parameters(wrong).total != right
