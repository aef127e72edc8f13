"""Figures that are read from the back row, without colour vision, and by a screen reader.

Nothing is styled at import: a lesson calls `use_style()` in its first cell.
"""

import html
import io
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Okabe and Ito, "Color Universal Design", 2008: told apart with every common colour blindness.
COLOURS = {
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "vermillion": "#d55e00",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "black": "#000000",
    "yellow": "#f0e442",  # last: too pale for a thin line
}
WIDTH = 8.0  # inches; a figure is shown at 96 pixels an inch, and holds twice as many
PIXELS_PER_INCH = 96
PALETTE = 256  # colours of a stored picture: a third of the bytes of full colour


def rc() -> dict[str, Any]:
    """Return the course's style as matplotlib settings."""
    from cycler import cycler

    # Blue and orange differ in lightness; the others get a pattern too, so that print without colour will do.
    lines = ["-", "-", "--", "-.", ":", "--", "-", ":"]
    return {
        "figure.figsize": (WIDTH, 4.5),
        "figure.dpi": PIXELS_PER_INCH,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "font.size": 15,
        "axes.labelsize": 16,
        "axes.titlesize": 16,
        "axes.prop_cycle": cycler(color=list(COLOURS.values()), linestyle=lines),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "lines.linewidth": 2.5,
        "lines.markersize": 8,
        "legend.frameon": False,
        "image.cmap": "cividis",  # even in lightness, made for colour blindness
        "image.interpolation": "nearest",
    }


def use_style() -> None:
    """Set the course's style for every figure of this notebook."""
    import matplotlib

    matplotlib.rcParams.update(rc())


@contextmanager
def style() -> Iterator[None]:
    """Set the course's style inside a `with` block only."""
    import matplotlib

    with matplotlib.rc_context(rc()):
        yield


class Shown:
    """A picture with its alternative text, as a cell's output."""

    def __init__(self, png: bytes, alt: str) -> None:
        self.png = png
        self.alt = alt

    def __repr__(self) -> str:
        return f"[figure: {self.alt}]"

    def _repr_html_(self) -> str:
        return image(self.png, self.alt)


def show(fig: Any, *, alt: str) -> Shown:
    """Return a matplotlib figure as a cell's output, with alternative text; the figure is closed.

    JupyterLab and static pages drop the alternative text of a picture output, hence the HTML.

    Raises:
        TypeError: `fig` is not a matplotlib Figure.
        ValueError: `alt` is empty.
    """
    return Shown(png(fig), checked_alt(alt))


def png(fig: Any) -> bytes:
    """Return a figure as a small PNG of its full size, and close it.

    Raises:
        TypeError: `fig` is not a matplotlib Figure.
    """
    from matplotlib import pyplot
    from matplotlib.figure import Figure
    from PIL import Image

    if not isinstance(fig, Figure):
        raise TypeError(f"expected a matplotlib Figure, got {type(fig).__name__}; did you forget `return fig`?")
    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=2 * PIXELS_PER_INCH, pil_kwargs={"compress_level": 1})
    pyplot.close(fig)  # else the notebook shows it a second time
    return small_png(Image.open(raw))


def small_png(picture: Any, colours: int = PALETTE) -> bytes:
    """Return a PIL picture as PNG bytes with a palette."""
    from PIL import Image

    out = io.BytesIO()
    # The median cut spends the palette on what covers most of the picture: a heat map keeps its values.
    few = picture.convert("RGB").quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(out, format="PNG", compress_level=9)
    return out.getvalue()


def size_shown(png: bytes, density: float = 2) -> tuple[int, int]:
    """Return the width and height in pixels of the page at which a picture is shown, from the PNG's header."""
    width, height = (round(int.from_bytes(png[at : at + 4], "big") / density) for at in (16, 20))
    return width, height


def image(png: bytes, alt: str, *, density: float = 2) -> str:
    """Return an HTML image that holds its picture and its alternative text; `density` is its pixels per pixel shown.

    Width and height are given, so that the page does not jump when one frame replaces another. In a dark theme,
    launcher/jupyter/custom/custom.css dims the paper of what has the class `course-figure`.
    """
    width, height = size_shown(png, density)
    text = html.escape(alt, quote=True)
    data = b64encode(png).decode("ascii")
    size = f'width="{width}" height="{height}" style="max-width:100%;height:auto"'
    return f'<img alt="{text}" class="course-figure" {size} src="data:image/png;base64,{data}">'


def checked_alt(alt: str) -> str:
    """Return the alternative text on one line.

    Raises:
        ValueError: it is empty.
    """
    alt = " ".join(str(alt).split())
    if not alt:
        raise ValueError("alt is empty; say in one sentence what the figure shows")
    return alt
