"""The texts of recorded studies: what is not one is refused with a sentence, and a changed bit in a shipped one too."""

import json

import pytest

from studies.augment import contest_record
from studies.augment.harm import record as harm
from studies.bits import record as bits
from studies.factorize import record as factorize
from studies.language import record as language
from studies.tickets import results as tickets

RECORDS = (bits, factorize, language, harm, contest_record, tickets)
NAMES = [module.__name__ for module in RECORDS]


@pytest.mark.parametrize("module", RECORDS, ids=NAMES)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 5, "3", "null", "[]", '"x"', "{}", '{"runs": 3}', '{"runs": [3]}']
)
def test_a_text_that_is_no_record_is_refused_with_a_sentence(module, text):
    with pytest.raises(ValueError, match=r"this is not a recorded (study|contest) \(.*\); .*git restore"):
        module.from_json(text)


@pytest.mark.parametrize("module", RECORDS, ids=NAMES)
@pytest.mark.parametrize("wrong", ["0.9", None, [0.9], float("nan")], ids=["text", "null", "list", "nan"])
def test_what_is_no_number_where_one_belongs_is_refused(module, wrong):
    text = shipped(module).read_text()
    assert module.from_json(text)  # else a refusal would say nothing
    seed = json.dumps(first_number(json.loads(text), wrong))
    with pytest.raises(ValueError, match="this is not a recorded"):
        module.from_json(seed)


def first_number(values, wrong):
    """The record with `wrong` in place of the first number of its first row."""
    rows = next(part for name, part in values.items() if name not in ("settings", "evaluate_at"))
    while not isinstance(rows, list):
        rows = next(iter(rows.values()))
    row = rows[0]
    name = next(name for name, value in row.items() if type(value) in (int, float))
    row[name] = wrong
    return values


@pytest.mark.parametrize("module", RECORDS, ids=NAMES)
def test_one_changed_bit_of_a_shipped_record_is_noticed(module, tmp_path):
    content = bytearray(shipped(module).read_bytes())
    digit = next(at for at in range(len(content) // 2, len(content)) if chr(content[at]).isdigit())
    content[digit] ^= 1  # another digit
    path = tmp_path / shipped(module).name
    path.write_bytes(content)
    assert json.loads(content)
    with pytest.raises(ValueError, match="is damaged: its .* bytes have sha256"):
        tickets.recorded("tickets", tmp_path) if module is tickets else module.recorded(path)


def shipped(module):
    return tickets.RECORDED_FOLDER / "tickets.json" if module is tickets else module.RECORD_FILE
