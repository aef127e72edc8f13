"""The one writer of files: links, modes, what is refused before anything is touched, and every way to be stopped."""

import errno
import hashlib
import io
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mini_lib import files
from mini_lib.files import BadPath, write_file

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such thing")


def mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def run(program: str, *arguments: object) -> str:
    """What a Python of its own prints."""
    root = Path(files.__file__).parents[1]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def umask():
    """A function that sets it; it is put back afterwards."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


# --- what is written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"one\r\ntwo\n\0", bytes(range(256)) * 5000])
@pytest.mark.parametrize("kind", [str, Path])
def test_the_bytes_are_there_and_nothing_else(content, kind, tmp_path):
    for before in (None, b"old and longer than some of what follows"):
        if before is not None:
            (tmp_path / "a").write_bytes(before)
        assert write_file(kind(tmp_path / "a"), content) is None
        assert (tmp_path / "a").read_bytes() == content and names(tmp_path) == ["a"]


def test_a_path_may_be_relative(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    write_file("here", b"1")
    write_file(Path("..") / "up", b"2")
    assert names(tmp_path) == ["in", "up"] and names(tmp_path / "in") == ["here"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 200
    write_file(tmp_path / ("n" * longest), b"long")
    write_file(tmp_path / ("é" * (longest // 2)), b"long, in two bytes each")
    assert len(names(tmp_path)) == 2


# --- links ---------------------------------------------------------------------------------------------------------


@posix
def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(Path("far") / "target")
    write_file(link, b"new")
    assert os.readlink(link) == "far/target" and target.read_bytes() == b"new"
    assert not target.is_symlink() and names(tmp_path) == ["far", "link"] and names(tmp_path / "far") == ["target"]


@posix
def test_the_temporary_file_lies_beside_the_target_of_a_link(tmp_path, monkeypatch):
    """A rename is one step only within a file system, and a link may lead to another one."""
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "target")
    seen, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: seen.append([Path(p) for p in paths]) or replace(*paths))
    write_file(tmp_path / "link", b"new")
    [(temporary, target)] = seen
    assert target == tmp_path / "far" / "target" and temporary.parent == target.parent


@posix
def test_a_chain_of_links_is_followed_to_its_end(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "end").write_bytes(b"old")
    (tmp_path / "far" / "middle").symlink_to("end")
    (tmp_path / "folder").symlink_to("far")
    (tmp_path / "first").symlink_to(Path("folder") / "middle")
    write_file(tmp_path / "first", b"new")
    assert (tmp_path / "far" / "end").read_bytes() == b"new"
    assert all((tmp_path / link).is_symlink() for link in ("first", "folder", "far/middle"))
    assert names(tmp_path / "far") == ["end", "middle"]


@posix
def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link").symlink_to("target")
    write_file(tmp_path / "link", b"new")
    assert os.readlink(tmp_path / "link") == "target" and (tmp_path / "target").read_bytes() == b"new"
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere" / "target")
    with pytest.raises(BadPath, match=f"^there is no folder {re.escape(str(tmp_path / 'nowhere'))}; make it first"):
        write_file(tmp_path / "lost", b"new")
    assert names(tmp_path) == ["link", "lost", "target"]


@posix
def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for name in ("self", "one", "two"):
        with pytest.raises(BadPath, match=f"/{name} is a circular link; remove it, or choose"):
            write_file(tmp_path / name, b"new")
    with pytest.raises(BadPath, match="there is no folder .*self; make it first"):
        write_file(tmp_path / "self" / "file", b"new")
    assert names(tmp_path) == ["one", "self", "two"] and all((tmp_path / name).is_symlink() for name in names(tmp_path))


@posix
def test_another_name_of_the_file_keeps_the_old_content(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    os.link(tmp_path / "a", tmp_path / "b")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new" and (tmp_path / "b").read_bytes() == b"old"


# --- modes ---------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("kept", [0o600, 0o640, 0o664, 0o666, 0o755, 0o400, 0o444])
@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_a_file_keeps_its_mode_also_through_a_link(kept, mask, tmp_path, umask):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to("a")
    os.chmod(tmp_path / "a", kept)
    umask(mask)
    for path in (tmp_path / "a", tmp_path / "link"):
        write_file(path, b"new")
        assert mode(tmp_path / "a") == kept


@posix
@pytest.mark.parametrize("mask, expected", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_a_new_file_gets_the_mode_that_the_umask_leaves(mask, expected, tmp_path, umask):
    umask(mask)
    write_file(tmp_path / "a", b"new")
    (tmp_path / "link").symlink_to("b")
    write_file(tmp_path / "link", b"new")
    assert mode(tmp_path / "a") == mode(tmp_path / "b") == expected


@posix
def test_a_private_file_is_private_from_the_first_moment(tmp_path, umask, monkeypatch):
    (tmp_path / "secret").write_bytes(b"old")
    os.chmod(tmp_path / "secret", 0o600)
    umask(0)
    seen, chmod = [], os.chmod
    monkeypatch.setattr(os, "chmod", lambda path, new: seen.append(mode(path)) or chmod(path, new))
    write_file(tmp_path / "secret", b"new")
    assert seen == [0o600]  # as it was made, empty yet


# --- what is no file -----------------------------------------------------------------------------------------------


def assert_refused(path: Path, message: str) -> None:
    """As a mistake of the caller's, and as a failure to write, for those who go on without the file."""
    folder = path.parent
    before = [(name, os.lstat(folder / name)) for name in names(folder)]
    for kind in (ValueError, OSError):
        with pytest.raises(kind, match=f"^{re.escape(message)}$"):
            write_file(path, b"new")
    after = [(name, os.lstat(folder / name)) for name in names(folder)]
    assert [(name, s.st_ino, s.st_mode) for name, s in before] == [(name, s.st_ino, s.st_mode) for name, s in after]


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    assert_refused(tmp_path / "folder", f"{tmp_path / 'folder'} is a folder; give the name of a file in it")
    with pytest.raises(BadPath, match="^/ is a folder" if os.name == "posix" else "is a folder"):
        write_file(tmp_path.anchor, b"new")


def test_a_folder_that_is_missing_or_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    for name in ("nowhere", "file"):
        with pytest.raises(BadPath) as caught:
            write_file(tmp_path / name / "a", b"new")
        assert str(caught.value) == f"there is no folder {tmp_path / name}; make it first, or choose another path"
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"old"


@posix
def test_a_named_pipe_is_refused_also_through_a_link(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    link.symlink_to("pipe")
    assert_refused(pipe, f"{pipe} is a named pipe; give the name of a file")
    assert_refused(link, f"{link} (a link to {pipe}) is a named pipe; give the name of a file")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets here")
def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("s")
        assert_refused(tmp_path / "s", f"{tmp_path / 's'} is a socket; give the name of a file")


@posix
def test_a_device_is_refused_and_is_one_afterwards(tmp_path):
    """A null device of our own: where the rule fails, it is the one that is lost."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices, and not everywhere")
    (tmp_path / "link").symlink_to("null")
    assert_refused(device, f"{device} is a device; give the name of a file")
    assert_refused(tmp_path / "link", f"{tmp_path / 'link'} (a link to {device}) is a device; give the name of a file")
    assert stat.S_ISCHR(os.lstat(device).st_mode)


@pytest.mark.parametrize(
    "kind, named", [(stat.S_IFCHR, "a device"), (stat.S_IFBLK, "a device"), (0o150000, "not a regular file")]
)
def test_what_the_system_calls_a_device_is_refused(kind, named, tmp_path, monkeypatch):
    """A file that is said to be a device, where no device can be made; the last is a kind that nobody knows."""
    path, look = tmp_path / "null", os.stat
    path.write_bytes(b"old")

    def says(place, *args, **kwargs):
        found = look(place, *args, **kwargs)
        same = not isinstance(place, int) and Path(place) == path
        return os.stat_result((kind | 0o666, *found[1:])) if same else found

    monkeypatch.setattr(os, "stat", says)
    with pytest.raises(BadPath, match=f"null is {named}; give the name of a file$"):
        write_file(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and names(tmp_path) == ["null"]


OPEN = """
import sys
from mini_lib.files import BadPath, write_file
try:
    write_file(sys.argv[1], b"new")
except BadPath as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files have no names here")
def test_a_name_for_an_open_pipe_is_refused(tmp_path):
    """As /dev/stdout is one: a link whose target, `pipe:[123]` in a folder, is no path."""
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    said = run(OPEN, tmp_path / "stdout")
    assert re.fullmatch(r".*stdout \(a link to .*\) is a named pipe; give the name of a file\n", said)


# --- stopped in between --------------------------------------------------------------------------------------------

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TakesAPart(io.FileIO):
    """A file that writes a part of what it is given, and then fails."""

    error: BaseException

    def write(self, content):
        super().write(content[:3])
        raise self.error


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), SystemExit(1)], ids=["full", "interrupted", "ended"])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_the_old_file_stays_and_no_other(old, step, error, tmp_path, monkeypatch):
    path = tmp_path / "a"
    if old is not None:
        path.write_bytes(old)

    def fail(*_):
        raise error

    if step == "write":
        monkeypatch.setattr(TakesAPart, "error", error, raising=False)
        monkeypatch.setattr(files, "open", TakesAPart, raising=False)
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)) as caught:
        write_file(path, b"a new content")
    monkeypatch.undo()
    assert caught.value is error
    assert names(tmp_path) == ([] if old is None else ["a"]) and (old is None or path.read_bytes() == old)
    write_file(path, b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["a"]


# Of a megabyte the system takes 4096 bytes and no more: a short write, then an error, as on a full disk.
SHORT = """
import resource, sys
from mini_lib.files import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_file(sys.argv[1], b"x" * 10**6)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


@posix
def test_a_file_system_that_takes_no_more(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    assert run(SHORT, tmp_path / "a") == f"OSError {errno.EFBIG}\n"
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


# The superuser may write anywhere: it becomes somebody else first. (What is imported later might not be readable.)
READ_ONLY = """
import os, sys
from mini_lib.files import write_file
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for name in ("a", "new", "link"):
    try:
        write_file(os.path.join(sys.argv[1], name), b"new")
    except OSError as error:
        print(type(error).__name__)
"""


@posix
def test_a_folder_that_is_read_only():
    with tempfile.TemporaryDirectory() as folder:  # not in pytest's own, which is closed to others
        (Path(folder) / "a").write_bytes(b"old")
        (Path(folder) / "link").symlink_to("a")
        os.chmod(folder, 0o555)
        try:
            assert run(READ_ONLY, folder).split() == ["PermissionError"] * 3
            assert names(Path(folder)) == ["a", "link"] and (Path(folder) / "a").read_bytes() == b"old"
        finally:
            os.chmod(folder, 0o755)


# --- several at once -----------------------------------------------------------------------------------------------

WRITER = """
import sys
from mini_lib.files import write_file
for _ in range(60):
    write_file(sys.argv[1], sys.argv[2].encode() * 300_000)
"""


def test_writers_at_once_leave_one_whole_content(tmp_path):
    path, root = tmp_path / "a", Path(files.__file__).parents[1]
    write_file(path, b"0" * 300_000)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], cwd=root) for name in "123"]
    try:
        while any(writer.poll() is None for writer in writers):
            content = path.read_bytes()
            assert len(content) == 300_000 and content == content[:1] * 300_000
    finally:
        ends = [writer.wait(60) for writer in writers]
    assert ends == [0, 0, 0] and names(tmp_path) == ["a"]
    assert path.read_bytes()[:1] in (b"1", b"2", b"3")


# --- the seal ------------------------------------------------------------------------------------------------------


def test_every_single_flipped_bit_breaks_the_seal():
    content = files.sealed(f'{{"seal": "{files.UNSEALED}", "data": "{files.UNSEALED}"}}'.encode())
    seal = content[10:74].decode()
    assert hashlib.sha256(content.replace(seal.encode(), files.UNSEALED.encode())).hexdigest() == seal
    assert files.seal_holds(content, seal)
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        found = flipped[10:74].decode(errors="replace")
        assert not files.seal_holds(bytes(flipped), found), place


@pytest.mark.parametrize("seal", [None, 7, "", "é" * 64, files.UNSEALED, "a" * 63, ["a"]])
def test_what_is_no_seal_never_holds(seal):
    assert not files.seal_holds(files.sealed(files.UNSEALED.encode()), seal)


def test_content_without_a_place_is_not_sealed():
    with pytest.raises(ValueError, match="the content has no place for a seal; write UNSEALED, 64 zeros"):
        files.sealed(b"0" * 63)
