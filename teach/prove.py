"""prove(exercise): what a test must show of every exercise before a learner meets it."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from teach.exercise import Exercise, Mistake, Symptom
from teach.explain import shows
from teach.judge import judge, verdict
from teach.outcome import Outcome
from teach.plain import Opaque
from teach.run import run
from teach.verdict import Verdict


def prove(exercise: Exercise) -> None:
    """Show that the exercise accepts what is right, and names what is wrong.

    The reference and at least one differently written answer pass. At least three mistakes are each rejected with
    their own sentence, and so is each example of a symptom; no symptom shows in a right value. The unwritten stub is
    "not attempted". A constant and a call of the reference do not pass.

    Raises:
        AssertionError: the first of these that does not hold.
    """
    for name, claim in _claims(exercise):
        assert not claim, f"exercise {exercise.id}, {name}: {claim}"


def _claims(exercise: Exercise) -> Iterator[tuple[str, str]]:
    """Pairs of what was tried and what went wrong with it ("" where nothing did)."""

    @cache
    def own(function: Callable[..., Any]) -> list[Outcome]:
        """What the judge compares with. It is run once for all judgements, and each answer below once more."""
        return run(exercise, function, watch=False)

    yield "also_correct", "" if exercise.also_correct else "expected at least 1 answer written differently, got none"
    count = len(exercise.mistakes)
    yield "mistakes", "" if count >= 3 else f"expected at least 3 that people really make, got {count}"
    by_reference = verdict(exercise, run(exercise, exercise.reference, watch=False), own)
    yield "the reference", _must_be("passed", by_reference)
    for number, answer in enumerate(exercise.also_correct, 1):
        yield f"correct answer {number}", _must_be("passed", judge(exercise, answer, own))
    for number, mistake in enumerate(exercise.mistakes, 1):
        yield f"mistake {number}", _must_say(mistake, verdict(exercise, run(exercise, mistake.wrong, watch=False), own))
    for number, symptom in enumerate(exercise.symptoms, 1):
        yield f"symptom {number}", _shows_where_right(exercise, symptom, own(exercise.reference))
        for which, wrong in enumerate(symptom.examples, 1):
            found = verdict(exercise, run(exercise, wrong, watch=False), own)
            yield f"symptom {number}, example {which}", _must_say(symptom, found)
    yield "the stub", _must_be("not attempted", judge(exercise, _stub, own))
    right = run(exercise, exercise.reference, watch=False)
    for number, outcome in enumerate(right, 1):
        yield f"the reference in case {number}", _unfit(outcome)
    first = right[0].value
    yield "the first right value for every call", _must_be("not yet", judge(exercise, lambda *a, **k: first, own))
    yield "the reference itself", _must_be("not yet", judge(exercise, exercise.reference, own))
    by_a_call = judge(exercise, lambda *a, **k: exercise.reference(*a, **k), own)
    yield "a call of the reference", _must_be("not yet", by_a_call)


def _must_be(state: str, found: Verdict) -> str:
    return "" if found.state == state else f"expected {state!r}, got {found.text!r}"


def _must_say(slip: Mistake | Symptom, found: Verdict) -> str:
    wrong = _must_be("not yet", found)
    if not wrong and (found.mistake is not slip or slip.says.rstrip(".") not in found.message):
        wrong = f"expected its own sentence {slip.says!r}, got {found.text!r}"
    return wrong


def _shows_where_right(exercise: Exercise, symptom: Symptom, right: list[Outcome]) -> str:
    cases = [at for at, outcome in enumerate(right, 1) if shows(exercise, symptom, at - 1, outcome, outcome)]
    return f"{symptom.says!r} shows in the right answer of case {cases[0]}" if cases else ""


def _unfit(outcome: Outcome) -> str:
    if outcome.changed:
        return f"it modifies its argument {', '.join(outcome.changed)}"
    opaque = [part for part in _parts(outcome.value) if isinstance(part, Opaque)]
    return f"it returns {opaque[0]!r}, which is not plain data; give the exercise a view" if opaque else ""


def _parts(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _parts(part)


def _stub(*args, **kwargs):
    raise NotImplementedError("this is yours to write")
