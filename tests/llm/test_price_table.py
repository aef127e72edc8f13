"""The table of list prices: what a good one gives, and which line and column a bad one is told about."""

import csv
import datetime as dt
import math
import re

import pytest

from mini_lib import _assets
from mini_lib.llm.prices import Price, day, history, parse_prices

HEADER = "date,provider,model,usd_per_million_input_tokens,usd_per_million_output_tokens,source"
GOOD = "2024-07-18,OpenAI,gpt-4o-mini,0.15,0.60,announcement"


def table(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


def test_a_row_becomes_a_price():
    assert parse_prices(table(GOOD)) == (
        Price(dt.date(2024, 7, 18), False, "OpenAI", "gpt-4o-mini", 0.15, 0.6, "announcement"),
    )


def test_a_month_without_a_day_is_approximate_and_stands_at_its_middle():
    [price] = parse_prices(table(GOOD.replace("2024-07-18", "2024-02")))
    assert (price.date, price.approximate) == (dt.date(2024, 2, 15), True)


def test_prices_come_ordered_by_date_and_quoted_fields_may_hold_commas():
    prices = parse_prices(table('2025-01-01,P,late,1,1,"one, two"', "2024-01-01,P,early,1,1,s"))
    assert [(price.model, price.source) for price in prices] == [("early", "s"), ("late", "one, two")]


NOT_NEGATIVE = "must be a finite number of 0 or more"


@pytest.mark.parametrize(
    "line, message",
    [
        (GOOD.replace("2024-07-18", "18.7.2024"), "line 3, column date: no such day: '18.7.2024'; write a day as 2"),
        (GOOD.replace("2024-07-18", "2024-02-30"), "line 3, column date: no such day: '2024-02-30'"),
        (GOOD.replace("2024-07-18", "2024"), "line 3, column date: no such day: '2024'"),
        (GOOD.replace("2024-07-18", ""), "line 3, column date: no such day: ''"),
        (GOOD.replace("OpenAI", " "), "line 3, column provider: it is empty"),
        (GOOD.replace("gpt-4o-mini", ""), "line 3, column model: it is empty"),
        (GOOD.replace("announcement", ""), "line 3, column source: it is empty; a row without it cannot be checked"),
        (GOOD.replace("0.15", "cheap"), "line 3, column usd_per_million_input_tokens: 'cheap' is not a number"),
        (GOOD.replace("0.15", "-1"), f"line 3, column usd_per_million_input_tokens: it {NOT_NEGATIVE}, got -1"),
        (GOOD.replace("0.60", "nan"), f"line 3, column usd_per_million_output_tokens: it {NOT_NEGATIVE}, got nan"),
        (GOOD.replace("0.60", "inf"), f"line 3, column usd_per_million_output_tokens: it {NOT_NEGATIVE}, got inf"),
        (GOOD + ",more", "line 3 must have 6 fields, got 7; put a field that holds a comma in quotes"),
        (" ", "line 3 must have 6 fields, got 1"),
        ("2024-01-01,P,m,1,1,s", "line 3, column date: P m has a price for 2024-01-01 already; delete one of the two"),
    ],
)
def test_a_bad_row_is_named_by_line_and_column(line, message):
    with pytest.raises(ValueError) as caught:
        parse_prices(table("2024-01-01,P,m,1,1,s", line))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text, got", [("", "nothing"), ("date,model\n", "date, model")])
def test_a_table_without_its_columns_is_refused(text, got):
    with pytest.raises(ValueError, match=f"line 1 must name the columns date, provider, .*; got {got}"):
        parse_prices(text)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"usd_per_million_input_tokens": -1},
            "usd_per_million_input_tokens must be a finite number of 0 or more, got -1",
        ),
        ({"usd_per_million_output_tokens": math.inf}, "usd_per_million_output_tokens must be .* 0 or more, got inf"),
        ({"model": ""}, "model must not be empty; every price has a provider, a model and a source"),
    ],
)
def test_a_price_checks_itself(change, message):
    good = {
        "date": dt.date(2024, 1, 1),
        "approximate": False,
        "provider": "P",
        "model": "m",
        "source": "s",
        "usd_per_million_input_tokens": 1,
        "usd_per_million_output_tokens": 1,
    }
    assert Price(**good).usd_per_million_input_tokens == 1
    with pytest.raises(ValueError, match=message):
        Price(**good | change)
    for wrong in ("2024-01-01", dt.datetime(2024, 1, 1)):
        with pytest.raises(TypeError, match=r"date must be a datetime.date, got .*; use day\('2024-07-18'\)"):
            Price(**good | {"date": wrong})


def test_a_day_is_read_from_a_text_a_date_or_a_time():
    assert {day("2024-07-15"), day("2024-07"), day(dt.date(2024, 7, 15)), day(dt.datetime(2024, 7, 15, 9))} == {
        dt.date(2024, 7, 15)
    }
    with pytest.raises(TypeError, match="a day must be a text or a datetime.date, got 2024; write it as '2024-07-18'"):
        day(2024)


def test_the_shipped_table_is_read_whole_and_each_row_has_a_source():
    with (_assets.ASSETS / "llm" / "price_history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    prices = history()
    assert len(prices) == len(rows) > 100
    assert sorted((price.model, price.usd_per_million_output_tokens) for price in prices) == sorted(
        (row["model"], float(row["usd_per_million_output_tokens"])) for row in rows
    )
    assert all(price.source.strip() for price in prices)
    assert [price.date for price in prices] == sorted(price.date for price in prices)


def test_a_damaged_table_says_how_to_get_it_back(tmp_path, monkeypatch):
    copy = tmp_path / "price_history.csv"
    copy.write_text(table(GOOD), encoding="utf-8")
    monkeypatch.setattr("mini_lib.llm.prices.table._PATH", copy)
    with pytest.raises(ValueError, match="is damaged: .*run `git restore mini_lib/assets`"):
        history()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + table(GOOD),  # the mark of a spreadsheet
        table(GOOD).replace("\n", "\r\n"),
        table(GOOD) + "\n",
        table(GOOD, "", ""),
        table(GOOD).rstrip("\n"),
    ],
    ids=["mark", "CRLF", "an empty last line", "empty lines", "no last line end"],
)
def test_how_a_file_was_saved_does_not_matter(text):
    assert parse_prices(text) == parse_prices(table(GOOD))


def test_a_quoted_field_may_hold_a_line_end():
    [price] = parse_prices(table(GOOD.replace("announcement", '"two\nlines"')))
    assert price.source == "two\nlines"


@pytest.mark.parametrize(
    "text, error, message",
    [
        (table(GOOD.replace("announcement", "x" * 200_000)), ValueError, "line 2: field larger than field limit"),
        (table('"' + GOOD), ValueError, "line 2: unexpected end of data; close the quotes of each field"),
        (b"date", TypeError, "the table must be of type str, got b'date'; read the file as text"),
        (None, TypeError, "the table must be of type str, got None"),
        ("[" * 100_000, ValueError, "line 1 must name the columns date"),
    ],
)
def test_what_is_no_table_is_refused_in_few_words(text, error, message):
    with pytest.raises(error, match=re.escape(message)) as refused:
        parse_prices(text)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "row, says",
    [
        ("2024-07,O,m,0_15,0.60,s", "line 2, column usd_per_million_input_tokens: '0_15' is not a number"),
        ("2024-07,O,m,7_0.0,0.60,s", "line 2, column usd_per_million_input_tokens: '7_0.0' is not a number"),
        ("2024-07,O,m,0.15,\u0661.\u0665,s", "line 2, column usd_per_million_output_tokens: .* is not a number"),
        ('2024-07,O,"m"x,0.15,0.60,s', "line 2: .* expected after .*; close the quotes of each field"),
        ("2024-07,O,m\0x,0.15,0.60,s", "line 2, column model: .* holds a character that is not seen; take it out"),
        ("2024-07,O\u200b,m,0.15,0.60,s", "line 2, column provider: .* holds a character that is not seen"),
        ("2024-07,O,m,1,2,s\n2024-07,O ,m,1,2,s", "line 3, column date: O m has a price for 2024-07-15 already"),
    ],
)
def test_a_slip_that_python_would_read_as_something_else_is_refused(row, says):
    table_columns = (
        "date",
        "provider",
        "model",
        "usd_per_million_input_tokens",
        "usd_per_million_output_tokens",
        "source",
    )
    with pytest.raises(ValueError, match=says):
        parse_prices(",".join(table_columns) + f"\n{row}\n")
