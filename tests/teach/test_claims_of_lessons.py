"""Every lesson's claims: one number that is wrong breaks its build."""

import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from teach.build.claims import calls, kept, literal, misplaced, problems
from teach.build.source import read_source
from teach.claim import MIME_TYPE, numbers

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))


def lesson(path: Path):
    return read_source(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_one_wrong_number_in_a_lesson_breaks_its_build(path):
    source, notebook = lesson(path)
    assert not problems(source, notebook) and not list(misplaced(source))
    cell, claimed = next(
        (cell, claim)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for claim in kept(cell)
        if any(value is not None for value in claim.measured)
    )
    place = next(n for n, value in enumerate(claimed.measured) if value is not None)
    text, number, half = numbers(claimed.sentence)[place]
    # what is measured is another number
    wrong = [*claimed.measured]
    wrong[place] = number + 2 * (half + claimed.within)
    output = next(o for o in cell.outputs if o.get("data", {}).get(MIME_TYPE, {}).get("sentence") == claimed.sentence)
    output.data[MIME_TYPE]["measured"] = wrong
    found = problems(source, notebook)
    assert len(found) == 1 and repr(claimed.sentence) in found[0] and f"says {text}" in found[0]
    # the text is another, and the claim is not
    broken = replace(
        source,
        cells=tuple(
            replace(one, text=re.sub(re.escape(text.rstrip("%")), "77777", one.text)) if one.in_lesson else one
            for one in source.cells
        ),
    )
    assert claimed.page or any(repr(claimed.sentence) in sentence for _, sentence in misplaced(broken))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_each_lesson_has_claims(path):
    source, _ = lesson(path)
    written = [call for cell in source.cells for call in calls(cell)]
    assert len(written) >= 10
    assert all(isinstance(literal(call, "sentence", None), str) for call in written)
