"""The parts of the model by hand, models read from files, and what is refused."""

from copy import deepcopy

import pytest
import torch
from tiny_language_models import file_tensors, tiny_architecture, tiny_model, tiny_tokenizer, write_gguf

from mini_lib.llm.cost import find_model
from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.model.attention import attend
from mini_lib.llm.model.load import load_language_model
from mini_lib.llm.model.rotary import rotary_tables
from mini_lib.llm.model.transformer import LanguageModel

# --- parts, by hand --------------------------------------------------------------------------------------------------


def test_attention_by_hand():
    """One query head sees two keys: scores 2 and 0 over sqrt(4), so weights e / (e + 1) and 1 / (e + 1)."""
    queries = torch.tensor([[[[2.0, 0, 0, 0]]]])
    keys = torch.tensor([[[[1.0, 5, 5, 5], [0, 7, 7, 7]]]])
    values = torch.tensor([[[[1.0, 0, 0, 0], [0, 1, 0, 0]]]])
    e = torch.e
    expected = torch.tensor([[[[e / (e + 1), 1 / (e + 1), 0, 0]]]])
    torch.testing.assert_close(attend(queries, keys, values), expected)


def test_groups_of_heads_share_keys_and_values():
    """Four query heads on two KV heads are four heads of plain attention whose keys are there twice."""
    chance = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, heads, 5, 6, generator=chance) for heads in (4, 2, 2))
    expected = torch.nn.functional.scaled_dot_product_attention(
        q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), is_causal=True
    )
    torch.testing.assert_close(attend(q, k, v), expected)


def test_scores_depend_on_the_distance_alone():
    """A model that sees the same token everywhere says the same everywhere; and angles are kept for training too."""
    model = tiny_model()
    with torch.inference_mode():
        logits = model(torch.full((1, 6), 7))
    torch.testing.assert_close(logits[:, :1].expand_as(logits), logits, rtol=1e-5, atol=1e-5)
    cos, _ = rotary_tables(5000, 8, 10_000.0)
    assert cos.shape == (5000, 4) and not cos.is_inference()
    torch.testing.assert_close(cos[4999, 1], torch.tensor(4999 * 10_000 ** -(1 / 4)).cos(), rtol=0, atol=1e-3)
    model.requires_grad_(True)
    model(torch.tensor([[1, 2, 3]])).sum().backward()
    assert model.head.weight.grad.isfinite().all()


def test_only_the_last_token_on_request():
    model, ids = tiny_model(), torch.tensor([[3, 4, 5], [6, 7, 8]])
    torch.testing.assert_close(model(ids, last_only=True), model(ids)[:, -1:])
    assert torch.equal(model(ids.int()), model(ids))


# --- from a file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_read_from_the_file_that_was_written_of_it(tied, tmp_path):
    model = tiny_model(tiny_architecture(tied=tied), rope_base=1000.0)
    read = load_language_model(write_gguf(tmp_path / "tiny.gguf", file_tensors(model)))
    ids = torch.tensor([[3, 9, 27, 1]])
    assert torch.equal(read(ids), model(ids))
    assert (read.architecture.tied, read.rope_base, len(read.tokenizer)) == (tied, 1000.0, 32)
    assert not read.training and not any(weight.requires_grad for weight in read.parameters())


def test_a_copy_keeps_the_tokenizer_and_shares_no_weight():
    model = tiny_model(tokenizer=tiny_tokenizer()).train()
    copy = deepcopy(model)
    assert copy.training and copy.tokenizer is model.tokenizer
    assert copy.head.weight.data_ptr() != model.head.weight.data_ptr()
    assert copy.architecture == model.architecture
    assert not any(module.training for module in copy.eval().modules())


# --- what is refused -------------------------------------------------------------------------------------------------

BIASED = Attention(2, 1, 4, qkv_bias=True)
FOREIGN = {
    "biases": (tiny_architecture(), {"attention": BIASED}),
    "norms of queries and keys": (tiny_architecture(), {"attention": Attention(2, 1, 4, qk_norm=True)}),
    "windowed layers": (tiny_architecture(), {"attention": Attention(2, 1, 4, window=8, windowed_layers=1)}),
    "heads of an odd number of numbers": (tiny_architecture(), {"attention": Attention(2, 1, 3)}),
    "LatentAttention attention": (tiny_architecture(), {"attention": LatentAttention(2, 0, 4, 2, 2, 4)}),
    "Experts": (tiny_architecture(), {"feed_forward": Experts(4, 2, 8)}),
    "a feed-forward without a gate": (tiny_architecture(), {"feed_forward": FeedForward(8, gated=False)}),
    "a parallel block": (tiny_architecture(), {"parallel_block": True}),
    "1 norms per layer": (tiny_architecture(), {"norms_per_layer": 1}),
}


@pytest.mark.parametrize("part", FOREIGN)
def test_an_architecture_with_a_part_that_is_not_built_is_refused(part):
    shape, change = FOREIGN[part]
    given = {name: getattr(shape, name) for name in ("layers", "hidden", "vocabulary", "attention", "feed_forward")}
    with pytest.raises(ValueError, match=f"tiny has {part}, which LanguageModel does not build; it builds the Llama"):
        LanguageModel(Architecture("tiny", **{**given, **change}))


def test_wrong_settings_are_refused():
    with pytest.raises(TypeError, match="need an Architecture, got str; find_model"):
        LanguageModel("llama-3-8b")
    with pytest.raises(
        ValueError, match="GPT-J-6B has a feed-forward without a gate and biases and a parallel block and"
    ):
        LanguageModel(find_model("GPT-J-6B"))
    with pytest.raises(ValueError, match="rope_base must be a finite number above 0, got 0"):
        LanguageModel(tiny_architecture(), rope_base=0)
    with pytest.raises(ValueError, match="norm_eps must be a finite number of 0 or more, got -1"):
        LanguageModel(tiny_architecture(), norm_eps=-1)


def test_wrong_tokens_are_refused():
    model = tiny_model()
    for tokens, error, message in (
        ([1, 2], TypeError, "tokens must be a tensor of whole numbers, got list; tokenizer.encode"),
        (torch.tensor([[1.0]]), TypeError, "got torch.float32"),
        (torch.tensor([1]), ValueError, r"tokens must be \[batch, 1 token or more\], got \[1\]; use tokens\[None\]"),
        (torch.zeros(1, 0, dtype=torch.int64), ValueError, r"got \[1, 0\]"),
        (
            torch.tensor([[1, 32]]),
            ValueError,
            "token 32 is not in the vocabulary, whose ids are 0 to 31; encode the text",
        ),
        (torch.tensor([[-1, 3]]), ValueError, "token -1 is not in the vocabulary"),
    ):
        with pytest.raises(error, match=message):
            model(tokens)
