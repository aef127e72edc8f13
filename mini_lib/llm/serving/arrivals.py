"""Requests, and when they come.

Source: Kingman, "Poisson Processes", 1993, section 2.4: many independent users, each of whom asks rarely, make
together a Poisson process.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mini_lib.require import finite, positive, whole

Lengths = int | Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt of `prompt` tokens that arrives at `arrival_s` and wants `output` tokens.

    Raises:
        TypeError: a length is not a whole number, or the time is not a number.
        ValueError: a length is below 1, or the time is not finite.

    >>> Request(arrival_s=0.5, prompt=512, output=256)
    Request(arrival_s=0.5, prompt=512, output=256)
    """

    arrival_s: float
    prompt: int
    output: int

    def __post_init__(self) -> None:
        finite("arrival_s", self.arrival_s, fix="use 0.0 for the first, and leave out what never arrives")
        whole("prompt", self.prompt, low=1, fix="a prompt has at least its start token")
        whole("output", self.output, low=1, fix="the prefill itself gives the first token")


def poisson_arrivals(rate_per_s: float, count: int, prompt: Lengths, output: Lengths, seed: int) -> tuple[Request, ...]:
    """Return `count` requests that come at random, `rate_per_s` of them a second on average.

    `prompt` and `output` are a number of tokens, or a function of a generator and a count that draws so many.
    The same seed gives the same requests at every rate, only closer together.

    Raises:
        TypeError, ValueError: a rate that is not above 0, a count below 1, or a length that is not a whole
            number of 1 or more.

    >>> slow, fast = (poisson_arrivals(rate, 3, prompt=10, output=5, seed=0) for rate in (1, 2))
    >>> [a.arrival_s == 2 * b.arrival_s for a, b in zip(slow, fast)]
    [True, True, True]
    """
    positive("rate_per_s", rate_per_s, fix="give the requests of a second, such as 2.5")
    whole("count", count, low=1, fix="simulate at least one request")
    generator = np.random.default_rng(seed)
    times = np.cumsum(generator.standard_exponential(count)) / rate_per_s
    prompts = _draw("prompt", prompt, generator, count)
    outputs = _draw("output", output, generator, count)
    return tuple(map(Request, times.tolist(), prompts, outputs))


def lognormal_lengths(median: float, spread: float, most: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Return a function that draws lengths as people write: many short ones and a few long ones.

    Half of them are below `median`, two thirds between `median / spread` and `median * spread`; each is
    rounded up to a whole number and cut off at `most`.

    Raises:
        ValueError: the median is not in (0, most], or the spread is below 1.

    A spread of 1 is none at all:

    >>> draw = lognormal_lengths(median=200, spread=1, most=1000)
    >>> draw(np.random.default_rng(0), 3).tolist()
    [200, 200, 200]
    """
    whole("most", most, low=1, fix="give the longest length that the service takes")
    if not 0 < median <= most:
        raise ValueError(f"median must lie above 0 and not above most ({most}), got {median}; half of all are longer")
    if not 1 <= spread < math.inf:
        raise ValueError(f"spread must be 1 or more and finite, got {spread}; 1 makes all lengths equal, 2 is usual")

    def draw(generator: np.random.Generator, count: int) -> np.ndarray:
        drawn = median * spread ** generator.standard_normal(count)
        return np.minimum(np.ceil(drawn), most).astype(np.int64)

    return draw


def _draw(name: str, lengths: Lengths, generator: np.random.Generator, count: int) -> list[int]:
    if not callable(lengths):
        whole(name, lengths, low=1, fix="or give a function that draws lengths")
        return [lengths] * count
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
    """Return the requests as a tuple, once it is clear that they are requests in the order of arrival.

    Raises:
        TypeError: something else than a `Request`.
        ValueError: there is none, or one comes before the one in front of it.
    """
    requests = tuple(requests)
    if not requests:
        raise ValueError("requests must hold at least one Request, got none; use poisson_arrivals()")
    for place, request in enumerate(requests):
        if not isinstance(request, Request):
            got = type(request).__name__
            raise TypeError(f"requests[{place}] must be a Request, got {got}; use Request(arrival_s, prompt, output)")
        if place and request.arrival_s < requests[place - 1].arrival_s:
            raise ValueError(
                f"requests must be sorted by arrival, got requests[{place}] at {request.arrival_s} s after "
                f"{requests[place - 1].arrival_s} s; use sorted(requests, key=lambda request: request.arrival_s)"
            )
    return requests
