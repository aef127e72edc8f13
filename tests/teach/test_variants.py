"""variants: one sentence for several wrong answers of one slip."""

from teach.exercises.variants import variants

OFF_BY_ONE = variants("Count the ends once.", lambda n: n + 1, lambda n: n - 1, lambda n: 1 // (n - 5))


def test_a_value_of_one_of_them_shows():
    assert OFF_BY_ONE.shows(4, 3, {"n": 3}) and OFF_BY_ONE.shows(2, 3, {"n": 3})
    assert not OFF_BY_ONE.shows(6, 3, {"n": 3})


def test_a_right_value_shows_nothing_though_a_wrong_answer_gives_it():
    assert not OFF_BY_ONE.shows(4, 4, {"n": 3})


def test_one_that_raises_has_no_value_and_the_others_still_do():
    assert OFF_BY_ONE.shows(6, 5, {"n": 5}) and not OFF_BY_ONE.shows(0, 5, {"n": 5})


def test_they_are_the_examples_of_the_symptom():
    assert len(OFF_BY_ONE.examples) == 3 and OFF_BY_ONE.says == "Count the ends once."
