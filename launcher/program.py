"""The commands of course.py: what each sets up, and which program it starts."""

import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from launcher import Stop, copies, environment, lock, running
from launcher.folder import need_writable
from launcher.news import write_news

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "work"
COURSE_HOME = WORK / ".course"  # where progress and the record of given copies are kept


def lab(arguments):
    """Open JupyterLab on the learner's copies, at the lesson used last, or name the one that runs there already."""
    need_writable(WORK)  # before a long set-up, and not after it
    need_writable(COURSE_HOME)
    python = environment.prepare(ROOT, extras=environment.missing_tools())
    with lock.held(COURSE_HOME / "lab.lock") as mine:  # until JupyterLab ends
        note = running.look(python, WORK) if mine else running.wait_for(python, WORK)
        if note:  # two on one folder would write over each other's notebooks
            browser = "--no-browser" not in arguments
            running.point_to(note, page_of(copies.last_used(WORK, COURSE_HOME)), orphan=mine, browser=browser)
            return 0
        return start(python, arguments)


def start(python, arguments):
    """Bring the copies up to date, and run JupyterLab on them until it ends."""
    notices = copies.update(ROOT / "lessons", WORK, COURSE_HOME, datetime.now())
    for notice in notices:
        print(notice, flush=True)
    lesson = copies.last_used(WORK, COURSE_HOME)
    first = page_of((lesson and write_news(notices, lesson, WORK)) or lesson)
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # in a container one often is
    settings = [str(ROOT / "launcher" / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")]  # no news, no update checks
    print("Starting JupyterLab. To stop it, press Ctrl-C here twice.", flush=True)
    # It logs warnings only, so that the notices above and the address stay in sight.
    return run(
        [
            python,
            "-m",
            "jupyterlab",
            f"--ServerApp.root_dir={WORK}",
            f"--LabApp.default_url={first}",
            "--log-level=WARN",
            *as_root,
            *arguments,
        ],
        COURSE_HOME=str(COURSE_HOME),
        JUPYTER_CONFIG_PATH=os.pathsep.join(filter(None, settings)),
    )


def page_of(file):
    """The path of JupyterLab's page that shows a file of work/, or an empty page where there is none."""
    return f"/lab/tree/{file.name}" if file else "/lab"


def test(arguments):
    """Run every test, or those that the pytest options pick."""
    extras = ("test", *environment.missing_tools(), *environment.buildable())
    python = environment.prepare(ROOT, extras, look_at_model=True)
    return run(
        [python, "-m", "pytest", *arguments], cwd=ROOT, OMP_NUM_THREADS="1"
    )  # with one thread, sums repeat exactly


def model(arguments):
    """Bring the file of the language model, where it is missing or damaged."""
    environment.prepare(ROOT, look_at_model=True)
    if not environment.read_stamp(environment.choose(ROOT)).get("model"):
        return 1  # what is wrong has been said
    print("The language model of lesson 14 is there, and its hash is right.")
    return 0


def reset(arguments):
    """Give a fresh copy of one lesson, after a backup of the learner's."""
    if len(arguments) != 1:
        raise Stop("reset takes the number of one lesson, for example: python3 course.py reset 02")
    need_writable(WORK)
    for notice in copies.reset(arguments[0], ROOT / "lessons", WORK, COURSE_HOME, datetime.now()):
        print(notice)
    return 0


def grade(arguments):
    """Grade a folder of submitted notebooks."""
    if not arguments:
        raise Stop("grade takes the folder of submitted notebooks, for example: python3 course.py grade submissions")
    return run([environment.prepare(ROOT), "-m", "teach.grade", *arguments])


def build(arguments):
    """Build the lesson notebooks from their source."""
    return run([environment.prepare(ROOT, extras=("test",)), "-m", "teach.build", *arguments], cwd=ROOT)


def slides(arguments):
    """Build the slides from their source, with the figures and tables that the solutions show today."""
    python = environment.prepare(ROOT)
    check = [argument for argument in arguments if argument == "--check"]
    taken = run([python, ROOT / "slides" / "figures.py", *check], cwd=ROOT)
    return run([python, ROOT / "slides" / "build.py", *arguments], cwd=ROOT) or taken


COMMANDS = {command.__name__: command for command in (lab, test, model, reset, grade, build, slides)}


def run(command, cwd=None, **variables):
    """Run a program to its end and return its exit status. Ctrl-C and a polite kill are the program's to answer."""
    with subprocess.Popen([str(part) for part in command], cwd=cwd, env={**os.environ, **variables}) as program:
        signal.signal(signal.SIGTERM, lambda *_: program.terminate())
        while True:
            try:
                return program.wait()
            except KeyboardInterrupt:  # the program got it too: JupyterLab asks, pytest sums up
                pass


def main(arguments, explanation=""):
    """Do what the command line says and return the exit status; `explanation` is what -h shows."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed by who started us
            stream.reconfigure(errors="replace")  # a console that lacks a letter of some path shows "?" for it
    try:
        status = answer(arguments, explanation)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except OSError as reason:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the end would try to print it again
        if isinstance(reason, BrokenPipeError):  # `course.py -h | head` has read enough
            return 0
        return complain(f"the output cannot be written ({reason.strerror})", 1)


def answer(arguments, explanation):
    """Run the command that is named, and turn what can go wrong into a sentence and an exit status."""
    if not arguments or any(word in ("-h", "--help") for word in arguments[:2]):
        print(explanation.strip())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return complain(
            f"there is no command {name!r}; use one of {', '.join(COMMANDS)}. `python3 course.py -h` explains them.", 2
        )
    try:
        return COMMANDS[name](rest)
    except BrokenPipeError:
        raise
    except (Stop, OSError) as reason:
        return complain(f"{reason}", 1)
    except KeyboardInterrupt:
        return complain("stopped. Run the same command again to continue from here.", 130)


def complain(sentence, status):
    """Print a sentence where errors go, and return the exit status."""
    print(f"course.py: {sentence}", file=sys.stderr)
    return status
