"""The JupyterLab that already runs on a folder, found by the notes that Jupyter's servers leave of themselves.

A lock tells whether its terminal is still there: course.py holds it as long as its JupyterLab runs.
"""

import json
import os
import subprocess
import time
import urllib.request
import webbrowser
from pathlib import Path

from launcher.stop import Stop

PATIENCE_S = 30  # what another start may take until its JupyterLab answers
PAUSE_S = 0.5
WHERE = "from jupyter_core.paths import jupyter_runtime_dir; print(jupyter_runtime_dir())"
STOP = "To stop it, choose File > Shut Down in JupyterLab"


def look(python, folder):
    """The note of a running JupyterLab that serves `folder`, or None.

    Its "url" ends in a slash, and its "token" lets one in. A note outlives a
    server that was killed, and another server may have its port: so it is asked, with the token.
    """
    asked = subprocess.run([str(python), "-X", "utf8", "-c", WHERE], capture_output=True, encoding="utf-8")
    for path in sorted(Path(asked.stdout.strip() or os.devnull).glob("jpserver-*.json")):
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            if os.path.samefile(note["root_dir"], folder) and answers(note):
                return note
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # gone, or half written, or no such note
            pass
    return None


def answers(note):
    """Whether the server of a note is there and takes its token."""
    url = note["url"] + "api/status"
    request = urllib.request.Request(url, headers={"Authorization": f"token {note['token']}"})
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows no localhost of ours
    try:
        with straight.open(request, timeout=5):
            return True
    except OSError:  # refused, too late, or another's server
        return False


def wait_for(python, folder):
    """The note of the JupyterLab that another course.py is about to start.

    Raises:
        Stop: it does not come.
    """
    for look_number in range(round(PATIENCE_S / PAUSE_S)):
        if note := look(python, folder):
            return note
        if look_number == 0:
            print("Another `course.py lab` is starting here: waiting for it.", flush=True)
        time.sleep(PAUSE_S)
    raise Stop(
        f"another `course.py lab` runs on {folder}, but its JupyterLab does not answer: look at the terminal that "
        "it was started from, and press Ctrl-C there twice to stop it"
    )


def point_to(note, page, orphan, browser):
    """Say where the JupyterLab is that runs already and how to stop it, and open `page` of it in the browser."""
    address = f"{note['url']}{page.lstrip('/')}?token={note['token']}"
    if orphan:
        print(f"JupyterLab already runs on this folder, but not from a terminal of course.py: {address}")
        print(f"{STOP}.", flush=True)
    else:
        print(f"JupyterLab already runs on this folder: {address}")
        print(f"{STOP}, or press Ctrl-C twice in the terminal that it was started from.", flush=True)
    if browser:
        webbrowser.open(address)
