"""Lesson 13, exercises 13.5 and 13.6: from rent to price, and what a published table counts."""

from fractions import Fraction

import numpy as np
import torch

from mini_lib.llm.cost.estimate import estimate
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

# 13.5 -----------------------------------------------------------------------------------------------


def usd_per_million(usd_per_hour_per_gpu: float, gpus: int, tokens_per_s: float) -> float:
    """USD per million tokens, on `gpus` rented GPUs that give `tokens_per_s` together."""
    usd_per_s = usd_per_hour_per_gpu * gpus / 3600
    return usd_per_s / tokens_per_s * 1e6


def _usd_by_time(usd_per_hour_per_gpu, gpus, tokens_per_s):
    hours = 1_000_000 / tokens_per_s / 60 / 60
    return sum(hours * usd_per_hour_per_gpu for _ in range(gpus))


def _usd_exactly(usd_per_hour_per_gpu, gpus, tokens_per_s):
    tokens_per_hour = Fraction(tokens_per_s) * 3600
    return Fraction(usd_per_hour_per_gpu) * gpus * 1_000_000 / tokens_per_hour


def _rent_case(generator: torch.Generator) -> Case:
    usd, gpus = random_whole(generator, 5, 120) / 10, 2 ** random_whole(generator, 1, 3)
    return Case(usd, gpus, float(random_whole(generator, 50, 30_000)))


def _times(factor):
    """A wrong answer: the right one times `factor(gpus)`."""
    return lambda usd_per_hour_per_gpu, gpus, tokens_per_s: (
        usd_per_million(usd_per_hour_per_gpu, gpus, tokens_per_s) * factor(gpus)
    )


USD_PER_MILLION = Exercise(
    id="13.5",
    title="From rent to price",
    reference=usd_per_million,
    cases=(
        Case(3.6, 1, 1000.0),
        Case(1.8, 1, 1000.0),
        Case(3.6, 8, 1000.0),
        Case(2.5, 2, 5000.0),
        *random_cases(8, seed=135, make=_rent_case),
    ),
    mistakes=(
        Mistake(
            _times(lambda gpus: 3600),
            "The rent is per hour, and the tokens are per second. An hour has 3600 seconds, and the tokens of all of "
            "them share the rent.",
        ),
        Mistake(_times(lambda gpus: 60), "That divides by 60: an hour has 60 minutes, but 3600 seconds."),
        Mistake(
            _times(lambda gpus: 1 / gpus),
            "The GPUs count on one side only: you pay for all of them, and `tokens_per_s` already includes all of "
            "them.",
        ),
        Mistake(
            _times(lambda gpus: 1 / gpus**2),
            "More GPUs cost more: multiply the rent by their number, do not divide it.",
        ),
        Mistake(
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: (
                1 / usd_per_million(usd_per_hour_per_gpu, gpus, tokens_per_s)
            ),
            "That is upside down: how many million tokens you get per dollar. A faster machine must make them cheaper.",
        ),
        Mistake(
            _times(lambda gpus: 1e-3),
            "That is the price of a thousand tokens, as price lists gave it in 2023. The exercise asks for a million.",
        ),
        Mistake(_times(lambda gpus: 1e-6), "That is the price of one token. The exercise asks for a million of them."),
    ),
    symptoms=(
        variants(
            "Two of the three factors are missing or wrong. The rent is for all GPUs and for 3600 seconds, and the "
            "price "
            "is for a million tokens.",
            _times(lambda gpus: 3600 * 1e-6),
            _times(lambda gpus: 3600 * 1e-3),
            _times(lambda gpus: 3600 / gpus),
            _times(lambda gpus: 60 / gpus),
            _times(lambda gpus: 1e-6 / gpus),
            _times(lambda gpus: 1e-3 / gpus),
            _times(lambda gpus: 3600 * 1e-6 / gpus),
        ),
        variants(
            "That is upside down: tokens per dollar. Divide the rent by the tokens, not the tokens by the rent.",
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: (
                1e6 / usd_per_million(usd_per_hour_per_gpu, gpus, tokens_per_s)
            ),
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: tokens_per_s / (usd_per_hour_per_gpu * gpus),
        ),
        variants(
            "The rent of an hour is multiplied by 3600. Dollars per second are dollars per hour *divided* by 3600.",
            _times(lambda gpus: 3600**2),
        ),
        variants(
            "The rent is multiplied by the tokens. The more tokens a machine gives, the cheaper each of them is: "
            "divide.",
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: (
                usd_per_million(usd_per_hour_per_gpu, gpus, tokens_per_s) * tokens_per_s**2
            ),
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: usd_per_hour_per_gpu * gpus * tokens_per_s,
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: usd_per_hour_per_gpu * gpus / 3600 * tokens_per_s,
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: usd_per_hour_per_gpu * gpus / 3600 * tokens_per_s / 1e6,
        ),
        variants(
            "`tokens_per_s` already includes all GPUs. Multiply the rent by their number, once, and nothing else.",
            _times(lambda gpus: gpus),
        ),
        variants("That divides the rent of an hour by the seconds of a day.", _times(lambda gpus: 1 / 24)),
        variants(
            "The million is on the wrong side: the price of one token, times a million.", _times(lambda gpus: 1e-12)
        ),
        variants(
            "Part of a million is cut off: `//` drops it. Use `/`.",
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: (
                usd_per_hour_per_gpu * gpus / max(1, tokens_per_s * 3600 // 1e6)
            ),
        ),
        variants("That is in cents. Return dollars.", _times(lambda gpus: 100)),
        variants("That is the price of a billion tokens. The exercise asks for a million.", _times(lambda gpus: 1000)),
        variants(
            "That is the rent of an hour. How many tokens are made in that hour?",
            lambda usd_per_hour_per_gpu, gpus, tokens_per_s: usd_per_hour_per_gpu * gpus,
        ),
    ),
    also_correct=(_usd_by_time, _usd_exactly),
    forbidden=(estimate,),
)

# 13.6 -----------------------------------------------------------------------------------------------


def total_and_tpot(tokens_per_s_per_gpu: float, tensor_parallel: int, batch: int) -> tuple[float, float]:
    """Tokens per second of all GPUs together, and seconds per token of one user."""
    total = tokens_per_s_per_gpu * tensor_parallel
    return total, batch / total


def _by_rounds(tokens_per_s_per_gpu, tensor_parallel, batch):
    total = sum(tokens_per_s_per_gpu for _ in range(tensor_parallel))
    rounds_per_s = total / batch  # in a round each user gets one token
    return [total, 1 / rounds_per_s]


def _table_in_numpy(tokens_per_s_per_gpu, tensor_parallel, batch):
    total = np.full(tensor_parallel, tokens_per_s_per_gpu).sum()
    return np.array([total, batch / total])


def _row_case(generator: torch.Generator) -> Case:
    rate, devices = float(random_whole(generator, 100, 4000)), 2 ** random_whole(generator, 1, 3)
    return Case(rate, devices, 8 * random_whole(generator, 2, 128))


def _with_time(time):
    """A wrong answer: the right total, and `time(total, batch)`."""
    return lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
        tokens_per_s_per_gpu * tensor_parallel,
        time(tokens_per_s_per_gpu * tensor_parallel, batch),
    )


TOTAL_AND_TPOT = Exercise(
    id="13.6",
    title="What the table counts",
    reference=total_and_tpot,
    cases=(
        Case(100.0, 1, 20),
        Case(100.0, 2, 20),
        Case(100.0, 4, 8),
        Case(1486.0, 4, 480).called("the row LLaMA-2-70B (1486.0 per GPU, tensor_parallel 4, batch 480)"),
        *random_cases(8, seed=136, make=_row_case),
    ),
    mistakes=(
        Mistake(
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (tokens_per_s_per_gpu, batch / tokens_per_s_per_gpu),
            "The table counts per GPU, which is not the total: all GPUs of the group together produce tensor_parallel "
            "times as much.",
        ),
        Mistake(
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel,
                1 / (tokens_per_s_per_gpu * tensor_parallel),
            ),
            "One divided by the total is the time between two tokens, whoever gets them. The tokens go to `batch` "
            "users in turn: each waits batch times as long.",
        ),
        Mistake(
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu / tensor_parallel,
                batch * tensor_parallel / tokens_per_s_per_gpu,
            ),
            "That divides by the number of GPUs. The table already gives the rate of one of them: multiply.",
        ),
        Mistake(
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel,
                batch / tokens_per_s_per_gpu,
            ),
            "The total is right, but the time is for one GPU alone. All of them work on the same batch together: use "
            "the total here too.",
        ),
        Mistake(
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu,
                batch / (tokens_per_s_per_gpu * tensor_parallel),
            ),
            "The time is right, but the first number is still for one GPU: the total is tensor_parallel times as much.",
        ),
        Mistake(
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel,
                tokens_per_s_per_gpu * tensor_parallel / batch,
            ),
            "The second value is upside down: those are one user's tokens per second. Return the seconds per token.",
        ),
        Mistake(
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel * batch,
                1 / (tokens_per_s_per_gpu * tensor_parallel),
            ),
            "The figure in the table counts the tokens of the whole batch already. Multiply by the number of GPUs "
            "only.",
        ),
    ),
    symptoms=(
        variants(
            "The total is right. One user waits for a whole step: batch / total, with the total of all GPUs.",
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel,
                1 / tokens_per_s_per_gpu,
            ),
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel,
                1 / (tokens_per_s_per_gpu * tensor_parallel * batch),
            ),
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel,
                batch / tensor_parallel / (tokens_per_s_per_gpu * tensor_parallel),
            ),
        ),
        variants(
            "The total is right. The time is in milliseconds: return seconds.",
            _with_time(lambda total, batch: 1000 * batch / total),
        ),
        variants(
            "The total is right. `//` cuts the time to whole seconds: use `/`.",
            _with_time(lambda total, batch: batch // total),
        ),
        variants(
            "The GPUs are added to the rate. Each of them gives tokens_per_s_per_gpu: multiply.",
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu + tensor_parallel,
                batch / (tokens_per_s_per_gpu + tensor_parallel),
            ),
        ),
        variants(
            "The first value is one user's tokens per second. The total counts all users: do not divide by `batch`.",
            lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                tokens_per_s_per_gpu * tensor_parallel / batch,
                batch / (tokens_per_s_per_gpu * tensor_parallel),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: (
                len(got) == 2 and abs(got[0] / expected[0] - 1) < 1e-6 < abs(got[1] / expected[1] - 1)
            ),
            "The total is right, and the time is not. In one step each of the `batch` users gets one token: how "
            "long does "
            "it take, at that total?",
            (
                lambda tokens_per_s_per_gpu, tensor_parallel, batch: (
                    tokens_per_s_per_gpu * tensor_parallel,
                    batch / (tokens_per_s_per_gpu * tensor_parallel + 7),
                ),
            ),
        ),
    ),
    also_correct=(_by_rounds, _table_in_numpy),
)
