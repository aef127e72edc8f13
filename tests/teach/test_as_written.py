"""What is read from a learner's code: the stub, paths without a value, names and parameters."""

import functools
import linecache

import pytest

from teach.written import another_name, can_be_called, is_stub, parameters_of, returns


def written(body, known=True):
    """A function with this body, in a cell whose text is known to linecache, or not."""
    source = "def answer(w, bits=4):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    file = f"<cell {abs(hash(source))} {known}>"
    if known:
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {}
    exec(compile(source, file, "exec"), names)
    return names["answer"]


STUB = "raise NotImplementedError"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "body, stub",
    [
        (STUB, True),
        (f'"""Halves."""\n{STUB}("yours")', True),
        (f"# a thought\n{STUB}", True),
        (f"half = w / 2\n{STUB}", False),
        (f"if w > 2:\n    return w\n{STUB}", False),
        (f"{STUB}\nhalf = w / 2\nreturn half", False),
        ("return w / 2", False),
    ],
)
def test_the_stub_is_its_raise_and_nothing_else(body, stub, known):
    assert is_stub(written(body, known)) is stub


def test_a_value_below_the_raise_is_seen_in_the_text():
    assert not is_stub(written(f"{STUB}\nreturn w / 2"))
    assert is_stub(written(f"{STUB}\nreturn w / 2", known=False))  # the compiler leaves nothing of that line


@pytest.mark.parametrize(
    "body, often",
    [
        ("return w", "always"),
        ("if w:\n    return w\nreturn 2 * w", "always"),
        ("if w:\n    return w\nraise ValueError", "always"),
        ("half = w / 2", "never"),
        ("print(w)", "never"),
        ("return", "never"),
        (f"half = w / 2\n{STUB}", "never"),
        ("if w:\n    return w", "sometimes"),
        ("for n in w:\n    return n", "sometimes"),
        ("if w:\n    return None\nreturn w", "always"),
        ("yield w", "always"),
    ],
)
def test_which_paths_return_a_value(body, often):
    assert returns(written(body)) == often


def test_what_has_no_code_always_returns():
    assert returns(len) == returns(dict) == "always"
    assert not is_stub(len)


def other(w):
    return w


def test_a_name_that_is_not_the_exercises():
    assert another_name(other, "answer") == another_name(functools.partial(other, 1), "answer") == "other"
    assert another_name(other, "other") == another_name(lambda w: w, "answer") == ""

    def inner(w):
        return w

    assert another_name(inner, "answer") == ""


def test_parameters_as_they_were_written():
    assert parameters_of(written("return w")) == ("w", "bits=4")

    def annotated(w: int, *rest: str, bits: int = 4) -> int:
        return w

    assert parameters_of(annotated) == ("w", "*rest", "bits=4")
    assert parameters_of(dict) == ()


def test_whether_a_call_fits():
    answer = written("return w")
    assert can_be_called(answer, (1,), {"bits": 2}) and can_be_called(dict, (1, 2, 3), {})
    assert not can_be_called(answer, (1, 2, 3), {}) and not can_be_called(answer, (), {"bits": 2})


@pytest.mark.parametrize("known, often", [(True, "always"), (False, "sometimes")])
@pytest.mark.parametrize("body", ["if w:\n    return w\nreturn None", "if w:\n    return w\nelse:\n    return None"])
def test_none_that_is_written_out_is_a_value(body, known, often):
    assert returns(written(body, known)) == often


@pytest.mark.parametrize(
    "body", ["if w:\n    return None", "for n in w:\n    return None", "if w:\n    return\nreturn w"]
)
def test_a_path_without_a_value_is_seen_beside_a_written_none(body):
    assert returns(written(body)) != "always"
