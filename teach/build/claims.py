"""The claims of a solution (teach/claim.py): each sentence is on its page, and agrees with what was measured."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from nbformat import NotebookNode

from teach.claim import MIME_TYPE, Claim, numbers, read

from .names import parsed
from .notebook import stub
from .source import Cell, Source

#: The pages that a claim may quote besides its own lesson.
PAGES = re.compile(r"README\.md|slides/\w+\.md")


def calls(cell: Cell) -> list[ast.Call]:
    """The calls of `claim` in a cell, in the order in which they stand there."""
    return calls_in(parsed(cell.text)) if cell.kind == "code" and "claim(" in cell.text else []


def calls_in(tree: ast.Module | None) -> list[ast.Call]:
    """The calls of `claim` in a cell's syntax tree, in the order in which they stand there."""
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
    """Whether a page has these words: the lesson's text and the strings of its cells, or the file `page`.

    A quote neither begins nor ends within a word or a number: a page that says 4.2 does not say 4.
    """
    if page:
        path = source.path.parents[1] / page
        texts = [path.read_text(encoding="utf-8")] if path.is_file() else []
    else:
        texts = [text for cell in source.cells if cell.in_lesson for text in _words(cell)]
    quote = re.compile(rf"(?<!\w)(?<!\d[.,]){re.escape(_plain(sentence))}(?![\w%]|[.,]\d)")
    return any(quote.search(_plain(text)) for text in texts)


def _words(cell: Cell) -> Iterator[str]:
    if cell.kind == "markdown":
        yield cell.text
        return
    for one in ast.walk(parsed(stub(cell.text, "") if cell.is_exercise else cell.text) or ast.Module([], [])):
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
            elif not isinstance(sentence, str) or not sentence or not isinstance(page, str):
                yield (
                    cell.line,
                    "a claim quotes the page: write its sentence and its page out, as plain strings, no f-strings",
                )
            elif literal(call, "within", 0.0) is None:
                yield cell.line, f"the tolerance of {sentence!r} is computed; write it out, such as within=0.5"
            elif page and not PAGES.fullmatch(page):
                yield cell.line, f"a claim cannot quote {page!r}; quote the lesson, README.md or slides/NN_topic.md"
            elif not _measures(call):
                yield (
                    cell.line,
                    f"the claim {sentence!r} is compared with no variable, so it cannot fail; give what was measured",
                )
            elif not on_page(source, sentence, page):
                yield (cell.line, f"{page or 'the lesson'} does not say {sentence!r}; quote it, or take the claim out")


def kept(cell: NotebookNode) -> list[Claim]:
    """The claims that a cell of a built notebook keeps.

    Raises:
        ValueError: what it keeps is none.
    """
    return [read(output.data[MIME_TYPE]) for output in outputs(cell)]


def outputs(cell: NotebookNode) -> list[NotebookNode]:
    """The outputs of a cell that are claims."""
    return [output for output in cell.get("outputs", ()) if MIME_TYPE in output.get("data", {})]


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
        where = f"cell {cell.id} ({source.at(written.line)})"
        quoted = Counter((literal(call, "sentence", None), literal(call, "page", "")) for call in calls(written))
        for (sentence, _), _ in (quoted - Counter((claim.sentence, claim.page) for claim in claims)).items():
            found.append(f"{where}: the claim {sentence!r} was not compared: its call did not run")
        for claim in claims:
            if (claim.sentence, claim.page) not in quoted:
                found.append(
                    f"{where}: the claim {claim.sentence!r} is not written out in its cell; call claim(...) there"
                )
            if problem := claim.problem():
                found.append(f"{where}: the claim {claim.sentence!r} {problem}; change the text or the cell")
    return found


def said_anew(written: Cell, cell: NotebookNode) -> list[Claim] | None:
    """The claims of a cell in the words that it has now, with the values it measured.

    None where the cell did not make one claim for each call, in their order, or where a number has changed that was not
    measured: what its words say has to be run again.
    """
    old = kept(cell)
    before = calls(replace(written, text=cell.source))
    if [claim.sentence for claim in old] != [literal(call, "sentence", None) for call in before]:
        return None
    anew = []
    for call, claim in zip(calls(written), old, strict=True):
        sentence = literal(call, "sentence", None)
        was, now = (numbers(one) for one in (claim.sentence, sentence))
        values = claim.measured or (None,) * len(was)
        if len(was) != len(now) or any(
            value is None and one[0] != other[0] for value, one, other in zip(values, was, now)
        ):
            return None
        within, page = literal(call, "within", 0.0), literal(call, "page", "")
        anew.append(replace(claim, sentence=sentence, within=within, page=page))
    return anew
