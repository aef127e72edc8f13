"""What the tests of the builder share."""

from pathlib import Path

import pytest
from build_support import house, run


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """A house whose one lesson has been built, executed and all: tests look at it or change a copy."""
    root = tmp_path_factory.mktemp("house")
    house(root)
    assert run(root) == 0
    return root
