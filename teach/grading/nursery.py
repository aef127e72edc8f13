"""The process that children are forked from (Linux). It sees no order and no report: a child that searches its own
memory finds nothing of the submissions before it.
"""

import contextlib
import json
import os
import signal
import socket
import time
from typing import Any

from teach.exercise import Exercise
from teach.grading import child, linux
from teach.grading.processes import sweep

START, LOOK, FINISH = b"s", b"l", b"f"  # what the keeper asks for; each is answered by one number
RUNNING = 1000  # in place of an exit status


class Nursery:
    """The keeper's side."""

    def __init__(self, exercises: dict[str, Exercise]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keeper = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._line.close()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                linux.die_with_parent(keeper)
                linux.adopt_orphans()
                _serve(theirs, exercises)
            finally:
                os._exit(0)
        theirs.close()

    def fork(self, order: dict[str, Any]) -> "Forked":
        """A new child that carries out an order."""
        its_order, order_in = os.pipe()
        reports, its_reports = os.pipe()
        socket.send_fds(self._line, [START], [its_order, its_reports])
        os.close(its_order)
        os.close(its_reports)
        pid = self._answer()
        with contextlib.suppress(BrokenPipeError), os.fdopen(order_in, "wb") as writing:  # it has ended already
            writing.write(json.dumps(order).encode("ascii"))
        return Forked(self, pid, reports)

    def ask(self, what: bytes) -> int:
        """One question about the child that is there."""
        self._line.send(what)
        return self._answer()

    def close(self) -> None:
        """End the child that is there, with all that came from it, and the nursery."""
        with contextlib.suppress(OSError):
            self.ask(FINISH)
        self._line.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _answer(self) -> int:
        answer = self._line.recv(20)
        if not answer:
            raise ConnectionError("the process that children are forked from has ended")
        return int(answer)


class Forked:
    """A child made by fork, with the face of a `subprocess.Popen`."""

    def __init__(self, nursery: Nursery, pid: int, reports: int) -> None:
        self._nursery, self.pid, self.stdout = nursery, pid, os.fdopen(reports, "rb")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, as `subprocess` counts: minus the signal's number, or the exit status; None while it runs."""
        if self.returncode is None:
            status = self._nursery.ask(LOOK)
            self.returncode = None if status == RUNNING else status
        return self.returncode

    def finish(self) -> int:
        """End it and all that came from it; its exit status."""
        status = self._nursery.ask(FINISH)
        self.returncode = status if self.returncode is None else self.returncode
        return self.returncode


def _serve(line: socket.socket, exercises: dict[str, Exercise]) -> None:
    """Does what the keeper asks for, until it is gone."""
    own, pid, status = os.getpid(), 0, 0
    while True:
        asked, given, _, _ = socket.recv_fds(line, 1, 2)
        if asked == START:
            pid, status = os.fork(), RUNNING
            if pid == 0:
                line.close()
                child.serve(given[0], exercises, given[1], own)
            for number in given:
                os.close(number)
        elif asked == FINISH:
            status = _end(pid, status)
            sweep()
        elif asked == LOOK:
            status = _status(pid, status)
        else:
            return
        line.send(b"%d" % (pid if asked == START else status))


def _status(pid: int, status: int) -> int:
    if status == RUNNING:
        ended, raw = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(raw) if ended else RUNNING
    return status


def _end(pid: int, status: int) -> int:
    if (status := _status(pid, status)) == RUNNING:
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):  # there is no such group any more
        if pid:
            os.killpg(pid, signal.SIGKILL)
    while (status := _status(pid, status)) == RUNNING:
        time.sleep(0.001)
    return status
