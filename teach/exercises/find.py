"""Finding an exercise by its number, such as "2.1"."""

import difflib
import importlib
import pkgutil
import re

from teach.exercise import Exercise


def lessons() -> tuple[int, ...]:
    """Return the numbers of the lessons that have exercises."""
    package = importlib.import_module(__package__)
    found = (re.fullmatch(r"lesson_(\d\d)", module.name) for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(int(match[1]) for match in found if match))


def exercises_of(lesson: int) -> tuple[Exercise, ...]:
    """Return the exercises of one lesson, in order. Its module is imported only now.

    Raises:
        ValueError: the lesson has none.
    """
    if lesson not in lessons():
        known = ", ".join(str(number) for number in lessons()) or "none"
        raise ValueError(f"lesson {lesson} has no exercises; lessons with exercises: {known}")
    return importlib.import_module(f"{__package__}.lesson_{lesson:02d}").EXERCISES


def find_exercise(id: str) -> Exercise:
    """Return the exercise with this number, such as "2.1".

    Raises:
        ValueError: there is none; the nearest numbers are named.
    """
    match = re.fullmatch(r"\s*0*(\d+)\.0*(\d+)\s*", str(id))
    if match and int(match[1]) in lessons():
        for exercise in exercises_of(int(match[1])):
            if exercise.id == f"{match[1]}.{match[2]}":
                return exercise
    known = [exercise.id for lesson in lessons() for exercise in exercises_of(lesson)]
    nearest = difflib.get_close_matches(str(id), known, n=3, cutoff=0) or ["none yet"]
    raise ValueError(f"there is no exercise {id!r}; the nearest are {', '.join(nearest)}")
