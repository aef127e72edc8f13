"""explore(draw, alt=..., labels=..., bits=(2, 4, 8)): a figure to be moved, and complete without moving it.

Every frame is drawn once, when the cell runs. Live, the browser holds them all, and its sliders swap them without
asking the kernel (widgets/explore.js); the same output holds a contact sheet of them for paper, static pages and
notebooks without a kernel.
"""

import inspect
import io
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache as once
from pathlib import Path
from typing import Any

from teach import figures
from teach.live import bundle, has_kernel
from teach.words import value

MOST_FRAMES = 48  # about 10 s of drawing, and 2 MB sent to the browser
SHEET_WIDTH = 1440  # pixels, a compromise between sharp print and the size of the notebook
SHEET_SHOWN = 900  # pixels of the page
SHEET_PALETTE = 128  # colours
GAP = 10  # pixels between the pictures of the sheet


class Explorable:
    """Frames by their values: `frames[(2, "minmax")]` is a PNG, `alts` its alternative text.

    `values` has the values of each slider under its label: words, with the unit.
    """

    def __init__(self, values: dict[str, tuple[Any, ...]], frames: dict[tuple, bytes], alts: dict[tuple, str]) -> None:
        self.values = values
        self.frames = frames
        self.alts = alts

    def __repr__(self) -> str:
        return f"[{self.alt}]"

    @property
    def alt(self) -> str:
        """What the contact sheet shows, in words."""
        ranges = "; ".join(f"{name} = {', '.join(map(_in_words, values))}" for name, values in self.values.items())
        texts = list(dict.fromkeys(self.alts.values()))
        if len(texts) > 1:
            texts = [f"{self.label(at)}: {text}" for at, text in self.alts.items()]
        return f"{len(self.frames)} figures for {ranges}. {' '.join(texts)}"

    def label(self, at: tuple) -> str:
        """Return the values of one frame in words: "bits = 4, observer = minmax"."""
        return ", ".join(f"{name} = {_in_words(item)}" for name, item in zip(self.values, at))

    def text(self, at: tuple) -> str:
        """Return the alternative text of one frame; it begins with its values."""
        return f"{self.label(at)}. {self.alts[at]}"

    def widget(self) -> Any:
        """Build the live form: a slider for each name, and the frame that they choose."""
        sliders = [{"label": label, "options": [*map(_in_words, values)]} for label, values in self.values.items()]
        drawn = {
            "frames": [*self.frames.values()],
            "texts": [*map(self.text, self.frames)],
            "sizes": [figures.size_shown(png) for png in self.frames.values()],
        }
        return _widget_class()(sliders=sliders, drawn=drawn, at=[0] * len(sliders))

    def contact_sheet(self) -> bytes:
        """Return all frames in one PNG, each under its values; the last name runs along the rows."""
        return _contact_sheet([(self.label(at), png) for at, png in self.frames.items()], self._columns())

    def static_html(self) -> str:
        """Return the contact sheet as an HTML image."""
        return figures.image(self.contact_sheet(), self.alt, density=SHEET_WIDTH / SHEET_SHOWN)

    def _columns(self) -> int:
        along = len(list(self.values.values())[-1])
        if len(self.values) > 1 and along <= 4:
            return along
        return 2 if len(self.frames) <= 6 else 3  # with two, the text of a frame stays readable

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        static = {"text/plain": repr(self), "text/html": self.static_html()}
        return bundle(static, self.widget)


def explore(
    draw: Callable[..., Any],
    *,
    alt: str | Callable[..., str],
    labels: Mapping[str, str] | None = None,
    **values: Iterable[Any],
) -> Explorable:
    """Draw one frame for every combination of the values, and return them as a cell's output.

    `draw(**values)` returns a new matplotlib Figure and touches nothing else. `alt` says what the figure
    shows: one text, or a function of the same values. `labels` has words, with the unit, for a name that does not say
    what it is, as in `labels={"bits": "bits per weight"}`; any other slider is labelled with its name.

    Raises:
        TypeError: `draw` does not take these names, or does not return a Figure.
        ValueError: no values, none for a name, or more than 48 frames; an empty `alt`; labels that are empty, the same
            twice, or of no slider.
    """
    choices = {name: _several(name, given) for name, given in values.items()}
    _check_names(draw, choices)
    words = _labels(choices, labels or {})
    count = math.prod(len(given) for given in choices.values())
    if count > MOST_FRAMES:
        sizes = " x ".join(str(len(given)) for given in choices.values())
        raise ValueError(
            f"explore would draw {sizes} = {count} frames, expected at most {MOST_FRAMES}; give fewer values"
        )
    frames, alts = {}, {}
    for at in _with_bar(list(itertools.product(*choices.values()))):
        named = dict(zip(choices, at))
        alts[at] = figures.checked_alt(alt(**named) if callable(alt) else alt)
        with figures.style():
            frames[at] = figures.png(draw(**named))
    return Explorable({words[name]: given for name, given in choices.items()}, frames, alts)


def _with_bar(frames: list[tuple]) -> Iterable[tuple]:
    """The frames, with a progress bar in a notebook where drawing them takes more than two seconds."""
    from tqdm.auto import tqdm

    return tqdm(frames, desc="drawing", unit="frame", delay=2, leave=False, disable=not has_kernel())


def _in_words(item: Any) -> str:
    return item if isinstance(item, str) else value(item)


def _several(name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be several values, got {given!r}; expected such as {name}=(2, 4, 8)")
    several = tuple(given)
    if not several:
        raise ValueError(f"{name} has no values; expected at least one, such as {name}=(2, 4, 8)")
    return several


def _check_names(draw: Callable[..., Any], choices: dict[str, Any]) -> None:
    if not choices:
        raise ValueError("there is nothing to explore; give the values of at least one name, such as bits=(2, 4, 8)")
    try:
        inspect.signature(draw).bind(**choices)
    except TypeError as error:
        names = ", ".join(choices)
        raise TypeError(f"draw cannot be called with {names}: {error}; use the names of its arguments") from None


def _labels(choices: dict[str, Any], labels: Mapping[str, str]) -> dict[str, str]:
    words = {name: name.replace("_", " ") for name in choices}
    for name, label in labels.items():
        if name not in choices:
            raise ValueError(f"labels has {name!r}, expected a name that has values: {', '.join(choices)}")
        words[name] = " ".join(str(label).split())
    if not all(words.values()) or len({*words.values()}) < len(words):
        raise ValueError(f"labels are {[*words.values()]}; give each slider its own label, such as 'bits per weight'")
    return words


@once
def _widget_class() -> type:
    """The anywidget class; made at the first use, since a page without a kernel needs none."""
    import anywidget
    import traitlets

    beside = Path(__file__).parent / "widgets"

    class ExploreWidget(anywidget.AnyWidget):
        _esm = (beside / "explore.js").read_text(encoding="utf-8")
        _css = (beside / "explore.css").read_text(encoding="utf-8")
        sliders = traitlets.List().tag(sync=True)
        drawn = traitlets.Dict().tag(sync=True)
        at = traitlets.List().tag(sync=True)

    return ExploreWidget


def _contact_sheet(pictures: list[tuple[str, bytes]], columns: int) -> bytes:
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    columns = min(columns, len(pictures))
    width = (SHEET_WIDTH - GAP * (columns - 1)) // columns
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans-Bold.ttf", 24)
    opened = [
        (_in_lines(label, font, width - 12), Image.open(io.BytesIO(png)).convert("RGB")) for label, png in pictures
    ]
    small = [(label, picture.resize((width, picture.height * width // picture.width))) for label, picture in opened]
    room = 38 + 32 * max(label.count("\n") for label, _ in small)  # the height of a label
    height = max(picture.height for _, picture in small) + room + GAP
    sheet = Image.new("RGB", (SHEET_WIDTH, height * math.ceil(len(small) / columns)), "white")
    pen = ImageDraw.Draw(sheet)
    for position, (label, picture) in enumerate(small):
        left, top = (position % columns) * (width + GAP), (position // columns) * height
        pen.text((left + 6, top + 6), label, fill="black", font=font)
        sheet.paste(picture, (left, top + room))
    return figures.small_png(sheet, SHEET_PALETTE)


def _in_lines(label: str, font: Any, width: int) -> str:
    """Return a label with a line break after a value where it would run into the next picture."""
    lines = [""]
    for part in label.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and font.getlength(longer) > width:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines)
