"""Did the newest cell that defines a function run, or is the function that a check finds an older one?"""

import ast
import re
import sys
from collections.abc import Callable
from typing import Any

from teach.written import code_of

LONGEST = 200  # characters of what the cell stopped with


def stopped_with(name: str, answer: Callable[..., Any] | None) -> str | None:
    """Return what the newest cell that defines `name` stopped with, if `answer` is not from it: "NameError: ...".

    None where that cell ran, or came as far as its function, or where there is no notebook.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    cells = list(getattr(getattr(shell, "history_manager", None), "input_hist_raw", ()))
    # an assignment counts at the start of a line only: further in, `scale=` is an argument of a call
    defines = re.compile(rf"^(?:[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{name}\b|{name}[ \t]*=(?!=))", re.MULTILINE)
    count = next((at for at in reversed(range(len(cells))) if defines.search(cells[at])), None)
    if count is None or _is_from(shell, cells[count], count, answer, defines):
        return None
    error = _error(shell, cells[count], count)
    return None if error is None else re.sub(r" \(\S+, line (\d+)\)$", r" (line \1)", error)[:LONGEST]


def _is_from(shell: Any, cell: str, count: int, answer: Any, defines: re.Pattern[str]) -> bool:
    """Whether the last definition in the cell made the function. A cell's code has its own file name."""
    code = code_of(answer)
    if code is None or code.co_filename != shell.compile.get_code_name(cell, cell, count):
        return False
    text = re.sub(r"\A(?:[ \t]*\n)+", "", cell)  # lines are counted from the first that is not empty
    lines = [text.count("\n", 0, found.start()) + 1 for found in defines.finditer(text)]
    return len(lines) < 2 or code.co_firstlineno > lines[-2]


def _error(shell: Any, cell: str, count: int) -> str | None:
    """What the cell stopped with; None where it ran."""
    noted = getattr(shell.history_manager, "exceptions", {}).get(count)
    if noted:
        return f"{noted['ename']}: {noted['evalue']}".strip().removesuffix(":")
    last = shell.last_execution_result
    error = getattr(last, "error_before_exec", None) or getattr(last, "error_in_exec", None)
    if error is not None and last.info.raw_cell == cell:
        return f"{type(error).__name__}: {error}".strip().removesuffix(":")
    try:  # IPython before 9 notes no errors: what cannot be read did not run
        ast.parse(shell.transform_cell(cell))
    except SyntaxError as error:
        return f"{type(error).__name__}: {error.msg}"
    return None
