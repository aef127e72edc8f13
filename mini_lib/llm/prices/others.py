"""The results of other studies: the published falls of the price of a level per year, to compare with our own.

Epoch AI fits the same line through record lows, with scores measured in one way for all models, at 3 tokens read per
token written, until February 2025. On MMLU they find a fall of 9.3 times per year at the level of GPT-3.5 Turbo and of
15.9 at that of GPT-4. Over the same time and with the same mix our table gives 9.2 and 13.2, well inside their
intervals.

Their median of 50 comes from GPQA and MATH: there the models of 2023 had far to go, and small models closed the gap
within a year. On MMLU, GPT-4 already had 86 of the 93 points of the best model in our table. Our table also continues:
from December 2024 to November 2026 almost nothing at GPT-4's level became cheaper, and the average fall was 4.3 times
per year.

The second study states factors: 1000 times in three years at a score of 42, and 62 times since GPT-4 at a score of 83,
which is 11.9 per year.

Source: Cottier, Snodin, Owen, Adamczewski, "LLM inference prices have fallen rapidly but unequally across tasks", Epoch
AI, 12 March 2025: "ranging from 9x to 900x per year", "with a median of 50x per year", "to achieve GPT-4's performance
on a set of PhD-level science questions fell by 40x per year"; the table is results/default of its code,
github.com/epoch-research/llm-benchmark-efficiency. Appenzeller, "Welcome to LLMflation", a16z, November 2024.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedFall:
    """How many times cheaper per year a level on a test became, with the study's interval, if it gives one.

    >>> EPOCH_2025[2].level, round(EPOCH_2025[2].times_per_year, 1)
    ('GPT-3.5 Turbo', 9.3)
    """

    study: str
    test: str
    level: str
    score: float
    first: str
    last: str
    points: int
    times_per_year: float
    low_times: float | None = None
    high_times: float | None = None
    confidence: float | None = None


def _epoch(test: str, level: str, score: float, first: str, last: str, points: int, *times: float) -> PublishedFall:
    return PublishedFall("Epoch AI", test, level, score, first, last, points, *times, confidence=0.9)


EPOCH_2025 = (
    _epoch("MMLU", "GPT-3", 43.9, "2021-11-20", "2024-10-03", 9, 11.77, 8.29, 16.72),
    _epoch("MMLU", "GPT-3.5", 64.8, "2022-11-30", "2024-10-03", 7, 15.83, 8.05, 31.11),
    _epoch("MMLU", "GPT-3.5 Turbo", 68.0, "2023-03-06", "2024-10-03", 6, 9.35, 4.80, 18.20),
    _epoch("MMLU", "GPT-4", 86.0, "2023-03-14", "2025-02-05", 5, 15.86, 4.09, 61.54),
    _epoch("MMLU", "GPT-4 Turbo", 87.0, "2023-11-06", "2025-02-05", 5, 35.79, 5.03, 254.83),
    _epoch("GPQA Diamond", "GPT-4", 33.0, "2023-03-14", "2024-12-13", 6, 42.02, 4.40, 401.44),
    _epoch("GPQA Diamond", "GPT-4 Turbo", 50.0, "2023-11-06", "2024-12-13", 6, 46.25, 3.79, 564.83),
    _epoch("GPQA Diamond", "GPT-4o", 53.0, "2024-05-13", "2024-12-13", 4, 851.16, 6.18, 117290.31),
    _epoch("GPQA Diamond", "Claude 3.5 Sonnet", 56.0, "2024-06-20", "2025-02-05", 4, 251.16, 41.56, 1517.75),
)
A16Z_2024 = (
    PublishedFall("a16z", "MMLU", "GPT-3", 42.0, "2021-11-18", "2024-11-12", 2, 10.0),
    PublishedFall("a16z", "MMLU", "GPT-4", 83.0, "2023-03-14", "2024-11-12", 2, 11.9),
)
