"""What a state dict does not hold: it is as it was, or the model is not brought back."""

import pytest
import torch
from torch import nn

from mini_lib.quantize.storage import load_model, save_model


def with_table(value=1.0, size=3):
    model = nn.Linear(3, 2)
    model.register_buffer("table", torch.full((size,), value), persistent=False)
    return model


def test_a_buffer_that_no_file_holds_is_as_it_was_or_named(tmp_path):
    save_model(with_table(), tmp_path / "m")
    assert load_model(tmp_path / "m", with_table).table.tolist() == [1.0, 1.0, 1.0]
    save_model(with_table(3.0), tmp_path / "m")
    with pytest.raises(ValueError, match="buffer 'table' is not in the file, since it is not persistent, and build"):
        load_model(tmp_path / "m", with_table)
    save_model(with_table(3.0, size=5), tmp_path / "m")  # a cache that has grown
    assert load_model(tmp_path / "m", with_table).table.tolist() == [1.0, 1.0, 1.0]
