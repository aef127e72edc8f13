"""Exercises as data: what they hold, what they refuse, and how they are found."""

import sys

import pytest
import torch
from sample_exercises import SCALE, symmetric_scale

from teach import exercises
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases


def test_the_function_and_its_arguments_are_named_after_the_reference():
    assert SCALE.function == "symmetric_scale"
    assert SCALE.parameters == ("w", "bits")
    assert SCALE.lesson == 2


def test_the_learners_names_can_differ_from_the_references():
    exercise = Exercise("1.1", "t", symmetric_scale, [Case(3, 4)], [], function="scale", parameters=("weight", "b"))
    assert exercise.function == "scale"
    assert exercise.arguments(exercise.cases[0]) == {"weight": 3, "b": 4}


def test_arguments_of_a_builtin_without_a_signature_are_numbered():
    exercise = Exercise("1.1", "t", max, [Case(3, 4)], [])
    assert exercise.arguments(exercise.cases[0]) == {"argument 1": 3, "argument 2": 4}


def test_random_cases_repeat_with_their_seed_and_differ_from_each_other():
    def make(generator):
        return Case(torch.randn(3, generator=generator))

    one, again, other = (random_cases(2, seed=seed, make=make) for seed in (0, 0, 1))
    assert torch.equal(one[1].args[0], again[1].args[0])
    assert not torch.equal(one[0].args[0], one[1].args[0])
    assert not torch.equal(one[0].args[0], other[0].args[0])


def test_a_named_case_leaves_the_unnamed_one_alone():
    case = Case(1)
    assert case.called("one").name == "one" and case.name is None


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(id="2"), "id is '2'; expected lesson.exercise, such as '2.1'"),
        (dict(id="02.1"), "id is '02.1'"),
        (dict(reference=lambda w: w), "'<lambda>' is not a function's name; give function="),
        (dict(cases=[]), r"exercise 1.1 has no cases; give at least one Case\(...\)"),
        (dict(mistakes=[Mistake(abs, "No."), Mistake(len, "No.")]), "two mistakes or symptoms say the same, 'No.'"),
        (
            dict(mistakes=[Mistake(abs, "No.")], symptoms=[Symptom(max, "No.", [abs])]),
            "two mistakes or symptoms say the same, 'No.'",
        ),
        (dict(symptoms=[Symptom(max, "No.", [])]), "the symptom 'No.' has no example; give it a wrong answer"),
    ],
)
def test_an_exercise_that_cannot_work_is_refused(given, message):
    good = dict(id="1.1", title="t", reference=symmetric_scale, cases=[Case(1)], mistakes=[])
    with pytest.raises(ValueError, match=message):
        Exercise(**(good | given))


@pytest.fixture
def a_course(tmp_path, monkeypatch):
    """A package of exercises with lessons 02 and 05, and nothing else."""
    for number in ("02", "05"):
        ids = f"{int(number)}.1", f"{int(number)}.2"
        made = ", ".join(f"Exercise('{i}', 't', len, [Case([1])], [])" for i in ids)
        source = f"from teach.exercise import Case, Exercise\nEXERCISES = ({made},)\n"
        (tmp_path / f"lesson_{number}.py").write_text(source)
    monkeypatch.setattr(exercises, "__path__", [str(tmp_path)])
    modules = [name for name in sys.modules if name.startswith("teach.exercises.lesson_")]
    for name in (*modules, "teach.exercises.lesson_02", "teach.exercises.lesson_05"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for number in ("02", "05"):
        sys.modules.pop(f"teach.exercises.lesson_{number}", None)
        exercises.__dict__.pop(f"lesson_{number}", None)


def test_exercises_are_found_by_number_and_only_their_lesson_is_imported(a_course):
    assert exercises.lessons() == (2, 5)
    assert exercises.find_exercise("5.2").id == "5.2"
    assert "teach.exercises.lesson_05" in sys.modules
    assert "teach.exercises.lesson_02" not in sys.modules


def test_an_unknown_exercise_names_the_nearest(a_course):
    with pytest.raises(ValueError, match=r"there is no exercise '2.3'; the nearest are 2.2, 2.1"):
        exercises.find_exercise("2.3")
    with pytest.raises(ValueError, match="there is no exercise 'scale'"):
        exercises.find_exercise("scale")


def test_a_lesson_without_exercises_names_those_that_have_some(a_course):
    with pytest.raises(ValueError, match="lesson 3 has no exercises; lessons with exercises: 2, 5"):
        exercises.exercises_of(3)
