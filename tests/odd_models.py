"""Models that are legal and unusual: each does something that a transformation may overlook.

The plain net is a convolution, a batch norm, a second convolution and two linear layers. An odd one is the same with
one thing changed, so that a transformation that overlooks it gives other outputs, or none.
"""

from __future__ import annotations

import types
import warnings
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from mini_lib.prune import Mask, masked

Made = tuple[nn.Module, Tensor]
Make = Callable[[nn.Sequential], Made]  # from the plain net, with or without a batch norm


def pictures(dtype: torch.dtype = torch.float32) -> Tensor:
    """A batch of pictures, [16, 3, 6, 6]."""
    return torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(1)).to(dtype)


def plain(norm: bool = True) -> nn.Sequential:
    """The net without oddities, in evaluation mode, with statistics in its batch norm if it has one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 8, 3, padding=1),
                norm=nn.BatchNorm2d(8),
                relu=nn.ReLU(),
                mix=nn.Conv2d(8, 8, 3, padding=1),
                act=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(1),
                flat=nn.Flatten(),
                fc=nn.Linear(8, 12),
                bend=nn.ReLU(),
                out=nn.Linear(12, 5),
            )
        )
        with torch.no_grad():
            net.norm.running_mean.normal_()
            net.norm.running_var.uniform_(0.5, 2)
            net.norm.weight.uniform_(0.5, 2)
            net.norm.bias.normal_()
        # pooled values are small: the biases must not drown what a layer does
        for layer in (net.mix, net.fc, net.out):
            layer.weight.data *= 3
            layer.bias.data *= 0.3
    if not norm:
        del net.norm
    return net.eval()


def _body(net: nn.Sequential) -> nn.Sequential:
    """All that comes before the linear layers."""
    return nn.Sequential(*list(net.children())[: list(dict(net.named_children())).index("fc")])


def _double(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
    return output * 2


def _shift(module: nn.Module, inputs: tuple) -> tuple:
    return (inputs[0] + 1,)


def _also_double(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
    return 2 * output


class Twice(nn.Linear):
    """A linear layer that doubles."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class TwiceConv(nn.Conv2d):
    """A convolution that doubles."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class OtherConv(nn.Conv2d):
    """A convolution whose part that computes is another one: its weight is standardised first."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        centred = weight - weight.mean(dim=(1, 2, 3), keepdim=True)
        return super()._conv_forward(x, centred / weight.std(dim=(1, 2, 3), keepdim=True), bias)


class TwiceNorm(nn.BatchNorm2d):
    """A batch norm that doubles."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Renamed(nn.Linear):
    """A linear layer in all but name: nothing that computes is changed."""


def become(layer: nn.Module, kind: type) -> None:
    """Make a layer one of a subclass, with the same weights."""
    layer.__class__ = kind


class Reader(nn.Module):
    """A model whose forward does not call its linear layer as usual."""

    def __init__(self, net: nn.Sequential, how: str) -> None:
        super().__init__()
        self.body = _body(net)
        self.fc, self.out, self.how = net.fc, net.out, how

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if self.how == "weight":
            x = F.linear(x, self.fc.weight, self.fc.bias)
        elif self.how == "weight besides":
            x = self.fc(x) * self.fc.weight.abs().mean() * 10
        elif self.how == "attribute":
            x = self.fc(x) * self.fc.in_features
        elif self.how == "keyword":
            x = self.fc(input=x)
        elif self.how == "dropout":
            x = F.dropout(self.fc(x), 0.5, training=self.training)
        elif self.how == "no_grad":
            with torch.no_grad():
                x = self.fc(x)
        elif self.how == "branch":
            x = self.fc(x) if x.sum() > -1e9 else x
        elif self.how == "3d":
            x = self.fc(x[:, None].expand(-1, 3, -1)).sum(1)
        else:
            x = self.fc(x)
        return self.out(torch.relu(x))


class Attention(nn.Module):
    """A linear layer, attention over places, and a head; attention reads the weight of its own linear layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed, self.attend, self.out = nn.Linear(6, 8), nn.MultiheadAttention(8, 2), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(1, 2))
        return self.out(x + self.attend(x, x, x, need_weights=False)[0]).mean(1)


class Tied(nn.Module):
    """Two linear layers with one weight."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.body = _body(net)
        self.fc, self.again, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.again.weight = self.fc.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.again(torch.relu(self.fc(self.body(x))))))


class ComplexNet(nn.Module):
    """A linear layer of complex numbers between real ones."""

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.body = _body(net)
        self.fc, self.out = nn.Linear(8, 12, dtype=torch.complex64), net.out

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fc(self.body(x).to(torch.complex64)).abs())


def changed(change: Callable[[nn.Sequential], object]) -> Make:
    """The plain net after a change in place."""

    def make(net: nn.Sequential) -> Made:
        change(net)
        return net, pictures()

    return make


def _patch(layer: nn.Module) -> None:
    layer.forward = types.MethodType(lambda self, x: 2 * type(self).forward(self, x), layer)


def _set(net: nn.Sequential, name: str, layer: nn.Module) -> None:
    setattr(net, name, layer)
    net.eval()


def _masked(*names: str) -> Make:
    def make(net: nn.Sequential) -> Made:
        generator = torch.Generator().manual_seed(2)
        kept = {}
        for name in names:
            weight = net.get_submodule(name).weight
            kept[f"{name}.weight"] = torch.rand(weight.shape, generator=generator) < 0.5
        return masked(net, Mask(kept)), pictures()

    return make


def _old_weight_norm(net: nn.Sequential) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(net.fc)
    net.fc.weight_g.data *= 2


def _new_weight_norm(net: nn.Sequential) -> None:
    parametrizations.weight_norm(net.fc)
    net.fc.parametrizations.weight.original0.data *= 2


def _norm(**options: bool) -> Make:
    def make(net: nn.Sequential) -> Made:
        _set(net, "norm", nn.BatchNorm2d(8, **options))
        return net, pictures()

    return make


def _cast(dtype: torch.dtype) -> Make:
    return lambda net: (net.to(dtype), pictures(dtype))


def _nested(net: nn.Sequential) -> Made:
    inner = nn.Sequential(net.fc, net.bend, net.out)
    inner.register_forward_hook(_double)
    return nn.Sequential(_body(net), inner).eval(), pictures()


def _lazy(net: nn.Sequential) -> Made:
    net.fc = nn.LazyLinear(12)
    return net.eval(), pictures()


def _scripted(net: nn.Sequential) -> Made:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(net), pictures()


def _scripted_layer(net: nn.Sequential) -> Made:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fc = torch.jit.script(net.fc)
    return net, pictures()


def _shared(net: nn.Sequential) -> Made:
    fc = net.fc
    layers = [_body(net), fc, nn.ReLU(), nn.Linear(12, 8), fc, net.bend, net.out]
    return nn.Sequential(*layers).eval(), pictures()


def _unused(net: nn.Sequential) -> Made:
    model = Reader(net, "as usual")
    model.spare = nn.Linear(8, 4)
    return model.eval(), pictures()


class OtherKinds(nn.Module):
    """Kinds of layers with weights that few transformations know, before a linear layer and a head."""

    def __init__(self, net: nn.Sequential, kind: str) -> None:
        super().__init__()
        self.body, self.fc, self.out, self.kind = _body(net), net.fc, net.out, kind
        with torch.random.fork_rng():
            torch.manual_seed(3)
            makes = {
                "conv1d": lambda: nn.Conv1d(1, 1, 3, padding=1),
                "transposed": lambda: nn.ConvTranspose1d(1, 1, 3, padding=1),
                "bilinear": lambda: nn.Bilinear(8, 8, 8),
                "gru": lambda: nn.GRU(8, 8, batch_first=True),
                "parameter": lambda: nn.ParameterList([nn.Parameter(torch.randn(8, 8))]),
                "normed": lambda: nn.LayerNorm(8),
                "embedding": lambda: nn.Embedding(12, 8),
            }
            self.first = makes[kind]()
        if kind == "embedding":
            self.first.weight = self.fc.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if self.kind in ("conv1d", "transposed"):
            x = self.first(x[:, None])[:, 0]
        elif self.kind == "bilinear":
            x = self.first(x, x)
        elif self.kind == "gru":
            x = self.first(x[:, None])[0][:, 0]
        elif self.kind == "parameter":
            x = x @ self.first[0]
        elif self.kind == "embedding":
            x = x + self.first(x.argmax(1))
        else:
            x = self.first(x)
        return self.out(torch.relu(self.fc(x)))


def _with_kwargs(net: nn.Sequential) -> None:
    net.fc.register_forward_hook(lambda module, inputs, named, output: output * 2, with_kwargs=True)


def _parametrized_bias(net: nn.Sequential) -> None:
    class Shifted(nn.Module):
        def forward(self, bias: Tensor) -> Tensor:
            return bias + 1

    nn.utils.parametrize.register_parametrization(net.fc, "bias", Shifted())


def _weight_as_buffer(net: nn.Sequential) -> None:
    weight = net.fc.weight.detach()
    del net.fc.weight
    net.fc.register_buffer("weight", weight)


def _views_of_one(net: nn.Sequential) -> None:
    flat = torch.cat([net.fc.weight.data.flatten(), net.out.weight.data.flatten()])
    net.fc.weight.data, net.out.weight.data = flat[:96].view(12, 8), flat[96:].view(5, 12)


def _overlapping(net: nn.Sequential) -> None:
    flat = torch.cat([net.fc.weight.data.flatten(), net.out.weight.data.flatten()])
    net.fc.weight.data, net.out.weight.data = flat[:96].view(12, 8), flat[90:150].view(5, 12)


def _loop(net: nn.Sequential) -> Made:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fc, self.out = _body(net), nn.Linear(8, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(x)
            for _ in range(3):
                x = torch.relu(self.fc(x))
            return self.out(x)

    with torch.random.fork_rng():
        torch.manual_seed(4)
        return Loop().eval(), pictures()


def _patched_call(net: nn.Sequential) -> None:
    class Called(nn.Linear):
        def __call__(self, x: Tensor) -> Tensor:
            return 2 * super().__call__(x)

    become(net.fc, Called)


def _weight_property(net: nn.Sequential) -> None:
    class Held(nn.Linear):
        @property
        def weight(self) -> Tensor:
            return self._parameters["weight"] * 2

    become(net.fc, Held)


def _grouped(net: nn.Sequential) -> Made:
    net.mix = nn.Conv2d(8, 8, 3, padding=1, groups=8, padding_mode="circular")
    return net.eval(), pictures()


ODD: dict[str, Make] = {
    "plain": lambda net: (net, pictures()),
    "forward hook (linear)": changed(lambda net: net.fc.register_forward_hook(_double)),
    "forward hook (conv)": changed(lambda net: net.conv.register_forward_hook(_double)),
    "forward hook (norm)": changed(lambda net: net.norm.register_forward_hook(_double)),
    "forward pre-hook (linear)": changed(lambda net: net.fc.register_forward_pre_hook(_shift)),
    "forward pre-hook (conv)": changed(lambda net: net.mix.register_forward_pre_hook(_shift)),
    "hook on the model": changed(lambda net: net.register_forward_hook(_double)),
    "pre-hook on the model": changed(lambda net: net.register_forward_pre_hook(_shift)),
    "hook on a container": _nested,
    "patched forward (linear)": changed(lambda net: _patch(net.fc)),
    "patched forward (conv)": changed(lambda net: _patch(net.mix)),
    "patched forward (norm)": changed(lambda net: _patch(net.norm)),
    "subclass of Linear": changed(lambda net: become(net.fc, Twice)),
    "subclass of Conv2d": changed(lambda net: become(net.mix, TwiceConv)),
    "subclass, _conv_forward": changed(lambda net: become(net.mix, OtherConv)),
    "subclass of BatchNorm2d": changed(lambda net: become(net.norm, TwiceNorm)),
    "subclass by name only": changed(lambda net: become(net.fc, Renamed)),
    "reads fc.weight": lambda net: (Reader(net, "weight").eval(), pictures()),
    "reads fc.weight besides": lambda net: (Reader(net, "weight besides").eval(), pictures()),
    "reads fc.in_features": lambda net: (Reader(net, "attribute").eval(), pictures()),
    "calls fc(input=x)": lambda net: (Reader(net, "keyword").eval(), pictures()),
    "functional dropout": lambda net: (Reader(net, "dropout").eval(), pictures()),
    "no_grad in forward": lambda net: (Reader(net, "no_grad").eval(), pictures()),
    "branch on data": lambda net: (Reader(net, "branch").eval(), pictures()),
    "linear on 3-d": lambda net: (Reader(net, "3d").eval(), pictures()),
    "attention": lambda net: (Attention().eval(), pictures()),
    "tied weights": lambda net: (Tied(net).eval(), pictures()),
    "shared module": _shared,
    "masked, all": _masked("conv", "mix", "fc", "out"),
    "masked, one": _masked("fc"),
    "torch prune": changed(lambda net: prune.l1_unstructured(net.fc, "weight", amount=0.5)),
    "torch prune (conv)": changed(lambda net: prune.ln_structured(net.mix, "weight", amount=0.5, n=2, dim=0)),
    "weight_norm, old": changed(_old_weight_norm),
    "weight_norm": changed(_new_weight_norm),
    "spectral_norm": changed(lambda net: parametrizations.spectral_norm(net.fc).eval()),
    "bfloat16": _cast(torch.bfloat16),
    "float16": _cast(torch.float16),
    "float64": _cast(torch.float64),
    "complex layer": lambda net: (ComplexNet(net).eval(), pictures()),
    "scripted": _scripted,
    "scripted layer": _scripted_layer,
    "training mode": changed(lambda net: net.train()),
    "training mode, one layer": changed(lambda net: net.relu.train()),
    "lazy": _lazy,
    "meta": lambda net: (net.to("meta"), pictures().to("meta")),
    "unused layer": _unused,
    "hook with keywords": changed(_with_kwargs),
    "backward hook": changed(lambda net: net.fc.register_full_backward_hook(lambda module, gave, got: None)),
    "parametrized bias": changed(_parametrized_bias),
    "pruned bias": changed(lambda net: prune.l1_unstructured(net.fc, "bias", amount=0.5)),
    "weight is a buffer": changed(_weight_as_buffer),
    "weight is a property": changed(_weight_property),
    "patched call": changed(_patched_call),
    "weights in one tensor": changed(_views_of_one),
    "weights that overlap": changed(_overlapping),
    "transposed weight": changed(lambda net: setattr(net.fc.weight, "data", net.fc.weight.data.t().contiguous().t())),
    "channels last": changed(lambda net: net.to(memory_format=torch.channels_last)),
    "one weight for all": changed(lambda net: setattr(net.fc.weight, "data", torch.full((1, 1), 0.4).expand(12, 8))),
    "one layer in a loop": _loop,
    "DataParallel": lambda net: (nn.DataParallel(net), pictures()),
    "Conv1d": lambda net: (OtherKinds(net, "conv1d").eval(), pictures()),
    "ConvTranspose1d": lambda net: (OtherKinds(net, "transposed").eval(), pictures()),
    "Bilinear": lambda net: (OtherKinds(net, "bilinear").eval(), pictures()),
    "GRU": lambda net: (OtherKinds(net, "gru").eval(), pictures()),
    "a bare parameter": lambda net: (OtherKinds(net, "parameter").eval(), pictures()),
    "LayerNorm": lambda net: (OtherKinds(net, "normed").eval(), pictures()),
    "tied with an embedding": lambda net: (OtherKinds(net, "embedding").eval(), pictures()),
    "without gradients": changed(lambda net: net.requires_grad_(False)),
    "no bias": changed(lambda net: (net.fc.register_parameter("bias", None), net.mix.register_parameter("bias", None))),
    "norm without affine": _norm(affine=False),
    "norm without statistics": _norm(track_running_stats=False),
    "depthwise, circular": _grouped,
}
for _dtype in (torch.bfloat16, torch.float16, torch.float64):
    ODD[f"then cast to {str(_dtype)[6:]}"] = ODD["plain"]


def fits(odd: str, norm: bool) -> bool:
    """Whether there is such an odd model, made of the plain net with a batch norm or without."""
    about_norm = odd.endswith("(norm)") or odd.startswith("norm ") or odd == "subclass of BatchNorm2d"
    return norm or not about_norm


def odd_model(odd: str, norm: bool) -> Made:
    """An odd model, made of the plain net with a batch norm or without, and its input."""
    return ODD[odd](plain(norm))
