"""Which Pythons the course runs on: those that its packages are built for, as pyproject.toml says."""

import re
import subprocess
import sys
from pathlib import Path

from launcher.stop import Stop


def need_python(version, requires):
    """Make sure that the course runs on a Python, such as "3.15"; `requires` is such as ">=3.11,<3.15".

    Raises:
        Stop: it does not; the message says which do.
    """
    if not fits(version, requires):
        oldest, newest = bounds(requires)
        raise Stop(
            f"the course runs on Python 3.{oldest} to 3.{newest}, but this is Python {version}, which its packages are "
            f"not built for: install Python 3.{newest} as well, then run `python3.{newest} course.py lab` (on Windows "
            f"`py -3.{newest} course.py lab`)"
        )


def fits(version, requires):
    """Whether a Python such as "3.15" is within ">=3.11,<3.15"."""
    oldest, newest = bounds(requires)
    major, minor = (int(part) for part in version.split("."))
    return major == 3 and oldest <= minor <= newest


def bounds(requires):
    """The oldest and the newest minor version of ">=3.11,<3.15": 11 and 14."""
    oldest, above = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", requires).groups()
    return int(oldest), int(above) - 1


def version_of(python):
    """The version "3.11" of an interpreter, or None where it does not run, as after its base Python was removed."""
    if Path(python) == Path(sys.executable):
        return "{}.{}".format(*sys.version_info)
    question = [str(python), "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
    try:
        return subprocess.run(question, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
