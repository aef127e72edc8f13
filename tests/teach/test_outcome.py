"""Outcomes cross to another process as text, and nothing that comes back can do harm."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teach.compare import identical
from teach.outcome import Outcome, Raised, from_json, to_json
from teach.plain import Opaque

SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text() | st.integers() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(SIMPLE, lambda v: st.lists(v) | st.tuples(v, v) | st.dictionaries(KEYS, v), max_leaves=8)
JSON = st.recursive(SIMPLE, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=8)
DTYPES = [torch.bool, torch.uint8, torch.uint16, torch.int64, torch.float16, torch.bfloat16, torch.float32]


@given(VALUES)
@settings(deadline=None)
def test_plain_values_come_back_the_same(value):
    (back,) = from_json(to_json([Outcome("returned", value)]))
    assert identical(back.value, value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3,), (2, 0), (2, 1, 4)])
def test_tensors_come_back_to_the_bit(dtype, shape):
    tensor = torch.arange(math.prod(shape)).reshape(shape).to(dtype)
    (back,) = from_json(to_json([Outcome("returned", [tensor.transpose(0, -1)])]))
    assert back.value[0].dtype == dtype
    assert torch.equal(back.value[0], tensor.transpose(0, -1))


def test_special_floats_and_everything_beside_the_value_come_back():
    raised = Raised("ValueError", "no", 3, "return 1 / 0")
    sent = [
        Outcome("returned", [float("inf"), -0.0], changed=("w",), borrowed="scale", printed="hi"),
        Outcome("raised", raised=raised),
        Outcome("unwritten"),
        Outcome("returned", Opaque("generator", "why")),
    ]
    assert from_json(to_json(sent)) == sent
    (nan,) = from_json(to_json([Outcome("returned", float("nan"))]))
    assert math.isnan(nan.value)


@given(JSON)
@settings(deadline=None)
def test_any_other_json_is_refused_and_nothing_worse(content):
    if isinstance(content, (list, dict, str)) and not content:
        return  # no outcomes at all: the verdict refuses their number
    with pytest.raises(ValueError, match="these are not outcomes"):
        from_json(json.dumps(content))


@pytest.mark.parametrize(
    "value",
    [
        ["tensor", ["float32", [2], "AAAA"]],  # three bytes do not fill a float
        ["tensor", ["float32", [3], "AAAAAAAAAAA="]],  # eight bytes are not three floats
        ["tensor", ["Tensor", [1], "AAAA"]],
        ["tensor", ["float32", [1], "not base64!"]],
        ["tensor", ["complex64", [1], "AAAAAAAAAAA="]],
        ["pickle", "gASV"],
        ["list", 3],
        ["dict", [[["list", []], 1]]],  # a list cannot be a key
        ["list"],
    ],
)
def test_damaged_values_are_refused(value):
    row = {"kind": "returned", "value": value, "changed": [], "borrowed": None, "printed": "", "raised": None}
    row |= {"returns": "always", "wrote": "", "slips": []}
    with pytest.raises(ValueError, match="these are not outcomes"):
        from_json(json.dumps([row]))


@pytest.mark.parametrize("kind", ["set", "dict"])
def test_items_of_one_hash_are_refused_before_they_are_compared(kind):
    multiples = [k * (2**61 - 1) for k in range(101)]  # the hash of each is 0
    assert {hash(number) for number in multiples} == {0}
    value = [kind, multiples if kind == "set" else [[number, 1] for number in multiples]]
    row = {"kind": "returned", "value": value, "changed": [], "borrowed": None, "printed": "", "raised": None}
    row |= {"returns": "always", "wrote": "", "slips": []}
    with pytest.raises(ValueError, match="too many items of one hash"):
        from_json(json.dumps([row]))
    many = [kind, list(range(20_000)) if kind == "set" else [[number, 1] for number in range(20_000)]]
    (back,) = from_json(json.dumps([row | {"value": many}]))
    assert sorted(back.value) == list(range(20_000))


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 100_000, '[{"kind": "passed"}]', '[{"kind": "raised"}]'])
def test_damaged_text_is_refused(text):
    with pytest.raises(ValueError, match="these are not outcomes"):
        from_json(text)


def test_long_texts_are_cut():
    (back,) = from_json(to_json([Outcome("raised", raised=Raised("E" * 9999, "m" * 9999), printed="p" * 9999)]))
    assert len(back.raised.type) == len(back.raised.message) == len(back.printed) == 500
