"""Compare the shipped list prices with the collections that their rows name.

    python tools/price_history.py FOLDER

FOLDER holds the wheels, as `pip download --no-deps -d FOLDER tokencost==0.1.12` fetches them: those of tokencost that
the rows name, and genai-prices 0.2.3. Nothing is imported from a wheel. A row from tokencost must be in that wheel with
both prices, and its day must be that of the wheel's files or be part of the model's name. A row from genai-prices must
be there with both prices, and under that start date if the row says "dated there".
"""

import ast
import datetime as dt
import functools
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mini_lib.llm.prices import Price, history

TOKENCOST = re.compile(r"tokencost (?P<version>[\d.]+) of (?P<date>[\d-]+), (?P<key>[^;]+)")
GENAI = re.compile(r"genai-prices (?P<version>[\d.]+), (?P<provider>[^/]+)/(?P<model>[^;]+);(?P<note>.*)")
Listed = tuple[dt.date | None, float, float]


@functools.cache
def tokencost_prices(wheel: Path) -> tuple[dt.date, dict[str, tuple[float, float]]]:
    """Return the day on which a wheel of tokencost was made, and its USD per million tokens by model."""
    with zipfile.ZipFile(wheel) as files:
        [name] = [name for name in files.namelist() if name.endswith("model_prices.json")]
        made = dt.date(*files.getinfo(name).date_time[:3])
        listed = json.loads(files.read(name))
    pairs = {key: (row.get("input_cost_per_token"), row.get("output_cost_per_token")) for key, row in listed.items()}
    return made, {
        key: (float(a) * 1e6, float(b) * 1e6) for key, (a, b) in pairs.items() if a is not None and b is not None
    }


@functools.cache
def genai_prices(wheel: Path) -> dict[tuple[str, str], list[Listed]]:
    """Return start date (or None) and USD per million tokens by provider and model, read from the source text."""
    with zipfile.ZipFile(wheel) as files:
        tree = ast.parse(files.read("genai_prices/data.py"))
    found: dict[tuple[str, str], list[Listed]] = {}
    for provider in calls(tree, "Provider"):
        for model in calls(provider, "ModelInfo"):
            prices = keyword(model, "prices")
            entries = prices.elts if isinstance(prices, ast.List) else [prices]
            key = (keyword(provider, "id").value, keyword(model, "id").value)
            found[key] = [listed for entry in entries if (listed := one_price(entry)) is not None]
    return found


def one_price(entry: ast.Call) -> Listed | None:
    """Return an entry's prices for short prompts, or None if it does not have prices for both kinds of tokens."""
    start = next(
        (
            dt.date(*(part.value for part in keyword(call, "start_date").args))
            for call in calls(entry, "StartDateConstraint")
        ),
        None,
    )
    [price] = calls(entry, "ModelPrice")
    both = [
        decimals(word.value)[0] for name in ("input_mtok", "output_mtok") for word in price.keywords if word.arg == name
    ]
    return (start, *both) if len(both) == 2 else None


def decimals(node: ast.AST) -> list[float]:
    """Return the numbers written as Decimal('...'), the base of a tiered price first."""
    return [float(call.args[0].value) for call in calls(node, "Decimal")]


def calls(node: ast.AST, name: str) -> Iterator[ast.Call]:
    """Find the calls of a name inside a node, in the order of the text."""
    found = [
        call
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name
    ]
    return iter(sorted(found, key=lambda call: (call.lineno, call.col_offset)))


def keyword(call: ast.Call, name: str) -> ast.expr:
    """Return the argument of a call that has this name."""
    return next(word.value for word in call.keywords if word.arg == name)


def close(price: Price, listed: tuple[float, float]) -> bool:
    """Whether both prices agree to a thousandth of a percent, since the collections store them per token, in binary."""
    ours = (price.usd_per_million_input_tokens, price.usd_per_million_output_tokens)
    return all(abs(a - b) <= 1e-5 * abs(b) for a, b in zip(ours, listed, strict=True))


def wrong(price: Price, folder: Path) -> str | None:
    """Return the error of one row, None if there is none, or "no collection" if the row names none."""
    if row := TOKENCOST.match(price.source):
        made, listed = tokencost_prices(folder / f"tokencost-{row['version']}-py3-none-any.whl")
        named = f"{price.date:%Y%m%d}" in row["key"].replace("-", "")
        if made.isoformat() != row["date"] or not (price.date == made or named):
            return f"the wheel is of {made}"
        return None if close(price, listed.get(row["key"], (-1, -1))) else f"listed at {listed.get(row['key'])}"
    if row := GENAI.match(price.source):
        listed = genai_prices(folder / f"genai_prices-{row['version']}-py3-none-any.whl")
        entries = listed.get((row["provider"], row["model"]), [])
        dated = "dated there" in row["note"]
        fits = [entry for entry in entries if close(price, entry[1:]) and (not dated or entry[0] == price.date)]
        return None if fits else f"listed at {entries}"
    return "no collection"


def main(folder: Path) -> int:
    """Print each row that does not agree with its collection, and the counts."""
    findings = [(price, wrong(price, folder)) for price in history()]
    for price, finding in findings:
        if finding not in (None, "no collection"):
            print(f"{price.date} {price.provider} {price.model}: {finding}")
    agree, without = (sum(finding == kind for _, finding in findings) for kind in (None, "no collection"))
    differ = len(findings) - agree - without
    print(f"{agree} rows agree with their collection, {without} name no collection, {differ} differ")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else __doc__)
