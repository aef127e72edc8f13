"""The learner's copies: given, refreshed, offered, backed up, and never written over."""

import os
import re
from datetime import datetime

import pytest
from course_support import publish

from launcher import Stop, copies

MONDAY = datetime(2026, 11, 23, 16, 5, 9)


def update(root, now=MONDAY):
    """Start the lab, as far as the copies go."""
    return copies.update(root / "lessons", root / "work", root / "work" / ".course", now)


def reset(root, number, now=MONDAY):
    """`course.py reset NUMBER`, as far as the copies go."""
    return copies.reset(number, root / "lessons", root / "work", root / "work" / ".course", now)


def tree(folder):
    """Every file below a folder but the manifest, with its content."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


class TestCopies:
    def test_the_first_start_gives_every_lesson_and_says_nothing(self, house):
        assert update(house) == []
        assert tree(house / "work") == tree(house / "lessons")

    def test_a_second_start_changes_nothing(self, house):
        update(house)
        before = {path: path.stat().st_mtime_ns for path in (house / "work").glob("*.ipynb")}
        assert update(house) == []
        assert {path: path.stat().st_mtime_ns for path in (house / "work").glob("*.ipynb")} == before

    def test_an_untouched_copy_is_refreshed_and_that_is_said(self, house):
        update(house)
        publish(house, "02_bits", "second version")
        assert update(house) == ["02_bits.ipynb: updated to the course's new version (you had not changed yours)."]
        assert tree(house / "work") == tree(house / "lessons")
        assert update(house) == []

    def test_a_learners_work_survives_three_updates(self, house):
        update(house)
        mine = house / "work" / "02_bits.ipynb"
        mine.write_text("my answers", encoding="utf-8")
        for day, text in enumerate(("second version", "third version", "fourth version"), start=24):
            publish(house, "02_bits", text)
            beside = house / "work" / f"02_bits.new-2026-11-{day}.ipynb"
            assert update(house, MONDAY.replace(day=day)) == [
                f"02_bits.ipynb: there is a new version, next to yours as {beside.name}. Yours is unchanged."
            ]
            assert beside.read_bytes() == (house / "lessons" / "02_bits.ipynb").read_bytes()
            assert mine.read_text(encoding="utf-8") == "my answers"
            assert update(house, MONDAY.replace(day=day)) == []  # said once
        assert len(list((house / "work").glob("02_bits.new-*"))) == 3

    def test_two_updates_on_one_day_do_not_overwrite_each_other_nor_a_file_of_that_name(self, house):
        update(house)
        work = house / "work"
        (work / "02_bits.ipynb").write_text("my answers", encoding="utf-8")
        (work / "02_bits.new-2026-11-23.ipynb").write_text("my notes", encoding="utf-8")
        for text in ("second version", "third version"):
            publish(house, "02_bits", text)
            update(house)
        files = tree(work)
        assert files["02_bits.new-2026-11-23.ipynb"] == "my notes"
        assert "second version" in files["02_bits.new-2026-11-23-2.ipynb"]
        assert "third version" in files["02_bits.new-2026-11-23-3.ipynb"]

    def test_a_learner_who_takes_the_new_version_gets_later_ones_in_place(self, house):
        update(house)
        work = house / "work"
        (work / "02_bits.ipynb").write_text("my answers", encoding="utf-8")
        publish(house, "02_bits", "second version")
        update(house)
        os.replace(work / "02_bits.new-2026-11-23.ipynb", work / "02_bits.ipynb")
        assert update(house) == []
        publish(house, "02_bits", "third version")
        assert update(house) == ["02_bits.ipynb: updated to the course's new version (you had not changed yours)."]

    def test_a_copy_put_back_as_it_was_given_is_refreshed_again(self, house):
        update(house)
        mine = house / "work" / "02_bits.ipynb"
        given = mine.read_bytes()
        mine.write_text("my answers", encoding="utf-8")
        publish(house, "02_bits", "second version")
        update(house)
        mine.write_bytes(given)
        assert "updated" in update(house)[0]

    def test_a_new_lesson_is_given_and_announced(self, house):
        update(house)
        publish(house, "03_train_few_bits", "first version")
        assert update(house) == ["03_train_few_bits.ipynb: a new lesson."]
        assert (house / "work" / "03_train_few_bits.ipynb").exists()

    def test_a_deleted_copy_stays_deleted_and_each_start_says_how_to_get_it_back(self, house):
        update(house)
        (house / "work" / "02_bits.ipynb").unlink()
        for _ in range(2):
            assert update(house) == [
                "02_bits.ipynb: you deleted your copy. `python3 course.py reset 02` gives a fresh one."
            ]
        assert not (house / "work" / "02_bits.ipynb").exists()
        reset(house, "02")
        assert update(house) == []

    def test_a_lesson_that_leaves_the_course_leaves_the_copy(self, house):
        update(house)
        (house / "lessons" / "02_bits.ipynb").unlink()
        assert update(house) == ["02_bits.ipynb: no longer part of the course. Your copy stays where it is."]
        assert update(house) == []
        assert (house / "work" / "02_bits.ipynb").exists()

    @pytest.mark.parametrize(
        "damage", ["", "{", "[]", "[" * 100_000, '{"lessons": 3}', '{"lessons": {"02_bits.ipynb": {"given": 1}}}', None]
    )
    def test_a_lost_or_damaged_manifest_costs_no_work(self, house, damage):
        update(house)
        mine = house / "work" / "02_bits.ipynb"
        mine.write_text("my answers", encoding="utf-8")
        manifest = house / "work" / ".course" / "manifest.json"
        manifest.unlink() if damage is None else manifest.write_text(damage, encoding="utf-8")
        notices = update(house)
        assert mine.read_text(encoding="utf-8") == "my answers"
        assert any("is damaged and was started afresh" in notice for notice in notices) == (damage is not None)
        assert update(house) == []

    @pytest.mark.parametrize("name", ["02_bits.ipynb", "02_bits.ipynb.tmp", ".course/manifest.json"])
    def test_a_folder_in_the_way_of_a_file_is_named(self, house, name):
        (house / "work" / name).mkdir(parents=True)
        with pytest.raises(Stop, match=f"{re.escape(name)} is a folder, but a file of that name is needed: move"):
            update(house)

    @pytest.mark.parametrize("name", [".course", "backups"])
    def test_a_file_in_the_way_of_a_folder_is_named_and_stays(self, house, name):
        (house / "work").mkdir()
        (house / "work" / "02_bits.ipynb").write_text("my answers", encoding="utf-8")
        (house / "work" / name).write_text("mine", encoding="utf-8")
        with pytest.raises(Stop, match=f"{re.escape(name)} is a file, but a folder of that name is needed: move"):
            reset(house, "02")
        assert tree(house / "work") == {"02_bits.ipynb": "my answers", name: "mine"}

    def test_other_files_of_the_learner_are_left_alone(self, house):
        (house / "work").mkdir()
        (house / "work" / "notes.ipynb").write_text("notes", encoding="utf-8")
        update(house)
        publish(house, "01_measure", "second version")
        update(house)
        assert tree(house / "work")["notes.ipynb"] == "notes"


class TestReset:
    def test_it_keeps_a_backup_and_gives_a_fresh_copy(self, house):
        update(house)
        (house / "work" / "02_bits.ipynb").write_text("my answers", encoding="utf-8")
        backup = house / "work" / "backups" / "02_bits.2026-11-23-160509.ipynb"
        assert reset(house, "02") == [
            f"Your copy is kept as {backup}.",
            f"A fresh copy is at {house / 'work' / '02_bits.ipynb'}.",
            "If it is open in JupyterLab, choose File > Reload Notebook from Disk, then Kernel > Restart Kernel. "
            "Your guesses and passes are kept.",
        ]
        assert backup.read_text(encoding="utf-8") == "my answers"
        assert (house / "work" / "02_bits.ipynb").read_bytes() == (house / "lessons" / "02_bits.ipynb").read_bytes()

    def test_two_backups_in_the_same_second_are_both_kept(self, house):
        for text in ("monday", "tuesday"):
            (house / "work").mkdir(exist_ok=True)
            (house / "work" / "02_bits.ipynb").write_text(text, encoding="utf-8")
            reset(house, "02")
        assert sorted(tree(house / "work" / "backups").values()) == ["monday", "tuesday"]

    @pytest.mark.parametrize("number", ["2", "02", "02_bits", "02_bits.ipynb"])
    def test_a_lesson_may_be_named_in_several_ways(self, house, number):
        reset(house, number)
        assert list(tree(house / "work")) == ["02_bits.ipynb"]

    @pytest.mark.parametrize("number", ["7", "bits", "", "../02_bits", "02_bits.py"])
    def test_an_unknown_lesson_is_refused_and_the_lessons_are_listed(self, house, number):
        with pytest.raises(
            Stop, match=re.escape(f"there is no lesson {number!r}; the lessons are 01_measure, 02_bits.")
        ):
            reset(house, number)
        assert not (house / "work").exists()

    def test_after_a_reset_the_copy_is_refreshed_in_place_again(self, house):
        update(house)
        (house / "work" / "02_bits.ipynb").write_text("my answers", encoding="utf-8")
        reset(house, "02")
        publish(house, "02_bits", "second version")
        assert "updated" in update(house)[0]
