"""A verdict in JupyterLab gives way to a word when the cell above it is edited and not run.

The kernel does not know what a cell says until it is run; JupyterLab does, and marks the cell in its page
(`jp-mod-dirty`). So this is a matter of style alone: no script, and no effect in a page that has no such mark. The
words are in an attribute, since a viewer that drops the style would show them for good.
"""

from html import escape

EDITED = ".jp-CodeCell.jp-mod-dirty"
# the check cell follows, or has one cell of the learner's own before it
BELOW = [f"{EDITED} {between}+ .jp-CodeCell" for between in ("", "+ .jp-CodeCell ", "+ .jp-MarkdownCell ")]


def _style() -> str:
    def below(part: str) -> str:
        return ",".join(f"{cell} {part}" for cell in BELOW)

    return (
        ".course-changed{display:none;border-left:6px solid #555555;background:#f4f4f4;color:#1a1a1a;"
        "padding:0.6em 1em;margin:0.4em 0;border-radius:3px;max-width:52em;line-height:1.5}"
        ".course-changed::before{content:attr(data-label);font-weight:bold;display:block;color:#555555}"
        ".course-changed::after{content:attr(data-says)}"
        f"{below('.course-changed')}{{display:block}}"
        f"{below('.course-judged')}{{display:none}}"
    )


def unless_edited(panel: str, id: str, function: str) -> str:
    """Return a verdict's panel as HTML that shows, while the cell above is edited and not run, just that."""
    says = f"The cell of {function} has changed since you ran it. Run it, then run this one."
    words = f"data-label='{escape(id)} Not judged' data-says='{escape(says)}'"
    return (
        f"<style>{_style()}</style><div class='course-judged'>{panel}</div>"
        f"<div class='course-changed' role='status' {words}></div>"
    )
