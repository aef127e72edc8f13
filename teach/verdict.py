"""A verdict: what a check says of an answer, as text and as a panel that names the state in a word."""

import html
from dataclasses import dataclass
from typing import Literal

from teach.changed import unless_edited
from teach.exercise import Mistake, Symptom
from teach.panel import code, panel, tone

State = Literal["not attempted", "not judged", "passed", "not yet"]
# the tone of its panel, and its label
LOOKS = {
    "passed": ("green", "Passed"),
    "not yet": ("brown", "Not yet"),
    "not attempted": ("grey", "Not attempted yet"),
    "not judged": ("grey", "Not judged"),
}


@dataclass(frozen=True)
class Verdict:
    """What a check says: a sentence that helps, and the counter-example. Backticks in both mark code.

    `mistake` is the listed mistake or symptom that explains the answer, if one does; `points` is what was earned.
    `watched` names the function whose cell a live page watches for changes; "" where the page cannot.
    """

    id: str
    title: str
    state: State
    says: str
    example: str = ""
    mistake: Mistake | Symptom | None = None
    points: int = 0
    watched: str = ""

    @property
    def message(self) -> str:
        """The text after "2.1 not yet."."""
        return f"{self.says} {self.example}".strip()

    @property
    def text(self) -> str:
        """The verdict as one line of plain text."""
        words_of_state = {"not attempted": "not attempted yet"}.get(self.state, self.state)
        return f"{self.id} {words_of_state}. {self.message}"

    @property
    def html(self) -> str:
        """The verdict as a panel for a notebook or a report."""
        name, label = LOOKS[self.state]
        colour, background = tone(name)
        head = f"<strong style='color:{colour}'>{html.escape(self.id)} {label}</strong>"
        lines = "".join(f"<div>{code(line)}</div>" for line in (self.says, self.example) if line)
        return panel(f"{head} &middot; {html.escape(self.title)}", lines, colour, background)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        if not self.watched:
            return self.html
        return unless_edited(self.html, self.id, self.watched, keep=self.state != "passed")
