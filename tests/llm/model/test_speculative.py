"""Speculative decoding: the text is that of greedy decoding, whatever is proposed; the counts add up."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language_models import TOKENS, tiny_architecture, tiny_model

from mini_lib.llm.model.generate import stream
from mini_lib.llm.model.speculative import Speculated, drafted_by, first_layers, generate_speculatively, look_up
from mini_lib.quantize import IntFormat, PerGroup, pack_for_speed, quantize_weights

PROMPT = [4, 7, 4, 7, 20]


@pytest.fixture(scope="module")
def lm():
    return tiny_model(tiny_architecture(layers=3))


@pytest.fixture(scope="module")
def packed(lm):
    return pack_for_speed(quantize_weights(lm, IntFormat(4, granularity=PerGroup(16), scale_dtype=torch.float16)))


@given(seed=st.integers(0, 2**16), ahead=st.integers(1, 6), new=st.integers(0, 20), right=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_any_draft_gives_the_greedy_text(packed, seed, ahead, new, right):
    """A draft that knows the text and lies now and then, or proposes too few; the packed model decides bit for bit."""
    plain = tuple(stream(packed, PROMPT, new))
    chance = torch.Generator().manual_seed(seed)

    def draft(tokens, count):
        truth = plain[len(tokens) - len(PROMPT) :][:count]
        lies = torch.rand(len(truth), generator=chance) > right
        return [(one + 1) % len(TOKENS) if lie else one for one, lie in zip(truth, lies.tolist())]

    got = generate_speculatively(packed, PROMPT, new, draft, ahead=ahead)
    assert got.tokens == plain
    assert 0 <= got.accepted <= got.proposed and got.passes <= max(len(plain) + 1, 1)


def test_a_perfect_draft_fills_each_pass(lm):
    plain = tuple(stream(lm, PROMPT, 16, stop_at_end=False))
    got = generate_speculatively(
        lm, PROMPT, 16, lambda tokens, count: plain[len(tokens) - len(PROMPT) :][:count], ahead=4
    )
    if got.tokens == plain:  # no end token on the way: the prompt gives one token, then 5 in each pass
        assert (got.passes, got.accepted, got.acceptance) == (4, 12, 1.0)
    assert got.tokens == plain[: len(got.tokens)]


def test_the_model_as_its_own_draft_is_always_right(packed):
    got = generate_speculatively(packed, PROMPT, 12, drafted_by(packed, room_tokens=60), ahead=3)
    assert got.tokens == tuple(stream(packed, PROMPT, 12))
    assert got.accepted == got.proposed or len(got.tokens) < 12


def test_a_draft_proposes_its_own_greedy_text(packed):
    """As many tokens as asked, whatever was accepted of those before: the cache follows, here and back."""
    propose = drafted_by(packed, room_tokens=60)
    greedy = list(stream(packed, PROMPT, 6, stop_at_end=False))
    assert list(propose(PROMPT, 4)) == greedy[:4]
    assert list(propose(PROMPT, 0)) == []
    assert list(propose(PROMPT + greedy[:2], 3)) == greedy[2:5]  # two of the four were accepted
    other = [*PROMPT, (greedy[0] + 1) % len(TOKENS)]
    assert list(propose(other, 3)) == list(stream(packed, other, 3, stop_at_end=False))  # none was
    assert list(propose(PROMPT, 1)) == greedy[:1]


def test_proposals_save_passes(packed):
    """The model as its own draft: the prompt's pass gives one token, and each one after it up to 4."""
    plain = tuple(stream(packed, PROMPT, 13))
    got = generate_speculatively(packed, PROMPT, 13, drafted_by(packed, room_tokens=60), ahead=3)
    assert got.tokens == plain and len(plain) > 5
    assert got.proposed > 0 and got.accepted > 0
    if len(plain) == 13:
        assert (got.passes, got.proposed, got.accepted, got.acceptance) == (4, 9, 9, 1.0)
        assert got.tokens_per_pass == 13 / 4


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_fewer_layers_draft(lm, layers):
    small = first_layers(lm, layers)
    assert small.architecture.layers == len(small.blocks) == layers and small.head is lm.head
    tokens = torch.tensor([PROMPT])
    if layers == 3:
        assert torch.equal(small(tokens), lm(tokens))
    assert generate_speculatively(lm, PROMPT, 10, drafted_by(small, 60)).tokens == tuple(stream(lm, PROMPT, 10))


def test_look_up():
    assert look_up([1, 2, 3, 9, 1, 2, 3], 2) == (9, 1)  # three tokens, then what followed
    assert look_up([1, 2, 8, 5, 2, 9, 2], 1) == (9,)  # of two places the last one
    assert look_up([1, 2, 3], 4) == ()
    assert look_up([], 4) == () and look_up([1], 4) == ()


def test_counts():
    assert Speculated((), 0, 0, 0).tokens_per_pass != Speculated((), 0, 0, 0).tokens_per_pass  # NaN
    assert Speculated((1, 2, 3), 4, 1, 2).tokens_per_pass == 1.5


def test_what_is_refused(lm):
    with pytest.raises(ValueError, match="ahead must be"):
        generate_speculatively(lm, PROMPT, 4, look_up, ahead=0)
    with pytest.raises(ValueError, match="the prompt is empty"):
        generate_speculatively(lm, [], 4, look_up)
    with pytest.raises(ValueError, match="is not in the vocabulary"):
        generate_speculatively(lm, PROMPT, 4, lambda tokens, count: [len(TOKENS)] * count)
    with pytest.raises(ValueError, match="layers must be"):
        first_layers(lm, 4)
