"""What a study found: spreads and differences by hand, the table, and results as text."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.tickets import Results, Run
from studies.tickets.results import RECORDED, chosen, from_json, recorded, to_json


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def run(seed, number, arm, validation, test):
    return Run(seed, number, arm, 0.5**number, validation, test)


# Measured after 10 and after 20 steps; "late" begins at step 10, so it has the second only.
BY_HAND = Results((
    run(0, 0, "dense", (0.50, 0.80), 0.78), run(1, 0, "dense", (0.60, 0.90), 0.82),
    run(0, 1, "ticket", (0.70, 0.84), 0.80), run(0, 1, "random", (0.40, 0.70), 0.60), run(0, 1, "late", (0.88,), 0.83),
    run(1, 1, "ticket", (0.72, 0.88), 0.90), run(1, 1, "random", (0.30, 0.70), 0.64), run(1, 1, "late", (0.90,), 0.85),
    run(0, 2, "ticket", (0.60, 0.80), 0.70), run(0, 2, "random", (0.20, 0.40), 0.40), run(0, 2, "late", (0.86,), 0.81),
    run(1, 2, "ticket", (0.62, 0.84), 0.74), run(1, 2, "random", (0.10, 0.40), 0.48), run(1, 2, "late", (0.86,), 0.81),
), (10, 20))  # fmt: skip


def test_what_is_in_it():
    assert BY_HAND.seeds == (0, 1) and BY_HAND.arms == ("ticket", "random", "late") and BY_HAND.rounds == (1, 2)
    assert [BY_HAND.density(number) for number in (0, 1, 2)] == [1.0, 0.5, 0.25]


def test_values_by_hand():
    assert BY_HAND.values("dense", 0) == {0: 0.78, 1: 0.82}
    assert BY_HAND.values("ticket", 1) == {0: 0.80, 1: 0.90}
    assert BY_HAND.values("ticket", 1, at=10) == {0: 0.70, 1: 0.72}
    assert BY_HAND.values("ticket", 1, at=20) == {0: 0.84, 1: 0.88}
    assert BY_HAND.values("late", 1, at=20) == {0: 0.88, 1: 0.90}


def test_spread_by_hand():
    spread = BY_HAND.spread("ticket", 1)  # .80 and .90: deviations of .05, so sqrt(2 * .0025 / 1)
    assert spread.mean == pytest.approx(0.85) and spread.std == pytest.approx(0.005**0.5)


def test_differences_are_taken_seed_by_seed():
    # .80 - .60 and .90 - .64
    assert BY_HAND.differences("ticket", 1, "random").values == pytest.approx((0.20, 0.26))
    assert BY_HAND.differences("random", 1, "ticket").values == pytest.approx((-0.20, -0.26))
    assert BY_HAND.differences("ticket", 2, "dense", at=10).values == pytest.approx((0.10, 0.02))
    assert BY_HAND.differences("late", 2, "late").values == (0, 0)


def test_differences_do_not_spread_where_seeds_move_both():
    both = Results(
        tuple(
            run(seed, number, arm, (), accuracy / 100)
            for seed in range(4)
            for number, arm, accuracy in ((0, "dense", 60 + 5 * seed), (1, "ticket", 62 + 5 * seed))
        ),
        (),
    )
    difference = both.differences("ticket", 1, "dense")
    assert difference.mean == pytest.approx(0.02) and difference.std < 1e-15
    assert both.spread("ticket", 1).std > 0.06


def test_the_order_of_runs_does_not_matter():
    shuffled = Results(tuple(sorted(BY_HAND.runs, key=lambda run: (-run.seed, run.test_accuracy))), (10, 20))
    for at in (10, 20, "test"):
        assert shuffled.values("ticket", 2, at) == BY_HAND.values("ticket", 2, at)
        assert list(shuffled.values("ticket", 2, at)) == [0, 1]
        assert shuffled.differences("ticket", 2, "random", at) == BY_HAND.differences("ticket", 2, "random", at)


def test_the_table():
    expected = """\
test accuracy in percent, mean ± standard deviation over 2 seeds
density       dense      ticket      random        late
 100.0%  80.0 ± 2.8
  50.0%              85.0 ± 7.1  62.0 ± 2.8  84.0 ± 1.4
  25.0%              72.0 ± 2.8  44.0 ± 5.7  81.0 ± 0.0"""
    assert str(BY_HAND) == expected


def test_the_table_at_a_step_that_an_arm_does_not_have():
    expected = """\
density       dense      ticket      random  late
 100.0%  55.0 ± 7.1
  50.0%              71.0 ± 1.4  35.0 ± 7.1     -
  25.0%              61.0 ± 1.4  15.0 ± 7.1     -"""
    assert BY_HAND.table(at=10) == expected


def test_a_single_seed_has_no_spread():
    one = Results(chosen(BY_HAND.runs, (0,), 1), (10, 20))
    expected = """\
density  dense  ticket  random  late
 100.0%   78.0
  50.0%           80.0    60.0  83.0"""
    assert one.table() == expected


def test_chosen_are_the_runs_of_these_seeds_up_to_this_round():
    assert [(run.round, run.seed, run.arm) for run in chosen(BY_HAND.runs[::-1], (1,), 1)] == [
        (0, 1, "dense"),
        (1, 1, "late"),
        (1, 1, "random"),
        (1, 1, "ticket"),
    ]
    assert chosen(BY_HAND.runs, (0, 1), 2) == BY_HAND.runs


@given(st.lists(st.builds(
    Run, st.integers(0, 9), st.integers(0, 30), st.sampled_from(["dense", "ticket", "Ü\n\""]), st.floats(0, 1),
    st.lists(st.floats(0, 1)).map(tuple), st.floats(0, 1),
), min_size=1))  # fmt: skip
def test_as_text_nothing_is_lost(runs):
    results, settings = Results(tuple(runs), (5, 9)), {"recipe.steps": 9, "seeds": [0, 1], "build": "zoo.lenet_300_100"}
    assert from_json(to_json(results, settings)) == (results, settings)


ARMS = "there are dense in round 0, and ticket, random, late in rounds 1, 2"
STEPS = "accuracies were taken at steps 10, 20 (later ones only, for a net that was rewound)"


@pytest.mark.parametrize("call, message", [
    (lambda: BY_HAND.values("dense", 1), f"there is no 'dense' in round 1; {ARMS}"),
    (lambda: BY_HAND.spread("tiket", 1), f"there is no 'tiket' in round 1; {ARMS}"),
    (lambda: BY_HAND.values("late", 1, at=10), f"'late' was not measured at step 10; {STEPS}"),
    (lambda: BY_HAND.table(at=15), f"'dense' was not measured at step 15; {STEPS}"),
    (lambda: BY_HAND.density(3), "there is no round 3; there are 0 (dense), 1, 2"),
    (lambda: Results((), (5,)), "results need at least one run, got none; run the study first"),
])  # fmt: skip
def test_what_is_not_there_is_said(call, message):
    with pytest.raises(ValueError, match=says(message)):
        call()


def test_a_recorded_study_is_read_once_its_hash_is_right(tmp_path, monkeypatch):
    text = to_json(BY_HAND, {"rate": 0.5})
    monkeypatch.setitem(RECORDED, "by_hand", hashlib.sha256(text.encode()).hexdigest())
    path = tmp_path / "by_hand.json"
    with pytest.raises(
        ValueError,
        match=rf"^{re.escape(str(path))} is missing; to get it back, run `git restore studies/records/by_hand",
    ):
        recorded("by_hand", tmp_path)
    path.write_bytes(text.encode())
    assert recorded("by_hand", tmp_path) == (BY_HAND, {"rate": 0.5})
    path.write_bytes(text.encode()[:-1])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} is damaged"):
        recorded("by_hand", tmp_path)
    with pytest.raises(ValueError, match="^no study 'other' was recorded; there are .*by_hand"):
        recorded("other", tmp_path)
