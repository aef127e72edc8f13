"""LoRA, the idea of low rank turned round: not the trained weight is of low rank, but what training changes of it.

    W' = W + scale * B A             A [r, in], B [out, r], scale = alpha / r

W stands still and A and B learn. B starts at zero, so the first step begins at the model as it was; merged, W' is one
weight again, and the model costs what it cost before. For a convolution A is one of the same kernel to r channels, and
B a 1x1: the two layers of `channel_svd`, but beside the layer and not in its place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mini_lib.factorize.low_rank.parts import convolution, linear
from mini_lib.factorize.low_rank.tensors import check_rank
from mini_lib.factorize.moments import is_factorizable, need_factorizable
from mini_lib.fold import find_batch_norms
from mini_lib.require import positive
from mini_lib.surgery import Where, find, replace


class LoRA(nn.Module):
    """A layer that stands still, and beside it two thin ones that learn; made by `add_lora`.

    `base` is the layer, `down` holds A and `up` holds B; what they give is `base(x) + scale * up(down(x))`.
    """

    def __init__(self, base: nn.Module, down: nn.Module, up: nn.Module, scale: float) -> None:
        super().__init__()
        self.base, self.down, self.up, self.scale = base, down, up, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scale * self.up(self.down(x))

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """Return the one layer that this computes, of the kind of `base`, with every weight trainable."""
        base = self.base
        change = self.up.weight.double().flatten(1) @ self.down.weight.double().flatten(1)
        weight = base.weight.double() + self.scale * change.reshape(base.weight.shape)
        build = linear if isinstance(base, nn.Linear) else convolution
        axes = {} if isinstance(base, nn.Linear) else {"axes": (0, 1)}
        return build(weight, base, bias=base.bias, **axes).requires_grad_(True).train(self.training)


def add_lora(
    model: nn.Module, rank: int, *, where: Where = is_factorizable, alpha: float | None = None, seed: int = 0
) -> nn.Module:
    """Return a copy of `model` in which only a change of low rank learns, beside each layer that `where` chooses.

    Everything else stands still. `mini_lib.fit.fit` trains what is left to train; `merge_lora` gives the plain model
    back. Before training it computes what `model` does.

    Args:
        model: without batch norm, which would go on learning its statistics: fold it first.
        rank: of every change, at most min(out, k), with k = in_features or in_channels * K^2.
        where: picks linear layers, and 2d convolutions in one group.
        alpha: the change is multiplied by alpha / rank, so that a learning rate fits several ranks; the rank itself
            unless you say otherwise, which multiplies by 1.
        seed: of A, which is drawn as torch draws a layer's weight.

    Raises:
        TypeError: `where` chooses a layer of another kind.
        ValueError: the rank is out of range for a layer, `alpha` is not above 0, no layer is chosen, one is a
            convolution in groups or shares its weight, or the model has a batch norm.

    8 x 4 weights and 8 biases stand still, 2 x 4 and 8 x 2 learn:

    >>> tuned = add_lora(nn.Sequential(nn.Linear(4, 8)), rank=2)
    >>> trainable_parameters(tuned)
    24

    Source: E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022, section 4.1.
    """
    norms = find_batch_norms(model)
    if norms:
        raise ValueError(
            f"the model has a batch norm, {norms[0]!r}, whose statistics would go on learning; fold it first: "
            "mini_lib.fold.fold_batch_norm(model)"
        )
    _check_layers(model, rank, where)
    alpha = rank if alpha is None else alpha
    positive("alpha", alpha, fix="the rank itself multiplies by 1")
    generator = torch.Generator().manual_seed(seed)
    frozen = replace(model, lambda name, module: name == "", lambda copied: copied.requires_grad_(False))
    return replace(frozen, where, lambda layer: _beside(layer, rank, alpha / rank, generator))


def merge_lora(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which each `LoRA` is one layer again, as it was before, with every weight trainable.

    >>> merge_lora(add_lora(nn.Sequential(nn.Linear(4, 8)), rank=2))
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
    )
    """
    merged = replace(model, lambda name, module: isinstance(module, LoRA), lambda lora: lora.merged())
    return merged.requires_grad_(True)


def trainable_parameters(model: nn.Module) -> int:
    """Return how many parameters of a model learn.

    >>> trainable_parameters(nn.Linear(4, 8).requires_grad_(False))
    0
    """
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def _beside(layer: nn.Module, rank: int, scale: float, generator: torch.Generator) -> LoRA:
    weight = layer.weight
    bound = 1 / math.sqrt(weight[0].numel())
    start = torch.empty(rank, *weight.shape[1:], dtype=weight.dtype).uniform_(-bound, bound, generator=generator)
    nothing = weight.new_zeros(len(weight), rank)
    if isinstance(layer, nn.Linear):
        down, up = linear(start, layer), linear(nothing, layer)
    else:
        down, up = convolution(start, layer, axes=(0, 1)), convolution(nothing[:, :, None, None], layer)
    return LoRA(layer, down.requires_grad_(True), up.requires_grad_(True), scale)


def _check_layers(model: nn.Module, rank: int, where: Where) -> None:
    layers = find(model, where)
    if not layers:
        raise ValueError("where chooses no layer of the model; choose at least one nn.Linear or nn.Conv2d")
    users: dict[int, str] = {}
    for name, module in model.named_modules():
        if getattr(module, "weight", None) is not None:
            other = users.setdefault(id(module.weight), name)
            if other != name and any(module is layer or name == other for _, layer in layers):
                raise ValueError(
                    f"layers {other!r} and {name!r} share their weight, and a change of one would be missing in the "
                    "other; leave both out in where"
                )
    for name, layer in layers:
        need_factorizable(name, layer)
        rows, columns = len(layer.weight), layer.weight[0].numel()
        check_rank(rank, min(rows, columns), f"layer {name!r}, a {rows} x {columns} weight")
