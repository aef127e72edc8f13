"""Parameters, FLOPs and cache bytes against transformers, on random tiny models of many families: the difference is 0.

transformers builds the model and runs it; torch counts the FLOPs of every matrix product that is really called, and the
cache is weighed tensor by tensor. A family below is a strategy: it draws the settings of a configuration and writes
down, on its own, the shape that these settings mean for us.

Counted are plain ("eager") implementations. torch does not see inside the fused kernels of a CPU, for attention and for
experts alike, and would count them as 0. A plain implementation scores masked pairs too, and applies the head to every
token: `causal=False, head_on="all"`.
"""

import importlib
import os
from dataclasses import dataclass

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from torchvision_support import import_torchvision

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.cost.kv_cache import kv_bytes_per_token, kv_cache_bytes, kv_numbers_per_token
from mini_lib.llm.cost.operators import operators
from mini_lib.llm.cost.parameters import count_parameters


@pytest.fixture(scope="module")
def transformers():
    """The library, or a visible skip where it is not installed; in CI a missing one is a failure."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here asks for a file, and so it stays
    import_torchvision()  # transformers does
    if os.environ.get("CI"):
        return importlib.import_module("transformers")
    return pytest.importorskip("transformers", reason="transformers is not there: pip install -e '.[test]'")


@dataclass(frozen=True)
class Case:
    """A tiny model in their words and in ours."""

    family: str
    settings: dict
    shape: Architecture

    def build(self, transformers, dtype=torch.float32):
        config = getattr(transformers, f"{self.family}Config")(
            **self.settings,
            attn_implementation="eager",
            experts_implementation="eager",
            pad_token_id=None,
            bos_token_id=None,
            eos_token_id=None,
        )
        name = {"Gemma3Text": "Gemma3"}.get(self.family, self.family) + "ForCausalLM"
        return getattr(transformers, name)(config).to(dtype).eval()


def some(low, high, step=1):
    return st.integers(low // step, high // step).map(lambda n: n * step)


A_FEW = st.integers(1, 3)


@st.composite
def plans(draw, kv_heads=A_FEW, group=A_FEW, free_head_dim=True):
    """What all families share: the settings under the names of most, and the attention that they mean."""
    kv = draw(kv_heads)
    heads = kv * draw(group)
    # hidden is a multiple of the heads, as every config demands; the size of a head need not be the quotient
    hidden = heads * draw(some(4, 16, 2))
    head_dim = draw(some(2, 16, 2)) if free_head_dim else hidden // heads
    written = {
        "hidden_size": hidden,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": draw(st.integers(5, 70)),
        "vocab_size": draw(st.integers(11, 90)),
        "tie_word_embeddings": draw(st.booleans()),
    }
    if free_head_dim:
        written["head_dim"] = head_dim
    return written, {"heads": heads, "kv_heads": kv, "head_dim": head_dim}


def shape_of(family, written, attention, feed_forward=None, **more):
    return Architecture(
        family,
        written["num_hidden_layers"],
        written["hidden_size"],
        written["vocab_size"],
        attention,
        feed_forward or FeedForward(written["intermediate_size"]),
        tied=written["tie_word_embeddings"],
        **more,
    )


@st.composite
def llama(draw, **sizes):
    written, heads = draw(plans(**sizes))
    bias, mlp_bias = draw(st.booleans()), draw(st.booleans())
    feed_forward = FeedForward(written["intermediate_size"], bias=mlp_bias)
    shape = shape_of("Llama", written, Attention(**heads, qkv_bias=bias, out_bias=bias), feed_forward)
    return Case("Llama", {**written, "attention_bias": bias, "mlp_bias": mlp_bias}, shape)


@st.composite
def qwen2(draw):
    """Biases at query, key and value, and none at the output."""
    written, heads = draw(plans(free_head_dim=False))
    return Case("Qwen2", written, shape_of("Qwen2", written, Attention(**heads, qkv_bias=True)))


@st.composite
def qwen3(draw):
    """A norm over each head of the queries and of the keys."""
    written, heads = draw(plans())
    return Case("Qwen3", written, shape_of("Qwen3", written, Attention(**heads, qk_norm=True)))


@st.composite
def phi3(draw):
    """Query, key and value in one matrix, gate and up in another."""
    written, heads = draw(plans(free_head_dim=False))
    return Case("Phi3", written, shape_of("Phi3", written, Attention(**heads)))


@st.composite
def mixtral(draw):
    written, heads = draw(plans())
    count = draw(st.integers(1, 6))
    active = draw(st.integers(1, count))
    experts = Experts(count, active, written["intermediate_size"])
    more = {"num_local_experts": count, "num_experts_per_tok": active}
    return Case("Mixtral", {**written, **more}, shape_of("Mixtral", written, Attention(**heads), experts))


@st.composite
def qwen3_moe(draw):
    written, heads = draw(plans())
    count, width = draw(st.integers(2, 6)), draw(st.integers(3, 40))
    active, dense = draw(st.integers(1, count)), draw(st.integers(0, written["num_hidden_layers"]))
    more = {
        "num_experts": count,
        "num_experts_per_tok": active,
        "moe_intermediate_size": width,
        "mlp_only_layers": list(range(dense)),
    }
    experts = Experts(
        count, active, width, dense_layers=dense, dense_width=written["intermediate_size"] if dense else 0
    )
    shape = shape_of("Qwen3Moe", written, Attention(**heads, qk_norm=True), experts)
    return Case("Qwen3Moe", {**written, **more}, shape)


@st.composite
def mistral(draw):
    """Every layer sees a window."""
    written, heads = draw(plans())
    window = draw(st.integers(2, 12))
    attention = Attention(**heads, window=window, windowed_layers=written["num_hidden_layers"])
    return Case("Mistral", {**written, "sliding_window": window}, shape_of("Mistral", written, attention))


@st.composite
def gemma2(draw):
    """Four norms a layer; every other layer, from the first on, sees a window."""
    written, heads = draw(plans())
    window = draw(st.integers(2, 12))
    attention = Attention(**heads, window=window, windowed_layers=(written["num_hidden_layers"] + 1) // 2)
    return Case(
        "Gemma2", {**written, "sliding_window": window}, shape_of("Gemma2", written, attention, norms_per_layer=4)
    )


@st.composite
def gemma3(draw):
    """As Gemma 2, with norms of queries and keys, and a list that says which layers see a window."""
    written, heads = draw(plans())
    window, layers = draw(st.integers(2, 12)), written["num_hidden_layers"]
    kinds = draw(st.lists(st.sampled_from(["sliding_attention", "full_attention"]), min_size=layers, max_size=layers))
    windowed = kinds.count("sliding_attention")
    sight = {"window": window, "windowed_layers": windowed} if windowed else {}
    shape = shape_of("Gemma3", written, Attention(**heads, qk_norm=True, **sight), norms_per_layer=4)
    return Case("Gemma3Text", {**written, "sliding_window": window, "layer_types": kinds}, shape)


@st.composite
def gptj(draw):
    """Attention and feed-forward side by side behind one norm; biases in the feed-forward, the norms and the head."""
    heads, head_dim, layers = draw(st.integers(1, 4)), draw(some(4, 12, 2)), draw(st.integers(1, 3))
    width, vocabulary = draw(st.integers(5, 70)), draw(st.integers(11, 90))
    written = {
        "n_embd": heads * head_dim,
        "n_head": heads,
        "n_layer": layers,
        "n_inner": width,
        "vocab_size": vocabulary,
        "rotary_dim": draw(some(2, head_dim, 2)),
        "n_positions": 64,
        "tie_word_embeddings": False,
    }
    shape = Architecture(
        "GPT-J",
        layers,
        heads * head_dim,
        vocabulary,
        Attention(heads, heads, head_dim),
        FeedForward(width, gated=False, bias=True),
        norms_per_layer=1,
        norm_bias=True,
        head_bias=True,
        parallel_block=True,
    )
    return Case("GPTJ", written, shape)


@st.composite
def falcon(draw, new=False):
    """The first Falcons have one KV head and one norm; the later ones groups, and a norm for each half of a layer."""
    kv = draw(st.integers(1, 3)) if new else 1
    heads, head_dim, layers = kv * draw(st.integers(1, 3)), draw(some(4, 12, 2)), draw(st.integers(1, 3))
    width, vocabulary, tied = draw(st.integers(5, 70)), draw(st.integers(11, 90)), draw(st.booleans())
    written = {
        "hidden_size": heads * head_dim,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_kv_heads": kv,
        "ffn_hidden_size": width,
        "vocab_size": vocabulary,
        "new_decoder_architecture": new,
        "multi_query": not new,
        "parallel_attn": True,
        "bias": False,
        "tie_word_embeddings": tied,
    }
    shape = Architecture(
        "Falcon",
        layers,
        heads * head_dim,
        vocabulary,
        Attention(heads, kv, head_dim),
        FeedForward(width, gated=False),
        tied=tied,
        norms_per_layer=2 if new else 1,
        norm_bias=True,
        parallel_block=True,
    )
    return Case("Falcon", written, shape)


@st.composite
def deepseek(draw, kv_rank, long):
    """Compressed keys and values, shared experts, and a few dense layers first."""
    heads, layers = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    attention = LatentAttention(
        heads,
        query_rank=draw(st.integers(0, 12)),
        kv_rank=draw(kv_rank),
        nope_dim=draw(long),
        rope_dim=draw(some(2, 8, 2)),
        value_dim=draw(long),
    )
    count, width, shared = draw(st.integers(2, 6)), draw(st.integers(3, 40)), draw(st.integers(1, 2))
    active, dense, dense_width = draw(st.integers(1, count)), draw(st.integers(0, layers)), draw(st.integers(5, 70))
    written = {
        "hidden_size": draw(some(16, 48, 2)),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "q_lora_rank": attention.query_rank or None,
        "kv_lora_rank": attention.kv_rank,
        "qk_nope_head_dim": attention.nope_dim,
        "qk_rope_head_dim": attention.rope_dim,
        "v_head_dim": attention.value_dim,
        "n_routed_experts": count,
        "num_experts_per_tok": active,
        "moe_intermediate_size": width,
        "n_shared_experts": shared,
        "first_k_dense_replace": dense,
        "intermediate_size": dense_width,
        "n_group": 1,
        "topk_group": 1,
        "vocab_size": draw(st.integers(11, 90)),
        "tie_word_embeddings": draw(st.booleans()),
    }
    experts = Experts(
        count, active, width, shared_width=shared * width, dense_layers=dense, dense_width=dense_width if dense else 0
    )
    return Case("DeepseekV3", written, shape_of("DeepSeek-V3", written, attention, experts))


PLAIN = {
    "Llama": llama(),
    "Llama, multi-head": llama(group=st.just(1)),
    "Llama, grouped-query": llama(kv_heads=st.integers(2, 3), group=st.integers(2, 3)),
    "Llama, multi-query": llama(kv_heads=st.just(1), group=st.integers(2, 6)),
    "Qwen 2": qwen2(),
    "Qwen 3": qwen3(),
    "Phi-3": phi3(),
    "Mixtral": mixtral(),
    "Qwen 3, experts": qwen3_moe(),
    "GPT-J": gptj(),
    "Falcon, multi-query": falcon(),
}
WINDOWED = {"Mistral": mistral(), "Gemma 2": gemma2(), "Gemma 3": gemma3()}
AS_DRAWN = [Phase.explicit, Phase.reuse, Phase.generate]  # a tiny model that fails needs no search for a tinier one
SIZES = {"batch": st.integers(1, 3), "prompt": st.integers(1, 9), "chunk": st.integers(2, 4)}


def run(model, tokens, batch, cache=None):
    """Run `tokens` new tokens of `batch` sequences; return the FLOPs by module (all under "Global") and the cache."""
    ids = torch.randint(model.config.vocab_size, (batch, tokens))
    with torch.no_grad(), FlopCounterMode(display=False, depth=None) as counter:
        cache = model(ids, past_key_values=cache, use_cache=True).past_key_values
    return {name: sum(by_kind.values()) for name, by_kind in counter.get_flop_counts().items()}, cache


def weigh(cache):
    """The bytes of every tensor of keys and values that the cache really holds."""
    return sum(t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values))


def plain_flops(shape, **sizes):
    return sum(o.flops for o in operators(shape, **sizes, causal=False, head_on="all"))


def stored(model):
    """The numbers in all parameters; one that is used twice, as a tied head, is stored once."""
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", PLAIN)
def test_parameters_flops_and_cache_are_those_of_transformers(family, transformers):
    @given(PLAIN[family], *SIZES.values(), st.sampled_from([torch.float32, torch.bfloat16]))
    @settings(max_examples=12, phases=AS_DRAWN)
    def check(case, batch, prompt, chunk, dtype):
        model, shape, bits = case.build(transformers, dtype), case.shape, 8 * dtype.itemsize
        assert stored(model) == count_parameters(shape).total

        flops, cache = run(model, prompt, batch)
        assert flops["Global"] == plain_flops(shape, batch=batch, new_tokens=prompt)
        assert weigh(cache) == kv_cache_bytes(shape, batch, prompt, kv_bits=bits)

        flops, cache = run(model, 1, batch, cache)
        assert flops["Global"] == plain_flops(shape, batch=batch, new_tokens=1, context=prompt)
        # one new token sees all there is, so a causal count is the same, and so is the head of the last token
        assert flops["Global"] == sum(o.flops for o in operators(shape, batch=batch, new_tokens=1, context=prompt))
        grown = batch * prompt * kv_bytes_per_token(shape, kv_bits=bits) + batch * kv_bytes_per_token(shape, bits)
        assert weigh(cache) == grown

        flops, cache = run(model, chunk, batch, cache)  # a chunk of a prompt is something between
        assert flops["Global"] == plain_flops(shape, batch=batch, new_tokens=chunk, context=prompt + 1)
        assert weigh(cache) == kv_cache_bytes(shape, batch, prompt + 1 + chunk, kv_bits=bits)

    check()


PARTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention out": ("self_attn.o_proj",),
    "head": ("lm_head",),
}


@pytest.mark.parametrize("family", ["Llama", "Mixtral"])
def test_every_row_is_what_its_module_computes(family, transformers):
    @given(PLAIN[family], *SIZES.values())
    @settings(max_examples=8, phases=AS_DRAWN)
    def check(case, batch, prompt, context):
        model = case.build(transformers)
        _, cache = run(model, context, batch)
        flops, _ = run(model, prompt, batch, cache)
        sizes = {"batch": batch, "new_tokens": prompt, "context": context, "causal": False, "head_on": "all"}
        rows = {o.name: o.flops for o in operators(case.shape, **sizes)}

        def within(*ends):
            return sum(n for name, n in flops.items() if name.endswith(ends))

        for row, modules in PARTS.items():
            assert rows[row] == within(*modules), row
        # what is left of the attention module beside its four projections are scores and weighted sums
        assert rows["attention"] == within("self_attn") - within(*PARTS["qkv"], *PARTS["attention out"])
        if family == "Llama":
            assert rows["gate and up"] == within("mlp.gate_proj", "mlp.up_proj")
            assert rows["down"] == within("mlp.down_proj")
        else:
            assert rows["router"] == within("mlp.gate")
            assert rows["expert gate and up"] + rows["expert down"] == within("mlp.experts")

    check()


@pytest.mark.parametrize("family", WINDOWED)
def test_windows_are_those_of_transformers(family, transformers):
    @given(WINDOWED[family], st.integers(1, 3), st.integers(1, 20))
    @settings(max_examples=12, phases=AS_DRAWN)
    def check(case, batch, prompt):
        model, shape = case.build(transformers), case.shape
        assert stored(model) == count_parameters(shape).total

        # a plain prefill scores every pair and masks what is out of the window
        flops, cache = run(model, prompt, batch)
        assert flops["Global"] == plain_flops(shape, batch=batch, new_tokens=prompt)

        for context in (prompt, prompt + 1):
            # Our cache is that of a step: `window` tokens, the new one among them. Theirs is that between two steps, in
            # which the oldest of a full window is gone already, as the next token will not see it.
            new = shape.layers * batch * kv_numbers_per_token(shape) * 4
            assert weigh(cache) + new == kv_cache_bytes(shape, batch, context + 1, kv_bits=32)
            # a plain step scores what it then has, which is exactly the window
            flops, cache = run(model, 1, batch, cache)
            assert flops["Global"] == sum(o.flops for o in operators(shape, batch=batch, new_tokens=1, context=context))

    check()


def test_a_later_falcon_is_that_of_transformers_but_for_copies_in_its_cache(transformers):
    @given(falcon(new=True), *SIZES.values())
    @settings(max_examples=12, phases=AS_DRAWN)
    def check(case, batch, prompt, chunk):
        model, shape = case.build(transformers), case.shape
        assert stored(model) == count_parameters(shape).total
        flops, cache = run(model, prompt, batch)
        assert flops["Global"] == plain_flops(shape, batch=batch, new_tokens=prompt)
        # this model's code copies a key and value for every head that reads it, and stores the copies
        assert weigh(cache) == kv_cache_bytes(shape, batch, prompt, kv_bits=32) * shape.attention.group
        flops, cache = run(model, 1, batch, cache)
        assert flops["Global"] == plain_flops(shape, batch=batch, new_tokens=1, context=prompt)
        flops, cache = run(model, chunk, batch, cache)
        assert flops["Global"] == plain_flops(shape, batch=batch, new_tokens=chunk, context=prompt + 1)

    check()


LATENT = {
    "any": deepseek(kv_rank=st.integers(1, 24), long=st.integers(1, 12)),
    # 2 * kv_rank <= nope_dim + value_dim: scores and sums over the compressed vectors are less work
    "absorbed": deepseek(kv_rank=st.integers(1, 4), long=st.integers(4, 12)),
    # 5 or more new tokens after at most 10 cached: unfolding these costs 10 * 4 * 24 MACs a head at most and saves
    # 5 * 15 * (2 * 16 - 4) at least
    "unfolded": deepseek(kv_rank=st.integers(16, 24), long=st.integers(1, 2)),
}


@pytest.mark.parametrize("order", LATENT)
def test_deepseek_is_that_of_transformers_or_cheaper_by_a_known_amount(order, transformers):
    """transformers keeps the compressed vectors, as we say, and unfolds the whole context in each step.

    Where that is less work than the other order of multiplication, the FLOPs are the same. Elsewhere ours are fewer, by
    what is not unfolded (each cached vector into a key and a value for each head) less what the scores and sums cost
    more, being over vectors of `kv_rank` instead of keys of `nope_dim` and values of `value_dim`.
    """

    @given(LATENT[order], SIZES["batch"], SIZES["prompt"], st.integers(5, 8))
    @settings(max_examples=10, phases=AS_DRAWN)
    def check(case, batch, prompt, chunk):
        model, shape = case.build(transformers), case.shape
        at, cache, context = shape.attention, None, 0
        assert stored(model) == count_parameters(shape).total
        for new in (prompt, 1, chunk):
            flops, cache = run(model, new, batch, cache)
            sizes = {"batch": batch, "new_tokens": new, "context": context}
            absorbed = any(o.name == "attention, absorbed" for o in operators(shape, **sizes, causal=False))
            assert order != "absorbed" or absorbed
            assert order != "unfolded" or not absorbed or new == 1
            difference = flops["Global"] - plain_flops(shape, **sizes)
            if not absorbed:
                assert difference == 0
            else:
                each = 2 * batch * shape.layers * at.heads
                unfolding = each * context * (at.nope_dim + at.value_dim) * at.kv_rank
                longer = each * new * (context + new) * (2 * at.kv_rank - at.nope_dim - at.value_dim)
                assert difference == unfolding - longer >= 0
            context += new
            assert weigh(cache) == kv_cache_bytes(shape, batch, context, kv_bits=32)

    check()


def test_a_tiny_grouped_query_llama_by_hand(transformers):
    """Hidden 16, 1 layer, 4 heads of 4 on 2 KV heads, width 8, vocabulary 10, a prompt of 3 and one token more."""
    written = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 10,
        "tie_word_embeddings": False,
    }
    case = Case("Llama", written, shape_of("Llama", written, Attention(4, 2, 4)))
    model = case.build(transformers)
    # query, key and value, out, the three of the feed-forward: 1152
    weights = 16 * 16 + 2 * 16 * 8 + 16 * 16 + 3 * 16 * 8
    assert count_parameters(case.shape).total == stored(model) == 10 * 16 + weights + 3 * 16 + 10 * 16 == 1520
    flops, cache = run(model, 3, batch=1)
    # 3 tokens x 2 FLOPs x (1152 + the head's 160), and 4 heads x 9 pairs x 4 numbers x 2 FLOPs, for scores and for sums
    assert flops["Global"] == plain_flops(case.shape, new_tokens=3) == 3 * 2 * 1312 + 2 * (4 * 9 * 4 * 2) == 8448
    assert weigh(cache) == kv_cache_bytes(case.shape, 1, 3, kv_bits=32) == 3 * 2 * 2 * 4 * 4
    flops, _ = run(model, 1, batch=1, cache=cache)
    assert flops["Global"] == plain_flops(case.shape, new_tokens=1, context=3) == 2 * 1312 + 2 * (4 * 4 * 4 * 2) == 2880
