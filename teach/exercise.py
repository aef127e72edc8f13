"""An exercise is data: a reference, cases, and the wrong answers people really give.

The same object serves the check in the notebook, the grader and the tests.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

# Two correct float32 algorithms differ by their roundings. Each rounding is off by at most half a unit
# in the last place (2**-24 of the value), and roundings of one sign add up: 128 of them in a row stay
# below 128 * 2**-24 = 2**-17, about 8e-6. A wrong formula is off by far more.
FLOAT32_TOLERANCE = 2.0**-17


class Case:
    """One call of the learner's function: `Case(*args, **kwargs)`, as it would be written.

    >>> case = Case([-1.0, 0.5], bits=2)
    >>> case.args, case.kwargs
    (([-1.0, 0.5],), {'bits': 2})
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.name: str | None = None

    def called(self, name: str) -> "Case":
        """Return the same case under a name, for arguments that are too big to be printed.

        >>> Case(torch.nn.Linear(3, 4)).called("a layer of 3 inputs and 4 outputs").name
        'a layer of 3 inputs and 4 outputs'
        """
        named = Case(*self.args, **self.kwargs)
        named.name = name
        return named


def random_cases(count: int, *, seed: int, make: Callable[[torch.Generator], Case]) -> tuple[Case, ...]:
    """Return `count` seeded random cases, each made by `make(generator)`.

    They come after the small cases written by hand: a learner who answers only those is found out here.

    >>> cases = random_cases(3, seed=0, make=lambda g: Case(torch.randn(4, generator=g), bits=4))
    >>> len(cases), cases[0].args[0].shape
    (3, torch.Size([4]))
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(make(generator) for _ in range(count))


def random_whole(generator: torch.Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included.

    >>> random_whole(torch.Generator().manual_seed(0), 3, 3)
    3
    """
    return int(torch.randint(low, high + 1, (), generator=generator))


@dataclass(frozen=True)
class Mistake:
    """A wrong answer as code, and the sentence that helps the person who wrote it."""

    wrong: Callable[..., Any]
    says: str


@dataclass(frozen=True)
class Symptom:
    """A property by which a wrong value gives its slip away, and the sentence that helps the person who wrote it.

    It finds the variants of a slip that no list of answers reproduces: "a pruned weight is not zero", whichever
    weights they are and whatever else is wrong.

    shows     shows(got, expected, arguments) -> whether one wrong value has the property; got and expected are plain
              data as compared, arguments a dict by name. Where it raises, the property does not show
    says      the sentence, as of a mistake
    examples  wrong answers as code that show it: at least one
    """

    shows: Callable[[Any, Any, dict[str, Any]], bool]
    says: str
    examples: Sequence[Callable[..., Any]]


@dataclass(frozen=True)
class Exercise:
    """What is asked, what is right, and what people get wrong.

    id            "2.1": lesson 2, exercise 1
    function      the name the learner gives the function; by default the reference's own name
    reference     mini_lib's answer
    cases         ordered small to large: the first that fails is the counter-example shown
    mistakes      in order: the first that explains an answer is the one named
    symptoms      tried after the mistakes, in order: the first that shows in every failing case is the one named
    also_correct  correct answers written differently: plain loops, numpy, another dtype
    forbidden     functions that would give the answer away, besides the reference: calling one does not pass
    parameters    names of the arguments in messages; by default those of the reference
    view          what of a returned object is compared, as plain data (a model: its outputs); by default all of it
    compare       compare(got, expected) -> None or the clause that says how they differ; by default by value
    rtol, atol    tolerance on floats: |got - expected| <= rtol * |expected| + atol; integers are always exact
    praise        praise(values) -> what a passed check adds, from the values returned in the cases

    Raises:
        ValueError: the id is not like "2.1", the function has no name, there is no case, two mistakes or
            symptoms say the same, or a symptom has no example.
    """

    id: str
    title: str
    reference: Callable[..., Any]
    cases: Sequence[Case]
    mistakes: Sequence[Mistake]
    also_correct: Sequence[Callable[..., Any]] = ()
    symptoms: Sequence[Symptom] = ()
    function: str = ""
    points: int = 1
    forbidden: Sequence[Callable[..., Any]] = ()
    parameters: Sequence[str] = ()
    view: Callable[[Any], Any] | None = None
    compare: Callable[[Any, Any], str | None] | None = None
    rtol: float = FLOAT32_TOLERANCE
    atol: float | None = None
    praise: Callable[[list[Any]], str] | None = None

    def __post_init__(self) -> None:
        function = self.function or getattr(self.reference, "__name__", "")
        if not re.fullmatch(r"[1-9]\d*\.[1-9]\d*", self.id):
            raise ValueError(f"id is {self.id!r}; expected lesson.exercise, such as '2.1'")
        if not function.isidentifier():
            raise ValueError(
                f"exercise {self.id}: {function!r} is not a function's name; give function='name_the_learner_writes'"
            )
        if not self.cases:
            raise ValueError(f"exercise {self.id} has no cases; give at least one Case(...)")
        sentences = [slip.says for slip in (*self.mistakes, *self.symptoms)]
        for sentence in sentences:
            if sentences.count(sentence) > 1:
                raise ValueError(
                    f"exercise {self.id}: two mistakes or symptoms say the same, {sentence!r}; each needs its own"
                )
        for symptom in self.symptoms:
            if not symptom.examples:
                raise ValueError(
                    f"exercise {self.id}: the symptom {symptom.says!r} has no example; give it a wrong answer"
                )
        object.__setattr__(self, "function", function)
        for name in ("cases", "mistakes", "symptoms", "also_correct", "forbidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "parameters", tuple(self.parameters) or _parameters(self.reference))

    @property
    def lesson(self) -> int:
        """The lesson's number: 2 for exercise 2.1."""
        return int(self.id.split(".")[0])

    def arguments(self, case: Case) -> dict[str, Any]:
        """Return the arguments of a case under the names that messages use."""
        names = list(self.parameters) + [f"argument {n + 1}" for n in range(len(self.parameters), len(case.args))]
        return dict(zip(names, case.args)) | case.kwargs


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        return ()
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
