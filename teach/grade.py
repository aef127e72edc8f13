"""python -m teach.grade FOLDER [--out DIR]: grades a folder of submitted notebooks.

Writes grades.csv and report.html into DIR, by default the folder FOLDER-grades next to it.
What this protects against, and what not: see teach.grading.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from mini_lib.files import write_file
from teach.grading.gradebook import Gradebook, grade_class
from teach.grading.lesson import Lesson, find_lessons
from teach.grading.limits import GIB, Limits
from teach.grading.report import cannot_hold, report
from teach.grading.table import table


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 where the class was graded, 2 with one line on stderr where it could not be."""
    wanted = _parser().parse_args(arguments)
    folder = wanted.folder.resolve()
    out = wanted.out.resolve() if wanted.out else folder.with_name(folder.name + "-grades")
    try:
        limits = Limits(wanted.time_limit_s, wanted.step_limit_s, wanted.memory_limit_gib * GIB)
        lessons = _chosen(find_lessons(), wanted.lesson)
        with tqdm(unit=" submissions", file=sys.stderr) as bar:
            if out.exists() and not out.is_dir():  # rather now than after an hour
                raise ValueError(f"{out} is a file; expected a folder for grades.csv and report.html")
            book = grade_class(folder, lessons, limits=limits, jobs=wanted.jobs, besides=out, progress=_show_on(bar))
        write(book, out)
    except (ValueError, OSError) as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    for sentence in cannot_hold(book.protections):
        print(f"grade: {sentence}", file=sys.stderr)
    print(f"{len(book.rows)} submissions: {out / 'grades.csv'}, {out / 'report.html'}")
    return 0


def write(book: Gradebook, folder: Path) -> None:
    """Writes grades.csv and report.html into `folder`, which is made where it is missing; each whole or not at all.

    Raises:
        OSError: one of them cannot be written, as on a full disk.
    """
    # The mark at the start ("utf-8-sig") makes Excel read names as UTF-8. JSON can hold half characters: "?" for those.
    contents = {
        "grades.csv": table(book).encode("utf-8-sig", "replace"),
        "report.html": report(book).encode("utf-8", "replace"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        try:
            write_file(folder / name, content)
        except OSError as error:
            why = error.strerror or error
            raise OSError(f"{folder / name} cannot be written ({why}); what was there is as it was") from error


def _chosen(lessons: tuple[Lesson, ...], number: str | None) -> tuple[Lesson, ...]:
    if number is None:
        return lessons
    chosen = tuple(lesson for lesson in lessons if lesson.number == number.zfill(2))
    if not chosen:
        known = ", ".join(lesson.number for lesson in lessons)
        raise ValueError(f"lesson {number!r} is not here; expected one of {known}")
    return chosen


def _show_on(bar: tqdm) -> Callable[[int, int], None]:
    def show(done: int, all: int) -> None:
        bar.total = all
        bar.update(done - bar.n)

    return show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m teach.grade", description="Grade a folder of submitted notebooks.")
    parser.add_argument(
        "folder",
        type=Path,
        help="the submitted notebooks: one file or one sub-folder per student, or an LMS's download",
    )
    parser.add_argument("--out", type=Path, help="folder for grades.csv and report.html (FOLDER-grades)")
    parser.add_argument("--lesson", help="grade this lesson only, such as 02")
    parser.add_argument("--jobs", type=int, default=2, help="submissions graded at once (2)")
    parser.add_argument("--time-limit-s", type=float, default=120, help="seconds for one submission (120)")
    parser.add_argument("--step-limit-s", type=float, default=20, help="seconds for one cell or exercise (20)")
    parser.add_argument("--memory-limit-gib", type=float, default=4, help="memory for one submission, in GiB (4)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
