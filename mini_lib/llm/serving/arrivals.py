"""Requests, and their times of arrival.

Source: Kingman, "Poisson Processes", 1993, section 2.4: many independent users, each of whom seldom sends a request,
together form a Poisson process.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mini_lib.llm.cost.limits import MOST_TOKENS
from mini_lib.require import checked, finite, of_type, positive, shown, whole

Lengths = int | Callable[[np.random.Generator, int], np.ndarray]

LATEST_S = 1e10
"""Beyond this time, a 64-bit clock can no longer tell microseconds apart."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt of `prompt` tokens that arrives at `arrival_s` and wants `output` tokens.

    Raises:
        TypeError: a length is not a whole number, or the time is not a number.
        ValueError: a length is below 1, or the time is not finite or is above `LATEST_S`.

    >>> Request(arrival_s=0.5, prompt=512, output=256)
    Request(arrival_s=0.5, prompt=512, output=256)
    """

    arrival_s: float
    prompt: int
    output: int

    def __post_init__(self) -> None:
        checked(self, "arrival_s", finite, fix="use 0.0 for the first, and leave out what never arrives")
        if abs(self.arrival_s) > LATEST_S:
            raise ValueError(
                f"arrival_s must be {LATEST_S:g} or less, got {self.arrival_s}; count from the first request"
            )
        checked(self, "prompt", whole, low=1, fix="a prompt has at least its start token")
        checked(self, "output", whole, low=1, fix="the prefill itself gives the first token")


def poisson_arrivals(rate_per_s: float, count: int, prompt: Lengths, output: Lengths, seed: int) -> tuple[Request, ...]:
    """Return `count` requests that arrive at random, `rate_per_s` of them per second on average.

    `prompt` and `output` are each a number of tokens, or a function of a generator and a count that draws that many.
    The same seed gives the same requests at every rate, only closer together.

    Raises:
        TypeError, ValueError: the rate is not above 0, the count is outside 1 to 10,000,000, a length is not a whole
            number of 1 or more, or the seed is not a whole number of 0 or more.

    >>> slow, fast = (poisson_arrivals(rate, 3, prompt=10, output=5, seed=0) for rate in (1, 2))
    >>> [a.arrival_s == 2 * b.arrival_s for a, b in zip(slow, fast)]
    [True, True, True]
    """
    rate_per_s = positive("rate_per_s", rate_per_s, fix="give the requests of a second, such as 2.5")
    count = whole("count", count, low=1, high=10_000_000, fix="simulate at least one request")
    generator = np.random.default_rng(whole("seed", seed, low=0, fix="the same seed gives the same requests"))
    with np.errstate(over="ignore"):  # Request refuses a time that is not finite
        times = np.cumsum(generator.standard_exponential(count)) / rate_per_s
    prompts = _draw("prompt", prompt, generator, count)
    outputs = _draw("output", output, generator, count)
    return tuple(map(Request, times.tolist(), prompts, outputs))


def lognormal_lengths(median: float, spread: float, most: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Return a function that draws lengths like those of human texts: many short ones and a few long ones.

    Half of them are below `median`, two thirds between `median / spread` and `median * spread`; each is
    rounded up to a whole number and cut off at `most`.

    Raises:
        TypeError: an argument is not a number.
        ValueError: the median is not in (0, most], or the spread is below 1.

    With a spread of 1 all lengths are equal:

    >>> draw = lognormal_lengths(median=200, spread=1, most=1000)
    >>> draw(np.random.default_rng(0), 3).tolist()
    [200, 200, 200]
    """
    most = whole("most", most, low=1, high=MOST_TOKENS, fix="give the longest length that the service takes")
    median = positive("median", median, fix="half of all are longer")
    if median > most:
        raise ValueError(f"median must lie above 0 and not above most ({most}), got {median}; half of all are longer")
    spread = positive("spread", spread, fix="1 makes all lengths equal, 2 is usual")
    if spread < 1:
        raise ValueError(f"spread must be 1 or more and finite, got {spread}; 1 makes all lengths equal, 2 is usual")

    def draw(generator: np.random.Generator, count: int) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):  # lengths are cut off at both ends
            drawn = median * spread ** generator.standard_normal(count)
        return np.clip(np.ceil(drawn), 1, most).astype(np.int64)

    return draw


def _draw(name: str, lengths: Lengths, generator: np.random.Generator, count: int) -> list[int]:
    if not callable(lengths):
        return [whole(name, lengths, low=1, fix="or give a function that draws lengths")] * count
    drawn = np.asarray(lengths(generator, count))
    if drawn.shape != (count,) or not np.issubdtype(drawn.dtype, np.integer):
        raise ValueError(
            f"{name}(generator, {count}) must give {count} whole numbers, got {drawn.dtype} of shape "
            f"{list(drawn.shape)}; end it with .astype(int)"
        )
    if drawn.min() < 1:
        raise ValueError(f"{name}(generator, {count}) gave a length of {drawn.min()}; use np.maximum(lengths, 1)")
    return drawn.tolist()


def check_requests(requests: object) -> tuple[Request, ...]:
    """Return the requests as a tuple, after a check that they are requests in the order of arrival.

    Raises:
        TypeError: something other than a `Request`.
        ValueError: there is none, or they are not in the order of arrival.
    """
    requests = tuple(of_type("requests", requests, Iterable, fix="use poisson_arrivals()"))
    if not requests:
        raise ValueError("requests must hold at least one Request, got none; use poisson_arrivals()")
    for place, request in enumerate(requests):
        if not isinstance(request, Request):
            got = shown(request)
            raise TypeError(f"requests[{place}] must be a Request, got {got}; use Request(arrival_s, prompt, output)")
        if place and request.arrival_s < requests[place - 1].arrival_s:
            raise ValueError(
                f"requests must be sorted by arrival, got requests[{place}] at {request.arrival_s} s after "
                f"{requests[place - 1].arrival_s} s; use sorted(requests, key=lambda request: request.arrival_s)"
            )
    return requests
