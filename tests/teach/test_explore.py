"""explore: every frame once, sliders where there is a kernel, the whole sheet where there is none."""

import importlib
import io

import matplotlib
import pytest
from matplotlib import pyplot
from PIL import Image

from teach import explore, figures, live

matplotlib.use("Agg")
VIEW = "application/vnd.jupyter.widget-view+json"


def draw(bits, shade="blue"):
    """A figure that is one colour: grey by its bits, or a colour by its name."""
    fig = pyplot.figure(figsize=(2, 1))
    fig.set_facecolor(figures.COLOURS[shade] if shade != "blue" else str(bits / 10))
    return fig


@pytest.fixture(scope="module")
def two_names():
    return explore(draw, alt=lambda bits, shade: f"{shade} at {bits}", bits=(2, 4), shade=("green", "black", "orange"))


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(live, "has_kernel", lambda: True)


def test_every_combination_is_drawn_once_and_closed():
    calls = []

    def counted(**values):
        calls.append(tuple(values.values()))
        return draw(**values)

    explore(counted, alt="a", bits=(2, 4), shade=("blue", "green"))
    assert calls == [(2, "blue"), (2, "green"), (4, "blue"), (4, "green")]
    assert pyplot.get_fignums() == []


def test_the_browser_gets_every_frame_with_its_words_in_the_order_of_the_sliders(two_names):
    widget = two_names.widget()
    assert widget.sliders == [
        {"label": "bits", "options": ["2", "4"]},
        {"label": "shade", "options": ["green", "black", "orange"]},
    ]
    assert widget.at == [0, 0]
    # The last slider runs fastest: bits at its second, shade at its third position are frame 1 * 3 + 2.
    assert widget.drawn["texts"][5] == "bits = 4, shade = orange. orange at 4"
    assert widget.drawn["frames"][5] == two_names.frames[(4, "orange")] != widget.drawn["frames"][4]
    assert widget.drawn["sizes"] == [(2 * 96, 96)] * 6  # inches at 96 pixels each


def test_a_label_in_words_with_its_unit_stands_wherever_the_name_would():
    explored = explore(draw, alt="A grey.", labels={"bits": "bits per weight"}, bits=(2, 4))
    assert explored.widget().sliders == [{"label": "bits per weight", "options": ["2", "4"]}]
    assert explored.widget().drawn["texts"][1] == "bits per weight = 4. A grey."
    assert explored.alt == "2 figures for bits per weight = 2, 4. A grey."
    assert explored.label((4,)) == "bits per weight = 4"  # on the contact sheet


def test_a_name_of_several_words_is_shown_as_words():
    assert [*explore(lambda runs_taken: draw(2), alt="a", runs_taken=(1, 5)).values] == ["runs taken"]


@pytest.mark.parametrize(
    "labels, message",
    [
        ({"bit": "bits per weight"}, "labels has 'bit', expected a name that has values: bits, shade"),
        ({"bits": " "}, r"labels are \['', 'shade'\]; give each slider its own label"),
        ({"bits": "shade"}, r"labels are \['shade', 'shade'\]; give each slider its own label"),
    ],
)
def test_a_label_that_names_no_slider_or_not_one_alone_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        explore(draw, alt="a", labels=labels, bits=(2,), shade=("blue",))


def test_the_contact_sheet_holds_every_frame_in_reading_order():
    explored = explore(draw, alt="a grey", bits=(1, 3, 5, 7))
    sheet = Image.open(io.BytesIO(explored.contact_sheet())).convert("L")
    assert sheet.width == 1440
    # Two columns: the middle of each quarter, below the labels, has the grey of its frame.
    seen = [sheet.getpixel((x, y)) for y in (sheet.height * 0.3, sheet.height * 0.8) for x in (360, 1080)]
    assert seen == pytest.approx([255 * bits / 10 for bits in (1, 3, 5, 7)], abs=1)  # a grey is one of 256


def test_two_names_make_a_table_with_the_last_along_the_rows(two_names):
    sheet = Image.open(io.BytesIO(two_names.contact_sheet())).convert("RGB")
    row = [sheet.getpixel((x, sheet.height * 0.3)) for x in (240, 720, 1200)]
    green, black, orange = row
    assert green[1] > max(green[0], green[2]) and max(black) < 10 and orange[0] > orange[1] > orange[2]


def test_a_label_does_not_run_into_the_next_picture():
    long = ["a" * 12, "b" * 12]
    explored = explore(lambda **_: draw(2), alt="grey", operation=long, probability=[0.25, 0.75], magnitude=[3, 6, 9])
    sheet = Image.open(io.BytesIO(explored.contact_sheet())).convert("L")
    width = (1440 - 2 * 10) // 3  # three columns, with a gap of 10 between them
    gaps = [sheet.crop((left - 10, 0, left, sheet.height)) for left in (width + 10, 2 * (width + 10))]
    assert [gap.getextrema() for gap in gaps] == [(255, 255)] * 2  # white from top to bottom: no letter crosses


def test_the_sheets_alternative_text_tells_every_value(two_names):
    assert two_names.alt.startswith("6 figures for bits = 2, 4; shade = green, black, orange. ")
    assert "bits = 4, shade = orange: orange at 4" in two_names.alt
    assert explore(draw, alt="A grey.", bits=(2, 4)).alt == "2 figures for bits = 2, 4. A grey."


def test_without_a_kernel_the_output_is_complete_and_static(two_names):
    bundle = two_names._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"].startswith("[6 figures for bits = 2, 4")
    assert bundle["text/html"].startswith('<img alt="6 figures for bits = 2, 4')


def test_with_a_kernel_both_forms_lie_in_one_output(two_names, kernel):
    bundle = two_names._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", VIEW}
    assert bundle["text/plain"].startswith("[6 figures")


def test_a_built_page_is_static_even_in_a_kernel(monkeypatch):
    monkeypatch.setenv("COURSE_STATIC", "1")
    assert live.is_static() and not live.has_kernel()


def test_a_sheet_of_charts_is_small():
    def chart(bits):
        fig, ax = pyplot.subplots()
        ax.plot([x / 99 for x in range(100)], [round(x / 99 * 2**bits) / 2**bits for x in range(100)])
        ax.set_xlabel("weight")
        return fig

    explored = explore(chart, alt="A staircase.", bits=(2, 3, 4, 8))
    assert len(explored.contact_sheet()) < 80_000  # three of them in a notebook stay below a third of a megabyte


@pytest.mark.parametrize(
    "values, error, message",
    [
        (dict(), ValueError, "there is nothing to explore; give the values of at least one name"),
        (dict(bits=()), ValueError, r"bits has no values; expected at least one, such as bits=\(2, 4, 8\)"),
        (dict(bits=4), TypeError, r"bits must be several values, got 4; expected such as bits=\(2, 4, 8\)"),
        (dict(shade="blue"), TypeError, "shade must be several values, got 'blue'"),
        (dict(bit=(2, 4)), TypeError, "draw cannot be called with bit: .*; use the names of its arguments"),
        (
            dict(bits=range(7), shade=["blue"] * 7),
            ValueError,
            "explore would draw 7 x 7 = 49 frames, expected at most 48; give fewer values",
        ),
    ],
)
def test_what_cannot_be_explored_is_refused(values, error, message):
    with pytest.raises(error, match=message):
        explore(draw, alt="a", **values)


def test_a_drawing_that_returns_no_figure_is_refused():
    with pytest.raises(TypeError, match="expected a matplotlib Figure, got NoneType; did you forget `return fig`?"):
        explore(lambda bits: None, alt="a", bits=(2,))
    with pytest.raises(ValueError, match="alt is empty"):
        explore(draw, alt=lambda bits: "", bits=(2,))


def test_the_course_style_holds_while_drawing():
    module = importlib.import_module("teach.explore")
    seen = []

    def drawn(bits):
        seen.append(matplotlib.rcParams["font.size"])
        return draw(bits)

    module.explore(drawn, alt="a", bits=(1,))
    assert seen == [15]
