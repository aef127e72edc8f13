"""The recorded contest: it is whole, it was made as it says, and it shows what it is shipped for.

All of it about the figures in the file; nothing is trained here.
"""

import hashlib
import json

import pytest

from mini_lib.augment.policy import policy_from_json
from studies.augment import contest_record as record
from studies.augment import contest_run
from studies.augment.contest import ALL_LABELS, DENSITY, METHODS, POPULATION, RANDAUGMENT, Contest


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
