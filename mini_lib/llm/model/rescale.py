"""Scale the inputs of a language model's layers, and undo it in their weights: SmoothQuant and AWQ for a transformer.

You can divide each channel by a factor where the channel is computed, and multiply the columns that read it by the same
factor. Four places of a block allow that, and the model computes the same as before:

    attention_norm     -> query, key, value     by the gain of the norm
    attention.value    -> out                   a weighted mean of values keeps their common factor
    feed_forward_norm  -> gate, up              by the gain of the norm
    feed_forward.up    -> down                  the output of the gate is multiplied by it

Where several query heads share a value head, their columns of `out` read the same values and must share their factors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mini_lib.calibration import observe
from mini_lib.llm.model.as_built import MATRICES, need_as_built
from mini_lib.llm.model.layerwise import PLAIN_FIRST, BlockStep, blocks_in_turn, moments_in, need_changeable
from mini_lib.llm.model.transformer import LanguageModel
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.qtensor import quantize
from mini_lib.quantize.rounding.awq import best_scale
from mini_lib.quantize.rounding.smooth import smoothing_factors
from mini_lib.require import callable_, of_type, share, whole


@dataclass(frozen=True)
class Seam:
    """A place where channels are made and read: `giver` is divided by factors, the columns of `readers` are multiplied.

    Each of the `heads` equal parts of the giver's channels is read by `copies` consecutive parts of the columns.
    """

    giver: str
    readers: tuple[str, ...]
    heads: int = 1
    copies: int = 1

    def per_column(self, factors: Tensor) -> Tensor:
        """Return the factor of each column of the readers.

        >>> seam = Seam("attention.value", ("attention.out",), heads=2, copies=2)
        >>> seam.per_column(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        tensor([1., 2., 1., 2., 3., 4., 3., 4.])
        """
        return factors.view(self.heads, 1, -1).expand(-1, self.copies, -1).flatten()

    def per_channel(self, columns: Tensor, reduce: Callable[..., Tensor]) -> Tensor:
        """Return one value per channel from one per column: `reduce` (amax or mean) over the columns that read it.

        >>> seam = Seam("attention.value", ("attention.out",), heads=2, copies=2)
        >>> seam.per_channel(torch.tensor([1.0, 2.0, 5.0, 0.0, 3.0, 4.0, 3.0, 4.0]), torch.amax)
        tensor([5., 2., 3., 4.])
        """
        return reduce(columns.view(self.heads, self.copies, -1), dim=1).flatten()


def smooth_lm(
    lm: LanguageModel, tokens: Tensor | Sequence[int], strength: float = 0.5, *, window: int = 256
) -> LanguageModel:
    """Return a new float model that computes the same, with smoother inputs of its layers and less smooth weights.

    The factors are s_j = max|X_j|^strength / max|W_j|^(1 - strength), over all layers that read channel j.

    Args:
        lm: a float model in eval mode; the argument stays as it is.
        tokens: ids to calibrate on, [tokens], cut into windows; never those that the model will be judged on.
        strength: the share of the range that moves into the weights, from 0 to 1; alpha in the paper.

    Raises:
        TypeError: `lm` is not a LanguageModel, or strength is not a number.
        ValueError: strength is outside [0, 1], a linear layer is quantized or packed, or as `change_layers`.

    Source: G. Xiao et al., "SmoothQuant", 2023, section 4. The authors smooth the channels after a norm; here it is all
    four places.
    """
    strength = share("strength", strength, zero=True, fix="0.5 splits the range evenly")

    def factors(seam: Seam, step: BlockStep, inputs: Tensor, moments: Tensor | None) -> Tensor:
        columns = torch.stack([_weight(step, name).abs().amax(dim=0) for name in seam.readers]).amax(dim=0)
        return smoothing_factors(inputs, seam.per_channel(columns, torch.amax), strength)

    return _rescaled(lm, tokens, window, torch.amax, factors)


def scale_salient_lm(
    lm: LanguageModel,
    fmt: Format,
    tokens: Tensor | Sequence[int],
    candidates: int = 20,
    *,
    window: int = 256,
    observer: Observer = min_max,
    shared_heads: bool = True,
) -> LanguageModel:
    """Return a new float model that computes the same, with columns scaled so that rounding to `fmt` harms it less.

    The factors are s_j = mean|X_j|^alpha, with the alpha of the smallest output error tr(D H D^T), summed over the
    layers that share these inputs. (For query, key and value the authors compare the outputs of the whole attention.
    They also search for how far to clip each group; the observer `mse` does that from the weights alone.)

    Args:
        lm, tokens: as in `smooth_lm`.
        fmt, observer: how the model will be rounded, with `quantize_weights(model, fmt, in_blocks)`. The rows of a
            giver are scaled, which changes nothing where each row, or group of a row, has a grid of its own.
        candidates: this many exponents are tried, evenly spaced up to 1, besides 0, which scales nothing.
        shared_heads: whether to scale values that several query heads read. The authors skip them.

    Raises:
        TypeError: `lm` is not a LanguageModel, or `fmt` is not a format.
        ValueError: candidates is below 1, a weight cannot be written in `fmt`; or as `smooth_lm`.

    Source: J. Lin et al., "AWQ", 2024, section 3.2, equations 4 and 5.
    """
    of_type("fmt", fmt, Format, fix="use IntFormat(4, granularity=PerGroup(32)), say")
    of_type("shared_heads", shared_heads, bool, fix="False skips what several query heads read")
    callable_("observer", observer, fix="use min_max, say")
    candidates = whole("candidates", candidates, low=1, fix="the paper tries 20")

    def factors(seam: Seam, step: BlockStep, inputs: Tensor, moments: Tensor | None) -> Tensor:
        if seam.copies > 1 and not shared_heads:
            return torch.ones_like(inputs)
        # in float32: its rounding, 1e-7, is far below the difference between one alpha and the next
        weights, moments = [_weight(step, name).float() for name in seam.readers], moments.float()

        def error(scale: Tensor) -> float:
            columns, total = seam.per_column(scale).float(), 0.0
            for weight in weights:
                change = quantize(weight * columns, fmt, observer).dequantize() / columns - weight
                total += ((change @ moments) * change).sum().item()
            return total

        return best_scale(inputs, error, candidates)

    return _rescaled(lm, tokens, window, torch.mean, factors, with_moments=True)


def seams_of(lm: LanguageModel) -> tuple[Seam, ...]:
    """Return the four places of a block where factors can be moved.

    >>> from mini_lib.llm.cost import Architecture, Attention, FeedForward
    >>> tiny = Architecture("tiny", 1, 8, 16, Attention(heads=4, kv_heads=2, head_dim=2), FeedForward(12), tied=True)
    >>> seams_of(LanguageModel(tiny))[1]
    Seam(giver='attention.value', readers=('attention.out',), heads=2, copies=2)
    """
    shape = lm.architecture.attention
    return (
        Seam("attention_norm", ("attention.query", "attention.key", "attention.value")),
        Seam("attention.value", ("attention.out",), shape.kv_heads, shape.heads // shape.kv_heads),
        Seam("feed_forward_norm", ("feed_forward.gate", "feed_forward.up")),
        Seam("feed_forward.up", ("feed_forward.down",)),
    )


# (seam, block, size of each of its channels, second moments of its readers' inputs) -> a factor for each channel
_Factors = Callable[[Seam, BlockStep, Tensor, Tensor | None], Tensor]


@torch.no_grad()
def _rescaled(
    lm: LanguageModel,
    tokens: Tensor | Sequence[int],
    window: int,
    reduce: Callable[..., Tensor],
    factors: _Factors,
    with_moments: bool = False,
) -> LanguageModel:
    """A copy with factors for each seam. The hidden states between blocks stay the same, so their order does not
    matter."""
    need_as_built(lm, "a pass block by block", fix=PLAIN_FIRST)
    for name, module in lm.named_modules():
        if name.startswith("blocks.") and name.rsplit(".", 1)[-1] in MATRICES:
            if not isinstance(module, nn.Linear):
                raise ValueError(
                    f"{name} is a {type(module).__name__}, and factors move between float layers alone; rescale the "
                    "model first, then quantize or pack it"
                )
            if module.bias is not None:
                raise ValueError(f"{name} has a bias, which the factors would not reach; {PLAIN_FIRST}")
            need_changeable(lm, name)
    scaled, seams = deepcopy(lm), seams_of(lm)
    firsts = [seam.readers[0] for seam in seams]
    for _, step, hidden in blocks_in_turn(scaled, tokens, window):
        sizes = _input_sizes(step, hidden, firsts, reduce)
        moments = moments_in(step, hidden, firsts) if with_moments else {}
        found = {
            seam: factors(seam, step, seam.per_channel(sizes[first], reduce), moments.get(first))
            for seam, first in zip(seams, firsts)
        }
        _apply_(step.block, found)
    return scaled


def _input_sizes(
    step: BlockStep, hidden: list[Tensor], parts: Sequence[str], reduce: Callable[..., Tensor]
) -> dict[str, Tensor]:
    """`reduce` of |x| for each input of these layers, over all tokens of all windows; float64."""
    seen: dict[str, list[Tensor]] = {f"block.{part}": [] for part in parts}

    def look(name: str, inputs: Tensor, output: Tensor) -> None:
        seen[name].append(reduce(inputs.double().abs().flatten(0, -2), dim=0))

    observe(step, hidden, seen, look)
    return {name.removeprefix("block."): reduce(torch.stack(values), dim=0) for name, values in seen.items()}


def _apply_(block: nn.Module, factors: dict[Seam, Tensor]) -> None:
    """Move factors into the block's weights; the products are computed in float64 and rounded once."""
    moved: dict[str, Tensor] = {}

    def multiply(name: str, by: Tensor) -> None:
        moved[name] = moved.get(name, block.get_submodule(name).weight.double()) * by

    for seam, each in factors.items():
        giver = block.get_submodule(seam.giver)
        multiply(seam.giver, 1 / each if giver.weight.dim() == 1 else 1 / each[:, None])
        for reader in seam.readers:
            multiply(reader, seam.per_column(each))
    for name, weight in moved.items():
        parameter = block.get_submodule(name).weight
        parameter.copy_(weight)
        if not parameter.isfinite().all():
            raise ValueError(
                f"the weight of {name} would hold NaN or infinity; find out why two sizes are so different"
            )


def _weight(step: BlockStep, name: str) -> Tensor:
    return step.block.get_submodule(name).weight.double()
