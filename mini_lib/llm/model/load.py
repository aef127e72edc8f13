"""From a file on disk to a model that runs."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from mini_lib.llm.cost.architecture import Architecture, Attention, FeedForward
from mini_lib.llm.model.gguf_file import DamagedFile, GGUFFile
from mini_lib.llm.model.tokenizer import Tokenizer
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.require import shown

# The keys that a header may have. Any other key changes the computation, or is damaged.
_KEYS = frozenset(
    f"llama.{key}"
    for key in (
        *("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size"),
        *("attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length"),
        *("attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base", "rope.scaling.type"),
        "tensor_data_layout",
    )
)


@torch.no_grad()
def load_language_model(path: str | os.PathLike[str]) -> LanguageModel:
    """Return the model of a GGUF file of the Llama family, its weights unpacked to float32, in eval mode.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is cut short, or its tensors do not match its header.
        ValueError: the model is of another family, or has a part that is not supported here.
    """
    file = GGUFFile(path)
    values = file.values
    architecture = architecture_of(values, tied="output.weight" not in file.names)
    tensors = _checked_tensors(file, architecture)
    try:
        with torch.device("meta"):  # shapes only: the numbers come from the file
            model = LanguageModel(
                architecture,
                rope_base=values.get("llama.rope.freq_base", 10_000.0),
                norm_eps=values["llama.attention.layer_norm_rms_epsilon"],
                tokenizer=Tokenizer.of_file(values),
            )
    except (KeyError, TypeError) as error:
        raise DamagedFile(f"the header of {path} is damaged: {error!r}; get it again") from error
    state = {ours: file.tensor(theirs) for ours, theirs in tensors.items()}
    for number in range(architecture.layers):
        for part, heads in (("query", architecture.attention.heads), ("key", architecture.attention.kv_heads)):
            name = f"blocks.{number}.attention.{part}.weight"
            state[name] = pairs_in_halves(state[name], heads)
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()


def architecture_of(values: dict[str, Any], tied: bool) -> Architecture:
    """Return the shape that the header of a GGUF file describes.

    Raises:
        DamagedFile: a value is missing or is not a count.
        ValueError: the model is of another family, its positions are not those of `rotary`, or the header has unknown
            keys.
    """
    family = values.get("general.architecture")
    if family != "llama":
        raise ValueError(f"the file holds a model of the family {family!r}, and this reader knows only 'llama'")
    if foreign := sorted(key for key in values if key.startswith("llama.") and key not in _KEYS):
        raise ValueError(
            f"the header has keys that are not known here: {shown(', '.join(foreign[:3]))}; the model has a part that "
            "is not built here, or the file is damaged: get it again"
        )
    try:
        hidden, heads = values["llama.embedding_length"], values["llama.attention.head_count"]
        head_dim = values.get("llama.attention.key_length", hidden // heads)
        architecture = Architecture(
            str(values.get("general.name", "unnamed")),
            values["llama.block_count"],
            hidden,
            len(values["tokenizer.ggml.tokens"]),
            Attention(heads, values.get("llama.attention.head_count_kv", heads), head_dim),
            FeedForward(values["llama.feed_forward_length"]),
            tied,
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise DamagedFile(f"the header of the file is damaged: {error!r}; get it again") from error
    scaling, turned = values.get("llama.rope.scaling.type", "none"), values.get("llama.rope.dimension_count", head_dim)
    if scaling != "none" or turned != head_dim:
        raise ValueError(
            f"the model turns {turned} of {head_dim} numbers of a head, with scaling {scaling!r}; this reader knows "
            "models that turn all of them, without scaling"
        )
    return architecture


def _checked_tensors(file: GGUFFile, a: Architecture) -> dict[str, str]:
    """For each entry of the model's state dict, its tensor in the file, after a check that all are there in shape.

    This comes before anything is built, so that an altered count cannot ask for a billion layers.
    """
    if a.layers > len(file.names):
        raise DamagedFile(f"{file.path} is damaged: {a.layers:,} layers have only {len(file.names)} tensors")
    hidden, width, head_dim = a.hidden, a.feed_forward.width, a.attention.head_dim
    queries, keys = a.attention.heads * head_dim, a.attention.kv_heads * head_dim
    layer = {
        "attention_norm": ("attn_norm", (hidden,)),
        "attention.query": ("attn_q", (queries, hidden)),
        "attention.key": ("attn_k", (keys, hidden)),
        "attention.value": ("attn_v", (keys, hidden)),
        "attention.out": ("attn_output", (hidden, queries)),
        "feed_forward_norm": ("ffn_norm", (hidden,)),
        "feed_forward.gate": ("ffn_gate", (width, hidden)),
        "feed_forward.up": ("ffn_up", (width, hidden)),
        "feed_forward.down": ("ffn_down", (hidden, width)),
    }
    tensors = {"norm": ("output_norm", (hidden,))}
    if not a.tied:
        tensors["table"] = ("token_embd", (a.vocabulary, hidden))
    tensors["head"] = ("token_embd" if a.tied else "output", (a.vocabulary, hidden))
    for number in range(a.layers):
        tensors |= {f"blocks.{number}.{ours}": (f"blk.{number}.{name}", shape) for ours, (name, shape) in layer.items()}
    for name, shape in tensors.values():
        if file.shape(f"{name}.weight") != shape:
            raise DamagedFile(
                f"{file.path} is damaged: {name}.weight is {list(file.shape(f'{name}.weight'))}, and by its header it "
                f"is {list(shape)}; get it again"
            )
    if foreign := sorted(set(file.names) - {f"{name}.weight" for name, _ in tensors.values()}):
        raise ValueError(f"the model has tensors that are not built here: {', '.join(foreign[:3])}")
    return {f"{ours}.weight": f"{name}.weight" for ours, (name, _) in tensors.items()}


def pairs_in_halves(weight: Tensor, heads: int) -> Tensor:
    """Return a query or key matrix of a file, with pairs (2i, 2i + 1), in the order of `rotate`: (i, i + head_dim / 2).

    >>> pairs_in_halves(torch.arange(4)[:, None], heads=1).flatten().tolist()
    [0, 2, 1, 3]
    """
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)
