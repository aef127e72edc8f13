"""Calibration data, and what is seen while a model runs on it."""

import pytest
import torch
from torch import nn

from mini_lib.calibration import batches, observe, observe_windows, per_weight, running_order


def test_one_tensor_is_one_batch_and_an_iterable_is_many():
    data = torch.arange(6.0).reshape(6, 1)
    assert [batch.tolist() for batch in batches(data)] == [data.tolist()]
    assert [len(batch) for batch in batches(data.split(4))] == [4, 2]
    assert [len(batch) for batch in batches(batch for batch in data.split(4))] == [4, 2]


@pytest.mark.parametrize(
    "calibration, kind, says",
    [
        ([], ValueError, "calibration holds no batch; give it some training images"),
        (None, TypeError, "calibration must be a batch of inputs or several, got None; pass training images"),
        (torch.zeros(2, device="meta"), ValueError, "calibration batch 0 is on the meta device; make it a dense"),
        ([torch.eye(2).to_sparse()], ValueError, "calibration batch 0 is sparse; make it a dense tensor"),
        (torch.zeros(0, 1, 28, 28), ValueError, "calibration batch 0 is empty"),
        ([torch.zeros(1), torch.tensor([1.0, float("nan")])], ValueError, "calibration batch 1 holds NaN or infinity"),
        (
            [(torch.zeros(1), torch.zeros(1))],
            TypeError,
            "batch 0 must be a tensor of inputs, got tuple; leave the labels",
        ),
    ],
)
def test_calibration_that_cannot_be_used(calibration, kind, says):
    with pytest.raises(kind, match=says):
        batches(calibration)


def test_every_call_of_the_named_modules_is_seen_in_order():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).eval()
    data = [torch.tensor([[1.0]]), torch.tensor([[2.0], [3.0]])]
    seen = []
    observe(model, data, ["2", "0"], lambda name, inputs, output: seen.append((name, inputs, output)))
    assert [name for name, _, _ in seen] == ["0", "2", "0", "2"]
    assert torch.equal(seen[2][1], data[1]) and torch.equal(seen[3][2], model(data[1]))
    assert not any(output.requires_grad for _, _, output in seen)


def test_an_input_given_by_name_is_seen():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1, 1)

        def forward(self, x):
            return self.fc(input=x)

    seen = []
    observe(Net().eval(), [torch.tensor([[3.0]])], ["fc"], lambda name, inputs, output: seen.append(inputs.item()))
    assert seen == [3.0]


def test_modules_run_in_their_own_order_and_those_that_do_not_run_are_left_out():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.idle, self.first = (nn.Linear(1, 1) for _ in range(3))

        def forward(self, x):
            return self.second(self.first(self.second(self.first(x))))

    assert running_order(Net().eval(), [torch.ones(2, 1)], ["second", "idle", "first"]) == ["first", "second"]


def test_no_hook_is_left_behind_not_even_after_an_error():
    model = nn.Sequential(nn.Linear(1, 2)).eval()
    with pytest.raises(ValueError):
        observe(model, [torch.zeros(1, 7)], ["0"], lambda *_: None)
    assert not model[0]._forward_hooks


def test_training_mode_is_refused_wherever_it_is():
    model = nn.Sequential(nn.Linear(1, 2), nn.Dropout()).eval()
    model[1].train()
    with pytest.raises(ValueError, match=r"'1' is in training mode.*call model.eval\(\) first"):
        observe(model, [torch.zeros(1, 1)], ["0"], lambda *_: None)


def test_a_layer_must_be_the_models_own():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    for layers in ({"0": nn.Linear(4, 2)}, {"2": model[0]}, {"missing": model[0]}):
        with pytest.raises(ValueError, match=f"^layer '{next(iter(layers))}' is not the model's module of that name"):
            observe_windows(model, [torch.zeros(5, 8)], layers, lambda name, windows: None)


@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (1, 2, 3), (4, 6)])
def test_values_that_are_not_those_of_the_inputs_are_refused(shape):
    with pytest.raises(ValueError, match=r"do not fit a weight of shape \[6, 6\]; expected \[6\]"):
        per_weight(torch.zeros(6, 6), torch.zeros(shape))


def test_what_see_returns_does_not_become_the_output_of_the_layer():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    seen = []
    observe(model, [torch.ones(1, 2)], ["0", "1"], lambda name, x, y: seen.append(x.clone()) or torch.full_like(y, 7.0))
    assert torch.equal(seen[1], model[0](torch.ones(1, 2)))
