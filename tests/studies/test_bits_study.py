"""The study of few bits: its teachers and their controls, its runs, how it goes on after a stop, what was recorded."""

import json
import re
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from mini_lib import zoo
from mini_lib.data import Split, Splits, fashion
from mini_lib.fit import accuracy, predict
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import file_bytes, mse, quantize_weights
from studies.bits import record, run, students, study, teachers
from studies.bits.study import AS_IT_IS, FLOAT, LONGER, ROUNDED, ROUNDED_ANEW, TRAINED_ANEW
from studies.bits.teachers import ENSEMBLE, HELPS, PLAIN, SAME_SIZE, SMOOTHED

TINY = study.Plan(widths=("2", "8/1/8"), longer_at=("2",), pictures=64, epochs=1, batch_size=32, calibration=32)
TINY_SCHOOL = students.Schooling(pictures=32, epochs=2, unlabelled=64, batch_size=32)
TINY_SETTINGS = run.Settings(seeds=(0,), few_bits=TINY, students=(TINY_SCHOOL,))


def says(message: str) -> str:
    return re.escape(message)


@cache
def splits() -> Splits:
    shipped = fashion()
    return Splits(shipped.train.first(128), shipped.validation.first(50), shipped.test.first(50))


@cache
def runs() -> tuple[study.Run, ...]:
    return study.run_width(TINY, "2", 0, splits())


@cache
def schooled() -> tuple[study.Run, ...]:
    return students.run_students(TINY_SCHOOL, 0, splits())


def one(arm: str, validation: float, test: float, seed: int = 0, width: str = "2") -> study.Run:
    return study.Run(seed, width, arm, validation, test, 1000)


# --- teachers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_student_is_not_in_its_own_ensemble(seed):
    images = splits().validation.images[:5]
    ensemble, own = teachers.ensemble_for(seed), zoo.load("small_cnn", seed)
    members = [predict(model, images) for model in ensemble.models]
    assert not any(torch.equal(logits, predict(own, images)) for logits in members)
    others = [number for number in range(3) if number != seed]
    expected = [predict(zoo.load("depthwise_cnn", number), images) for number in range(3)]
    expected += [predict(zoo.load("small_cnn", number), images) for number in others]
    assert all(torch.equal(a, b) for a, b in zip(members, expected, strict=True))


def test_a_remembered_teacher_gives_what_it_gave():
    teacher, images = zoo.load("small_cnn", 0), splits().train.images
    remembered = teachers.Remembered(teacher, images)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    assert torch.equal(remembered(images[order]), predict(teacher, images)[order])
    with pytest.raises(ValueError, match="the teacher was not asked about one of these pictures; use it itself"):
        remembered(images[:3] + 0.5)


def test_the_losses_are_what_their_names_say():
    train, own, better = splits().train, zoo.load("small_cnn", 0), zoo.load("small_cnn", 1)
    helps = teachers.losses(own, better, train, temperature=1.0, share=1.0, smoothing=0.5)
    assert tuple(helps) == HELPS
    images, labels = train.images[:20], train.labels[:20]
    with torch.no_grad():
        mine, theirs = own(images), better(images)
    # A teacher has nothing to say against itself: KL(p || p) = 0, up to the rounding of 10 terms below 1 in float32.
    assert abs(helps[SAME_SIZE](mine, images, labels)) < 1e-5 < helps[SAME_SIZE](theirs, images, labels)
    assert abs(helps[ENSEMBLE](theirs, images, labels)) < 1e-5 < helps[ENSEMBLE](mine, images, labels)
    assert helps[PLAIN](mine, images, labels) == nn.functional.cross_entropy(mine, labels)
    torch.testing.assert_close(
        helps[SMOOTHED](mine, images, labels), nn.functional.cross_entropy(mine, labels, label_smoothing=0.5)
    )


# --- runs ----------------------------------------------------------------------------------------------------------


def test_every_arm_runs_and_packs_what_it_trained():
    assert [row.arm for row in runs()] == [ROUNDED, ROUNDED_ANEW, *HELPS, TRAINED_ANEW, LONGER]
    assert {(row.seed, row.width) for row in runs()} == {(0, "2")}
    packed = [row.same_predictions for row in runs()]
    assert packed == [None, None, True, True, True, True, None, True]
    assert len({row.file_bytes for row in runs()[1:]}) == 1


def test_what_is_not_trained_is_quantized_and_nothing_else():
    model = quantize_weights(fold_batch_norm(zoo.load("small_cnn", 0)), study.FORMATS["2"], observer=mse)
    row = runs()[0]
    assert (row.validation, row.test) == (accuracy(model, splits().validation), accuracy(model, splits().test))
    assert row.file_bytes == file_bytes(model)


@pytest.mark.parametrize("width", ["8", "3"])
def test_folding_batch_norm_changes_no_code_with_a_scale_per_channel(width):
    """The row of a channel and its grid are scaled alike, so codes differ only where rounding is a close call."""
    own = zoo.load("small_cnn", 0)
    folded, unfolded = (
        quantize_weights(model, study.FORMATS[width], observer=mse) for model in (fold_batch_norm(own), own)
    )
    for name in ("conv1", "conv2", "conv3", "conv4"):
        sign = own.get_submodule(f"{name}_bn").weight.detach().sign().reshape(-1, 1, 1, 1)
        codes = [
            (model.get_submodule(name).weight / model.get_submodule(name).weight.abs().amax((1, 2, 3), keepdim=True))
            for model in (folded, unfolded)
        ]
        # of 36,864 weights few lie within a rounding error (2^-24 of them or so) of the middle of two codes
        assert ((codes[0] - sign * codes[1]).abs() > 1e-5).float().mean() < 1e-2


def spied(monkeypatch, module) -> list[tuple[int, int]]:
    """What `fit` is asked for from now on: how many pictures, how often."""
    asked, real = [], module.fit

    def spy(model, train, validation, **settings):
        asked.append((len(train), settings["epochs"]))
        return real(model, train, validation, **settings)

    monkeypatch.setattr(module, "fit", spy)
    return asked


def test_a_width_without_help_is_trained_plainly_alone(monkeypatch):
    asked = spied(monkeypatch, study)
    rows = study.run_width(TINY, "8/1/8", 0, splits())
    assert [row.arm for row in rows] == [ROUNDED, ROUNDED_ANEW, PLAIN, TRAINED_ANEW] and asked == [(64, 1)]


def test_both_ends_at_8_bits():
    model = quantize_weights(zoo.load("small_cnn", 0), study.FORMATS["8/1/8"])
    found = {name: layer.weight_fmt.label for name, layer in model.named_children() if hasattr(layer, "weight_fmt")}
    assert found == {"conv1": "int8 per channel", "linear": "int8 per channel"} | {
        f"conv{number}": "binary per channel" for number in (2, 3, 4)
    }


def test_float_is_trained_on_too():
    plan = replace(TINY, widths=(FLOAT,), longer_at=())
    rows = study.run_width(plan, FLOAT, 0, splits())
    assert [row.arm for row in rows] == [AS_IT_IS, *HELPS]
    assert {row.same_predictions for row in rows} == {None} and len({row.file_bytes for row in rows}) == 1
    assert len({row.validation for row in rows} | {row.test for row in rows}) > 1


def test_students_with_labels_and_without():
    assert [row.arm for row in schooled()] == list(students.arms_of(TINY_SCHOOL))
    assert len({row.file_bytes for row in schooled()}) == 1
    # half the channels: 9 * (8 + 8*16 + 16*32 + 32*32) weights, biases 88, linear 330, of 4 bytes each, and the header
    assert 0 < schooled()[0].file_bytes - 4 * (9 * (8 + 128 + 512 + 1024) + 88 + 330) < 2000


def test_all_arms_take_the_same_steps_but_the_longer_one(monkeypatch):
    asked = spied(monkeypatch, study)
    study.run_width(replace(TINY, longer_at=(FLOAT,)), FLOAT, 0, splits())
    assert asked == [(64, 1)] * 4 + [(64, 2)]


def test_all_students_take_the_same_steps_and_two_see_no_label(monkeypatch):
    asked = spied(monkeypatch, students)
    students.run_students(TINY_SCHOOL, 0, splits())
    assert asked == [(32, 2)] * 4 + [(64, 1)] * 2
    # Other labels beyond the first 32 pictures: whoever sees no label does not notice.
    train = splits().train
    others = Split(train.images, torch.cat([train.labels[:32], (train.labels[32:] + 1) % 10]))
    again = students.run_students(TINY_SCHOOL, 0, replace(splits(), train=others))
    assert again == schooled()


@pytest.mark.parametrize("given, message", [
    ({"widths": ("5",)}, "widths holds '5', and there are the widths 32, 8, 4, 3, 2, ternary, 1, 8/2/8"),
    ({"longer_at": ("5",)}, "longer_at holds '5'"),
    ({"without_help": ("5",)}, "without_help holds '5'"),
    ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
    ({"learning_rates": study.RATES | {"8": 0.0}}, "the learning rate at 8 must be a finite number above 0, got 0.0"),
    ({"temperature": -1.0}, "temperature must be a finite number above 0, got -1.0"),
    ({"share": 2.0}, "share must lie in [0, 1], got 2.0"),
    ({"smoothing": 1.0}, "smoothing must lie in [0, 1), got 1.0"),
])  # fmt: skip
def test_a_plan_that_cannot_be(given, message):
    with pytest.raises(ValueError, match=says(message)):
        study.Plan(**given)


@pytest.mark.parametrize("given, message", [
    ({"pictures": 0}, "pictures must be a whole number of 1 or more, got 0"),
    ({"unlabelled": 999}, "1000 pictures seen 2 times are no whole number of times 999; use a divisor"),
    ({"share": 2.0}, "share must lie in [0, 1], got 2.0"),
])  # fmt: skip
def test_a_schooling_that_cannot_be(given, message):
    with pytest.raises(ValueError, match=says(message)):
        students.Schooling(**{"pictures": 1000, "epochs": 2} | given)


def test_a_width_that_is_none():
    with pytest.raises(ValueError, match="there is no width '5'; there are 32, 8, 4"):
        study.run_width(TINY, "5", 0, splits())


# --- how a study goes on -------------------------------------------------------------------------------------------


def test_a_study_goes_on_where_it_was(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(run, "run_width", lambda plan, width, seed, *_: made.append((width, seed)) or runs())
    monkeypatch.setattr(run, "run_students", lambda *_: made.append("students") or schooled())
    monkeypatch.setattr(run, "_run_teacher", lambda *_: runs()[:1])
    first = run.run_study(TINY_SETTINGS, tmp_path, splits(), {"threads": 1})
    assert made == [("2", 0), ("8/1/8", 0), "students"]
    assert first.teachers == runs()[:1] and first.few_bits == runs() * 2 and first.students == {"32": schooled()}
    (tmp_path / "bits-2-0.json").unlink()
    assert run.run_study(TINY_SETTINGS, tmp_path, splits(), {"threads": 1}) == first
    assert made == [("2", 0), ("8/1/8", 0), "students", ("2", 0)]
    run.run_study(replace(TINY_SETTINGS, seeds=(1,)), tmp_path, splits(), {})  # another process, another seed
    assert made[4:] == [("2", 1), ("8/1/8", 1), "students"]
    with pytest.raises(ValueError, match=r"holds a study with few_bits\.epochs = 1, and this one has 2; give a new"):
        run.run_study(replace(TINY_SETTINGS, few_bits=replace(TINY, epochs=2)), tmp_path, splits(), {})
    (tmp_path / "bits-2-0.json").write_text("[{}]")
    with pytest.raises(ValueError, match=r"cannot read .*bits-2-0.json .*; remove it, and it will be made again"):
        run.run_study(TINY_SETTINGS, tmp_path, splits(), {})


# --- tables --------------------------------------------------------------------------------------------------------


def test_a_gain_is_taken_seed_by_seed():
    """Seeds differ by 10 points, and the teacher gives 1 and 3 of them."""
    rows = [one(PLAIN, 0.8, 0.8), one(PLAIN, 0.9, 0.9, 1), one(ENSEMBLE, 0.81, 0.81), one(ENSEMBLE, 0.93, 0.93, 1)]
    found = record.gain(rows, "2", ENSEMBLE, PLAIN)
    assert found.mean == pytest.approx(0.02) and found.std == pytest.approx(0.01 * 2**0.5)
    with pytest.raises(ValueError, match="were run with different seeds; run the missing ones"):
        record.gain(rows[:3], "2", ENSEMBLE, PLAIN)
    with pytest.raises(ValueError, match="there is no run of 'label smoothing' at width '2'; there are ensemble"):
        record.spread(rows, "2", SMOOTHED)


def test_validation_chooses_and_test_does_not():
    rows = [one(PLAIN, 0.9, 0.1), one(ENSEMBLE, 0.8, 0.99)]
    assert record.best_arm(rows, "2", [PLAIN, ENSEMBLE]) == PLAIN
    chosen = record.choice_table(rows, [ENSEMBLE, PLAIN]).splitlines()[1]
    assert chosen.split() == ["2", PLAIN, "90.0", "10.0", "-89.0"]


def test_tables_have_every_width_and_a_dash_where_nothing_was_run():
    rows = [one(PLAIN, 0.9, 0.9), one(PLAIN, 0.8, 0.8, width="1"), one(ENSEMBLE, 0.85, 0.85, width="1")]
    lines = [line.split() for line in record.accuracy_table(rows).splitlines()]
    assert lines == [["bits", PLAIN, *ENSEMBLE.split()], ["2", "90.0", "-"], ["1", "80.0", "85.0"]]
    assert record.gain_table(rows, [ENSEMBLE], PLAIN).splitlines()[-1].split() == ["1", "+5.0"]
    assert record.bytes_table(runs()).splitlines()[1].split()[-3:] == ["5", "of", "5"]


def test_a_study_comes_back_from_its_text():
    whole = record.Study(runs()[:1], runs(), {"32": schooled()}, {"seeds": [0]})
    assert record.from_json(record.to_json(whole)) == whole


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"teachers": [{"seed": 0}]}'])
def test_a_text_that_is_no_study(text):
    with pytest.raises(ValueError, match="this is not a recorded study .*`git restore studies/records/bits.json"):
        record.from_json(text)


def test_a_damaged_record_says_how_to_get_it_back(tmp_path):
    path = tmp_path / "bits.json"
    with pytest.raises(ValueError, match="is missing; to get it back, run `git restore studies/records/bits.json"):
        record.recorded(path)
    path.write_text(json.dumps({}))
    with pytest.raises(ValueError, match="is damaged: .*`python tools/bits_study.py --record DIR"):
        record.recorded(path)
