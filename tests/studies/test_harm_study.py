"""The study of harm: its nets, arms and judges; how it goes on after a stop; and its tables, worked by hand."""

import json
import re
from dataclasses import asdict, replace

import pytest
import torch
from scipy.stats import rankdata

from mini_lib.augment import Guard, flip, invert, posterize
from mini_lib.batch import Batch
from mini_lib.fit import accuracy
from studies.augment.harm import arms, cells, nets, record, references, run
from studies.augment.harm.cells import Run
from studies.augment.harm.nets import Cell
from studies.augment.harm.references import Measured

TINY = run.Settings(
    seeds=(0, 1), few=(20, 2), longer=(20, 3), more=(30, 3), more_labels=(30, 2), width=2, widths=(1,), batch_size=10
)
CELL = Cell("digits", 20, 2, 2)


def says(message):
    return re.escape(message)


def turned_counts(kept_of):
    """What a judge said of 100 pictures of each digit: so many kept their class, the others became the next one."""
    rows = []
    for digit in range(10):
        row = [0] * 10
        row[digit] = kept_of(digit)
        row[(digit + 1) % 10] = 100 - row[digit]
        rows.append(tuple(row))
    return tuple(rows)


def judged_turns(kept_of):
    """Rows of both judges for digits turned by 15, 30 ... 180 degrees."""
    return tuple(
        Measured("digits", judge, "rotate", 15.0 * step, "degrees", turned_counts(lambda d, s=step: kept_of(d, s)))
        for judge in references.JUDGES
        for step in range(1, 13)
    )


# --- nets and arms --------------------------------------------------------------------------------------------------


def test_reference_pictures_are_in_no_other_part():
    for task in ("digits", "clothes"):
        splits = nets.splits_of(task)
        reference = {image.numpy().tobytes() for image in splits.reference.images}
        assert len(reference) == 1500 and splits.reference.labels.bincount().tolist() == [150] * 10
        for part in (splits.train.first(2000) if task == "clothes" else splits.train, splits.validation, splits.test):
            assert not any(image.numpy().tobytes() in reference for image in part.images)


def test_pixels_are_the_bytes_that_standardising_began_with():
    split = nets.splits_of("digits").validation.first(20)
    pixels = nets.pixels_of(split, "digits")
    mean, std = nets.standardisation_of("digits")
    assert pixels.dtype == torch.uint8
    assert torch.equal(((pixels.float() / 255) - mean) / std, split.images)


def test_half_of_the_pictures_get_an_operation_and_all_of_it():
    pictures = torch.randint(256, (4000, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    batch = Batch(pictures, torch.zeros(4000).long())
    changed = arms.single_operations()["invert"](batch, torch.Generator().manual_seed(0)).images
    inverted = (changed == 255 - batch.images).flatten(1).all(dim=1)
    assert ((changed == batch.images).flatten(1).all(dim=1) ^ inverted).all()
    # 4,000 coins: 2,000 with a standard deviation of sqrt(4000 / 4) = 32; five of those.
    assert abs(int(inverted.sum()) - 2000) < 160


def test_the_operations_have_the_strengths_that_their_names_say():
    policies = arms.single_operations()
    assert {"rotate 15", "rotate 180", "posterize 4", "flip", "solarize 0", "cutout 0.181"} <= set(policies)
    assert len(policies) == sum(len(shares) for _, shares in arms.STRENGTHS)
    (step,) = policies["rotate 90"].sub_policies[0].steps
    assert step.operation.strength(step.share) == 90
    assert not any(name.startswith("color") for name in policies)  # grey pictures


def test_turning_spares_6_and_9_where_it_says_so():
    ways = arms.turning({})
    pictures = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    pictures[:, :, :4, 12:16] = (
        255  # a mark at the top, which leaves the upper third where it is turned by more than 60
    )
    labels = torch.tensor([6, 9, 0, 1]).repeat(50)
    for name in (arms.BY_HAND, arms.BY_HAND_CUT):
        changed = ways[name](Batch(pictures, labels), torch.Generator().manual_seed(0)).images
        stays_above = changed[:, :, :10].flatten(1).any(dim=1) & ~changed[:, :, 14:].flatten(1).any(dim=1)
        assert stays_above[(labels == 6) | (labels == 9)].all() and not stays_above[labels < 2].all()


# --- judges ---------------------------------------------------------------------------------------------------------


def test_judges_are_asked_about_every_operation_and_strength(monkeypatch):
    monkeypatch.setattr(references, "STRENGTHS", ((flip, (1.0,)), (posterize, (0.5, 1.0))))
    rows = references.measure_safety(
        "digits", width=2, labels=200, pictures=100, steps=30, learning_rate=0.02, batch_size=50, seed=0
    )
    assert [(row.judge, row.operation, row.strength) for row in rows] == [
        ("clean", "flip", 0),
        ("experienced", "flip", 0),
        ("clean", "posterize", 6),
        ("clean", "posterize", 4),
        ("experienced", "posterize", 6),
        ("experienced", "posterize", 4),
    ]
    # Four bits leave a digit as it is, and a mirror does not: the judge that never saw mirrored digits is misled.
    assert rows[3].kept > 0.9 > rows[0].kept
    assert references.safety_at(rows, "digits", "clean", posterize, 4.0) == rows[3]
    with pytest.raises(ValueError, match=says("there is no invert 0 on digits by the clean judge; measure it first")):
        references.safety_at(rows, "digits", "clean", invert, 0.0)


def test_guards_stop_where_a_judge_says_so():
    rows = judged_turns(lambda digit, step: 100 if digit == 0 or step <= digit else 10)
    guards = references.guards_of(rows, at_least=0.8)
    expected = Guard({"rotate": (180.0, *(15.0 * digit for digit in range(1, 10)))}, {"rotate": "degrees"}, "rescale")
    assert list(guards.values()) == [expected, expected]
    with pytest.raises(ValueError, match="no turned digits judged by the clean judge; measure them first"):
        references.guards_of((), 0.8)


def test_a_measured_row_by_hand():
    row = Measured("digits", "clean", "flip", 0.0, "", ((8, 2), (1, 4)))
    assert row.kept == 12 / 15 and row.kept_per_class == (0.8, 0.8)


# --- parts, and how they go on --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A folder in which the judges have spoken already."""
    rows = judged_turns(lambda digit, step: 100 - step)
    for task in run.TASKS:
        (tmp_path / f"safety-{task}.json").write_text(json.dumps([asdict(replace(row, task=task)) for row in rows]))
    return tmp_path


def test_a_study_that_was_stopped_goes_on_and_ends_the_same(folder, monkeypatch):
    monkeypatch.setattr(run, "single_operations", lambda: {"flip": arms.single_operations()["flip"]})
    monkeypatch.setattr(run, "CONTROLLED", ("flip",))
    done = []
    whole = run.run_study(TINY, folder, {"threads": 1}, done.append)
    assert done == list(run.parts_of(TINY))
    (folder / "turning-20-2.json").unlink()
    (folder / "width-clothes-1-20-2.json").unlink()
    kept = (folder / "width-digits-1-20-2.json").stat().st_mtime_ns
    assert run.run_study(TINY, folder, {"threads": 1}) == whole
    assert (folder / "width-digits-1-20-2.json").stat().st_mtime_ns == kept
    read = record.from_json(record.to_json(whole))
    assert record.to_json(read) == record.to_json(whole)
    assert [(one.arm, one.seed, one.turned) for one in read.turning] == [
        (one.arm, one.seed, one.turned) for one in whole.turning
    ]
    assert len(whole.widths) == (3 + 1) * 3 * 2  # trainings (of clothes one), arms, seeds
    assert len(whole.operations) == len(whole.control) == 2 * 2 * 2 and len(whole.turning) == 2 * 9 * 2
    for one in whole.turning:
        assert sum(map(sum, one.turned)) == 1500
        assert one.test == pytest.approx(sum(one.per_class) / 10)
    with pytest.raises(ValueError, match="holds a study with batch_size = 10, and this one has 5; give a new folder"):
        run.run_study(replace(TINY, batch_size=5), folder, {})


def test_a_broken_part_is_named(folder):
    (folder / "safety-digits.json").write_text("[{}]")
    with pytest.raises(
        ValueError, match=r"cannot read .*safety-digits\.json \(.*\); remove it, and it will be made again"
    ):
        run.make_part(TINY, folder, "safety-digits")


def test_a_run_says_what_its_net_is_worth():
    (child,) = nets.train(Cell("digits", 300, 30, 4), [None], [0], learning_rate=0.01, batch_size=50)
    one = cells.judged(child, Cell("digits", 300, 30, 4), "none", 0, cells.turned_test())
    assert one.test == pytest.approx(accuracy(child.model, nets.splits_of("digits").test))
    assert sum(one.turned[i][i] for i in range(10)) / 1500 == accuracy(child.model, cells.turned_test())


def test_turned_test_digits_are_turned_all_the_way_round():
    test, turned = nets.splits_of("digits").test, cells.turned_test()
    assert torch.equal(test.labels, turned.labels) and turned.images.shape == test.images.shape
    same = (test.images == turned.images).flatten(1).all(dim=1).sum()
    # One of 31 strengths is 0 degrees: 48 of 1,500 with a standard deviation of 7; five of those.
    assert 13 <= int(same) <= 84


# --- tables, by hand ------------------------------------------------------------------------------------------------


def one_run(arm, seed, per_class, cell=CELL, turned=None):
    return Run(cell.task, cell.labels, cell.steps, cell.width, arm, seed, 0.5, sum(per_class) / 10, per_class, turned)


def flat(value, digit=None, other=0.0):
    return tuple(other if place == digit else value for place in range(10))


RUNS = (
    one_run("none", 0, flat(0.9)),
    one_run("none", 1, flat(0.8)),
    one_run("turned", 0, flat(0.9, digit=6, other=0.4)),
    one_run("turned", 1, flat(0.8, digit=6, other=0.2)),
)


def test_gains_are_paired_by_seed():
    assert record.gain(RUNS, CELL, "turned", [6]).differences == pytest.approx((-0.5, -0.6))
    assert record.gain(RUNS, CELL, "turned", [0, 1]).differences == (0, 0)
    assert record.gain(RUNS, CELL, "turned").differences == pytest.approx((-0.05, -0.06))
    assert record.spread(RUNS, CELL, "none").values == pytest.approx((0.9, 0.8))


def test_what_is_not_there_is_named():
    with pytest.raises(ValueError, match=says("there is no run of 'guarded' in Cell(task='digits'")):
        record.spread(RUNS, CELL, "guarded")
    with pytest.raises(
        ValueError, match="the nets of 'none' in .* were not asked about turned digits; see the turning"
    ):
        record.turned_spread(RUNS, CELL, "none")


def test_turned_digits_by_hand():
    runs = (one_run("none", 0, flat(0.9), turned=turned_counts(lambda digit: 40 if digit == 6 else 70)),)
    assert record.turned_spread(runs, CELL, "none", [6]).values == (0.4,)
    assert record.turned_spread(runs, CELL, "none", [6], taken_for=7).values == (0.6,)
    assert record.turned_spread(runs, CELL, "none", [6, 9]).values == (0.55,)


def test_the_rank_correlation_is_that_of_the_ranks(monkeypatch):
    monkeypatch.setattr(record, "STRENGTHS", ((flip, (1.0,)), (posterize, (0.5, 1.0))))
    names = ["flip", "posterize 6", "posterize 4"]
    kept, gains = [20, 95, 90], [-0.2, 0.02, -0.01]
    safety = tuple(
        Measured("digits", "clean", name.split()[0], strength, "", turned_counts(lambda _, k=k: k))
        for name, strength, k in zip(names, (0.0, 6.0, 4.0), kept)
    )
    runs = [one_run("none", seed, flat(0.5)) for seed in (0, 1)]
    runs += [one_run(name, seed, flat(0.5 + g)) for name, g in zip(names, gains) for seed in (0, 1)]
    study = record.Study(safety, (), (), tuple(runs), (), {})
    assert record.rank_correlation(study, "digits", "clean") == pytest.approx(1.0)
    assert rankdata(kept).tolist() == rankdata(gains).tolist()


def test_a_text_that_is_no_study_is_refused():
    with pytest.raises(
        ValueError, match=r"this is not a recorded study \(.*\); run `git restore studies/records/augme"
    ):
        record.from_json("{}")
