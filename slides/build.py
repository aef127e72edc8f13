"""Builds the slides: `python slides/build.py [--check] [NN ...]`.

`NN_topic.md` (Marp) becomes `NN_topic.html`: one file that opens from disk with no network, figures, formulas, fonts
and speaker notes inside; the key `p` opens the presenter's view. Building needs node (`npx`); `--check` needs only
Python, since a built file is stamped with a hash of all that it was made from.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import mimetypes
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SLIDES = Path(__file__).parent
MARP = "@marp-team/marp-cli@4.5.1"
THEME = "course.css"
FEWEST, MOST = 15, 25
FRONT = {"marp": "true", "theme": "course", "math": "mathjax", "paginate": "true", "lang": None, "title": None}

# In ![w:600 bg right The bell of the weights](...) these are instructions to Marp; the rest is for the screen reader.
INSTRUCTION = (
    r"(w|h|width|height|blur|brightness|contrast|drop-shadow|grayscale|hue-rotate|invert|opacity|saturate|sepia)(:\S+)?"
)
INSTRUCTION += r"|bg|auto|contain|cover|fit|vertical|(left|right)(:\S+)?|\d+%"
DIRECTIVE = r"_?(class|paginate|header|footer|color|background\w*|style|theme|math|headingDivider|size|lang|title)\s*:"


@dataclass(frozen=True)
class Slide:
    """One slide of a deck's source: its number from 1, the line it starts on, its text without code blocks."""

    number: int
    line: int
    text: str

    @property
    def notes(self) -> str:
        """What the speaker says: the comments that are not instructions to Marp."""
        comments = re.findall(r"<!--(.*?)-->", self.text, flags=re.DOTALL)
        return "\n".join(c.strip() for c in comments if not re.match(DIRECTIVE, c.strip())).strip()


@dataclass(frozen=True)
class Deck:
    """A deck's source: what its front matter says, and its slides."""

    path: Path
    front: dict[str, str]
    slides: tuple[Slide, ...]

    @property
    def html(self) -> Path:
        """Where its built file lies."""
        return self.path.with_suffix(".html")


def read_deck(path: Path) -> Deck:
    """Read `NN_topic.md`: slides are parted by `---` on a line of its own, outside code blocks.

    Raises:
        ValueError: the front matter is missing.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        raise ValueError(f"{path.name}: no front matter; start with '---', {', '.join(FRONT)}, '---'")
    end = lines.index("---", 1)
    front = dict(line.split(":", 1) for line in lines[1:end] if ":" in line)
    slides, text, start, fence = [], [], end + 2, ""
    for number, line in enumerate([*lines[end + 1 :], "---"], start=end + 2):
        mark = re.match(r" {0,3}(```+|~~~+)", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif line.rstrip() == "---" and not fence:
            slides.append(Slide(len(slides) + 1, start, "\n".join(text)))
            text, start = [], number + 1
        elif not fence:
            text.append(line)
    return Deck(path, {key.strip(): value.strip() for key, value in front.items()}, tuple(slides))


def figures(text: str) -> list[tuple[str, str]]:
    """The pictures of a Markdown text: pairs of alternative text and address.

    >>> figures("![w:600 The bell of the weights](figures/bell.svg)")
    [('The bell of the weights', 'figures/bell.svg')]
    """
    found = re.findall(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)", text)
    return [(" ".join(w for w in alt.split() if not re.fullmatch(INSTRUCTION, w)), where) for alt, where in found]


def stamp(deck: Deck) -> str:
    """A hash of all that the built file is made from: text, theme, figures, and Marp itself."""
    parts = [deck.path, deck.path.parent / THEME]
    parts += sorted({deck.path.parent / where for slide in deck.slides for _, where in figures(slide.text)})
    digest = hashlib.sha256(MARP.encode())
    for part in parts:
        content = part.read_bytes() if part.exists() else b""
        digest.update(hashlib.sha256(content.replace(b"\r\n", b"\n")).digest())
    return f"sha256:{digest.hexdigest()}"


def source_problems(deck: Deck) -> Iterator[str]:
    """What is wrong with a deck's source."""
    for key, value in FRONT.items():
        if not deck.front.get(key) or value not in (None, deck.front[key]):
            yield f"{deck.path.name}:1: the front matter needs '{key}: {value or '...'}', got {deck.front.get(key)!r}"
    if not FEWEST <= len(deck.slides) <= MOST:
        yield f"{deck.path.name}: {len(deck.slides)} slides; a deck has {FEWEST} to {MOST}"
    for slide in deck.slides:
        at = f"{deck.path.name}:{slide.line}: slide {slide.number}"
        if not re.search(r"^#{1,3} \S", slide.text, flags=re.MULTILINE):
            yield f"{at} has no heading, by which a reader finds it"
        if not slide.notes:
            yield f"{at} has no speaker notes; write them as <!-- ... -->"
        if re.search(r"<img(?![^>]*\balt=[\"'][^\"']+[\"'])", slide.text):
            yield f"{at}: <img> without alternative text"
        for alt, where in figures(slide.text):
            if not alt:
                yield f"{at}: {where} has no alternative text; write ![what it shows]({where})"
            if not where.startswith("figures/"):
                yield f"{at}: {where} is not in figures/; put it there, so that it travels with the slides"
            elif not (deck.path.parent / where).exists():
                yield f"{at}: {where} is not there; make it with slides/figures.py"


def built_problems(deck: Deck) -> Iterator[str]:
    """What is wrong with a deck's built file."""
    if not deck.html.exists():
        yield f"{deck.html.name} is missing; run: python slides/build.py {deck.path.name[:2]}"
        return
    text = deck.html.read_text(encoding="utf-8")
    if f'content="{stamp(deck)}"' not in text:
        build = f"python slides/build.py {deck.path.name[:2]}"
        yield f"{deck.html.name} is not what its source, theme and figures say; run: {build}"
    for load in loads(text):
        yield f"{deck.html.name} loads {load!r}; a deck opens from disk alone"


def loads(text: str) -> list[str]:
    """What an HTML page would fetch when it is opened; a link to be clicked is not a load.

    >>> loads('<a href="https://arxiv.org">paper</a><img src="https://a.b/c.png"><img src="data:image/png;base64,QQ">')
    ['https://a.b/c.png']
    """
    page = re.sub(r"(<script\b[^>]*>).*?</script>", r"\1", text, flags=re.DOTALL)
    found = re.findall(r"<(?!a\b)[a-z]+\b[^>]*?\s(?:src|href|xlink:href|srcset|poster|data)=[\"']([^\"']*)", page)
    found += re.findall(r"url\(\s*(?:&quot;|[\"'])?([^)\"'&]*)", page) + re.findall(r"@import\s+([^;}]*)", page)
    return [load for load in found if not load.startswith(("data:", "#"))]


def build(deck: Deck) -> None:
    """Build a deck's HTML file.

    Raises:
        ValueError: every problem, one per line, or what Marp said.
    """
    found = list(source_problems(deck))
    if found:
        raise ValueError("\n".join(found))
    npx = shutil.which("npx")
    if not npx:
        raise ValueError(
            "building slides needs node, for 'npx'; get it from https://nodejs.org, or look at the committed .html"
        )
    made = subprocess.run(
        [npx, "--yes", MARP, deck.path.name, "-o", "-", "--no-stdin"],
        cwd=deck.path.parent,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if made.returncode or "<section" not in made.stdout:
        raise ValueError(f"{deck.path.name}: Marp failed: {made.stderr[-500:]}")
    text = inlined(made.stdout, deck.path.parent)
    text = text.replace("<head>", f'<head><meta name="made-from" content="{stamp(deck)}">', 1)
    deck.html.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")


def inlined(text: str, folder: Path) -> str:
    """The page with every figure of `figures/` inside it, as a data URI."""

    def inside(found: re.Match) -> str:
        path = folder / html.unescape(found[2])
        kind = mimetypes.guess_type(path.name)[0]
        return f"{found[1]}data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}{found[3]}"

    return re.sub(r"(\"|&quot;)(figures/[^\"&]+)(\"|&quot;)", inside, text)


def problems(folder: Path) -> list[str]:
    """Everything that is wrong with the decks of a folder: source, built file, figures that nobody shows."""
    found, shown = [], set()
    decks = sorted(folder.glob("[0-9][0-9]_*.md"))
    for path in decks:
        try:
            deck = read_deck(path)
        except ValueError as error:
            found.append(str(error))
            continue
        found += [*source_problems(deck), *built_problems(deck)]
        shown |= {folder / where for slide in deck.slides for _, where in figures(slide.text)}
    found += [
        f"{path.name} has no source; write {path.stem}.md, or delete it"
        for path in sorted(folder.glob("*.html"))
        if path.with_suffix(".md") not in decks
    ]
    found += [
        f"figures/{path.name} is on no slide; show it, or delete it"
        for path in sorted((folder / "figures").glob("*.*"))
        if path not in shown and path.suffix != ".py"
    ]
    return found


def main(arguments: Sequence[str] | None = None, folder: Path = SLIDES) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python slides/build.py", description="Build the slides from NN_topic.md.")
    parser.add_argument("lessons", nargs="*", metavar="NN", help="lesson numbers; all where none is given")
    parser.add_argument("--check", action="store_true", help="look for problems without building; needs no node")
    options = parser.parse_args(arguments)
    if options.check:
        found = problems(folder)
        print("\n".join(found) or "every deck is as its source says", file=sys.stderr if found else sys.stdout)
        return 1 if found else 0
    wanted = {f"{number:0>2}" for number in options.lessons}
    paths = [path for path in sorted(folder.glob("[0-9][0-9]_*.md")) if not wanted or path.name[:2] in wanted]
    if wanted - {path.name[:2] for path in paths}:
        parser.error(f"no deck for {', '.join(sorted(wanted - {path.name[:2] for path in paths}))} in {folder}")
    for path in paths:
        try:
            deck = read_deck(path)
            build(deck)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{deck.html.name}: {len(deck.slides)} slides, {deck.html.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
