"""The loop of every search: a method asks for policies, they are judged, and it is told their rewards.

A method has `ask(count) -> policies` and `tell(policies, rewards)`. All its randomness comes from its seed, so the same
rewards lead to the same policies: a search that was stopped continues by telling the method the rewards in the log
again.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from joblib import delayed

from mini_lib import require
from mini_lib.augment.policy import Policy
from mini_lib.augment.search.log import Log, as_lists
from mini_lib.augment.search.spent import Spent
from mini_lib.parallel import as_they_are_done

# From policies to one reward each; higher is better. It may have `.spent`, the cost of its calls; `.setup`, the cost
# before the first call; and `.settings`, plain values that decide the rewards.
Evaluate = Callable[[Sequence[Policy]], Sequence[float]]


class SearchMethod(Protocol):
    """A method that decides which policies are tried. It may have `.settings`: plain values that decide its choice."""

    def ask(self, count: int) -> list[Policy]:
        """Return at most `count` policies to try next; none when the search is finished."""

    def tell(self, policies: Sequence[Policy], rewards: Sequence[float]) -> None:
        """Take the rewards of policies that were asked for."""


@dataclass(frozen=True)
class Judged:
    """A policy and its reward."""

    policy: Policy
    reward: float


@dataclass(frozen=True)
class SearchOutcome:
    """All policies that a search tried, in the order in which it asked for them, and its cost.

    Raises:
        TypeError: something other than a `Judged` is among them, or `spent` is not a `Spent`.
        ValueError: there is none.
    """

    trials: tuple[Judged, ...]
    spent: Spent

    def __post_init__(self) -> None:
        require.of_type("trials", self.trials, (list, tuple), fix="run_search gives them")
        require.of_type("spent", self.spent, Spent, fix="use Spent()")
        for trial in self.trials:
            require.of_type("each trial", trial, Judged, fix="use Judged(policy, reward)")
        object.__setattr__(self, "trials", tuple(self.trials))
        if not self.trials:
            raise ValueError("an outcome needs at least one trial, got none; the method asked for no policy")

    @property
    def best(self) -> Judged:
        """The first trial with the highest reward. That reward is too good to trust: this trial was also the
        luckiest."""
        return max(self.trials, key=lambda trial: trial.reward)

    @property
    def history(self) -> tuple[float, ...]:
        """The highest reward up to each trial."""
        best, history = float("-inf"), []
        for trial in self.trials:
            best = max(best, trial.reward)
            history.append(best)
        return tuple(history)

    def joined(self, count: int) -> Policy:
        """Return the sub-policies of the `count` best trials as one policy.

        AutoAugment trains its final net with such a policy.

        Raises:
            TypeError, ValueError: `count` is not a whole number from 1 to the number of trials.
        """
        count = require.whole("count", count, low=1, high=len(self.trials), fix="AutoAugment joins 5")
        ranked = sorted(self.trials, key=lambda trial: -trial.reward)[:count]
        return Policy([one for trial in ranked for one in trial.policy.sub_policies])


def run_search(
    method: SearchMethod,
    evaluate: Evaluate,
    *,
    trials: int,
    together: int = 8,
    groups: int = 1,
    log: str | Path | None = None,
    progress: Callable[[Judged], None] | None = None,
) -> SearchOutcome:
    """Try `trials` policies, or fewer if the method finishes earlier, and return the outcome.

    In each round the method is asked for `together * groups` policies. `evaluate` judges `together` of them per call:
    children are then one grouped model. Each group is one task for joblib, which decides where it runs. By default that
    is this process, one group after the other. For one process per core, or for other machines, set another backend
    around the call:

        with joblib.parallel_config(backend="loky", n_jobs=2):
            run_search(method, evaluate, trials=160, groups=2)

        client = distributed.Client(address)                # a scheduler of dask; its workers need this package
        with joblib.parallel_config(backend="dask"):
            run_search(method, evaluate, trials=160, groups=16)

    The outcome is the same wherever a group runs, if it has the same number of threads. It depends on `together` and
    `groups`: in larger rounds the method knows fewer rewards when it is asked. Give a fresh `method`; it will have been
    told all rewards.

    With a `log`, each group is written to that file when it is done. A search that was stopped or killed reads the file
    when it is started again with the same settings. Only the groups that were running are lost, and the outcome is that
    of a search that was never interrupted. `progress(judged)` is called for each trial, including those in the log.

    Raises:
        TypeError: the method has no `ask` and `tell`, `evaluate` cannot be called, a count is not a whole number, or a
            reward is not a number.
        ValueError: a count is below 1, there is not one finite reward per policy, or the log is damaged or that of
            another search.
    """
    for name in ("ask", "tell"):
        require.callable_(f"method.{name}", getattr(method, name, None), fix="use RandomSearch(space, seed=0), say")
    if log is not None:
        require.of_type("log", log, (str, Path), fix="give the name of a file")
    if progress is not None:
        require.callable_("progress", progress, fix="None leaves it out")
    require.callable_("evaluate", evaluate, fix="pass a function from policies to rewards, such as ByChildren(...)")
    trials = require.whole("trials", trials, low=1, fix="some hundred suit a small search")
    together = require.whole("together", together, low=1, fix="8 children as one model take half the time of 8 alone")
    groups = require.whole("groups", groups, low=1, fix="as many as there are processes")
    written = None if log is None else Log(log, _settings(method, evaluate, together, groups))
    judged: list[Judged] = []
    spent = getattr(evaluate, "setup", Spent())
    number = 0  # of groups so far
    while len(judged) < trials:
        asked = method.ask(min(together * groups, trials - len(judged)))
        if not asked:
            break
        waiting = {number + i // together: asked[i : i + together] for i in range(0, len(asked), together)}
        number += len(waiting)
        rewards: dict[int, Sequence[float]] = {}
        for group, found, took in _judge_all(evaluate, waiting, written):
            rewards[group] = found
            spent += took
            for policy, reward in zip(waiting[group], found):
                if progress is not None:
                    progress(Judged(policy, reward))
        in_order = [reward for group in waiting for reward in rewards[group]]
        method.tell(asked, in_order)
        judged += [Judged(policy, reward) for policy, reward in zip(asked, in_order)]
    return SearchOutcome(tuple(judged), spent)


def _judge_all(evaluate: Evaluate, waiting: Mapping[int, list[Policy]], log: Log | None):
    """Yield the number, the rewards and the cost of each group, first those in the log."""
    known = {} if log is None else {group: log.groups[group] for group in waiting if group in log.groups}
    for group, found in known.items():
        if found.policies != [as_lists(policy) for policy in waiting[group]]:
            raise ValueError(
                f"group {group} of {log.path} holds other policies than this search asks for: its method, space or "
                "seed differs, or it ended with fewer trials; give a new file, or the old settings"
            )
        yield group, found.rewards, found.spent
    tasks = (delayed(_judge)(evaluate, group, ours) for group, ours in waiting.items() if group not in known)
    for group, found, took in as_they_are_done(tasks):
        if log is not None:
            log.add(group, waiting[group], found, took)
        yield group, found, took


def _judge(evaluate: Evaluate, group: int, policies: list[Policy]) -> tuple[int, list[float], Spent]:
    """Judge a group, maybe in another process. The cost is counted on a copy, since a process has its own anyway."""
    own = copy.copy(evaluate)
    counts = hasattr(own, "spent")
    if counts:
        own.spent = Spent()
    found = own(policies)
    if not isinstance(found, Iterable):
        raise TypeError(f"evaluate must give a list of rewards, got {require.shown(found)}; return one per policy")
    numbers = (one.item() if hasattr(one, "item") else one for one in found)
    rewards = [require.finite("a reward", one, fix="find out why the child failed") for one in numbers]
    if len(rewards) != len(policies):
        raise ValueError(f"evaluate must give one reward per policy, got {len(rewards)} for {len(policies)} policies")
    return group, rewards, own.spent if counts else Spent()


def _settings(method: SearchMethod, evaluate: Evaluate, together: int, groups: int) -> dict[str, object]:
    settings: dict[str, object] = {"together": together, "groups": groups}
    for role, thing in (("method", method), ("evaluate", evaluate)):
        settings[role] = getattr(thing, "__qualname__", type(thing).__qualname__)
        settings |= {f"{role}.{name}": value for name, value in getattr(thing, "settings", {}).items()}
    return settings
