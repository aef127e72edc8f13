"""How good a model is: the MMLU score that its maker reports, with its shots and its method.

MMLU asks 14,042 four-way questions from school and university; guessing scores 25. The makers ask in different ways.
With 5 shots the prompt holds five solved examples and the model names a letter; with 0 shots and a chain of thought it
reasons first. The same Llama 3.1 70B scores 83.6 and 86.0. So a comparison needs one convention: `five_shot_first`
takes the chat model before the base model, 5 shots before a chain of thought, and anything else last.

The figures are the makers' own; where a maker reports none there is no score here, and nobody else's is used instead.

Source: Hendrycks et al., "Measuring Massive Multitask Language Understanding", 2021, section 3; the documents that the
rows name.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mini_lib import _assets
from mini_lib.llm.prices import checks
from mini_lib.llm.prices.rows import number_field, rows_of, text_field, whole_field
from mini_lib.llm.prices.table import day
from mini_lib.require import callable_, checked, of_type, one_of, positive, whole

_PATH = _assets.ASSETS / "llm" / "scores.csv"
_SHA256 = "b4436931ae6eb0683485a216bd482d06a213b44816f334aff04abc0eb678da6d"
METHODS = ("answer", "chain of thought")
VARIANTS = ("instruct", "base")
SCORE_COLUMNS = ("snapshot", "mmlu_percent", "shots", "method", "variant", "source", "date")
Preference = Callable[["Score"], tuple[int, ...]]


@dataclass(frozen=True)
class Score:
    """A snapshot's score on MMLU, in percent, and how it was asked; `shots` is None where nobody states it.

    Raises:
        TypeError: `percent` is not a number, `shots` is not a whole number, `date` is not a `datetime.date`, or a text
            is not a string.
        ValueError: `percent` is not from 0 to 100, `shots` is negative, the method or the variant is unknown, or a text
            is empty.

    >>> Score("llama-3.1-70b", 83.6, 5, "answer", "instruct", "Llama 3.1 model card", dt.date(2024, 7, 23)).percent
    83.6
    """

    snapshot: str
    percent: float
    shots: int | None
    method: str
    variant: str
    source: str
    date: dt.date

    def __post_init__(self) -> None:
        fix = "give the percent of questions answered correctly, such as 70.0"
        checked(self, "percent", positive, fix=fix)
        if self.percent > 100:
            raise ValueError(f"percent must be 100 or less, got {self.percent}; {fix}")
        if self.shots is not None:
            checked(self, "shots", whole, low=0, fix="give the solved examples in the prompt, such as 5")
        one_of("method", self.method, METHODS, fix="an answer is a letter, a chain of thought reasons first")
        one_of("variant", self.variant, VARIANTS, fix="instruct is the chat model that is sold")
        for name in ("snapshot", "source"):
            checked(self, name, checks.text, fix="every score has a snapshot and a source")
        checked(self, "date", checks.date, fix="use day('2024-07-23')")


def mmlu_scores() -> tuple[Score, ...]:
    """Return every score of the table; a snapshot that was asked in several ways has several.

    Raises:
        ValueError: the file is missing or damaged.

    >>> [score.percent for score in mmlu_scores() if score.snapshot == "gpt-4"]
    [86.4]
    """
    content = _assets.read_verified(_PATH, _SHA256, "run `git restore mini_lib/assets`")
    return parse_scores(content.decode("utf-8"))


def parse_scores(text: str) -> tuple[Score, ...]:
    r"""Return the scores in a table of comma-separated values, in the order of its lines.

    Raises:
        TypeError: it is not a string.
        ValueError: a column is missing, a field is wrong (the message names its line), or a snapshot was asked in the
            same way twice.

    >>> score, = parse_scores(",".join(SCORE_COLUMNS) + "\nm,70.0,5,answer,instruct,a report,2023-03\n")
    >>> score.percent, score.date.isoformat()
    (70.0, '2023-03-15')
    """
    found: dict[tuple, Score] = {}
    for line, fields in rows_of(text, SCORE_COLUMNS):
        score = _score(fields, line)
        key = (score.snapshot, score.shots, score.method, score.variant)
        if key in found:
            raise ValueError(f"line {line}: {score.snapshot} has a score of this kind already; delete one of the two")
        found[key] = score
    return tuple(found.values())


def five_shot_first(score: Score) -> tuple[int, ...]:
    """Rank the ways of asking, lowest first: the chat model, which is sold; 5 shots; then 0 shots with reasoning.

    Raises:
        TypeError: not a `Score`.

    >>> min([score for score in mmlu_scores() if score.snapshot == "llama-3.1-70b"], key=five_shot_first).percent
    83.6
    """
    ways = {(5, "answer"): 0, (0, "chain of thought"): 1}
    score = of_type("score", score, Score, fix="use one of mmlu_scores()")
    return VARIANTS.index(score.variant), ways.get((score.shots, score.method), 2)


def reasoning_first(score: Score) -> tuple[int, ...]:
    """Rank 0 shots with a chain of thought before 5 shots, and the chat model before the base model.

    Raises:
        TypeError: not a `Score`.

    >>> min([score for score in mmlu_scores() if score.snapshot == "llama-3.1-70b"], key=reasoning_first).percent
    86.0
    """
    ways = {(0, "chain of thought"): 0, (5, "answer"): 1}
    score = of_type("score", score, Score, fix="use one of mmlu_scores()")
    return VARIANTS.index(score.variant), ways.get((score.shots, score.method), 2)


def by_snapshot(scores: Iterable[Score], prefer: Preference = five_shot_first) -> dict[str, Score]:
    """Return the one score of each snapshot that `prefer` ranks lowest.

    Raises:
        TypeError: something other than a `Score`, or `prefer` cannot be called or returns no rank.

    >>> by_snapshot(mmlu_scores())["llama-2-70b"].percent
    52.9
    """
    best: dict[str, tuple[tuple[int, ...], Score]] = {}
    callable_("prefer", prefer, fix="use five_shot_first or reasoning_first")
    for score in checks.all_of("scores", scores, Score, fix="use mmlu_scores()"):
        rank = of_type("what prefer returns", prefer(score), (tuple, int, float), fix="return a rank, lowest first")
        if score.snapshot not in best or rank < best[score.snapshot][0]:
            best[score.snapshot] = rank, score
    return {snapshot: score for snapshot, (_, score) in best.items()}


def _score(fields: dict[str, str], line: int) -> Score:
    """Build the score from the fields of one line, or raise an error that says where they are wrong."""
    percent = number_field(fields, "mmlu_percent", line, "give a percentage such as 70.0")
    shots = whole_field(fields, "shots", line, "give a whole number such as 5") if fields["shots"] else None
    texts = {name: text_field(fields, name, line) for name in ("snapshot", "method", "variant", "source")}
    try:
        return Score(percent=percent, shots=shots, date=day(fields["date"]), **texts)
    except ValueError as wrong:
        raise ValueError(f"line {line}: {wrong}") from None
