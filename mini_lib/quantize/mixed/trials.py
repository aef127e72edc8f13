"""A model with any layer at any width, tried quickly: each weight is quantized once per width, and lent.

A search asks for hundreds of allocations of one model. They share their parts: five layers at four widths are 20
quantized weights and 1,024 models. So the weights are made once, and each trial runs the one model with some of them in
place of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mini_lib.calibration import run_model
from mini_lib.counting import evaluating
from mini_lib.data import Split
from mini_lib.plain import need_own
from mini_lib.quantize.formats import Format, Observer
from mini_lib.quantize.ladder import rung
from mini_lib.quantize.layers import is_weight_layer
from mini_lib.quantize.model import chosen_layers
from mini_lib.quantize.observers import min_max
from mini_lib.quantize.qtensor import QTensor, quantize
from mini_lib.require import callable_, finite, of_type, whole
from mini_lib.surgery import Where
from mini_lib.tensor_checks import need_tensor

Bits = Mapping[str, int]  # the width of each layer, by name


class Trials:
    """Runs `model` with some of its layers at some widths; it lends the weights, and the model stays as it is.

    `weights[layer][bits]` is the quantized weight. The results are those of `quantize_weights(model, bits)`.

    Args:
        model: with batch norm folded, or not.
        widths: the bits that a layer may have, such as (2, 3, 4, 8).
        fmt: the format of a width; the rungs of the ladder unless you say otherwise.
        where: `where(name, module) -> bool` chooses among the nn.Conv2d and nn.Linear layers.
        observer: chooses the range of each integer grid.

    Raises:
        TypeError: a width is not a whole number.
        ValueError: there is no width or one is given twice, no layer is chosen, two chosen layers share their weight, a
            layer's weight is computed by something else (such as a mask), or cannot be quantized.

    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[7.0, -2.2]]))
    >>> Trials(model, [4]).logits({"0": 4}, torch.ones(1, 2))                # 7 - 2
    tensor([[5.]])
    """

    def __init__(
        self,
        model: nn.Module,
        widths: Sequence[int],
        *,
        fmt: Callable[[int], Format] = rung,
        where: Where = is_weight_layer,
        observer: Observer = min_max,
    ) -> None:
        self.model, self.widths = model, need_widths(widths)
        callable_("fmt", fmt, fix="pass a function from bits to a format, such as rung")
        self.quantized: dict[str, dict[int, QTensor]] = {}
        for name, layer in mixed_layers(model, where).items():
            try:
                self.quantized[name] = {bits: quantize(layer.weight, fmt(bits), observer) for bits in self.widths}
            except (TypeError, ValueError) as error:
                raise type(error)(f"layer '{name}': {error}") from error
        self.weights = {
            name: {bits: weight.dequantize().to(model.get_submodule(name).weight) for bits, weight in by_width.items()}
            for name, by_width in self.quantized.items()
        }

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.weights)

    def logits(self, bits: Bits, images: Tensor) -> Tensor:
        """Return the logits [N, classes] of images [N, ...] with these layers at these widths, the others in float.

        Raises:
            ValueError: a layer or a width is not among those of the trials.
        """
        of_type("bits", bits, Mapping, fix="give {layer: bits}")
        need_tensor("images", images, fix="give a batch [N, ...]")
        lent = {}
        for name, width in bits.items():
            if width not in self.weights.get(name, {}):
                raise ValueError(
                    f"layer {name!r} at {width!r} bits is not among the trials; they have {', '.join(self.layers)} at "
                    f"{', '.join(map(str, self.widths))} bits"
                )
            lent[f"{name}.weight" if name else "weight"] = self.weights[name][width]
        with evaluating(self.model):
            with_weights = lambda batch: functional_call(self.model, lent, (batch,))  # noqa: E731
            batches = images.split(100) if images.dim() else [images]
            return torch.cat([run_model(with_weights, batch) for batch in batches])

    def kl(self, images: Tensor) -> Callable[[Bits], float]:
        """Return a function of the bits: the mean KL divergence of the outputs on these images from the float ones.

        Raises:
            ValueError: the outputs are not finite.
        """
        reference = self.logits({}, images)
        return lambda bits: kl_divergence(reference, self.logits(bits, images))

    def loss(self, split: Split) -> Callable[[Bits], float]:
        """Return a function of the bits: the mean cross-entropy on this data, in nats."""
        return lambda bits: F.cross_entropy(self.logits(bits, split.images), split.labels).item()


def kl_divergence(reference: Tensor, logits: Tensor) -> float:
    """Return the mean over all images of KL(p || q) = sum of p * log(p / q), in nats, from logits [N, classes].

    p is the softmax of `reference`, and q that of `logits`. It is 0 where they agree, and never negative.

    Raises:
        ValueError: the shapes differ or are not [N, classes], or the logits hold NaN or infinity.

    p = (1/2, 1/2) and q = (1/4, 3/4): log(2) / 2 + log(2/3) / 2 = log(4/3) / 2.

    >>> round(kl_divergence(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]).log()), 4)
    0.1438

    Source: S. Kullback, R. Leibler, "On Information and Sufficiency", 1951.
    """
    for name, value in (("reference", reference), ("logits", logits)):
        need_tensor(name, value, fix="give logits [N, classes]")
    if reference.shape != logits.shape or reference.dim() != 2:
        raise ValueError(
            f"reference and logits must have one shape [N, classes], got {list(reference.shape)} and "
            f"{list(logits.shape)}; take the same images, and one output per image"
        )
    p, q = F.log_softmax(reference.double(), dim=-1), F.log_softmax(logits.double(), dim=-1)
    found = F.kl_div(q, p, log_target=True, reduction="batchmean").item()
    fix = "the model's outputs are NaN or infinite; check its weights and the images"
    return max(0.0, finite("the KL divergence", found, fix=fix))


def need_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return the widths, highest first, if they are whole numbers from 1 to 32, each given once.

    Raises:
        TypeError: a width is not a whole number.
        ValueError: there is none, or one is given twice or out of range.

    >>> need_widths([2, 8, 4])
    (8, 4, 2)
    """
    of_type("widths", widths, Iterable, fix="give bits such as (2, 3, 4, 8)")
    widths = tuple(whole("a width", bits, low=1, high=32, fix="give bits such as (2, 3, 4, 8)") for bits in widths)
    if not widths or len(set(widths)) < len(widths):
        raise ValueError(f"widths must be one or more bits, each given once, got {list(widths)}; use (2, 3, 4, 8)")
    return tuple(sorted(widths, reverse=True))


def mixed_layers(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    """Return the layers whose widths can be chosen, by name, each with a weight of its own.

    Raises:
        TypeError: `model` is not a module, or `where` cannot be called.
        ValueError: no layer is chosen, or one is not plain (a hook, a mask or a forward of its own) or shares its
            weight.

    >>> list(mixed_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), is_weight_layer))
    ['0', '2']
    """
    layers = chosen_layers(model, where)
    need_own(model, layers, "and one weight cannot have two widths", attributes=("weight",))
    return layers
