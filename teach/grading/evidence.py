"""Gathers what a submission does.

It runs in a child, and where one cell or exercise stops that child, another one goes on with the rest.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from teach.grading.facts import Facts
from teach.grading.folders import own_folder
from teach.grading.limits import GIB, Limits
from teach.grading.notebook import Cell
from teach.grading.orders import End, Keeper
from teach.grading.steps import Step
from teach.grading.watch import WORDS
from teach.grading.wire import MOST_ITEMS, MOST_LINE_BYTES, OUT_OF_MEMORY, Report, fits
from teach.outcome import Outcome, from_json

TOO_BIG = f"it returned too much to compare (more than {MOST_ITEMS} items or {MOST_LINE_BYTES * 3 // 4 / 2**20:g} MiB)"


@dataclass
class Trial:
    """What one exercise's function did, case by case; `why` says why it went no further, if so."""

    outcomes: list[Outcome] = field(default_factory=list)
    missing: str = ""  # what the function's name holds instead: "nothing", "mini_lib's own", or a type
    why: str = ""
    cases: int = 0  # that were begun
    complete: bool = False


@dataclass
class Evidence:
    """What a submission did: each exercise's trial, and what went wrong in its cells, by the step's position."""

    trials: dict[str, Trial] = field(default_factory=dict)
    cells: dict[int, str] = field(default_factory=dict)
    stopped: set[int] = field(default_factory=set)  # of these cells, those that ended their process


def look(keeper: Keeper, cells: Sequence[Cell]) -> list[tuple[Cell, Facts]]:
    """Each cell with what its text says, as a child finds; no facts for a cell that its parser does not get over."""
    found: dict[int, Facts] = {}
    left_s = keeper.limits.time_s
    while left_s > 0 and (left := [at for at in range(len(cells)) if at not in found]):
        order = {"do": "look", "cells": [[at, cells[at].text] for at in left]}
        with own_folder() as folder:
            for report in keeper.carry_out(order, folder, left_s):
                if isinstance(report, End):
                    left_s -= report.used_s
                elif report.what == "facts":
                    found[report.step] = Facts.from_json(report.text)
        culprit = next((at for at in left if at not in found), None)
        if culprit is not None:
            found[culprit] = Facts()
    return [(cell, found.get(at, Facts())) for at, cell in enumerate(cells)]


def gather(keeper: Keeper, steps: Sequence[Step]) -> Evidence:
    """The evidence of a submission.

    Where a child is stopped or ends itself, the step that it was at is to blame: it is left out, and a new child
    does what is left. So one endless loop costs one exercise, not all.
    """
    evidence = Evidence(trials={step.exercise: Trial() for step in steps if step.exercise})
    left_s = keeper.limits.time_s
    while todo := _left(steps, evidence):
        if left_s <= 0:
            _blame_the_clock(steps, evidence, keeper.limits)
            break
        at, ended = _one_child(keeper, steps, todo, evidence, left_s)
        left_s -= ended.used_s
        if _left(steps, evidence):
            _blame(steps, evidence, todo[0] if at is None else at, in_words(ended, keeper.limits))
    return evidence


def _left(steps: Sequence[Step], evidence: Evidence) -> list[int]:
    """The steps still to be done: exercises without a result, and the cells before the last of them."""
    exercises = [at for at, step in enumerate(steps) if step.exercise and not _settled(evidence.trials[step.exercise])]
    cells = [at for at, step in enumerate(steps) if step.cell and at not in evidence.stopped]
    return sorted([at for at in cells if exercises and at < exercises[-1]] + exercises)


def _settled(trial: Trial) -> bool:
    return trial.complete or bool(trial.why)


def _one_child(
    keeper: Keeper, steps: Sequence[Step], todo: Sequence[int], evidence: Evidence, time_s: float
) -> tuple[int | None, End]:
    """Has one child do some steps; the step that it was at when it ended, and how it ended."""
    order = {"do": "run", "steps": [_as_order(at, steps[at]) for at in todo]}
    at, ended, cleared_s = None, None, 0.0
    with own_folder() as folder:
        for report in keeper.carry_out(order, folder, time_s):
            if isinstance(report, End):
                ended, cleared_s = report, time.monotonic()
                break
            if report.what == "begin" and report.step in todo:
                at = report.step
            if report.step == at:  # a child speaks of the step that it is at, and of no other
                _note(report, steps[at], at, evidence)
    if ended is None:
        raise AssertionError("a keeper's answer without an end")
    return at, replace(ended, used_s=ended.used_s + time.monotonic() - cleared_s)  # with what it left to be removed


def _as_order(at: int, step: Step) -> list:
    if step.exercise:
        return [at, "exercise", step.exercise]
    return [at, "cell", f"code cell {step.cell.number}", step.cell.text]


def _note(report: Report, step: Step, at: int, evidence: Evidence) -> None:
    if step.cell:
        if report.what == "failed":
            evidence.cells[at] = report.text
        return
    trial = evidence.trials[step.exercise]
    if _settled(trial):
        return
    if report.what == "begin":
        trial.outcomes, trial.cases, trial.missing = [], 0, ""
    elif report.what == "case":
        trial.cases += 1
    elif report.what == "outcome":
        _note_outcome(report.text, trial)
    elif report.what == "too big":
        trial.why = TOO_BIG
    elif report.what == "failed":
        trial.why = f"it raised {report.text}"
    elif report.what == "missing":
        trial.missing = report.text
    elif report.what == "end":
        trial.complete = True


def _note_outcome(text: str, trial: Trial) -> None:
    try:
        outcomes = from_json(text)
    except ValueError:
        trial.why = "it returned something that cannot be read"
        return
    if not all(fits(outcome.value) for outcome in outcomes):
        trial.why = TOO_BIG
    else:
        trial.outcomes += outcomes


def _blame(steps: Sequence[Step], evidence: Evidence, at: int, why: str) -> None:
    if steps[at].exercise:
        evidence.trials[steps[at].exercise].why = why
    else:
        evidence.cells[at] = why
        evidence.stopped.add(at)


def _blame_the_clock(steps: Sequence[Step], evidence: Evidence, limits: Limits) -> None:
    for trial in evidence.trials.values():
        if not _settled(trial):
            trial.why = f"it was not reached within the {limits.time_s:g} s of the whole notebook"


def in_words(ended: End, limits: Limits) -> str:
    """Why a child ended before it was done.

    >>> in_words(End("step time"), Limits(step_time_s=20))
    'it did not finish within 20 s'
    >>> in_words(End("exit", -9), Limits())
    'it ended the process (signal 9), perhaps because memory ran out'
    """
    if ended.why == "step time":
        return f"it did not finish within {limits.step_time_s:g} s"
    if ended.why == "time":
        return f"it did not finish within the {limits.time_s:g} s of the whole notebook"
    if ended.why == "silent":
        return "it broke off its reports"
    if ended.why == "lost":
        return "it ended the process that supervises it"
    if ended.why in WORDS:
        return WORDS[ended.why]
    if ended.why == "flood":
        return "it reported far more data than any answer contains"
    if ended.status == OUT_OF_MEMORY:
        return f"it ran out of memory (limit {limits.memory_bytes / GIB:g} GiB)"
    if ended.status == -9:
        return "it ended the process (signal 9), perhaps because memory ran out"
    if ended.status < 0:
        return f"it crashed the process (signal {-ended.status})"
    return f"it ended the process (exit status {ended.status})"
