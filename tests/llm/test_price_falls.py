"""Price at constant score: by hand, against plain searches, Epoch AI's published fits, and simulated markets."""

import datetime as dt
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mini_lib.llm.prices import (
    EPOCH_2025,
    LEVELS,
    Alias,
    HalvingTime,
    Hedonic,
    Price,
    Score,
    Scored,
    SoldSpeed,
    best_scores,
    blended_usd,
    by_provider,
    cheapest_at_least,
    fall_at_least,
    halving_time,
    hedonic_fit,
    level_percent,
    lows_at_least,
    mmlu_scores,
    scored,
    scored_history,
    speeds_at_scores,
    three_axes,
)

TODAY = "2026-11-29"


def price(on: dt.date | str, usd: float, model: str = "m", provider: str = "P") -> Price:
    on = on if isinstance(on, dt.date) else dt.date.fromisoformat(on)
    return Price(on, False, provider, model, usd, usd, "by hand")


def score(percent: float, model: str = "m") -> Score:
    return Score(model, percent, 5, "answer", "instruct", "by hand", dt.date(2024, 1, 1))


def row(on: dt.date | str, usd: float, percent: float | None, model: str = "m", provider: str = "P") -> Scored:
    sold = price(on, usd, model, provider)
    return Scored(sold, sold.date, None if percent is None else score(percent, model))


rows_of_a_market = st.lists(
    st.builds(
        row,
        st.dates(dt.date(2023, 1, 1), dt.date(2026, 12, 31)),
        st.floats(0.01, 100),
        st.none() | st.sampled_from([60.0, 70.0, 80.0]),
        st.sampled_from("abc"),
        st.sampled_from("PQ"),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: (row.since, row.price.provider, row.price.model),
)


def test_a_name_that_moves_at_one_price_begins_a_row_and_an_idle_move_does_not():
    moves = [
        Alias("P", "m", dt.date(2024, month, 1), snapshot, "log")
        for month, snapshot in ((1, "old"), (3, "twin"), (6, "new"))
    ]
    marks = [score(70, "old"), score(80, "new")]
    found = scored([price("2024-01-01", 2), price("2024-09-01", 1)], marks, moves)
    assert [(each.since.month, each.price.usd_per_million_input_tokens) for each in found] == [
        (1, 2),
        (3, 2),
        (6, 2),
        (9, 1),
    ]
    assert [each.score and each.score.percent for each in found] == [70, None, 80, 80]
    same = [Alias("P", "m", dt.date(2024, month, 1), "old", "log") for month in (1, 3)]
    assert len(scored([price("2024-01-01", 2)], marks, same)) == 1


def test_a_better_model_that_costs_less_lowers_the_price_of_all_scores_below_it():
    market = [row("2023-01-01", 8, 70), row("2024-01-01", 36, 90, "n"), row("2025-01-01", 2, 85, "o")]
    usd = [[low.price.usd_per_million_input_tokens for low in lows_at_least(market, at, 0.5)] for at in (70, 85, 90)]
    assert usd == [[8, 2], [36, 2], [36]]
    assert cheapest_at_least(market, "2024-06-01", 85, 0.5).price.model == "n"
    assert cheapest_at_least(market, "2023-06-01", 85, 0.5) is None


def test_a_price_that_rises_counts_on_its_day_but_is_no_record():
    market = [row("2023-01-01", 8, 70), row("2024-01-01", 2, 70), row("2025-01-01", 4, 70)]
    assert [low.price.usd_per_million_input_tokens for low in lows_at_least(market, 70, 0.5)] == [8, 2]
    assert cheapest_at_least(market, "2025-06-01", 70, 0.5).price.usd_per_million_input_tokens == 4


def test_a_model_without_a_score_takes_part_only_where_it_is_asked_for():
    market = [row("2023-01-01", 8, 70), row("2024-01-01", 2, None, "n")]
    for unscored, usd in ((False, 8), (True, 2)):
        assert cheapest_at_least(market, "2025-01-01", 70, 0.5, unscored).price.usd_per_million_input_tokens == usd
        assert lows_at_least(market, 70, 0.5, unscored)[-1].price.usd_per_million_input_tokens == usd


@given(rows_of_a_market, st.dates(dt.date(2023, 1, 1), dt.date(2026, 12, 31)), st.sampled_from([60.0, 75.0]))
def test_the_cheapest_agrees_with_a_plain_search(market, on, percent):
    def replaced(one):
        return any(
            (other.price.provider, other.price.model) == (one.price.provider, one.price.model)
            and one.since < other.since <= on
            for other in market
        )

    good = [one for one in market if one.since <= on and not replaced(one) and one.score is not None]
    usd = [one.price.usd_per_million_input_tokens for one in good if one.score.percent >= percent]
    found = cheapest_at_least(market, on, percent, 0)
    assert (found and found.price.usd_per_million_input_tokens) == min(usd, default=None)


@given(rows_of_a_market)
def test_lows_fall_and_a_lower_score_is_never_dearer(market):
    for percent in (60, 75):
        usd = [low.price.usd_per_million_input_tokens for low in lows_at_least(market, percent, 0)]
        assert all(later < earlier for earlier, later in itertools.pairwise(usd))
    for on in ("2024-06-01", "2026-12-31"):
        low, high = (cheapest_at_least(market, on, percent, 0) for percent in (60, 75))
        if high is not None:
            assert low.price.usd_per_million_input_tokens <= high.price.usd_per_million_input_tokens


# ---------------------------------------------------------------- falls

EPOCH_GPT_4 = [
    ("2023-03-14", 37.5),
    ("2023-11-06", 15),
    ("2024-05-13", 7.5),
    ("2024-05-23", 2.19),
    ("2025-02-05", 0.175),
]
EPOCH_GPT_35 = [
    ("2023-03-06", 2.0),
    ("2023-11-06", 0.75),
    ("2024-03-04", 0.5),
    ("2024-05-10", 0.13),
    ("2024-07-23", 0.1),
    ("2024-10-03", 0.07),
]


@pytest.mark.parametrize(
    "points, published",
    [
        (EPOCH_GPT_4, (15.85676156770196, 4.085681392676409, 61.54099237048954)),
        (EPOCH_GPT_35, (9.34724894739857, 4.800970684806941, 18.19862453256306)),
    ],
)
def test_the_line_gives_what_epoch_published_for_its_own_points(points, published):
    """Their results/default, MMLU, at GPT-4 and GPT-3.5 Turbo, 90% interval. Their year has 365 days, ours 365.25, and
    they take a day as a whole number, so the exponents scale by 365 / 365.25; the rest agrees to their digits."""
    fit = halving_time(points, confidence=0.9)
    ours = [times ** (365 / 365.25) for times in (fit.times_per_year, fit.low_times, fit.high_times)]
    assert ours == pytest.approx(published, rel=1e-9)
    assert any(each.times_per_year == pytest.approx(published[0], abs=0.01) for each in EPOCH_2025)


@pytest.mark.parametrize("level, epoch, stated", [("gpt-3.5", "GPT-3.5 Turbo", 9.2), ("gpt-4", "GPT-4", 13.2)])
def test_our_table_falls_as_epochs_does_over_the_same_time_with_the_same_mix(level, epoch, stated):
    """Other sellers, other scores, the same answer: each best fit lies in the other's interval."""
    theirs = next(each for each in EPOCH_2025 if (each.test, each.level) == ("MMLU", epoch))
    percent = level_percent(mmlu_scores(), level)
    ours = fall_at_least(scored_history(), percent, output_share=0.25, until="2025-02-05").trend
    assert theirs.low_times < ours.times_per_year < theirs.high_times
    assert ours.low_times < theirs.times_per_year < ours.high_times
    assert round(ours.times_per_year, 1) == stated


def test_a_level_is_the_score_of_its_model_less_what_chance_explains():
    """1.96 * sqrt(2 * .7 * .3 / 14042) is .0107: two tests of one model at 70% differ by a point."""
    assert 1.96 * math.sqrt(2 * 0.7 * 0.3 / 14042) == pytest.approx(0.0107, abs=5e-5)
    assert [level_percent(mmlu_scores(), level) for level in LEVELS] == [69, 77.5, 85.4, 87.7]
    with pytest.raises(ValueError, match="'gpt-9' has no score; name a snapshot such as gpt-3.5, claude-2, gpt-4"):
        level_percent(mmlu_scores(), "gpt-9")
    with pytest.raises(ValueError, match="same_points must be a finite number of 0 or more, got -1; 0 asks for"):
        level_percent(mmlu_scores(), "gpt-4", same_points=-1)


def test_a_standstill_leaves_the_line_alone_and_halves_the_average():
    """8, 4, 2, 1 in three years, then nothing: the line falls twofold per year, the average less and less."""
    market = [row(f"{2020 + year}-01-01", 8 / 2**year, 70, f"m{year}") for year in range(4)]
    for until, years in (("2023-01-01", 3), ("2026-01-01", 6)):
        fall = fall_at_least(market, 70, 0.5, until)
        # leap days move the years by .25 of 365.25 at most
        assert fall.trend.times_per_year == pytest.approx(2, rel=2e-3)
        assert fall.times_per_year == pytest.approx(8 ** (1 / years), rel=2e-3)


def test_leaving_out_a_model_takes_all_its_prices_and_both_ends_count():
    """Prices 8, 4, 2, 1 of a, b, b, c: without b the line has two points left, so no range can be given."""
    names, usd = "abbc", (8, 4, 2, 1)
    market = [row(f"{2020 + year}-01-01", usd[year], 70, names[year]) for year in range(4)]
    assert fall_at_least(market, 70, 0.5, "2024-01-01").without_one is None
    market.append(row("2021-06-01", 3, 70, "d"))  # no low but without b
    low, high = fall_at_least(market, 70, 0.5, "2024-01-01").without_one
    halved = halving_time([("2020-01-01", 8), ("2021-06-01", 3), ("2023-01-01", 1)]).times_per_year
    assert low <= halved <= high and low < high


def test_two_lows_have_no_line_and_three_may_say_nothing():
    assert fall_at_least([row("2023-01-01", 8, 70), row("2024-01-01", 1, 70, "n")], 70, 0.5, TODAY).trend is None
    best = fall_at_least(scored_history(), level_percent(mmlu_scores(), "claude-3.5-sonnet"), 0.2, TODAY)
    assert len(best.lows) == 3 and not best.trend.can_be_stated


def test_at_three_levels_a_halving_time_can_be_stated_and_the_average_is_slower():
    found = [fall_at_least(scored_history(), level_percent(mmlu_scores(), level), 0.2, TODAY) for level in LEVELS[:3]]
    assert [len(fall.lows) for fall in found] == [10, 7, 9]
    assert all(fall.trend.can_be_stated and fall.times_per_year < fall.trend.times_per_year for fall in found)
    assert round(found[2].times_per_year, 1) == 4.3  # as `others` states it


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((99.5, 0.2, TODAY), "no model scored 99.5 or more before 2026-11-29; ask for a lower score or a later day"),
        ((85.4, 0.2, "2023-03-15"), "no model scored 85.4 or more before 2023-03-15"),
        ((0, 0.2, TODAY), "percent must be a finite number above 0, got 0; give a score such as 70.0"),
        ((70, 20, TODAY), r"output_share must lie in \[0, 1\], got 20; 0.2 means that one token in five is written"),
        ((70, 0.2, "soon"), "no such day: 'soon'"),
    ],
)
def test_a_fall_that_cannot_be_measured_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fall_at_least(scored_history(), *arguments)


def test_what_is_given_away_has_no_fall():
    market = [row("2023-01-01", 8, 70, "a"), row("2024-01-01", 0, 70, "b")]
    with pytest.raises(ValueError, match="prices must be above 0, got 0 for b from 2024-01-01 on; leave out what is"):
        fall_at_least(market, 70, 0.5, TODAY)
    assert fall_at_least(market, 70, 0.5, "2023-12-31").lows[0].price.model == "a"


def test_points_at_one_price_have_a_flat_line_and_no_halving_time():
    flat = halving_time([(f"{year}-01-01", 0.3) for year in (2022, 2023, 2024)])
    assert (flat.slope_per_year, flat.low_slope, flat.high_slope, flat.can_be_stated) == (0, 0, 0, False)


def test_a_confidence_next_to_1_still_has_an_interval():
    """Student's t for 1 degree of freedom is tan: its quantile at a tail of p / 2 is 1 / tan(pi p / 2)."""
    points = [("2022-01-01", 8.0), ("2023-01-01", 4.0), ("2024-01-01", 1.0)]
    sure, usual = (halving_time(points, confidence) for confidence in (1 - 2**-53, 0.95))
    ratio = np.tan(np.pi * 0.05 / 2) / np.tan(np.pi * 2**-53 / 2)
    assert (sure.high_slope - sure.low_slope) / (usual.high_slope - usual.low_slope) == pytest.approx(ratio, rel=1e-6)


def test_a_score_that_is_no_longer_on_sale_is_said():
    market = scored(
        [price("2023-01-01", 1)],
        [score(70, "old")],
        [Alias("P", "m", dt.date(2023, 1, 1), "old", "log"), Alias("P", "m", dt.date(2024, 1, 1), "new", "log")],
    )
    with pytest.raises(ValueError, match="no model that scored 70 or more is on sale on 2025-01-01; ask"):
        fall_at_least(market, 70, 0.5, "2025-01-01")
    with pytest.raises(ValueError, match=r"since \(2023-01-01\) must not be before the price \(2024-01-01\)"):
        Scored(price("2024-01-01", 1), dt.date(2023, 1, 1), None)


# ---------------------------------------------------------------- the hedonic regression


def market_of(usd: list[float], years: list[float], percents: list[float], names: str) -> list[Scored]:
    start = dt.date(2023, 1, 1)
    dates = [start + dt.timedelta(days=round(365.25 * year)) for year in years]
    return [row(*each) for each in zip(dates, usd, percents, names, "PQRSTUVWXYZ", strict=False)]


def test_a_balanced_table_by_hand():
    """Four years apart and ten points apart, each cell twice: date and score are orthogonal, so the slope is the sum of
    t * y over the sum of t * t for centred t, and its clustered variance the sum of each cluster's squared sum of
    t * residual over that, squared. The residuals are +-e in each cell, so 4 * e**2 * 4 clusters."""
    e, t, n, clusters = 0.5, 2.0, 8, 4
    years = [0, 0, 0, 0, 4, 4, 4, 4]
    percents = [70, 70, 80, 80] * 2
    noise = [e, -e] * 4
    usd = [2 ** (-0.5 * year + 0.1 * percent + off) for year, percent, off in zip(years, percents, noise, strict=True)]
    fit = hedonic_fit(market_of(usd, years, percents, "abcdbadc"), output_share=0.5)
    # clusters a, b, c, d hold one row of each date; a: +e at t = -2 and -e at t = +2, so -4e; b: +4e; c: -4e; d: +4e
    error = math.sqrt(clusters / (clusters - 1) * (n - 1) / (n - 3) * clusters * (2 * t * e) ** 2) / (n * t**2)
    reach = stats.t.ppf(0.975, clusters - 1) * error
    assert fit.trend.slope_per_year == pytest.approx(-0.5, abs=1e-12)
    assert fit.doublings_per_point == pytest.approx(0.1, abs=1e-12)
    assert (fit.trend.low_slope, fit.trend.high_slope) == pytest.approx((-0.5 - reach, -0.5 + reach), abs=1e-12)
    # variance explained: t part .5**2 * 4 = 1, score part .1**2 * 25 = .25, the rest e**2 = .25
    assert fit.explained == pytest.approx(1.25 / 1.5, abs=1e-12)
    assert (fit.clusters, fit.trend.points) == (4, 8)


def test_a_copied_row_adds_no_certainty_within_its_cluster():
    """Each row twice: the same coefficients, and errors that differ by the small-sample factor alone."""
    rng = np.random.default_rng(0)
    names = "abcdefghij"
    once = market_of(list(2 ** rng.normal(size=10)), list(range(10)), list(rng.uniform(60, 90, 10)), names)
    fit, twice = hedonic_fit(once, 0.5), hedonic_fit(once + once, 0.5)
    assert twice.trend.slope_per_year == pytest.approx(fit.trend.slope_per_year, abs=1e-12)
    width, wide = (each.trend.high_slope - each.trend.low_slope for each in (twice, fit))
    assert width / wide == pytest.approx(math.sqrt((19 / 17) / (9 / 7)), rel=1e-9)


def test_scaling_all_prices_or_shifting_all_scores_leaves_the_fall_alone():
    market = [each for each in scored_history() if each.score is not None]
    fit = hedonic_fit(market, 0.2).trend
    dearer = [
        row(each.since, 10 * blended_usd(each.price, 0.2), each.score.percent, each.score.snapshot) for each in market
    ]
    shifted = [row(each.since, each.price.usd_per_million_input_tokens, each.score.percent - 5) for each in dearer]
    assert hedonic_fit(dearer, 0.2).trend.slope_per_year == pytest.approx(fit.slope_per_year, abs=1e-9)
    assert hedonic_fit(dearer, 0.2).trend.high_slope == pytest.approx(fit.high_slope, abs=1e-9)
    assert hedonic_fit(shifted, 0.2, cluster=lambda each: str(each.since)).trend.slope_per_year == pytest.approx(
        fit.slope_per_year, abs=1e-9
    )


def test_on_the_shipped_table_the_price_of_a_score_falls_about_fourfold_a_year():
    """With either kind of cluster; a point of score costs about a tenth more."""
    by_snapshot, by_seller = hedonic_fit(scored_history(), 0.2), hedonic_fit(scored_history(), 0.2, by_provider)
    for fit in (by_snapshot, by_seller):
        assert fit.trend.can_be_stated and 3.5 < fit.trend.times_per_year < 4.5
        assert fit.low_per_point > 0 and 0.1 < fit.doublings_per_point < 0.2
    assert by_snapshot.trend.slope_per_year == by_seller.trend.slope_per_year
    assert by_snapshot.clusters > 40 > by_seller.clusters


def test_in_simulated_markets_the_lows_promise_too_much_and_the_regression_does_not():
    """300 markets of 60 prices that fall two halvings per year and scatter by two doublings, whatever the score.

    With 2000 markets the line through the lows holds the true slope in .71 of its 95% intervals; three standard errors
    of a share of 300 are .08. The regression should hold it in .95, and .90 is four of its errors of .0126 below."""
    rng, lows, all_prices, slopes = np.random.default_rng(0), [], [], []
    for _ in range(300):
        days, percents = rng.integers(0, 1370, 60), rng.uniform(70, 90, 60)
        logs = -2 * days / 365.25 + rng.normal(0, 2, 60)
        market = [
            row(dt.date(2023, 1, 1) + dt.timedelta(days=int(on)), 2.0**log, percent, str(place))
            for place, (on, log, percent) in enumerate(zip(days, logs, percents, strict=True))
        ]
        found = lows_at_least(market, 70, 0.5)
        if len(found) >= 3:
            line = halving_time([(low.since, low.price.usd_per_million_input_tokens) for low in found])
            lows.append(line.low_slope <= -2 <= line.high_slope)
            slopes.append(line.slope_per_year)
        trend = hedonic_fit(market, 0.5).trend
        all_prices.append(trend.low_slope <= -2 <= trend.high_slope)
    assert np.mean(lows) == pytest.approx(0.71, abs=0.08)
    assert np.median(slopes) < -2.3
    assert np.mean(all_prices) > 0.90


def test_a_regression_without_enough_to_go_by_is_refused():
    market = market_of([1, 2, 3, 4], [0, 1, 2, 3], [70, 80, 70, 80], "abcd")
    with pytest.raises(ValueError, match="at least 4 scored rows in 3 clusters are needed, got 3 in 3; three coeff"):
        hedonic_fit(market[:3], 0.5)
    with pytest.raises(ValueError, match="at least 4 scored rows in 3 clusters are needed, got 4 in 1"):
        hedonic_fit(market, 0.5, cluster=lambda each: "one")
    with pytest.raises(ValueError, match="date and score must vary independently; pass rows of several"):
        hedonic_fit(market_of([1, 2, 3, 4], [0, 4, 8, 12], [70, 71, 72, 73], "abcd"), 0.5)
    # a score that is a straight line of the date in 365.25 days to a year, which no float holds exactly
    crooked = market_of([1, 2, 3, 5], [0.1, 0.7, 1.3, 2.9], [70, 80, 70, 80], "abcd")
    line = [
        replace(one, score=replace(one.score, percent=50 + (one.since - dt.date(2023, 1, 1)).days / 37))
        for one in crooked
    ]
    with pytest.raises(ValueError, match="date and score must vary independently; pass rows of several"):
        hedonic_fit(line, 0.5)
    with pytest.raises(ValueError, match="prices must differ, got 3 USD for all; there is nothing to explain"):
        hedonic_fit(market_of([3, 3, 3, 3], [0, 1, 2, 3], [70, 80, 70, 80], "abcd"), 0.5)
    with pytest.raises(ValueError, match="a price must be a finite number above 0, got 0.0; leave out"):
        hedonic_fit([*market, row("2024-01-01", 0, 75, "e")], 0.5)
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\), got 95; use 0.95"):
        hedonic_fit(market, 0.5, confidence=95)
    with pytest.raises(ValueError, match=r"the price of a point must lie in its interval, got 1 and 2 to 3"):
        Hedonic(HalvingTime(-1, -2, 0, 9, 0.95), 1, 2, 3, 0.5, 9)


# ---------------------------------------------------------------- the figure


def speed(on: str, per_s: float, model: str = "m", provider: str = "P") -> SoldSpeed:
    return SoldSpeed(provider, model, per_s, dt.date.fromisoformat(on), "provider", "by hand")


def test_the_figure_ends_on_its_day():
    market = [row("2023-01-01", 8, 70), row("2025-06-01", 1, 95)]
    speeds = [speed("2024-06-01", 50), speed("2025-01-01", 60), speed("2025-01-02", 99)]
    figure = three_axes(market, speeds, [70], 0.5, "2025-01-01")
    assert [at.speed.output_tokens_per_s for at in figure.faster] == [50, 60]
    assert [percent for _, percent, _ in figure.better] == [70]


def test_three_axes_by_hand():
    market = [row("2023-01-01", 8, 70), row("2024-01-01", 36, 90, "n"), row("2025-01-01", 2, 85, "o")]
    figure = three_axes(market, [speed("2025-06-01", 100, "o")], [70, 85], 0.5, "2026-01-01")
    days = [dt.date(year, 1, 1) for year in (2023, 2025, 2026)]
    assert figure.cheaper[0] == (70, tuple(zip(days, (8, 2, 2), strict=True)))
    assert [usd for _, usd in figure.cheaper[1][1]] == [36, 2, 2]
    assert [(at.speed.output_tokens_per_s, at.percent) for at in figure.faster] == [(100, 85)]
    assert [(percent, model) for _, percent, model in figure.better] == [(70, "m"), (90, "n")]
    with pytest.raises(
        ValueError, match="no model scored 95 or more by 2026-01-01; ask for a lower score or a later day"
    ):
        three_axes(market, [], [95], 0.5, "2026-01-01")


def test_a_speed_takes_the_score_of_its_day_and_the_sellers_nearest_price():
    market = [row("2023-01-01", 8, 70), row("2024-01-01", 4, 80), row("2024-03-01", 3, 80, "m", "Q")]
    points = [
        speed("2023-06-01", 10),
        speed("2023-12-01", 20),
        speed("2022-12-01", 5),
        speed("2025-01-01", 30, "m", "R"),
    ]
    found = speeds_at_scores(market, [*points, speed("2025-01-01", 99, "unknown")])
    assert [(at.speed.output_tokens_per_s, at.percent) for at in found] == [(10, 70), (20, 70), (5, 70), (30, 80)]
    assert [at.price and at.price.usd_per_million_input_tokens for at in found] == [8, 4, 8, None]


def test_two_equal_scores_on_one_day_go_to_the_cheaper_model():
    assert best_scores([row("2023-01-01", 60, 86.4, "big"), row("2023-01-01", 30, 86.4, "small")])[0][2] == "small"
    assert len(best_scores(scored_history())) == 7
