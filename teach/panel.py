"""Panels: how verdicts, predictions and tables look in a notebook and in a report.

Self-contained HTML with inline style, so that they look the same in JupyterLab, on GitHub and in print.
The state is a word and a border, never a colour alone.
"""

import html
import re

CODE_STYLE = "background:rgba(0,0,0,0.07);color:inherit;padding:0.1em 0.3em;border-radius:3px"


def panel(head: str, body: str, colour: str = "#555555", background: str = "#f4f4f4") -> str:
    """Return a box with a heading and a text, both HTML; a screen reader announces it."""
    style = (
        f"border-left:6px solid {colour};background:{background};color:#1a1a1a;padding:0.6em 1em;"
        "margin:0.4em 0;border-radius:3px;max-width:52em;line-height:1.5"
    )
    return f"<div role='status' style='{style}'><div>{head}</div>{body}</div>"


def code(text: str) -> str:
    """Return plain text as HTML, with what stands between backticks as code.

    >>> code("use `a < b`").replace(CODE_STYLE, "...")
    "use <code style='...'>a &lt; b</code>"
    """
    return re.sub(r"`([^`]+)`", rf"<code style='{CODE_STYLE}'>\1</code>", html.escape(text, quote=False))
