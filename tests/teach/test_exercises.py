"""Every exercise of every lesson is proven: its mistakes are caught, each by its own sentence; right answers pass."""

import ast
import json
from pathlib import Path

import pytest

from teach.exercises import exercises_of, lessons
from teach.prove import prove

LESSONS = Path(__file__).parents[2] / "lessons"


@pytest.mark.parametrize(
    "exercise",
    [exercise for lesson in lessons() for exercise in exercises_of(lesson)],
    ids=lambda exercise: exercise.id,
)
def test_an_exercise_is_proven(exercise):
    prove(exercise)


@pytest.mark.parametrize("lesson", lessons())
def test_the_learner_is_given_the_signature_that_the_check_calls(lesson):
    [notebook] = LESSONS.glob(f"{lesson:02d}_*.ipynb")
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]}
    for exercise in exercises_of(lesson):
        [stub] = [
            node
            for node in ast.parse(cells["ex-" + exercise.id.replace(".", "-")]).body
            if isinstance(node, ast.FunctionDef)
        ]
        assert stub.name == exercise.function
        assert tuple(argument.arg for argument in stub.args.args) == exercise.parameters


@pytest.mark.parametrize("lesson", lessons())
def test_a_lesson_has_five_to_nine_exercises_numbered_in_order(lesson):
    exercises = exercises_of(lesson)
    assert 5 <= len(exercises) <= 9
    assert [exercise.id for exercise in exercises] == [f"{lesson}.{number + 1}" for number in range(len(exercises))]
