"""The lesson's notebook, and the notebooks of a class: good ones, wrong ones, broken ones and hostile ones."""

import json
import textwrap
from pathlib import Path

from grading_class import attacks
from teach.grading.lesson import Lesson

STUB = '"""What to write."""\nraise NotImplementedError("write your answer here")'
SIGNATURES = {"90.1": "largest(weight)", "90.2": "stored_bytes(count, bits)", "90.3": "double(weight)"}
RIGHT = {
    "90.1": "return max(abs(float(w)) for w in weight.flatten())",
    "90.2": "return math.ceil(count * bits / 8)",
    "90.3": "return weight + weight",
}


def code(id: str, text: str) -> dict:
    """A code cell."""
    return {
        "cell_type": "code",
        "id": id,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": textwrap.dedent(text),
    }


def lesson_cells(answers: dict[str, str], *, before: str = "", after: str = "") -> list[dict]:
    """The lesson with some answers written, and a cell of the learner's own before or after the exercises."""
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Lesson 90"},
        code("imports", "%matplotlib inline\nimport math\nimport torch\nfrom teach import check"),
        code("slow-demonstration", "import time\ntime.sleep(1000)\nNOBODY_NEEDS_THIS = 1"),
        code("bits-of-a-byte", "BITS = 8"),
    ]
    cells += [code("own-1", before)] if before else []
    for id, signature in SIGNATURES.items():
        body = answers.get(id, STUB)
        name = id.replace(".", "-")
        cells += [
            code(f"ex-{name}", f"def {signature}:\n" + textwrap.indent(textwrap.dedent(body), "    ")),
            code(f"check-{name}", f'check("{id}")'),
        ]
    cells += [code("own-2", after)] if after else []
    return cells


def as_notebook(cells: list[dict]) -> str:
    """A notebook file's text."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def lesson(folder: Path) -> Lesson:
    """The lesson as it was handed out, written into `folder`."""
    path = folder / "90_test.ipynb"
    path.write_text(as_notebook(lesson_cells({})))
    return Lesson("90", "grading_class.exercises", path)


def solved(**changes: str) -> str:
    """A notebook with full marks but for some changes: _1="..." is another body for 90.1, before="..." another cell."""
    before = changes.pop("before", "")
    return as_notebook(lesson_cells(RIGHT | {f"90.{key[1:]}": body for key, body in changes.items()}, before=before))


DAEMON = """
import contextlib, ctypes, os, time
with contextlib.suppress(PermissionError):
    c = ctypes.CDLL(None)
    if c.fork() == 0:          # past Python's audit hook; where it works, a daemon of the usual kind
        c.setsid()
        if c.fork() == 0:
            time.sleep(1000)
        os._exit(0)
"""
MURDER = """
import contextlib, ctypes, os
with contextlib.suppress(PermissionError):
    ctypes.CDLL(None).kill(os.getppid(), 19)
with contextlib.suppress(PermissionError):
    os.kill(os.getppid(), 9)
"""
PATCHES = """
import sys, torch
import teach.judge, teach.compare
check = lambda *args: print("90.1 passed")
class Always:
    def __eq__(self, other): return True
    def __bool__(self): return True
torch.equal = torch.allclose = lambda *args, **kwargs: True
teach.judge.verdict = teach.judge.judge = lambda *args: "passed"
teach.compare.difference = lambda *args, **kwargs: None
for module in list(sys.modules.values()):
    if isinstance(module.__dict__.get("EXERCISES"), tuple):
        for exercise in module.EXERCISES:
            object.__setattr__(exercise, "reference", lambda *args, **kwargs: Always())
            object.__setattr__(exercise, "points", 1000)
"""
YES = """
class Yes:
    __eq__ = lambda self, other: True
return Yes()
"""
SCRIPT = "<script>alert(1)</script>"
FORGERY = """
import os
for number in range(3, 20):
    for line in (b"garbage", b'["outcome", 4, "[]"]', b'["end", 4, ""]', b'["end", -1, ""]', b"[" * 5000):
        try: os.write(number, line + b"\\n")
        except OSError: pass
"""


# What a notebook may hold that Python alone does not know; the answer stands in the same cell.
MAGICS = {
    "ex-90-1": "%%time\n%matplotlib inline\nx = (10\n  % 3)\n!ls\nmath.pi?\nget_ipython().kernel\nLARGEST",
    "ex-90-2": "import asyncio\nawait asyncio.sleep(0)\nfiles = !ls\n%timeit -n 2 len(files)\nSTORED",
    "ex-90-3": "    DOUBLE",  # the whole cell is indented
}


def with_magics() -> str:
    """A notebook with full marks, as people write it in Jupyter."""
    cells = lesson_cells(RIGHT)
    for cell in cells:
        text = MAGICS.get(cell["id"], "")
        for word in ("LARGEST", "STORED"):
            text = text.replace(word, cell["source"])
        if text.endswith("DOUBLE"):
            text = textwrap.indent(cell["source"], "    ")
        cell["source"] = text or cell["source"]
    return as_notebook(cells)


SECRET = f"secret = {'ONLY_ADA_KNOWS ' * 100!r}"  # what another one looks for in its memory


def class_of_notebooks(canary: Path) -> dict[str, str | bytes]:
    """The files of a class by name. Some of them try to remove the folder `canary`."""

    def attack(code: str) -> str:
        return solved(before=attacks.attack(code, canary))

    return {
        "ada.ipynb": solved(before=SECRET),
        "ann.ipynb": solved(_1="return (weight", before="-" * 10**6 + "1"),
        "ben.ipynb": as_notebook(lesson_cells({}, before=SECRET)),
        "cem.ipynb": solved(_1="return weight.max()", _2="return count * bits // 8"),
        "dia.ipynb": solved(_2="while True:\n    pass"),
        "eli.ipynb": solved(before="while True:\n    pass"),
        "fay.ipynb": solved(_1="import os\nos._exit(0)"),
        "gus.ipynb": solved(_2="hoard = []\nwhile True:\n    hoard.append(torch.empty(10**8))"),
        "hal.ipynb": solved()[:20],
        "ida.ipynb": solved(_1="import os\nfor _ in range(1000):\n    os.fork()"),
        "jon.ipynb": solved(before=DAEMON),
        "kim.ipynb": solved(before=PATCHES, _1="return weight.max()", _2=YES),
        "lea.ipynb": solved(_1="import urllib.request\nreturn urllib.request.urlopen('http://127.0.0.1:9')"),
        "mia.ipynb": solved(
            before=f"import shutil\nshutil.rmtree({str(canary)!r})", _1=f"open({str(canary / 'mia')!r}, 'w')"
        ),
        "ned.ipynb": solved(before="raise SystemExit", _1="import sys\nsys.exit(1)", _2="raise KeyboardInterrupt"),
        "ola.ipynb": solved(_1="return largest(weight)"),
        "pam.ipynb": solved(
            before="import os\nfor _ in range(2000):\n    os.write(1, bytes(10**6))",
            _1="print('x' * 10**7)\n" + RIGHT["90.1"],
        ),
        "quin.ipynb": solved(_1="return {'weight': object()}", _2="return 'eight'", _3="return [[1.0], [2.0, 3.0]]"),
        "rex.ipynb": solved(_1="return torch.zeros(20_000_000)", _3="weight *= 2\nreturn weight"),
        "sam.ipynb": as_notebook([code("a", "print('my holidays')")]),
        "=1+1.ipynb": solved(_3="return weight ** 2"),
        "uli/final version.ipynb": solved(
            before="def up(x):\n    return math.ceil(x)\ndisplay(up)", _2="return up(count * bits / BITS)"
        ),
        "vic.ipynb": solved(_1="import ctypes\nreturn ctypes.string_at(0)"),
        "wim.ipynb": as_notebook(lesson_cells({}, before=FORGERY)),
        "xia.ipynb": solved(before=MURDER),
        "yan/notes.txt": "I was ill",
        "abe.ipynb": attack(attacks.SIGNALS),
        "bea.ipynb": attack(attacks.MODES),
        "cal.ipynb": attack(attacks.READS),
        "don.ipynb": attack(attacks.MEMORY),
        "eva.ipynb": attack(attacks.FOLDERS),
        "fin.ipynb": attack(attacks.DISK),
        "gil.ipynb": attack(attacks.SOCKETS),
        "hew.ipynb": attack(attacks.TEXT),
        "joy.ipynb": with_magics(),
        "kay.ipynb.txt": solved(),
        "leo.zip": "PK",
        "tests/90_test.ipynb": solved(),
        "zoe<b>.ipynb": solved(before=f"raise ValueError({SCRIPT!r})", _1=f"raise ValueError({SCRIPT!r})"),
    }
