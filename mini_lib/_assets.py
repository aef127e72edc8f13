"""Read a file that is shipped with the library, and say clearly when it is missing or damaged."""

import hashlib
import io
import lzma
from functools import lru_cache
from pathlib import Path

import numpy as np

ASSETS = Path(__file__).parent / "assets"


def read_verified(path: Path, sha256: str, how_to_get_it: str) -> bytes:
    """Return the whole content of `path` after checking its hash.

    `how_to_get_it` ends the error message: an instruction such as "run `git restore x`".

    Raises:
        ValueError: the file is missing, or its hash is not `sha256` (a changed, cut or half-copied file).
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; to get it back, {how_to_get_it}")
    content = path.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise ValueError(
            f"{path} is damaged: its {len(content)} bytes have sha256 {got[:12]}..., expected {sha256[:12]}...; "
            f"to get it back, {how_to_get_it}"
        )
    return content


def verify_large(path: Path, size_bytes: int, sha256: str, fix: str) -> Path:
    """Return the path of an existing file after checking its size and hash; its content is not kept in memory.

    `fix` ends the error message: it says what the reader can do.

    Raises:
        ValueError: the size or the hash differs (a changed, cut or half-copied file).
    """
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
        got_bytes = file.seek(0, io.SEEK_END)
    if (got_bytes, got) != (size_bytes, sha256):
        raise ValueError(
            f"{path} is damaged: its {got_bytes:,} bytes have sha256 {got[:12]}..., expected {size_bytes:,} bytes "
            f"with {sha256[:12]}...; {fix}"
        )
    return path


def read_arrays(path: Path, sha256: str, how_to_get_it: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file inside an .xz file by name, after checking its hash.

    Raises:
        ValueError: as `read_verified`.
    """
    content = _decompressed(read_verified(path, sha256, how_to_get_it))
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


@lru_cache(maxsize=1)
def _decompressed(content: bytes) -> bytes:
    """Keep the last result: decompressing takes longer than reading, and lessons ask for it again and again."""
    return lzma.decompress(content)
