"""The claims of a solution (teach/claim.py): each sentence is on its page, and agrees with what was measured."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from nbformat import NotebookNode

from teach.claim import MIME_TYPE, Claim, read

from .names import parsed
from .source import Cell, Source


def calls(cell: Cell) -> list[ast.Call]:
    """The calls of `claim` in a cell, in the order in which they stand there."""
    tree = parsed(cell.text) if cell.kind == "code" and "claim(" in cell.text else None
    found = [one for one in ast.walk(tree or ast.Module([], [])) if isinstance(one, ast.Call)]
    named = [one for one in found if isinstance(one.func, ast.Name) and one.func.id == "claim"]
    return sorted(named, key=lambda one: (one.lineno, one.col_offset))


def literal(call: ast.Call, name: str, default: object) -> object:
    """What a call of `claim` has written out for its sentence or for a keyword; None where it is computed.

    >>> call = ast.parse('claim("It keeps 87%", 100 * x, within=0.5)').body[0].value
    >>> literal(call, "sentence", None), literal(call, "within", 0.0), literal(call, "page", "")
    ('It keeps 87%', 0.5, '')
    """
    given = {word.arg: word.value for word in call.keywords} | ({"sentence": call.args[0]} if call.args else {})
    try:
        return ast.literal_eval(given[name]) if name in given else default
    except ValueError:
        return None


def _measures(call: ast.Call) -> bool:
    """Whether what a claim is compared with comes from a variable of the notebook."""
    compared = call.args[1:] + [word.value for word in call.keywords if word.arg == "holds"]
    return any(isinstance(node, ast.Name) for one in compared for node in ast.walk(one))


def on_page(source: Source, sentence: str, page: str = "") -> bool:
    """Whether a page has these words: the lesson's text and the strings of its cells, or the file `page`."""
    if page:
        path = source.path.parents[1] / page
        texts = [path.read_text(encoding="utf-8")] if path.is_file() else []
    else:
        texts = [text for cell in source.cells if cell.in_lesson for text in _words(cell)]
    return any(_plain(sentence) in _plain(text) for text in texts)


def _words(cell: Cell) -> Iterator[str]:
    if cell.kind == "markdown":
        yield cell.text
        return
    for one in ast.walk(parsed(cell.text) or ast.Module([], [])):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def _plain(text: str) -> str:
    """Without emphasis, and with one space between words."""
    return " ".join(text.replace("*", "").replace("`", "").split())


def misplaced(source: Source) -> Iterator[tuple[int, str]]:
    """What is wrong with the claims as they are written: where they stand, and whether the page says so."""
    for cell in source.cells:
        for call in calls(cell):
            sentence, page = literal(call, "sentence", None), literal(call, "page", "")
            if cell.in_lesson:
                yield cell.line, 'a claim in a cell of the lesson; give its cell the tag "solution-only"'
            elif not isinstance(sentence, str) or not isinstance(page, str):
                yield cell.line, "a claim quotes the page: write its sentence and its page out, as strings"
            elif not _measures(call):
                yield cell.line, f"the claim {sentence!r} is compared with no variable, so it cannot fail"
            elif not on_page(source, sentence, page):
                yield (cell.line, f"{page or 'the lesson'} does not say {sentence!r}; quote it, or take the claim out")


def kept(cell: NotebookNode) -> list[Claim]:
    """The claims that a cell of a built notebook keeps.

    Raises:
        ValueError: what it keeps is none.
    """
    return [read(output.data[MIME_TYPE]) for output in cell.get("outputs", ()) if MIME_TYPE in output.get("data", {})]


def problems(source: Source, notebook: NotebookNode) -> list[str]:
    """Where the page and the numbers of an executed solution part, one sentence each, with the cell's id."""
    code = [cell for cell in source.cells if cell.kind == "code"]
    found = []
    for written, cell in zip(code, (cell for cell in notebook.cells if cell.cell_type == "code")):
        try:
            claims = kept(cell)
        except ValueError as error:
            found.append(f"cell {cell.id}: {error}")
            continue
        sentences = {claim.sentence for claim in claims}
        for call in calls(written):
            if literal(call, "sentence", None) not in sentences:
                found.append(f"cell {cell.id}: the claim {literal(call, 'sentence', None)!r} was not compared")
        for claim in claims:
            if problem := claim.problem():
                found.append(f"cell {cell.id}: the claim {claim.sentence!r} {problem}; change the text or the cell")
    return found


def said_anew(written: Cell, cell: NotebookNode) -> list[Claim] | None:
    """The claims of a cell in the words that it has now, with the values it measured; None where they do not match."""
    new, old = calls(written), kept(cell)
    if len(new) != len(old):
        return None
    return [
        replace(
            claim,
            sentence=literal(call, "sentence", None),
            within=literal(call, "within", 0.0),
            page=literal(call, "page", ""),
        )
        for call, claim in zip(new, old)
    ]
