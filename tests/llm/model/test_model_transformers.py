"""The model, its greedy text and its chances are those of transformers' Llama with the same weights."""

import importlib
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language_models import TOKENS, architectures, tiny_model
from torchvision_support import import_torchvision

from mini_lib.llm.model.generate import generate
from mini_lib.llm.model.sampling import Sampling

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


@pytest.fixture(scope="module")
def llama(transformers, lm):
    """The model itself in transformers, on the same memory."""
    return as_llama(transformers, lm)


# --- logits ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_logits_of_the_model_are_those_of_transformers(lm, llama):
    """Logits reach 35. In float32 they are 5e-5 from those in float64, so two right orders of sums are within 1e-4."""
    ids = torch.tensor([lm.tokenizer.encode(TEXT)[:256]])
    assert ids.shape == (1, 256)
    ours, theirs = lm(ids), llama(ids).logits
    assert ours.shape == theirs.shape == (1, 256, 49152)
    assert (ours - theirs).abs().max() < 1e-4
    # and they are those of a language model: from weights in the wrong places the loss would be log(49152), 10.8 nats
    assert torch.nn.functional.cross_entropy(ours[0, :-1], ids[0, 1:]) < 5


def test_the_plan_computes_the_same_for_random_tiny_models(transformers):
    """Logits are of size 1, and sums of up to 90 products are rounded at 2^-24, 6e-8: 1e-5 is ample.

    The norms add 0.1, or they would magnify the rounding of a vector that happens to be small.
    """

    @given(architectures(), st.integers(0, 99), st.integers(1, 3), st.integers(1, 9), st.sampled_from([10.0, 1e4, 1e5]))
    @settings(max_examples=12)
    @torch.no_grad()
    def check(shape, seed, batch, tokens, base):
        model = tiny_model(shape, seed, rope_base=base, norm_eps=0.1)
        ids = torch.randint(len(TOKENS), (batch, tokens), generator=torch.Generator().manual_seed(seed))
        theirs = as_llama(transformers, model)(ids).logits
        torch.testing.assert_close(model(ids), theirs, rtol=1e-5, atol=1e-5)

    check()


@torch.no_grad()
def test_greedy_text_of_the_model_is_that_of_transformers(lm, llama):
    """40 tokens by the whole path: prompt, cache, plan of a decode step, text."""
    ids = lm.tokenizer.question("What is a steam engine?")
    theirs = llama.generate(
        torch.tensor([ids]), max_new_tokens=40, do_sample=False, attention_mask=torch.ones(1, len(ids))
    )
    assert generate(lm, ids, 40) == lm.tokenizer.decode(theirs[0, len(ids) :].tolist())


def test_chances_are_those_of_transformers(transformers):
    """The same order: temperature, the k most likely, then the share. No two logits are equal."""

    @given(st.integers(0, 999), st.floats(0.05, 3), st.integers(1, 60) | st.none(), st.floats(0.05, 1))
    @settings(max_examples=100)
    def check(seed, temperature, top_k, top_p):
        logits = 3 * torch.randn(1, 50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        warpers = [transformers.TemperatureLogitsWarper(temperature)]
        warpers += [transformers.TopKLogitsWarper(top_k)] if top_k else []
        warpers += [transformers.TopPLogitsWarper(top_p)] if top_p < 1 else []
        expected = transformers.LogitsProcessorList(warpers)(None, logits).softmax(-1)[0]
        torch.testing.assert_close(Sampling(temperature, top_k, top_p).probabilities(logits[0]), expected)

    check()
