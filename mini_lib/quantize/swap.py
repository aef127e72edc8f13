"""Put new modules in the place of old ones, in a copy: `surgery.replace` for when every place gets its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn


def swap(model: nn.Module, new: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy of `model` with the modules of these names replaced; the argument stays as it is.

    A module that is held under several names is replaced under all of them.

    >>> swap(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), {"1": nn.Tanh()})
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
    )
    """
    # deepcopy asks its memo what it has copied already, and takes the new modules for copies of the old ones.
    return copy.deepcopy(model, {id(model.get_submodule(name)): module for name, module in new.items()})
