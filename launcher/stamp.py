"""The stamp of an environment: what it was filled for."""

import json
import os

STAMP = "course-setup.json"


def read_stamp(environment):
    """What the environment was filled for, or {} where that is not known."""
    try:
        stamp = json.loads((environment.folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return stamp if is_stamp(stamp) else {}


def is_stamp(stamp):
    """Whether this has the shape of what `write_stamp` writes: one with other values is none."""
    if not isinstance(stamp, dict):
        return False
    extras = stamp.get("extras", [])
    named = isinstance(extras, list) and all(isinstance(extra, str) for extra in extras)
    return named and stamp.get("model") in (None, True, False)


def write_stamp(environment, stamp):
    """Write the stamp in one step, so that it is never half there."""
    temporary = environment.folder / (STAMP + ".tmp")
    temporary.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    os.replace(temporary, environment.folder / STAMP)
