"""Predictions: commit before you see, the first guess counts, and nobody is punished for not guessing."""

import importlib
import json

import pytest

from teach import live, predict, reveal

module = importlib.import_module("teach.predict")
VIEW = "application/vnd.jupyter.widget-view+json"
CHOICES = ("one scale per tensor", "one scale per channel")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    for name in ("COURSE_STATIC", "COURSE_STRICT", "NBGRADER_EXECUTION", "NBGRADER_VALIDATING"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def number():
    return predict("2.a", "How many points are lost at 4 bits?", unit="points")


def choice():
    return predict("2.b", "Which loses less at 3 bits?", choices=CHOICES)


def parts(widget):
    """The field, the button and the status line of a form."""
    flat = [part for child in widget.children for part in getattr(child, "children", (child,))]
    (button,) = (part for part in flat if type(part).__name__ == "Button")
    (field,) = (part for part in flat if type(part).__name__ in ("Text", "RadioButtons"))
    return field, button, widget.children[-1]


def test_a_number_is_committed_and_revealed_beside_the_measurement():
    field, button, said = parts(number().widget())
    field.value = "3"
    button.click()
    assert "You said 3 points." in said.value and field.disabled and button.disabled
    found = repr(reveal("2.a", 0.31))
    # 3 - 0.31 = 2.69 and 3 / 0.31 = 9.68
    assert found == "Prediction 2.a: you said 3 points, measured 0.31 points, off by 2.69 points, a factor of 9.7."


def test_a_choice_is_committed_and_revealed():
    field, button, said = parts(choice().widget())
    assert field.value is None  # nothing is chosen for the learner
    field.value = CHOICES[1]
    button.click()
    assert "You said “one scale per channel”." in said.value
    assert repr(reveal("2.b", CHOICES[1])).endswith("As you said.")
    assert repr(reveal("2.b", CHOICES[0])).endswith("Not as you said: find out why before you go on.")


def test_committing_nothing_asks_again():
    field, button, said = parts(choice().widget())
    button.click()
    assert "Choose one of the answers first." in said.value and not button.disabled
    field, button, said = parts(number().widget())
    field.value = "a lot"
    button.click()
    assert "“a lot” is not a number: type a number such as 3 or 0.5." in said.value and not field.disabled


@pytest.mark.parametrize("text, value", [("3", 3), (" 0.5 points", 0.5), ("1,000", 1000), ("-2%", -2), ("1e3", 1000)])
def test_numbers_as_people_type_them(text, value):
    asked = number()
    asked.commit(text)
    assert asked.guess == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "1 or 2", "--3"])
def test_what_is_no_number_is_not_committed(text):
    asked = number()
    with pytest.raises(ValueError, match="is not a number: type a number such as 3 or 0.5"):
        asked.commit(text)
    assert asked.guess is None and reveal("2.a", 1.0).prediction.guess is None


def test_the_first_guess_counts_also_after_a_restart():
    number().commit("3")
    again = number()
    again.commit("0.3")
    assert again.guess == number().guess == 3
    field, button, _ = parts(again.widget())
    assert field.value == "3" and field.disabled and button.disabled


def test_another_question_under_the_same_id_asks_again():
    number().commit("3")
    assert predict("2.a", "And in bytes?", unit="bytes").guess is None


def test_without_a_guess_the_measurement_is_shown_with_a_nudge():
    number()
    assert repr(reveal("2.a", 0.31)) == (
        "Prediction 2.a: measured 0.31 points. You did not commit to a guess: a measurement is worth more if you do."
    )


def test_a_page_made_to_be_read_gets_no_nudge(monkeypatch):
    number()
    monkeypatch.setenv("COURSE_STATIC", "1")
    assert repr(reveal("2.a", 0.31)) == "Prediction 2.a: measured 0.31 points."


def test_reveal_before_predict_is_no_error():
    assert repr(reveal("2.a", 0.31)).startswith("Prediction 2.a: measured 0.31.")
    assert "0.31" in reveal("2.a", 0.31)._repr_html_()


@pytest.mark.parametrize(
    "entry", ["{", [], {"choices": 3}, {"guess": "x"}, {"guess": [1]}, {"choices": ["a"], "guess": "b"}, {"unit": 4}]
)
def test_a_damaged_memory_is_no_error(home, entry):
    number()
    text = entry if isinstance(entry, str) else json.dumps({"key": "2.a", **entry} if entry else entry)
    (home / "predictions" / "2.a.json").write_text(text)
    if "choices" not in entry or entry["choices"] == 3:
        assert "measured 0.31" in repr(reveal("2.a", 0.31))
    assert number().guess is None


def test_a_guess_of_another_kind_than_the_measurement_is_not_compared():
    number().commit("3")
    assert repr(reveal("2.a", "per tensor")).startswith("Prediction 2.a: measured “per tensor”.")


@pytest.mark.parametrize(
    "guess, measured, off_by",
    [
        (3, 2.9, "0.1 points"),
        (61000, 62000, "1,000 points"),
        (4, 1, "3 points, a factor of 4"),
        (1, 4, "3 points, a factor of 4"),
        (0, 4, "4 points"),
        (-1, 4, "5 points"),
    ],
)
def test_off_by(guess, measured, off_by):
    number().commit(guess)
    assert dict(reveal("2.a", measured).parts)["off by"] == off_by


def test_the_page_without_a_form_holds_question_and_choices():
    html = choice()._repr_html_()
    assert "Which loses less at 3 bits?" in html and all(f"<li>{text}</li>" in html for text in CHOICES)
    assert "Decide before you read on." in html
    assert repr(number()).endswith("Decide before you read on (in points).")


def test_a_form_only_where_there_is_a_kernel(monkeypatch):
    assert set(number()._repr_mimebundle_()) == {"text/plain", "text/html"}
    monkeypatch.setattr(live, "has_kernel", lambda: True)
    assert set(number()._repr_mimebundle_()) == {"text/plain", "text/html", VIEW}


def test_a_folder_that_cannot_be_written_still_asks_and_says_so_on_commit(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    field, button, said = parts(number().widget())
    field.value = "3"
    button.click()
    assert "Your guess could not be saved" in said.value and not button.disabled


@pytest.mark.parametrize(
    "id, question, more, message",
    [
        ("2.1", "Why?", {}, "id is '2.1'; expected lesson.letter, such as '2.a'"),
        ("2.a", " ", {}, "prediction 2.a has no question; ask for something that a later cell measures"),
        ("2.a", "Why?", {"choices": ["a"]}, r"has the choices \['a'\]; expected at least two, all different"),
        ("2.a", "Why?", {"choices": ["a", "a"]}, "expected at least two, all different"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(id, question, more, message):
    with pytest.raises(ValueError, match=message):
        predict(id, question, **more)


def test_a_measurement_that_is_no_choice_is_refused():
    choice()
    with pytest.raises(ValueError, match="prediction 2.b: measured is 'neither', expected one of .*per tensor"):
        reveal("2.b", "neither")


# ---- a live page: the measurement waits


@pytest.fixture
def live_page(monkeypatch):
    """A kernel; returns what an output was replaced with, in order."""
    monkeypatch.setattr(live, "has_kernel", lambda: True)


def waiting(found):
    """The words and the button of a measurement that waits."""
    words, button = found.widget().children
    return words, button


def test_without_a_guess_nothing_is_revealed(live_page):
    number()
    found = reveal("2.a", 0.31)
    assert "0.31" not in repr(found) + found._repr_html_() + waiting(found)[0].value
    assert repr(found) == "Prediction 2.a. The measurement is ready. Commit to a guess above, or choose “Show me”."


def test_a_guess_reveals_it(live_page):
    asked = number()
    words, _ = waiting(reveal("2.a", 0.31))
    field, button, said = parts(asked.widget())
    field.value = "3"
    button.click()
    assert "0.31 points" in words.value and "3 points" in words.value
    assert "afterwards" not in said.value and not asked.late


def test_show_me_reveals_it_and_a_rerun_remembers(live_page):
    number()
    words, button = waiting(reveal("2.a", 0.31))
    button.click()
    assert "0.31 points" in words.value
    assert "measured 0.31 points" in repr(reveal("2.a", 0.31))  # it does not wait again
    number()  # the question's cell run again forgets nothing
    assert "measured 0.31 points" in repr(reveal("2.a", 0.31))


def test_a_guess_after_show_me_is_marked_for_good(live_page):
    asked = number()
    waiting(reveal("2.a", 0.31))[1].click()
    asked.commit("0.3")
    assert asked.said == "You said 0.3 points, guessed after the measurement was shown."
    assert number().said == asked.said
    assert repr(reveal("2.a", 0.31)).endswith("off by 0.01 points. Guessed after the measurement was shown.")


def test_a_guess_after_a_measurement_seen_elsewhere_is_marked_too():
    asked = number()
    reveal("2.a", 0.31)  # no kernel: shown at once
    asked.commit("0.3")
    assert asked.late


def test_a_new_question_may_be_guessed_afresh(live_page):
    number()
    waiting(reveal("2.a", 0.31))[1].click()
    other = predict("2.a", "And in bytes?", unit="bytes")
    assert "0.31" not in repr(reveal("2.a", 0.31)) and not other.shown


@pytest.mark.parametrize("name", ["COURSE_STRICT", "NBGRADER_EXECUTION"])
def test_where_answers_are_judged_nothing_waits_and_nothing_is_kept(live_page, name, monkeypatch):
    number()
    monkeypatch.setenv(name, "1")
    assert "measured 0.31 points" in repr(reveal("2.a", 0.31))
    monkeypatch.delenv(name)
    assert "0.31" not in repr(reveal("2.a", 0.31))


def test_a_folder_that_cannot_be_written_still_shows(live_page, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    words, button = waiting(reveal("2.a", 0.31))
    button.click()
    assert "0.31" in words.value


class Picture:
    """A cell's output, as `show` returns it."""

    def __repr__(self):
        return "[figure: a curve]"

    def _repr_html_(self):
        return "<img alt='a curve'>"


@pytest.mark.parametrize(
    "then, plain, html",
    [("8 & 4\n2", "\n8 & 4\n2", "<pre>8 &amp; 4\n2</pre>"), (Picture(), "a curve]", "alt='a curve'>")],
)
def test_what_gives_the_answer_away_waits_too(live_page, then, plain, html):
    asked = number()
    found = reveal("2.a", 0.31, then=then)
    words, _ = waiting(found)
    assert plain not in repr(found) and html not in words.value
    asked.commit("3")
    assert words.value.endswith(html)
    assert repr(reveal("2.a", 0.31, then=then)).endswith(plain)
    assert reveal("2.a", 0.31, then=then)._repr_html_().endswith(html)


def test_what_cannot_be_shown_afterwards_is_refused():
    with pytest.raises(TypeError, match="then is a int, expected a text, or a figure such as show"):
        reveal("2.a", 0.31, then=3)
