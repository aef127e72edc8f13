"""The folders that course.py writes into: whether it can, said in a sentence before anything is begun."""

import tempfile

from launcher.stop import Stop


def need_writable(folder):
    """Make a folder where there is none, and make sure that files can be made in it.

    Raises:
        Stop: they cannot; the message says what is in the way, and what helps.
    """
    if folder.exists() and not folder.is_dir():
        raise Stop(f"{folder} is a file, and a folder of that name is needed: move the file, or give it another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions tell too little: a whole disk may be read-only
            pass
    except OSError as error:
        raise Stop(
            f"nothing can be written into {folder} ({error.strerror}): copy the course to a folder of your own, and "
            "start it there"
        ) from error
