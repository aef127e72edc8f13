"""The recorded study of harm: it is whole, it was made as it says, and it shows what it is shipped for.

All of it about the figures in the file; nothing is trained here. Differences are seed by seed, in shares.
"""

import hashlib

import pytest

from mini_lib.augment import flip, invert
from studies.augment.harm import arms, cells, record, references, run
from studies.augment.harm.nets import Cell
from studies.augment.harm.record import effect, gain, spread, turned_spread

POINT = 0.01
SETTINGS = run.Settings()
FEW, MORE = Cell("digits", *SETTINGS.few, SETTINGS.width), Cell("digits", *SETTINGS.more, SETTINGS.width)
OTHERS = [digit for digit in range(10) if digit not in (6, 9)]
ROUND, THIRTY = "up to 180 degrees", "up to 30 degrees"


@pytest.fixture(scope="module")
def shipped():
    return record.recorded()


def test_the_file_is_the_one_that_the_readme_lists():
    content = record.RECORD_FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == record.RECORD_SHA256
    row = f"| `augment.json` | {len(content):,} | "
    readme = (record.RECORD_FILE.parent / "README.md").read_text(encoding="utf-8")
    assert any(line.startswith(row) and record.RECORD_SHA256 in line for line in readme.splitlines())


def test_every_part_is_there_with_every_arm_and_seed(shipped):
    seeds = list(SETTINGS.seeds)
    guards = list(references.guards_of(shipped.safety, SETTINGS.at_least))
    expected = {
        "turning": ([FEW, MORE], [*arms.turning({}), *guards]),
        "operations": (
            [Cell(task, *SETTINGS.few, SETTINGS.width) for task in run.TASKS],
            [arms.NONE, *arms.single_operations()],
        ),
        "control": ([Cell(task, *SETTINGS.more, SETTINGS.width) for task in run.TASKS], [arms.NONE, *arms.CONTROLLED]),
        "widths": (run.width_cells(SETTINGS), list(arms.AFFINE)),
    }
    for name, (where, names) in expected.items():
        runs = getattr(shipped, name)
        assert set(record.cells_of(runs)) == set(where) and list(record.arms_of(runs)) == names
        for cell in where:
            for arm in names:
                assert [one.seed for one in record.runs_of(runs, cell, arm)] == seeds
        assert len(runs) == len(where) * len(names) * len(seeds)


def test_it_was_made_with_the_settings_of_the_code(shipped):
    settings = dict(shipped.settings)
    assert settings.pop("machine")["threads"] == 1
    assert run.Settings(**cells.as_tuples(settings)) == SETTINGS


def test_accuracies_are_shares_of_the_test_pictures(shipped):
    for name in ("turning", "widths", "operations", "control"):
        for one in getattr(shipped, name):
            count = 150 if one.task == "digits" else 400
            assert all(abs(share * count - round(share * count)) < 1e-6 * count for share in one.per_class)
            assert one.test == pytest.approx(sum(one.per_class) / 10, abs=2e-6)  # rounded to six decimals


# --- what lesson 11 says of it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [FEW, MORE], ids=["few labels", "more labels, more steps"])
def test_turning_all_the_way_round_hurts_6_most_and_6_and_9_more_than_the_others(shipped, cell):
    losses = [-gain(shipped.turning, cell, ROUND, [digit]).mean for digit in range(10)]
    assert losses[6] == max(losses)
    assert effect(gain(shipped.turning, cell, ROUND, (6, 9))) == effect(gain(shipped.turning, cell, ROUND)) == "harms"
    pair, others = gain(shipped.turning, cell, ROUND, (6, 9)), gain(shipped.turning, cell, ROUND, OTHERS)
    assert all(one < other for one, other in zip(pair.differences, others.differences))


def test_turning_a_little_helps(shipped):
    assert effect(gain(shipped.turning, FEW, THIRTY)) == "helps"


def test_strong_augmentation_hurts_narrow_nets_and_helps_wide_ones_on_few_labels(shipped):
    for cell in record.cells_of(shipped.widths):
        if (cell.task, cell.labels) == ("digits", 500):
            expected = "helps" if cell.width == 16 else "harms"
            assert effect(gain(shipped.widths, cell, arms.STRONG)) == expected, cell


def test_a_narrow_net_needs_more_steps_for_strong_augmentation(shipped):
    """A control: four times as many steps take back a part of the harm, and not all of it."""
    for width in (1, 2):
        short, long = (
            gain(shipped.widths, Cell("digits", *how, width), arms.STRONG) for how in (SETTINGS.few, SETTINGS.longer)
        )
        assert short.mean + 5 * POINT < long.mean < 0


def test_on_clothes_strong_augmentation_hurts_every_width_and_the_wide_one_least(shipped):
    losses = {
        cell.width: -gain(shipped.widths, cell, arms.STRONG).mean
        for cell in record.cells_of(shipped.widths)
        if cell.task == "clothes"
    }
    assert losses[1] > losses[2] > losses[16] > 5 * POINT


def test_a_guard_repairs_6_and_9_and_makes_a_shortcut(shipped):
    """Upright, 6 and 9 are as good as without turning; turned, they are no longer known, and 4 and 7 pay for it."""
    for cell in (FEW, MORE):
        repaired = gain(shipped.turning, cell, arms.BY_HAND, (6, 9))
        assert repaired.mean > -2 * POINT
        assert gain(shipped.turning, cell, arms.BY_HAND, (6, 9), over=ROUND).mean > 10 * POINT
        turned = [turned_spread(shipped.turning, cell, arm, (6, 9)).mean for arm in (ROUND, arms.BY_HAND)]
        assert turned[1] < turned[0] - 20 * POINT
        assert spread(shipped.turning, cell, THIRTY).mean > spread(shipped.turning, cell, arms.BY_HAND).mean + 5 * POINT


def test_cutting_a_range_is_worse_than_shrinking_it(shipped):
    assert gain(shipped.turning, FEW, arms.BY_HAND_CUT, (6, 9), over=arms.BY_HAND).mean < 0


def test_clean_judges_take_strange_for_changed(shipped):
    """Inverted digits are digits still; a judge that never saw one says no."""
    for operation in (invert, flip):
        clean, experienced = (
            references.safety_at(shipped.safety, "digits", judge, operation, 0.0).kept for judge in references.JUDGES
        )
        assert clean < 0.5 and experienced > 0.9


def test_flip_harms_digits_and_does_not_help_clothes(shipped):
    for runs, how in ((shipped.operations, SETTINGS.few), (shipped.control, SETTINGS.more)):
        assert effect(gain(runs, Cell("digits", *how, SETTINGS.width), "flip")) == "harms"
        assert effect(gain(runs, Cell("clothes", *how, SETTINGS.width), "flip")) == "unclear"


def test_no_operation_helps_clothes_and_harms_digits_but_the_other_way_round_some_do(shipped):
    digits, clothes = (Cell(task, *SETTINGS.few, SETTINGS.width) for task in run.TASKS)
    found = {
        name: (effect(gain(shipped.operations, digits, name)), effect(gain(shipped.operations, clothes, name)))
        for name in arms.single_operations()
    }
    assert ("harms", "helps") not in found.values()
    assert found["rotate 30"] == found["invert"] == ("helps", "harms")


def test_label_safety_ranks_harm_on_clothes_and_hardly_on_digits(shipped):
    for judge in references.JUDGES:
        assert record.rank_correlation(shipped, "clothes", judge) > 0.6
        assert record.rank_correlation(shipped, "digits", judge) < 0.4
