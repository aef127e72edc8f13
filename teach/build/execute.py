"""Running a solution in a kernel of its own, as the learner's would run it, with nothing of ours around it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from . import outputs

#: No cell of a lesson may take longer than a minute; twice that, since a build may share its machine.
CELL_LIMIT_S = 120


@dataclass(frozen=True)
class Run:
    """How long an executed notebook took: in all, and cell by cell (`cell_s` by cell id, in seconds)."""

    total_s: float
    cell_s: dict[str, float]

    @property
    def slowest(self) -> str:
        """The id of the cell that took longest."""
        return max(self.cell_s, key=self.cell_s.get)


def switches(folder: Path, *, strict: bool, static: bool) -> dict[str, str]:
    """What a lesson's kernel has in its environment besides everybody's own.

    `folder` holds the progress file and an empty IPython profile, so that nobody's own settings reach a lesson.
    `strict` turns a pending or failed check into an error; `static` draws what is explorable as pictures.

    >>> set_to = switches(Path("here"), strict=True, static=False)
    >>> set_to["COURSE_STRICT"], set_to["COURSE_STATIC"]
    ('1', '0')
    """
    return {
        "COURSE_HOME": str(folder / "course"),
        "COURSE_STRICT": str(int(strict)),
        "COURSE_STATIC": str(int(static)),
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",  # sums repeat to the last digit
        "PYTHONHASHSEED": "0",
    }


def execute(notebook: NotebookNode) -> Run:
    """Run every cell and keep its outputs in `notebook`, which is changed.

    Raises:
        ValueError: a cell raises or takes more than two minutes.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    started: dict[str, float] = {}
    cell_s: dict[str, float] = {}

    def start(cell: NotebookNode, cell_index: int) -> None:
        started[cell.id] = time.perf_counter()

    def done(cell: NotebookNode, cell_index: int, **_) -> None:
        cell_s[cell.id] = time.perf_counter() - started[cell.id]

    with tempfile.TemporaryDirectory(prefix="lesson-") as folder:
        (Path(folder) / "here").mkdir()
        client = NotebookClient(
            notebook,
            km=_this_python(),
            timeout=CELL_LIMIT_S,
            record_timing=False,
            resources={"metadata": {"path": str(Path(folder) / "here")}},
            on_cell_start=start,
            on_cell_executed=done,
        )
        metadata = dict(notebook.metadata)
        begin = time.perf_counter()
        try:
            environment = os.environ | switches(Path(folder), strict=True, static=True)
            client.execute(env=environment, stderr=subprocess.DEVNULL)  # the kernel's own log, not the cells' stderr
        except (CellExecutionError, CellTimeoutError) as error:
            said = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without its colours
            raise ValueError(f"cell {list(started)[-1]} did not run: {said}") from error
        notebook.metadata.clear()
        notebook.metadata.update(metadata)  # the kernel writes its exact version there
    outputs.clean(notebook)
    return Run(time.perf_counter() - begin, cell_s)


def _this_python():
    """A kernel manager for the Python that runs us, whatever kernels are installed for this user."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OnlyThis(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            spec = get_kernel_dict()
            spec["argv"][0] = sys.executable
            return KernelSpec(resource_dir=RESOURCES, **spec)

    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=OnlyThis())
