"""A folder that holds a study part by part, in JSON: opened again with the same settings, and read back.

Each file holds the sha256 of its content, so that a single changed bit is noticed. A file without one was written by an
earlier version, and is read as it is.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TypeVar, get_type_hints

from mini_lib.files import UNSEALED, seal_holds, sealed, write_file
from mini_lib.require import shown

Part = TypeVar("Part")
_SETTINGS = "settings.json"
_UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError)


def open_parts(folder: Path, settings: Mapping[str, object], what: str = "study", file: str = _SETTINGS) -> None:
    """Make the folder, or check that its parts were made with these settings, given as plain values.

    Raises:
        ValueError: they were made with others (the message names the first that differs), or the settings file is
            damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    if not path.exists():
        _write(path, settings, indent=1)
        return
    try:
        found = _flat(dict(_read(path)))
    except _UNREADABLE as error:
        raise ValueError(f"cannot read {path} ({error}); give a new folder") from error
    wanted = _flat(settings)
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{folder} holds a {what} with {name} = {found.get(name)!r}, and this one has {wanted.get(name)!r}"
            f"{f' (one of {len(differing)} settings that differ)' if differing[1:] else ''}; "
            "give a new folder, or the old settings"
        )


def write_part(path: Path, part: object) -> None:
    """Write a part, which is plain values, in one step."""
    _write(path, part)


def read_part(path: Path, build: Callable[..., Part]) -> Part:
    """Return the object that `build` makes from the part in a file.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    try:
        return build(_read(path))
    except _UNREADABLE as error:
        raise ValueError(f"cannot read {path} ({error}); remove it, and it will be made again") from error


def read_record(text: str, build: Callable[..., Part], what: str, how_to_get_it: str) -> Part:
    """Return the object that `build` makes from a record's text; `what` and `how_to_get_it` are for the message.

    Where a dataclass that `build` makes has a number, a string or a bool, the record must have one too.

    Raises:
        ValueError: the text is not JSON, is nested too deeply, or holds something else.
    """
    try:
        found = build(json.loads(text, parse_constant=_no_number))
        _need_plain_fields(found)
        return found
    except (KeyError, *_UNREADABLE) as error:
        raise ValueError(f"this is not a recorded {what} ({error}); {how_to_get_it}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _need_plain_fields(value: object) -> None:
    """Check that there are numbers, strings and bools where the dataclasses in `value` declare them."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            _need_plain_fields(part)
    elif is_dataclass(value):
        kinds = get_type_hints(type(value))
        for field in fields(value):
            part, kind = getattr(value, field.name), kinds[field.name]
            if kind in _PLAIN and type(part) not in _PLAIN[kind]:
                raise ValueError(f"{field.name} is {shown(part)}")
            _need_plain_fields(part)


_PLAIN = {int: (int,), float: (float, int), str: (str,), bool: (bool,)}  # JSON has one kind of numbers


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings under names such as "plan.epochs"."""
    flat: dict[str, object] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {prefix + name: value}
    return flat


def _write(path: Path, content: object, indent: int | None = None) -> None:
    write_file(path, sealed(json.dumps({"sha256": UNSEALED, "content": content}, indent=indent).encode()))


def _read(path: Path) -> object:
    text = path.read_bytes()
    values = json.loads(text)
    if not isinstance(values, dict) or not {"sha256", "content"} & values.keys():
        return values  # from an earlier version
    if not seal_holds(text, values.get("sha256")):
        raise ValueError("its content is not what was written: the sha256 in it differs")
    return values["content"]
