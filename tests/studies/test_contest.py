"""The contest of policies: what all arms share, what a search may spend and see, how it goes on, and its tables."""

import json
import re
from dataclasses import replace
from functools import cache
from statistics import fmean

import pytest
import tiny_contest as tiny
import torch

from mini_lib.augment.policy import Policy
from mini_lib.augment.random_policies import RandAugment
from mini_lib.data import Split, Splits, fashion
from studies.augment import contest_record as record
from studies.augment import contest_run, finals, searches
from studies.augment.contest import (
    AFFINE,
    ALL_LABELS,
    CONTROLLER,
    DENSITY,
    EVOLUTION,
    FORWARD,
    HALF,
    JOINED,
    METHODS,
    NONE,
    POPULATION,
    RANDAUGMENT,
    RANDOM,
    RANDOM_SEARCH,
    SEARCHED,
    TPE,
    TRIVIAL,
    WITHOUT_CHILDREN,
    Contest,
    Final,
    Search,
    pictures_of,
)
from studies.augment.finals import train_final


def says(message: str) -> str:
    return re.escape(message)


@cache
def shipped() -> Splits:
    return fashion()


def timeless(results: record.Results) -> record.Results:
    """The same without seconds, which differ, and without the settings, in which functions differ."""
    return record.Results(
        tuple(replace(one, seconds=0.0) for one in results.searches),
        tuple(replace(one, seconds=0.0) for one in results.finals),
        {},
    )


@cache
def whole() -> record.Results:
    """A tiny contest of all methods, here, one part after the other."""
    return contest_run.run_contest(tiny.contest(methods=METHODS))


# --- pictures ------------------------------------------------------------------------------------------------------


def test_the_pictures_of_all_seeds_are_apart_and_balanced():
    contest = Contest()
    parts = [pictures_of(contest, seed, shipped()) for seed in contest.seeds]
    own = [one for part in parts for one in (part.train, part.validation)]
    assert all(one.labels.bincount().tolist() == [50] * 10 for one in own)
    together = torch.cat([one.images.flatten(1) for one in own])
    assert torch.equal(together, shipped().train.images[: len(together)].flatten(1))
    assert all(torch.equal(part.test.images, shipped().test.images) for part in parts)


def test_a_seed_without_pictures():
    with pytest.raises(ValueError, match=says("seed 16 needs pictures 16000 to 16999, and there are 16000; use seeds")):
        pictures_of(Contest(), 16, shipped())


@pytest.mark.parametrize("given, message", [
    ({"seeds": ()}, "seeds must be one or more different numbers, got (); (0, 1, 2) is a start"),
    ({"seeds": (1, 1)}, "seeds must be one or more different numbers, got (1, 1)"),
    ({"methods": ("luck",)}, "methods must be some of random search, evolution"),
    ({"trials": 0}, "trials must be a whole number of 1 or more, got 0; see the settings of the record"),
    ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0, got 0.0"),
])  # fmt: skip
def test_a_contest_that_cannot_be(given, message):
    with pytest.raises(ValueError, match=says(message)):
        Contest(**given)


# --- what a search may spend and see -------------------------------------------------------------------------------


def test_every_method_trains_on_as_many_pictures():
    contest = tiny.contest()
    budget = contest.trials * contest.child_steps * contest.batch_size
    spent = {(one.method, one.seed): one.trained_pictures for one in whole().searches}
    assert set(spent) == {(method, seed) for method in METHODS for seed in contest.seeds}
    for (method, _), pictures in spent.items():
        if method == DENSITY:  # one net, and the rest of its work is judging
            assert pictures == contest.final_steps * contest.batch_size
        else:  # 5 nets of 4 steps are 10 children of 2
            assert pictures == budget
    assert all(len(one.rewards) == 10 for one in whole().searches if one.method not in (POPULATION, DENSITY))


def test_no_search_and_no_choice_sees_test_data():
    """With all test labels exchanged, every policy stays, and so does the method that is best."""
    splits = tiny.pictures()
    exchanged = replace(splits, test=Split(splits.test.images, 1 - splits.test.labels))
    contest = tiny.contest(methods=(RANDOM_SEARCH, RANDAUGMENT, DENSITY), load_data=lambda: exchanged)
    other = contest_run.run_contest(contest)
    for one in other.searches:
        [same] = [here for here in whole().searches if (here.seed, here.method) == (one.seed, one.method)]
        assert (one.policy, one.best, one.rewards) == (same.policy, same.best, same.rewards)
        assert one.again_test == pytest.approx([1 - share for share in same.again_test])
    assert other.settings["best"] in (RANDOM_SEARCH, DENSITY)


def test_the_policy_is_the_best_trials_joined():
    """Of 10 trials of 2 sub-policies each, the 2 best make 4 sub-policies, the winner's first."""
    for one in whole().searches:
        if one.method in (RANDOM_SEARCH, EVOLUTION, CONTROLLER, TPE, DENSITY):
            policy, best = json.loads(one.policy), json.loads(one.best)
            assert (len(policy), policy[:2]) == (4, best)
        if one.method not in (POPULATION, RANDAUGMENT):
            assert one.reward == max(one.rewards)


def test_randaugment_is_tuned_on_a_grid_by_means():
    [one] = [one for one in whole().searches if (one.method, one.seed) == (RANDAUGMENT, 0)]
    grid = [(count, magnitude) for count in searches.COUNTS for magnitude in searches.MAGNITUDES]
    found = json.loads(one.best)
    assert one.rewards[grid.index((found["count"], found["magnitude"]))] == one.reward == max(one.rewards)
    assert searches.augment_of(RANDAUGMENT, one.policy, 8) == RandAugment(found["count"], found["magnitude"])


def test_a_schedule_comes_back_from_its_text():
    [one] = [one for one in whole().searches if (one.method, one.seed) == (POPULATION, 0)]
    assert len(json.loads(one.policy)) == searches.PARTS
    augment = searches.augment_of(POPULATION, one.policy, 2)
    images = torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8)
    for _ in range(2):
        assert augment(images, torch.Generator().manual_seed(0)).shape == images.shape
    with pytest.raises(ValueError, match="this schedule was begun for 2 steps, got one more"):
        augment(images, torch.Generator())


def test_winners_as_text():
    texts = {one.method: record.winner_text(one) for one in whole().searches if one.seed == 0}
    assert re.fullmatch(r"count \d, magnitude \d+", texts[RANDAUGMENT])
    assert texts[POPULATION].count("operation") == 2 * searches.PARTS  # a table of two steps in a row for each part
    assert texts[TPE].splitlines()[0].split() == 2 * ["operation", "probability", "magnitude"]


def test_an_unknown_method():
    with pytest.raises(ValueError, match="there is no method 'luck'; there are random search, evolution"):
        searches.search(tiny.contest(), 0, "luck")


# --- the final nets ------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """What `train_children` is asked for by the final nets: (augments, train, recipe, seeds)."""
    calls = []
    trains = finals.train_children

    def spy(build, augments, train, validation, recipe, seeds):
        calls.append((augments, train, recipe, seeds))
        return trains(build, augments, train, validation, recipe, seeds)

    monkeypatch.setattr(finals, "train_children", spy)
    return calls


def test_all_arms_take_the_same_steps_from_the_same_weights(asked):
    contest = tiny.contest()
    for arm in contest.arms:
        train_final(contest, 1, arm)
    for arm, (augments, train, recipe, seeds) in zip(contest.arms, asked, strict=True):
        assert recipe.steps == (2 if arm.endswith(HALF) else 4)
        assert len(train) == (32 if arm.startswith(ALL_LABELS) else 16)
        assert seeds == [2, 3] and (None in augments) == (NONE in arm)


def test_random_policies_are_drawn_anew_for_each_net_and_joined_ones_are_as_many_as_a_searched_one():
    contest = tiny.contest()
    drawn = [searches.random_policies(contest, seed, count=2) for seed in (0, 1)]
    assert all(isinstance(one, Policy) and len(one.sub_policies) == 2 for two in drawn for one in two)
    assert len({one.to_json() for two in drawn for one in two}) == 4
    assert len(searches.joined(drawn[0]).sub_policies) == 4


def test_nets_that_saw_the_validation_labels_have_no_validation_accuracy():
    for one in whole().finals:
        assert len(one.test) == 2 and len(one.validation) == (0 if one.arm.startswith(ALL_LABELS) else 2)
    with pytest.raises(ValueError, match="has no validation accuracy, since it was trained on those pictures"):
        record.spread(whole(), ALL_LABELS + NONE, "validation")


def test_an_arm_without_its_search():
    with pytest.raises(ValueError, match="there is no arm 'evolution' without a search; give the search"):
        train_final(tiny.contest(), 0, EVOLUTION)


def test_validation_data_decides_which_searched_method_also_gets_all_labels():
    nets = [Final(0, EVOLUTION, (0.6, 0.8), (0.1,), 1, 1.0), Final(0, TPE, (0.65,), (0.9,), 1, 1.0)]
    nets.append(Final(0, TRIVIAL, (0.99,), (0.99,), 1, 1.0))
    assert contest_run.best_searched(nets) == EVOLUTION
    assert contest_run.best_searched(nets[2:]) is None
    best = whole().settings["best"]
    assert best in SEARCHED and whole().arms == (*tiny.contest(methods=METHODS).arms, ALL_LABELS + best)


# --- how it goes on --------------------------------------------------------------------------


class Stop(Exception):
    """What an impatient learner does."""


def test_a_contest_that_is_stopped_goes_on_and_ends_with_the_same(tmp_path):
    seen = []

    def stop(part):
        seen.append(part)
        if len(seen) == 5:
            raise Stop

    contest = tiny.contest(methods=(RANDOM_SEARCH,))
    with pytest.raises(Stop):
        contest_run.run_contest(contest, tmp_path, progress=stop)
    found = contest_run.run_contest(contest, tmp_path, progress=seen.append)
    assert timeless(found) == timeless(contest_run.run_contest(contest))
    assert len(seen) == len(found.searches) + len(found.finals)  # nothing was made twice
    again = contest_run.run_contest(contest, tmp_path, progress=seen.append)
    assert again == found and len(seen) == len(found.searches) + len(found.finals)
    more = contest_run.run_contest(replace(contest, seeds=(0, 1, 2)), tmp_path)
    assert set(found.finals) < set(more.finals)


def test_a_folder_of_another_contest_and_a_damaged_part(tmp_path):
    contest_run.run_contest(tiny.contest(seeds=(0,)), tmp_path)
    with pytest.raises(ValueError, match="holds a contest with trials = 10, and this one has 11; give a new"):
        contest_run.run_contest(tiny.contest(trials=11), tmp_path)
    path = tmp_path / "final-0-hand-written-affine.json"
    path.write_text('{"seed": 0}')
    with pytest.raises(ValueError, match=r"cannot read .*affine.json .*; remove it, and it will be made again"):
        contest_run.run_contest(tiny.contest(), tmp_path)


# --- tables --------------------------------------------------------------------------------------------------------


def nets(arm: str, *tests: float) -> list[Final]:
    """An arm with one net for each seed, whose validation accuracy is a point above its test accuracy."""
    return [Final(seed, arm, (test + 0.01,), (test,), 100, 1.0) for seed, test in enumerate(tests)]


def made() -> record.Results:
    found = [*nets(NONE, 0.5, 0.6, 0.7), *nets(AFFINE, 0.51, 0.62, 0.73), *nets(RANDOM, 0.4, 0.7, 0.6)]
    search = Search(0, TPE, "[]", "[]", (0.5, 0.8, 0.6), 0.8, (0.7, 0.72), (0.69, 0.71), 3000, 1000, 2.0)
    return record.Results((search,), tuple(found), {})


def test_gains_are_taken_seed_by_seed_and_ranked():
    table = record.gain_table(made(), NONE).splitlines()
    # .01, .02, .03: mean .02, and 4.303 * .01 / sqrt(3) = .0248 to either side; 2 of 8 signs are as far from 0.
    assert re.split("  +", table[1]) == [AFFINE, "+2.0", "-0.5 to +4.5", "3 of 3", "0.250", "0.500"]
    assert re.split("  +", table[2])[:2] == [RANDOM, "-3.3"]


def test_accuracies_and_what_validation_promises_too_much():
    first = record.accuracy_table(made()).splitlines()[1]
    assert re.split("  +", first) == [AFFINE, "63.0 ± 11.0", "62.0 ± 11.0", "+1.0 ± 0.0"]


def test_luck_is_what_a_winner_loses_when_it_is_trained_again():
    [search] = made().searches
    assert record.luck(search) == pytest.approx(0.8 - 0.71)
    line = record.luck_table(made()).splitlines()[1]
    assert re.split("  +", line) == [TPE, "63.3", "80.0", "71.0", "+9.0", "70.0"]
    assert re.split("  +", record.cost_table(made()).splitlines()[1]) == [TPE, "3", "3", "1", "2"]
    assert [one.mean for one in record.best_so_far(made(), TPE)] == [0.5, 0.8, 0.8]


def test_all_tables_of_a_real_one():
    assert len(record.accuracy_table(whole()).splitlines()) == 1 + len(whole().arms)
    assert len(record.cost_table(whole()).splitlines()) == 1 + len(METHODS)
    assert len(record.luck_table(whole()).splitlines()) == 1 + len(METHODS) - len(WITHOUT_CHILDREN)
    assert len(record.gain_table(whole(), JOINED).splitlines()) == len(whole().arms)
    assert record.spread(whole(), NONE).mean == pytest.approx(
        fmean(test for one in whole().finals if one.arm == NONE for test in one.test)
    )


@pytest.mark.parametrize("call, message", [
    (lambda: record.spread(made(), "luck"), "no nets were trained with 'luck'; there are none, hand-written affine"),
    (lambda: record.best_so_far(made(), FORWARD), "'forward selection' did not search; those that did are Optuna TPE"),
])  # fmt: skip
def test_what_was_not_run(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_results_come_back_from_their_text():
    assert record.from_json(record.to_json(whole())) == whole()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"searches": [{"seed": 0}]}'])
def test_a_text_that_is_no_contest(text):
    with pytest.raises(ValueError, match="this is not a recorded contest .*`git restore studies/records/policies.json"):
        record.from_json(text)


def test_a_damaged_record_says_how_to_get_it_back(tmp_path):
    path = tmp_path / "policies.json"
    with pytest.raises(ValueError, match="is missing; to get it back, run `git restore studies/records/policies.json"):
        record.recorded(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="is damaged: .*`python tools/policy_study.py --record DIR"):
        record.recorded(path)
