"""What the builder refuses in a source, each rule with the sentence that says how to put it right.

A rule is a generator of `(line, sentence)`. All rules are asked, so that an author sees every problem at once.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .claims import misplaced
from .names import bound, needed, parsed, read_later
from .notebook import BEGIN, END, answer_of, checked_id, exercise_id, stub
from .source import TAGS, Cell, Source

Problem = tuple[int, str]

#: An answer's line that is shorter than this gives nothing away: `highest = 2 ** (bits - 1) - 1` may stand anywhere.
TELLING_CHARACTERS = 32


def problems(source: Source, exercises: Sequence) -> list[str]:
    """Everything that is wrong with a source, as `file:line: sentence` in the order of its lines.

    `exercises` are the lesson's exercises as data (id, title, function), in the order in which they are to appear.
    """
    found: list[Problem] = []
    for rule in (
        tags_and_names,
        regions,
        stubs,
        exercises_as_data,
        checks,
        learners_names,
        given_away,
        markdown,
        claims,
    ):
        found += rule(source, exercises)
    return [f"{source.at(line)}: {sentence}" for line, sentence in sorted(found)]


def tags_and_names(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """Tags that we know, names that can be ids and are used once."""
    for cell in source.cells:
        for tag in cell.tags:
            if tag not in TAGS:
                yield cell.line, f"unknown tag {tag!r}; use one of {', '.join(TAGS)}"
        if cell.name and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", cell.name):
            yield cell.line, f"name {cell.name!r} cannot be a cell id; use small letters, digits and hyphens"
        if (cell.is_exercise or cell.is_check) and cell.kind != "code":
            yield cell.line, "an exercise or a check is a code cell, not markdown"
    names = Counter(cell.name for cell in source.cells if cell.name)
    for cell in source.cells:
        if names[cell.name] > 1:
            yield cell.line, f"name {cell.name!r} is used {names[cell.name]} times; a name is a cell's id, use it once"


def regions(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """Exactly one region in an exercise cell, and not a marker anywhere else."""
    for cell in source.cells:
        marks = [line.strip() for line in cell.text.splitlines() if "SOLUTION" in line]
        if not cell.is_exercise:
            if any(mark.lstrip("# ").startswith(("BEGIN SOLUTION", "END SOLUTION")) for mark in marks):
                yield (
                    cell.line,
                    'a solution marker in a cell without the tag "exercise": the answer would stay in the lesson',
                )
        elif marks != [BEGIN, END]:
            yield cell.line, f"an exercise has one region, '{BEGIN}' to '{END}'; found {marks or 'none'}"
        elif not answer_of(cell.text).strip():
            yield cell.line, "the solution region is empty; write the answer between its markers"


def stubs(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """With the answer cut, what is left compiles and raises inside one function, the one that is checked."""
    functions = {exercise.id: exercise.function for exercise in exercises}
    for cell in _well_marked(source):
        this = exercise_id(cell.name)
        try:
            tree = ast.parse(stub(cell.text, this or ""))
        except SyntaxError as error:
            yield cell.line, f"the stub does not compile ({error.msg}); indent the markers like the answer"
            continue
        holders = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and _raises(node)]
        if not holders:
            yield cell.line, "the solution region is not inside a function; the cell would raise when it is run"
        elif this in functions and holders != [functions[this]]:
            wanted = functions[this]
            yield cell.line, f"the region is in {holders[0]!r}, but exercise {this} checks {wanted!r}; make them agree"


def exercises_as_data(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """Every exercise of the lesson has one cell, in order, under a heading that bears its title."""
    titles = {exercise.id: exercise.title for exercise in exercises}
    heading = ""
    seen: list[str] = []
    for cell in source.cells:
        if cell.kind == "markdown":
            heading = next((line for line in cell.text.splitlines() if line.startswith("### Exercise ")), heading)
        if not cell.is_exercise:
            continue
        this = exercise_id(cell.name)
        if this is None:
            yield cell.line, f'an exercise needs a name such as name="ex-{source.lesson}-1", got {cell.name!r}'
        elif this not in titles:
            known = ", ".join(titles) or "none"
            yield cell.line, f"exercise {this} is not among the exercises of lesson {source.lesson} ({known})"
        else:
            seen.append(this)
            wanted = f"### Exercise {this} - {titles[this]}"
            if not re.fullmatch(re.escape(wanted) + r" \(\d+ min\)", heading):
                yield (
                    cell.line,
                    f"above exercise {this} must stand '{wanted} (N min)'; the nearest heading is {heading!r}",
                )
    missing = [i for i in titles if i not in seen]
    if missing:
        yield 1, f"no cell for exercise {', '.join(missing)}: write one, or take it out of the lesson's exercises"
    elif seen != list(titles):
        yield 1, f"the exercises stand in the order {seen}, but are listed as {list(titles)}; make them agree"


def checks(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """The next code cell after an exercise checks it, and nothing else is a check."""
    code = [cell for cell in source.cells if cell.kind == "code"]
    for before, cell in zip([None, *code], code):
        wanted = exercise_id(before.name) if before and before.is_exercise else None
        if cell.is_check and checked_id(cell.text) is None:
            yield cell.line, 'a check cell calls check("2.1"), with the number of its exercise'
        elif cell.is_check and not cell.text.splitlines()[-1].startswith("check("):
            yield cell.line, "check(...) must be the last line of its cell, or its panel is not shown"
        elif cell.is_check and wanted != checked_id(cell.text):
            yield cell.line, f"this checks {checked_id(cell.text)}, but the code cell before it is {_what(before)}"
    for cell, after in zip(code, [*code[1:], None]):
        if cell.is_exercise and not (after and after.is_check):
            yield cell.line, 'an exercise without a check: the next code cell must be check("...") with the tag "check"'


def _what(cell: Cell | None) -> str:
    if cell is None:
        return "missing"
    return f"exercise {exercise_id(cell.name)}" if cell.is_exercise else "not an exercise"


def learners_names(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """No cell of the lesson stands on what the learner wrote, or on what only the solution has.

    So an unsolved lesson runs from top to bottom, and does there what the solution does.
    """
    theirs: dict[str, str] = {}  # a name, and where the lesson's may differ from the solution's
    waiting: dict[str, int] = {}  # a name that a function looks up when it is called, and the line of its cell
    for cell in source.cells:
        tree = parsed(cell.text) if cell.kind == "code" and not cell.is_check else None
        if tree is None:
            continue
        if cell.in_lesson:
            used, left = needed(tree, theirs.keys())
            for name in sorted(used):
                yield cell.line, f"this cell uses {name!r}, which {theirs[name]}, so that an unsolved lesson runs"
            theirs = {name: theirs[name] for name in left}
        if cell.in_lesson and not cell.is_exercise:
            waiting |= dict.fromkeys(read_later(tree), cell.line)
            continue
        for name in sorted(bound(tree)):
            if name in waiting:
                yield (
                    cell.line,
                    f"this cell binds {name!r}, which a function of the cell at line {waiting[name]} looks up "
                    f"when it is called; use another name in one of them",
                )
            theirs[name] = (
                f"exercise {exercise_id(cell.name) or '?'} has the learner write; call mini_lib's own by its module"
                if cell.is_exercise
                else f"only the solution has (line {cell.line}); bind it in a cell of the lesson"
            )


def given_away(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """An answer is not in the lesson: not as a whole, and none of its telling lines; a hint stays near-code."""
    for exercise in _well_marked(source):
        answer = [line.strip() for line in answer_of(exercise.text).splitlines()]
        answer = [line for line in answer if line and not line.startswith("#")]
        telling = {line for line in answer if len(line) >= TELLING_CHARACTERS}
        for cell in source.cells:
            if not cell.in_lesson:
                continue
            text = stub(cell.text, "") if cell.is_exercise else cell.text
            lines = [line.strip() for line in text.splitlines()]
            given = next((line for line in lines if line in telling), None)
            if given is None and answer and _contains(lines, answer):
                given = answer[0]
            if given:
                yield (
                    cell.line,
                    f"this gives away the answer to {exercise_id(exercise.name)}: {given!r}; say it differently",
                )


def _contains(lines: list[str], answer: list[str]) -> bool:
    """Whether the answer's lines follow one another in `lines`."""
    return any(lines[i : i + len(answer)] == answer for i in range(len(lines) - len(answer) + 1))


def markdown(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """Hints that render, and pictures that a screen reader can tell."""
    for cell in source.cells:
        if cell.kind != "markdown":
            continue
        lines = cell.text.splitlines()
        for number, line in enumerate(lines):
            _, summary, rest = line.partition("</summary>")
            if summary and (rest.strip() or "".join(lines[number + 1 : number + 2]).strip()):
                yield cell.line, "put an empty line after </summary>, or the hint's Markdown is not rendered"
        if cell.text.count("<details") != cell.text.count("</details>"):
            yield cell.line, "as many <details> as </details>, please, in one cell"
        if re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=[\"'][^\"']+[\"'])", cell.text):
            yield cell.line, "a picture without alternative text: write ![what it shows](...)"


def claims(source: Source, exercises: Sequence) -> Iterator[Problem]:
    """Claims quote the page, in cells that the learner does not get."""
    yield from misplaced(source)


def _well_marked(source: Source) -> Iterable[Cell]:
    """The exercise cells that have a region to cut; the others have been reported."""
    return (cell for cell in source.cells if cell.is_exercise and answer_of(cell.text).strip())


def _raises(function: ast.FunctionDef) -> bool:
    """Whether the stub's raise is in this function."""
    return any(
        isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node) for node in ast.walk(function)
    )
