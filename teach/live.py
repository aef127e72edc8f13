"""One output that moves where there is a kernel, and is complete where there is none."""

import os
import sys
from collections.abc import Callable
from typing import Any


def bundle(static: dict[str, Any], widget: Callable[[], Any]) -> dict[str, Any]:
    """Return an output in its static forms and, where a notebook can move, the live form of `widget()` too.

    A viewer shows the richest form that it knows: a static page, or a notebook opened without
    its kernel, falls back to the others.
    """
    if not has_kernel():
        return static
    shown = widget()._repr_mimebundle_()
    if isinstance(shown, tuple):  # of anywidget: the second part is metadata for Colab alone
        shown = shown[0]
    return shown | static


def is_static() -> bool:
    """Return whether the page is made to be read only: COURSE_STATIC=1, as when a notebook is built."""
    return os.environ.get("COURSE_STATIC") == "1"


def is_strict() -> bool:
    """Return whether a check that is not passed is an error: COURSE_STRICT=1, or nbgrader runs the notebook.

    nbgrader gives the points of a check cell to all whose check raises nothing.
    """
    graded = ("NBGRADER_EXECUTION", "NBGRADER_VALIDATING")  # set while it grades or validates
    return os.environ.get("COURSE_STRICT") == "1" or any(os.environ.get(name) for name in graded)


def can_wait() -> bool:
    """Return whether a measurement may wait for a learner: there is one, and the notebook can move."""
    return has_kernel() and not is_strict()


def has_kernel() -> bool:
    """Return whether the cell's output goes to a notebook that can move."""
    if is_static() or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None
