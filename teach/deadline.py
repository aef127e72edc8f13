"""A time limit on the learner's code: counted while that code runs, and not while the check itself works.

    with within(20):               # in `check`
        with counted(case):        # in `run`, around each call of the learner's function
            answer(*args)

Without `within`, `counted` does nothing. A loop inside one call of C code cannot be stopped.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN_S = 0.05  # a bare `except` may catch the first OutOfTime: so often another follows


class OutOfTime(BaseException):
    """Raised in the learner's code when its time is up; `at` is what `counted` was given. Not an Exception, which
    `except Exception` would catch.
    """

    at: Any = None


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What runs inside `counted` gets `seconds` in all, and then an OutOfTime. Only the main thread can be stopped."""
    global _budget
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _budget = _budget, _Budget(seconds)
    try:
        with _budget.clock:
            yield
    finally:
        _budget = before


class counted:
    """A `with` block whose time counts; `what` is kept in the OutOfTime that ends it."""

    def __init__(self, what: Any) -> None:
        self._what = what
        self._budget = _budget

    def __enter__(self) -> None:
        if self._budget:
            self._budget.start(sys._getframe(1))

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._budget:
            self._budget.stop()
        if isinstance(error, OutOfTime):
            error.at = self._what


class _Budget:
    """The seconds that are left, and the clock that ends them."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds
        self._outside: FrameType | None = None  # the frame that the learner's code was called from, while it runs
        self.clock = _Alarm(self.ring) if hasattr(signal, "SIGALRM") else _Watch(self.ring)

    def start(self, outside: FrameType) -> None:
        self._outside, self._began, self._trace = outside, time.monotonic(), sys.gettrace()
        self.clock.start(max(self._left_s, 0.001))

    def stop(self) -> None:
        self._outside = None
        self.clock.stop()
        sys.settrace(self._trace)
        self._left_s -= time.monotonic() - self._began

    def ring(self, frame: FrameType | None) -> None:
        """End the learner's code, by OutOfTime here and, where a bare `except` catches it, at the next line again."""
        if self._outside is None:
            return
        sys.settrace(lambda *event: None)  # else no frame is traced
        while frame is not None and frame is not self._outside:
            frame.f_trace = _at_next_line
            frame = frame.f_back
        raise OutOfTime


def _at_next_line(frame: FrameType, event: str, value: Any) -> Any:
    if event == "line":
        raise OutOfTime
    return _at_next_line


class _Alarm:
    """The system's own timer and its signal; what they were set to before is put back."""

    def __init__(self, ring: Any) -> None:
        self._ring = ring

    def __enter__(self) -> None:
        self._began = time.monotonic()
        self._timer = signal.setitimer(signal.ITIMER_REAL, 0)
        self._handler = signal.signal(signal.SIGALRM, lambda number, frame: self._ring(frame))

    def start(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def __exit__(self, *error: Any) -> None:
        self.stop()
        signal.signal(signal.SIGALRM, self._handler if self._handler is not None else signal.SIG_DFL)
        delay_s, every_s = self._timer
        if delay_s:
            signal.setitimer(signal.ITIMER_REAL, max(delay_s - (time.monotonic() - self._began), 0.001), every_s)


class _Watch:
    """A thread that interrupts the main one, as Ctrl-C does: for Windows, which has no such timer."""

    def __init__(self, ring: Any) -> None:
        self._ring = ring
        self._lock = threading.Lock()  # held while interrupting: none comes after `stop`
        self._ended = threading.Event()
        self._is_due = False

    def __enter__(self) -> None:
        self._handler = signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if not self._is_due:  # the learner's own
            raise KeyboardInterrupt
        self._ring(frame)

    def start(self, seconds: float) -> None:
        self._is_due, self._ended = False, threading.Event()
        threading.Thread(target=self._wait, args=(seconds, self._ended), daemon=True).start()

    def _wait(self, seconds: float, ended: threading.Event) -> None:
        while not ended.wait(seconds):
            with self._lock:
                if not ended.is_set():
                    self._is_due = True
                    _thread.interrupt_main()
            seconds = AGAIN_S

    def stop(self) -> None:
        with self._lock:
            self._ended.set()
        self._is_due = False

    def __exit__(self, *error: Any) -> None:
        self.stop()
        signal.signal(signal.SIGINT, self._handler if self._handler is not None else signal.default_int_handler)


_budget: _Budget | None = None
