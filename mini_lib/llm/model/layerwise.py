"""Change the linear layers of a language model, block after block, by the inputs of each.

A change of a layer should use the inputs that the changed layers before it produce. Running the whole model once for
each layer would take hours. Instead the hidden states of all calibration windows are kept before a block. One pass
through the block gives the second moments of its layers' inputs. Then the layers are changed, and a second pass through
the changed block gives the hidden states before the next block. So there are two passes per block, however many layers
it has.

Within a block all layers see the inputs that they had before the block was changed; only earlier blocks are changed.
The code of GPTQ and SparseGPT does the same by default.

Source: E. Frantar, D. Alistarh, "SparseGPT", 2023, section 4 (setup); the code of E. Frantar et al., "GPTQ", 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from mini_lib.llm.model.as_built import need_as_built, need_evaluated
from mini_lib.llm.model.transformer import LanguageModel, need_language_model
from mini_lib.llm.model.windows import windows_of
from mini_lib.plain import need_own, need_plain
from mini_lib.quantize.layers import QuantizedLinear
from mini_lib.quantize.qtensor import QTensor
from mini_lib.require import callable_, of_type
from mini_lib.second_moments import second_moments_of
from mini_lib.surgery import Where

PLAIN_FIRST = "change the model as it was built, and add what else it has afterwards"
# Layers of a block with the same input: one matrix of second moments serves the whole group.
SHARED_INPUTS = (
    ("attention.query", "attention.key", "attention.value"),
    ("attention.out",),
    ("feed_forward.gate", "feed_forward.up"),
    ("feed_forward.down",),
)
# (name, weight [out, in], second moments of its inputs [in, in], float64) -> the replacement of the weight
Change = Callable[[str, Tensor, Tensor], Tensor | QTensor]


class BlockStep(nn.Module):
    """A block as a function of the hidden states alone, [windows, tokens, hidden]."""

    def __init__(self, block: nn.Module, rotary: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.block, self._rotary = block, rotary

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x, self._rotary)


def in_blocks(name: str, module: nn.Module) -> bool:
    """Whether `module` is a linear layer of a block with a float weight; the head and the table tied to it are not.

    >>> in_blocks("blocks.0.attention.query", nn.Linear(2, 2)), in_blocks("head", nn.Linear(2, 2))
    (True, False)
    """
    return of_type("name", name, str, fix="find passes it").startswith("blocks.") and isinstance(module, nn.Linear)


@torch.no_grad()
def change_layers(
    lm: LanguageModel,
    tokens: Tensor | Sequence[int],
    change: Change,
    where: Where = in_blocks,
    *,
    window: int = 256,
    progress: Callable[[str], None] | None = None,
) -> LanguageModel:
    """Return a new model whose chosen layers have the weights that `change` gives.

    Args:
        lm: a model in eval mode; the argument stays as it is.
        tokens: ids to calibrate on, [tokens], cut into windows; never those that the model will be judged on.
        change: `change(name, weight, moments)` returns a float weight or a QTensor; a QTensor becomes a
            QuantizedLinear. `moments` is E[x x^T] over all tokens, float64 [in, in], as `second_moments_of` gives it.
        where: `where(name, module) -> bool` chooses among the linear layers of the blocks.
        progress: called with the name of each changed layer.

    Raises:
        TypeError: `lm` is not a LanguageModel, or `change` returns something else.
        ValueError: the model is in training mode, or has hooks, a `forward` of its own or modules that it was not built
            from; a chosen layer is not plain, or shares its weight with another module; no layer is chosen; the tokens
            do not fill a window; or `change` returns another shape or NaN, or refuses a layer, which the message names.

    With half of each weight, a layer computes half of its output:

    >>> from mini_lib.llm.cost import Architecture, Attention, FeedForward
    >>> tiny = Architecture("tiny", 1, 8, 16, Attention(heads=2, kv_heads=1, head_dim=4), FeedForward(12), tied=True)
    >>> lm = LanguageModel(tiny).eval()
    >>> halved = change_layers(lm, [1, 2, 3, 4], lambda name, weight, moments: weight / 2, window=2)
    >>> torch.equal(halved.blocks[0].attention.out.weight, lm.blocks[0].attention.out.weight / 2)
    True
    """
    need_language_model(lm)
    callable_("change", change, fix="pass a function (name, weight, moments) -> weight")
    if progress is not None:
        callable_("progress", progress, fix="None leaves it out")
    callable_("where", where, fix="pass a function (name, module) -> bool")
    changed, new, chosen = deepcopy(lm), {}, 0
    for stem, step, hidden in blocks_in_turn(changed, tokens, window):
        picked = {}  # by the first chosen layer of those with the same input
        for group in SHARED_INPUTS:
            parts = [part for part in group if where(f"{stem}.{part}", step.block.get_submodule(part))]
            for part in parts:
                need_changeable(changed, f"{stem}.{part}")
            picked |= {parts[0]: parts} if parts else {}
            chosen += len(parts)
        for first, moments in moments_in(step, hidden, list(picked)).items():
            for part in picked[first]:
                name, layer = f"{stem}.{part}", step.block.get_submodule(part)
                got = _checked(name, layer, change, moments)
                # later passes use the float values, since a QuantizedLinear would unpack its codes in each of them
                layer.weight = nn.Parameter(got.dequantize() if isinstance(got, QTensor) else got, requires_grad=False)
                if isinstance(got, QTensor):
                    new[name] = QuantizedLinear.of(layer, got)
                if progress is not None:
                    progress(name)
    if not chosen:
        raise ValueError("where chooses no linear layer of a block; their names are blocks.0.attention.query and so on")
    for name, layer in new.items():
        changed.set_submodule(name, layer)
    return changed


@torch.no_grad()
def blocks_in_turn(
    lm: LanguageModel, tokens: Tensor | Sequence[int], window: int
) -> Iterator[tuple[str, BlockStep, list[Tensor]]]:
    """Yield each block's name, the block, and the hidden states [1, window, hidden] of all windows before it.

    If the caller changes the block before asking for the next one, the next hidden states come from the changed block.

    Raises:
        TypeError: `lm` is not a LanguageModel.
        ValueError: the tokens do not fill a window, or the model is in training mode or not as it was built.
    """
    need_as_built(lm, "a pass block by block", fix=PLAIN_FIRST)
    need_evaluated(lm)
    parts = windows_of(tokens, window)
    lm.check_tokens(torch.cat(parts))
    hidden = [lm.embed(part) for part in parts]
    rotary = lm.rotary(0, parts[0].shape[1])
    for layer, block in enumerate(lm.blocks):
        step = BlockStep(block, rotary).eval()
        yield f"blocks.{layer}", step, hidden
        hidden = [step(x) for x in hidden]


def need_changeable(lm: LanguageModel, name: str) -> None:
    """Refuse a layer whose weight cannot be changed alone: it is not plain, or another module has the same weight.

    Raises:
        TypeError: it is not a linear layer.
        ValueError: its output depends on more than its weight, or the weight is shared.
    """
    layer = lm.get_submodule(name)
    need_plain(name, layer, (nn.Linear,))
    need_own(lm, {name: layer}, attributes=("weight",))


def moments_in(step: BlockStep, hidden: list[Tensor], parts: Sequence[str]) -> dict[str, Tensor]:
    """Return E[x x^T] of the inputs of a block's layers, by their names in the block, from one pass."""
    layers = {f"block.{part}": step.block.get_submodule(part) for part in parts}
    found = second_moments_of(step, hidden, layers) if layers else {}
    return {name.removeprefix("block."): moments for name, moments in found.items()}


def _checked(name: str, layer: nn.Linear, change: Change, moments: Tensor) -> Tensor | QTensor:
    try:
        got = change(name, layer.weight.detach(), moments)
    except (TypeError, ValueError) as error:
        raise type(error)(f"layer '{name}': {error}") from error
    if not isinstance(got, Tensor | QTensor):
        raise TypeError(f"layer '{name}': change must return a Tensor or a QTensor, got {type(got).__name__}")
    if tuple(got.shape) != tuple(layer.weight.shape):
        raise ValueError(
            f"layer '{name}': change returned a weight of shape {list(got.shape)}, and the layer has "
            f"{list(layer.weight.shape)}; return one of the same shape"
        )
    if isinstance(got, Tensor):
        if not got.isfinite().all():
            raise ValueError(f"layer '{name}': change returned NaN or infinity")
        return got.detach().to(layer.weight.dtype)
    return got
