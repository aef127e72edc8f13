"""A submission's own folder: made for one child, counted while that runs, removed with whatever it left in it."""

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

MOST_DEPTH = 100  # folders within folders: more than anybody needs, and far below what a path may hold


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for one child, gone afterwards."""
    folder = tempfile.mkdtemp(prefix="grade-")
    try:
        yield Path(folder)
    finally:
        remove_tree(folder)


def remove_tree(folder: str | os.PathLike[str]) -> None:
    """Remove a folder, also where it holds folders 10,000 deep, or some that nobody may read.

    Folders within folders are moved up, so that no path grows long and nothing calls itself. Links are removed, not
    followed. What the system does not let go stays.
    """
    mark, moved = secrets.token_hex(8), 0
    with contextlib.suppress(OSError):
        _unlock(folder)
        while entries := _entries(folder):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry)
                    continue
                for inner in _entries(entry):
                    if inner.is_dir(follow_symlinks=False):
                        _unlock(inner)  # or it may not be moved
                        moved += 1
                        os.rename(inner, os.path.join(folder, f"{mark}-{moved}"))
                    else:
                        os.unlink(inner)
                os.rmdir(entry)
        os.rmdir(folder)
    shutil.rmtree(folder, ignore_errors=True)  # on Windows a file that is still open stops the above


def used(folder: str | os.PathLike[str], most_files: int) -> tuple[int, int]:
    """Files and bytes on disk in a folder; it stops counting above `most_files`, or below MOST_DEPTH folders.

    Folders too deep count as too many files.
    """
    files, size, left = 0, 0, [(folder, 0)]
    while left and files <= most_files:
        place, depth = left.pop()
        if depth > MOST_DEPTH:
            return most_files + 1, size
        with contextlib.suppress(OSError):  # it has gone meanwhile
            for entry in _entries(place):
                files += 1
                with contextlib.suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    size += getattr(about, "st_blocks", about.st_size // 512) * 512
                    if stat.S_ISDIR(about.st_mode):
                        left.append((entry.path, depth + 1))
    return files, size


def _entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except PermissionError:
        _unlock(folder)
        return list(os.scandir(folder))


def _unlock(folder: str | os.PathLike[str]) -> None:
    os.chmod(folder, 0o700)
