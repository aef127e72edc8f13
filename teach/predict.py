"""predict and reveal: commit to a guess first, then see it next to the measurement.

    predict("2.a", "How much accuracy is lost at 4 bits?", unit="points")      # one cell
    reveal("2.a", measured)                                                     # a later one

A committed guess is locked and remembered. Where none was committed, `reveal` waits for one, or for "Show me"; on a
page that is only read it shows the measurement all the same. A guess made after that is marked.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from typing import Any

from teach import store
from teach.live import bundle, can_wait, is_static, is_strict
from teach.panel import code, panel, tone
from teach.waiting import Waiting, release

KIND = "predictions"
BLUE, PALE_BLUE = tone("blue")
AFTERWARDS = "guessed after the measurement was shown"


class Prediction:
    """A question, and the guess where one was committed: a choice (str) or a number (float).

    `shown`: the measurement was shown before there was a guess; `late`: the guess came after that.
    """

    def __init__(self, id: str, question: str, choices: tuple[str, ...], unit: str, guess: str | float | None) -> None:
        self.id = id
        self.question = question
        self.choices = choices
        self.unit = unit
        self.guess = guess
        self.shown = self.late = False

    def commit(self, answer: str | float) -> None:
        """Lock and remember the guess; the first one counts.

        Raises:
            ValueError: it is none of the choices, or not a number.
            OSError: the folder cannot be written.
        """
        if self.guess is not None:
            return
        guess = _read_choice(answer, self.choices) if self.choices else _read_number(answer, self.unit)
        self.shown = self.late = self.shown or _remembered(self.id).shown
        self._save(guess)
        self.guess = guess
        release(self.id, False)

    def _save(self, guess: str | float | None) -> None:
        entry = {"question": self.question, "choices": self.choices, "unit": self.unit, "guess": guess}
        store.save(KIND, self.id, entry | {"shown": self.shown, "late": self.late})

    @property
    def said(self) -> str:
        """What was committed, or a word to the reader of a page without a form."""
        if self.guess is not None:
            said = f"You said {quantity(self.guess, self.unit)}"
            return f"{said}, {AFTERWARDS}." if self.late else f"{said}. The next cells tell."
        return f"Decide before you read on{' (in ' + self.unit + ')' if self.unit else ''}."

    def __repr__(self) -> str:
        options = "".join(f"\n  - {choice}" for choice in self.choices)
        return f"Prediction {self.id}. {self.question}{options}\n{self.said}"

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{code(choice)}</li>" for choice in self.choices)
        items = f"<ul style='margin:0.3em 0'>{items}</ul>" if items else ""
        body = f"<div>{code(self.question)}</div>{items}<div>{escape(self.said)}</div>"
        return panel(_head(self.id), body, BLUE, PALE_BLUE)

    def widget(self) -> Any:
        """Build the live form: the question, the choices or a field, and a button to commit."""
        import ipywidgets

        question = ipywidgets.HTML(panel(_head(self.id), f"<div>{code(self.question)}</div>", BLUE, PALE_BLUE))
        if self.choices:
            field = ipywidgets.RadioButtons(options=self.choices, value=None, layout={"width": "max-content"})
        else:
            field = ipywidgets.Text(placeholder="a number", layout={"width": "10em"})
        button = ipywidgets.Button(description="Commit", button_style="primary", layout={"width": "8em"})
        said = ipywidgets.HTML()

        def show_state(problem: str = "") -> None:
            locked = self.guess is not None
            ask = "Choose one, and commit." if self.choices else "Type it, and commit."
            text = problem or (self.said if locked else ask)
            said.value = f"<div role='status' style='line-height:1.5'>{escape(text)}</div>"
            field.disabled = button.disabled = locked
            if locked:
                field.value = self.guess if self.choices else number_text(self.guess)

        def on_click(_: Any) -> None:
            try:
                self.commit("" if field.value is None else field.value)
            except ValueError as error:
                show_state(str(error))
            except OSError as error:
                show_state(f"Your guess could not be saved: {error}.")
            else:
                show_state()

        button.on_click(on_click)
        show_state()
        unit = ipywidgets.Label("" if self.choices else self.unit)
        row = [field, button] if self.choices else [ipywidgets.HBox([field, unit, button])]
        return ipywidgets.VBox([question, *row, said])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle({"text/plain": repr(self), "text/html": self._repr_html_()}, self.widget)


class Revealed:
    """The measurement next to the guess, and under it `then`, where there is one."""

    def __init__(self, prediction: Prediction, measured: str | float, then: Any = None) -> None:
        self.prediction = prediction
        self.measured = measured
        self.then = then

    @property
    def parts(self) -> list[tuple[str, str]]:
        """What is said: pairs such as ("you said", "3 points")."""
        asked, unit = self.prediction, self.prediction.unit
        parts = [("measured", quantity(self.measured, unit))]
        if asked.guess is None:
            return parts
        parts.insert(0, ("you said", quantity(asked.guess, unit)))
        if not isinstance(self.measured, str):
            off_by = quantity(abs(asked.guess - self.measured), unit)
            parts.append(("off by", off_by + _factor(asked.guess, self.measured)))
        return parts

    @property
    def remark(self) -> str:
        """A closing word: a nudge where there is no guess, a word on a choice, a mark on a guess that came late."""
        guess = self.prediction.guess
        if guess is None:
            return "" if is_static() else "You did not commit to a guess: a measurement is worth more if you do."
        late = f"{AFTERWARDS.capitalize()}." if self.prediction.late else ""
        if not isinstance(self.measured, str):
            return late
        said = "As you said." if guess == self.measured else "Not as you said: find out why before you go on."
        return f"{said} {late}".strip()

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {what}" for name, what in self.parts)
        more = "" if self.then is None else f"\n{self.then}"
        return f"Prediction {self.prediction.id}: {said}. {self.remark}".strip() + more

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<div style='display:inline-block;margin-right:2em'><div>{name}</div>"
            f"<strong style='font-size:130%'>{escape(what)}</strong></div>"
            for name, what in self.parts
        )
        question = f"<div>{code(self.prediction.question)}</div>" if self.prediction.question else ""
        words = panel(_head(self.prediction.id), f"{question}{cells}<div>{self.remark}</div>", BLUE, PALE_BLUE)
        if isinstance(self.then, str):
            return f"{words}<pre>{escape(self.then)}</pre>"
        return words if self.then is None else words + self.then._repr_html_()


def predict(id: str, question: str, *, choices: Sequence[str] = (), unit: str = "") -> Prediction:
    """Ask for a guess, as a cell's output: one of `choices`, or a number in `unit`.

    Raises:
        ValueError: the id is not like "2.a", the question is empty, or there is a single choice or the same twice.
    """
    _check_id(id)
    choices = tuple(choices)
    if not question.strip():
        raise ValueError(f"prediction {id} has no question; ask for something that a later cell measures")
    if choices and (len(choices) < 2 or len(set(choices)) < len(choices)):
        raise ValueError(f"prediction {id} has the choices {list(choices)}; expected at least two, all different")
    prediction = Prediction(id, question, choices, unit, None)
    earlier = _remembered(id)
    if (earlier.choices, earlier.unit) == (choices, unit):  # a guess is one at this question only
        prediction.guess, prediction.shown, prediction.late = earlier.guess, earlier.shown, earlier.late
    with suppress(OSError):  # a read-only folder: the question is still worth asking
        prediction._save(prediction.guess)
    return prediction


def reveal(id: str, measured: str | float, *, then: Any = None) -> Revealed | Waiting:
    """Show what was measured next to what was guessed, as a cell's output. Never raises for want of a guess.

    Without a guess, a live page waits for one, or for the button "Show me". What gives the answer away waits too where
    it is `then`: a text, or a figure as `show` returns it.

    Raises:
        ValueError: the id is not like "2.a", or a measured choice is none of the question's choices.
        TypeError: `then` is neither a text nor shown as HTML.
    """
    _check_id(id)
    if not (then is None or isinstance(then, str) or hasattr(then, "_repr_html_")):
        raise TypeError(f"then is a {type(then).__name__}, expected a text, or a figure such as show(...) returns")
    asked = _remembered(id)
    measured = measured if isinstance(measured, str) else float(measured)
    if asked.choices and measured not in asked.choices:
        raise ValueError(
            f"prediction {id}: measured is {measured!r}, expected one of {list(asked.choices)}; reveal one of them"
        )
    if is_open(id):
        if can_wait():
            return Waiting(id, lambda shown: _revealed(_seen(id) if shown else _remembered(id), measured, then))
        if not is_static() and not is_strict():
            asked = _seen(id)
    return _revealed(asked, measured, then)


def is_open(id: str) -> bool:
    """Return whether prediction `id` has no guess, and its measurement was not shown either."""
    _check_id(id)
    asked = _remembered(id)
    return asked.guess is None and not asked.shown


def _revealed(asked: Prediction, measured: str | float, then: Any) -> Revealed:
    if isinstance(measured, str) != isinstance(asked.guess, str):  # the question has changed since
        asked.guess = None
    return Revealed(asked, measured, then)


def _remembered(id: str) -> Prediction:
    """The question and guess kept under this id; an empty question where there is none that can be read."""
    entry = store.load(KIND, id) or {}
    question, unit, choices = str(entry.get("question", "")), str(entry.get("unit", "")), entry.get("choices")
    choices = tuple(map(str, choices)) if isinstance(choices, list) else ()
    guess = entry.get("guess")
    fits = guess in choices if choices else isinstance(guess, (int, float))
    remembered = Prediction(id, question, choices, unit, guess if fits else None)
    remembered.shown, remembered.late = entry.get("shown") is True, entry.get("late") is True
    return remembered


def _seen(id: str) -> Prediction:
    """The question kept under this id; from now on it is known that its measurement was shown."""
    asked = _remembered(id)
    asked.shown = True
    with suppress(OSError):  # a read-only folder: it is shown all the same
        asked._save(asked.guess)
    return asked


def number_text(number: float) -> str:
    """Return a number to four digits, large ones in full.

    >>> number_text(0.30519), number_text(61234.0), number_text(3.0)
    ('0.3052', '61,234', '3')
    """
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def quantity(value: str | float, unit: str) -> str:
    """Return a guess or a measurement in words.

    >>> quantity(0.31, "points"), quantity(12.5, "%"), quantity("per channel", "")
    ('0.31 points', '12.5 %', '“per channel”')
    """
    return f"“{value}”" if isinstance(value, str) else f"{number_text(value)} {unit}".strip()


def _factor(guess: float, measured: float) -> str:
    if guess <= 0 or measured <= 0:
        return ""
    factor = max(guess / measured, measured / guess)
    return f", a factor of {factor:.2g}" if factor >= 1.5 else ""


def _read_choice(answer: Any, choices: tuple[str, ...]) -> str:
    if answer not in choices:
        raise ValueError("Choose one of the answers first.")
    return answer


def _read_number(answer: Any, unit: str) -> float:
    text = str(answer).replace(unit, "") if unit else str(answer)
    text = re.sub(r"[,\s%]", "", text)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ValueError(f"“{answer}” is not a number: type a number such as 3 or 0.5.")
    return number


def _head(id: str) -> str:
    return f"<strong style='color:{BLUE}'>Prediction {escape(id)}</strong>"


def _check_id(id: str) -> None:
    if not re.fullmatch(r"\d+\.[a-z]", id):
        raise ValueError(f"id is {id!r}; expected lesson.letter, such as '2.a'")
