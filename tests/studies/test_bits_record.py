"""The recorded study of few bits: it is whole, it was made as it says, and it shows what it is shipped for.

All of it about the figures in the file; nothing is trained here. Differences are seed by seed, in shares.
"""

import hashlib

import pytest

from mini_lib import zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import file_bytes, mse, quantize_weights
from studies.bits import record, run, students, study
from studies.bits.students import UNLABELLED
from studies.bits.study import AS_IT_IS, FLOAT, FORMATS, LONGER, ROUNDED, ROUNDED_ANEW, WIDTHS
from studies.bits.teachers import ENSEMBLE, HELPS, PLAIN, SAME_SIZE, SMOOTHED

POINT = 0.01
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def shipped():
    return record.recorded()


def test_the_file_is_the_one_that_the_readme_lists():
    content = record.RECORD_FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == record.RECORD_SHA256
    row = f"| `bits.json` | {len(content):,} | "
    readme = (record.RECORD_FILE.parent / "README.md").read_text(encoding="utf-8")
    assert any(line.startswith(row) and record.RECORD_SHA256 in line for line in readme.splitlines())


def test_every_cell_is_there_once(shipped):
    settings = shipped.settings
    plan = study.Plan(**settings["few_bits"])
    cells = [(one.width, one.arm, one.seed) for one in shipped.few_bits]
    assert sorted(cells) == sorted((w, arm, s) for w in WIDTHS for arm in study.arms_of(plan, w) for s in SEEDS)
    assert list(shipped.students) == ["8000", "1000"]
    for values in settings["students"]:
        schooling = students.Schooling(**values)
        cells = [(one.arm, one.seed) for one in shipped.students[str(schooling.pictures)]]
        assert sorted(cells) == sorted((arm, seed) for arm in students.arms_of(schooling) for seed in SEEDS)
    assert [one.seed for one in shipped.teachers] == settings["seeds"] == list(SEEDS)


def test_it_was_made_with_the_settings_of_the_code(shipped):
    assert study.Plan(**shipped.settings["few_bits"]) == study.Plan()
    assert tuple(students.Schooling(**one) for one in shipped.settings["students"]) == run.Settings().students
    assert shipped.settings["machine"]["threads"] == 1


def test_as_they_are_the_checkpoints_are_those_of_the_zoo(shipped):
    known = {one.seed: one for one in zoo.CHECKPOINTS if one.name == "small_cnn"}
    for one in shipped.few_bits:
        if one.arm == AS_IT_IS:
            # Batch norm is folded here, which rounds anew: one picture of 2,000, and two of 4,000, may change sides.
            assert one.validation == pytest.approx(known[one.seed].validation_accuracy, abs=1.5 / 2000)
            assert one.test == pytest.approx(known[one.seed].test_accuracy, abs=2.5 / 4000)


def test_files_are_as_large_as_today_but_for_the_seal(shipped):
    # `"seal":"<64 digits>",` are 74 bytes of a header that is padded to 8; the study was recorded before files had one
    own = fold_batch_norm(zoo.load("small_cnn", 0))
    expected = {FLOAT: file_bytes(own)}
    expected |= {width: file_bytes(quantize_weights(own, fmt, observer=mse)) for width, fmt in FORMATS.items()}
    for width in WIDTHS:
        arm = AS_IT_IS if width == FLOAT else ROUNDED
        for one in shipped.few_bits:
            if (one.width, one.arm) == (width, arm):
                assert 74 - 8 < expected[width] - one.file_bytes < 74 + 8


def test_packed_models_predict_as_they_were_trained_to_the_last_bit(shipped):
    packed = [one for one in shipped.few_bits if one.width != FLOAT and one.arm in (*HELPS, LONGER)]
    assert len(packed) == len(SEEDS) * (6 * len(HELPS) + 2 + 2)  # six widths; twice as long at 2 and 1; both ends at 8
    assert all(one.same_predictions is True for one in packed)


def test_every_teacher_is_better_than_its_student(shipped):
    """On the validation data, by which it was chosen: every ensemble beats every checkpoint by a point at least."""
    students_best = max(one.validation for one in shipped.few_bits if one.arm == AS_IT_IS)
    assert all(one.validation > students_best + POINT for one in shipped.teachers)


# --- what lesson 03 says of it -------------------------------------------------------------------------------------


def every(spread) -> tuple[float, float]:
    """The least and the largest of a spread: what holds for them holds for every seed."""
    return min(spread.values), max(spread.values)


def test_at_8_bits_nothing_is_lost_and_nothing_can_be_gained(shipped):
    for arm in (ROUNDED, ROUNDED_ANEW, *HELPS):
        lost = record.spread(shipped.few_bits, FLOAT, AS_IT_IS).mean - record.spread(shipped.few_bits, "8", arm).mean
        assert abs(lost) < POINT


def test_training_recovers_what_rounding_lost_below_4_bits(shipped):
    """With every seed four fifths and more of what was lost at 3, 2 and 1 bits, ternary too; at 4 bits a point."""
    runs = shipped.few_bits
    floats = record.spread(runs, FLOAT, AS_IT_IS).values
    assert 0.005 < record.gain(runs, "4", PLAIN, ROUNDED).mean < 2 * POINT
    for width in ("3", "2", "ternary", "1"):
        lost = [a - b for a, b in zip(floats, record.spread(runs, width, ROUNDED).values)]
        back = record.gain(runs, width, PLAIN, ROUNDED).values
        assert all(b > 0.8 * one > 0.04 for b, one in zip(back, lost))


def test_batch_norm_alone_does_what_training_does_at_4_bits_and_not_below_3(shipped):
    runs = shipped.few_bits
    assert record.gain(runs, "4", ROUNDED_ANEW, PLAIN, "validation").mean >= 0
    assert record.gain(runs, "4", ROUNDED_ANEW, PLAIN).mean >= 0
    assert record.gain(runs, "2", ROUNDED_ANEW, ROUNDED).mean > 30 * POINT
    for width, points in (("2", 4), ("ternary", 25), ("1", 60)):
        assert every(record.gain(runs, width, PLAIN, ROUNDED_ANEW))[0] > points * POINT


def test_a_teacher_gives_no_more_than_a_point_at_any_width(shipped):
    """On average over the seeds, and none of the four trainings is told from the others at 8 to 2 bits."""
    for width in (FLOAT, "8", "4", "3", "2", "ternary", "1"):
        for help in HELPS[1:]:
            assert abs(record.gain(shipped.few_bits, width, help, PLAIN).mean) < POINT
        if width != "1":
            best = record.best_arm(shipped.few_bits, width, HELPS)
            assert record.gain(shipped.few_bits, width, best, PLAIN).mean < 0.005


def test_at_1_bit_longer_training_or_8_bits_at_the_ends_give_more_than_any_teacher(shipped):
    runs = shipped.few_bits
    best_help = max(record.spread(runs, "1", help).mean for help in HELPS)
    assert record.spread(runs, "1", LONGER).mean > best_help + POINT
    assert record.spread(runs, "8/1/8", PLAIN).mean > record.spread(runs, "1", LONGER).mean + 2 * POINT
    ends, uniform = (next(one for one in runs if (one.width, one.arm) == (w, PLAIN)) for w in ("8/1/8", "1"))
    assert ends.file_bytes - uniform.file_bytes < 1024
    assert abs(record.gain(runs, FLOAT, LONGER, PLAIN).mean) < 0.005 > record.gain(runs, "2", LONGER, PLAIN).mean


def test_a_small_student_learns_from_the_ensemble_most_where_labels_are_few(shipped):
    many, few = (shipped.students[pictures] for pictures in ("8000", "1000"))
    for runs, least in ((many, 0.0), (few, 2 * POINT)):
        assert every(record.gain(runs, FLOAT, ENSEMBLE, PLAIN))[0] > least
        assert record.best_arm(runs, FLOAT, HELPS) == ENSEMBLE
    for control in (SMOOTHED, SAME_SIZE):
        assert every(record.gain(few, FLOAT, ENSEMBLE, control))[0] > POINT
    assert record.gain(many, FLOAT, ENSEMBLE, PLAIN).mean < record.gain(few, FLOAT, ENSEMBLE, PLAIN).mean / 2


def test_without_a_label_the_ensemble_teaches_more_than_labels_on_an_eighth_of_the_pictures(shipped):
    few = shipped.students["1000"]
    assert every(record.gain(few, FLOAT, UNLABELLED[ENSEMBLE], ENSEMBLE))[0] > 0
    assert every(record.gain(few, FLOAT, UNLABELLED[ENSEMBLE], PLAIN))[0] > 4 * POINT
    assert every(record.gain(few, FLOAT, UNLABELLED[SAME_SIZE], PLAIN))[1] < 2 * POINT
