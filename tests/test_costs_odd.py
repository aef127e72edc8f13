"""Rows of layers that are legal but unusual: never called, called on three dimensions, or with a batch of their own."""

import pytest
import torch
from torch import Tensor, nn

from mini_lib import costs


class Sparing(nn.Module):
    """Two layers that run, and two that do not: one that owns weights, and one that owns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.unused_activation = nn.ReLU()
        self.unused_layer = nn.Linear(2, 5, bias=False)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.first(x))


def test_a_leaf_that_is_never_called_has_a_row_only_if_it_owns_something():
    rows = costs.layer_costs(Sparing(), torch.zeros(2, 4))
    assert [row.name for row in rows] == ["first", "unused_layer", "activation"]
    # 10 weights of 4 bytes that are stored, and nothing that is done
    assert rows[1] == costs.LayerCost("unused_layer", "Linear", 10, 0, 40, 0, 0)
    assert sum(row.weight_bytes for row in rows) == costs.stored_bytes(Sparing())


def test_a_linear_layer_on_sequences_by_hand():
    """3 sequences of 5 places of 4 features: 15 rows, each to 2 outputs of 4 products."""
    [row] = costs.layer_costs(nn.Linear(4, 2), torch.zeros(3, 5, 4))
    assert row == costs.LayerCost("", "Linear", 10, 15 * 8, 40, 3 * 5 * 4 * 4, 3 * 5 * 2 * 4)
    assert row.moved_bytes == 40 + 240 + 120


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_work_and_traffic_grow_with_the_batch_and_weights_do_not(batch):
    one, many = (costs.layer_costs(Sparing(), torch.zeros(count, 4))[0] for count in (1, batch))
    assert (many.macs, many.input_bytes, many.output_bytes) == (12 * batch, 16 * batch, 12 * batch)
    assert (many.parameters, many.weight_bytes) == (one.parameters, one.weight_bytes) == (15, 60)


def test_an_empty_container_that_runs_is_a_leaf():
    rows = costs.layer_costs(nn.Sequential(nn.Identity(), nn.Sequential()), torch.zeros(1, 2))
    assert [(row.name, row.input_bytes, row.weight_bytes) for row in rows] == [("0", 8, 0), ("1", 8, 0)]


@pytest.mark.parametrize("macs", [True, -1, 1.5, "3", None, float("inf")])
def test_what_is_no_count_of_macs_is_refused(macs):
    with pytest.raises((TypeError, ValueError), match="macs must be a whole number"):
        costs.flops(macs)


class Noted(nn.Module):
    """A layer that saves a note beside its tensors: state that is no tensor, in the middle of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def get_extra_state(self) -> dict:
        return {"note": "by hand"}

    def set_extra_state(self, state: dict) -> None:
        """Nothing has to be kept."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def test_tensors_after_state_that_is_no_tensor_are_stored():
    model = nn.Sequential(Noted(), nn.Linear(3, 3), Noted())
    assert list(model.state_dict())[1] == "0._extra_state"
    assert costs.stored_bytes(model) == 4 * (3 + 9 + 3 + 3)
    assert [row.weight_bytes for row in costs.layer_costs(model, torch.zeros(1, 3))] == [12, 48, 12]
