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

_MATRICES = {
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.out": "attn_output",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
    "attention_norm": "attn_norm",
    "feed_forward_norm": "ffn_norm",
}


@torch.no_grad()
def load_language_model(path: str | os.PathLike[str]) -> LanguageModel:
    """Return the model of a GGUF file of the Llama family, its weights unpacked to float32, in eval mode.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is cut short, or a tensor is missing or has another shape than the header says.
        ValueError: the model is of another family.
    """
    file = GGUFFile(path)
    architecture = architecture_of(file.values, tied="output.weight" not in file.names)
    values = file.values
    with torch.device("meta"):  # shapes alone: the numbers come from the file
        model = LanguageModel(
            architecture,
            rope_base=values.get("llama.rope.freq_base", 10_000.0),
            norm_eps=values["llama.attention.layer_norm_rms_epsilon"],
            tokenizer=Tokenizer.of_file(values),
        )
    state = {"norm.weight": file.tensor("output_norm.weight")}
    state["head.weight"] = file.tensor("token_embd.weight" if architecture.tied else "output.weight")
    if not architecture.tied:
        state["table.weight"] = file.tensor("token_embd.weight")
    for layer in range(architecture.layers):
        for ours, theirs in _MATRICES.items():
            state[f"blocks.{layer}.{ours}.weight"] = file.tensor(f"blk.{layer}.{theirs}.weight")
        for part, heads in (("query", architecture.attention.heads), ("key", architecture.attention.kv_heads)):
            name = f"blocks.{layer}.attention.{part}.weight"
            state[name] = pairs_in_halves(state[name], heads)
    for name, parameter in model.state_dict().items():
        if state[name].shape != parameter.shape:
            raise DamagedFile(
                f"{path} is damaged: {name} has shape {list(state[name].shape)}, and by its header it is "
                f"{list(parameter.shape)}; get it again"
            )
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()


def architecture_of(values: dict[str, Any], tied: bool) -> Architecture:
    """Return the shape that the header of a GGUF file describes.

    Raises:
        DamagedFile: a value is missing or is not a count.
        ValueError: the model is not of the Llama family.
    """
    family = values.get("general.architecture")
    if family != "llama":
        raise ValueError(f"the file holds a model of the family {family!r}, and this reader knows 'llama' alone")
    try:
        hidden, heads = values["llama.embedding_length"], values["llama.attention.head_count"]
        return Architecture(
            values.get("general.name", "unnamed"),
            values["llama.block_count"],
            hidden,
            len(values["tokenizer.ggml.tokens"]),
            Attention(heads, values.get("llama.attention.head_count_kv", heads), hidden // heads),
            FeedForward(values["llama.feed_forward_length"]),
            tied,
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise DamagedFile(f"the header of the file is damaged: {error!r}; get it again") from error


def pairs_in_halves(weight: Tensor, heads: int) -> Tensor:
    """Return a query or key matrix for `rotate`, whose pairs are (i, i + head_dim / 2); in the file they are neighbours.

    >>> pairs_in_halves(torch.arange(4)[:, None], heads=1).flatten().tolist()
    [0, 2, 1, 3]
    """
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)
