"""The packages of an environment: whether what pip was asked for is there, and which are only half there."""

import csv
import shutil

# What pip was asked for must be there in the end: its own settings may have sent it elsewhere, though it ended well.
# The arguments are a file of the course, and then what was asked for.
LOOK_AT_PACKAGES = """
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
try:
    from pip._vendor.packaging.requirements import Requirement
except ImportError:  # a pip of another make: nothing can be said
    sys.exit()

def is_there(wanted):
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except (PackageNotFoundError, ValueError, TypeError):  # not there, or with a version that is none
        return False

_, file, *asked = sys.argv
wanted = [Requirement(line) for line in asked]
lacking = [str(one) for one in wanted if (one.marker is None or one.marker.evaluate()) and not is_there(one)]
course = find_spec("mini_lib")
if course is None or not os.path.exists(course.origin or "") or not os.path.samefile(course.origin, file):
    lacking.append("the course")
if lacking:
    sys.exit("The environment lacks " + ", ".join(lacking) + ".")
"""


def forget_half_installed(environment):
    """Remove the record of every package whose files are not all there, so that pip installs it again. Return their
    names.

    A set-up that was killed can leave such packages, and pip takes them for installed.
    """
    sites = [*environment.folder.glob("lib/python3.*/site-packages"), *environment.folder.glob("Lib/site-packages")]
    half = sorted({info for site in sites for info in site.glob("*.dist-info") if not is_whole(info)})
    for info in half:
        shutil.rmtree(info) if info.is_dir() else info.unlink()
    return [info.name.removesuffix(".dist-info") for info in half]


def is_whole(info):
    """Whether every file that a package's RECORD lists is there with its size. conda looks after its own packages."""
    try:
        return lists_what_is_there(info)
    except (OSError, ValueError, csv.Error):  # no RECORD; bytes that are no text, or text that is no table of sizes
        return False


def lists_what_is_there(info):
    """What `is_whole` says of a RECORD that can be read."""
    installer, record = info / "INSTALLER", info / "RECORD"
    if installer.is_file() and installer.read_text(encoding="utf-8").strip() == "conda":
        return True
    with record.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            if len(row) != 3:
                return False
            path, _, size = row
            file = info.parent / path
            if "__pycache__" in path:  # Python writes these again when it wants them
                continue
            if not file.exists() or (size and file.stat().st_size != int(size)):
                return False
    return True
