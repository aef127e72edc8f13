"""calculator(model=..., device=...): what a workload costs on a device, to be moved, and complete without moving it.

Live, each control changes the answer at once: Python computes it and draws it as SVG, the browser only shows it
(calculator.js). The same output holds a sheet of a few telling settings for paper and for notebooks without a kernel.
"""

from base64 import b64encode
from dataclasses import replace
from functools import cache as once
from html import escape
from json import dumps
from pathlib import Path
from typing import Any

from teach.live import bundle
from teach.widgets.calculator_numbers import CHOICES, PanelNumbers, Setting, numbers
from teach.widgets.calculator_picture import draw
from teach.widgets.calculator_words import (
    COLUMNS,
    LABELS,
    alt,
    cells,
    change,
    engine,
    option,
    rent,
    sentence,
    with_remedies,
)

SLIDERS = ("devices", "batch", "prompt", "output")  # the others are chosen from a list
# what the static form changes: so many times as much, or the last of the choices (None)
SHEET = (("batch", 32), ("weights", None), ("prompt", 16), ("generation", None))


class Calculator:
    """A cell's output: it answers to its controls where there is a kernel, and compares settings where there is not."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.choices = {name: _with(getattr(setting, name), values) for name, values in CHOICES.items()}
        if setting.efficiency is not None:  # an engine of one's own has no other generation
            del self.choices["generation"]

    def __repr__(self) -> str:
        return f"[{with_remedies(numbers(self.setting))}]"

    @property
    def controls(self) -> list[dict[str, Any]]:
        """What the browser needs to make the controls: names, labels, options, positions."""
        return [
            {
                "name": name,
                "label": LABELS[name],
                "slider": name in SLIDERS,
                "options": [option(name, value) for value in values],
                "at": values.index(getattr(self.setting, name)),
            }
            for name, values in self.choices.items()
        ]

    def answer(self, at: dict[str, int]) -> dict[str, str]:
        """Return what the panel shows for the positions `at` of the controls, as HTML."""
        shown = numbers(replace(self.setting, **{name: self.choices[name][position] for name, position in at.items()}))
        helps = "".join(
            f"<button type='button' data-at='{dumps(self._positions(changes))}'>{escape(change(changes))}</button>"
            for changes in shown.remedies
        )
        picture = draw([shown]).replace("<svg ", f"<svg role='img' aria-label='{escape(alt(shown), quote=True)}' ", 1)
        return {
            "sentence": sentence(shown),
            "remedies": helps,
            "numbers": table([shown], [""]),
            "engine": escape(engine(shown)),
            "rent": escape(rent(shown)),
            "picture": picture,
        }

    def _positions(self, changes: dict[str, Any]) -> dict[str, int]:
        return {name: self.choices[name].index(value) for name, value in changes.items()}

    def sheet(self) -> dict[str, PanelNumbers]:
        """The setting as given and a few others, each with one change, by what they are called."""
        settings = {"as given": self.setting}
        for name, times in SHEET:
            if name not in self.choices:
                continue
            now = getattr(self.setting, name)
            value = next(other for other in reversed(CHOICES[name]) if other != now) if times is None else now * times
            settings[change({name: value})] = replace(self.setting, **{name: value})
        return {words: numbers(setting) for words, setting in settings.items()}

    def static_html(self) -> str:
        """Return the sheet: a table of its settings, and one picture of them all."""
        sheet, letters = self.sheet(), "ABCDE"
        names = [f"{letter} {words}" for letter, words in zip(letters, sheet)]
        said = " ".join(f"{name}: {alt(shown)}" for name, shown in zip(names, sheet.values()))
        source = "data:image/svg+xml;base64," + b64encode(draw(list(sheet.values()), letters).encode()).decode("ascii")
        first = next(iter(sheet.values()))
        return (
            f"<p>{escape(with_remedies(first))}</p>{table(list(sheet.values()), names)}"
            f'<img alt="{escape(said, quote=True)}" class="course-figure" '
            f'style="max-width:100%;height:auto" src="{source}">'
            f"<p>{escape(f'{rent(first)} {engine(first)}'.strip())}</p>"
        )

    def widget(self) -> Any:
        """Build the live form; its trait `at` holds the positions of the controls."""
        made = _widget_class()(controls=self.controls, answer=self.answer({}))
        made.observe(lambda moved: made.set_trait("answer", self.answer(moved.new)), names="at")
        return made

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle({"text/plain": repr(self), "text/html": self.static_html()}, self.widget)


def calculator(**controls: Any) -> Calculator:
    """Show what a workload costs, how fast it is and what it needs on a device, as a cell's output.

    `controls` are the positions to begin with: `model`, `device` (names, or your own), `devices`, `batch`, `prompt`,
    `output`, `weights`, `kv_bits`, and the `generation` of the device's usual engine (2023 or 2025). An `efficiency` is
    that of another engine: its panel has no switch for the generation.

    Raises:
        TypeError, ValueError: a name or a number that the calculator does not take; says what to use.

    >>> calculator(model="Llama-3-8B", device="H100-SXM").setting
    Traceback (most recent call last):
    ValueError: no device is called 'H100-SXM'; the nearest are H100-SXM-80GB, A100-SXM-80GB, H200-SXM-141GB
    """
    return Calculator(Setting(**controls))


def table(several: list[PanelNumbers], names: list[str]) -> str:
    """Return a row of numbers for each setting, as HTML."""
    head = "".join(f"<th scope='col'>{words}</th>" for words in ["setting"] * any(names) + list(COLUMNS))
    rows = []
    for shown, name in zip(several, names):
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells(shown))
        rows.append(f"<tr>{f'<th scope=row>{escape(name)}</th>' if name else ''}{row}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _with(given: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a control, and the one that it begins with where it is not among them."""
    if given in values:
        return values
    return tuple(sorted((*values, given))) if isinstance(given, int) else (given, *values)


@once
def _widget_class() -> type:
    """The anywidget class; made at the first use, since a page without a kernel needs none."""
    import anywidget
    import traitlets

    class CalculatorWidget(anywidget.AnyWidget):
        _esm = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
        _css = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
        controls = traitlets.List().tag(sync=True)
        at = traitlets.Dict().tag(sync=True)
        answer = traitlets.Dict().tag(sync=True)

    return CalculatorWidget
