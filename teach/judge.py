"""From outcomes to a verdict: not attempted yet, passed, or not yet and why.

The order of judgement, for an answer that does not pass:
1. It called mini_lib's own answer: that is not yet an answer, even where the values are right.
2. A listed mistake gives the same outcome in *every* case: its sentence, and the smallest case it gets wrong.
3. The same value is returned whatever the arguments.
4. A listed mistake gives the same outcome in every case (two at least) that this mistake gets wrong:
   the answer has that mistake and another one as well.
5. A symptom shows in every failing case, and these are enough.
6. None of these: the smallest failing case, with got and expected, or with the exception and its line.
7. All values are right, but an argument was modified.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from teach import words
from teach.compare import difference
from teach.exercise import Exercise, Mistake, Symptom
from teach.outcome import Outcome
from teach.run import code_of, run
from teach.verdict import Verdict

_Own = Callable[[Callable[..., Any]], Sequence[Outcome]]  # what a function of the exercise itself gives in its cases


def judge(exercise: Exercise, answer: Callable[..., Any] | None, own: _Own | None = None) -> Verdict:
    """Run `answer` on the exercise's cases and return what came of it; `None` stands for no answer yet.

    `own` as in `verdict`.

    >>> from teach.exercise import Exercise, Case, Mistake
    >>> halve = Exercise("1.1", "Half of it", lambda x: x / 2, function="halve", cases=[Case(2), Case(3)],
    ...                  mistakes=[Mistake(lambda x: x // 2, "`//` drops the remainder: use `/`.")])
    >>> judge(halve, lambda x: x * 0.5)
    1.1 passed. Right in 2 of 2 cases.
    >>> judge(halve, lambda x: int(x / 2))
    1.1 not yet. `//` drops the remainder: use `/`. For `x = 3` you returned 1, expected 1.5.
    """
    if answer is None:
        return undefined(exercise)
    if not callable(answer):
        message = f"`{exercise.function}` is {words.value(answer)}; expected a function: run the exercise's cell again."
        return Verdict(exercise.id, exercise.title, "not yet", message)
    if code_of(answer) is not None and code_of(answer) is code_of(exercise.reference):
        return _borrowed(exercise, exercise.function)
    return verdict(exercise, run(exercise, answer), own)


def undefined(exercise: Exercise) -> Verdict:
    """Return the verdict where the learner's function does not exist."""
    message = f"There is no function `{exercise.function}` yet: run the exercise's cell first, then this one."
    return Verdict(exercise.id, exercise.title, "not attempted", message)


def verdict(exercise: Exercise, outcomes: Sequence[Outcome], own: _Own | None = None) -> Verdict:
    """Return what the outcomes of a learner's function amount to: one outcome a case, as `run` gives them.

    `own` gives the outcomes of the reference and of the mistakes, where they are known; by default these are run.

    Raises:
        ValueError: the number of outcomes is not the number of cases.
    """
    if len(outcomes) != len(exercise.cases):
        counts = f"{len(exercise.cases)} cases, got {len(outcomes)} outcomes"
        raise ValueError(f"exercise {exercise.id} has {counts}; run them all")
    if outcomes[0].kind == "unwritten":
        message = f"Write `{exercise.function}` in the cell above, run it, then run this one."
        return Verdict(exercise.id, exercise.title, "not attempted", message)
    borrowed = next((outcome.borrowed for outcome in outcomes if outcome.borrowed), None)
    if borrowed:
        return _borrowed(exercise, borrowed)
    own = own or (lambda function: run(exercise, function, watch=False))
    right = own(exercise.reference)
    failing = [at for at in range(len(outcomes)) if not agrees(exercise, outcomes[at], right[at])]
    if failing:
        return _not_yet(exercise, outcomes, right, failing, own)
    changing = [at for at, outcome in enumerate(outcomes) if set(outcome.changed) - set(right[at].changed)]
    if changing:
        return _changing(exercise, outcomes, right, changing[0])
    count = len(exercise.cases)
    message = f"Right in {count} of {count} cases."
    if exercise.praise:
        message += f" {exercise.praise([outcome.value for outcome in outcomes])}"
    return Verdict(exercise.id, exercise.title, "passed", message, points=exercise.points)


def agrees(exercise: Exercise, one: Outcome, other: Outcome) -> bool:
    """Return whether two outcomes say the same: equal values, or exceptions of one type."""
    if one.kind == "returned" and other.kind == "returned":
        return _clause(exercise, one.value, other.value) is None
    if one.kind == "raised" and other.kind == "raised":
        return one.raised.type == other.raised.type
    return one.kind == other.kind


def _clause(exercise: Exercise, got: Any, expected: Any) -> str | None:
    if exercise.compare is not None:
        try:
            return exercise.compare(got, expected)
        except Exception:  # written for answers of the right kind: a wrong one may break it in any way
            return "you returned {}, expected {}".format(*words.pair(got, expected))
    return difference(got, expected, rtol=exercise.rtol, atol=exercise.atol)


def _not_yet(
    exercise: Exercise, outcomes: Sequence[Outcome], right: Sequence[Outcome], failing: list[int], own: _Own
) -> Verdict:
    mistake, at = _explanation(exercise, outcomes, right, failing, own)
    said = mistake.says if mistake else ""
    if not mistake and _constant(exercise, outcomes, right):
        said = "It returns the same value whatever you pass."
    said = words.sentence(said) if said else ""
    example = _counter_example(exercise, at, outcomes[at], right[at])
    return Verdict(exercise.id, exercise.title, "not yet", said, example, mistake)


def _explanation(
    exercise: Exercise, outcomes: Sequence[Outcome], right: Sequence[Outcome], failing: list[int], own: _Own
) -> tuple[Mistake | Symptom | None, int]:
    """The mistake or symptom that explains the answer, if one does, and the case that shows it."""
    cases = range(len(outcomes))
    partly = None
    for mistake in exercise.mistakes:
        wrong = own(mistake.wrong)
        shared = [at for at in cases if _same_failure(exercise, outcomes[at], wrong[at])]
        if len(shared) == len(outcomes):
            return mistake, failing[0]
        differs = [at for at in cases if not agrees(exercise, wrong[at], right[at])]
        returned = all(outcomes[at].kind == "returned" for at in differs)
        if partly is None and returned and len(differs) >= 2 and set(differs) <= set(shared):
            partly = mistake, differs[0]
    if _constant(exercise, outcomes, right):
        return None, failing[0]
    if partly is not None:
        return partly
    if not enough(right, failing):
        return None, failing[0]
    for symptom in exercise.symptoms:
        if all(shows(exercise, symptom, at, outcomes[at], right[at]) for at in failing):
            return symptom, failing[0]
    return None, failing[0]


def enough(right: Sequence[Outcome], failing: Sequence[int]) -> bool:
    """Return whether the failing cases can tell a slip from a coincidence: three of them, all, or rich ones.

    A value is rich where it holds four different numbers or more.
    """
    return len(failing) >= min(3, len(right)) or all(_rich(right[at].value) for at in failing)


def _rich(value: Any) -> bool:
    return len(set(_leaves(value))) >= 4


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return value.flatten().tolist()
    if isinstance(value, (list, tuple, dict)):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in _leaves(part)]
    return [value] if isinstance(value, (bool, int, float, str)) else []


def shows(exercise: Exercise, symptom: Symptom, at: int, got: Outcome, expected: Outcome) -> bool:
    """Return whether a symptom shows in the value that case number `at` gave; never where an exception was raised."""
    if got.kind != "returned" or expected.kind != "returned":
        return False
    try:
        return bool(symptom.shows(got.value, expected.value, exercise.arguments(exercise.cases[at])))
    except Exception:  # written for values of the right kind: a wrong one may break it in any way
        return False


def _same_failure(exercise: Exercise, one: Outcome, other: Outcome) -> bool:
    """As `agrees`, but exceptions must also say the same: many different slips raise a TypeError."""
    if not agrees(exercise, one, other):
        return False
    return one.kind != "raised" or one.raised.message == other.raised.message


def _constant(exercise: Exercise, outcomes: Sequence[Outcome], right: Sequence[Outcome]) -> bool:
    """Whether the answer ignores its arguments although the right answer does not."""
    # None and NaN are the same everywhere too, but there the counter-example says more.
    values = [outcome.value for outcome in outcomes if outcome.kind == "returned"]
    telling = [value for value in values if value is not None and not (isinstance(value, float) and value != value)]
    if len(telling) < len(outcomes):
        return False
    ignores = all(agrees(exercise, outcome, outcomes[0]) for outcome in outcomes)
    return ignores and not all(agrees(exercise, outcome, right[0]) for outcome in right)


def _counter_example(exercise: Exercise, at: int, got: Outcome, expected: Outcome) -> str:
    case = exercise.cases[at]
    for_case = f"For {words.arguments(exercise, case)}"
    printed = f" It printed `{' '.join(got.printed.split())[:80]}`." if got.printed.strip() else ""
    if got.kind == "unwritten":
        return f"{for_case} it still says `raise NotImplementedError`." + printed
    if got.kind == "raised":
        return _exception(exercise, at, got) + printed
    if expected.kind == "raised":
        clause = f"you returned {words.value(got.value)}, expected {words.a(expected.raised.type)}"
    else:
        clause = _clause(exercise, got.value, expected.value)
    return words.sentence(f"{for_case} {clause}") + printed


def _exception(exercise: Exercise, at: int, got: Outcome) -> str:
    """The exception's type, its line in the learner's cell, and the call that raised it."""
    raised = got.raised
    what = f"{words.call(exercise, exercise.cases[at])} raised {raised.type}"
    what += f": {raised.message}" if raised.message else ""
    if raised.line_number is None:
        signature = ", ".join(exercise.parameters)
        keep = f"keep the signature `def {exercise.function}({signature})`"
        return f"{words.sentence(what)} The call itself failed: {keep}."
    where = f"It is line {raised.line_number} of your cell"
    return f"{words.sentence(what)} {where}: `{raised.line}`." if raised.line else f"{words.sentence(what)} {where}."


def _changing(exercise: Exercise, outcomes: Sequence[Outcome], right: Sequence[Outcome], at: int) -> Verdict:
    name = outcomes[at].changed[0]
    example = f"After the call with {words.arguments(exercise, exercise.cases[at])}, `{name}` had changed."
    for mistake in exercise.mistakes:
        wrong = run(exercise, mistake.wrong, watch=False)
        if all(agrees(exercise, w, r) and w.changed == o.changed for w, r, o in zip(wrong, right, outcomes)):
            return Verdict(exercise.id, exercise.title, "not yet", words.sentence(mistake.says), example, mistake)
    says = f"The values are right, but your function changed its argument `{name}`: work on a copy."
    return Verdict(exercise.id, exercise.title, "not yet", says, example)


def _borrowed(exercise: Exercise, name: str) -> Verdict:
    message = f"This calls `{name}`, which does the exercise for you: write it yourself."
    return Verdict(exercise.id, exercise.title, "not yet", message)
