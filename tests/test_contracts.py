"""Which way imports run: `lessons, tests -> teach -> studies -> topics -> core`, with no circle anywhere.

import-linter holds the contracts of pyproject.toml. They are tried on planted breaches before they are trusted with the
real files.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    """Hold the packages in a folder against the contracts of pyproject.toml."""
    program = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(sys.argv[1], no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "pyproject.toml")],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
    )


def test_imports_run_from_teach_over_studies_and_topics_to_the_core():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


HIDDEN = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from teach import judge"
GOOD = {
    "mini_lib/llm/cost/step.py": "",
    "mini_lib/llm/model/layers.py": "from mini_lib import quantize",  # the one topic that another may know
    "mini_lib/llm/model/text.py": "from mini_lib.llm.cost import step",
    "mini_lib/llm/prices/table.py": "",
    "mini_lib/llm/published/rows.py": "",
    "mini_lib/llm/serving/load.py": "from mini_lib.llm.cost import step",
    "mini_lib/batch.py": "import torch",
    "mini_lib/quantize/affine.py": "from mini_lib import require",
    "mini_lib/quantize/observers.py": "from mini_lib.quantize import affine",
    "studies/__init__.py": "",
    "studies/tickets/run.py": "from mini_lib import prune",
    "teach/build/names.py": "from teach.build import rules",
    "teach/judge.py": "from teach import panel",
    "teach/live.py": "from studies.tickets import run",
}
BREACHES = {  # what is planted, and what is said of it
    "mini_lib/quantize/ladder.py": ("from teach import judge", "mini_lib.quantize.ladder -> teach.judge"),
    "mini_lib/fit.py": ("import studies.tickets.run", "mini_lib.fit -> studies.tickets.run"),
    "studies/tickets/study.py": ("from teach import live", "studies.tickets.study -> teach.live"),
    "mini_lib/measure.py": ("import mini_lib.quantize", "mini_lib.measure -> mini_lib.quantize"),
    "mini_lib/quantize/qtensor.py": ("from mini_lib import prune", "mini_lib.quantize.qtensor -> mini_lib.prune"),
    "mini_lib/llm/cache.py": ("from mini_lib import prune", "mini_lib.llm.cache -> mini_lib.prune"),
    "mini_lib/llm/prices/table.py": ("import mini_lib.llm.model", "mini_lib.llm.prices.table -> mini_lib.llm.model"),
    "mini_lib/llm/serving/load.py": ("import mini_lib.batch", "mini_lib.batch -> torch"),
    "mini_lib/llm/model/cache.py": ("import mini_lib.llm.serving.load", "llm.model.cache -> mini_lib.llm.serving.load"),
    "mini_lib/quantize/affine.py": ("from mini_lib.quantize import observers", "allowed in mini_lib.quantize.\n"),
    "teach/build/rules.py": ("from teach.build import names", "No cycles are allowed in teach.build.\n"),
    "teach/panel.py": (HIDDEN, "No cycles are allowed in teach.\n"),
    "studies/tickets/store.py": ("from studies import factorize", "No cycles are allowed in studies.\n"),
    "studies/factorize/__init__.py": ("from studies import tickets", "No cycles are allowed in studies.\n"),
    "mini_lib/misc.py": ("", "- mini_lib.misc\n"),  # a new module needs its place
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, subprocess.CompletedProcess]:
    """What is said of a house that keeps the contracts, and of the same with every breach in it."""
    root = tmp_path_factory.mktemp("house")
    files = [*(ROOT / "mini_lib").glob("*.py"), *(ROOT / "mini_lib").glob("*/__init__.py")]
    good = {path.relative_to(ROOT).as_posix(): "" for path in files} | GOOD
    done = {}
    for kind, house in (("good", good), ("bad", good | {name: source for name, (source, _) in BREACHES.items()})):
        for name, source in house.items():
            path = root / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source + "\n", encoding="utf-8")
        for folder in {path.parent for path in (root / kind).rglob("*.py")}:
            (folder / "__init__.py").touch()
        done[kind] = lint_imports(root / kind)
    return done


def test_what_the_contracts_allow_passes(said):
    assert said["good"].returncode == 0, said["good"].stdout


@pytest.mark.parametrize("planted", BREACHES)
def test_a_breach_of_the_contracts_is_found(planted, said):
    assert said["bad"].returncode == 1
    assert BREACHES[planted][1] in said["bad"].stdout, said["bad"].stdout
