"""What the course remembers between sessions: one small JSON file per entry.

An entry is written whole or not at all, and two kernels that write different entries never touch the same file. A file
that cannot be read is set aside, never deleted.
"""

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from mini_lib.files import write_file


def home() -> Path:
    """Return the folder of everything remembered: COURSE_HOME, or `.course` next to the notebook."""
    return Path(os.environ.get("COURSE_HOME") or Path.cwd() / ".course")


def save(kind: str, key: str, entry: dict[str, Any]) -> None:
    """Write one entry, in the place of an older one with the same key.

    Raises:
        OSError: the folder cannot be written, or what is in the entry's place is not a file.
    """
    path = _path(kind, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps({"key": key, **entry}, indent=1).encode())


def load(kind: str, key: str) -> dict[str, Any] | None:
    """Return one entry, or None where there is none that can be read."""
    return _read(_path(kind, key))


def load_all(kind: str) -> list[dict[str, Any]]:
    """Return every entry of a kind that can be read, in the order of their file names."""
    entries = (_read(path) for path in sorted((home() / kind).glob("*.json")))
    return [entry for entry in entries if entry is not None]


def set_aside(kind: str) -> list[Path]:
    """Return the files of a kind that could not be read and were renamed."""
    return sorted((home() / kind).glob("*.damaged*"))


def _path(kind: str, key: str) -> Path:
    safe = re.sub(r"[^A-Za-z0-9.-]+", "_", key)[:60]
    if safe != key:  # two keys must never share a file
        safe += "-" + hashlib.sha256(key.encode()).hexdigest()[:8]
    return home() / kind / f"{safe}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except OSError:  # no such entry, or a folder that may not be read
        return None
    except ValueError:  # not JSON, or not text at all
        entry = None
    if isinstance(entry, dict) and isinstance(entry.get("key"), str):
        return entry
    aside = path.with_suffix(".damaged")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_suffix(f".damaged-{number}")
    with suppress(OSError):  # another kernel was first, or the folder is read-only
        path.rename(aside)
    return None
