"""LoRA, the idea of low rank turned round: it is not the trained weight that has low rank, but the change in training.

    W' = W + scale * B A             A [r, in], B [out, r], scale = alpha / r

W is frozen, and A and B are trained. B starts at zero, so the first step starts from the model as it was. Merged, W' is
one weight again, and the model costs what it cost before. For a convolution, A is a convolution of the same kernel to r
channels, and B is a 1x1: the two layers of `channel_svd`, but parallel to the layer and not in its place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mini_lib.copying import copied, need_module
from mini_lib.factorize.low_rank.parts import convolution, linear
from mini_lib.factorize.low_rank.tensors import check_rank
from mini_lib.factorize.moments import is_factorizable, matrix_layers
from mini_lib.fold import find_batch_norms
from mini_lib.plain import need_own, need_plain
from mini_lib.require import positive, whole
from mini_lib.surgery import Where, find, replace

# The attributes that code reads when it needs a layer's shape and does not only call the layer.
_SHAPE = {"in_features", "out_features", "in_channels", "out_channels", "kernel_size", "stride", "padding", "groups"}


class LoRA(nn.Module):
    """A frozen layer with two thin trained ones parallel to it; made by `add_lora`.

    `base` is the layer, `down` holds A and `up` holds B; the output is `base(x) + scale * up(down(x))`. Each of the
    three may be a LoRA in turn. Code that reads `weight` instead of calling the layer, as attention does, gets the
    weight of all three together.
    """

    def __init__(self, base: nn.Module, down: nn.Module, up: nn.Module, scale: float) -> None:
        super().__init__()
        self.base, self.down, self.up, self.scale = base, down, up, scale

    def forward(self, input: Tensor) -> Tensor:
        return self.base(input) + self.scale * self.up(self.down(input))

    @property
    def weight(self) -> Tensor:
        return _weight(self).to(self.up.weight.dtype)

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    def __getattr__(self, name: str) -> object:
        return getattr(self.base, name) if name in _SHAPE else super().__getattr__(name)

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """Return the one layer that this computes, of the kind of `base`, with every weight trainable.

        Raises:
            TypeError, ValueError: as `merge_lora`.
        """
        for name, layer in self.named_modules():
            if not isinstance(layer, LoRA):
                need_plain(name, layer)
        base = self.base
        while isinstance(base, LoRA):
            base = base.base
        build, axes = (linear, {}) if isinstance(base, nn.Linear) else (convolution, {"axes": (0, 1)})
        return build(_weight(self), base, bias=base.bias, **axes).requires_grad_(True).train(self.training)


def _weight(layer: nn.Module) -> Tensor:
    """The weight that a layer multiplies by, in float64; for a LoRA, W + scale * B A."""
    if not isinstance(layer, LoRA):
        return layer.weight.double()
    change = _weight(layer.up).flatten(1) @ _weight(layer.down).flatten(1)
    weight = _weight(layer.base)
    return weight + layer.scale * change.reshape(weight.shape)


def add_lora(
    model: nn.Module, rank: int, *, where: Where = is_factorizable, alpha: float | None = None, seed: int = 0
) -> nn.Module:
    """Return a copy of `model` in which only a low-rank change of each layer that `where` chooses is trained.

    Everything else is frozen. Train the copy with `mini_lib.fit.fit`; `merge_lora` turns it back into a plain model.
    Before training it computes the same as `model`.

    Args:
        model: without batch norm, which would go on learning its statistics: fold it first.
        rank: of every change, at most min(out, k), with k = in_features or in_channels * K^2.
        where: picks linear layers, and 2d convolutions in one group.
        alpha: the change is multiplied by alpha / rank, a rule of thumb so that one learning rate suits several ranks.
            The default is the rank itself, which multiplies by 1.
        seed: for A, which is drawn as torch draws a layer's weight.

    Raises:
        TypeError: `where` chooses a layer of another kind.
        ValueError: the rank is out of range for a layer, `alpha` is not above 0, no layer is chosen, one is a
            convolution in groups, shares its weight or is not plain (`mini_lib.plain`), or the model has a batch norm.

    8 x 4 weights and 8 biases are frozen, 2 x 4 and 8 x 2 are trained:

    >>> tuned = add_lora(nn.Sequential(nn.Linear(4, 8)), rank=2)
    >>> trainable_parameters(tuned)
    24

    Source: E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022, section 4.1.
    """
    layers = matrix_layers(model, where)
    norms = find_batch_norms(model)
    if norms:
        raise ValueError(
            f"the model has a batch norm, {norms[0]!r}, whose statistics would go on learning; fold it first: "
            "mini_lib.fold.fold_batch_norm(model)"
        )
    need_own(model, layers, attributes=("weight",))
    for name, layer in layers.items():
        rows, columns = len(layer.weight), layer.weight[0].numel()
        rank = check_rank(rank, min(rows, columns), f"layer {name!r}, a {rows} x {columns} weight")
    alpha = positive("alpha", rank if alpha is None else alpha, fix="the rank itself multiplies by 1")
    generator = torch.Generator().manual_seed(whole("seed", seed, fix="the same seed draws the same A"))
    frozen = copied(model).requires_grad_(False)
    return replace(
        frozen, lambda name, module: name in layers, lambda layer: _beside(layer, rank, alpha / rank, generator)
    )


def merge_lora(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which each `LoRA` is one layer again, as it was before, with every weight trainable.

    Raises:
        TypeError: a part of a LoRA is of another kind than linear or 2d convolution, such as a quantized one.
        ValueError: a part is not plain: it has a hook, say, or a masked weight.

    >>> merge_lora(add_lora(nn.Sequential(nn.Linear(4, 8)), rank=2))
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
    )
    """
    for name, module in find(model, lambda name, module: isinstance(module, LoRA)):
        for part, layer in module.named_children():
            if not isinstance(layer, LoRA):
                need_plain(f"{name}.{part}".lstrip("."), layer)
    merged = replace(model, lambda name, module: isinstance(module, LoRA), lambda lora: lora.merged())
    return merged.requires_grad_(True)


def trainable_parameters(model: nn.Module) -> int:
    """Return how many parameters of a model are trained.

    Raises:
        TypeError: `model` is not a module.

    >>> trainable_parameters(nn.Linear(4, 8).requires_grad_(False))
    0
    """
    need_module(model)
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
