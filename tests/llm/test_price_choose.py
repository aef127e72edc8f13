"""A mix of tokens, the price on a day, and the cheapest: by hand, against a plain search, and as properties."""

import datetime as dt
import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib.llm.prices import (
    Price,
    blended_usd,
    cheapest,
    history,
    of_models,
    price_on,
    running_minimum,
    sold_over_made,
)

usd = st.floats(0, 1000, allow_subnormal=False)
shares = st.floats(0, 1)
days = st.dates(dt.date(2023, 1, 1), dt.date(2026, 12, 31))
tables = st.lists(
    st.builds(Price, days, st.just(False), st.sampled_from("PQ"), st.sampled_from("abc"), usd, usd, st.just("s")),
    min_size=1,
    max_size=12,
    unique_by=lambda price: (price.date, price.provider, price.model),
)


def price(on: str, read: float, written: float, model: str = "m", provider: str = "P") -> Price:
    return Price(dt.date.fromisoformat(on), False, provider, model, read, written, "by hand")


def test_from_two_dollars_to_24_cents_for_four_tokens_in_five_read():
    """2 USD in March 2023; then .8 * .15 + .2 * .60 = .24 and .75 * .15 + .25 * .60 = .2625, exactly as fractions."""
    prices = history()
    then, now = price_on(prices, "gpt-3.5-turbo", "2023-03-01"), price_on(prices, "gpt-4o-mini", "2024-07-18")
    for share, expected in ((Fraction(1, 5), Fraction(24, 100)), (Fraction(1, 4), Fraction(2625, 10000))):
        assert blended_usd(then, float(share)) == 2
        # two products and a sum of numbers below 1, each rounded once: three half units in the last place of 1
        assert abs(blended_usd(now, float(share)) - float(expected)) <= 3 * 2**-53
    assert round(blended_usd(then, 0.2) / blended_usd(now, 0.2), 1) == 8.3
    assert price_on(prices, "gpt-3.5-turbo", "2023-05-31") == then


def test_a_mix_of_one_kind_is_the_price_of_that_kind():
    both = price("2024-01-01", 0.15, 0.60)
    assert (blended_usd(both, 0), blended_usd(both, 1)) == (0.15, 0.60)


@given(usd, usd, shares)
def test_a_mix_lies_between_the_two_prices(read, written, share):
    assert min(read, written) <= blended_usd(price("2024-01-01", read, written), share) <= max(read, written)


@given(usd, usd, shares)
def test_turning_the_mix_round_turns_the_prices_round(read, written, share):
    ours, turned = (
        blended_usd(price("2024-01-01", read, written), share),
        blended_usd(price("2024-01-01", written, read), 1 - share),
    )
    assert ours == pytest.approx(
        turned, rel=1e-12, abs=1e-12
    )  # 1 - share and 1 - (1 - share) round: 1000 * 2**-53 is 1e-13


@pytest.mark.parametrize("share", [-0.1, 1.1, 20, float("nan")])
def test_a_share_outside_of_0_to_1_is_refused(share):
    message = rf"output_share must lie in \[0, 1\], got {share}; 0.2 means that one token in five is written"
    rows = [price("2024-01-01", 1, 1)]
    for call in (
        lambda: blended_usd(rows[0], share),
        lambda: cheapest(rows, "2024-01-01", share),
        lambda: running_minimum(rows, share),
        lambda: sold_over_made(rows[0], 1, 1, share),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_sold_over_made_by_hand_and_where_it_means_nothing():
    assert sold_over_made(price("2024-01-01", 1, 4), 0.5, 2, output_share=0.7) == pytest.approx(2, rel=1e-15)
    assert sold_over_made(price("2024-01-01", 0, 0), 1, 1, output_share=0.5) == 0
    with pytest.raises(
        ValueError, match="what tokens cost to make must be a finite number of 0 or more, got -1; give USD"
    ):
        sold_over_made(price("2024-01-01", 1, 1), -1, 1, 0.5)
    with pytest.raises(ValueError, match="tokens that cost 0 to make have no ratio"):
        sold_over_made(price("2024-01-01", 1, 1), 0, 0, 0.5)


STEPS = (
    price("2024-01-01", 4, 4),
    price("2024-06-01", 2, 2),
    price("2024-03-01", 3, 3, "n"),
    price("2025-01-01", 5, 5),
)


@pytest.mark.parametrize("on, expected", [("2024-01-01", 4), ("2024-05-31", 4), ("2024-06-01", 2), ("2025-06", 5)])
def test_the_price_on_a_day_is_the_latest_row_not_after_it(on, expected):
    assert price_on(STEPS, "m", on).usd_per_million_input_tokens == expected


@pytest.mark.parametrize(
    "on, expected", [("2024-02-01", "m"), ("2024-03-01", "n"), ("2024-07-01", "m"), ("2025-01-01", "n")]
)
def test_the_cheapest_can_rise_where_a_price_was_replaced(on, expected):
    """m at 4, n at 3, m at 2, and when m rises to 5 its 2 cannot be bought any more: n at 3."""
    assert cheapest(STEPS, on, output_share=0.5).model == expected


def test_a_successor_with_another_name_does_not_replace():
    assert (
        cheapest([price("2024-01-01", 1, 1, "old"), price("2024-06-01", 2, 2, "new")], "2025-01-01", 0.5).model == "old"
    )


def test_the_cheapest_among_those_named():
    assert cheapest(STEPS, "2024-07-01", 0.5, among=["n"]).model == "n"
    assert cheapest(history(), "2024-08-01", 0.2, among=("gpt-3.5-turbo-0125", "gpt-4o-mini")).model == "gpt-4o-mini"


@given(tables, days, shares)
def test_the_cheapest_agrees_with_a_plain_search(prices, on, share):
    """Independently: a row counts unless it lies ahead, or the same seller has a later row of that name by then."""
    counts = [
        one
        for one in prices
        if one.date <= on
        and not any(
            (other.provider, other.model) == (one.provider, one.model) and one.date < other.date <= on
            for other in prices
        )
    ]
    if counts:
        assert blended_usd(cheapest(prices, on, share), share) == min(blended_usd(one, share) for one in counts)
    else:
        with pytest.raises(
            ValueError, match=f"no price is known on {on}; the first here is from {min(one.date for one in prices)}"
        ):
            cheapest(prices, on, share)


@given(tables, shares)
def test_the_running_minimum_never_rises_and_ends_at_the_lowest(prices, share):
    lows = [blended_usd(low, share) for low in running_minimum(prices, share)]
    assert all(later < earlier for earlier, later in itertools.pairwise(lows))
    assert lows[-1] == min(blended_usd(one, share) for one in prices)


def test_a_price_that_only_equals_the_lowest_is_no_record():
    assert len(running_minimum([price("2024-01-01", 1, 1), price("2024-02-01", 1, 1, "n")], 0.5)) == 1


def test_two_prices_of_one_day_make_one_record_and_the_order_of_rows_does_not_matter():
    rows = [price("2024-01-01", 3, 3, "a"), price("2024-01-01", 2, 2, "b"), price("2024-02-01", 1, 1)]
    assert running_minimum(rows, 0.5) == running_minimum(rows[::-1], 0.5) == (rows[1], rows[2])
    assert running_minimum(rows, 0.5, among=["a", "m"]) == (rows[0], rows[2])


def test_an_unknown_model_gets_the_nearest_names():
    with pytest.raises(ValueError, match="no price of a model named 'gpt-4o-minni'; did you mean gpt-4o-mini or "):
        price_on(history(), "gpt-4o-minni", "2025-01-01")
    with pytest.raises(ValueError, match="no price of a model named 'zzz'; there are m, n"):
        cheapest(STEPS, "2025-01-01", 0.5, among=["m", "zzz"])
    with pytest.raises(ValueError, match="at least one model must be named, got none"):
        of_models(STEPS, [])


def test_a_day_before_the_history_and_an_empty_one():
    with pytest.raises(
        ValueError, match="no price is known on 2022-12-01; the first here is from 2023-03-01, ask for that day"
    ):
        cheapest(history(), "2022-12-01", 0.2)
    with pytest.raises(ValueError, match="no price is known on 2024-02-01; the first here is from 2024-03-01"):
        price_on(STEPS, "n", "2024-02-01")
    for call in (lambda: cheapest([], "2024-01-01", 0.5), lambda: running_minimum([], 0.5)):
        with pytest.raises(ValueError, match="there must be at least one price, got none; use history()"):
            call()


def test_a_model_of_several_sellers_needs_the_name_of_one():
    rows = [price("2024-01-01", 1, 1, provider="P"), price("2024-01-01", 2, 2, provider="Q")]
    assert price_on(rows, "m", "2024-01-01", provider="Q").usd_per_million_input_tokens == 2
    with pytest.raises(ValueError, match="m is sold by P, Q; name one, such as provider='P'"):
        price_on(rows, "m", "2024-01-01")
    with pytest.raises(ValueError, match="m is sold by P, Q, got provider='R'; name one of them"):
        price_on(rows, "m", "2024-01-01", provider="R")
