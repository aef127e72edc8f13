"""LoRA: it begins at the model, only the change of low rank learns, and merged it is the model again."""

import re

import pytest
import torch
from torch import nn

from mini_lib import fit, zoo
from mini_lib.data import Split
from mini_lib.factorize.lora import LoRA, add_lora, merge_lora, trainable_parameters
from mini_lib.fold import fold_batch_norm


def says(message: str) -> str:
    return re.escape(message)


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    return Split(torch.randn(64, 1, 28, 28, generator=generator), torch.arange(64) % 10)


MODELS = {
    "linear": lambda: zoo.lenet_300_100(seed=0).eval(),
    "convolutions": lambda: fold_batch_norm(zoo.load("small_cnn", seed=0)),
}


def trained(model, pictures):
    return fit.fit(model, pictures, pictures, epochs=2, seed=0, learning_rate=0.01, batch_size=16).model


def test_by_hand():
    """W = (1, 2), A = (3, 5), B = 4, scale = 2: at x = (1, 1) it is 3 + 2 * 4 * 8, and merged W' = (25, 42)."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0]])
    model = add_lora(nn.Sequential(layer), rank=1, alpha=2.0)
    model[0].down.weight.data = torch.tensor([[3.0, 5.0]])
    model[0].up.weight.data = torch.tensor([[4.0]])
    assert model(torch.ones(1, 2)).item() == 67
    assert merge_lora(model)[0].weight.tolist() == [[25.0, 42.0]]


@pytest.mark.parametrize("name", MODELS)
def test_it_begins_at_the_model(name, pictures):
    """B = 0: to the last bit, since adding a product with zero changes nothing."""
    model = MODELS[name]()
    with torch.no_grad():
        assert torch.equal(add_lora(model, rank=2)(pictures.images), model(pictures.images))


@pytest.mark.parametrize("name", MODELS)
def test_only_the_change_learns(name, pictures):
    begun = add_lora(MODELS[name](), rank=2, seed=1)
    ended = dict(trained(begun, pictures).named_parameters())
    for where, weight in begun.named_parameters():
        learns = ".down." in where or ".up." in where
        assert weight.requires_grad == learns
        assert torch.equal(weight, ended[where]) != learns, where


@pytest.mark.parametrize("name", MODELS)
def test_merged_is_unmerged(name, pictures):
    tuned = trained(add_lora(MODELS[name](), rank=2), pictures)
    merged = merge_lora(tuned)
    assert not any(isinstance(module, LoRA) for module in merged.modules())
    before = MODELS[name]().state_dict()
    assert {name: value.shape for name, value in merged.state_dict().items()} == {
        name: value.shape for name, value in before.items()
    }
    tuned, merged = tuned.double(), merged.double()
    x = pictures.images.double()
    with torch.no_grad():
        expected = tuned(x)
        # In float64 only the rounding of the merged weight to float32 is left: 2**-24 relative of each weight, summed
        # at random over at most 784 of them and a few layers; 1e-6 of the logits is about 17 such roundings.
        assert (merged(x) - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert (expected - MODELS[name]().double()(x)).abs().max() > 1e-2  # it did learn something


def test_the_change_has_the_rank_that_was_asked_for(pictures):
    start = MODELS["linear"]()
    end = merge_lora(trained(add_lora(start, rank=3), pictures))
    change = end.linear1.weight.detach().double() - start.linear1.weight.detach().double()
    values = torch.linalg.svdvals(change)
    # What is left is the rounding of 300 x 784 weights below 1/16 in size to float32, each at most 2**-29: a matrix of
    # such entries is at most sqrt(300 * 784) times as long.
    assert values[2] > 1e-3 and values[3] <= (300 * 784) ** 0.5 * 2**-24 * end.linear1.weight.abs().max()


def test_counts():
    """LeNet-300-100 at rank 4: 4 * (784 + 300 + 300 + 100 + 100 + 10); the model itself stays 266,610."""
    model = add_lora(zoo.lenet_300_100(), rank=4)
    assert trainable_parameters(model) == 4 * 1594
    merged = merge_lora(model)
    assert trainable_parameters(merged) == sum(weight.numel() for weight in merged.parameters()) == 266_610


def test_chosen_layers_alone_learn():
    model = add_lora(zoo.lenet_300_100(), rank=2, where=lambda name, module: name == "linear2")
    assert [name for name, weight in model.named_parameters() if weight.requires_grad] == [
        "linear2.down.weight",
        "linear2.up.weight",
    ]
    assert trainable_parameters(merge_lora(model)) == 266_610  # those that stood still by themselves learn again, too


def test_the_argument_is_untouched_and_a_seed_repeats():
    model = zoo.lenet_300_100()
    first, again, other = (add_lora(model, 2, seed=seed).linear1.down.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert type(model.linear1) is nn.Linear and all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("rank, message", [
    (0, "rank must be a whole number from 1 to 10, got 0; 10 is exact for layer 'linear3', a 10 x 100 weight"),
    (11, "rank must be a whole number from 1 to 10, got 11; 10 is exact for layer 'linear3', a 10 x 100 weight"),
])  # fmt: skip
def test_a_rank_out_of_range(rank, message):
    with pytest.raises(ValueError, match=says(message)):
        add_lora(zoo.lenet_300_100(), rank, where=lambda name, module: name == "linear3")


def test_wrong_arguments():
    model = zoo.lenet_300_100()
    for alpha in (0, -1.0, float("inf")):
        with pytest.raises(ValueError, match=says(f"alpha must be a finite number above 0, got {alpha}")):
            add_lora(model, 2, alpha=alpha)
    with pytest.raises(ValueError, match="where chooses no layer"):
        add_lora(model, 2, where=lambda name, module: False)
    with pytest.raises(TypeError, match="layer 'flatten': it is a Flatten"):
        add_lora(model, 2, where=lambda name, module: name == "flatten")
    with pytest.raises(ValueError, match=says("the model has a batch norm, 'conv1_bn', whose statistics would go on")):
        add_lora(zoo.small_cnn(), 2)
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(ValueError, match="is a convolution in 2 groups"):
        add_lora(grouped, 2, where=lambda name, module: name == "0")


def test_a_weight_that_is_shared():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    with pytest.raises(ValueError, match=says("layer '0' shares its weight with '1'")):
        add_lora(nn.Sequential(first, second), 2)
