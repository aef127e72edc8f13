"""What makes the page of a lesson quiet: folded drawing, announced waiting, takeaways, problems for paper.

`problems` asks every rule; the builder does so for each lesson that is not in `NOT_YET`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import minutes, seconds
from .folding import unfolded
from .notebook import cell_ids
from .source import Cell, Source

#: The lessons whose pages are still being rewritten: they are built although these rules object.
#: `python -m teach.build --page NN` says what is missing. Take a lesson out once it prints nothing.
NOT_YET: set[int] = set()

TAKEAWAY = re.compile(r"> \*\*Takeaway\.\*\* (\S.*)")
NUMBERED = re.compile(r"## \d+ ")
ANSWER = re.compile(r"<details>\s*<summary>Answer</summary>\n\n(.*?)</details>", flags=re.DOTALL)


def problems(source: Source) -> list[str]:
    """Everything that makes the page of a lesson less quiet, as `file:line: sentence` in the order of its lines."""
    found = [
        *unfolded(source),
        *seconds.unannounced(source, cell_ids(source)),
        *takeaways(source),
        *pencil_problems(source),
        *title(source),
    ]
    return [f"{source.at(line)}: {sentence}" for line, sentence in sorted(found)]


def title(source: Source) -> Iterator[tuple[int, str]]:
    """The title cell leaves its minutes to the builder."""
    lines = source.cells[0].text.splitlines() if source.cells else []
    wanted = f"Lesson {source.lesson:02} · {minutes.PLACEHOLDER} · "
    if len(lines) < 3 or not lines[2].startswith(wanted):
        found = repr(lines[2][:60]) if len(lines) > 2 else "nothing"
        yield 1, f"under the title must stand {wanted!r} and what comes before it; found {found}"


def sections(source: Source) -> Iterator[tuple[str, list[Cell]]]:
    """The sections of the lesson: each with its heading (empty before the first one) and the cells from there on.

    A cell with several headings is in all of their sections.
    """
    heading, cells = "", []
    for cell in source.cells:
        if not cell.in_lesson:
            continue
        found = re.findall(r"^## .*$", cell.text, flags=re.MULTILINE) if cell.kind == "markdown" else []
        for one in found:
            yield heading, cells
            heading, cells = one, [cell]
        if not found:
            cells.append(cell)
    yield heading, cells


def takeaways(source: Source) -> Iterator[tuple[int, str]]:
    """Each numbered section ends with one takeaway, in a cell of its own."""
    for heading, cells in sections(source):
        found = [cell for cell in cells if cell.kind == "markdown" and "**Takeaway" in cell.text]
        for cell in found:
            said = TAKEAWAY.fullmatch(cell.text)
            if not said:
                yield cell.line, "a takeaway is a cell of its own with one line: '> **Takeaway.** One sentence.'"
            elif re.search(r"[.!?] +[A-Z]", said[1]) or said[1][-1] not in ".!?":
                yield cell.line, f"a takeaway is one sentence; found {said[1]!r}"
        if not NUMBERED.match(heading):
            yield from ((cell.line, "a takeaway ends a numbered section; this one is in none") for cell in found)
        elif len(found) != 1:
            yield cells[0].line, f"the section {heading!r} has {len(found)} takeaways; end it with one"
        elif cells[-1] is not found[0]:
            yield (
                found[0].line,
                f"the takeaway of {heading!r} is not its last cell; put it before the next '## ', which starts a cell",
            )
    for cell in source.cells:
        if cell.kind == "markdown" and cell.in_lesson and re.search(r"\n## \d+ ", cell.text):
            yield cell.line, "a numbered section starts its cell: put its heading first, after the takeaway before it"


def pencil_problems(source: Source) -> Iterator[tuple[int, str]]:
    """Two or three problems for pencil and paper, each with its folded answer, before the summary."""
    found = [(heading, cells) for heading, cells in sections(source) if cells]
    headings = [heading for heading, _ in found]
    if headings.count(minutes.PENCIL) != 1:
        yield 1, f"{headings.count(minutes.PENCIL)} sections {minutes.PENCIL!r}; write one, before the summary"
        return
    at = headings.index(minutes.PENCIL)
    if not any(heading.startswith("## Summary") for heading in headings[at:]):
        yield found[at][1][0].line, f"{minutes.PENCIL!r} stands after the summary; put it before"
    line, text = found[at][1][0].line, "\n\n".join(cell.text for cell in found[at][1] if cell.kind == "markdown")
    numbers, answers = re.findall(r"^\*\*(\d+)\.\*\*", text, flags=re.MULTILINE), ANSWER.findall(text)
    if numbers not in (["1", "2"], ["1", "2", "3"]):
        yield (
            line,
            f"the problems are numbered {', '.join(numbers) or 'not at all'}; write two or three: **1.** to **3.**",
        )
    if len(answers) != len(numbers) or any(not answer.strip() for answer in answers):
        yield (
            line,
            f"{len(numbers)} problems, {len(answers)} answers; after each problem comes <details><summary>Answer"
            "</summary>, an empty line, the worked answer, </details>",
        )
