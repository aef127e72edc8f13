"""Which channels go together: cases worked by hand, what must stay and why, and what is refused."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mini_lib import zoo
from mini_lib.prune import Mask, masked
from mini_lib.prune.structure import channel_groups, remove_channels
from tests.prune import structured_nets as nets

IMAGE = torch.zeros(1, 3, 8, 8)


class Net(nn.Module):
    """A module made of a forward and some layers."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.run(self, x)


def conv(inputs, outputs, kernel=1, **settings_):
    return nn.Conv2d(inputs, outputs, kernel, **settings_)


def names(model, example=IMAGE):
    """For each group: its number of channels, and the layers that make, pass on and take them."""
    return {
        group.name: (group.channels, [*group.producers], [*group.passed_by], [*group.consumers])
        for group in channel_groups(model, example)
    }


# --- by hand --------------------------------------------------------------------------------------------------------


def test_a_chain_with_depthwise_layers():
    found = names(zoo.depthwise_cnn(), torch.zeros(1, 1, 28, 28))
    assert found["stem"] == (16, ["stem"], ["stem_bn", "depthwise1", "depthwise1_bn"], ["pointwise1"])
    assert found["pointwise4"] == (128, ["pointwise4"], ["pointwise4_bn"], ["linear"])
    assert [*found] == ["stem", "pointwise1", "pointwise2", "pointwise3", "pointwise4"]  # not linear: it makes logits


def test_a_residual_sum_ties_its_layers():
    found = names(nets.build(nets.ResNet))
    assert found["stem.0"][:2] == (6, ["stem.0", "layers.0.conv2.0"])
    assert found["stem.0"][3] == ["layers.0.conv1.0", "layers.1.conv1.0", "layers.1.shortcut.0"]
    assert found["layers.1.conv2.0"][1] == ["layers.1.conv2.0", "layers.1.shortcut.0", "layers.2.conv2.0"]
    assert found["layers.0.conv1.0"] == (6, ["layers.0.conv1.0"], ["layers.0.conv1.1"], ["layers.0.conv2.0"])


def test_cat_keeps_offsets():
    stem, first, second = channel_groups(nets.build(nets.DenseNet), IMAGE)
    assert (stem.name, first.name, second.name) == ("stem", "convs.0", "convs.1")
    assert stem.consumers["fc"] == (0, 1, 2, 3, -1, -1, -1, -1, -1, -1)
    assert first.consumers["fc"] == (-1, -1, -1, -1, 0, 1, 2, -1, -1, -1)
    assert first.passed_by == {"norms.1": (-1, -1, -1, -1, 0, 1, 2), "norms.2": (-1, -1, -1, -1, 0, 1, 2, -1, -1, -1)}
    assert second.consumers == {"fc": (-1, -1, -1, -1, -1, -1, -1, 0, 1, 2)}


def test_cat_plus_a_layer_is_one_group():
    (group,) = channel_groups(nets.build(nets.CatPlusConv), IMAGE)
    assert group.channels == 5
    assert group.producers == {"left": (0, 1), "right": (2, 3, 4), "both": (0, 1, 2, 3, 4)}
    assert str(group) == "left: 5 channels of left, right, both -> fc"


def test_flatten_repeats_a_channel_for_each_place():
    conv_group, fc_group = channel_groups(nets.build(nets.Flat), IMAGE)
    assert conv_group.consumers["fc1"] == tuple(channel for channel in range(4) for _ in range(15))
    assert fc_group.passed_by == {"norm": tuple(range(7)), "slope": tuple(range(7))}


def test_a_depthwise_layer_with_a_multiplier_makes_two_of_each():
    (group,) = channel_groups(nets.build(nets.Multiplier), IMAGE)
    assert group.passed_by == {"depthwise": (0, 0, 1, 1, 2, 2, 3, 3)} and group.consumers["point"] == (
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
    )


def test_a_layer_called_twice_makes_what_it_reads():
    (group,) = channel_groups(nets.build(nets.Twice), IMAGE)
    assert [*group.producers] == ["stem", "loop"] and [*group.consumers] == ["loop", "fc"]


PASSES = {
    "relu": lambda x: F.relu(x),
    "method": lambda x: x.relu_().tanh().contiguous(),
    "gelu": F.gelu,
    "silu": F.silu,
    "clamp": lambda x: x.clamp(0, 6),
    "scaled": lambda x: 2 * x / 3 + 1 - x,
    "dropout": lambda x: F.dropout(x, 0.1),
    "max_pool": lambda x: F.max_pool2d(x, 2),
    "avg_pool": lambda x: F.avg_pool2d(x, 2),
    "pad": lambda x: F.pad(x, (1, 1)),
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "torch_mean": lambda x: torch.mean(x, dim=-1, keepdim=True),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "spatial_slice": lambda x: x[:, :, ::2, 1:],
    "permuted": lambda x: x.permute(0, 2, 3, 1).transpose(1, 3).transpose(2, 3),
    "maximum": lambda x: torch.maximum(x, -x),
    "spatial_chunk": lambda x: torch.add((y := x.chunk(2, dim=2))[0], y[1], alpha=2),
    "merged": lambda x: x.flatten(2).unsqueeze(-1),
    "viewed": lambda x: x.view(x.shape[0], x.size(1), -1, 1),
    "sum": lambda x: x.sum(3).sum(2)[:, :, None, None],
}


@pytest.mark.parametrize("function", PASSES.values(), ids=PASSES)
def test_what_treats_each_channel_by_itself_passes_it_on(function):
    model = Net(lambda self, x: self.last(function(self.first(x))).amax((2, 3)), first=conv(3, 4), last=conv(4, 5))
    assert names(model) == {"first": (4, ["first"], [], ["last"])}


MODULES = (
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Hardswish(),
    nn.PReLU(), nn.Dropout(), nn.Dropout2d(), nn.Identity(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveMaxPool2d(2), nn.ZeroPad2d(1), nn.Upsample(scale_factor=2), nn.Flatten(2), nn.Sequential(),
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_modules_that_treat_each_channel_by_itself(module):
    head = nn.Conv1d(4, 5, 1) if isinstance(module, nn.Flatten) else conv(4, 5)
    assert names(nn.Sequential(conv(3, 4), module, head)) == {"0": (4, ["0"], [], ["2"])}


# --- what must stay -------------------------------------------------------------------------------------------------

# the layer whose channels must stay, the reason that is given, and a forward
MUST_STAY = (
    ("first", "it reaches the model's output", lambda self, x: (self.last(self.first(x)), self.first(x))),
    ("first", "it meets the model's input, whose channels stay", lambda self, x: self.last(self.first(x) + x)),
    (
        "first",
        "it meets the tensor 'scale', whose channels stay",
        lambda self, x: self.last(self.first(x) * self.scale),
    ),
    ("first", "chunk takes some of its channels by number", lambda self, x: self.small(self.first(x).chunk(3, 1)[0])),
    ("first", "getitem takes some of its channels by number", lambda self, x: self.small(self.first(x)[:, 1:2])),
    ("first", "getitem takes some of its channels by number", lambda self, x: self.last(self.first(x)[:, [0, 2, 1]])),
    (
        "first",
        "getitem takes some of its channels by number",  # a place of each, but another place once channels are gone
        lambda self, x: self.line(self.first(x).flatten(1)[:, ::65]),
    ),
    (
        "first",
        "view splits the axis of its channels",
        lambda self, x: self.last(self.first(x).view(1, 1, 3, 8, 8).transpose(1, 2).reshape(1, 3, 8, 8)),
    ),
    ("first", "mean uses all of its channels", lambda self, x: self.small(self.first(x).mean(1, keepdim=True))),
    ("first", "mean uses all of its channels", lambda self, x: self.last((y := self.first(x)) - y.mean())),
    ("first", "softmax uses all of its channels", lambda self, x: self.last(torch.softmax(self.first(x), 1))),
    ("first", "GroupNorm 'norm' uses all of its channels", lambda self, x: self.last(self.norm(self.first(x)))),
    (
        "small",
        "mul stretches it over several channels",
        lambda self, x: self.last(self.small(x[:, :1]) * self.first(x)),
    ),
    ("first", "truediv divides by it", lambda self, x: self.last(self.other(x) / self.first(x))),
    ("other", "truediv divides by it", lambda self, x: self.last(self.other(x) / self.first(x))),
    (
        "first",
        "Conv2d 'grouped' is split into 3 groups of channels",
        lambda self, x: self.last(self.grouped(self.first(x))),
    ),
    (
        "grouped",
        "Conv2d 'grouped' is split into 3 groups of channels",
        lambda self, x: self.last(self.grouped(self.first(x))),
    ),
    (
        "first",
        "Conv2d 'tied' shares its weight with another layer",
        lambda self, x: self.last(self.tied(self.first(x))),
    ),
)


@pytest.mark.parametrize("layer, reason, forward", MUST_STAY, ids=[f"{row[1]} ({row[0]})" for row in MUST_STAY])
def test_what_must_stay_is_in_no_group_and_says_why(layer, reason, forward):
    channels = 6 if "grouped" in reason else 3
    small = conv(1, 1 if "stretches" in reason else 5)
    model = Net(
        forward,
        first=conv(3, channels),
        other=conv(3, 3),
        tied=conv(3, 3),
        twin=conv(3, 3),
        small=small,
        norm=nn.GroupNorm(1, 3),
        grouped=conv(6, 6, groups=3),
        last=conv(channels, 5),
    )
    model.scale = nn.Parameter(torch.ones(1, 3, 1, 1))
    model.line = nn.Linear(3, 5)
    model.twin.weight = model.tied.weight
    assert layer not in names(model)
    message = f"the channels of {layer!r} cannot be removed: {reason}; leave it out of keep"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        remove_channels(model, IMAGE, {layer: [0]})


def test_what_comes_before_a_grouped_convolution_stays_and_what_comes_elsewhere_can_go():
    model = nn.Sequential(conv(3, 4), conv(4, 6), conv(6, 6, groups=3), conv(6, 4), conv(4, 5))
    assert [*names(model)] == ["0", "3"]


# --- what is refused ------------------------------------------------------------------------------------------------

UNKNOWN = (
    "; write it with layers and functions that keep channels apart (convolution, linear, batch norm, activation, "
    "pooling, add, mul, cat, flatten), or prune weights"
)


def relu(x):
    return x.flip(1)


torch.fx.wrap("relu")

REFUSED = {
    "cannot follow channels through the call of matmul": lambda self, x: self.last(self.first(x) @ self.first(x)),
    "cannot follow channels through the call of flip": lambda self, x: self.last(self.first(x).flip(1)),
    "cannot follow channels through the call of log": lambda self, x: self.last(torch.log(self.first(x))),
    "cannot follow channels through the call of pad": lambda self, x: self.last(
        F.pad(self.first(x), (0, 0, 0, 0, 1, -1))
    ),
    "cannot follow channels through the call of max_pool1d": lambda self, x: self.last1(
        F.max_pool1d(self.first(x).mean((2, 3)), 3, 1, 1)
    ),
    "cannot follow channels through the call of MaxPool2d 'pool'": lambda self, x: self.last1(
        self.pool(self.first(x).mean(3)).mean(2)
    ),
    "cannot follow channels through the call of relu": lambda self, x: self.last(relu(self.first(x))),
    "cannot follow channels through the call of ConvTranspose2d 'up'": lambda self, x: self.last(self.up(x)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_an_unknown_call_is_named(message):
    model = Net(
        REFUSED[message],
        first=conv(3, 3),
        last=conv(3, 5),
        up=nn.ConvTranspose2d(3, 3, 1),
        last1=nn.Linear(3, 5),
        pool=nn.MaxPool2d(3, 1, 1),
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message + UNKNOWN)}$"):
        channel_groups(model, IMAGE)


def test_other_things_that_are_refused():
    first, last = conv(3, 3), conv(3, 5)
    scaled = Net(lambda self, x: self.last((y := self.first(x)) * y.size(1)), first=first, last=last)
    with pytest.raises(
        ValueError,
        match="^mul uses a size of its input, which would change with the number of "
        "channels; write the number down, or use mean",
    ):
        channel_groups(scaled, IMAGE)
    with pytest.raises(
        ValueError, match="^Linear '1' has its channels on axis 3, but those of its input lie on another"
    ):
        channel_groups(nn.Sequential(first, nn.Linear(8, 5)), IMAGE)
    with pytest.raises(
        ValueError, match="^the model cannot be run on the example: Conv2d '0' says: .*to have 3 channels"
    ):
        channel_groups(nn.Sequential(first, last), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"^Conv2d '0' got an example without a batch axis; pass example\[None\]$"):
        channel_groups(nn.Sequential(first, last), IMAGE[0])
    with pytest.raises(
        TypeError, match="^expected a module and an example input, got Sequential and tuple; an example is"
    ):
        channel_groups(nn.Sequential(first, last), (1, 3, 8, 8))
    with pytest.raises(ValueError, match="^the forward of Net calls no layer, so there are no channels to remove$"):
        channel_groups(Net(lambda self, x: x), IMAGE)
    everything = Mask({"0.weight": torch.ones(3, 3, 1, 1, dtype=torch.bool)})
    with pytest.raises(
        ValueError, match=r"'0' holds a parametrized weight, such as a masked one; bake it in with baked"
    ):
        channel_groups(masked(nn.Sequential(first, last), everything), IMAGE)


def test_reading_leaves_the_model_alone():
    model = nets.build(nets.ResNet).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    channel_groups(model, torch.randn(4, 3, 8, 8))
    assert model.training and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
