"""The slides: built from their source, complete on disk, and nothing runs off a slide."""

import os
import shutil
from pathlib import Path

import pytest

from slides import build

ROOT = Path(__file__).parents[1]
SLIDES = ROOT / "slides"
DECKS = sorted(SLIDES.glob("[0-9][0-9]_*.html"))

FRONT = "---\nmarp: true\ntheme: course\nmath: mathjax\npaginate: true\nlang: en\ntitle: Tiny\n---\n"
SLIDE = "\n# A heading\n\nA word, and $x^2$.\n\n```\n---\n```\n\n<!-- What one says. -->\n"
FIGURE = "\n# A figure\n\n![w:600 A red square](figures/square.svg)\n\n<!-- Look at it. -->\n"
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9v9z" fill="red"/></svg>'


def folder(root: Path, text: str = FRONT + "\n---\n".join([SLIDE] * 14 + [FIGURE])) -> Path:
    """A folder of slides with one deck of fifteen, its theme and its figure; not built."""
    (root / "figures").mkdir()
    (root / "figures" / "square.svg").write_text(SQUARE)
    (root / "99_tiny.md").write_text(text)
    shutil.copy(SLIDES / "course.css", root)
    shutil.copy(SLIDES / "marp.config.mjs", root)
    return root


def as_if_built(root: Path, more: str = "") -> Path:
    """The same with a page that bears the right stamp, as a build would leave it."""
    deck = build.read_deck(folder(root) / "99_tiny.md")
    deck.html.write_text(f'<head><meta name="made-from" content="{build.stamp(deck)}"></head>{more}')
    return root


def test_the_decks_are_as_their_sources_say():
    assert build.problems(SLIDES) == []


def test_a_built_deck_has_no_problem(tmp_path):
    assert build.problems(as_if_built(tmp_path)) == []


def test_slides_are_parted_outside_code_only(tmp_path):
    deck = build.read_deck(folder(tmp_path) / "99_tiny.md")
    assert len(deck.slides) == 15
    assert deck.front["title"] == "Tiny"
    assert [slide.line for slide in deck.slides[:3]] == [9, 21, 33]
    assert deck.slides[0].notes == "What one says."


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("<!-- What one says. -->", "", "99_tiny.md:9: slide 1 has no speaker notes"),
        ("<!-- What one says. -->", "<!-- _class: title -->", "slide 1 has no speaker notes"),
        ("# A heading\n", "A heading\n", "slide 1 has no heading"),
        ("w:600 A red square", "w:600 bg right:40%", "figures/square.svg has no alternative text"),
        ("figures/square.svg", "square.svg", "square.svg is not in figures/"),
        ("figures/square.svg", "https://a.b/square.svg", "https://a.b/square.svg is not in figures/"),
        ("figures/square.svg", "figures/circle.svg", "figures/circle.svg is not there"),
        ("A word", '<img src="x">', "<img> without alternative text"),
        ("lang: en\n", "", "the front matter needs 'lang: ...', got None"),
        ("math: mathjax", "math: katex", "the front matter needs 'math: mathjax', got 'katex'"),
        ("\n---\n" + SLIDE, "", "14 slides; a deck has 15 to 25"),
        (SLIDE, "\n---\n".join([SLIDE] * 12), "26 slides; a deck has 15 to 25"),
        (FRONT, "", "99_tiny.md: no front matter"),
    ],
)
def test_a_source_is_told_what_it_lacks(old, new, sentence, tmp_path):
    root = as_if_built(tmp_path)
    text = (root / "99_tiny.md").read_text()
    assert old in text
    (root / "99_tiny.md").write_text(text.replace(old, new, 1))
    assert any(sentence in problem for problem in build.problems(root))


@pytest.mark.parametrize("name", ["99_tiny.md", "course.css", "figures/square.svg"])
def test_a_change_of_any_part_is_found_without_building(name, tmp_path):
    root = as_if_built(tmp_path)
    (root / name).write_text(
        (root / name).read_text().replace("heading", "title").replace("red", "tan").replace("ink", "pen")
    )
    assert (
        "99_tiny.html is not what its source, theme and figures say; run: python slides/build.py 99"
        in build.problems(root)
    )


@pytest.mark.parametrize(
    "load",
    [
        '<script src="https://a.b/x.js"></script>',
        '<link rel="stylesheet" href="https://a.b/x.css">',
        '<img alt="a" src="figures/square.svg">',
        "<style>@import url(https://a.b/x.css);</style>",
        "<style>@font-face{src:url('//a.b/x.woff')}</style>",
        '<figure style="background:url(&quot;https://a.b/x.png&quot;)">',
        "<svg><image xlink:href='https://a.b/x.png'/></svg>",
    ],
)
def test_a_page_that_loads_something_is_found(load, tmp_path):
    root = as_if_built(tmp_path, more=load)
    assert any("a deck opens from disk alone" in problem for problem in build.problems(root))


def test_what_does_not_load_is_left_alone(tmp_path):
    kept = "<a href='https://a.b'>paper</a><use href='#x'/><script>const x = '<img src=\"y.png\">'</script>"
    assert build.problems(as_if_built(tmp_path, more=kept)) == []


def test_decks_pages_and_figures_that_nobody_needs_are_found(tmp_path):
    root = as_if_built(tmp_path)
    (root / "98_old.html").write_text("")
    (root / "figures" / "circle.svg").write_text(SQUARE)
    (root / "97_new.md").write_text((root / "99_tiny.md").read_text())
    assert build.problems(root) == [
        "97_new.html is missing; run: python slides/build.py 97",
        "98_old.html has no source; write 98_old.md, or delete it",
        "figures/circle.svg is on no slide; show it, or delete it",
    ]


def test_the_command_without_node_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    assert build.main([], folder=folder(tmp_path)) == 1
    assert "building slides needs node, for 'npx'" in capsys.readouterr().err


def test_figures_are_put_into_the_page(tmp_path):
    root = folder(tmp_path)
    page = build.inlined(
        '<img src="figures/square.svg"><i style="background:url(&quot;figures/square.svg&quot;)">', root
    )
    assert page.count("data:image/svg+xml;base64,") == 2
    assert build.loads(page) == []


@pytest.mark.skipif(not os.environ.get("COURSE_NODE"), reason="builds a deck with node; set COURSE_NODE=1 to run it")
def test_building_with_node(tmp_path):
    root = folder(tmp_path)
    assert build.main([], folder=root) == 0
    assert build.problems(root) == []
    page = (root / "99_tiny.html").read_text()
    assert "What one says." in page and "data:image/svg+xml;base64," in page and 'jax="SVG"' in page


SHOWN = """number => {
  const slide = document.querySelectorAll('svg.bespoke-marp-slide')[number - 1];
  return slide.classList.contains('bespoke-marp-active');
}"""
RUNS_OFF = """() => {
  const found = [];
  const slide = document.querySelector('svg.bespoke-marp-active section');
  const area = slide.getBoundingClientRect();
  const style = getComputedStyle(slide);
  const bottom = area.bottom - parseFloat(style.paddingBottom), right = area.right - parseFloat(style.paddingRight);
  for (const node of slide.querySelectorAll(':scope > :not(footer, header), .columns > div > *')) {
    const box = node.getBoundingClientRect();
    if (box.bottom > bottom + 1) found.push(`<${node.localName}> ends ${Math.round(box.bottom - bottom)} px too low`);
    if (box.right > right + 1) found.push(`<${node.localName}> ends ${Math.round(box.right - right)} px too far right`);
  }
  for (const node of slide.querySelectorAll('pre')) {
    const wide = node.scrollWidth - node.clientWidth, high = node.scrollHeight - node.clientHeight;
    if (wide > 1) found.push(`<pre> is ${wide} px too wide`);
    if (high > 1) found.push(`<pre> is ${high} px too high`);
  }
  for (const node of slide.querySelectorAll('img'))
    if (!node.naturalWidth || node.getBoundingClientRect().height < 100)
      found.push(`<img> is not to be seen: ${node.alt}`);
  return found;
}"""


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.stem)
def test_a_deck_opens_from_disk_and_nothing_runs_off_a_slide(path, tmp_path):
    from browser_support import browser_page, find_chromium

    shutil.copy(path, tmp_path)  # alone: without its figures and its theme
    address = (tmp_path / path.name).as_uri()
    found = []
    with browser_page(find_chromium(), width=1280, height=720) as (page, watched):
        page.goto(address)
        page.add_style_tag(content=".bespoke-marp-osc { display: none !important }")  # the bar that follows the mouse
        count = page.locator("section[data-marpit-pagination]").count()
        for number in range(1, count + 1):
            page.goto(f"{address}#{number}")
            page.wait_for_function(SHOWN, arg=number)
            found += [f"slide {number}: {problem}" for problem in page.evaluate(RUNS_OFF)]
            if pictures := os.environ.get("COURSE_SCREENSHOTS"):
                page.screenshot(path=Path(pictures) / f"{path.stem}-{number:02d}.png")
        page.goto(f"{address}#1")
        with page.expect_popup() as opened:
            page.keyboard.press("p")  # the presenter's view: this slide, the next one, the notes
        notes = opened.value.locator(".bespoke-marp-note.active").inner_text()
        elsewhere = {request for request in watched.requests if not request.startswith((address, "data:"))}
    assert (found, elsewhere, watched.complaints) == ([], set(), [])
    slides = build.read_deck(path.with_suffix(".md")).slides
    assert count == len(slides)
    assert notes.split()[:5] == slides[0].notes.split()[:5]
