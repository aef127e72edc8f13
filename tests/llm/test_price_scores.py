"""Scores, names and speeds: the shipped tables against what their makers published, and what a bad row is told."""

import csv
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_lib import _assets
from mini_lib.llm.prices import (
    Alias,
    Score,
    SoldSpeed,
    blended_usd,
    by_snapshot,
    day,
    five_shot_first,
    history,
    mmlu_scores,
    name_moves,
    of_models,
    parse_aliases,
    parse_scores,
    parse_speeds,
    price_on,
    reasoning_first,
    scored_history,
    snapshot_on,
    sold_speeds,
)

SCORES = "snapshot,mmlu_percent,shots,method,variant,source,date\n"
ALIASES = "provider,name,from,snapshot,source\n"
SPEEDS = "provider,model,output_tokens_per_s,date,measured_by,source\n"
GOOD = "m,70.0,5,answer,instruct,a report,2023-03-15"


def score(percent: float = 70.0, shots: int | None = 5, method: str = "answer", variant: str = "instruct") -> Score:
    return Score("m", percent, shots, method, variant, "by hand", dt.date(2024, 1, 1))


@pytest.mark.parametrize(
    "snapshot, percent",
    [
        ("gpt-3.5", 70.0),  # GPT-4 Technical Report, table 2
        ("gpt-4", 86.4),
        ("llama-2-70b", 52.9),  # the chat model, by the card of Llama 3; its base model scored 68.9
        ("llama-3.1-70b", 83.6),  # 5 shots; 86.0 with a chain of thought
        ("llama-3.3-70b", 86.0),  # its card has the chain of thought alone
        ("claude-3-opus", 86.8),
        ("mixtral-8x7b", 70.6),  # a base model is all that was scored
        ("gpt-4o-mini", 82.0),
        ("deepseek-v3", 88.5),
    ],
)
def test_the_score_of_a_snapshot_is_the_published_one(snapshot, percent):
    assert by_snapshot(mmlu_scores())[snapshot].percent == percent


def test_the_rule_takes_what_is_sold_then_five_shots_then_reasoning():
    """From worst to best by the rule; each is preferred to all before it."""
    ranked = [
        score(90, None, "answer", "base"),
        score(80, 0, "chain of thought", "base"),
        score(70, 5, "answer", "base"),
        score(60, 25, "answer"),
        score(50, 0, "chain of thought"),
        score(40, 5, "answer"),
    ]
    for count in range(1, len(ranked) + 1):
        assert by_snapshot(ranked[:count])["m"] == by_snapshot(ranked[:count][::-1])["m"] == ranked[count - 1]
    assert by_snapshot(ranked, reasoning_first)["m"].percent == 50


def test_the_method_moves_a_score_by_more_than_chance():
    """Llama 3.1 of three sizes, both ways asked: reasoning adds 1.3 to 3.6 points, chance less than 1.1."""
    ours, reasoned = by_snapshot(mmlu_scores(), five_shot_first), by_snapshot(mmlu_scores(), reasoning_first)
    sizes = ("llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b")
    assert [round(reasoned[size].percent - ours[size].percent, 1) for size in sizes] == [3.6, 2.4, 1.3]


def test_forty_names_of_the_price_table_and_more_have_a_score():
    assert len({row.price.model for row in scored_history() if row.score is not None}) == 47


def test_every_score_belongs_to_a_price_and_every_move_to_a_name():
    prices, moves = history(), name_moves()
    names = {row.model for row in prices} | {move.snapshot for move in moves}
    assert {each.snapshot for each in mmlu_scores()} <= names
    of_models(prices, {move.name for move in moves})  # refuses a name that is not sold


@pytest.mark.parametrize(
    "on, snapshot, read, written",
    [
        ("2023-03-01", "gpt-3.5", 2, 2),
        ("2023-07-15", "gpt-3.5", 1.5, 2),
        ("2024-01-15", "gpt-3.5", 1.5, 2),  # 1106 was out, at 1 / 2, but the name stayed with 0613
        ("2024-02-15", "gpt-3.5", 1.5, 2),
        ("2024-02-16", "gpt-3.5-turbo-0125", 0.5, 1.5),
        ("2024-06-01", "gpt-3.5-turbo-0125", 0.5, 1.5),
    ],
)
def test_gpt_35_turbo_cost_what_the_snapshot_behind_the_name_cost(on, snapshot, read, written):
    price = price_on(history(), "gpt-3.5-turbo", on)
    assert (price.usd_per_million_input_tokens, price.usd_per_million_output_tokens) == (read, written)
    assert snapshot_on(name_moves(), "OpenAI", "gpt-3.5-turbo", on) == snapshot


def test_a_name_costs_what_its_snapshot_costs_wherever_both_are_listed():
    """From each move on, until the next: the price of the name is that of the snapshot, where the seller lists it."""
    prices, moves, compared = history(), name_moves(), 0
    listed = {(price.provider, price.model): price.date for price in sorted(prices, key=lambda price: price.date)[::-1]}
    for move in moves:
        later = [other.since for other in moves if (other.name, other.since > move.since) == (move.name, True)]
        begin = listed.get((move.provider, move.snapshot))
        if begin is None or move.name == move.snapshot:
            continue
        days = {max(move.since, begin), *(price.date for price in prices if price.date >= max(move.since, begin))}
        for on in sorted(each for each in days if not later or each < min(later)):
            name, snapshot = (price_on(prices, model, on, move.provider) for model in (move.name, move.snapshot))
            assert blended_usd(name, 0.5) == blended_usd(snapshot, 0.5), (move.name, on)
            compared += 1
    assert compared > 20


def test_a_price_of_another_model_under_the_same_name_begins_where_the_name_moves():
    moved = {(move.provider, move.name, move.since) for move in name_moves()}
    for price in history():
        if "another model under the same name" in price.source:
            assert (price.provider, price.model, price.date) in moved, (price.model, price.date)


@pytest.mark.parametrize(
    "name, on, read, written",
    [
        ("mistral-large-latest", "2024-07-23", 4, 12),  # 2402
        ("mistral-large-latest", "2024-07-24", 3, 9),  # 2407
        ("mistral-small-latest", "2025-01-29", 0.2, 0.6),  # 2409
        ("mistral-small-latest", "2025-01-30", 0.1, 0.3),  # 2501
        ("mistral-medium-latest", "2025-05-06", 2.7, 8.1),  # 2312
        ("mistral-medium-latest", "2025-05-07", 0.4, 2),  # 2505
        ("mistral-large-latest", "2025-12-01", 2, 6),  # 2411
        ("mistral-large-latest", "2025-12-02", 0.5, 1.5),  # 2512
        ("command-r", "2025-01-01", 0.5, 1.5),  # stays with 03-2024: the docs say so
        ("command-r-08-2024", "2025-01-01", 0.15, 0.6),
    ],
)
def test_a_name_takes_the_price_of_its_snapshot_on_the_day_it_moves(name, on, read, written):
    price = price_on(history(), name, on)
    assert (price.usd_per_million_input_tokens, price.usd_per_million_output_tokens) == (read, written)


def test_gpt_4o_took_the_price_of_the_snapshot_that_it_moved_to():
    prices = history()
    for on, usd in (("2024-10-01", 5), ("2024-10-02", 2.5)):
        assert price_on(prices, "gpt-4o", on).usd_per_million_input_tokens == usd
    assert price_on(prices, "gpt-4o-2024-08-06", "2024-09-01").usd_per_million_input_tokens == 2.5


def test_a_name_that_moved_to_an_unscored_snapshot_has_no_score():
    moves, known = name_moves(), by_snapshot(mmlu_scores())
    for name, before, after in (
        ("mistral-large-latest", "2024-11-17", "2024-11-18"),
        ("mistral-small-latest", "2024-09-16", "2024-09-17"),
    ):
        assert snapshot_on(moves, "Mistral", name, before) in known
        assert snapshot_on(moves, "Mistral", name, after) not in known


def test_another_seller_of_that_name_keeps_its_snapshot():
    moves = parse_aliases(ALIASES + "P,m,2024-01-01,m-1,a log\n")
    assert [snapshot_on(moves, seller, "m", "2024-02-01") for seller in "PQ"] == ["m-1", "m"]
    assert snapshot_on(moves, "P", "m", "2023-12-31") == "m"


@given(st.lists(st.dates(dt.date(2023, 1, 1), dt.date(2026, 12, 31)), min_size=1, max_size=8, unique=True), st.dates())
def test_a_name_stands_for_the_latest_move_that_is_not_ahead(days, on):
    moves = [Alias("P", "m", since, since.isoformat(), "a log") for since in days]
    past = [since for since in days if since <= on]
    assert snapshot_on(moves, "P", "m", on) == (max(past).isoformat() if past else "m")


@pytest.mark.parametrize(
    "parse, text, message",
    [
        (parse_scores, "snapshot,percent\n", "line 1 must name the columns snapshot, .*; got snapshot, p"),
        (parse_scores, SCORES + "m,70.0\n", "line 2 must have 7 fields, got 2; put a field that holds a comma in"),
        (parse_scores, SCORES + GOOD.replace("70.0", "good"), "line 2, column mmlu_percent: 'good' is not a number; g"),
        (parse_scores, SCORES + GOOD.replace("70.0", "170"), "line 2: percent must be 100 or less, got 170"),
        (parse_scores, SCORES + GOOD.replace("70.0", "0"), "line 2: percent must be a finite number above 0, got 0"),
        (parse_scores, SCORES + GOOD.replace(",5,", ",-5,"), "line 2: shots must be a whole number of 0 or more"),
        (parse_scores, SCORES + GOOD.replace(",5,", ",few,"), "line 2, column shots: 'few' is not a whole number"),
        (
            parse_scores,
            SCORES + GOOD.replace("answer", "vote"),
            "line 2: method must be 'answer' or 'chain of thought'",
        ),
        (parse_scores, SCORES + GOOD.replace("instruct", "chat"), "line 2: variant must be 'instruct' or 'base', got"),
        (parse_scores, SCORES + GOOD.replace("a report", " "), "line 2, column source: it is empty; a row without it"),
        (parse_scores, SCORES + GOOD.replace("2023-03-15", "soon"), "line 2: no such day: 'soon'"),
        (
            parse_scores,
            SCORES + GOOD + "\n" + GOOD,
            "line 3: m has a score of this kind already; delete one of the two",
        ),
        (parse_aliases, ALIASES + "P,m,soon,m-1,a log", "line 2, column from: no such day: 'soon'"),
        (parse_aliases, ALIASES + "P,m,2024-01,,a log", "line 2, column snapshot: it is empty"),
        (parse_aliases, ALIASES + "P,m,2024-01,a,log\n" * 2, "line 3: m moves twice on 2024-01-15; delete one of the"),
        (parse_speeds, SPEEDS + "P,m,fast,2024-01,provider,page", "line 2, column output_tokens_per_s: 'fast' is"),
        (parse_speeds, SPEEDS + "P,m,0,2024-01,provider,page", "line 2: output_tokens_per_s must be a fin"),
        (parse_speeds, SPEEDS + "P,m,9,2024-01,,page", "line 2, column measured_by: it is empty"),
        (parse_speeds, SPEEDS + "P,m,9,2024-13,provider,page", "line 2: no such day: '2024-13'"),
    ],
)
def test_a_bad_row_is_named_by_its_line(parse, text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_rows_check_themselves():
    for wrong in ({"percent": 101}, {"shots": -1}, {"method": "vote"}, {"variant": "chat"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            score(**wrong)
    with pytest.raises(TypeError, match="percent must be a finite number above 0, got '70'"):
        score("70")
    with pytest.raises(ValueError, match="snapshot must not be empty; every score has a snapshot and a source"):
        Score("", 70, 5, "answer", "instruct", "s", dt.date(2024, 1, 1))
    with pytest.raises(TypeError, match=r"since must be a datetime.date, got '2024-10-02'; use day\('2024-10-02'\)"):
        Alias("P", "m", "2024-10-02", "m-1", "log")
    with pytest.raises(ValueError, match="source must not be empty; every alias has a provider, a name and a source"):
        Alias("P", "m", dt.date(2024, 1, 1), "m-1", " ")
    with pytest.raises(ValueError, match="model must not be empty; every speed has a provider, a model and a source"):
        SoldSpeed("P", "", 9, dt.date(2024, 1, 1), "provider", "s")


@pytest.mark.parametrize(
    "read, module, name",
    [(mmlu_scores, "scores", "scores"), (name_moves, "aliases", "aliases"), (sold_speeds, "speed", "sold_speed")],
)
def test_the_shipped_tables_are_read_whole_and_a_damaged_one_says_how_to_get_it_back(
    read, module, name, tmp_path, monkeypatch
):
    with (_assets.ASSETS / "llm" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(read()) == len(rows) > 25 and all(row.source.strip() for row in read())
    copy = tmp_path / f"{name}.csv"
    copy.write_text("cut", encoding="utf-8")
    monkeypatch.setattr(f"mini_lib.llm.prices.{module}._PATH", copy)
    with pytest.raises(ValueError, match="is damaged: .*run `git restore mini_lib/assets`"):
        read()


def test_speeds_come_by_date_from_ten_rows_and_more_of_dated_sources():
    found = sold_speeds()
    assert [speed.date for speed in found] == sorted(speed.date for speed in found)
    assert len(found) > 30 and {speed.measured_by for speed in found} == {"Artificial Analysis", "provider"}
    table = {(speed.provider, speed.model): speed for speed in found if speed.date == day("2024-09-10")}
    assert table["Cerebras", "llama-3.1-8b"].output_tokens_per_s == 1837
