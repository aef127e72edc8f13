"""The one program of the course. It needs Python 3.11 to 3.14 and nothing else.

  python3 course.py lab                  set up what is missing, then open JupyterLab at the lesson used last
  python3 course.py test                 set up what is missing, then run every test
  python3 course.py model                fetch the language model of lesson 14, if the set-up could not
  python3 course.py reset 02             a fresh copy of lesson 02; yours is kept in work/backups/
  python3 course.py grade FOLDER --out DIR   grade the notebooks in FOLDER: a CSV table and a readable report
  python3 course.py build [--check]      build lessons/ and solutions/ from their source, or only compare
  python3 course.py slides [--check]     build the slides, or only compare

Options after the command are passed on: `lab --no-browser --port=8890` to JupyterLab, `test -k measure -x`
to pytest, `grade FOLDER --out DIR` to the grader. On Windows, type `python` or `py` instead of `python3`.

You work on copies, in work/. An update of the course never overwrites a copy that you changed: the new
version is put next to yours. A copy you delete stays deleted until you ask for it with `reset`.
If JupyterLab already runs on work/, `lab` opens it and does not start a second one.
The environment is made in .venv, once. An activated conda or venv environment is used instead.
"""

import sys

# An older Python, 2.7 included, reads this file whole before it runs a line: so nothing here is newer than that, and
# its owner reads a sentence and no traceback.
if sys.version_info < (3, 11):
    sys.exit(
        "course.py needs Python 3.11 or newer, but this is Python %d.%d: install a newer one, "
        "then start course.py with it." % sys.version_info[:2]
    )

from launcher.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], __doc__))
