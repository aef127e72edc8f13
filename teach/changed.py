"""A word appears over a verdict in JupyterLab when the cell above it is edited and not run.

The kernel does not know what a cell says until it is run; JupyterLab does, and marks the cell in its page
(`jp-mod-dirty`). So this is a matter of style alone: no script, and no effect in a page without this mark. The
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
        ".course-changed{display:none;border-left:6px solid var(--course-grey,#555555);"
        "background:var(--course-grey-paper,#f4f4f4);color:var(--course-ink,#1a1a1a);"
        "padding:0.6em 1em;margin:0.4em 0;border-radius:3px;max-width:52em;line-height:1.5}"
        ".course-changed::before{content:attr(data-label);font-weight:bold;display:block;color:var(--course-grey,#555555)}"
        ".course-changed::after{content:attr(data-says)}"
        f"{below('.course-changed')}{{display:block}}"
        f"{below('.course-judged')}{{display:none}}"
    )


def unless_edited(panel: str, id: str, function: str, keep: bool) -> str:
    """Return a verdict's panel as HTML that says so while the cell above is edited and not run.

    With `keep` the panel stays under that word, since one reads it while one mends the cell; else it is gone meanwhile.
    """
    says = f"Run the cell of {function}, then run this one."
    if keep:
        says += " The output below is about the version that ran."
    words = f"data-label='{escape(id)} Changed since it was run' data-says='{escape(says)}'"
    judged = panel if keep else f"<div class='course-judged'>{panel}</div>"
    return f"<style>{_style()}</style><div class='course-changed' role='status' {words}></div>{judged}"
