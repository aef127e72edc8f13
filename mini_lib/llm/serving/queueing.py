"""Waiting times in closed form, which a simulator must reproduce.

Source: Kleinrock, "Queueing Systems", volume 1, 1975, section 5.6 (the formula of Pollaczek and Khinchine).
"""

from mini_lib.require import not_negative, positive, share


def mg1_wait_s(service_s: float, deviation_s: float, load: float) -> float:
    """Return the mean wait in a queue with one server, Poisson arrivals and any service times.

    `service_s` and `deviation_s` are the mean and the standard deviation of a service, and `load` is the share of the
    time in which the server works. Three things cause waiting: load, long services, and services that differ.

    Raises:
        TypeError: an argument is not a number.
        ValueError: the mean is not above 0, the deviation is negative, `load` is outside [0, 1), or the wait is
            infinite.

    With exponential services (deviation = mean) of 1 s at load 1/2, the mean wait is as long as the mean service:

    >>> mg1_wait_s(1.0, 1.0, 0.5)
    1.0
    """
    service_s = positive("service_s", service_s, fix="give the seconds of one service")
    deviation_s = not_negative("deviation_s", deviation_s, fix="0 means that all services are equal")
    load = share("load", load, zero=True, one=False, fix="from 1 on the queue grows without end")
    wait_s = load * (service_s + deviation_s * (deviation_s / service_s)) / (2 * (1 - load))
    return not_negative("the wait", wait_s, fix="give times that lie closer together")


def md1_wait_s(service_s: float, load: float) -> float:
    """Return the mean wait in a queue with one server, Poisson arrivals and services that all take `service_s`.

    Raises:
        TypeError: an argument is not a number.
        ValueError: `service_s` is not above 0, or `load` is outside [0, 1).

    Half as long as with exponential services. From load 1/2 to 0.9 it grows ninefold:

    >>> md1_wait_s(1.0, 0.5), round(md1_wait_s(1.0, 0.9), 6)
    (0.5, 4.5)
    """
    return mg1_wait_s(service_s, 0.0, load)


def md1_knee() -> float:
    """Return the load at which a queue with equal services has the highest throughput over latency.

    Throughput over latency is load * 2 (1 - load) / (2 - load) for services of 1 s; its derivative is 0 where
    load^2 - 4 load + 2 = 0.

    Source: Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in computer
    communications", ICC 1979.

    >>> round(md1_knee(), 3)
    0.586
    """
    return 2 - 2**0.5
