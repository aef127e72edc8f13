"""Write a file whole or not at all, and see on reading it whether a single bit has changed since."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
UNSEALED = "0" * 64  # stands in a file's text where its seal will be


class BadPath(ValueError, OSError):
    """A file cannot be written here; the message says why, and nothing was touched."""


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file in one step: at every moment it holds its whole old content or its whole new content.

    The bytes go to a temporary file in the same folder, which then takes the file's name. A symbolic link stays: the
    file that it points to is written. A file that exists keeps its permissions; a new one gets those that the umask
    leaves. The bits setuid, setgid and sticky are dropped: whoever set them meant the old content. Other hard links to
    the file keep the old content.

    Raises:
        BadPath: the folder does not exist, or the path names something other than a file: a folder, a named pipe, a
            socket, a device, or a circular link.
        OSError: the disk is full, or the folder is read-only; the file is as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(Path(folder) / "note.txt", b"whole")
    ...     os.listdir(folder), (Path(folder) / "note.txt").read_bytes()
    (['note.txt'], b'whole')

    Source: T. Pillai et al., "All File Systems Are Not Created Equal: On the Complexity of Crafting Crash-Consistent
    Applications", OSDI 2014.
    """
    target = Path(os.path.realpath(path))
    mode = _mode(Path(path), target)
    unfinished = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.part")
    first_mode = 0o666 if mode is None else mode  # from the start: a private file is never readable by others
    try:
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, first_mode)) as file:
            if mode is not None:
                os.chmod(unfinished, mode)  # the umask may have taken a part of it
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the rename: otherwise a crash could leave an empty file under this name
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _mode(path: Path, target: Path) -> int | None:
    """The mode that a file keeps; None for a new one, and on Windows, whose read-only bit would block the rename."""
    if not target.parent.is_dir():
        raise BadPath(f"there is no folder {target.parent}; make it first, or choose another path")
    if target.is_symlink():  # where realpath gives up
        raise BadPath(f"{path} is a circular link; remove it, or choose another path")
    try:
        found = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found):
        named = f"{path} (a link to {target})" if path.is_symlink() else path
        kind = _KINDS.get(stat.S_IFMT(found), "not a regular file")
        raise BadPath(f"{named} is {kind}; give the name of a file{' in it' if stat.S_ISDIR(found) else ''}")
    return None if os.name == "nt" else stat.S_IMODE(found) & 0o777


def sealed(content: bytes) -> bytes:
    """Return a file's content with its seal, in the place of the first UNSEALED in it.

    The seal is the sha256 of the content with UNSEALED there, as 64 hexadecimal digits. So it covers all bytes, and the
    content stays as long as it was. Write UNSEALED into the header, ahead of any content that others choose.

    Raises:
        ValueError: the content has no place for a seal.

    >>> content = sealed(f"seal={UNSEALED}, pi=3.14".encode())
    >>> seal = content[5:69].decode()
    >>> seal_holds(content, seal), seal_holds(content.replace(b"3.14", b"3.15"), seal)
    (True, False)
    """
    if UNSEALED.encode() not in content:
        raise ValueError("the content has no place for a seal; write UNSEALED, 64 zeros, where it is to be")
    return content.replace(UNSEALED.encode(), _sha256(content), 1)


def seal_holds(content: bytes, seal: object) -> bool:
    """Return whether this content, in which `seal` was found, equals to the last bit what `sealed` returned."""
    if not (isinstance(seal, str) and len(seal) == len(UNSEALED) and seal.isascii()):
        return False
    return seal.encode() in content and _sha256(content.replace(seal.encode(), UNSEALED.encode(), 1)) == seal.encode()


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
