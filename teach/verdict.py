"""A verdict: what a check says of an answer, as text and as a panel that names the state in a word."""

import html
from dataclasses import dataclass
from typing import Literal

from teach.changed import unless_edited
from teach.exercise import Mistake
from teach.panel import code, panel

State = Literal["not attempted", "not judged", "passed", "not yet"]
# colour of border and label, background, label; each label has a contrast above 4.5 on its background
LOOKS = {
    "passed": ("#00694b", "#e8f5ef", "Passed"),
    "not yet": ("#9a3d00", "#fdf1e7", "Not yet"),
    "not attempted": ("#555555", "#f4f4f4", "Not attempted yet"),
    "not judged": ("#555555", "#f4f4f4", "Not judged"),
}


@dataclass(frozen=True)
class Verdict:
    """What a check says: a sentence that helps, and the counter-example. Backticks in both mark code.

    `mistake` is the listed mistake that explains the answer, if one does; `points` is what was earned.
    `watched` names the function whose cell a live page watches for changes; "" where the page cannot.
    """

    id: str
    title: str
    state: State
    says: str
    example: str = ""
    mistake: Mistake | None = None
    points: int = 0
    watched: str = ""

    @property
    def message(self) -> str:
        """What stands after "2.1 not yet."."""
        return f"{self.says} {self.example}".strip()

    @property
    def text(self) -> str:
        """The verdict as one line of plain text."""
        words_of_state = {"not attempted": "not attempted yet"}.get(self.state, self.state)
        return f"{self.id} {words_of_state}. {self.message}"

    @property
    def html(self) -> str:
        """The verdict as a panel for a notebook or a report."""
        colour, background, label = LOOKS[self.state]
        head = f"<strong style='color:{colour}'>{html.escape(self.id)} {label}</strong>"
        lines = "".join(f"<div>{code(line)}</div>" for line in (self.says, self.example) if line)
        return panel(f"{head} &middot; {html.escape(self.title)}", lines, colour, background)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        if not self.watched:
            return self.html
        return unless_edited(self.html, self.id, self.watched, keep=self.state != "passed")
