"""Formats as text, so that a file can say in which format its tensors are written."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass

import torch

from mini_lib.quantize.formats import (
    SHORT_NAMES,
    BinaryFormat,
    CodebookFormat,
    FloatFormat,
    Format,
    IntFormat,
    NF4Format,
    TernaryFormat,
)
from mini_lib.quantize.granularity import PerChannel, PerGroup, PerTensor

KINDS = {
    kind.__name__: kind
    for kind in (
        FloatFormat,
        IntFormat,
        CodebookFormat,
        NF4Format,
        TernaryFormat,
        BinaryFormat,
        PerTensor,
        PerChannel,
        PerGroup,
    )
}
DTYPES = {name: dtype for dtype, name in SHORT_NAMES.items()}


def format_to_json(fmt: Format) -> str:
    """Write a format as one line of JSON.

    >>> from mini_lib.quantize.formats import NF4Format
    >>> format_to_json(NF4Format(64))
    '{"kind": "NF4Format", "block_size": 64, "double_quantize": false}'

    Raises: TypeError if `fmt` is not a format.
    """
    if not isinstance(fmt, Format):
        raise TypeError(f"fmt must be a format such as IntFormat(4) or NF4Format(), got {fmt!r}")
    return json.dumps(_plain(fmt))


def format_from_json(text: str) -> Format:
    """Read a format back; the inverse of `format_to_json`.

    >>> format_from_json('{"kind": "NF4Format", "block_size": 64, "double_quantize": false}')
    NF4Format(block_size=64, double_quantize=False)

    Raises: ValueError if the text is no format that this library knows.
    """
    try:
        fmt = _built(json.loads(text))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as reason:
        raise ValueError(f"{text!r} is not a format written by format_to_json ({reason})") from reason
    if not isinstance(fmt, Format):
        raise ValueError(f"{text!r} is not a format written by format_to_json")
    return fmt


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {"kind": type(value).__name__, **{f.name: _plain(getattr(value, f.name)) for f in fields(value)}}
    return SHORT_NAMES[value] if isinstance(value, torch.dtype) else value


def _built(plain: object) -> object:
    if not isinstance(plain, dict):
        return plain
    arguments = {
        name: DTYPES[value] if name.endswith("dtype") else _built(value)
        for name, value in plain.items()
        if name != "kind"
    }
    return KINDS[plain["kind"]](**arguments)
