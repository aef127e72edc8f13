"""The model computes what transformers' Llama computes from the same weights."""

import importlib
import os
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language_models import (
    TOKENS,
    architectures,
    file_tensors,
    tiny_architecture,
    tiny_model,
    tiny_tokenizer,
    write_gguf,
)
from torchvision_support import import_torchvision

from mini_lib.llm.cost import find_model
from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.model.attention import attend
from mini_lib.llm.model.generate import generate
from mini_lib.llm.model.load import load_language_model
from mini_lib.llm.model.rotary import rotary_tables
from mini_lib.llm.model.transformer import LanguageModel

# Ecclesiastes 2 in the King James Version, 1611; any English text would do.
TEXT = """I said in mine heart, Go to now, I will prove thee with mirth, therefore enjoy pleasure: and, behold, this
also is vanity. I said of laughter, It is mad: and of mirth, What doeth it? I sought in mine heart to give myself
unto wine, yet acquainting mine heart with wisdom; and to lay hold on folly, till I might see what was that good for
the sons of men, which they should do under the heaven all the days of their life. I made me great works; I builded
me houses; I planted me vineyards: I made me gardens and orchards, and I planted trees in them of all kind of fruits:
I made me pools of water, to water therewith the wood that bringeth forth trees: I got me servants and maidens, and
had servants born in my house; also I had great possessions of great and small cattle above all that were in
Jerusalem before me: I gathered me also silver and gold, and the peculiar treasure of kings and of the provinces: I
gat me men singers and women singers, and the delights of the sons of men, as musical instruments, and that of all
sorts. So I was great, and increased more than all that were before me in Jerusalem: also my wisdom remained with me."""


@pytest.fixture(scope="session")
def transformers():
    """The library, or a visible skip where it is not installed; in CI a missing one is a failure."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here asks for a file, and so it stays
    import_torchvision()  # transformers does
    if os.environ.get("CI"):
        return importlib.import_module("transformers")
    return pytest.importorskip("transformers", reason="transformers is not there: pip install -e '.[test]'")


THEIRS = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}


def as_llama(transformers, lm):
    """The same model in transformers: its plain attention, its own configuration, our weights under its names."""
    shape, at = lm.architecture, lm.architecture.attention
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=at.heads,
        num_key_value_heads=at.kv_heads,
        head_dim=at.head_dim,
        rms_norm_eps=lm.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": lm.rope_base},
        tie_word_embeddings=shape.tied,
        attn_implementation="eager",
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=lm.tokenizer.end if lm.tokenizer else None,
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    state = {}
    for name, weight in lm.state_dict().items():
        if name.startswith("blocks."):
            _, number, part = name.removesuffix(".weight").split(".", 2)
            name = f"model.layers.{number}.{THEIRS[part]}.weight"
        state[{"norm.weight": "model.norm.weight", "table.weight": "model.embed_tokens.weight"}.get(name, name)] = (
            weight
        )
    state["lm_head.weight"] = state.pop("head.weight")
    if shape.tied:
        state["model.embed_tokens.weight"] = state["lm_head.weight"]
    model.load_state_dict(state, assign=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # a buffer that no state dict has
    return model.eval()


# --- logits ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_logits_of_the_model_are_those_of_transformers(lm, transformers):
    """Both compute in float32, in another order. The logits reach 30, so 1e-4 is a few dozen of their last places."""
    ids = torch.tensor([lm.tokenizer.encode(TEXT)[:256]])
    assert ids.shape == (1, 256)
    ours, theirs = lm(ids), as_llama(transformers, lm)(ids).logits
    assert ours.shape == theirs.shape == (1, 256, 49152)
    assert (ours - theirs).abs().max() < 1e-4
    # and they are those of a language model: by chance the loss would be log(49152), 10.8 nats
    assert torch.nn.functional.cross_entropy(ours[0, :-1], ids[0, 1:]) < 3.5


def test_the_plan_computes_the_same_for_random_tiny_models(transformers):
    """Logits are of size 1; 40 sums of up to 90 products, each rounded at 2^-24, stay far below 1e-5."""

    @given(architectures(), st.integers(0, 99), st.integers(1, 3), st.integers(1, 9), st.sampled_from([10.0, 1e4, 1e5]))
    @settings(max_examples=12)
    @torch.no_grad()
    def check(shape, seed, batch, tokens, base):
        model = tiny_model(shape, seed, rope_base=base, norm_eps=1e-3)
        ids = torch.randint(len(TOKENS), (batch, tokens), generator=torch.Generator().manual_seed(seed))
        theirs = as_llama(transformers, model)(ids).logits
        torch.testing.assert_close(model(ids), theirs, rtol=1e-5, atol=1e-5)

    check()


@torch.no_grad()
def test_greedy_text_of_the_model_is_that_of_transformers(lm, transformers):
    """40 tokens by the whole path: prompt, cache, plan of a decode step, text."""
    ids = lm.tokenizer.question("What is a steam engine?")
    theirs = as_llama(transformers, lm).generate(
        torch.tensor([ids]), max_new_tokens=40, do_sample=False, attention_mask=torch.ones(1, len(ids))
    )
    assert generate(lm, ids, 40) == lm.tokenizer.decode(theirs[0, len(ids) :].tolist())


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
    with pytest.raises(ValueError, match=f"tiny has {part}, which LanguageModel does not build; it builds the plan of"):
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
