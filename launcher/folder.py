"""The folders that course.py writes into: whether it can, said in a sentence before anything is begun."""

import tempfile

from launcher.stop import Stop


def need_writable(folder):
    """Make a folder where there is none, and make sure that files can be made in it.

    Raises:
        Stop: they cannot; the message says what is in the way, and what helps.
    """
    need_no_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions tell too little: a whole disk may be read-only
            pass
    except OSError as error:
        raise Stop(
            f"cannot write into {folder} ({error.strerror}): copy the course to a folder of your own, and "
            "start it there"
        ) from error


def need_no_file(folder):
    """Make sure that nothing but a folder has a folder's name.

    Raises:
        Stop: a file has it, or a link that leads nowhere.
    """
    if folder.exists() and not folder.is_dir():
        raise Stop(f"{folder} is a file, but a folder of that name is needed: move or rename the file")
    need_no_lost_link(folder)


def need_no_folder(file):
    """Make sure that nothing but a file has a file's name.

    Raises:
        Stop: a folder has it, or a link that leads nowhere.
    """
    if file.is_dir():
        raise Stop(f"{file} is a folder, but a file of that name is needed: move or rename the folder")
    need_no_lost_link(file)


def need_no_lost_link(path):
    """Make sure that what a link points to is there.

    Raises:
        Stop: it is not.
    """
    if path.is_symlink() and not path.exists():
        raise Stop(f"{path} is a link to something that is not there: remove the link, or restore what it points to")
