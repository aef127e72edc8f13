"""Lesson 13, exercise 13.8: how long a request waits for its turn."""

import math

import numpy as np
import torch

from mini_lib.llm.serving.queueing import md1_wait_s, mg1_wait_s
from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants


def mean_wait_seconds(service_s: float, arrivals_per_s: float) -> float:
    """The mean wait before service: one server, requests at random moments, services that all take `service_s`."""
    load = arrivals_per_s * service_s
    return md1_wait_s(service_s, load) if load < 1 else math.inf


def _wait_by_formula(service_s, arrivals_per_s):
    if arrivals_per_s * service_s >= 1:
        return np.inf
    return np.float64(arrivals_per_s * service_s**2 / (2 - 2 * arrivals_per_s * service_s))


def _wait_by_who_is_there(service_s, arrivals_per_s):
    load = arrivals_per_s * service_s
    rest = load * service_s / 2  # if someone is being served, half of it is over on average
    return rest / (1 - load) if load < 1 else float("inf")  # the wait is rest + load * wait


def _stable(formula):
    """A wrong answer below load 1, and infinity from there on."""

    def wrong(service_s, arrivals_per_s):
        load = arrivals_per_s * service_s
        return formula(service_s, load) if load < 1 else math.inf

    return wrong


def _queue_case(generator: torch.Generator) -> Case:
    service_s = (0.25, 0.5, 2.0, 4.0)[random_whole(generator, 0, 3)]
    return Case(service_s, random_whole(generator, 10, 97) / 100 / service_s)


def _beyond(value):
    """A wrong answer: right below load 1, and `value(formula's value)` from there on."""

    def wrong(service_s, arrivals_per_s):
        load = arrivals_per_s * service_s
        if load < 1:
            return mean_wait_seconds(service_s, arrivals_per_s)
        return value(load * service_s / (2 * (1 - load)) if load != 1 else math.inf)

    return wrong


def _of(load_of):
    """A wrong answer: another load, `load_of(service_s, arrivals_per_s)`."""

    def wrong(service_s, arrivals_per_s):
        load = load_of(service_s, arrivals_per_s)
        return load * service_s / (2 * (1 - load)) if load < 1 else math.inf

    return wrong


def _from_one_per_second(service_s, arrivals_per_s):
    load = arrivals_per_s * service_s
    return load * service_s / (2 * (1 - load)) if arrivals_per_s < 1 and load != 1 else math.inf


MEAN_WAIT_SECONDS = Exercise(
    id="13.8",
    title="Waiting in line",
    reference=mean_wait_seconds,
    cases=(
        Case(2.0, 0.25),
        Case(0.5, 1.0),
        Case(2.0, 0.45),
        Case(2.0, 1.0),
        Case(0.5, 3.0),
        Case(0.5, 2.0),
        Case(0.25, 5.0),
        Case(2.0, 0.75),
        *random_cases(8, seed=138, make=_queue_case),
    ),
    mistakes=(
        Mistake(
            _stable(lambda service_s, load: load * service_s / (1 - load)),
            "That is the wait where services differ at random (M/M/1). Here all take equally long, and the wait is "
            "half as long.",
        ),
        Mistake(
            _stable(lambda service_s, load: load * service_s / (2 * (1 - load)) + service_s),
            "That is the wait plus the service. The wait is the time before the service starts.",
        ),
        Mistake(
            _stable(lambda service_s, load: load * service_s / 2),
            "That is only the rest of the request in service. Others may be in line before you: divide by 1 - load.",
        ),
        Mistake(
            _stable(lambda service_s, load: 0.0),
            "There would be no wait if requests arrived evenly spaced. They arrive at random, several at once and "
            "then none: a request may wait even at a load below 1.",
        ),
        Mistake(
            lambda service_s, arrivals_per_s: (
                arrivals_per_s * service_s * service_s / (2 * (1 - arrivals_per_s * service_s))
            ),
            "From load 1 on, more requests arrive than can be served, and the line grows without end: the wait is "
            "infinite, not negative.",
        ),
        Mistake(
            lambda service_s, arrivals_per_s: (
                math.inf
                if arrivals_per_s * service_s > 1
                else arrivals_per_s * service_s * service_s / (2 * (1 - arrivals_per_s * service_s))
            ),
            "At a load of exactly 1 the line grows without end, too: compare with >=, not >.",
        ),
        Mistake(
            _stable(lambda service_s, load: load**2 / (2 * (1 - load))),
            "That is how many requests are in line. The wait is in seconds: load * service_s in the numerator.",
        ),
        Mistake(
            lambda service_s, arrivals_per_s: (
                math.inf
                if arrivals_per_s >= service_s
                else arrivals_per_s / service_s * service_s / (2 * (1 - arrivals_per_s / service_s))
            ),
            "The load is the share of the time in which the server works: arrivals per second times seconds per "
            "request, not divided.",
        ),
        Mistake(
            _stable(lambda service_s, load: service_s / (2 * (1 - load))),
            "A request that finds the server free does not wait at all. The server is busy only for the share `load` "
            "of the time.",
        ),
    ),
    symptoms=(
        variants(
            "A pair of brackets is missing or misplaced: divide by the whole of 2 * (1 - load).",
            _stable(lambda service_s, load: load * service_s / 2 * (1 - load)),
            _stable(lambda service_s, load: load * service_s / (2 - load)),
            _stable(lambda service_s, load: load * service_s / (2 * 1) - load),
        ),
        variants(
            "The unit is not seconds: the wait is a share of the time of one service. Multiply by service_s.",
            _stable(lambda service_s, load: load / (2 * (1 - load))),
        ),
        variants(
            "The unit is not seconds: the load is multiplied by arrivals per second there. Multiply it by the time of "
            "one service instead.",
            _stable(lambda service_s, load: load / service_s * load / (2 * (1 - load))),
        ),
        variants(
            "That is the load, the share of the time in which the server works. The wait follows from it, by the "
            "formula of the text.",
            _stable(lambda service_s, load: load),
        ),
        variants(
            "That is the time until the answer is there, where services differ at random. Here all take equally long, "
            "and the wait ends when the service starts.",
            _stable(lambda service_s, load: service_s / (1 - load)),
        ),
        variants(
            "The load is not the number of arrivals. It is the share of the time in which the server works: "
            "arrivals_per_s * service_s.",
            _of(lambda service_s, arrivals_per_s: arrivals_per_s),
        ),
        variants(
            "The line grows without end where the *load* reaches 1, not where one request arrives per second.",
            _from_one_per_second,
        ),
        variants(
            "Divide by 1 - load, the share of the time in which the server is free: the wait grows without end as the "
            "load comes near 1.",
            _stable(lambda service_s, load: load * service_s / (2 * (1 + load))),
            _stable(lambda service_s, load: service_s / 2),
        ),
        variants(
            "Requests arrive at random moments. Even where a service is shorter than the mean gap, some come together "
            "and wait.",
            lambda service_s, arrivals_per_s: max(0.0, service_s - 1 / arrivals_per_s),
        ),
        variants(
            "The wait is divided by 2 twice. Half a service is left, on average, when a request reaches a busy "
            "server; that is the only half.",
            _stable(lambda service_s, load: load * service_s / (4 * (1 - load))),
        ),
        variants(
            'From load 1 on the line grows without end: the wait is float("inf").',
            _beyond(lambda value: 0.0),
            _beyond(abs),
            _beyond(lambda value: -math.inf),
            _beyond(lambda value: math.nan),
        ),
        Symptom(
            lambda got, expected, arguments: expected == math.inf and 0 < got < math.inf,
            'A large number is not infinite. From load 1 on the wait is float("inf").',
            (_of(lambda service_s, arrivals_per_s: min(service_s * arrivals_per_s, 0.999)),),
        ),
    ),
    also_correct=(_wait_by_formula, _wait_by_who_is_there),
    forbidden=(md1_wait_s, mg1_wait_s),
)
