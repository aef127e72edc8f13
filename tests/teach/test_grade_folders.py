"""What lies in folders: every hand-in of a class, and what a submission left in its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from teach.grading.folder import MOST_DEPTH, find_submissions
from teach.grading.folders import own_folder, remove_tree, used
from teach.grading.watch import MOST_DISK_BYTES, MOST_FILES, Watch

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="it needs /proc, and folders that are open files")


@pytest.fixture
def quick(tmp_path):
    """A folder in memory where the system has one: on some disks it takes a minute to remove 10,000 folders."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def deep_folder(top: Path, depth: int) -> None:
    """Folders within folders, deeper than a path may be long."""
    place = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)


@on_linux
def test_a_folder_is_removed_however_deep_and_shut(quick):
    (quick / "kept").mkdir()
    (quick / "kept" / "file").touch()
    top = quick / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").touch()
    (top / "link").symlink_to(quick / "kept")
    os.mkfifo(top / "a" / "pipe")
    deep_folder(top, 10_000)
    deep_folder(top / "a", 50)
    (top / "a").chmod(0)
    remove_tree(top)
    assert [path.name for path in quick.iterdir()] == ["kept"] and (quick / "kept" / "file").exists()


def test_an_own_folder_is_gone_after_an_error():
    with pytest.raises(KeyboardInterrupt), own_folder() as folder:
        (folder / "file").write_text("x")
        raise KeyboardInterrupt
    assert not folder.exists()


@on_linux
def test_files_and_bytes_are_counted(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(bytes(8192))
    (tmp_path / "link").symlink_to("/")
    files, size = used(tmp_path, 100)
    # The file takes 8192 bytes; the folder and the link take none or a block of 4096 each, as the file system has it.
    assert files == 3 and 8192 <= size <= 8192 + 2 * 4096
    assert used(tmp_path, 2)[0] == 3
    deep_folder(tmp_path, 200)
    assert used(tmp_path, 1000)[0] == 1001


WASTEFUL = """
import os, sys, threading, time
if sys.argv[2] == "threads":
    for _ in range(300):
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
if sys.argv[2] == "disk":
    kept = open(sys.argv[1] + "/f", "wb")
    os.unlink(sys.argv[1] + "/f")
    os.posix_fallocate(kept.fileno(), 0, int(sys.argv[3]))
print("ready", flush=True)
time.sleep(100)
"""


@on_linux
@pytest.mark.parametrize("what", ["", "threads", "disk"])
def test_a_watch_sees_threads_and_files_without_a_name(tmp_path, what):
    command = [sys.executable, "-c", WASTEFUL, str(tmp_path), what, str(MOST_DISK_BYTES + 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        assert Watch(process.pid, str(tmp_path)).over() == what
        process.kill()


def test_a_watch_sees_files(tmp_path, monkeypatch):
    monkeypatch.setattr("teach.grading.watch.MOST_FILES", 3)
    for number in range(4):
        assert Watch(os.getpid(), str(tmp_path)).over() == ""
        (tmp_path / str(number)).touch()
    assert MOST_FILES == 2000 and Watch(os.getpid(), str(tmp_path)).over() == "files"


LINK = "is a link, expected the hand-in itself: copy it here"
ARCHIVE = "is an archive, expected a notebook: unpack it here"
NOT_ONE = "its name ends in {}, expected .ipynb: rename it if it is a notebook"
NONE = "no notebook in this folder"


HANDED_IN = """
ann.ipynb.txt bob.zip cem.tar.gz dia.pdf eli tests/a.ipynb solutions/b.ipynb fay/a.ipynb fay/b.ipynb.zip
fay/data.csv fay/c.ipynb~ fay/old.7z gus/tests/a.ipynb hal/readme.md
.DS_Store Thumbs.db __MACOSX/a.ipynb kim/.ipynb_checkpoints/a.ipynb out/grades.csv
"""


@on_linux
def test_every_hand_in_has_a_line(quick):
    (quick / "elsewhere" / "sub").mkdir(parents=True)
    (quick / "elsewhere" / "x.ipynb").touch()
    folder = quick / "class"
    for name in HANDED_IN.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "ida").symlink_to(quick / "elsewhere")
    (folder / "jon.ipynb").symlink_to(quick / "elsewhere" / "x.ipynb")
    (folder / "lea").mkdir()
    (folder / "lea" / "mine").symlink_to(quick / "elsewhere")
    (folder / "mia").symlink_to(quick / "nowhere")
    os.mkfifo(folder / "ned")
    (folder / "ola").mkdir()
    deep_folder(folder / "ola", 3000)
    found = find_submissions(folder, besides=folder / "out")
    remove_tree(folder)  # pytest's own clearing up would not get to the bottom
    assert [(one.student, one.file, one.note) for one in found] == [
        ("ann", "ann.ipynb.txt", NOT_ONE.format(".txt")),
        ("bob", "bob.zip", ARCHIVE),
        ("cem", "cem.tar.gz", ARCHIVE),
        ("dia", "dia.pdf", NOT_ONE.format(".pdf")),
        ("eli", "eli", "its name has no ending, expected .ipynb: rename it if it is a notebook"),
        ("fay", "fay/a.ipynb", ""),
        ("fay", "fay/b.ipynb.zip", ARCHIVE),
        ("fay", "fay/old.7z", ARCHIVE),
        ("gus", "gus/", f"{NONE}; the contents of tests/ are taken for the course's own files"),
        ("hal", "hal/", NONE),
        ("ida", "ida", LINK),
        ("jon", "jon.ipynb", ""),  # `read_notebook` says that it is a link
        ("kim", "kim/", NONE),
        ("lea", "lea/mine", LINK),
        ("mia", "mia", LINK),
        ("ned", "ned", "its name has no ending, expected .ipynb: rename it if it is a notebook"),
        ("ola", "ola/", f"{NONE}; folders in it are nested more than {MOST_DEPTH} deep"),
        ("solutions", "solutions/b.ipynb", ""),
        ("tests", "tests/a.ipynb", ""),
    ]
    assert {one.file for one in found if one.path} == {one.file for one in found if not one.note}


def test_results_among_the_hand_ins_are_no_hand_ins(tmp_path):
    for name in ("a.ipynb", "grades.csv", "report.html"):
        (tmp_path / name).touch()
    assert [one.file for one in find_submissions(tmp_path, besides=tmp_path)] == ["a.ipynb"]
