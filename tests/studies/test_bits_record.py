"""The recorded study of few bits: it is whole, it was made as it says, and it shows what it is shipped for.

All of it about the figures in the file; nothing is trained here. Differences are seed by seed, in shares.
"""

import hashlib

import pytest

from mini_lib import zoo
from mini_lib.fold import fold_batch_norm
from mini_lib.quantize import file_bytes, mse, quantize_weights
from studies.bits import record, run, students, study
from studies.bits.study import AS_IT_IS, FLOAT, FORMATS, LONGER, ROUNDED, WIDTHS
from studies.bits.teachers import HELPS

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


def test_files_are_as_large_as_today(shipped):
    own = fold_batch_norm(zoo.load("small_cnn", 0))
    expected = {FLOAT: file_bytes(own)}
    expected |= {width: file_bytes(quantize_weights(own, fmt, observer=mse)) for width, fmt in FORMATS.items()}
    for width in WIDTHS:
        arm = AS_IT_IS if width == FLOAT else ROUNDED
        assert {one.file_bytes for one in shipped.few_bits if (one.width, one.arm) == (width, arm)} == {expected[width]}


def test_packed_models_predict_as_they_were_trained_to_the_last_bit(shipped):
    packed = [one for one in shipped.few_bits if one.width != FLOAT and one.arm in (*HELPS, LONGER)]
    assert len(packed) == 3 * (len(HELPS) * len(FORMATS) + 2)
    assert all(one.same_predictions is True for one in packed)


def test_every_teacher_is_better_than_its_student(shipped):
    """On the validation data, by which it was chosen: every ensemble beats every checkpoint by a point at least."""
    students_best = max(one.validation for one in shipped.few_bits if one.arm == AS_IT_IS)
    assert all(one.validation > students_best + POINT for one in shipped.teachers)
