"""The grader as a teacher calls it, on the course's own lessons."""

import csv
import errno
import re
import shutil
from dataclasses import replace

import pytest
from grading_class.notebooks import as_notebook, code

from teach import grade
from teach.grading.gradebook import Gradebook, grade_class
from teach.grading.lesson import LESSONS, Lesson, find_lessons
from teach.grading.limits import Limits
from teach.grading.report import cannot_hold, report
from teach.grading.steps import is_built, steps_of

SOLUTIONS = LESSONS.parent / "solutions"


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Lesson 02 solved and as it was handed out, and something else, graded by the command."""
    folder = tmp_path_factory.mktemp("class")
    for kind, place in (("solved", SOLUTIONS), ("open", LESSONS)):
        (notebook,) = place.glob("02_*.ipynb")
        shutil.copy(notebook, folder / f"{notebook.stem}_{kind}.ipynb")
    (folder / "zed.ipynb").write_text(as_notebook([code("a", "x = 1")]))
    assert grade.main([str(folder), "--lesson", "2", "--jobs", "2"]) == 0
    with open(f"{folder}-grades/grades.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def lesson_02():
    return next(lesson for lesson in find_lessons() if lesson.number == "02")


def test_the_solution_has_full_marks_and_the_lesson_none(graded, lesson_02):
    ids = [exercise.id for exercise in lesson_02.exercises]
    unsolved, solved, other = graded
    assert [row["student"] for row in graded] == ["open", "solved", "zed"]
    assert [solved[id] for id in ids] == ["passed"] * len(ids)
    assert [unsolved[id] for id in ids] == ["not attempted"] * len(ids)
    assert (solved["points"], unsolved["points"], other["points"]) == (str(lesson_02.points), "0", "0")
    assert (solved["note"], unsolved["note"], other["note"]) == (
        "",
        "",
        f"holds no exercise of {lesson_02.notebook.stem}",
    )


@pytest.mark.parametrize("lesson", find_lessons(), ids=lambda lesson: lesson.number)
def test_the_cells_of_a_lesson_are_known(lesson):
    nameless = [cell for cell, _ in lesson.cells if re.fullmatch(r"[0-9a-f]{10}(_\d+)?", cell.id)]
    assert nameless and all(map(is_built, nameless))
    steps = steps_of(list(lesson.cells), lesson)
    assert [step.exercise for step in steps if step.exercise] == [exercise.id for exercise in lesson.exercises]


def test_a_lesson_that_is_not_here(tmp_path, capsys):
    assert grade.main([str(tmp_path), "--lesson", "77"]) == 2
    known = ", ".join(lesson.number for lesson in find_lessons())
    assert capsys.readouterr().err == f"grade: lesson '77' is not here; expected one of {known}\n"


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert grade.main([str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 2
    assert "is not a folder; expected the folder of the submitted notebooks" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


EMPTY = Gradebook((), (), Limits(), frozenset({"memory", "files", "processes and network"}))


@pytest.mark.parametrize("kept", [None, "as it was"])
def test_a_full_disk_leaves_each_file_whole(tmp_path, monkeypatch, kept):
    if kept is not None:
        (tmp_path / "grades.csv").write_text(kept)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mini_lib.files.os.fsync", full)
    with pytest.raises(OSError) as caught:
        grade.write(EMPTY, tmp_path)
    where = tmp_path / "grades.csv"
    assert str(caught.value) == f"{where} cannot be written (No space left on device); what was there is as it was"
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if kept is None else [kept])


def test_results_into_a_file(tmp_path, capsys):
    (tmp_path / "class").mkdir()
    (tmp_path / "out").touch()
    assert grade.main([str(tmp_path / "class"), "--out", str(tmp_path / "out")]) == 2
    assert "out is a file; expected a folder for grades.csv and report.html" in capsys.readouterr().err


def test_the_report_says_what_the_system_cannot_hold():
    assert cannot_hold(EMPTY.protections) == []
    assert cannot_hold({"files", "processes and network"}) == ["This system does not limit a submission's memory."]
    _, files, processes, alone = cannot_hold(())
    assert "reading and changing files" in files and "signals" in processes and "Python's audit hook" in alone
    page = report(replace(EMPTY, protections=frozenset({"files"})))
    assert (
        "does not limit a submission's memory" in page
        and "from writing outside its own folder" in page
        and "virtual" in page
    )
    assert "The kernel kept it from the network" not in page


def test_lessons_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="expected NN_topic.ipynb: grade from a clone of the course"):
        find_lessons(tmp_path)


def test_exercises_that_cannot_be_loaded(tmp_path):
    (tmp_path / "a.ipynb").write_text(as_notebook([code("a", "x = 1")]))
    broken = Lesson("90", "no_such_module", tmp_path / "a.ipynb")
    with pytest.raises(ValueError, match=r"expected the lessons to load:[\s\S]*No module named 'no_such_module'"):
        grade_class(tmp_path, [broken])


@pytest.mark.parametrize(
    ("how", "message"),
    [({"lessons": []}, "no lessons to grade; expected at least one"), ({"jobs": 0}, "jobs is 0; expected at least 1")],
)
def test_what_cannot_be_graded(tmp_path, how, message):
    with pytest.raises(ValueError) as caught:
        grade_class(tmp_path, **({"lessons": find_lessons()} | how))
    assert str(caught.value) == message
