"""Time that runs out: whatever the learner's loop catches, it ends; and nothing is left behind."""

import contextlib
import itertools
import signal
import sys
import threading
import time

import pytest

from teach import deadline
from teach.deadline import OutOfTime, counted, within


def endless():
    while True:
        pass


def endless_that_catches_exceptions():
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


def endless_that_catches_all():
    while True:
        try:
            while True:
                pass
        except:  # noqa: E722  what people write
            pass


def endless_that_suppresses():
    import contextlib

    while True:
        with contextlib.suppress(BaseException):
            while True:
                pass


def endless_at_the_end():
    try:
        endless()
    finally:
        endless()


def asleep():
    time.sleep(1000)


@pytest.fixture(params=["alarm", "thread"], autouse=True)
def clock(request, monkeypatch):
    """Both ways to end a loop: the one of Unix, and the one for Windows."""
    if request.param == "thread":
        monkeypatch.delattr(signal, "SIGALRM", raising=False)
    elif not hasattr(signal, "SIGALRM"):
        pytest.skip("this system has no SIGALRM")
    return request.param


ENDLESS = [endless, endless_that_catches_exceptions, endless_that_catches_all, endless_that_suppresses]


@pytest.mark.parametrize("loop", [*ENDLESS, endless_at_the_end])
def test_a_loop_ends_whatever_it_catches(loop):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, getattr(signal, "SIGALRM", signal.SIGINT))]
    with pytest.raises(OutOfTime) as ended, within(0.1), counted("this case"):
        loop()
    assert ended.value.at == "this case"
    assert handlers == [
        signal.getsignal(number) for number in (signal.SIGINT, getattr(signal, "SIGALRM", signal.SIGINT))
    ]
    time.sleep(3 * deadline.AGAIN_S)  # nothing rings any more


def test_sleep_ends_too(clock):
    if clock == "thread":
        pytest.skip("an interrupt from a thread waits for the end of a sleep here")
    with pytest.raises(OutOfTime), within(0.1), counted(None):
        asleep()


def test_all_that_is_counted_shares_the_seconds():
    with within(60):
        left_s = [60.0]
        for at in range(3):
            with counted(at):
                time.sleep(0.01)
            left_s.append(deadline._budget._left_s)
    assert all(later <= earlier - 0.01 for earlier, later in itertools.pairwise(left_s))


def test_where_nothing_is_left_the_next_call_ends():
    with pytest.raises(OutOfTime) as ended, within(0.1):
        with counted("first"):
            deadline._budget._left_s = 0.0
        with counted("second"):
            endless()
    assert ended.value.at == "second"


def test_what_is_not_counted_takes_as_long_as_it_likes():
    with within(0.5):
        with counted(None):
            pass
        time.sleep(0.7)
        with counted(None):
            pass


def test_without_a_limit_nothing_is_counted():
    before = signal.getsignal(signal.SIGINT)
    with counted(None):
        assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_there_is_no_limit():
    ended = []

    def work():
        with within(0.001), counted(None):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_the_learners_own_interrupt_stays_one():
    with pytest.raises(KeyboardInterrupt), within(5), counted(None):
        signal.raise_signal(signal.SIGINT)


def test_a_tracer_is_put_back():
    def tracer(*event):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(OutOfTime), within(0.1), counted(None):
            endless()
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_a_timer_that_was_set_before_still_rings(clock):
    if clock == "thread":
        pytest.skip("only an alarm shares a timer")
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(OutOfTime), within(0.1), counted(None):
            endless()
        end = time.monotonic() + 5
        while not rung and time.monotonic() < end:
            time.sleep(0.01)
        assert rung == [True]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
