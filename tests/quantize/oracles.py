"""Libraries that our answers are compared with: a missing one is a visible skip, but in CI it is a failure."""

import importlib
import os
import warnings

import pytest
from torchvision_support import import_torchvision


def oracle(name):
    """Import an oracle; without it, skip the tests of this file."""
    import_torchvision()  # quanto imports transformers where that is installed, and transformers imports torchvision
    if os.environ.get("CI"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not there: pip install -e '.[test]'")


def torch_observer(name, **settings_):
    """An observer of torch.ao.quantization, which says of itself that it will move elsewhere one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(oracle("torch.ao.quantization.observer"), name)(**settings_)
