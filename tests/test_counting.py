"""MACs of operators, each worked by hand: whoever multiplies is counted or named, and never a silent 0."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mini_lib.calibration import run_model
from mini_lib.measure import layer_costs, macs


class Calls(nn.Module):
    """A layer that calls one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def zeros(*shapes):
    return tuple(torch.zeros(shape) for shape in shapes)


@pytest.mark.parametrize(
    ("model", "shapes", "expected"),
    [
        # 6 outputs of 4 x 5 weights each, for 2 rows
        (nn.Bilinear(4, 5, 6), [(2, 4), (2, 5)], 2 * 6 * 4 * 5),
        # 2 sequences of 3 steps; a gate is 5 x 4 weights for the input and 5 x 5 for the state: one, three, four gates
        (nn.RNN(4, 5, batch_first=True), [(2, 3, 4)], 6 * (5 * 4 + 5 * 5)),
        (nn.GRU(4, 5, batch_first=True), [(2, 3, 4)], 6 * 3 * (5 * 4 + 5 * 5)),
        (nn.LSTM(4, 5, batch_first=True), [(2, 3, 4)], 6 * 4 * (5 * 4 + 5 * 5)),
        (nn.GRUCell(4, 5), [(2, 4)], 2 * 3 * (5 * 4 + 5 * 5)),
        # every output place gathers half of the channels
        (nn.Conv1d(4, 6, 3, groups=2), [(1, 4, 9)], 6 * 7 * 2 * 3),
        (nn.Conv3d(4, 6, 3, groups=2), [(1, 4, 5, 5, 5)], 6 * 27 * 2 * 27),
        # every input place is scattered to half of the channels
        (nn.ConvTranspose1d(4, 6, 3, groups=2), [(1, 4, 9)], 4 * 9 * 3 * 3),
        (nn.ConvTranspose3d(4, 6, 3, groups=2), [(1, 4, 5, 5, 5)], 4 * 125 * 3 * 27),
        # [5, 2, 4] in time, batch, channels; 3 taps to 6 channels at 3 times
        (Calls(torch.conv_tbc), [(5, 2, 4), (3, 4, 6), (6,)], 3 * 2 * 6 * 3 * 4),
    ],
)
def test_layers(model, shapes, expected):
    assert macs(model, zeros(*shapes)) == expected


def test_attention_is_four_projections_and_two_products():
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.zeros(1, 5, 8)
    assert macs(model, (x, x, x)) == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (lambda x, y: torch.einsum("bi,bj->bij", x, y), [(2, 4), (2, 5)], 2 * 4 * 5),
        (torch.outer, [(4,), (5,)], 4 * 5),
        (lambda x, y: torch.addr(torch.zeros(4, 5), x, y), [(4,), (5,)], 4 * 5),
        (lambda x, w: (x[:, None] * w).sum(-1), [(2, 4), (3, 4)], 2 * 3 * 4),  # a matrix product by hand, counted once
        (lambda x, w: (x * w).sum(-1), [(1, 4), (3, 4)], 3 * 4),
        # the same products, however they are handed on to what adds them up
        (lambda x, w: (x * w).mean(-1), [(2, 4), (4,)], 2 * 4),
        (lambda x, w: (x * w).nansum(-1), [(2, 4), (4,)], 2 * 4),
        (lambda x, w: (x * w).cumsum(-1), [(2, 4), (4,)], 2 * 4),
        (lambda x, w: (x * w).view(2, 2, 2).sum(-1), [(2, 4), (4,)], 2 * 4),
        (lambda x, w: (x * w).double().T[1:].sum(0), [(2, 4), (4,)], 2 * 3),
        (lambda x, w: (2 * x.clone().mul_(w) / 3).sum(-1), [(2, 4), (4,)], 2 * 4),
        (lambda x, w: torch.addcmul(torch.zeros(2, 4), x, w), [(2, 4), (4,)], 2 * 4),
        (lambda x: (2 * x).mean() + x.mean(), [(2, 4)], 0),
        (lambda x, gate: (x * gate).relu().sum(), [(2, 4), (2, 1)], 0),
        (torch.linalg.vecdot, [(2, 4), (2, 4)], 2 * 4),
        (torch.vdot, [(4,), (4,)], 4),
        (torch.inner, [(2, 4), (3, 4)], 2 * 3 * 4),
        (lambda x, y: torch.tensordot(x, y, dims=([1, 2], [1, 0])), [(2, 3, 4), (4, 3)], 2 * 3 * 4),
        (torch.addbmm, [(3, 5), (2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (lambda x, gate: x * gate, [(2, 4), (2, 1)], 0),  # element-wise: each number of x meets one gate
        (lambda x: (2 * x).sum(), [(2, 4)], 0),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), [(1, 1, 4, 4)], 0),
    ],
)
def test_functions(function, shapes, expected):
    assert macs(Calls(function), zeros(*shapes)) == expected


def test_an_embedding_bag_multiplies_where_it_has_weights():
    bag, numbers = nn.EmbeddingBag(9, 6, mode="sum"), torch.tensor([[1, 2]])
    assert macs(bag, numbers) == 0
    assert macs(Calls(lambda x, w: bag(x, per_sample_weights=w)), (numbers, torch.zeros(1, 2))) == 2 * 6


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: torch.cdist(x, x), "aten._cdist_forward"),
        (lambda x: torch.fft.rfft(x), "aten._fft_r2c"),
        (lambda x: torch.linalg.svd(x).S, "aten._linalg_svd"),
        (lambda x: torch.linalg.inv(x), "aten.linalg_inv_ex"),
        (lambda x: torch.cholesky_solve(x, x), "aten.cholesky_solve"),
        (lambda x: torch.cholesky_inverse(x), "aten.cholesky_inverse"),
        (lambda x: torch.triangular_solve(x, x)[0], "aten.triangular_solve"),
        (lambda x: torch.geqrf(x)[0], "aten.geqrf"),
        (lambda x: torch.ormqr(x, x[0], x), "aten.ormqr"),
        (lambda x: F.pdist(x), "aten._pdist_forward"),
        (lambda x: F.affine_grid(x[None, :2, :3], (1, 1, 2, 2), False), "aten.affine_grid_generator"),
        (lambda x: torch.sparse.mm(torch.eye(4).to_sparse(), x), "aten._sparse_addmm"),
    ],
)
def test_an_operator_that_multiplies_unseen_is_named(function, named):
    model = nn.Sequential(Calls(function))
    with pytest.raises(ValueError, match=rf"Calls calls {named}, whose MACs are not known; give the layer a method"):
        macs(model, torch.eye(4))
    with pytest.raises(ValueError, match=named):
        layer_costs(model, torch.eye(4))


def test_a_layer_that_says_its_own_macs_may_call_anything():
    class Distances(Calls):
        def own_macs(self, output):
            return 4 * output.numel()

    assert macs(Distances(lambda x: torch.cdist(x, x)), torch.eye(4)) == 4 * 16


def test_an_operator_that_is_not_torchs_is_named():
    with torch.library._scoped_library("mini_lib_test", "FRAGMENT") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: 2 * x, "CompositeExplicitAutograd")
        with pytest.raises(ValueError, match=r"mini_lib_test\.twice, whose MACs are not known"):
            macs(Calls(torch.ops.mini_lib_test.twice), torch.zeros(3))


def test_an_input_that_the_model_refuses_is_named():
    with pytest.raises(ValueError, match=r"Linear cannot be run on float32 \[1, 4\]: mat1 and mat2 shapes"):
        macs(nn.Linear(3, 2), torch.zeros(1, 4))
    with pytest.raises(TypeError):
        run_model(nn.Linear(3, 2))


def test_what_a_hook_multiplies_before_the_model_runs_counts_as_the_models():
    model = nn.Sequential(nn.Linear(4, 4))
    model.register_forward_pre_hook(lambda module, inputs: (inputs[0] @ torch.eye(4),))
    assert macs(model, torch.zeros(2, 4)) == 2 * 4 * 4 + 2 * 4 * 4
    hook = nn.modules.module.register_module_forward_pre_hook(lambda module, inputs: (inputs[0] @ torch.eye(4),))
    try:
        assert macs(nn.Linear(4, 4), torch.zeros(2, 4)) == 2 * 4 * 4 + 2 * 4 * 4
    finally:
        hook.remove()
