"""Panels: the state is a word, everything a learner typed is escaped, and the colours can be read."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sample_exercises import SCALE

from teach.judge import judge
from teach.panel import TONES, code, panel, tone


class Reader(HTMLParser):
    """What a screen reader finds: the text, the roles, and whether every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.text, self.roles, self.open, self.tags = "", [], [], set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        self.roles += [value for name, value in attributes if name == "role"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


@pytest.mark.parametrize(
    "answer, words",
    [
        (None, "2.1 Not attempted yet"),
        (lambda w, bits: 1.0, "2.1 Not yet"),
        (lambda w, bits: abs(w).max() / (2 ** (bits - 1) - 1), "2.1 Passed"),
    ],
)
def test_the_state_is_said_in_words_and_announced(answer, words):
    verdict = judge(SCALE, answer)
    reader = Reader(verdict._repr_html_())
    assert words in reader.text and SCALE.title in reader.text
    assert reader.roles == ["status"] and reader.open == []
    assert repr(verdict) == verdict.text


def test_what_a_learner_returns_cannot_become_html():
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>`"
    html = judge(SCALE, lambda w, bits: attack).html + code(f"`{attack}`")
    assert Reader(html).tags <= {"div", "strong", "code"}


def test_backticks_become_code():
    assert re.sub(r" style='[^']*'", "", code("use `a < b` & more")) == "use <code>a &lt; b</code> &amp; more"


def test_nothing_is_fetched_from_anywhere():
    assert not re.search(r"https?:|src=|url\(|@import", panel("a", "b"))


def luminance(colour):
    """Relative luminance, as WCAG 2.2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


DARK = (Path(__file__).parents[2] / "launcher" / "jupyter" / "custom" / "custom.css").read_text()
LIGHT_THEME = {"--course-ink": "#1a1a1a"} | {
    f"--course-{name}{part}": colour
    for name, both in TONES.items()
    for part, colour in zip(("", "-paper"), both, strict=True)
}
DARK_THEME = dict(re.findall(r"(--course-[a-z-]+): (#[0-9a-f]{6});", DARK))


@pytest.mark.parametrize("theme", [LIGHT_THEME, DARK_THEME], ids=["light", "dark"])
@pytest.mark.parametrize("name", TONES)
def test_words_can_be_read_on_their_paper_in_both_themes(name, theme):
    paper = luminance(theme[f"--course-{name}-paper"]) + 0.05
    for word in (f"--course-{name}", "--course-ink"):
        here = luminance(theme[word]) + 0.05
        assert max(paper, here) / min(paper, here) >= 4.5  # WCAG 2.2, level AA


def test_a_dark_theme_gives_every_colour_of_a_panel_its_value():
    used = re.findall(
        r"var\((--course-[a-z-]+),(#[0-9a-f]{6})\)", "".join(panel("a", "b", *tone(name)) for name in TONES)
    )
    assert dict(used) == LIGHT_THEME
    assert set(DARK_THEME) == set(LIGHT_THEME)
