"""Lesson 12, exercise 12.7: luck, the first thing that makes a searched policy look good."""

import statistics

import numpy as np
import torch
from torch import tensor

from teach.exercise import Case, Exercise, Mistake, Symptom, random_cases, random_whole
from teach.variants import variants

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


def _chosen_by(score, report=statistics.fmean):
    """A wrong answer: the policy with the highest `score(its accuracies)`, and `report(its test accuracies)`."""

    def wrong(validation, test):
        best = _argmax([score(row) for row in validation])
        return best, report(test[best])

    return wrong


def _reports(report):
    """A wrong answer: the right policy, and `report(its validation, its test, all tests)`."""

    def wrong(validation, test):
        best, _ = choose_and_report(validation, test)
        return best, report(validation[best], test[best], test)

    return wrong


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
        Case([[0.25, 1.0], [0.5, 0.5]], [[0.5, 0.75], [0.25, 0.5]]),
        *random_cases(6, seed=127, make=_noisy_case),
    ),
    mistakes=(
        Mistake(
            _chosen_by(min), "The policy whose *worst* seed is best was chosen. Choose by the mean over the seeds."
        ),
        Mistake(
            _best_test,
            "The policy was chosen with the test accuracies. Then the best of many is reported as if it had been the "
            "only one: choose with the validation accuracies.",
        ),
        Mistake(
            _chosen_by(statistics.median),
            "The policy with the best *median* was chosen. Choose by the mean over the seeds, as you report it.",
        ),
        Mistake(
            _report_validation,
            "That reports the accuracy by which the policy was chosen. The best of many noisy numbers is high partly "
            "by luck: report the test accuracy of that policy.",
        ),
        Mistake(
            _luckiest_seed,
            "The policy with the luckiest single run was chosen. The more seeds a policy is tried with, the better "
            "its best run: take the mean over its seeds.",
        ),
        Mistake(
            _best_seed_too,
            "The choice is right, but the report is the best seed's test accuracy. Report the mean over the seeds.",
        ),
        Mistake(
            _lucky_run,
            "A single run was chosen and reported. Use means over the seeds, both for choosing and for reporting.",
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
            "The test accuracies take part in the choice. Then no number is left for an independent report: choose "
            "with the validation accuracies alone.",
        ),
    ),
    symptoms=(
        variants(
            "The choice is right. The report is one of the seeds or their sum. Take the mean over the seeds.",
            _reports(lambda validation, test, tests: test[_argmax(validation)]),
            _reports(lambda validation, test, tests: test[0]),
            _reports(lambda validation, test, tests: test[-1]),
            _reports(lambda validation, test, tests: min(test)),
            _reports(lambda validation, test, tests: sum(test)),
            _reports(lambda validation, test, tests: statistics.median(test)),
        ),
        variants(
            "The choice is right, but the validation accuracy takes part in the report, and it is high partly by luck. "
            "Report the test accuracy alone.",
            _reports(lambda validation, test, tests: (statistics.fmean(validation) + statistics.fmean(test)) / 2),
            _reports(lambda validation, test, tests: statistics.fmean(validation) - statistics.fmean(test)),
            _reports(lambda validation, test, tests: max(validation)),
        ),
        variants(
            "The choice is right, but the report is the mean of all policies. Report the one that was chosen.",
            _reports(lambda validation, test, tests: statistics.fmean(_means(tests))),
        ),
        variants(
            "One seed or the median decides. Choose by the mean over the seeds, and report the mean.",
            _chosen_by(lambda row: row[0], lambda row: row[0]),
            _chosen_by(lambda row: row[0]),
            _chosen_by(statistics.median, statistics.median),
        ),
        variants(
            "That is the policy with the *lowest* validation accuracy. Choose the highest.",
            _chosen_by(lambda row: -statistics.fmean(row)),
        ),
        variants(
            "The means were taken over the policies, and a seed was chosen. Each row is a policy: take the mean of "
            "a row.",
            lambda validation, test: (
                _argmax(_means(zip(*validation))),
                statistics.fmean(test[min(_argmax(_means(zip(*validation))), len(test) - 1)]),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and isinstance(got[1], (list, tuple, torch.Tensor)),
            "The second value is a list. Report one number: the mean over the seeds.",
            (_reports(lambda validation, test, tests: test),),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and got[0] == expected[0] + 1,
            "The policies are numbered from 0: the first row is policy 0.",
            (
                lambda validation, test: (
                    choose_and_report(validation, test)[0] + 1,
                    choose_and_report(validation, test)[1],
                ),
            ),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) > 2,
            "Return only two values: the number of the policy, and its test accuracy.",
            (lambda validation, test: (*choose_and_report(validation, test), 0.5),),
        ),
        Symptom(
            lambda got, expected, arguments: len(got) == 2 and got[0] == expected[0] and got[1] != expected[1],
            "The choice is right, and the report is not. Report the mean of the *test* accuracies of that policy.",
            (_reports(lambda validation, test, tests: 0.125),),
        ),
    ),
    also_correct=(_chosen_in_torch, _chosen_in_numpy),
)
