"""A folder that holds a study part by part, in JSON: opened with the settings of before, and read back."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from mini_lib.files import write_file

Part = TypeVar("Part")
_SETTINGS = "settings.json"


def open_parts(folder: Path, settings: Mapping[str, object], what: str = "study") -> None:
    """Make the folder, or make sure that its parts were made with these settings, given as plain values.

    Raises:
        ValueError: they were made with others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _SETTINGS
    if not path.exists():
        write_file(path, json.dumps(settings, indent=1).encode())
    elif json.loads(path.read_text(encoding="utf-8")) != settings:
        raise ValueError(f"{folder} holds a {what} with other settings, see {path.name} in it; give a new folder")


def read_part(path: Path, build: Callable[..., Part]) -> Part:
    """Return what `build` makes of the JSON in a file.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"cannot read {path} ({error}); remove it, and it will be made again") from error
