"""Panels: how verdicts, predictions and tables look in a notebook and in a report.

Self-contained HTML with inline style, so that they look the same in JupyterLab, on GitHub and in print. Only a dark
theme changes the colours: it gives the variables below their values (launcher/jupyter/custom/custom.css).
The state is a word and a border, never a colour alone.
"""

import html
import re

CODE_STYLE = "background:rgba(128,128,128,0.16);color:inherit;padding:0.1em 0.3em;border-radius:3px"
INK = "var(--course-ink,#1a1a1a)"
# The colours of a light page: of a border and its label, and of the paper under both.
TONES = {
    "green": ("#00694b", "#e8f5ef"),
    "brown": ("#9a3d00", "#fdf1e7"),
    "blue": ("#005a8e", "#eaf3f9"),
    "grey": ("#555555", "#f4f4f4"),
}


def tone(name: str) -> tuple[str, str]:
    """Return the colours of a tone for an inline style: of border and label, and of the paper.

    >>> tone("green")
    ('var(--course-green,#00694b)', 'var(--course-green-paper,#e8f5ef)')
    """
    colour, paper = TONES[name]
    return f"var(--course-{name},{colour})", f"var(--course-{name}-paper,{paper})"


GREY, PALE_GREY = tone("grey")


def panel(head: str, body: str, colour: str = GREY, background: str = PALE_GREY) -> str:
    """Return a box with a heading and a text, both HTML; a screen reader announces it."""
    style = (
        f"border-left:6px solid {colour};background:{background};color:{INK};padding:0.6em 1em;"
        "margin:0.4em 0;border-radius:3px;max-width:52em;line-height:1.5"
    )
    return f"<div role='status' style='{style}'><div>{head}</div>{body}</div>"


def code(text: str) -> str:
    """Return plain text as HTML, with the text between backticks as code.

    >>> code("use `a < b`").replace(CODE_STYLE, "...")
    "use <code style='...'>a &lt; b</code>"
    """
    return re.sub(r"`([^`]+)`", rf"<code style='{CODE_STYLE}'>\1</code>", html.escape(text, quote=False))
