"""Calling a learner's function: on copies, watched, and with everything that happens noted."""

import functools
import linecache
import random
import sys

import pytest
import torch
from sample_exercises import SCALE, asked, symmetric_scale

from teach.exercise import Case
from teach.run import run
from teach.written import code_of


def one(exercise, answer, **how):
    """The outcome of an exercise with a single case."""
    (outcome,) = run(exercise, answer, **how)
    return outcome


def a_cell(source, name="answer"):
    """A function defined as IPython does it: its file is the cell, known to linecache."""
    file = f"<cell {random.random()}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = {"torch": torch}
    exec(compile(source, file, "exec"), namespace)
    return namespace[name]


def test_each_call_gets_its_own_copy_and_the_case_stays_as_it_was():
    case = Case(torch.ones(2), [1, 2])
    exercise = asked(lambda w, n: 0, case)

    def spoils(w, n):
        w.zero_()
        n.append(3)
        return 0

    for _ in range(2):
        assert one(exercise, spoils).changed == ("w", "n")
    assert case.args[0].tolist() == [1, 1] and case.args[1] == [1, 2]


def test_an_exception_keeps_its_type_its_message_and_its_line():
    source = "def answer(w):\n    scale = w.max()\n\n    return scale / nothing\n"
    raised = one(asked(len, Case(torch.ones(2))), a_cell(source)).raised
    assert (raised.type, raised.message) == ("NameError", "name 'nothing' is not defined")
    assert (raised.line_number, raised.line) == (4, "return scale / nothing")


def test_the_line_is_the_learners_even_where_the_library_raised():
    source = "def answer(w):\n    return helper(w)\ndef helper(w):\n    return w.reshape(7)\n"
    raised = one(asked(len, Case(torch.ones(2))), a_cell(source)).raised
    assert raised.type == "RuntimeError"
    assert (raised.line_number, raised.line) == (4, "return w.reshape(7)")


def test_a_call_that_fails_before_the_function_begins_has_no_line():
    raised = one(asked(lambda w, bits: 0, Case(1, bits=2)), lambda w: 0).raised
    assert raised.type == "TypeError" and raised.line_number is None


@pytest.mark.parametrize("error", [SystemExit, MemoryError, RecursionError, StopIteration, AssertionError])
def test_whatever_is_raised_is_noted(error):
    def answer(w):
        raise error()

    assert one(asked(len, Case([])), answer).raised.type == error.__name__


def test_the_learners_own_interrupt_goes_through():
    def answer(w):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(asked(len, Case([])), answer)


def test_the_stub_is_unwritten():
    def answer(w):
        """To be written."""
        raise NotImplementedError("write it")

    def bare(w):
        raise NotImplementedError

    exercise = asked(len, Case([]))
    assert one(exercise, answer).kind == one(exercise, bare).kind == "unwritten"


def test_what_torch_or_another_function_has_not_implemented_is_an_exception():
    def by_torch(w):
        return w >> 1  # not implemented for floats

    def elsewhere(w):
        raise NotImplementedError

    exercise = asked(len, Case(torch.ones(2)))
    assert one(exercise, by_torch).raised.type == "NotImplementedError"
    assert one(exercise, lambda w: elsewhere(w)).kind == "raised"


def test_a_call_of_the_reference_is_seen_however_deep():
    def helper(w, bits):
        return symmetric_scale(w, bits)

    outcomes = run(SCALE, lambda w, bits: helper(w, bits))
    assert {outcome.borrowed for outcome in outcomes} == {"symmetric_scale"}
    assert run(SCALE, symmetric_scale, watch=False)[0].borrowed is None


def test_decorated_partial_and_builtin_functions_are_seen_too():
    @torch.no_grad()
    def given_away(w):
        return w.sum()

    forbidden = (given_away, functools.partial(symmetric_scale, bits=2), torch.histc)
    exercise = asked(lambda w: 0, Case(torch.ones(2)), forbidden=forbidden)
    assert one(exercise, lambda w: given_away(w)).borrowed == "given_away"
    assert one(exercise, lambda w: symmetric_scale(w, 2)).borrowed == "symmetric_scale"
    assert one(exercise, lambda w: torch.histc(w)).borrowed == "histc"

    @torch.no_grad()
    def own(w):
        return w.sum()

    assert one(exercise, own).borrowed is None


def test_a_function_written_like_the_reference_is_not_the_reference():
    """On the same line of two files, the same words make code that is equal."""
    source = "def double(w):\n    return 2 * w\n"
    reference, answer = a_cell(source, "double"), a_cell(source, "double")
    assert code_of(reference) == code_of(answer) and code_of(reference) is not code_of(answer)
    exercise = asked(reference, Case(1.0))
    assert one(exercise, answer).borrowed is None
    assert one(exercise, lambda w: reference(w)).borrowed == "double"


def test_a_class_is_known_by_its_init_and_a_builtin_has_no_code():
    assert code_of(torch.nn.Linear) is torch.nn.Linear.__init__.__code__
    assert code_of(len) is None


def test_watching_leaves_the_profiler_as_it_was():
    seen = []

    def profiler(frame, event, arg):
        seen.append(event)

    sys.setprofile(profiler)
    try:
        run(SCALE, lambda w, bits: 1 / 0)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)


def test_printing_is_kept_aside(capsys):
    outcome = one(asked(len, Case([])), lambda w: print("look", "x" * 1000))
    assert outcome.printed.startswith("look xxx") and len(outcome.printed) == 500
    assert capsys.readouterr().out == ""


def test_random_answers_repeat_and_leave_the_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    exercise = asked(len, Case([]))
    first, second = (one(exercise, lambda w: torch.rand(3)).value for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(3), expected)


def test_a_view_says_what_of_a_model_is_compared():
    exercise = asked(lambda n: torch.nn.Identity(), Case(2), view=lambda model: model(torch.ones(2)))
    assert one(exercise, lambda n: torch.nn.ReLU()).value.tolist() == [1, 1]
    broken = one(exercise, lambda n: 3)
    assert broken.kind == "returned" and broken.value.kind == "int"
    assert broken.value.why == "TypeError: 'int' object is not callable"
