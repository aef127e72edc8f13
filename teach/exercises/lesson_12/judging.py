"""Lesson 12, exercises 12.7 and 12.8: luck and size, the two things that make a searched policy look good."""

import itertools
import statistics

import numpy as np
import torch
from torch import tensor

from teach.exercise import Case, Exercise, Mistake, random_cases, random_whole

# 12.7 -----------------------------------------------------------------------------------------------


def choose_and_report(validation: list[list[float]], test: list[list[float]]) -> tuple[int, float]:
    """The policy with the best mean validation accuracy, and its mean test accuracy."""
    best = max(range(len(validation)), key=lambda policy: statistics.fmean(validation[policy]))
    return best, statistics.fmean(test[best])


def _chosen_in_torch(validation, test):
    best = tensor(validation, dtype=torch.float64).mean(dim=1).argmax().item()
    return best, tensor(test, dtype=torch.float64)[best].mean()


def _chosen_in_numpy(validation, test):
    best = np.array(validation).mean(axis=1).argmax()
    return best, np.array(test).mean(axis=1)[best]


def _means(table):
    return [statistics.fmean(row) for row in table]


def _argmax(values):
    return max(range(len(values)), key=lambda at: values[at])


def _single_best(table):
    return _argmax([max(row) for row in table])


def _best_test(validation, test):
    best = _argmax(_means(test))
    return best, _means(test)[best]


def _report_validation(validation, test):
    best, _ = choose_and_report(validation, test)
    return best, _means(validation)[best]


def _both_choose(validation, test):
    best = _argmax([one + other for one, other in zip(_means(validation), _means(test))])
    return best, _means(test)[best]


def _luckiest_seed(validation, test):
    best = _single_best(validation)
    return best, _means(test)[best]


def _best_seed_too(validation, test):
    best, _ = choose_and_report(validation, test)
    return best, max(test[best])


def _lucky_run(validation, test):
    best = _single_best(validation)
    return best, test[best][_argmax(validation[best])]


def _noisy_case(generator: torch.Generator) -> Case:
    """Policies that differ less than their seeds do; the luckiest run, the best test and the best mean are others."""
    for _ in range(1000):
        count = random_whole(generator, 3, 5)
        level = torch.randint(60, 66, (count, 1), generator=generator)
        noise = torch.randint(-5, 6, (2, count, 3), generator=generator)
        validation, test = ((level + one).div(100).double().round(decimals=2).tolist() for one in noise)
        firsts = {choose_and_report(validation, test)[0], _single_best(validation), _argmax(_means(test))}
        if len(firsts) == 3 and len(set(_means(validation))) == count:
            return Case(validation, test)
    raise AssertionError("no such case in a thousand draws")


CHOOSE_AND_REPORT = Exercise(
    id="12.7",
    title="Choose with one, report with another",
    reference=choose_and_report,
    cases=(
        Case([[0.75, 0.5], [0.625, 0.75]], [[0.75, 0.75], [0.5, 0.75]]),
        Case([[0.5, 1.0], [0.875, 0.75]], [[0.875, 0.625], [0.75, 0.625]]),
        Case(
            [[0.25, 0.75, 0.5], [0.625, 0.5, 0.75], [0.5, 0.5, 0.25]], [[0.5, 0.25, 0.5], [0.5, 0.75, 0.25], [1.0] * 3]
        ),
        *random_cases(6, seed=127, make=_noisy_case),
    ),
    mistakes=(
        Mistake(
            _best_test,
            "The policy was chosen with the test accuracies. Then the best of many is reported as if it had been the "
            "only one: choose with the validation accuracies.",
        ),
        Mistake(
            _report_validation,
            "That reports the accuracy that it was chosen by. The best of many noisy numbers is high partly by luck: "
            "report the test accuracy of the policy that was chosen.",
        ),
        Mistake(
            _luckiest_seed,
            "The policy with the luckiest single run was chosen. The more seeds a policy is tried with, the better its "
            "best: take the mean over its seeds.",
        ),
        Mistake(
            _best_seed_too,
            "The choice is right, but the report is the best seed's test accuracy. Report the mean over the seeds.",
        ),
        Mistake(
            _lucky_run,
            "One single run was chosen and reported. Means over the seeds, both for choosing and for reporting.",
        ),
        Mistake(
            lambda validation, test: choose_and_report(validation, test)[1],
            "That is the test accuracy alone. Return two values: the number of the policy, and its test accuracy.",
        ),
        Mistake(
            lambda validation, test: choose_and_report(validation, test)[::-1],
            "The two values are swapped: first the number of the policy, then its test accuracy.",
        ),
        Mistake(
            _both_choose,
            "The test accuracies take part in the choice. Then no number is left that has not chosen: choose with the "
            "validation accuracies alone.",
        ),
    ),
    also_correct=(_chosen_in_torch, _chosen_in_numpy),
)

# 12.8 -----------------------------------------------------------------------------------------------

Policies = list[list[str]]


def size_matched(searched: Policies, rewards: list[float], drawn: Policies, top: int) -> tuple[list[str], list[str]]:
    """The best policies of a search joined into one, and as many sub-policies that chance has drawn."""
    best_first = sorted(range(len(searched)), key=lambda at: -rewards[at])
    joined = _flat(searched[at] for at in best_first[:top])
    return joined, _flat(drawn)[: len(joined)]


def _flat(policies) -> list[str]:
    return list(itertools.chain.from_iterable(policies))


def _matched_in_loops(searched, rewards, drawn, top):
    joined, left = [], list(zip(rewards, searched))
    for _ in range(top):
        best = max(left, key=lambda pair: pair[0])
        left.remove(best)
        for sub_policy in best[1]:
            joined.append(sub_policy)
    control = []
    for policy in drawn:
        for sub_policy in policy:
            if len(control) < len(joined):
                control.append(sub_policy)
    return joined, control


def _matched_in_numpy(searched, rewards, drawn, top):
    order = np.argsort(-np.array(rewards))[:top]
    joined = np.concatenate([searched[at] for at in order]).tolist()
    return joined, np.concatenate(drawn).tolist()[: len(joined)]


def _first_ones(searched, rewards, drawn, top):
    joined = _flat(searched[:top])
    return joined, _flat(drawn)[: len(joined)]


def _worst_ones(searched, rewards, drawn, top):
    joined = _flat(searched[at] for at in sorted(range(len(searched)), key=lambda at: rewards[at])[:top])
    return joined, _flat(drawn)[: len(joined)]


def _joined(searched, rewards, top):
    return size_matched(searched, rewards, [], top)[0]


def _last_of_the_search(searched, rewards, drawn, top):
    """The control from the search itself: the policies that it liked least."""
    joined = _joined(searched, rewards, top)
    worst = sorted(range(len(searched)), key=lambda at: rewards[at])
    return joined, _flat(searched[at] for at in worst)[: len(joined)]


def _one_drawn(searched, rewards, drawn, top):
    return _joined(searched, rewards, top), list(drawn[0])


def _best_alone(searched, rewards, drawn, top):
    best = searched[max(range(len(searched)), key=lambda at: rewards[at])]
    return list(best), _flat(drawn)[: len(best)]


def _as_many_policies(searched, rewards, drawn, top):
    return _joined(searched, rewards, top), _flat(drawn[:top])


def _nested(searched, rewards, drawn, top):
    best_first = sorted(range(len(searched)), key=lambda at: -rewards[at])
    return [searched[at] for at in best_first[:top]], drawn[:top]


def _policies_case(generator: torch.Generator) -> Case:
    """Searched policies of three sub-policies, drawn ones of two: as many policies are not as many sub-policies."""
    count, top = random_whole(generator, 4, 6), random_whole(generator, 2, 3)
    rewards = torch.randperm(count, generator=generator)
    if int(rewards[0]) == count - 1:
        rewards = rewards.roll(1)
    searched = [[f"s{policy}{one}" for one in "abc"] for policy in range(count)]
    drawn = [[f"d{policy}{one}" for one in "ab"] for policy in range(6)]
    return Case(searched, [round(0.5 + reward / 50, 2) for reward in rewards.tolist()], drawn, top)


SIZE_MATCHED = Exercise(
    id="12.8",
    title="A control of the same size",
    reference=size_matched,
    cases=(
        Case([["a", "b"], ["c", "d"], ["e", "f"]], [0.5, 0.75, 0.625], [["u"], ["v"], ["w"], ["x"], ["y"]], 1),
        Case([["a", "b"], ["c", "d"], ["e", "f"]], [0.5, 0.75, 0.625], [["u"], ["v"], ["w"], ["x"], ["y"]], 2),
        Case([["a"], ["b", "c"]], [0.25, 0.5], [["u", "v"], ["w", "x"]], 2),
        *random_cases(6, seed=128, make=_policies_case),
    ),
    mistakes=(
        Mistake(
            _one_drawn,
            "The control is a single policy, and the other one is several, joined. Then variety may be all that is "
            "compared: the control needs as many sub-policies.",
        ),
        Mistake(
            _as_many_policies,
            "The control has as many *policies*, but they may be of another length. Count sub-policies: those are what "
            "a picture draws from.",
        ),
        Mistake(
            _last_of_the_search,
            "The control comes from the search itself, and it is the worst that the search has found. A control is "
            "drawn by chance, without looking at any reward.",
        ),
        Mistake(_best_alone, "That is the best policy alone. Join the `top` best ones into one list of sub-policies."),
        Mistake(_first_ones, "Those are the policies that were tried first. Sort them by their rewards, best first."),
        Mistake(_worst_ones, "Those are the worst ones: sort by the rewards in *descending* order."),
        Mistake(_nested, "Those are lists of policies. A joined policy is one list of sub-policies."),
        Mistake(
            lambda searched, rewards, drawn, top: (_joined(searched, rewards, top), _flat(drawn)),
            "The control has all the sub-policies that were drawn. It must be as large as the joined policy: cut it to "
            "the same length.",
        ),
        Mistake(
            lambda searched, rewards, drawn, top: size_matched(searched, rewards, drawn, top)[::-1],
            "The two lists are swapped: first the searched policies, then the control.",
        ),
    ),
    also_correct=(_matched_in_loops, _matched_in_numpy),
)
