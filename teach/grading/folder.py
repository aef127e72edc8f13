"""Who handed in what: the notebooks in a folder, in the layouts that learning platforms give.

Flat (`alice.ipynb`), a folder for each student (`alice/02_bits.ipynb`; nbgrader, GitHub Classroom), and the downloads
of Moodle, Canvas and Blackboard.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# Not handed in: what programs leave beside notebooks, and the course's own files in a student's clone of it.
LEFT_OUT = {"__MACOSX", "solutions", "slides", "tests", "node_modules", "site-packages"}

MOODLE = re.compile(r"(?P<student>.+?)_\d+_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)")
CANVAS = re.compile(r"(?P<student>[^_]+)(?:_LATE)?_\d+_\d+_(?P<rest>.+)")
BLACKBOARD = re.compile(r".+_(?P<student>[^_]+)_attempt_\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d_?(?P<rest>.*)")


@dataclass(frozen=True)
class Submission:
    """A file that somebody handed in; `path` is None for a student whose folder holds no notebook."""

    student: str
    file: str  # below the class's folder, with "/" on every system
    path: Path | None


def find_submissions(folder: Path, lesson_names: tuple[str, ...] = (), besides: Path | None = None) -> list[Submission]:
    """Every notebook in `folder`, by student and file; nothing from the folder `besides`.

    `lesson_names`, such as "02_bits", are taken off a flat file's name: 02_bits_alice.ipynb is alice's.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; expected the folder of the submitted notebooks")
    found = []
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if _counts(Path(place, name), besides)]
        for name in files:
            if name.lower().endswith(".ipynb") and not name.startswith("."):
                path = Path(place, name)
                file = _readable(path.relative_to(folder).as_posix())
                found.append(Submission(student_of(file, lesson_names), file, path))
    with_notebook = {submission.file.split("/")[0] for submission in found}
    for place in folder.iterdir():
        name = _readable(place.name)
        if place.is_dir() and not place.is_symlink() and _counts(place, besides) and name not in with_notebook:
            found.append(Submission(_student_folder(name), name + "/", None))
    return sorted(found, key=lambda submission: (submission.student.casefold(), submission.student, submission.file))


def student_of(file: str, lesson_names: tuple[str, ...] = ()) -> str:
    """Whose a file is, by its place and name.

    >>> student_of("alice.ipynb"), student_of("alice/02_bits.ipynb"), student_of("02_bits_alice.ipynb", ("02_bits",))
    ('alice', 'alice', 'alice')
    >>> student_of("Jane Doe_4711_assignsubmission_file_/02_bits.ipynb")
    'Jane Doe'
    >>> student_of("doejane_LATE_12_345_02_bits-1.ipynb"), student_of("hw2_s12_attempt_2026-03-01-10-00-00_a.ipynb")
    ('doejane', 's12')
    """
    first, *rest = file.split("/")
    if rest:
        return _student_folder(first)
    stem = first.rsplit(".", 1)[0]
    for pattern in (MOODLE, BLACKBOARD, CANVAS):
        if match := pattern.fullmatch(stem):
            return match["student"]
    for name in lesson_names:
        for shorter in (stem.removeprefix(name), stem.removesuffix(name)):
            if shorter != stem and shorter.strip(" _-."):
                return shorter.strip(" _-.")
    return stem


def _student_folder(name: str) -> str:
    for pattern in (MOODLE, BLACKBOARD):
        if match := pattern.fullmatch(name):
            return match["student"]
    return name


def _counts(place: Path, besides: Path | None) -> bool:
    return (
        place.name not in LEFT_OUT
        and not place.name.startswith(".")
        and (besides is None or place.resolve() != besides.resolve())
    )


def _readable(name: str) -> str:
    """A file's name as text that can be written to a table, also where the system holds bytes that are no text."""
    return os.fsencode(name).decode("utf-8", "replace")
