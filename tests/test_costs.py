"""Counts against layers worked by hand, published figures, fvcore, torch's own counter, and counting by ones."""

import re

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision_support import import_torchvision

from mini_lib import costs, zoo
from mini_lib.counting import Example

IMAGES = torch.zeros(2, 1, 28, 28)


class PackedLinear(nn.Module):
    """A layer as quantization makes it: two 4-bit codes a byte, unpacked and rescaled in forward."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.encoded_parameters = inputs * outputs
        self.register_buffer("codes", torch.zeros(outputs, inputs // 2, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(outputs, 1))
        self.register_buffer("scratch", torch.zeros(1000), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        codes = torch.stack((self.codes & 15, self.codes >> 4), dim=-1).flatten(1)
        return F.linear(x, (codes.float() - 8) * self.scale)


class Attention(nn.Module):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)


class Tied(nn.Module):
    """An embedding whose weight is also the output layer's, as in most small language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens))


MODELS = {
    "small_cnn": (zoo.small_cnn(), IMAGES),
    "depthwise_cnn": (zoo.depthwise_cnn(), IMAGES),
    "lenet_300_100": (zoo.lenet_300_100(), IMAGES),
    "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.zeros(3, 5, 8)),
    "tied": (Tied(), torch.zeros(2, 7, dtype=torch.int64)),
    "packed": (nn.Sequential(PackedLinear(6, 4), nn.ReLU(), nn.Linear(4, 3)), torch.zeros(2, 6)),
    "unbatched": (nn.Sequential(nn.Conv1d(2, 4, 3), nn.ConvTranspose1d(4, 2, 3)), torch.zeros(2, 9)),
}
every_model = pytest.mark.parametrize(("model", "example"), MODELS.values(), ids=MODELS)


# --- MACs: by hand --------------------------------------------------------------------------------

BY_HAND = {
    "linear, a row of 4 for each of 5 * 3 outputs": (nn.Linear(4, 3), torch.zeros(5, 4), 5 * 3 * 4),
    "linear on one vector": (nn.Linear(4, 3), torch.zeros(4), 12),
    "linear on a sequence": (nn.Linear(4, 3), torch.zeros(2, 5, 4), 2 * 5 * 12),
    "3x3 window, stride 2: 2x2 places": (nn.Conv2d(2, 6, 3, stride=2), torch.zeros(1, 2, 5, 5), 4 * 6 * 2 * 9),
    "two groups see half of the channels": (nn.Conv2d(2, 6, 3, groups=2), torch.zeros(1, 2, 5, 5), 9 * 6 * 1 * 9),
    "transposed: each of 9 inputs meets 3 * 4": (
        nn.ConvTranspose2d(2, 3, 2, stride=2), torch.zeros(1, 2, 3, 3), 2 * 9 * 3 * 4),
    "attention: 3 x 5 scores of 4, then 3 x 6 sums of 5": (
        Attention(), (torch.zeros(2, 3, 4), torch.zeros(2, 5, 4), torch.zeros(2, 5, 6)), 2 * (3 * 5 * 4 + 3 * 6 * 5)),
    "LSTM: 4 gates of 5 units, 7 steps": (nn.LSTM(3, 5), torch.zeros(7, 2, 3), 7 * 2 * 4 * 5 * (3 + 5)),
    "batch norm and ReLU multiply element by element": (
        nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), torch.zeros(1, 3, 4, 4), 0),
}  # fmt: skip


@pytest.mark.parametrize(("model", "example", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_macs_of_layers_worked_by_hand(model: nn.Module, example: Example, expected: int) -> None:
    assert costs.macs(model, example) == expected


def test_a_macs_is_two_flops() -> None:
    assert costs.flops(3) == 6
    assert costs.flops(0) == 0


# --- MACs: independent counts ---------------------------------------------------------------------


@every_model
def test_macs_equal_torchs_own_counter(model: nn.Module, example: Tensor) -> None:
    # torch counts FLOPs, two a MAC, and nothing inside fused attention: dropout, so training, keeps it from fusing.
    counter = FlopCounterMode(display=False)
    with counter:
        model.train()(example)
    assert costs.flops(costs.macs(model, example)) == counter.get_total_flops()


@pytest.mark.parametrize("name", ["small_cnn", "depthwise_cnn", "lenet_300_100"])
def test_macs_equal_fvcore(name: str) -> None:
    model, example = MODELS[name]
    # fvcore also gives batch norm and pooling a cost; convolutions and matrix products are what we share.
    counts = FlopCountAnalysis(model.eval(), example).unsupported_ops_warnings(False).by_operator()
    assert costs.macs(model, example) == counts["conv"] + counts["linear"]


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "mobilenet_v2", "vit_b_16"])
def test_macs_and_parameters_equal_the_published_counts(name: str) -> None:
    models = import_torchvision().models
    published = models.get_model_weights(name).DEFAULT.meta
    with torch.device("meta"):  # shapes without numbers: nothing is computed
        model, example = models.get_model(name), torch.zeros(1, 3, 224, 224)
    assert costs.parameters(model) == published["num_params"]
    # torchvision calls its billions of MACs "_ops" and prints three decimals.
    assert round(costs.macs(model, example) / 1e9, 3) == published["_ops"]
    # Without memory there is still something to store: 4 bytes a parameter, and batch norm's statistics.
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    assert costs.stored_bytes(model) == 4 * published["num_params"] + buffers


@settings(deadline=None, max_examples=100)
@given(
    dims=st.integers(1, 3),
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    ins=st.integers(1, 2),
    outs=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 1),
    size=st.integers(5, 7),
    transposed=st.booleans(),
)
def test_macs_of_any_convolution_equal_its_products_counted_one_by_one(
    dims, batch, groups, ins, outs, kernel, stride, dilation, padding, size, transposed
) -> None:
    # With all inputs and weights 1, each product adds 1 to the output: their sum is their number. The
    # padding is filled with ones as well, since a product with a padded zero is computed and counts.
    # float64 holds these whole numbers exactly.
    kind = (
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
        if transposed
        else (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    )
    padding = 0 if transposed else padding  # a transposed convolution computes what its padding then cuts off
    layer = kind(
        groups * ins,
        groups * outs,
        kernel,
        stride,
        padding,
        groups=groups,
        dilation=dilation,
        bias=False,
        dtype=torch.float64,
    )
    example = torch.ones(batch, groups * ins, *[size] * dims, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        macs = costs.macs(layer, example)
        layer.padding = (0,) * dims
        products = layer(F.pad(example, [padding] * 2 * dims, value=1.0)).sum()
    assert macs == products


MATRIX_PRODUCTS = {
    "mm": lambda a, b: a @ b,
    "bmm": lambda a, b: torch.bmm(a.expand(3, -1, -1), b.expand(3, -1, -1)),
    "mv": lambda a, b: a @ b[:, 0],
    "dot": lambda a, b: a[0] @ b[:, 0],
    "addmm": lambda a, b: torch.addmm(torch.zeros(1).double(), a, b),
    "addmv": lambda a, b: torch.addmv(torch.zeros(1).double(), a, b[:, 0]),
    "addbmm": lambda a, b: torch.addbmm(torch.zeros(1).double(), a.expand(3, -1, -1), b.expand(3, -1, -1)),
    "baddbmm": lambda a, b: torch.baddbmm(torch.zeros(1, 1, 1).double(), a.expand(3, -1, -1), b.expand(3, -1, -1)),
    "einsum": lambda a, b: torch.einsum("mk,kn->mn", a, b),
    "matmul": lambda a, b: a.expand(2, 3, -1, -1) @ b,
    "int": lambda a, b: torch._int_mm(a.to(torch.int8), b.to(torch.int8)),
}


class Product(nn.Module):
    def __init__(self, product) -> None:
        super().__init__()
        self.product = product

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.product(a, b)


@pytest.mark.parametrize("name", MATRIX_PRODUCTS)
def test_macs_of_any_matrix_product_equal_its_products_counted_one_by_one(name: str) -> None:
    a, b = torch.ones(4, 5).double(), torch.ones(5, 6).double()
    product = MATRIX_PRODUCTS[name]
    assert costs.macs(Product(product), (a, b)) == product(a, b).sum()


@every_model
def test_macs_are_the_same_in_inference_mode(model: nn.Module, example: Tensor) -> None:
    expected = costs.macs(model, example)
    with torch.inference_mode():
        assert costs.macs(model, example) == expected


# --- what each layer costs ------------------------------------------------------------------------


def test_layer_costs_worked_by_hand() -> None:
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(1, 2, 3, bias=False))
    model.add_module("norm", nn.BatchNorm2d(2))
    model.add_module("flat", nn.Flatten())
    model.add_module("packed", PackedLinear(8, 3))
    assert costs.layer_costs(model, torch.zeros(1, 1, 4, 4)) == [
        # 18 weights; 16 pixels in, 2 * 2 * 2 out, of 4 bytes; 8 outputs of 9 products
        costs.LayerCost("conv", "Conv2d", 18, 72, 72, 64, 32),
        # weight, bias, mean, variance of 2 channels and an 8-byte counter
        costs.LayerCost("norm", "BatchNorm2d", 4, 0, 40, 32, 32),
        costs.LayerCost("flat", "Flatten", 0, 0, 0, 32, 32),
        # 24 codes of half a byte and 3 scales of 4; what is not persistent is not stored
        costs.LayerCost("packed", "PackedLinear", 24, 24, 24, 32, 12),
    ]


def test_moved_bytes_are_weights_input_and_output() -> None:
    assert costs.LayerCost("fc", "Linear", 12, 12, 48, 16, 12).moved_bytes == 76


@every_model
def test_layer_costs_add_up_to_the_model(model: nn.Module, example: Tensor) -> None:
    rows = costs.layer_costs(model, example)
    assert sum(row.parameters for row in rows) == costs.parameters(model)
    assert sum(row.macs for row in rows) == costs.macs(model, example)
    assert sum(row.weight_bytes for row in rows) == costs.stored_bytes(model)


def test_work_done_by_a_parent_is_charged_to_the_parent() -> None:
    # Attention reads the weights of its child `out_proj` without calling it.
    attention = nn.MultiheadAttention(4, 1, batch_first=True)
    x = torch.zeros(1, 3, 4)
    rows = costs.layer_costs(attention, (x, x, x))
    # Four 4x4 projections of 3 rows, then 3 x 3 scores of 4 and 3 x 4 sums of 3.
    assert [(row.name, row.kind, row.macs, row.parameters) for row in rows] == [
        ("", "MultiheadAttention", 4 * 48 + 36 + 36, 3 * 20),
        ("out_proj", "NonDynamicallyQuantizableLinear", 0, 20),
    ]


def test_a_parent_has_a_row_only_for_what_is_its_own() -> None:
    class Parent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.child = nn.Linear(4, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.child(x)

    class Borrowing(Parent):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.child.weight)

    class Scaling(Parent):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.ones(1))

    def rows(model: nn.Module) -> list[tuple[str, int, int]]:
        return [(row.name, row.macs, row.weight_bytes) for row in costs.layer_costs(model, torch.zeros(1, 4))]

    assert rows(Parent()) == [("child", 12, 48)]
    assert rows(Borrowing()) == [("", 12, 0), ("child", 0, 48)]
    assert rows(Scaling()) == [("", 0, 4), ("child", 12, 48)]


def test_a_layer_called_twice_is_one_row_with_both_calls() -> None:
    linear = nn.Linear(4, 4)
    [row] = costs.layer_costs(nn.Sequential(linear, linear), torch.zeros(1, 4))
    assert (row.name, row.parameters, row.macs, row.input_bytes) == ("0", 20, 2 * 16, 2 * 16)


def test_inputs_and_outputs_are_found_inside_tuples_and_dicts() -> None:
    class Inner(nn.Module):
        def forward(self, pair: tuple, *, scale: Tensor, name: str) -> dict:
            return {"sum": pair[0] + pair[1] * scale, "name": name}

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner((x, x), scale=x[:1], name="n")["sum"]

    [row] = costs.layer_costs(Outer(), torch.zeros(3))
    assert (row.input_bytes, row.output_bytes) == (4 * (3 + 3 + 1), 4 * 3)


def test_counting_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    costs.layer_costs(model, torch.randn(4, 1, 5, 5))
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_fails_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ValueError, match="shapes cannot be multiplied"):
        costs.macs(model, torch.zeros(1, 5))
    assert model.training
    assert not model[0]._forward_hooks
    assert torch.backends.mha.get_fastpath_enabled()


# --- parameters and stored bytes ------------------------------------------------------------------


def test_parameters_that_are_shared_count_once() -> None:
    assert costs.parameters(Tied()) == 40


def test_packed_codes_count_as_the_weights_that_they_encode() -> None:
    assert costs.parameters(nn.Sequential(PackedLinear(6, 4), nn.Linear(4, 3))) == 24 + 15


def test_stored_bytes_of_dtypes_worked_by_hand() -> None:
    model = nn.Module()
    model.register_buffer("codes", torch.zeros(3, dtype=torch.uint8))
    model.register_buffer("scale", torch.zeros(5, dtype=torch.float16))
    model.register_parameter("weight", nn.Parameter(torch.zeros(7, dtype=torch.float64)))
    model.register_buffer("scratch", torch.zeros(11), persistent=False)
    assert costs.stored_bytes(model) == 3 * 1 + 5 * 2 + 7 * 8


def test_stored_bytes_of_a_view_are_its_own() -> None:
    large = torch.zeros(1000)
    model = nn.Module()
    model.register_buffer("part", large[:10])
    model.register_buffer("other", large[10:30])
    model.register_buffer("strided", large[::100])
    model.register_buffer("start", large[:5])
    assert costs.stored_bytes(model) == 4 * (10 + 20 + 10 + 5)


def test_stored_bytes_of_tensors_that_share_their_memory_count_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight.data = model[0].weight.data  # two parameters, one memory
    assert costs.stored_bytes(model) == 64
    assert costs.stored_bytes(Tied()) == 160
    with torch.device("meta"):
        assert costs.stored_bytes(Tied()) == 160


def test_state_that_is_not_a_tensor_is_no_stored_tensor() -> None:
    class Named(nn.Linear):
        def get_extra_state(self) -> str:
            return "a name"

    assert costs.stored_bytes(Named(4, 3)) == 60


@every_model
def test_stored_bytes_equal_a_saved_file_without_its_header(model: nn.Module, example: Tensor, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_model(model, str(path))  # leaves out the second name of a tied tensor
    file = path.read_bytes()
    header_bytes = 8 + int.from_bytes(file[:8], "little")
    # Tensors follow the header without gaps.
    assert costs.stored_bytes(model) == len(file) - header_bytes


# --- bad input ------------------------------------------------------------------------------------


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("function", [costs.parameters, costs.stored_bytes])
def test_what_is_no_module_is_refused(function) -> None:
    with pytest.raises(TypeError, match=says("model must be an nn.Module, got dict; pass the model itself")):
        function({"weight": torch.zeros(3)})


@pytest.mark.parametrize("function", [costs.macs, costs.layer_costs])
def test_what_cannot_be_run_is_refused(function) -> None:
    with pytest.raises(TypeError, match=says("model must be an nn.Module, got type; pass the model itself")):
        function(nn.Linear, torch.zeros(1, 4))
    with pytest.raises(
        TypeError,
        match=says(
            "example must be a tensor or a tuple of tensors, got list; pass one batch such as torch.zeros(1, 1, 28, 28)"
        ),
    ):
        function(nn.Linear(4, 3), [1.0, 2.0])
    with pytest.raises(
        ValueError, match=says("example must hold at least one element, got shape (0, 4); pass a batch of 1 or more")
    ):
        function(nn.Linear(4, 3), torch.zeros(0, 4))


def test_macs_that_are_no_count_are_refused() -> None:
    fix = "pass a count such as macs(model, example)"
    with pytest.raises(ValueError, match=says(f"macs must be a whole number of 0 or more, got -1; {fix}")):
        costs.flops(-1)
    with pytest.raises(TypeError, match=says(f"macs must be a whole number of 0 or more, got 1.5; {fix}")):
        costs.flops(1.5)
