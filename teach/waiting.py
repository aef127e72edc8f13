"""A measurement that waits, in its cell's output, until a guess is committed above or "Show me" is pressed."""

from collections.abc import Callable
from html import escape
from typing import Any

from teach.live import bundle
from teach.panel import panel

BLUE, PALE_BLUE = "#005a8e", "#eaf3f9"
_waiting: dict[str, "Waiting"] = {}  # by the prediction's id: what is open in this kernel


class Waiting:
    """A cell's output that becomes the revealed measurement.

    `reveal(shown)` returns it; `shown` says that there was no guess, and that this must be remembered.
    """

    def __init__(self, id: str, reveal: Callable[[bool], Any]) -> None:
        self.id = id
        self._reveal = reveal
        self._handle: Any = None
        self._box: Any = None
        _waiting[id] = self

    @property
    def said(self) -> str:
        """What stands there meanwhile."""
        return "The measurement is ready. Commit to a guess above, or choose “Show me”."

    def __repr__(self) -> str:
        return f"Prediction {self.id}. {self.said}"

    def _repr_html_(self) -> str:
        return panel(f"<strong style='color:{BLUE}'>Prediction {escape(self.id)}</strong>", self.said, BLUE, PALE_BLUE)

    def widget(self) -> Any:
        """Build the live form: the panel, and the button."""
        import ipywidgets

        button = ipywidgets.Button(
            description="Show me", tooltip=f"Show the measurement of prediction {self.id} without a guess"
        )
        button.on_click(lambda _: self.show(True))
        self._box = ipywidgets.VBox([ipywidgets.HTML(self._repr_html_()), button])
        return self._box

    def show(self, shown: bool) -> None:
        """Put the measurement in this output's place."""
        _waiting.pop(self.id, None)
        revealed = self._reveal(shown)
        if self._box is not None:  # what the open page shows
            words, button = self._box.children
            words.value = revealed._repr_html_()
            self._box.children = (words,)
            button.close()
        if self._handle is not None:  # what is saved with the notebook, and is shown without a kernel
            self._handle.update({"text/plain": repr(revealed), "text/html": revealed._repr_html_()}, raw=True)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        data = bundle({"text/plain": repr(self), "text/html": self._repr_html_()}, self.widget)
        self._handle = display(data, raw=True, display_id=True)


def committed(id: str) -> None:
    """Show the measurement that waits for this prediction's guess, if one does."""
    if id in _waiting:
        _waiting[id].show(False)
