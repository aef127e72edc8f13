"""hold: what is printed waits for the guess, and is never lost."""

import importlib

import pytest

from teach import hold, live, predict, reveal

module = importlib.import_module("teach.hold")


@pytest.fixture(autouse=True)
def outputs(tmp_path, monkeypatch):
    """A live page; returns the texts that the held outputs came to show."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    for name in ("COURSE_STATIC", "COURSE_STRICT", "NBGRADER_EXECUTION", "NBGRADER_VALIDATING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(live, "has_kernel", lambda: True)
    shown = []
    monkeypatch.setattr(module.Held, "display", lambda self: setattr(self, "_handle", Handle(shown)))
    return shown


class Handle:
    """What IPython gives for a displayed output."""

    def __init__(self, shown):
        self.shown = shown

    def update(self, data, raw):
        self.shown.append(data["text/plain"])


def table():
    with hold("2.a"):
        print("4 bits: 87% & more")


def test_a_table_waits_for_the_guess(outputs, capsys):
    asked = predict("2.a", "How many?", unit="points")
    table()
    assert capsys.readouterr().out == "" and outputs == []
    asked.commit("3")
    assert outputs == ["4 bits: 87% & more\n"]
    table()  # run again: there is a guess now
    assert capsys.readouterr().out == "4 bits: 87% & more\n"


def test_show_me_shows_it_too(outputs):
    predict("2.a", "How many?", unit="points")
    table()
    reveal("2.a", 31).widget().children[1].click()
    assert len(outputs) == 1


@pytest.mark.parametrize("name", ["COURSE_STRICT", "NBGRADER_EXECUTION"])
def test_where_nothing_waits_it_is_printed(outputs, capsys, name, monkeypatch):
    monkeypatch.setenv(name, "1")
    table()
    assert capsys.readouterr().out == "4 bits: 87% & more\n"


def test_without_a_kernel_it_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(live, "has_kernel", lambda: False)
    table()
    assert capsys.readouterr().out == "4 bits: 87% & more\n"


def test_an_error_shows_what_came_before_it(capsys):
    with pytest.raises(ZeroDivisionError), hold("2.a"):
        print("before")
        1 / 0  # noqa: B018
    assert capsys.readouterr().out == "before\n"


def test_an_id_that_is_none_is_refused():
    with pytest.raises(ValueError, match="id is '2.1'; expected lesson.letter, such as '2.a'"), hold("2.1"):
        pass
