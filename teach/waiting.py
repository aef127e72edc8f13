"""A measurement that waits, in its cell's output, until a guess is committed above or "Show me" is pressed."""

from collections.abc import Callable
from html import escape
from typing import Any

from teach.live import bundle
from teach.panel import panel, tone

BLUE, PALE_BLUE = tone("blue")
_waiting: dict[str, list[Any]] = {}  # by the prediction's id: the outputs of this kernel that wait for its guess


def add(id: str, output: Any) -> None:
    """Have `output.show(shown)` called when prediction `id` gets its guess, or "Show me" is chosen."""
    _waiting.setdefault(id, []).append(output)


def release(id: str, shown: bool) -> None:
    """Show what waits for prediction `id`; `shown` where that comes before a guess."""
    for output in _waiting.pop(id, []):
        output.show(shown)


class Waiting:
    """A cell's output that becomes the revealed measurement.

    `reveal(shown)` returns it; `shown` says that there was no guess, and that this must be remembered.
    """

    def __init__(self, id: str, reveal: Callable[[bool], Any]) -> None:
        self.id = id
        self._reveal = reveal
        self._handle: Any = None
        self._box: Any = None
        add(id, self)

    @property
    def said(self) -> str:
        """The text shown there meanwhile."""
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
        button.on_click(lambda _: release(self.id, True))
        self._box = ipywidgets.VBox([ipywidgets.HTML(self._repr_html_()), button])
        return self._box

    def show(self, shown: bool) -> None:
        """Put the measurement in this output's place."""
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
