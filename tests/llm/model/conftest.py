"""What the tests of the language model share: its file, and the model, loaded once."""

import os

import pytest

from mini_lib.llm.model.load import load_language_model
from mini_lib.llm.model.source import ModelMissing, find_model_file


@pytest.fixture(scope="session")
def model_file():
    """Where the model lies, or a visible skip that says how to get it; in CI a missing one is a failure."""
    try:
        return find_model_file()
    except ModelMissing as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def lm(model_file):
    """The model; no test changes it."""
    return load_language_model(model_file)
