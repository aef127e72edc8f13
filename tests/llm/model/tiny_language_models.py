"""Language models of a few hundred weights, with and without a file, for tests of all that does not need real text."""

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from hypothesis import strategies as st

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward
from mini_lib.llm.model.load import pairs_in_halves
from mini_lib.llm.model.tokenizer import Tokenizer
from mini_lib.llm.model.transformer import LanguageModel

LETTERS = [*"abcdefghijklmnopqrstuvwxyz", "Ġ"]  # the last one is a space, in the alphabet of byte-level encoding
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS = [*CONTROL, *LETTERS, "th", "the"]  # 32 in all
MERGES = ["t h", "th e"]


def tiny_architecture(layers=2, heads=4, kv_heads=2, head_dim=8, width=32, tied=True, hidden=32):
    """By default a grouped-query model of two layers, whose sizes are whole blocks of 32."""
    return Architecture(
        "tiny", layers, hidden, len(TOKENS), Attention(heads, kv_heads, head_dim), FeedForward(width), tied
    )


def tiny_tokenizer():
    return Tokenizer(TOKENS, MERGES, control=CONTROL, end=2)


def tiny_model(architecture=None, seed=0, **settings):
    """A model with random weights, norms included, in eval mode."""
    chance = torch.Generator().manual_seed(seed)
    model = LanguageModel(architecture or tiny_architecture(), **settings)
    for name, weight in model.named_parameters():
        drawn = torch.randn(weight.shape, generator=chance)
        weight.data = 1 + 0.1 * drawn if "norm" in name else drawn * weight.shape[-1] ** -0.5
    return model.requires_grad_(False).eval()


@st.composite
def architectures(draw):
    """Multi-head (a group of 1), grouped and multi-query (one KV head); the heads need not fill the hidden size."""
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 3))
    return tiny_architecture(
        layers=draw(st.integers(1, 3)),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 5)),
        width=draw(st.integers(1, 24)),
        tied=draw(st.booleans()),
        hidden=heads * draw(st.integers(1, 5)),  # the configurations of transformers demand a multiple
    )


HEADER = {
    "llama.block_count": 2,
    "llama.embedding_length": 32,
    "llama.feed_forward_length": 32,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.rope.freq_base": 1000.0,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [3, 3, 3] + [1] * (len(TOKENS) - 3),
    "tokenizer.ggml.merges": MERGES,
    "tokenizer.ggml.eos_token_id": 2,
}
NAMES = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.out": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
    "norm": "output_norm",
}


def neighbours(weight, heads):
    """The inverse of `pairs_in_halves`: a query or key matrix as a file has it."""
    back = torch.empty_like(weight)
    back[pairs_in_halves(torch.arange(len(weight))[:, None], heads).flatten()] = weight
    return back


def file_tensors(model):
    """The weights of a model under the names of a file, in float32."""
    found, shape = {}, model.architecture.attention
    for name, weight in model.state_dict().items():
        name = name.removesuffix(".weight")
        if name.endswith(("query", "key")):
            weight = neighbours(weight, shape.heads if name.endswith("query") else shape.kv_heads)
        if name.startswith("blocks."):
            _, number, name = name.split(".", 2)
            name = f"blk.{number}.{NAMES[name]}"
        elif name in ("head", "table"):
            name = "output" if name == "head" and not model.architecture.tied else "token_embd"
        found[f"{NAMES.get(name, name)}.weight"] = weight.numpy()
    return found


def write_gguf(path, tensors, header=HEADER, family="llama", kind=None):
    """Write a file with the writer of llama.cpp's authors; `kind` is the encoding of all matrices."""
    writer = gguf.GGUFWriter(path, family)
    for name, value in header.items():
        match value:
            case bool():
                writer.add_bool(name, value)
            case str():
                writer.add_string(name, value)
            case int():
                writer.add_uint32(name, value)
            case float():
                writer.add_float32(name, value)
            case _:
                writer.add_array(name, list(value))
    for name, values in tensors.items():
        if kind is None or values.ndim == 1:
            writer.add_tensor(name, np.ascontiguousarray(values))
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


KINDS = (Kind.F32, Kind.F16, Kind.Q4_0, Kind.Q4_1, Kind.Q8_0)
