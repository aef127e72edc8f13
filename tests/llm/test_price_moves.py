"""Falls and rises: by hand, on the shipped table where the announcements say so, and as properties."""

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.prices import (
    CLAUDE_HAIKU,
    GEMINI_FLASH,
    OPEN_8B,
    OPEN_70B,
    OPENAI_LARGE,
    OPENAI_SMALL,
    Change,
    Price,
    changes,
    history,
    of_models,
)


def price(month: int, usd: float, model: str = "m", provider: str = "P") -> Price:
    return Price(dt.date(2024, month, 1), False, provider, model, usd, usd, "by hand")


def test_each_name_is_compared_with_itself_and_the_steps_come_by_date():
    found = changes([price(1, 4), price(5, 2), price(1, 1, "n"), price(3, 3, "n"), price(1, 9, "m", "Q")])
    assert [(step.after.model, step.ratio, step.rose) for step in found] == [("n", 3, True), ("m", 0.5, False)]


def test_along_a_line_each_is_compared_with_the_one_before_it():
    found = changes([price(1, 4), price(3, 8, "n"), price(6, 2, "o")], line=("m", "n", "o"))
    assert [(step.before.model, step.after.model, step.ratio) for step in found] == [("m", "n", 2), ("n", "o", 0.25)]


def test_a_repeated_price_is_no_change_but_one_that_only_the_mix_hides_is():
    first, same = (
        Price(dt.date(2024, 1, 1), False, "P", "m", 1, 2, "s"),
        Price(dt.date(2024, 2, 1), False, "P", "m", 1, 2, "s"),
    )
    turned = Price(dt.date(2024, 3, 1), False, "P", "m", 2, 1, "s")
    [step] = changes([first, same, turned], output_share=0.5)
    assert (step.before, step.after, step.ratio, step.rose) == (same, turned, 1, False)


def test_from_and_to_nothing():
    assert [step.ratio for step in changes([price(1, 1), price(2, 0), price(3, 1)])] == [0, math.inf]
    free = Price(dt.date(2024, 2, 1), False, "P", "m", 0, 5, "s")
    assert [step.ratio for step in changes([price(1, 0), free], output_share=0)] == [
        1
    ]  # all tokens read, both times for 0


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=12, unique=True))
def test_the_ratios_of_a_line_multiply_to_the_whole_way(usd):
    found = changes([price(month, value) for month, value in enumerate(usd, start=1)])
    # at most 11 divisions and 11 products, each half a unit in the last place off: 22 * 2**-53 < 1e-14
    assert math.prod(step.ratio for step in found) == pytest.approx(usd[-1] / usd[0], rel=1e-14)
    assert len(found) == len(usd) - 1


def test_deepseek_rose_twice_in_2025_as_it_announced():
    """.27 / 1.10 after .14 / .28, .56 / 1.68 after .27 / 1.10: by hand .436 / .168 and .784 / .436 at one in five."""
    chat = [step for step in changes(history(), 0.2) if step.after.model == "deepseek-chat"]
    assert [(f"{step.after.date:%Y-%m}", step.rose) for step in chat] == [
        ("2025-02", True),
        ("2025-09", True),
        ("2025-09", False),
    ]
    assert [step.ratio for step in chat[:2]] == pytest.approx([0.436 / 0.168, 0.784 / 0.436], rel=1e-12)


def test_the_lines_are_in_the_table_in_the_order_of_their_first_prices():
    for line in (OPENAI_LARGE, OPENAI_SMALL, GEMINI_FLASH, CLAUDE_HAIKU, OPEN_8B, OPEN_70B):
        first = [min(row.date for row in of_models(history(), [model])) for model in line]
        assert first == sorted(first) and len(set(line)) == len(line)


def test_the_flash_line_rose_at_each_new_name_from_2_0_to_2_5():
    """gemini-2.0-flash at .10 / .40 is .16 at one in five; gemini-2.5-flash at .30 / 2.50 is .74."""
    step = next(step for step in changes(history(), 0.2, GEMINI_FLASH) if step.after.model == "gemini-2.5-flash")
    assert step.rose and step.ratio == pytest.approx(0.74 / 0.16, rel=1e-12)


def test_the_large_line_fell_and_rose_again():
    found = changes(history(), 0.2, OPENAI_LARGE)
    rose = {step.after.model for step in found if step.rose}
    assert {"gpt-5.2", "gpt-5.4", "gpt-5.5"} <= rose and {"gpt-4-turbo", "gpt-4o", "gpt-4.1"}.isdisjoint(rose)


def test_a_line_has_one_seller_and_known_names():
    with pytest.raises(
        ValueError, match="a line must have one provider, got P, Q; pass the prices of one, as in .*== 'P'"
    ):
        changes([price(1, 1), price(2, 1, "m", "Q")], line=["m"])
    with pytest.raises(ValueError, match="no price of a model named 'gpt-4-tubro'; did you mean gpt-4-turbo"):
        changes(history(), line=["gpt-4-tubro"])
    with pytest.raises(ValueError, match=r"output_share must lie in \[0, 1\], got 20"):
        changes([price(1, 1), price(2, 2)], output_share=20)


def test_a_change_checks_and_shows_itself():
    assert str(Change(price(1, 4), price(2, 1, "n"), 0.25)) == "2024-02-01 m -> n: 4 / 4 -> 1 / 1 USD, 0.25 times"
    with pytest.raises(ValueError, match=r"ratio must be a finite number of 0 or more, got -1; use changes\(\)"):
        Change(price(1, 1), price(2, 1), -1)
    with pytest.raises(
        ValueError, match=r"after \(2024-01-01\) must not be older than before \(2024-02-01\); swap them"
    ):
        Change(price(2, 1), price(1, 1), 1)
