"""Really smaller models: by hand, against torch-pruning, against the same model with zeros, and what is refused."""

import copy
import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from mini_lib import zoo
from mini_lib.prune.structure import channel_groups, channel_scores, keep_channels, mask_channels, remove_channels
from tests.prune import structured_nets as nets
from tests.quantize.oracles import oracle

IMAGE = torch.zeros(1, 3, 8, 8)
ZOO = ("small_cnn", "depthwise_cnn", "lenet_300_100")


def cases(kinds=nets.ALL):
    """Each network with an example: the course's own, trained, and those with difficult shapes."""
    return [
        *(pytest.param(lambda name=name: zoo.load(name), torch.zeros(1, 1, 28, 28), id=name) for name in ZOO),
        *(pytest.param(lambda kind=kind: nets.build(kind), IMAGE, id=kind.__name__) for kind in kinds),
    ]


def random_keep(model, example, seed):
    """Of each group about half of the channels, and at least one of each layer."""
    generator = torch.Generator().manual_seed(seed)
    keep = {}
    for group in channel_groups(model, example):
        stays = torch.rand(group.channels, generator=generator) < 0.5
        for channels in group.producers.values():
            stays[channels[int(torch.randint(len(channels), (), generator=generator))]] = True
        keep[group.name] = stays.nonzero().flatten()
    return keep


# --- by hand --------------------------------------------------------------------------------------------------------


def test_two_layers_by_hand():
    # hidden units 1*2 = 2, 3*2 + 1 = 7, -1*2 = -2 -> relu 2, 7, 0; out 10*2 + 20*7 + 30*0. Without unit 1: 10*2 + 30*0.
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1, bias=False))
    model[0].weight.data, model[0].bias.data = torch.tensor([[1.0], [3.0], [-1.0]]), torch.tensor([0.0, 1.0, 0.0])
    model[2].weight.data = torch.tensor([[10.0, 20.0, 30.0]])
    smaller = remove_channels(model, torch.zeros(1, 1), {"0": [0, 2]})
    assert smaller[0].weight.tolist() == [[1.0], [-1.0]] and smaller[0].bias.tolist() == [0.0, 0.0]
    assert smaller[2].weight.tolist() == [[10.0, 30.0]]
    assert (smaller[0].out_features, smaller[2].in_features) == (2, 2)
    assert model(torch.tensor([[2.0]])).item() == 160.0 and smaller(torch.tensor([[2.0]])).item() == 20.0


def test_zero_rows_alone_would_not_do():
    # sigmoid(0) = 1/2, which a masked row would still send through the column: 1/2 * 4
    model = nn.Sequential(nn.Linear(1, 2), nn.Sigmoid(), nn.Linear(2, 1))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    model[2].weight.data = torch.tensor([[6.0, 4.0]])
    x, keep = torch.zeros(1, 1), {"0": torch.tensor([0])}
    assert mask_channels(model, x, keep)(x).item() == remove_channels(model, x, keep)(x).item() == 3.0


def test_what_is_left_of_a_depthwise_block():
    model = nets.build(nets.Multiplier)
    smaller = remove_channels(model, IMAGE, {"stem": [3]})
    layer = smaller.depthwise
    assert (layer.in_channels, layer.out_channels, layer.groups, list(layer.weight.shape)) == (1, 2, 1, [2, 1, 3, 3])
    assert torch.equal(layer.weight, model.depthwise.weight[6:]) and torch.equal(layer.bias, model.depthwise.bias[6:])
    assert torch.equal(smaller.point.weight, model.point.weight[:, 6:])


def test_what_is_left_of_batch_norm_and_prelu():
    model = nets.build(nets.Flat)
    smaller = remove_channels(model, IMAGE, {"fc1": [0, 5], "conv": [1]})
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(smaller.norm, name), getattr(model.norm, name)[[0, 5]])
    assert smaller.norm.num_batches_tracked == model.norm.num_batches_tracked
    assert (smaller.norm.num_features, smaller.slope.num_parameters, smaller.conv.out_channels) == (2, 2, 1)
    assert torch.equal(smaller.fc1.weight, model.fc1.weight[[0, 5]][:, 15:30])  # the 15 places of channel 1


def test_groups_that_are_not_named_stay_whole_and_the_argument_stays_as_it_was():
    model = nets.build(nets.ResNet).train()
    model.stem[0].weight.requires_grad_(False)
    before = copy.deepcopy(model)
    smaller = remove_channels(model, IMAGE, {"layers.0.conv1.0": (1, 2)})
    masked = mask_channels(model, IMAGE, {"layers.0.conv1.0": (1, 2)})
    changed = {name for name, weight in model.named_parameters() if smaller.get_parameter(name).shape != weight.shape}
    assert changed == {
        f"layers.0.{name}" for name in ("conv1.0.weight", "conv1.1.weight", "conv1.1.bias", "conv2.0.weight")
    }
    assert str(before) == str(model)
    assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert smaller.training and masked.training
    assert not smaller.stem[0].weight.requires_grad and smaller.fc.weight.requires_grad
    assert remove_channels(model, IMAGE, {}).state_dict().keys() == model.state_dict().keys()


def test_the_result_is_plain_torch_and_trains_and_can_be_pruned_again():
    model = nets.build(nets.ResNet)
    smaller = remove_channels(model, IMAGE, keep_channels(channel_scores(model, IMAGE), 0.5))
    assert [type(module) for module in smaller.modules()] == [type(module) for module in model.modules()]
    smaller.train()(torch.randn(4, 3, 8, 8)).square().mean().backward()
    assert all(weight.grad.shape == weight.shape for weight in smaller.parameters())
    again = remove_channels(smaller, IMAGE, keep_channels(channel_scores(smaller, IMAGE), 0.34))
    assert [group.channels for group in channel_groups(again, IMAGE)] == [
        1,
        1,
        2,
        2,
        2,
    ]  # of 6, 6, 10, 10, 10: 3, 5, ...


# --- torch-pruning --------------------------------------------------------------------------------------------------


# not Multiplier: torch-pruning leaves its depthwise layer as one that does not run
@pytest.mark.parametrize("build, example", cases([kind for kind in nets.ALL if kind is not nets.Multiplier]))
def test_the_same_weights_remain_as_with_torch_pruning(build, example):
    torch_pruning = oracle("torch_pruning")
    model = build()
    keep = random_keep(model, example, seed=1)
    theirs = copy.deepcopy(model)
    for group in channel_groups(model, example):
        graph = torch_pruning.DependencyGraph().build_dependency(theirs, example_inputs=example)
        root = next(name for name, channels in group.producers.items() if len(channels) == group.channels)
        layer = theirs.get_submodule(root)
        gone = [slot for slot, channel in enumerate(group.producers[root]) if channel not in keep[group.name]]
        linear = isinstance(layer, nn.Linear)
        prune = torch_pruning.prune_linear_out_channels if linear else torch_pruning.prune_conv_out_channels
        if gone:
            graph.get_pruning_group(layer, prune, idxs=gone).prune()
    ours = remove_channels(model, example, keep)
    expected = theirs.state_dict()
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())
    assert str(ours) == str(theirs)  # the attributes that count channels


# --- the same model with zeros --------------------------------------------------------------------------------------


@pytest.mark.parametrize("build, example", cases())
@pytest.mark.parametrize("seed", range(3))
def test_the_smaller_model_equals_the_masked_one(build, example, seed):
    """1e-5 of the largest output: a sum of n <= 3,000 products, rounded at 2**-24 = 6e-8, errs by some sqrt(n) * 6e-8
    = 3e-6 of its size where the signs of the roundings are random, and the two differ in order only.
    """
    model = build()
    keep = random_keep(model, example, seed)
    smaller, masked = remove_channels(model, example, keep), mask_channels(model, example, keep)
    x = torch.randn(4, *example.shape[1:], generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        got, expected = smaller(x), masked(x)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()
    # all that was removed is zero in the masked model, and nothing else is (random weights are never zero)
    assert sum(int(w.count_nonzero()) for w in masked.parameters()) == sum(w.numel() for w in smaller.parameters())
    left = {group.name: group.channels for group in channel_groups(smaller, example)}
    assert left == {name: len(kept) for name, kept in keep.items()}


class RandomNet(nn.Module):
    """Blocks of several kinds in any order, chosen by `plan`, then one of three ways to the classes."""

    def __init__(self, plan, head):
        super().__init__()
        self.plan, self.head = plan, head
        width, self.blocks = 3, nn.ModuleList()
        for kind, new in plan:
            block = nn.ModuleDict({"norm": nn.BatchNorm2d(width)})
            if kind == "conv":
                block["conv"] = nn.Conv2d(width, new, 3, padding=1, bias=new % 2 == 0)
            elif kind == "depthwise":
                block["conv"] = nn.Conv2d(width, width, 3, padding=1, groups=width)
                block["mix"] = nn.Conv2d(width, new, 1)
            elif kind == "residual":
                block["narrow"], block["wide"] = nn.Conv2d(width, new, 1), nn.Conv2d(new, width, 3, padding=1)
            elif kind == "gate":
                block["conv"] = nn.Conv2d(width, width, 1)
            elif kind == "dense":
                block["conv"] = nn.Conv2d(width, new, 3, padding=1, bias=False)
            self.blocks.append(block)
            width = {"conv": new, "depthwise": new, "dense": width + new}.get(kind, width)
        self.mid = nn.Linear(width * 16 if head == "flatten" else width, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        for (kind, _), block in zip(self.plan, self.blocks):
            y = block["norm"](x)
            if kind == "conv":
                x = torch.sigmoid(block["conv"](y))
            elif kind == "depthwise":
                x = block["mix"](F.gelu(block["conv"](y)))
            elif kind == "residual":
                x = x + block["wide"](F.leaky_relu(block["narrow"](y)))
            elif kind == "gate":
                x = x * block["conv"](y.mean((2, 3), keepdim=True)).tanh()
            elif kind == "dense":
                x = torch.cat((block["conv"](y).relu(), x), 1)
        x = {
            "flatten": lambda x: x.flatten(1),
            "mean": lambda x: x.mean((2, 3)),
            "pool": lambda x: F.adaptive_max_pool2d(x, 1).reshape(x.size(0), -1),
        }[self.head](x)
        return self.fc(torch.tanh(self.mid(x)))


KINDS = st.sampled_from(["conv", "depthwise", "residual", "gate", "dense"])


@settings(max_examples=40)
@given(
    st.lists(st.tuples(KINDS, st.integers(1, 5)), min_size=1, max_size=5),
    st.sampled_from(["flatten", "mean", "pool"]),
    st.integers(0, 2**16),
)
def test_any_net_and_any_keep(plan, head, seed):
    """In float64, where the two can only differ by rounding: at most some 300 roundings of 2**-53 a sum, in up to 20
    nested sums whose gains are below 1e3 each in total: 300 * 20 * 1.1e-16 * 1e3 < 1e-9.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nets.shake_(RandomNet(plan, head)).double()
        x = torch.randn(2, 3, 4, 4).double()
    keep = random_keep(model, x, seed)
    smaller, masked = remove_channels(model, x, keep), mask_channels(model, x, keep)
    with torch.no_grad():
        assert (smaller(x) - masked(x)).abs().max() <= 1e-9 * max(1, masked(x).abs().max())
    assert sum(int(w.count_nonzero()) for w in masked.parameters()) == sum(w.numel() for w in smaller.parameters())


# --- which channels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm, order", [("l1", 1), ("l2", 2)])
@pytest.mark.parametrize("density", [0.1, 0.25, 0.5, 0.8])
def test_the_same_filters_stay_as_with_torch(norm, order, density):
    model, example = zoo.load("small_cnn"), torch.zeros(1, 1, 28, 28)
    keep = keep_channels(channel_scores(model, example, norm), density)
    assert [*keep] == ["conv1", "conv2", "conv3", "conv4"]
    for name, kept in keep.items():
        layer = copy.deepcopy(model.get_submodule(name))
        gone = layer.out_channels - round(density * layer.out_channels)
        torch_prune.ln_structured(layer, "weight", amount=gone, n=order, dim=0)
        assert kept.tolist() == layer.weight_mask.flatten(1).any(1).nonzero().flatten().tolist()


def test_scores_by_hand():
    model = nets.build(nets.CatPlusConv)
    for layer, value in ((model.left, 1.0), (model.right, 0.0), (model.both, 2.0)):
        nn.init.constant_(layer.weight, value)
    model.right.weight.data[1, 0, 0, 0] = -7.0
    # left: three ones a row, l2 sqrt(3); both: three twos, l2 sqrt(12) = 2 sqrt(3); right: 0, 7, 0
    assert channel_scores(model, IMAGE, "l1")["left"].tolist() == [9, 9, 6, 13, 6]
    root = 3**0.5
    expected = torch.tensor([3 * root, 3 * root, 2 * root, 2 * root + 7, 2 * root])
    torch.testing.assert_close(channel_scores(model, IMAGE)["left"], expected)


def test_batch_norm_scores():
    model = nets.build(nets.ResNet)
    scores = channel_scores(model, IMAGE, "batch_norm")
    blocks = model.layers
    assert torch.equal(scores["layers.0.conv1.0"], blocks[0].conv1[1].weight.detach().abs())
    expected = sum(norm.weight.detach().abs() for norm in (model.stem[1], blocks[0].conv2[1]))
    assert torch.equal(scores["stem.0"], expected)
    with pytest.raises(
        ValueError, match="^the channels of 'stem' pass no batch norm with a gamma to score them by; use"
    ):
        channel_scores(nets.build(nets.Twice), IMAGE, "batch_norm")
    with pytest.raises(ValueError, match="^norm must be 'l1', 'l2' or 'batch_norm', got 'l3'; 'l2' is the length"):
        channel_scores(model, IMAGE, "l3")


def test_keep_channels_by_hand():
    scores = {"a": torch.tensor([1.0, 5.0, 5.0, 2.0]), "b": torch.tensor([9.0, 8.0, 7.0, 6.0, 9.0, 8.0])}

    def kept(*args, **kwargs):
        return {name: indexes.tolist() for name, indexes in keep_channels(scores, *args, **kwargs).items()}

    assert kept(0.5) == {"a": [1, 2], "b": [0, 1, 4]}  # 8.0 twice: the first
    assert kept(0.25) == {"a": [1], "b": [0, 4]}  # round(1.5) = 2
    assert kept(0.1) == {"a": [1], "b": [0]}  # round(0.4) = 0, but one stays
    assert kept(0.5, scope="global") == {"a": [1], "b": [0, 1, 4, 5]}  # without at_least all 5 would be b's
    assert kept(0.7, scope="global") == {"a": [1], "b": [0, 1, 2, 3, 4, 5]}
    assert kept(0.5, scope="global", at_least=2) == {"a": [1, 2], "b": [0, 1, 4]}
    assert kept(0.9, scope="global", at_least=4) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 4, 5]}
    assert kept(0.5, at_least=5) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 4, 5]}
    assert kept(0.5, multiple_of=2) == {"a": [1, 2], "b": [0, 1, 4, 5]}  # 2 of 4, and 3 of 6 is as near to 4 as to 2
    assert kept(0.5, multiple_of=8) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4, 5]}
    assert kept(0.7, multiple_of=4) == {"a": [0, 1, 2, 3], "b": [0, 1, 4, 5]}  # 3 of 4 and 4 of 6
    assert kept(1, multiple_of=4) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3, 4, 5]}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.floats(0.01, 1), st.integers(0, 2**16))
def test_as_many_channels_stay_as_were_asked_for(sizes, density, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = {str(i): torch.randint(0, 5, (size,), generator=generator).float() for i, size in enumerate(sizes)}
    keep = keep_channels(scores, density)
    for name, score in scores.items():
        best = sorted(range(len(score)), key=lambda i: (-score[i], i))[: max(1, round(density * len(score)))]
        assert keep[name].tolist() == sorted(best)
    if round(density * sum(sizes)) >= len(sizes):
        keep = keep_channels(scores, density, "global")
        assert sum(map(len, keep.values())) == round(density * sum(sizes)) and all(map(len, keep.values()))


# --- bad input ------------------------------------------------------------------------------------------------------

FROM_MASK = "from a mask, mask.nonzero().flatten()"
BAD_KEEP = {
    "keep['0'] is empty: nothing would be left of 0; keep one channel": {"0": []},
    f"each number in keep['0'] must be a whole number from 0 to 3, got 4; {FROM_MASK}": {"0": [0, 4]},
    f"each number in keep['0'] must be a whole number from 0 to 3, got -1; {FROM_MASK}": {"0": torch.tensor([-1])},
    "keep['0'] must rise, without duplicates, got [2, 1]; use sorted(set(...))": {"0": [2, 1]},
    "keep['0'] must rise, without duplicates, got [1, 1]; use sorted(set(...))": {"0": [1, 1]},
    f"each number in keep['0'] must be a whole number from 0 to 3, got True; {FROM_MASK}":
        {"0": torch.tensor([True, False, True, True])},
    f"each number in keep['0'] must be a whole number from 0 to 3, got 1.0; {FROM_MASK}": {"0": torch.tensor([1.0])},
    f"keep['0'] must hold whole numbers, got 2; {FROM_MASK}": {"0": torch.tensor(2)},
    f"keep['0'] must hold whole numbers, got 3; {FROM_MASK}": {"0": 3},
    "no channels are named 'conv'; those that can be removed: 0": {"conv": [0]},
    "the channels of '2' cannot be removed: it reaches the model's output; leave it out of keep": {"2": [0]},
    "keep must be a mapping from the name of a group to the channels that stay, got list; "
    "keep_channels(scores, density) makes one": [0, 1],
}  # fmt: skip


@pytest.mark.parametrize("function", [remove_channels, mask_channels])
@pytest.mark.parametrize("message", BAD_KEEP)
def test_a_bad_keep_says_what_is_wrong(function, message):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}$"):
        function(model, torch.zeros(1, 3), BAD_KEEP[message])


def test_a_layer_that_shares_its_channels_is_named():
    model = nets.build(nets.CatPlusConv)
    with pytest.raises(
        ValueError, match=r"^the channels of 'both' go together with those of 'left'; give keep\['left'\]$"
    ):
        remove_channels(model, IMAGE, {"both": [0]})
    with pytest.raises(ValueError, match=r"^keep\['left'\] leaves nothing of 'right'; keep one of its channels too$"):
        remove_channels(model, IMAGE, {"left": [0, 1]})


class Written(nn.Module):
    """A forward with its number of channels written into it."""

    def __init__(self, view):
        super().__init__()
        self.view, self.conv, self.fc = view, nn.Conv2d(3, 4, 1), nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.view(self.conv(x)))


@pytest.mark.parametrize(
    "view", [lambda x: x.view(-1, 16), lambda x: x.reshape(1, 16), lambda x: x.view(1, -1, 2, 2).view(1, 16)]
)
def test_a_written_number_of_channels_is_refused(view):
    model, example = Written(view), torch.zeros(1, 3, 2, 2)
    assert [group.name for group in channel_groups(model, example)] == ["conv"]
    with pytest.raises(
        ValueError,
        match=r"^the smaller model does not run .*: a number of channels is written into"
        r" forward, as in x.view\(-1, 512\); write x.flatten\(1\), say$",
    ):
        remove_channels(model, example, {"conv": [0, 2]})


BAD_SHARES = (
    ("density must lie in (0, 1], got 0; 0.2 keeps a fifth of the weights", {"density": 0}),
    ("scope must be 'layer' or 'global', got 'row'; 'layer' keeps the share in every group",
     {"density": 0.5, "scope": "row"}),
    ("at_least must be a whole number of 1 or more, got 0; 1 asks for nothing special",
     {"density": 0.5, "at_least": 0}),
    ("density 0.25 keeps 2 of 8 channels, and at_least asks for 4; use a smaller at_least or a higher density",
     {"density": 0.25, "scope": "global", "at_least": 2}),
)  # fmt: skip


@pytest.mark.parametrize("message, settings_", BAD_SHARES)
def test_a_bad_share_says_what_is_wrong(message, settings_):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        keep_channels({"a": torch.ones(4), "b": torch.ones(4)}, **settings_)


def test_channels_are_counted_in_whole_numbers():
    message = "multiple_of must be a whole number of 1 or more, got 1.5; 1 asks for nothing special"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        keep_channels({"a": torch.ones(4), "b": torch.ones(4)}, density=0.5, multiple_of=1.5)


def test_bad_scores_say_what_is_wrong():
    with pytest.raises(
        ValueError, match=r"^the scores of 'a' have shape \[2, 2\], expected one per channel; channel_scores"
    ):
        keep_channels({"a": torch.ones(2, 2)}, 0.5)
    with pytest.raises(ValueError, match="^the scores of 'a' hold NaN"):
        keep_channels({"a": torch.tensor([torch.nan])}, 0.5)
    with pytest.raises(ValueError, match="^scores hold no group of channels, so none can be removed: channels stay wh"):
        keep_channels(channel_scores(nn.Sequential(nn.Linear(4, 4)), torch.zeros(1, 4)), 0.5)
