"""Claims: a sentence of the page and the numbers that it speaks of."""

import json

import numpy as np
import pytest
import torch

from teach.claim import MIME_TYPE, Claim, claim, numbers, read


@pytest.mark.parametrize(
    "sentence, written",
    [
        ("keeps 78/36/69%", [78, 36, 69]),
        ("from .38 to .69 ms", [0.38, 0.69]),
        ("1,024 codes; 60,688 tokens", [1024, 60688]),
        ("loses -2 to −.5 points", [-2, -0.5]),
        ("10-90 percentiles", [10, 90]),  # a hyphen between two numbers is no sign
        ("int8, conv3, W8A8, x86 and AVX2 have none", []),
        ("2.5e-3 s", [0.0025]),
        ("57x, 3.1x", [57, 3.1]),
        ("a 4-bit grid (2 to 3).", [4, 2, 3]),
        ("lesson 2.1.", [2.1]),
        ("–3 points", [-3]),
        ("1.5GB, 1,024B and 5.2xy have a unit that hides them", []),
    ],
)
def test_the_numbers_of_a_sentence(sentence, written):
    assert [number for _, number, _ in numbers(sentence)] == written


@pytest.mark.parametrize(
    "sentence, value, agrees",
    [
        ("14.3 times", 14.25, True),
        ("14.3 times", 14.35, True),
        ("14.3 times", 14.36, False),
        ("87%", 86.5, True),
        ("87%", 86.4, False),
        ("87%", 0.87, False),  # in the units of the sentence
        ("1,024 bytes", 1024, True),
        ("1,024 bytes", 1023, False),
        ("2.5e-3 s", 0.00252, True),
        ("2.5e-3 s", 0.0026, False),
        ("-2 points", 2, False),
    ],
)
def test_a_value_agrees_where_it_rounds_to_what_is_written(sentence, value, agrees):
    assert (Claim(sentence, (value,)).problem() == "") is agrees


def test_a_tolerance_is_added_to_the_rounding():
    assert Claim("about 200", (215,), within=20).problem() == ""
    assert Claim("about 200", (221,), within=20).problem() == "says 200, but it is 221"


def test_what_a_sentence_says_besides():
    assert Claim("The grid wins", holds=True).problem() == ""
    assert Claim("The grid wins", holds=False).problem() == "does not hold"
    assert Claim("The grid wins by 3", (5,), holds=False).problem() == "says 3, but it is 5; does not hold"


def test_every_number_has_its_value_or_none():
    assert Claim("at 3 bits 87%", (None, 86.9)).problem() == ""
    with pytest.raises(ValueError, match=r"'at 3 bits 87%' has 2 numbers \(3, 87%\), got 1 values; give one for each"):
        Claim("at 3 bits 87%", (86.9,))


def test_a_claim_is_compared_with_something():
    with pytest.raises(ValueError, match="'at 3 bits' is compared with nothing; give its numbers, or holds="):
        Claim("at 3 bits")
    with pytest.raises(ValueError, match="compared with nothing"):
        Claim("at 3 bits", (None,))
    with pytest.raises(ValueError, match="measured must be a finite number, got nan"):
        Claim("87%", (float("nan"),))


def test_a_claim_is_kept_as_it_was():
    before = Claim("It keeps 87% of 10", (86.2, None), within=0.5, holds=True, page="README.md")
    data = before._repr_mimebundle_()
    assert data["text/plain"] == "claim: 'It keeps 87% of 10' holds"
    assert read(json.loads(json.dumps(data[MIME_TYPE]))) == before
    with pytest.raises(ValueError, match="not a claim"):
        read({"sentence": "x"})


def test_a_claim_that_does_not_hold_here_says_so_and_raises_nothing(capsys):
    claim("It keeps 87%", 80)
    assert "claim: 'It keeps 87%' says 87%, but it is 80" in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer", [(False, False), "no", float("nan"), 86.2, torch.tensor([True, True]), lambda: False]
)
def test_what_a_sentence_says_holds_or_does_not(answer):
    with pytest.raises(TypeError, match="holds must be True or False, got .*; join several with `and`, or use all"):
        Claim("The grid wins", holds=answer)
    for no in (np.bool_(False), torch.tensor(False)):
        assert Claim("The grid wins", holds=no).problem() == "does not hold"
