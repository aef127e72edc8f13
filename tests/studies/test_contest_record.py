"""The recorded contest: it is whole, it was made as it says, and it shows what it is shipped for.

All of it about the figures in the file; nothing is trained here.
"""

import hashlib
import json
from statistics import fmean

import pytest

from mini_lib.augment.policy import policy_from_json
from studies.augment import contest_record as record
from studies.augment import contest_run
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
    Contest,
)

POINT = 0.01


@pytest.fixture(scope="module")
def shipped():
    return record.recorded()


def test_the_file_is_the_one_that_the_readme_lists():
    content = record.RECORD_FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == record.RECORD_SHA256
    row = f"| `policies.json` | {len(content):,} | "
    readme = (record.RECORD_FILE.parent / "README.md").read_text(encoding="utf-8")
    assert any(line.startswith(row) and record.RECORD_SHA256 in line for line in readme.splitlines())


def test_it_was_made_with_the_settings_of_the_code(shipped):
    settings = dict(shipped.settings)
    assert settings.pop("machine")["threads"] == 1
    assert settings.pop("best") == contest_run.best_searched(shipped.finals)
    assert settings == contest_run.plain(Contest())


def test_every_cell_is_there_once(shipped):
    contest = Contest()
    cells = [(one.method, one.seed) for one in shipped.searches]
    assert sorted(cells) == sorted((method, seed) for method in METHODS for seed in contest.seeds)
    arms = (*contest.arms, ALL_LABELS + shipped.settings["best"])
    assert sorted((one.arm, one.seed) for one in shipped.finals) == sorted((a, s) for a in arms for s in contest.seeds)
    assert {len(one.test) for one in shipped.finals} == {contest.nets}


def test_no_method_was_given_more_than_another(shipped):
    contest = Contest()
    budget = contest.trials * contest.child_steps * contest.batch_size
    for one in shipped.searches:
        assert one.trained_pictures == budget or (one.method == DENSITY and one.trained_pictures < budget)
    assert {one.trained_pictures for one in shipped.finals} == {
        contest.batch_size * steps for steps in (contest.final_steps, contest.final_steps // 2)
    }


def test_the_policies_can_be_read(shipped):
    for one in shipped.searches:
        if one.method not in (RANDAUGMENT, POPULATION):
            assert len(policy_from_json(one.best).sub_policies) <= 25
        if one.method == POPULATION:
            assert all(policy_from_json(json.dumps(rows)) for rows in json.loads(one.policy))


# --- what lesson 12 says of it -------------------------------------------------------------------------------------

JOINED_METHODS = (RANDOM_SEARCH, EVOLUTION, CONTROLLER, TPE)  # their policy is the best five trials in one


def test_every_augmentation_helps_and_a_search_more_than_a_random_policy(shipped):
    """With 500 labels and 800 steps: whatever is drawn at random gains 2 points, and a joined search 3."""
    for arm in (AFFINE, TRIVIAL, RANDOM, JOINED, RANDAUGMENT, POPULATION, *JOINED_METHODS):
        low, _ = record.gain(shipped, arm, NONE).interval()
        assert low > 0
    for method in JOINED_METHODS:
        assert record.gain(shipped, method, RANDOM).interval()[0] > 0


def test_more_than_a_third_of_that_gain_is_joining_alone(shipped):
    """Random policies, joined like the best five of a search, are closer to it than a single random policy is."""
    for method in JOINED_METHODS:
        beyond_random = record.gain(shipped, method, RANDOM).mean
        assert record.gain(shipped, JOINED, RANDOM).mean > beyond_random / 3
        assert 0 < record.gain(shipped, method, JOINED).mean < POINT


def test_no_search_beats_two_lines_by_hand_or_a_grid_of_ten(shipped):
    best = max(record.spread(shipped, arm).mean for arm in (AFFINE, RANDAUGMENT))
    assert all(record.spread(shipped, method).mean < best - POINT / 2 for method in SEARCHED)
    assert abs(record.gain(shipped, AFFINE, RANDAUGMENT).mean) < POINT / 2


def test_the_cleverer_searches_are_not_told_from_random_search(shipped):
    for method in (EVOLUTION, CONTROLLER, TPE, POPULATION):
        low, high = record.gain(shipped, method, RANDOM_SEARCH).interval()
        assert low < 0 < high


def test_forward_selection_and_density_matching_find_less_than_a_random_concatenation(shipped):
    for method in (FORWARD, DENSITY):
        assert record.gain(shipped, method, JOINED).interval()[1] < 0


def test_the_labels_that_a_search_spends_are_worth_more_than_the_search(shipped):
    """Trained on, without any augmentation, they gain more than every search; with augmentation more still."""
    for method in SEARCHED:
        assert record.gain(shipped, ALL_LABELS + NONE, method).interval()[0] > 0
    best = ALL_LABELS + shipped.settings["best"]
    assert record.spread(shipped, best).mean > record.spread(shipped, ALL_LABELS + NONE).mean
    assert record.spread(shipped, ALL_LABELS + AFFINE).mean > record.spread(shipped, ALL_LABELS + NONE).mean


def test_without_augmentation_half_the_steps_are_enough_and_with_it_they_are_not(shipped):
    assert abs(record.gain(shipped, NONE, NONE + HALF).mean) < POINT / 2
    for arm in (TRIVIAL, JOINED):
        assert record.gain(shipped, arm, arm + HALF).interval()[0] > POINT


def test_part_of_a_reward_is_luck(shipped):
    """The winner of sixty loses one to two points when it is trained again; the best of ten means loses nothing."""
    for method in (*JOINED_METHODS, FORWARD):
        lost = [record.luck(one) for one in shipped.searches if one.method == method]
        assert POINT < fmean(lost) < 3 * POINT
    assert abs(fmean(record.luck(one) for one in shipped.searches if one.method == RANDAUGMENT)) < POINT / 2
