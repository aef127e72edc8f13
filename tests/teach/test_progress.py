"""progress: how many of how many, and what is still open."""

import importlib

import pytest
from sample_exercises import SCALE

import teach as teach
from teach import store
from teach.exercise import Case, Exercise
from teach.exercises import lessons
from teach.judge import judge
from teach.verdict import Verdict

module = importlib.import_module("teach.progress")


@pytest.fixture(autouse=True)
def two_lessons(tmp_path, monkeypatch):
    made = {n: [Exercise(f"{n}.{k}", "t", len, [Case([1])], []) for k in range(1, 4)] for n in (1, 2)}
    monkeypatch.setattr(module, "lessons", lambda: (1, 2))
    monkeypatch.setattr(module, "exercises_of", made.__getitem__)
    monkeypatch.setattr(module, "_checked", [])
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))


def passes(*ids):
    for id in ids:
        module.record(Verdict(id, "t", "passed", ""))


def test_passed_of_all():
    assert repr(teach.progress()).splitlines()[0] == "0 of 6 exercises"
    passes("1.1", "1.2", "1.3", "2.2")
    assert repr(teach.progress()).splitlines() == [
        "4 of 6 exercises",
        "Lesson 2 few bits: 1 of 3, still open: 2.1, 2.3",  # checked last
        "Lesson 1 measuring: 3 of 3, still open: none",
    ]
    html = teach.progress()._repr_html_()
    for said in ("4 of 6 exercises", "1 measuring", "3 of 3", "none", "2.1, 2.3"):
        assert said in html


def test_the_lesson_checked_last_comes_first_even_where_nothing_was_attempted():
    def order():
        return [lesson.lesson for lesson in teach.progress().lessons]

    assert order() == [1, 2]
    module.record(Verdict("2.1", "t", "not attempted", ""))
    assert order() == [2, 1]
    passes("1.3")
    assert order() == [1, 2]


def test_a_lesson_that_was_not_begun_has_one_short_line():
    assert repr(teach.progress()).splitlines()[1:] == [
        "Lesson 1 measuring: 0 of 3, still open: all",
        "Lesson 2 few bits: 0 of 3, still open: all",
    ]


def test_every_lesson_has_a_name_of_its_own(monkeypatch):
    monkeypatch.undo()
    assert set(lessons()) <= set(module.NAMES)
    assert len(set(module.NAMES.values())) == len(module.NAMES)


def test_a_wrong_try_does_not_count():
    module.record(judge(SCALE, lambda w, bits: 1.0))
    assert len(store.load_all("exercises-tried")) == 1
    assert repr(teach.progress()).startswith("0 of 6 exercises")


def test_an_exercise_that_no_longer_exists_does_not_count():
    passes("2.9")
    assert repr(teach.progress()).startswith("0 of 6 exercises")


def test_damage_is_mentioned_and_the_rest_still_counts(tmp_path):
    passes("1.1", "1.2")
    (tmp_path / "exercises-passed" / "1.1.json").write_text("{")
    found = teach.progress()
    assert repr(found).startswith("1 of 6 exercises")
    assert "1 damaged file(s) set aside" in repr(found) and "set aside" in found._repr_html_()
