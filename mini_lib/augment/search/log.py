"""The log of a search: a text file, a line of JSON for what decides the search, and one for each group of trials.

A line is written when its group is done, and the disk has it before the search goes on. If the search is killed, at
most the line that was being written is cut short, and that one is dropped when the log is opened again.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mini_lib.augment.policy import Policy
from mini_lib.augment.search.spent import Spent
from mini_lib.files import write_file


@dataclass(frozen=True)
class LoggedGroup:
    """A group of trials that were judged together: policies as plain lists, their rewards, and what they took."""

    policies: list
    rewards: list[float]
    spent: Spent


class Log:
    """The log in one file; `groups` holds what was found in it, by number."""

    def __init__(self, path: str | Path, settings: Mapping[str, object]) -> None:
        """Open a log, or start it.

        Raises:
            ValueError: the file holds the log of another search (the setting that differs is named), or is damaged.
        """
        self.path = Path(path)
        self.groups: dict[int, LoggedGroup] = {}
        wanted = json.loads(json.dumps({"settings": settings}))  # as it is read back: tuples become lists
        content = self.path.read_bytes() if self.path.exists() else b""
        *lines, cut = content.split(b"\n")
        if cut:
            write_file(self.path, content[: len(content) - len(cut)])
        if not lines:
            self._append(wanted)
            return
        found, *groups = (self._read(number, line) for number, line in enumerate(lines, start=1))
        self._compare(found, wanted["settings"])
        for number, group in enumerate(groups, start=2):
            try:
                spent = Spent(group["trained_pictures"], group["judged_pictures"])
                self.groups[group["group"]] = LoggedGroup(group["policies"], group["rewards"], spent)
            except (KeyError, TypeError, ValueError) as error:
                raise self._damaged(number, error) from error

    def add(self, number: int, policies: Sequence[Policy], rewards: Sequence[float], spent: Spent) -> None:
        """Write a group that is done, and return when the disk has it."""
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
            file.write(json.dumps(values).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, number: int, line: bytes) -> dict:
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError("it is no JSON object")
            return values
        except ValueError as error:
            raise self._damaged(number, error) from error

    def _damaged(self, number: int, error: Exception) -> ValueError:
        return ValueError(
            f"line {number} of {self.path} is damaged ({error}); remove it and those after it, and the search goes on "
            "from there, or give a new file"
        )

    def _compare(self, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
        there = found.get("settings")
        if not isinstance(there, dict):
            raise ValueError(f"{self.path} is not the log of a search; give a new file")
        for name in {**wanted, **there}:
            if wanted.get(name) != there.get(name):
                raise ValueError(
                    f"{self.path} is the log of a search with {name} = {there.get(name)!r}, and this one has "
                    f"{wanted.get(name)!r}; give a new file, or the old settings"
                )


def as_lists(policy: Policy) -> list:
    """Return a policy as plain lists, sub-policies of steps of operation name, probability and magnitude."""
    return [[[one.operation.name, one.probability, one.magnitude] for one in sub.steps] for sub in policy.sub_policies]
