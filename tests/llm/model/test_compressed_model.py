"""What the course does to nets it does to a language model: quantize, pack, mask, copy; and the tie holds."""

from copy import deepcopy

import pytest
import torch
from tiny_language_models import tiny_architecture, tiny_model, tiny_tokenizer
from torch import nn

from mini_lib.costs import stored_bytes
from mini_lib.llm.model.rows import weight_rows
from mini_lib.prune import apply_mask, baked, keep_top, magnitude, masked
from mini_lib.quantize import IntFormat, PerGroup, quantize_weights
from mini_lib.quantize.layers import QuantizedLinear
from mini_lib.quantize.packed import PackedLinear, pack_for_speed
from mini_lib.surgery import swap

IDS = torch.tensor([[3, 1, 4, 1, 5, 31]])
INT4 = IntFormat(4, granularity=PerGroup(32))


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model(request):
    return tiny_model(tiny_architecture(tied=request.param), tokenizer=tiny_tokenizer())


def with_weights(model, weights):
    """The model with other float weights under the same names."""
    changed = deepcopy(model)
    changed.load_state_dict(weights)
    return changed


def weights_of(model):
    """The weights as they are computed with, whatever they are stored as."""
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor)
    }
    return {f"{name}.weight": module.weight.detach() for name, module in layers.items()}


@torch.no_grad()
def test_a_quantized_model_computes_with_its_rounded_weights_in_the_table_too(model):
    """The same model in float32 with the rounded weights says the same; a tied table is rounded as its head is."""
    quantized = quantize_weights(model, INT4)
    assert isinstance(quantized.head, QuantizedLinear) and quantized.tokenizer is model.tokenizer
    assert torch.equal(quantized(IDS), with_weights(model, weights_of(quantized))(IDS))
    assert (quantized.embed(IDS) == model.embed(IDS)).all() == (not model.architecture.tied)
    assert not torch.equal(quantized(IDS), model(IDS)) and not quantized.training


@torch.no_grad()
def test_a_packed_model_looks_rows_up_in_its_codes(model):
    """Packed layers round what they read to int8, so logits are near; the rows of the table are exact."""
    quantized = quantize_weights(model, IntFormat(8))
    packed = pack_for_speed(quantized)
    assert isinstance(packed.head, PackedLinear)
    assert torch.equal(packed.embed(IDS), quantized.embed(IDS))
    assert (packed(IDS) - quantized(IDS)).abs().max() < 0.1 * quantized(IDS).std()


def test_bytes_of_a_tied_head_are_stored_once():
    tied, untied = (quantize_weights(tiny_model(tiny_architecture(tied=tied)), INT4) for tied in (True, False))
    assert stored_bytes(untied) - stored_bytes(tied) == 32 * 32 * 4  # the table, in float32


@torch.no_grad()
def test_masks(model):
    mask = keep_top(magnitude(model), density=0.5)
    pruned, kept = apply_mask(model, mask), masked(model, mask)
    assert torch.equal(pruned(IDS), kept(IDS)) and torch.equal(baked(kept)(IDS), kept(IDS))
    assert (pruned.head.weight == 0).any() and pruned.tokenizer is model.tokenizer
    if model.architecture.tied:
        assert torch.equal(pruned.embed(IDS), pruned.head.weight[IDS])


def test_a_head_without_rows_cannot_be_a_table():
    model = tiny_model()
    cut = swap(model, {"head": nn.Sequential(nn.Linear(32, 4, bias=False), nn.Linear(4, 32, bias=False))})
    with pytest.raises(
        TypeError, match="a tied head is the embedding table too, and a Sequential has no weight whose rows"
    ):
        cut(IDS)
    untied = tiny_model(tiny_architecture(tied=False))
    swap(untied, {"head": nn.Sequential(nn.Linear(32, 4, bias=False), nn.Linear(4, 32, bias=False))})(IDS)


def test_rows_of_every_kind_of_layer():
    layer = nn.Linear(32, 20, bias=False).requires_grad_(False).eval()
    quantized = quantize_weights(nn.Sequential(layer), INT4)
    packed = pack_for_speed(quantized)
    index = torch.tensor([[19, 0, 7], [7, 7, 3]])
    for one in (layer, quantized[0], packed[0]):
        assert torch.equal(weight_rows(one, index), one.weight[index])
        assert torch.equal(weight_rows(one, index[:, ::2].int()), one.weight[index[:, ::2]])


def test_gradients_reach_a_tied_table_from_both_ends():
    """The gradient of the head's weight is the sum over its two uses, as for two separate copies."""
    tied, untied = tiny_model(), tiny_model(tiny_architecture(tied=False))
    state = dict(tied.state_dict())
    untied.load_state_dict({**state, "table.weight": state["head.weight"]})
    for one in (tied, untied):
        one.requires_grad_(True)
        one(IDS).square().mean().backward()
    torch.testing.assert_close(tied.head.weight.grad, untied.head.weight.grad + untied.table.weight.grad)
