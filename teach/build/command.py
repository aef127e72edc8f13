"""The builder's command: `python -m teach.build [--check] [--lessons-only] [--texts] [--page] [--minutes] [NN ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat

from teach.build import claims, drift, outputs, pages, report, rules, seconds
from teach.build.execute import execute
from teach.build.notebook import as_text, lesson_notebook, solution_notebook, write
from teach.build.reuse import reuse
from teach.build.source import Source, read_source

ROOT = Path(__file__).parents[2]

Exercises = Callable[[int], Sequence]


def exercises_of(lesson: int) -> Sequence:
    """The exercises of a lesson as mini_lib has them; none where it has no file for that lesson."""
    from teach import exercises

    return exercises.exercises_of(lesson) if lesson in exercises.lessons() else ()


def build(
    path: Path,
    root: Path,
    exercises: Exercises,
    lessons_only: bool = False,
    texts_only: bool = False,
    say: Callable = print,
) -> None:
    """Build the notebooks of one source; nothing is written unless all of it is right.

    Claims are the exception: where numbers have parted from the text, the notebooks are written, since they have the
    numbers, and the build fails all the same.

    Raises:
        ValueError: every problem found, one per line.
    """
    source, points = checked(path, exercises)
    parted = []
    if not lessons_only:
        solution = solution_notebook(source, points)
        built = root / "solutions" / f"{path.stem}.ipynb"
        if texts_only and not built.exists():
            raise ValueError(f"solutions/{built.name} has not been built yet; build without --texts")
        run = reuse(source, solution, nbformat.read(built, as_version=4)) if texts_only else execute(solution)
        found = outputs.problems(solution, root)
        if run and not found:
            seconds.record(source, run.cell_s, {cell.id for cell in lesson_notebook(source, points).cells})
            solution.cells[0].source = solution_notebook(source, points).cells[0].source  # its minutes, as recorded now
        text = as_text(solution)
        size_bytes = len(text.encode("utf-8"))
        if size_bytes >= outputs.LARGEST_BYTES:
            found.append(f"{size_bytes} bytes with its outputs; a notebook stays under {outputs.LARGEST_BYTES}")
        if found:
            raise ValueError("\n".join(f"{path.parent.name}/{path.stem}.ipynb: {problem}" for problem in found))
        write(built, text)
        parted = claims.problems(source, solution)
        if run:
            first_line = next(cell.source.partition("\n")[0] for cell in solution.cells if cell.id == run.slowest)
            say(
                f"{path.stem}: {len(solution.cells)} cells ran in {run.total_s:.1f} s, {size_bytes / 1000:.0f} kB; "
                f"the slowest took {run.cell_s[run.slowest]:.1f} s: {first_line[:60]}"
            )
    write(root / "lessons" / f"{path.stem}.ipynb", as_text(lesson_notebook(source, points)))
    if parted:
        raise ValueError("\n".join(f"solutions/{path.stem}.ipynb: {problem}" for problem in parted))


def checked(path: Path, exercises: Exercises) -> tuple[Source, dict[str, float]]:
    """A source that no rule objects to, and the points of its exercises."""
    source = read_source(path)
    data = exercises(source.lesson)
    found = rules.problems(source, data)
    if source.lesson not in pages.NOT_YET:
        found += pages.problems(source)
    if found:
        raise ValueError("\n".join(found))
    return source, {exercise.id: exercise.points for exercise in data}


def check(paths: Sequence[Path], root: Path, exercises: Exercises) -> list[str]:
    """What of the given sources' notebooks is not as the sources would give it today; nothing is executed."""
    found = drift.orphans(root)
    for path in paths:
        try:
            source, points = checked(path, exercises)
        except ValueError as error:
            found.append(str(error))
            continue
        lesson, solution = root / "lessons" / f"{path.stem}.ipynb", root / "solutions" / f"{path.stem}.ipynb"
        if lesson.exists():
            found += drift.lesson_drift(source, points, lesson)
        if solution.exists():
            found += drift.solution_drift(source, points, solution, root)
    return found


def main(arguments: Sequence[str] | None = None, root: Path = ROOT, exercises: Exercises = exercises_of) -> int:
    """The command; returns its exit status."""
    about = "Build the notebooks of the lessons from solutions/NN_topic.py."
    parser = argparse.ArgumentParser(prog="python -m teach.build", description=about)
    parser.add_argument("lessons", nargs="*", metavar="NN", help="lesson numbers; all where none is given")
    parser.add_argument("--check", action="store_true", help="compare what is there with the sources; write nothing")
    parser.add_argument("--lessons-only", action="store_true", help="build lessons/ without executing the solutions")
    parser.add_argument("--texts", action="store_true", help="only text has changed: keep the outputs, execute nothing")
    parser.add_argument("--page", action="store_true", help="say what makes a page less quiet; build nothing")
    parser.add_argument("--minutes", action="store_true", help="print the minutes of the lessons; build nothing")
    options = parser.parse_args(arguments)

    paths = sorted((root / "solutions").glob("[0-9][0-9]_*.py"))
    for number in options.lessons:
        if not any(path.name.startswith(f"{number:0>2}_") for path in paths):
            parser.error(f"no source for lesson {number} in {root / 'solutions'}")
    if not paths:
        parser.error(f"no source of a lesson in {root / 'solutions'}; build in a clone of the course")
    wanted = {f"{number:0>2}" for number in options.lessons}
    paths = [path for path in paths if not wanted or path.name[:2] in wanted]
    if options.page or options.minutes:
        print(report.minutes_table(paths) if options.minutes else "\n".join(report.page(path) for path in paths))
        return 0
    found = check(paths, root, exercises) if options.check else []
    for path in () if options.check else paths:
        try:
            build(path, root, exercises, options.lessons_only, options.texts)
        except ValueError as error:
            found.append(str(error))
    if found:
        print("\n".join(found), file=sys.stderr)
    elif options.check:
        print("every notebook is as its source says")
    return 1 if found else 0
