"""Figures: alternative text that reaches the reader, small pictures, a style that is asked for."""

import io
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy
import pytest
from matplotlib import pyplot
from PIL import Image

from teach import figures, show

matplotlib.use("Agg")


def chart(width=8.0, height=4.5):
    fig, ax = pyplot.subplots(figsize=(width, height))
    for k in range(4):
        ax.plot([x / 50 for x in range(100)], [(x / 50 - k) ** 2 for x in range(100)], label=f"line {k}")
    ax.set_xlabel("time (ms)")
    ax.legend()
    return fig


def picture_of(html):
    """The picture and the size that an HTML image holds."""
    import base64

    width, height, data = re.search(r'width="(\d+)" height="(\d+)".*base64,([^"]+)"', html).groups()
    return Image.open(io.BytesIO(base64.b64decode(data))), (int(width), int(height))


def test_the_alternative_text_is_in_the_page_and_in_plain_text():
    shown = show(chart(), alt='Error under "min-max" is < 1 %')
    assert '<img alt="Error under &quot;min-max&quot; is &lt; 1 %"' in shown._repr_html_()
    assert repr(shown) == '[figure: Error under "min-max" is < 1 %]'


def test_a_dark_theme_finds_every_figure_by_its_class():
    css = (Path(__file__).parents[2] / "launcher" / "jupyter" / "custom" / "custom.css").read_text()
    assert 'class="course-figure"' in show(chart(), alt="a")._repr_html_()
    assert 'body[data-jp-theme-light="false"] :is(img.course-figure, .jp-RenderedImage img)' in css


def test_a_picture_holds_two_pixels_for_each_that_is_shown():
    picture, shown_at = picture_of(show(chart(), alt="a")._repr_html_())
    assert shown_at == (8 * 96, 4.5 * 96) and picture.size == (2 * 8 * 96, 2 * 4.5 * 96)


def test_a_chart_is_small_and_closed():
    fig = chart()
    assert len(show(fig, alt="a").png) < 80_000  # so that ten of them stay under a megabyte
    assert fig.number not in pyplot.get_fignums()


def test_the_palette_keeps_the_courses_colours():
    fig = pyplot.figure(figsize=(2, 2))
    for n, colour in enumerate(figures.COLOURS.values()):
        fig.patches.append(pyplot.Rectangle((n / 8, 0), 1 / 8, 1, color=colour, transform=fig.transFigure, lw=0))
    picture = Image.open(io.BytesIO(figures.png(fig))).convert("RGB")
    middle = [picture.getpixel((int((n + 0.5) * picture.width / 8), 100)) for n in range(8)]
    wanted = [tuple(int(c[at : at + 2], 16) for at in (1, 3, 5)) for c in figures.COLOURS.values()]
    assert middle == wanted  # eight flat colours fit in a palette of 256


def test_the_palette_keeps_the_values_of_a_heat_map():
    fig, ax = pyplot.subplots(figsize=(4, 4))
    ax.imshow([[10 * row + column for column in range(10)] for row in range(10)], cmap="cividis")
    raw = io.BytesIO()
    fig.savefig(raw, dpi=2 * figures.PIXELS_PER_INCH)
    full = numpy.asarray(Image.open(raw).convert("RGB")).astype(int)
    kept = numpy.asarray(Image.open(io.BytesIO(figures.png(fig))).convert("RGB")).astype(int)
    # cividis runs through 255 - 0 levels of blue and yellow: 1 of 100 values is about 2.5 levels.
    assert abs(full - kept).max(axis=2).mean() < 1


def test_the_style_holds_inside_its_block_only():
    before = matplotlib.rcParams["font.size"]
    with figures.style():
        assert matplotlib.rcParams["font.size"] == 15
    assert matplotlib.rcParams["font.size"] == before
    with matplotlib.rc_context():
        figures.use_style()
        assert matplotlib.rcParams["font.size"] == 15


def test_lines_differ_by_more_than_colour_from_the_third_on():
    looks = [(c["linestyle"]) for c in figures.rc()["axes.prop_cycle"]]
    assert looks[0] == looks[1] == "-" and len(set(looks[1:5])) == 4


def test_nothing_is_styled_or_imported_at_import():
    code = "import sys, teach; sys.exit(any(m in sys.modules for m in ('matplotlib', 'ipywidgets', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="alt is empty; say in one sentence what the figure shows"):
        show(chart(), alt="  \n ")
    with pytest.raises(TypeError, match="expected a matplotlib Figure, got NoneType; did you forget `return fig`?"):
        show(None, alt="a")
