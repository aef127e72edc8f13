"""Libraries that our answers are compared with: a missing one is a visible skip, but in CI it is a failure."""

import importlib
import os

import pytest


def oracle(name):
    """Import an oracle; without it, skip the tests of this file."""
    if os.environ.get("CI"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[test]'")
