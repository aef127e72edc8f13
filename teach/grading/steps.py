"""Which cells of a submission are run, in which order, and where its exercises are tried.

What counts is what "Restart and run all" would show. The learner's own cells are run, and those of the lesson that
they need: demonstrations that nothing depends on are left out, so that grading is fast.
"""

import hashlib
from dataclasses import dataclass

from teach.grading.facts import Facts
from teach.grading.lesson import Lesson
from teach.grading.notebook import Cell


@dataclass(frozen=True)
class Step:
    """One thing that a child does: run a cell, or try an exercise. One of the two is None."""

    cell: Cell | None = None
    exercise: str | None = None
    writes: tuple[str, ...] = ()  # exercises whose function this cell binds, or was handed out to bind


def steps_of(seen: list[tuple[Cell, Facts]], lesson: Lesson) -> tuple[Step, ...]:
    """The steps of a submission, in the order of its cells.

    An exercise is tried where it is checked for the last time; at the end where its check is gone.
    """
    last_check = {id: at for at, (_, facts) in enumerate(seen) for id in facts.checks}
    wanted = _wanted(seen, lesson)
    steps = []
    for at, (cell, facts) in enumerate(seen):
        if at in wanted:
            steps.append(Step(cell=cell, writes=_writes(cell, facts, lesson)))
        steps += [Step(exercise=e.id) for e in lesson.exercises if last_check.get(e.id) == at]
    steps += [Step(exercise=e.id) for e in lesson.exercises if e.id not in last_check]
    while steps[-1].cell:  # what comes after the last exercise changes no mark
        steps.pop()
    return tuple(steps)


def _wanted(seen: list[tuple[Cell, Facts]], lesson: Lesson) -> set[int]:
    """Positions of the cells to run: the learner's, and going upwards each that binds a name which one below uses."""
    handed_out = {cell.id for cell, _ in lesson.cells if cell.id} | {cell.text.strip() for cell, _ in lesson.cells}
    wanted: set[int] = set()
    needed: set[str] = set()
    for at in reversed(range(len(seen))):
        cell, facts = seen[at]
        own = cell.id not in handed_out and cell.text.strip() not in handed_out and not is_built(cell)
        if facts.only_checks or not cell.text.strip():
            continue
        if own or _writes(cell, facts, lesson) or "*" in facts.binds or facts.binds & needed:
            wanted.add(at)
            needed |= facts.uses
    return wanted


def is_built(cell: Cell) -> bool:
    """Whether the builder of lessons made this cell and nobody has changed it since: its id is the hash of its text.

    So the demonstrations of an older version of the lesson are known, too.
    """
    return cell.id.partition("_")[0] == hashlib.sha256(f"code\n{cell.text}".encode("utf-8", "replace")).hexdigest()[:10]


def _writes(cell: Cell, facts: Facts, lesson: Lesson) -> tuple[str, ...]:
    named = {cell_.id: facts_.binds for cell_, facts_ in lesson.cells if cell_.id}
    binds = facts.binds | named.get(cell.id, frozenset())
    return tuple(exercise.id for exercise in lesson.exercises if exercise.function in binds)
