"""The learner's copies of the lessons, in work/: given once, refreshed while untouched, never written over.

A manifest remembers the hash of what was given. A copy that still has that hash is the course's to refresh; any other
is the learner's, and a new version of its lesson is put next to it. A deleted copy stays deleted: each start says how
to get it back, and does no more. A lesson that leaves the course leaves the learner's copy where it is.
"""

import hashlib
import json
import os
import re

from launcher.folder import need_no_file, need_no_folder
from launcher.stop import Stop

MANIFEST = "manifest.json"


def update(lessons, work, home, now):
    """Bring the copies in `work` up to date with `lessons`; return a sentence for each thing the learner should know.

    `home` is the folder of the manifest, and `now` a datetime: its date names the versions that are put next to a copy.
    """
    manifest, notices = read_manifest(home)
    first_time = not manifest and not lessons_in(work)
    for lesson in lessons_in(lessons):
        name, copy, latest = lesson.name, work / lesson.name, lesson.read_bytes()
        need_no_folder(copy)
        record = manifest.get(name)  # {"given": hash, "offered": hash}; None: never given
        if copy.exists():
            mine = hash_of(copy.read_bytes())
            if mine == hash_of(latest):
                manifest[name] = {"given": mine, "offered": mine}
            elif record and mine == record["given"]:
                write(copy, latest)
                manifest[name] = {"given": hash_of(latest), "offered": hash_of(latest)}
                notices.append(f"{name}: updated to the course's new version (you had not changed yours).")
            elif not record or hash_of(latest) not in (record["given"], record["offered"]):
                beside = put_beside(copy, latest, f"new-{now:%Y-%m-%d}")
                manifest[name] = {"given": record["given"] if record else None, "offered": hash_of(latest)}
                notices.append(f"{name}: there is a new version, next to yours as {beside.name}. Yours is unchanged.")
        elif record:
            notices.append(
                f"{name}: you deleted your copy. `python3 course.py reset {number_of(lesson)}` gives a fresh one."
            )
        else:
            write(copy, latest)
            manifest[name] = {"given": hash_of(latest), "offered": hash_of(latest)}
            if not first_time:
                notices.append(f"{name}: a new lesson.")
    for name in sorted(set(manifest) - {lesson.name for lesson in lessons_in(lessons)}):
        del manifest[name]
        if (work / name).exists():
            notices.append(f"{name}: no longer part of the course. Your copy stays where it is.")
    write(home / MANIFEST, json.dumps({"lessons": manifest}, indent=1).encode())
    return notices


def reset(number, lessons, work, home, now):
    """Give a fresh copy of one lesson, after a backup of the learner's; return what was done, a sentence a thing.

    `number` is "2", "02" or "02_bits".

    Raises:
        Stop: there is no such lesson; the lessons are listed.
    """
    lesson = find(number, lessons)
    copy, latest, done = work / lesson.name, lesson.read_bytes(), []
    need_no_folder(copy)
    manifest, notices = read_manifest(home)
    if copy.exists():
        backups = work / "backups"
        backup = put_beside(backups / lesson.name, copy.read_bytes(), f"{now:%Y-%m-%d-%H%M%S}")
        done.append(f"Your copy is kept as {backup}.")
    write(copy, latest)
    manifest[lesson.name] = {"given": hash_of(latest), "offered": hash_of(latest)}
    write(home / MANIFEST, json.dumps({"lessons": manifest}, indent=1).encode())
    reload = "If it is open in JupyterLab, choose File > Reload Notebook from Disk, then Kernel > Restart Kernel."
    return [*notices, *done, f"A fresh copy is at {copy}.", f"{reload} Your guesses and passes are kept."]


def last_used(work, home):
    """The copy that the learner changed last, the first one where none was changed, and None where none is there."""
    here = lessons_in(work)
    manifest, _ = read_manifest(home)
    given = {name: record["given"] for name, record in manifest.items()}
    mine = [copy for copy in here if hash_of(copy.read_bytes()) != given.get(copy.name)]
    return max(mine, key=lambda copy: copy.stat().st_mtime_ns, default=here[0] if here else None)


def lessons_in(folder):
    """The notebooks of a folder whose names are a lesson's, such as 02_bits.ipynb, in order."""
    return sorted(path for path in folder.glob("*.ipynb") if re.fullmatch(r"\d\d_\w+\.ipynb", path.name))


def find(number, lessons):
    """The lesson that "2", "02", "02_bits" or "02_bits.ipynb" means."""
    for lesson in lessons_in(lessons):
        if number in (lesson.name, lesson.stem) or (number.isdecimal() and int(number) == int(number_of(lesson))):
            return lesson
    there = ", ".join(lesson.stem for lesson in lessons_in(lessons))
    raise Stop(f"there is no lesson {number!r}; the lessons are {there}. For example: python3 course.py reset 01")


def number_of(lesson):
    """The "02" of 02_bits.ipynb."""
    return lesson.name[:2]


def put_beside(path, content, label):
    """Write `content` as 02_bits.LABEL.ipynb next to `path`, under a name that is free, and return that path.

    Where the very same bytes are there already, they are left alone.
    """
    for count in range(1, 1000):
        label_n = label if count == 1 else f"{label}-{count}"
        free = path.with_name(f"{path.stem}.{label_n}{path.suffix}")
        if free.exists() and free.read_bytes() == content:
            return free
        if not free.exists():
            write(free, content)
            return free
    raise Stop(f"there are a thousand files next to {path}: remove the ones that you do not need")


def read_manifest(home):
    """What was given so far, and a notice where the manifest was damaged and every copy now counts as the learner's."""
    path = home / MANIFEST
    need_no_file(home)
    need_no_folder(path)
    if not path.exists():
        return {}, []
    try:
        lessons = json.loads(path.read_bytes())["lessons"]
        return {name: {"given": record["given"], "offered": record["offered"]} for name, record in lessons.items()}, []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, [
            f"{path} is damaged and was started afresh: every copy counts as changed by you, so none is overwritten."
        ]


def write(path, content):
    """Write a file in one step: whoever looks sees the old bytes or the new ones, never half of either."""
    temporary = path.with_name(path.name + ".tmp")
    need_no_file(path.parent)
    for file in (path, temporary):
        need_no_folder(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content)
    os.replace(temporary, path)


def hash_of(content):
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()
