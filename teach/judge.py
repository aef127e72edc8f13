"""From outcomes to a verdict: not attempted yet, passed, or not yet and why.

The order of judgement, for an answer that does not pass:
1. It called mini_lib's own answer: that is not yet an answer, even where the values are right.
2. The stub's line still ends it: that line.
3. What explains it, where something does (see `explain`), with the smallest case that shows it and can be typed.
4. Nothing does: that case alone, with got and expected, or with the exception and its line.
5. All values are right, but an argument was modified.
"""

from collections.abc import Callable, Sequence
from typing import Any

from teach import words
from teach.exercise import Exercise
from teach.explain import Own, Trial, agrees, clause, explain
from teach.outcome import Outcome
from teach.run import run
from teach.verdict import Verdict
from teach.written import code_of, parameters_of


def judge(exercise: Exercise, answer: Callable[..., Any] | None, own: Own | None = None) -> Verdict:
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
        message = f"`{exercise.function}` is the library's own function here: write it yourself."
        return Verdict(exercise.id, exercise.title, "not yet", message)
    return verdict(exercise, run(exercise, answer), own)


def undefined(exercise: Exercise, instead: str = "") -> Verdict:
    """Return the verdict where the learner's function does not exist; `instead` is one that may be meant."""
    message = f"There is no function `{exercise.function}` yet: run the exercise's cell first, then this one."
    if instead:
        message = (
            f"There is no function `{exercise.function}`. If you mean `{instead}`, rename it to `{exercise.function}`."
        )
    return Verdict(exercise.id, exercise.title, "not attempted", message)


def verdict(exercise: Exercise, outcomes: Sequence[Outcome], own: Own | None = None) -> Verdict:
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
        return _not_yet(Trial(exercise, outcomes, right, failing, own))
    changing = [at for at, outcome in enumerate(outcomes) if set(outcome.changed) - set(right[at].changed)]
    if changing:
        return _changing(exercise, outcomes, right, changing[0])
    count = len(exercise.cases)
    message = f"Right in {count} of {count} cases."
    if exercise.praise:
        message += f" {exercise.praise([outcome.value for outcome in outcomes])}"
    return Verdict(exercise.id, exercise.title, "passed", message, points=exercise.points)


def _not_yet(trial: Trial) -> Verdict:
    exercise, outcomes = trial.exercise, trial.outcomes
    if outcomes[0].kind == "raised" and outcomes[0].raised.leftover:
        return Verdict(exercise.id, exercise.title, "not yet", _leftover(outcomes[0]))
    found = explain(trial)
    said = words.sentence(found.says) if found.says else ""
    typed = [at for at in found.cases if words.can_be_typed(exercise, exercise.cases[at])]
    at = (typed or found.cases)[0]
    example = _counter_example(exercise, at, outcomes[at], trial.right)
    return Verdict(exercise.id, exercise.title, "not yet", said, example, found.mistake)


def _leftover(outcome: Outcome) -> str:
    """What to do where the stub's line ends a function that has more than it."""
    says = f"line {outcome.raised.line_number} of your cell still says `{outcome.raised.line}`"
    if outcome.raised.leftover == "above":
        return words.sentence(f"{says}, and nothing below it is run: take that line out")
    return words.sentence(f"{says}, and your function comes to it: put `return` with your result in its place")


def _counter_example(exercise: Exercise, at: int, got: Outcome, right: Sequence[Outcome]) -> str:
    case, expected = exercise.cases[at], right[at]
    for_case = f"For {words.arguments(exercise, case)}"
    printed = f" It printed `{' '.join(got.printed.split())[:80]}`." if got.printed.strip() else ""
    ran = f" The function that was run is `{got.wrote}`." if got.wrote else ""
    if got.kind == "raised" and got.raised.leftover:
        return f"{for_case} it still says `raise NotImplementedError`." + printed
    if got.kind == "raised":
        return _exception(exercise, at, got) + printed
    if expected.kind == "raised":
        differs = f"you returned {words.value(got.value)}, expected {words.a(expected.raised.type)}"
    else:
        differs = clause(exercise, got.value, expected.value)
    return words.sentence(f"{for_case} {differs}{_without_return(got, right)}") + ran + printed


def _without_return(got: Outcome, right: Sequence[Outcome]) -> str:
    """What to look at where nothing was returned, and something should have been."""
    if got.value is not None or got.returns == "always":
        return ""
    if got.returns == "sometimes":
        return ": one path through your function ends without `return`"
    legal = any(outcome.kind == "returned" and outcome.value is None for outcome in right)
    return "" if legal else ": did you forget `return`?"


def _exception(exercise: Exercise, at: int, got: Outcome) -> str:
    """The exception's type, its line in the learner's cell, and the call that raised it."""
    raised = got.raised
    what = f"{words.call(exercise, exercise.cases[at], got.wrote)} raised {raised.type}"
    what += f": {raised.message}" if raised.message else ""
    if raised.parameters is not None:
        return f"{words.sentence(what)} The call itself failed: {_signature(exercise, raised.parameters)}."
    if raised.line_number is None:
        return words.sentence(what)
    where = f"Look at line {raised.line_number} of your cell"
    return f"{words.sentence(what)} {where}: `{raised.line}`." if raised.line else f"{words.sentence(what)} {where}."


def _signature(exercise: Exercise, written: Sequence[str]) -> str:
    """What is to be put right in the parameters of a function, so that it can be called as the exercise calls it."""
    wanted = _with_defaults(exercise)
    keep = f"keep the signature `def {exercise.function}({', '.join(wanted)})`"
    mine, names = ([one.split("=")[0].strip() for one in row] for row in (written, wanted))
    missing, added = [name for name in names if name not in mine], [name for name in mine if name not in names]
    if len(missing) == len(added) == 1:
        return f"the parameter `{missing[0]}` is called `{added[0]}` in your function; {keep}"
    if len(missing) > 1:
        return f"the parameters `{', '.join(missing)}` are missing; {keep}"
    if missing:
        return f"the parameter `{missing[0]}` is missing; {keep}"
    lost = [full for full, name in zip(wanted, names) if "=" in full and name in written]
    if lost:
        return f"the default `{lost[0]}` is missing; {keep}"
    return f"your extra parameter `{added[0]}` gets no value; {keep}" if added else keep


def _with_defaults(exercise: Exercise) -> list[str]:
    """The parameters that the learner's function is given, with the defaults of the reference."""
    defaults = [one.partition("=")[2].strip() for one in parameters_of(exercise.reference)]
    if len(defaults) != len(exercise.parameters):
        return list(exercise.parameters)
    return [f"{name}={default}" if default else name for name, default in zip(exercise.parameters, defaults)]


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
