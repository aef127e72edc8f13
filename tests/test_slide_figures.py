"""What slides show is what the solutions computed."""

import base64
import json
from pathlib import Path

import pytest

from slides import figures

SLIDES = Path(__file__).parents[1] / "slides"
PICTURE = base64.b64encode(b"a picture").decode()
IMAGE = f'<img alt="a" src="data:image/png;base64,{PICTURE}">'
CELLS = [
    {"id": "fig-a", "cell_type": "code", "outputs": [{"data": {"text/html": IMAGE}}]},
    {"id": "fig-b", "cell_type": "code", "outputs": [{"data": {"image/png": PICTURE}}]},
    {"id": "out-c", "cell_type": "code", "outputs": [{"name": "stdout", "text": ["one  \n", "two\n"]}]},
    {"id": "empty", "cell_type": "code", "outputs": []},
    {"id": "words", "cell_type": "markdown"},
]  # fmt: skip
DECK = "# A\n\n![a](figures/99_fig-a.png)\n\n```text out-c\nold\n```\n"


@pytest.fixture
def house(tmp_path, monkeypatch):
    (tmp_path / "slides").mkdir()
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "99_tiny.ipynb").write_text(json.dumps({"cells": CELLS}))
    (tmp_path / "slides" / "99_tiny.md").write_text(DECK)
    monkeypatch.setattr(figures, "SLIDES", tmp_path / "slides")
    monkeypatch.setattr(figures, "SOLUTIONS", tmp_path / "solutions")
    return tmp_path


@pytest.mark.parametrize("deck", sorted(SLIDES.glob("[0-9][0-9]_*.md")), ids=lambda deck: deck.stem)
def test_the_decks_show_what_the_solutions_computed(deck):
    assert figures.refresh(deck, check=True) == []


def test_figures_and_tables_are_brought_up_to_date_once(house):
    deck = house / "slides" / "99_tiny.md"
    assert len(figures.refresh(deck, check=True)) == 2
    assert deck.read_text() == DECK and not (house / "slides" / "figures").exists()  # a check changes nothing
    assert len(figures.refresh(deck, check=False)) == 2
    assert (house / "slides" / "figures" / "99_fig-a.png").read_bytes() == b"a picture"
    assert deck.read_text() == DECK.replace("old\n", "one\ntwo\n")
    assert figures.refresh(deck, check=False) == []


def test_both_ways_of_showing_a_picture_are_read(house):
    cells = figures.outputs("99")
    assert figures.figure(cells, "fig-a") == figures.figure(cells, "fig-b") == b"a picture"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: figures.outputs("98"), "there is no solutions/98_.*; build it with: python3 course.py build 98"),
        (lambda: figures.figure(figures.outputs("99"), "fig-z"), "no code cell named 'fig-z'"),
        (lambda: figures.figure(figures.outputs("99"), "out-c"), "the cell 'out-c' shows no picture"),
        (lambda: figures.printed(figures.outputs("99"), "empty"), "the cell 'empty' prints nothing"),
        (lambda: figures.printed(figures.outputs("99"), "words"), "no code cell named 'words'"),
    ],
)
def test_what_is_missing_is_named(house, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
