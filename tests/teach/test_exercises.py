"""Every exercise of every lesson is proven: its mistakes are caught, each by its own sentence, and right answers pass."""

import pytest

from mini_lib.teach.exercises import exercises_of, lessons
from mini_lib.teach.prove import prove


@pytest.mark.parametrize(
    "exercise", [exercise for lesson in lessons() for exercise in exercises_of(lesson)], ids=lambda exercise: exercise.id
)
def test_an_exercise_is_proven(exercise):
    prove(exercise)


@pytest.mark.parametrize("lesson", lessons())
def test_a_lesson_has_five_to_eight_exercises_numbered_in_order(lesson):
    exercises = exercises_of(lesson)
    assert 5 <= len(exercises) <= 8
    assert [exercise.id for exercise in exercises] == [f"{lesson}.{number + 1}" for number in range(len(exercises))]
