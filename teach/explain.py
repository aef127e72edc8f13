"""Which slip explains a wrong answer: a listed mistake, a symptom, a general rule, or none that can be told.

A wrong accusation is worse than silence, so each needs evidence: a listed mistake gives the same outcome in every case,
and whatever explains less than that must do so in several cases with different values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from teach.compare import difference
from teach.exercise import Exercise, Mistake, Symptom
from teach.outcome import Outcome
from teach.plain import Opaque
from teach.slips.code import IN_LOOP, SAYS, XOR, slips_of
from teach.slips.find import find_slip
from teach.slips.seen import CASES, RICH, Seen, distinct, leaves

FEW = 4  # examples of a symptom that are run to choose the case shown

Own = Callable[[Callable[..., Any]], Sequence[Outcome]]  # what a function of the exercise itself gives in its cases


@dataclass(frozen=True)
class Explanation:
    """What helps, as a sentence or a clause; the listed mistake or symptom that says so; and the cases that show it."""

    says: str
    cases: Sequence[int]
    mistake: Mistake | Symptom | None = None


@dataclass(frozen=True)
class Trial:
    """An answer that fails in some cases: what it gave, what is right, and what a listed mistake gives."""

    exercise: Exercise
    outcomes: Sequence[Outcome]
    right: Sequence[Outcome]
    failing: Sequence[int]
    own: Own

    def values(self, cases: Sequence[int]) -> list[Any]:
        """What was returned in some cases."""
        return [self.outcomes[at].value for at in cases]


def explain(trial: Trial) -> Explanation:
    """Return what explains the answer; the empty sentence where nothing does."""
    for explanation in IN_ORDER:
        if found := explanation(trial):
            return found
    return Explanation("", trial.failing)


def agrees(exercise: Exercise, one: Outcome, other: Outcome) -> bool:
    """Return whether two outcomes say the same: equal values, or exceptions of one type."""
    if one.kind == "returned" and other.kind == "returned":
        return clause(exercise, one.value, other.value) is None
    if one.kind == "raised" and other.kind == "raised":
        return one.raised.type == other.raised.type
    return one.kind == other.kind


def clause(exercise: Exercise, got: Any, expected: Any) -> str | None:
    """Return how two values differ in the eyes of the exercise, or None where they do not."""
    plainly = difference(got, expected, rtol=exercise.rtol, atol=exercise.atol)
    if exercise.view is not None and got is None and plainly:
        return "you returned None"  # what is expected is a view, which no learner has seen
    if exercise.compare is None or isinstance(got, Opaque):
        return plainly
    try:
        return exercise.compare(got, expected)
    except Exception:  # written for answers of the right kind: a wrong one may break it in any way
        return plainly or "you returned something that cannot be compared"


def shows(exercise: Exercise, symptom: Symptom, at: int, got: Outcome, expected: Outcome) -> bool:
    """Return whether a symptom shows in the value that case number `at` gave; never where an exception was raised."""
    if got.kind != "returned" or expected.kind != "returned":
        return False
    try:
        return bool(symptom.shows(got.value, expected.value, exercise.arguments(exercise.cases[at])))
    except Exception:  # written for values of the right kind: a wrong one may break it in any way
        return False


def _whole_mistake(trial: Trial) -> Explanation | None:
    """A listed mistake that gives the same outcome in every case."""
    for mistake in trial.exercise.mistakes:
        wrong = trial.own(mistake.wrong)
        if all(_same_failure(trial.exercise, mine, other) for mine, other in zip(trial.outcomes, wrong)):
            return Explanation(mistake.says, trial.failing, mistake)
    return None


def _same_failure(exercise: Exercise, one: Outcome, other: Outcome) -> bool:
    """As `agrees`, but exceptions must also say the same: many different slips raise a TypeError."""
    if not agrees(exercise, one, other):
        return False
    return one.kind != "raised" or one.raised.message == other.raised.message


def _mistake_of_an_item(trial: Trial) -> Explanation | None:
    """A listed mistake that gives the same value for one item of a tuple or dict, wherever it is wrong in either."""
    if trial.exercise.compare is not None or not all(map(_holds_items, trial.right)):
        return None
    right = [outcome.value for outcome in trial.right]
    mine = _items_like(trial.outcomes, right)
    for key in _keys(right[0]) if mine else ():
        bad = [at for at in trial.failing if _differ(trial.exercise, mine[at][key], right[at][key])]
        if distinct([mine[at][key] for at in bad]) < CASES:
            continue
        for mistake in trial.exercise.mistakes:
            wrong = _items_like(trial.own(mistake.wrong), right)
            if wrong is None or _takes_another_item(trial.exercise, wrong, right, key, bad):
                continue
            if not any(_differ(trial.exercise, one[key], other[key]) for one, other in zip(mine, wrong)):
                return Explanation(mistake.says, bad, mistake)
    return None


def _holds_items(outcome: Outcome) -> bool:
    return isinstance(outcome.value, (tuple, dict)) and len(outcome.value) > 1


def _keys(value: tuple | dict) -> list[Any]:
    return list(value) if isinstance(value, dict) else list(range(len(value)))


def _items_like(outcomes: Sequence[Outcome], right: list[Any]) -> list[Any] | None:
    """The values of outcomes that all have the items of the right one in the first case; None if one has not."""
    keys = _keys(right[0])
    values = [outcome.value for outcome in outcomes]
    for value in (*values, *right):
        rows = isinstance(right[0], tuple) and isinstance(value, (tuple, list)) and len(value) == len(keys)
        table = isinstance(right[0], dict) and isinstance(value, dict) and set(value) == set(keys)
        if not rows and not table:
            return None
    return values


def _differ(exercise: Exercise, one: Any, other: Any) -> bool:
    return difference(one, other, rtol=exercise.rtol, atol=exercise.atol) is not None


def _takes_another_item(exercise: Exercise, wrong: list[Any], right: list[Any], key: Any, bad: list[int]) -> bool:
    """Whether a mistake puts another right item there: an answer that does so has copied it, not exchanged the two."""
    others = [other for other in _keys(right[0]) if other != key]
    return any(not any(_differ(exercise, wrong[at][key], right[at][other]) for at in bad) for other in others)


def _constant(trial: Trial) -> Explanation | None:
    """The same value in every case, although the right values differ."""
    values = trial.values(range(len(trial.outcomes)))
    first = values[0]
    if len(values) < CASES or any(outcome.kind != "returned" for outcome in trial.outcomes):
        return None
    # None and NaN are the same everywhere too, but there the counter-example says more; so it does of a generator.
    if first is None or isinstance(first, Opaque) or (isinstance(first, float) and first != first):
        return None
    if any(difference(value, first, rtol=0.0, atol=0.0) is not None for value in values):
        return None
    if all(agrees(trial.exercise, outcome, trial.right[0]) for outcome in trial.right):
        return None
    return Explanation("It returns the same value whatever you pass.", trial.failing)


def _one_of_two_mistakes(trial: Trial) -> Explanation | None:
    """A listed mistake that gives the same outcome wherever it is wrong: the answer has it and another one."""
    for mistake in trial.exercise.mistakes:
        wrong = trial.own(mistake.wrong)
        differs = [at for at in range(len(wrong)) if not agrees(trial.exercise, wrong[at], trial.right[at])]
        shared = all(_same_failure(trial.exercise, trial.outcomes[at], wrong[at]) for at in differs)
        if shared and all(trial.outcomes[at].kind == "returned" for at in differs) and _tells(trial, differs):
            return Explanation(mistake.says, differs, mistake)
    return None


def _tells(trial: Trial, cases: Sequence[int]) -> bool:
    """Whether so many cases fail alike that chance is ruled out: most of the failing ones, with different values."""
    if 2 * len(cases) < len(trial.failing):
        return False
    few = len(trial.outcomes) < CASES and len(cases) == len(trial.outcomes)
    return distinct(trial.values(cases)) >= CASES or (few and all(_rich(value) for value in trial.values(cases)))


def _rich(value: Any) -> bool:
    return distinct(leaves(value)) >= RICH


def _symptom(trial: Trial) -> Explanation | None:
    """A symptom that shows in every failing case: in three, in all of the exercise, or in rich values."""
    few = len(trial.failing) < min(CASES, len(trial.outcomes))
    if few and not all(_rich(trial.right[at].value) for at in trial.failing):
        return None
    if all(outcome.value is None for outcome in trial.outcomes) and not _may_be_none(trial):
        return None  # what was returned says nothing of the slip: the counter-example says that there is nothing
    for symptom in trial.exercise.symptoms:
        if all(shows(trial.exercise, symptom, at, trial.outcomes[at], trial.right[at]) for at in trial.failing):
            return Explanation(symptom.says, _of_the_slip(trial, symptom), symptom)
    return None


def _of_the_slip(trial: Trial, symptom: Symptom) -> Sequence[int]:
    """The failing cases that the symptom's examples fail too: a second slip of the answer may show in the others."""
    its = trial.failing
    for example in symptom.examples[:FEW]:
        given = trial.own(example)
        fewer = [at for at in its if not agrees(trial.exercise, given[at], trial.right[at])]
        its = fewer or its
    return its


def _may_be_none(trial: Trial) -> bool:
    return any(outcome.kind == "returned" and outcome.value is None for outcome in trial.right)


def _general(trial: Trial) -> Explanation | None:
    """A slip that any exercise may meet: a factor, a rounding, a sign, an order."""
    if trial.exercise.compare is not None:  # its values are not what the learner returned
        return None
    seen = []
    for at, (mine, right) in enumerate(zip(trial.outcomes, trial.right)):
        if mine.kind != "returned" or right.kind != "returned":
            return None
        seen.append(Seen(mine.value, right.value, trial.exercise.arguments(trial.exercise.cases[at])))
    failing = [seen[at] for at in trial.failing]
    passing = [one for at, one in enumerate(seen) if at not in trial.failing]
    found = find_slip(failing, passing, lambda one, other: not _differ(trial.exercise, one, other))
    return Explanation(found, trial.failing) if found else None


def _in_the_code(trial: Trial) -> Explanation | None:
    """A slip that is seen in the text of the function, where the right answer's text does not show it too."""
    shown = set(trial.outcomes[0].slips) - set(slips_of(trial.exercise.reference))
    kinds = {trial.outcomes[at].kind for at in trial.failing}
    if IN_LOOP in shown and kinds == {"returned"}:
        return Explanation(SAYS[IN_LOOP], trial.failing)
    # Of floats and of tensors of floats there is no exclusive or: that raises a TypeError, or torch's own error.
    if XOR in shown and (kinds == {"returned"} or all(_is_of_xor(trial.outcomes[at]) for at in trial.failing)):
        return Explanation(SAYS[XOR], trial.failing)
    return None


def _is_of_xor(outcome: Outcome) -> bool:
    return outcome.raised is not None and any(sign in outcome.raised.message for sign in ("for ^", "bitwise_xor"))


def _first(trial: Trial) -> Explanation | None:
    """Right in the first cases, those of the text, and wrong in every one after them."""
    passed, failed = trial.failing[0], len(trial.failing)
    if passed < 2 or failed < CASES or passed + failed < len(trial.outcomes):
        return None
    if any(trial.outcomes[at].kind != "returned" for at in trial.failing):
        return None
    says = f"Right in the {passed} small cases, wrong in all {failed} later ones: it does not work in general."
    return Explanation(says, trial.failing)


IN_ORDER = (
    _whole_mistake,
    _mistake_of_an_item,
    _constant,
    _one_of_two_mistakes,
    _symptom,
    _general,
    _in_the_code,
    _first,
)
