"""Batch norm at few bits: statistics of the whole data, and statistics that stay."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mini_lib import data, zoo
from mini_lib.fit import accuracy, fit, predict
from mini_lib.fold import find_batch_norms, fold_batch_norm
from mini_lib.quantize import export, freeze_batch_norm, mse, prepare, quantize_weights, reestimate_batch_norm, rung

SPLITS = data.fashion()
PICTURES = SPLITS.train.first(300)


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(2 * 4, 2), nn.BatchNorm1d(2)).eval()


def inputs(count: int, seed: int = 0) -> torch.Tensor:
    return 2 + torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_the_statistics_are_torchs_over_all_pictures_at_once(seed, sizes):
    x = inputs(sum(sizes) + 1, seed)
    got = reestimate_batch_norm(small(seed), x.split([*sizes, 1]))
    # torch with momentum 1 keeps the mean and the n - 1 variance of one batch: all pictures. Norm after norm, in eval.
    expected = small(seed)
    for at in (1, 4, 7):
        expected[at].momentum = 1.0
        expected[at].train()
        with torch.no_grad():
            expected(x)
        expected[at].eval()
    for at in (1, 4, 7):
        # float32 sums of at most 37 * 16 numbers there, float64 here; what comes in differs by as much
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(getattr(got[at], name), getattr(expected[at], name), rtol=1e-4, atol=1e-5)
    assert torch.equal(got[0].weight, expected[0].weight) and torch.equal(got[1].weight, expected[1].weight)


def test_how_the_data_is_cut_does_not_matter():
    x = inputs(24)
    whole, cut = reestimate_batch_norm(small(), x), reestimate_batch_norm(small(), x.split(5))
    for at in (1, 4, 7):  # float64 sums in another order, rounded once; convolutions may round otherwise per batch size
        torch.testing.assert_close(whole[at].running_var, cut[at].running_var, rtol=1e-5, atol=0)


def test_the_model_is_a_copy_and_weights_stay():
    model = zoo.load("small_cnn")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    got = reestimate_batch_norm(model, PICTURES.images)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    moved = {name for name, value in got.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"{name}.running_{kind}" for name in find_batch_norms(model) for kind in ("mean", "var")}
    assert not got.training


def after_training(model, fmt):
    return quantize_weights(model, fmt, observer=mse)


@pytest.mark.parametrize("make", [after_training, prepare, lambda model, fmt: export(prepare(model, fmt))])
def test_two_bits_after_training_get_back_much_of_what_old_statistics_cost(make):
    # the control: re-estimation alone lifts uniform 2 bits by 18 points or more
    validation = SPLITS.validation.first(500)
    rounded = make(zoo.load("small_cnn"), rung(2))
    lifted = reestimate_batch_norm(rounded, PICTURES.images)
    assert accuracy(lifted, validation) > accuracy(rounded, validation) + 0.15
    for name in ("conv1", "conv4", "linear"):
        assert torch.equal(lifted.get_submodule(name).weight, rounded.get_submodule(name).weight)


def test_what_cannot_be_re_estimated_is_refused():
    x = inputs(4)
    with pytest.raises(ValueError, match="the model has no batch norm left to re-estimate; if it is folded"):
        reestimate_batch_norm(fold_batch_norm(small()), x)
    with pytest.raises(ValueError, match="is in training mode"):
        reestimate_batch_norm(small().train(), x)
    with pytest.raises(ValueError, match="calibration batch 0 holds NaN"):
        reestimate_batch_norm(small(), x * torch.nan)
    with pytest.raises(ValueError, match="batch norm '7' sees 1 value per channel of the calibration data"):
        reestimate_batch_norm(small(), x[:1])
    broken = small()
    broken[3].bias.data[0] = torch.inf
    with pytest.raises(ValueError, match="batch norm '4' reads NaN or infinity; check the weights"):
        reestimate_batch_norm(broken, x)
    with pytest.raises(ValueError, match="batch norm '0' keeps no running statistics, so there are none"):
        reestimate_batch_norm(nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)).eval(), x)
    silent = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), Idle()).eval()
    with pytest.raises(ValueError, match="batch norm '2.norm' sees 0 values per channel"):
        reestimate_batch_norm(silent, x)


class Idle(nn.Module):
    """Holds a batch norm and does not run it."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return x


def test_frozen_statistics_stay_while_fit_trains():
    model = prepare(freeze_batch_norm(zoo.load("small_cnn")), rung(4))
    trained = fit(model, PICTURES, PICTURES, epochs=1, seed=0, learning_rate=0.001).model
    live = fit(prepare(zoo.load("small_cnn"), rung(4)), PICTURES, PICTURES, epochs=1, seed=0, learning_rate=0.001).model
    before, after = zoo.load("small_cnn").conv1_bn, trained.conv1_bn
    assert torch.equal(after.running_mean, before.running_mean) and torch.equal(after.running_var, before.running_var)
    assert not torch.equal(after.weight, before.weight)  # gamma learns
    assert not torch.equal(live.conv1_bn.running_mean, before.running_mean)


def test_frozen_batch_norm_is_the_line_of_evaluation_in_training_too():
    model = small()
    model[1].running_mean.fill_(0.3)
    frozen, x = freeze_batch_norm(model), inputs(5)
    assert torch.equal(frozen.train()(x), model(x)) and not frozen[1].training and frozen[3].training
    assert type(model[1]) is nn.BatchNorm2d and frozen.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(predict(fold_batch_norm(frozen.eval()), x), predict(fold_batch_norm(model), x))
    assert torch.equal(freeze_batch_norm(frozen).train()(x), model(x))  # twice is once


def test_what_cannot_be_frozen_is_refused():
    with pytest.raises(
        ValueError, match="the model has no batch norm to freeze; a folded batch norm is already frozen"
    ):
        freeze_batch_norm(fold_batch_norm(small()))
    with pytest.raises(ValueError, match="batch norm '0' keeps no running statistics to freeze"):
        freeze_batch_norm(nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)))
    with pytest.raises(ValueError, match="cannot freeze batch norm '0', a BatchNorm3d; use BatchNorm1d or 2d"):
        freeze_batch_norm(nn.Sequential(nn.BatchNorm3d(1)))


def test_a_frozen_norm_keeps_its_dtype_and_what_is_not_trained():
    model = nn.Sequential(nn.BatchNorm1d(3).double()).eval()
    model[0].running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]) / 3)  # float32 does not hold these
    model[0].weight.requires_grad_(False)
    frozen = freeze_batch_norm(model)
    x = torch.ones(2, 3, dtype=torch.float64)
    assert torch.equal(frozen(x), model(x)) and not frozen[0].weight.requires_grad
    frozen[0].running_mean.zero_()
    assert model[0].running_mean.all()  # a copy


def test_what_is_no_model_is_refused():
    for change in (freeze_batch_norm, lambda model: reestimate_batch_norm(model, torch.ones(2, 3))):
        with pytest.raises(TypeError, match="model must be an nn.Module, got NoneType; pass the model itself"):
            change(None)
