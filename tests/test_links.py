"""Links of lessons, solutions and slides lead to files that are there: on GitHub, and from the learner's folder."""

import itertools
import json
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted((ROOT / "lessons").glob("*.ipynb")), *sorted((ROOT / "solutions").glob("*.ipynb"))]
PAGES += sorted((ROOT / "slides").glob("*.md"))
CODE = re.compile(r"^```.*?^```|`[^`\n]*`(?!\])", re.M | re.S)  # what looks like a link there is none
LINK = re.compile(r"\]\((?:<([^>]+)>|([^)\s<]+))(?: [^)]*)?\)|(?:href|src)=[\"']([^\"']+)")
# The folders that `course.py lab` shows beside the learner's: the settings of its server say so.
SERVER = (ROOT / "launcher" / "jupyter" / "jupyter_server_config.py").read_text(encoding="utf-8")
SHOWN = re.findall(r'"(\w+)"', re.search(r"^SHOWN = (.*?\))", SERVER, re.M)[1])


def links(text):
    """The relative links of a text in Markdown, without what follows a #."""
    found = (unquote("".join(link)).partition("#")[0] for link in LINK.findall(CODE.sub("", text)))
    return [link for link in found if link and not re.match(r"[a-z]+:", link)]


def text_of(page):
    """The Markdown of a page."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def leads_on_github(page, link):
    """Whether a link leads to a file of the course."""
    file = (page.parent / link).resolve()
    return file.is_file() and file.is_relative_to(ROOT)


def leads_in_work(link):
    """Whether a link leads to a file from work/, where all lessons lie, in a JupyterLab that serves work/."""
    up, *rest = PurePosixPath(link).parts
    if up != "..":
        return (ROOT / "lessons" / link).is_file()
    return bool(rest) and rest[0] in SHOWN and ".." not in rest and ROOT.joinpath(*rest).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.name}")
def test_every_relative_link_leads_to_a_file(page):
    found = links(text_of(page))
    assert [link for link in found if not leads_on_github(page, link)] == []
    if page.parent.name == "lessons":
        assert [link for link in found if not leads_in_work(link)] == []


def test_every_lesson_but_the_last_links_to_another():
    for lesson in PAGES[: len(list((ROOT / "lessons").glob("*.ipynb")))]:
        assert [link for link in links(text_of(lesson)) if link.endswith(".ipynb")], lesson.name


def test_what_a_link_is():
    text = (
        "[a](02_x.ipynb#top) `x[0](y)` [`k`](../mini_lib/k.py) <a href='n%20m.md'> ![p](<a b.png>) [w](https://w.org)"
    )
    assert links(text) == ["02_x.ipynb", "../mini_lib/k.py", "n m.md", "a b.png"]
    assert links("```text\n[a](b)\n```\n[c](d 'title')") == ["d"]


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("01_measure.ipynb", True),
        ("../mini_lib/prune/keep.py", True),
        ("99_none.ipynb", False),
        ("../mini_lib/none.py", False),
        ("../mini_lib/prune", False),  # a folder opens no page
        ("../launcher/lock.py", False),  # not shown
        ("../lessons/01_measure.ipynb", False),
        ("../mini_lib/../launcher/lock.py", False),
    ],
)
def test_where_a_link_leads_from_the_learners_folder(link, leads):
    assert leads_in_work(link) == leads


def test_every_lesson_names_the_next():
    lessons = sorted((ROOT / "lessons").glob("*.ipynb"))
    for lesson, following in itertools.pairwise(lessons):
        link = rf"^\*\*Next:\*\* \[{following.name[:2]} .*?\]\({following.name}\)"
        assert re.search(link, text_of(lesson), re.MULTILINE), lesson.name
