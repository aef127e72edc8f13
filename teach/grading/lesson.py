"""A lesson as it was handed out, to compare submissions with."""

import ast
import importlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from teach.exercise import Exercise
from teach.exercises import lessons as lesson_numbers
from teach.grading.cells import tree_of
from teach.grading.facts import Facts, facts_of
from teach.grading.notebook import Cell, read_notebook

LESSONS = Path(__file__).parents[2] / "lessons"


@dataclass(frozen=True)
class Lesson:
    """A lesson: its number ("02"), the module that holds its EXERCISES, and the notebook that learners were given."""

    number: str
    module: str
    notebook: Path

    @cached_property
    def exercises(self) -> tuple[Exercise, ...]:
        """The lesson's exercises, in order."""
        return tuple(importlib.import_module(self.module).EXERCISES)

    @cached_property
    def cells(self) -> tuple[tuple[Cell, Facts], ...]:
        """The notebook's code cells, each with what its text says."""
        return tuple((cell, facts_of(cell.text)) for cell in read_notebook(self.notebook))

    @property
    def points(self) -> int:
        """The points of all exercises together."""
        return sum(exercise.points for exercise in self.exercises)

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """The modules that the notebook imports, for a process that gets them ready before a submission starts."""
        trees = [tree_of(cell.text) for cell, _ in self.cells]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        members = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
        return tuple(dict.fromkeys(plain + members))


def find_lessons(folder: Path = LESSONS) -> tuple[Lesson, ...]:
    """The lessons that have exercises and a built notebook in `folder`, by number.

    Raises:
        ValueError: there are none.
    """
    found = []
    for number in lesson_numbers():
        notebooks = sorted(folder.glob(f"{number:02d}_*.ipynb"))
        found += [Lesson(f"{number:02d}", f"teach.exercises.lesson_{number:02d}", path) for path in notebooks[:1]]
    if not found:
        raise ValueError(f"no lesson's notebook in {folder}; expected NN_topic.ipynb: grade from a clone of the course")
    return tuple(found)


def lesson_of(seen: list[tuple[Cell, Facts]], lessons: tuple[Lesson, ...]) -> Lesson | None:
    """The lesson whose exercises a notebook holds most of, by their checks, their cells' ids and their functions."""
    checked = {id for _, facts in seen for id in facts.checks} | {id for cell, _ in seen for id in _named(cell.id)}
    bound = frozenset().union(*(facts.binds for _, facts in seen))
    counts = [
        (sum(2 * (e.id in checked) + (e.function in bound) for e in lesson.exercises), lesson) for lesson in lessons
    ]
    most, lesson = max(counts, key=lambda pair: pair[0], default=(0, None))
    return lesson if most else None


def _named(id: str) -> list[str]:
    """The exercise that a cell's id names: ["2.1"] for "ex-2-1" and "check-2-1", else nothing."""
    return [f"{first}.{second}" for first, second in re.findall(r"^(?:ex|check)-(\d+)-(\d+)", id)]
