"""Who handed in what: the notebooks in a folder, in the layouts that learning platforms give.

Flat (`alice.ipynb`), a folder for each student (`alice/02_bits.ipynb`; nbgrader, GitHub Classroom), and the downloads
of Moodle, Canvas and Blackboard.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# Never handed in: what programs leave next to notebooks, as well as all that starts with a dot.
LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini", "node_modules", "site-packages"}
OF_THE_COURSE = {"solutions", "slides", "tests"}  # in a student's clone of it; a student may have such a name
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
MOST_DEPTH = 50  # folders within a student's folder
RESULTS = {"grades.csv", "report.html"}  # where they are written among the hand-ins

MOODLE = re.compile(r"(?P<student>.+?)_\d+_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)")
CANVAS = re.compile(r"(?P<student>[^_]+)(?:_LATE)?_\d+_\d+_(?P<rest>.+)")
BLACKBOARD = re.compile(r".+_(?P<student>[^_]+)_attempt_\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d_?(?P<rest>.*)")


@dataclass(frozen=True)
class Submission:
    """Something that somebody handed in; `path` is None where it is no notebook, and `note` says so."""

    student: str
    file: str  # below the class's folder, with "/" on every system
    path: Path | None
    note: str = ""


def find_submissions(folder: Path, lesson_names: tuple[str, ...] = (), besides: Path | None = None) -> list[Submission]:
    """Every hand-in in `folder`, by student and file: all that lies in it, but nothing from the folder `besides`.

    `lesson_names`, such as "02_bits", are taken off a flat file's name: 02_bits_alice.ipynb is alice's.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; expected the folder of the submitted notebooks")
    here = besides is not None and besides.resolve() == folder.resolve()
    found = []
    for place in folder.iterdir():
        if not _counts(place, besides) or (here and place.name in RESULTS):
            continue
        if place.is_dir() and not place.is_symlink():
            found += _of_student(place, besides)
        else:
            file = _readable(place.name)
            found.append(_of_file(place, student_of(file, lesson_names), file))
    return sorted(found, key=lambda submission: (submission.student.casefold(), submission.student, submission.file))


def _of_student(folder: Path, besides: Path | None) -> list[Submission]:
    """What a student's folder holds: notebooks, and what was meant to be one; one line where there is nothing."""
    name = _readable(folder.name)
    student = _student_folder(name)
    found, notes, left = [], [], [(folder, 0)]
    while left:
        place, depth = left.pop()
        try:
            inside = sorted(path for path in place.iterdir() if _counts(path, besides))
        except OSError as error:
            notes.append(f"a folder in it cannot be read: {error.strerror}")
            continue
        for path in inside:
            is_link = path.is_symlink()
            if path.is_dir() and not is_link:
                if path.name in OF_THE_COURSE:
                    notes.append(f"the contents of {_readable(path.name)}/ are taken for the course's own files")
                elif depth == MOST_DEPTH:
                    notes.append(f"folders in it are nested more than {MOST_DEPTH} deep")
                else:
                    left.append((path, depth + 1))
            elif is_link or _is_meant(path.name):
                found.append(_of_file(path, student, _readable(path.relative_to(folder.parent).as_posix())))
    if found:
        return found
    return [Submission(student, name + "/", None, "; ".join(dict.fromkeys(["no notebook in this folder", *notes])))]


def _of_file(path: Path, student: str, file: str) -> Submission:
    name = path.name.lower()
    if name.endswith(".ipynb"):  # `read_notebook` says what is wrong with it
        return Submission(student, file, path)
    if path.is_symlink():
        return Submission(student, file, None, "is a link, expected the hand-in itself: copy it here")
    if name.endswith(ARCHIVES):
        return Submission(student, file, None, "is an archive, expected a notebook: unpack it here")
    ending = f"its name ends in {path.suffix}" if path.suffix else "its name has no ending"
    return Submission(student, file, None, f"{_readable(ending)}, expected .ipynb: rename it if it is a notebook")


def _is_meant(name: str) -> bool:
    """Whether a file in a student's folder was handed in as a notebook: not its data, not an editor's copy."""
    name = name.lower()
    return name.endswith((".ipynb", *ARCHIVES)) or (".ipynb." in name and not name.endswith("~"))


def student_of(file: str, lesson_names: tuple[str, ...] = ()) -> str:
    """Whose a file is, by its place and name.

    >>> student_of("alice.ipynb"), student_of("alice/02_bits.ipynb"), student_of("02_bits_alice.ipynb", ("02_bits",))
    ('alice', 'alice', 'alice')
    >>> student_of("Jane Doe_4711_assignsubmission_file_/02_bits.ipynb")
    'Jane Doe'
    >>> student_of("alice.ipynb.txt"), student_of("alice.tar.gz")
    ('alice', 'alice')
    >>> student_of("doejane_LATE_12_345_02_bits-1.ipynb"), student_of("hw2_s12_attempt_2026-03-01-10-00-00_a.ipynb")
    ('doejane', 's12')
    """
    first, *rest = file.split("/")
    if rest:
        return _student_folder(first)
    stem = re.sub(r"(?i)(\.ipynb(\..*)?|\.tar\.\w+|\.\w+)$", "", first) or first
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
        place.name not in LITTER
        and not place.name.startswith(".")
        and (besides is None or place.resolve() != besides.resolve())
    )


def _readable(name: str) -> str:
    """A file's name as text that can be written to a table, also where the system holds bytes that are no text."""
    return os.fsencode(name).decode("utf-8", "replace")
