"""check: three states and no exception, unless strictness is asked for; and nothing forgotten."""

import importlib
import re

import pytest
from sample_exercises import SCALE, symmetric_scale

import teach as teach
from teach import store

module = importlib.import_module("teach.check")


@pytest.fixture(autouse=True)
def one_exercise(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_exercise", lambda id: SCALE)
    monkeypatch.setattr(module, "exercises_of", lambda lesson: [SCALE])
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    for name in ("COURSE_STRICT", "NBGRADER_EXECUTION", "NBGRADER_VALIDATING"):
        monkeypatch.delenv(name, raising=False)


def check_in(namespace):
    """What a check cell says in a notebook with these names."""
    namespace = {"check": teach.check, **namespace}
    return eval("check('2.1')", namespace)


def right(w, bits):
    return max(abs(x) for x in w.tolist()) / (2 ** (bits - 1) - 1)


def wrong(w, bits):
    return w.max() / (2 ** (bits - 1) - 1)


def stub(w, bits):
    raise NotImplementedError


def test_the_function_is_found_by_name_in_the_notebook():
    assert check_in({"symmetric_scale": right}).state == "passed"
    assert check_in({"symmetric_scale": wrong}).state == "not yet"
    assert check_in({"symmetric_scale": stub}).state == "not attempted"


def test_a_cell_that_was_not_run_is_said_quietly():
    assert "run the exercise's cell first" in check_in({}).text


def defined(source):
    """The names of a notebook in which this was run."""
    names = {"check": teach.check}
    exec(source, names)
    return names


@pytest.mark.parametrize(
    "source, meant",
    [
        ("def symetric_scale(w): return 1", "symetric_scale"),
        ("def my_answer(w, bits): return 1", "my_answer"),
        ("scale_of = lambda w, bits: 1", "scale_of"),
        ("def one(w, bits): return 1\ndef two(w, bits): return 1", ""),
        ("def other(w): return 1", ""),
    ],
)
def test_a_function_under_another_name_is_told_the_name_that_is_wanted(source, meant):
    found = eval("check('2.1')", defined(source))
    assert found.state == "not attempted"
    wanted = f"If you mean `{meant}`, rename it to `symmetric_scale`." if meant else "run the exercise's cell first"
    assert wanted in found.text


def test_another_function_bound_to_the_name_is_run_and_named():
    found = eval("check('2.1')", defined("def other(w, bits): return w.max()\nsymmetric_scale = other"))
    assert "The function that was run is `other`." in found.text
    found = eval("check('2.1')", defined("def other(w): return w.max()\nsymmetric_scale = other"))
    assert "`other([-1.0, 0.5], bits=2)` raised TypeError" in found.text


def test_the_librarys_own_function_under_that_name_is_no_attempt():
    assert check_in({"symmetric_scale": symmetric_scale}).state == "not attempted"


def test_a_function_can_be_given():
    assert teach.check("2.1", right).state == "passed"
    assert teach.check("2.1", symmetric_scale).state == "not yet"


def test_check_prints_nothing(capsys):
    check_in({"symmetric_scale": wrong})
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("namespace", [{}, {"symmetric_scale": stub}, {"symmetric_scale": wrong}])
def test_strictness_turns_a_pending_or_wrong_answer_into_an_error(namespace, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(module.NotPassed, match="2.1 not"):
        check_in(namespace)


@pytest.mark.parametrize("name, value", [("NBGRADER_EXECUTION", "autograde"), ("NBGRADER_VALIDATING", "1")])
def test_nbgrader_gets_an_error_or_it_would_give_the_points(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(module.NotPassed, match="2.1 not yet"):
        check_in({"symmetric_scale": wrong})
    assert check_in({"symmetric_scale": right}).state == "passed"


def test_strictness_lets_a_right_answer_pass(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    assert check_in({"symmetric_scale": right}).state == "passed"


def test_what_was_passed_is_remembered_and_a_later_slip_does_not_undo_it():
    check_in({"symmetric_scale": stub})
    assert store.load_all("exercises-passed") == store.load_all("exercises-tried") == []
    check_in({"symmetric_scale": right})
    check_in({"symmetric_scale": wrong})
    assert [entry["key"] for entry in store.load_all("exercises-passed")] == ["2.1"]
    assert [entry["key"] for entry in store.load_all("exercises-tried")] == ["2.1"]


def test_a_folder_that_cannot_be_written_is_mentioned_and_no_more(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    found = check_in({"symmetric_scale": right})
    assert found.state == "passed" and "Your progress could not be saved" in found.text


def endless(w, bits):
    while True:
        bits += 1


def interrupted(w, bits):
    raise KeyboardInterrupt


def test_an_endless_loop_is_told_so_with_its_call_and_line(monkeypatch):
    monkeypatch.setattr(module, "LIMIT_S", 0.2)
    found = check_in({"symmetric_scale": endless})
    assert found.state == "not yet"
    # worked by hand: the first case of the exercise, and the body of the loop above
    assert found.says == "At `symmetric_scale([-1.0, 0.5], bits=2)`: it did not finish within 0.2 s."
    line = endless.__code__.co_firstlineno + 1
    assert any(f"It stopped in line {line + more} of your cell: `" in found.example for more in (0, 1))
    assert [entry["key"] for entry in store.load_all("exercises-tried")] == ["2.1"]


def test_an_endless_loop_fails_where_it_must(monkeypatch):
    monkeypatch.setattr(module, "LIMIT_S", 0.2)
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(module.NotPassed, match="did not finish"):
        check_in({"symmetric_scale": endless})


def test_an_interrupt_is_one_quiet_line_and_nothing_is_recorded():
    found = check_in({"symmetric_scale": interrupted})
    assert found.state == "not judged"
    assert found.says == "Stopped before `symmetric_scale` was judged."
    assert "`raise KeyboardInterrupt`" in found.example
    assert store.load_all("exercises-tried") == []


def test_a_live_page_watches_the_cell_and_a_static_one_does_not(monkeypatch):
    assert "course-changed" not in check_in({"symmetric_scale": right})._repr_html_()
    monkeypatch.setattr(module, "has_kernel", lambda: True)
    html = check_in({"symmetric_scale": right})._repr_html_()
    assert "data-says='Run the cell of symmetric_scale, then run this one.'" in html
    # without its style the page still says the verdict, and no more
    assert re.sub("<style>.*</style>|<[^>]*>", "", html) == re.sub(
        "<[^>]*>", "", check_in({"symmetric_scale": right}).html
    )


def test_what_helps_to_mend_the_cell_stays_while_it_is_edited(monkeypatch):
    monkeypatch.setattr(module, "has_kernel", lambda: True)
    # the class that is hidden while the cell above is edited
    assert "<div class='course-judged'>" in check_in({"symmetric_scale": right})._repr_html_()
    assert "<div class='course-judged'>" not in check_in({"symmetric_scale": wrong})._repr_html_()
