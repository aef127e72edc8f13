"""with hold("2.a"): what is printed inside waits for the guess too, where `reveal` would wait."""

import contextlib
import io
import sys
from collections.abc import Iterator
from html import escape
from typing import Any

from teach.live import can_wait
from teach.panel import panel
from teach.predict import is_open
from teach.waiting import BLUE, PALE_BLUE, add


class Held:
    """A printed text that is kept back; `show` puts it where it would have been."""

    def __init__(self, id: str, text: str) -> None:
        self.id = id
        self.text = text
        self._handle: Any = None

    def __repr__(self) -> str:
        return f"Hidden until you commit a guess for prediction {self.id}, or choose “Show me”."

    def _repr_html_(self) -> str:
        return panel(escape(repr(self)), "", BLUE, PALE_BLUE)

    def show(self, shown: bool) -> None:
        """Show the text in its place."""
        if self._handle is not None:
            self._handle.update({"text/plain": self.text}, raw=True)

    def display(self) -> None:
        """Show, in the text's place, that it waits."""
        from IPython.display import display

        self._handle = display(self, display_id=True)


@contextlib.contextmanager
def hold(id: str) -> Iterator[None]:
    """Keep back what is printed inside until prediction `id` has a guess or "Show me" was chosen.

    It keeps back nothing on a page that is only read, and nothing once there is a guess. An error shows what was
    printed before it.

    Raises:
        ValueError: the id is not like "2.a".
    """
    if not (is_open(id) and can_wait()):
        yield
        return
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    except BaseException:
        sys.stdout.write(printed.getvalue())
        raise
    held = Held(id, printed.getvalue())
    held.display()
    add(id, held)
