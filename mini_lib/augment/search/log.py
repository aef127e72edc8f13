"""The log of a search: a text file with one line of JSON for the settings and one for each group of trials.

A line is written when its group is done, and is on disk before the search goes on. If the search is killed, at most the
line that was being written is cut short, and that line is dropped when the log is opened again. Each line holds its own
sha256, so that a single changed bit is noticed; a line without one is from an earlier version.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mini_lib import require
from mini_lib.augment.policy import Policy
from mini_lib.augment.search.random_search import need_rewards
from mini_lib.augment.search.spent import Spent
from mini_lib.files import UNSEALED, seal_holds, sealed, write_file

_GROUP = ("group", "policies", "rewards", "trained_pictures", "judged_pictures")


@dataclass(frozen=True)
class LoggedGroup:
    """A group of trials that were judged together: policies as plain lists, their rewards, and their cost."""

    policies: list
    rewards: list[float]
    spent: Spent


class Log:
    """The log in one file; `groups` holds the groups found in it, by number."""

    def __init__(self, path: str | Path, settings: Mapping[str, object]) -> None:
        """Open a log, or start it.

        Raises:
            ValueError: the file holds the log of another search (the message names the setting that differs), is not a
                log, or is damaged. It is left as it was.
        """
        self.path = Path(path)
        self.groups: dict[int, LoggedGroup] = {}
        wanted = json.loads(json.dumps({"settings": settings}))  # as it will be read back: tuples become lists
        content = self.path.read_bytes() if self.path.is_file() else b""
        *lines, cut = content.split(b"\n")
        if not lines and _line(wanted).startswith(cut):  # empty, or only a part of the first line
            write_file(self.path, _line(wanted))  # not appended: two processes that start write one first line
            return
        self._compare(lines[0] if lines else cut, wanted["settings"])
        for number, line in enumerate(lines[1:], start=2):
            try:
                group = _object(line, _GROUP)
                spent = Spent(group["trained_pictures"], group["judged_pictures"])
                rewards = need_rewards(group["policies"], group["rewards"])
                place = require.whole("group", group["group"], low=0, fix="groups are counted from 0")
                self.groups[place] = LoggedGroup(group["policies"], rewards, spent)
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise ValueError(
                    f"line {number} of {self.path} is damaged ({error}); remove it and those after it, and the search "
                    "goes on from there, or give a new file"
                ) from error
        if cut:
            write_file(self.path, content[: len(content) - len(cut)])

    def add(self, number: int, policies: Sequence[Policy], rewards: Sequence[float], spent: Spent) -> None:
        """Write a finished group, and return when it is on disk."""
        self._append(
            {
                "group": number,
                "policies": [as_lists(policy) for policy in policies],
                "rewards": list(rewards),
                "trained_pictures": spent.trained_pictures,
                "judged_pictures": spent.judged_pictures,
            }
        )

    def _append(self, values: Mapping[str, object]) -> None:
        with open(self.path, "ab") as file:
            file.write(_line(values))
            file.flush()
            os.fsync(file.fileno())

    def _compare(self, line: bytes, wanted: Mapping[str, object]) -> None:
        try:
            there = dict(_object(line, {"settings"})["settings"])
        except (KeyError, TypeError, ValueError, RecursionError):
            raise ValueError(
                f"{self.path} is not the log of a search, or its first line is damaged; give a new file"
            ) from None
        for name in {**wanted, **there}:
            if wanted.get(name) != there.get(name):
                raise ValueError(
                    f"{self.path} is the log of a search with {name} = {there.get(name)!r}, and this one has "
                    f"{wanted.get(name)!r}; give a new file, or the old settings"
                )


def _line(values: Mapping[str, object]) -> bytes:
    return sealed(json.dumps({"sha256": UNSEALED, **values}).encode()) + b"\n"


def _object(line: bytes, names: Collection[str]) -> dict:
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    if set(values) != set(names) and not seal_holds(line, values.get("sha256")):
        raise ValueError("it is not what was written: the sha256 in it differs")
    return values


def as_lists(policy: Policy) -> list:
    """Return a policy as plain lists, sub-policies of steps of operation name, probability and magnitude."""
    return [[[one.operation.name, one.probability, one.magnitude] for one in sub.steps] for sub in policy.sub_policies]
