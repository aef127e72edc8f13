"""The text for calibrating and judging a language model: two parts of Python's own manual, shipped as a file.

The parts have no topic in common: choices made by looking at the first part are judged on unseen text.
"""

from __future__ import annotations

import lzma

from mini_lib import _assets

PROSE = _assets.ASSETS / "llm" / "prose.txt.xz"
SHA256 = "0dd9881f3450cce0eaa016f91718a8c6fa9b19739bf12f4b460907317381c596"
HOW_TO_GET_IT = "run `git restore mini_lib/assets/llm/prose.txt.xz` in the course's folder"
BETWEEN_PARTS = "\f"


def calibration_text() -> str:
    """Return English prose of 41,953 characters, 10,434 tokens of SmolLM2, to calibrate on.

    Raises:
        ValueError: the file is missing or damaged.

    >>> calibration_text()[:21]
    'Assignment statements'
    """
    return _parts()[0]


def evaluation_text() -> str:
    """Return English prose of 61,484 characters, 14,221 tokens of SmolLM2, only for judging.

    Raises:
        ValueError: the file is missing or damaged.

    >>> evaluation_text()[:15]
    'Execution model'
    """
    return _parts()[1]


def _parts() -> list[str]:
    content = _assets.read_verified(PROSE, SHA256, HOW_TO_GET_IT)
    return lzma.decompress(content).decode().split(BETWEEN_PARTS)
