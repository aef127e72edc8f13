"""Perplexity: by hand, against a loop over prefixes, and its intervals against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from tiny_lm import VOCABULARY, some_tokens, tiny_lm

from mini_lib.llm.model.perplexity import Perplexity, perplexity
from mini_lib.llm.model.windows import windows_of


def test_a_model_that_knows_nothing_hesitates_between_all_tokens():
    lm = tiny_lm()
    lm.head.weight.zero_()
    found = perplexity(lm, some_tokens(), window=16)
    # float32 log of 64, relative error 2^-24, times the few operations of a log-softmax
    assert found.losses == pytest.approx([math.log(VOCABULARY)] * 8, rel=1e-6)
    assert found.value == pytest.approx(VOCABULARY, rel=1e-5)


def test_it_is_the_mean_over_prefixes_computed_one_by_one():
    lm, tokens, window = tiny_lm(), some_tokens(48), 16
    found = perplexity(lm, tokens, window)
    expected = []
    for start in (0, 16, 32):
        losses = []
        for end in range(start + 1, start + window):
            logits = lm(tokens[None, start:end])[0, -1].double().numpy()
            losses.append(np.log(np.exp(logits).sum()) - logits[tokens[end]])
        expected.append(np.mean(losses))
    # logits of about 1 in float32 after some hundred additions: errors of 1e-6 at most
    assert found.losses == pytest.approx(expected, abs=1e-5)
    assert found.tokens == 3 * 15


def test_windows_do_not_see_each_other_and_a_rest_is_left_out():
    lm, tokens = tiny_lm(), some_tokens(40)
    before = perplexity(lm, tokens, window=16)
    tokens[20] = (tokens[20] + 1) % VOCABULARY
    after = perplexity(lm, tokens, window=16)
    assert len(before.losses) == 2
    assert before.losses[0] == after.losses[0] and before.losses[1] != after.losses[1]
    assert before.text != after.text
    assert perplexity(lm, tokens[:32].tolist(), window=16) == after


def test_its_interval_is_that_of_scipy():
    losses = (2.0, 3.0, 2.5, 4.0)
    low, high = Perplexity(losses, 4, "a").interval
    expected = stats.t.interval(0.95, 3, np.mean(losses), stats.sem(losses))
    assert (math.log(low), math.log(high)) == pytest.approx(expected)


def test_a_ratio_is_paired_by_window():
    one = Perplexity((2.0, 5.0, 3.0), 3, "a")
    other = Perplexity((1.9, 4.8, 2.85), 3, "a")
    ratio = one.times(other)
    paired = stats.ttest_rel(one.losses, other.losses).confidence_interval(0.95)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx(
        (math.exp(0.15), math.exp(paired.low), math.exp(paired.high))
    )
    assert ratio.low > 1  # though the intervals of the two overlap by far
    assert one.interval[0] < other.value < one.interval[1]
    back = other.times(one)
    assert (1 / back.value, 1 / back.high, 1 / back.low) == pytest.approx((ratio.value, ratio.low, ratio.high))


def test_the_same_text_in_other_windows_is_another_text():
    lm, tokens = tiny_lm(), some_tokens(64)
    with pytest.raises(ValueError, match="other windows"):
        perplexity(lm, tokens, window=16).times(perplexity(lm, tokens, window=32))
    with pytest.raises(TypeError, match="got float"):
        perplexity(lm, tokens, window=16).times(3.0)


def test_progress_is_told_window_by_window():
    told = []
    perplexity(tiny_lm(), some_tokens(48), 16, told.append)
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    ("tokens", "window", "kind", "message"),
    [
        (some_tokens(10), 16, ValueError, "10 tokens do not fill a window of 16"),
        (some_tokens(31), 16, ValueError, "two are needed"),
        (some_tokens(32), 1, ValueError, "window must be a whole number of 2 or more"),
        (some_tokens(32)[None], 16, ValueError, "one row of ids, got shape"),
        (some_tokens(32).float(), 16, TypeError, "each token must be a whole number, got "),
        ("a text", 16, TypeError, "must be token ids, got 'a text'"),
        (some_tokens(32) + VOCABULARY, 16, ValueError, "not in the vocabulary"),
    ],
)
def test_bad_tokens_are_refused(tokens, window, kind, message):
    with pytest.raises(kind, match=message):
        perplexity(tiny_lm(), tokens, window)


@pytest.mark.parametrize("losses", [(1.0,), (), (1.0, math.nan)])
def test_losses_without_an_interval_are_refused(losses):
    with pytest.raises(ValueError, match="two windows|a finite number"):
        Perplexity(losses, 1, "a")


def test_intervals_beyond_the_floats_end_at_infinity():
    """Losses 1 and 500: the mean is 250.5, and the interval 12.7 standard errors of 249.5 to either side."""
    found = Perplexity((1.0, 500.0), 2, "a")
    assert found.interval == (0.0, math.inf) and found.value == pytest.approx(math.exp(250.5))
    assert Perplexity((800.0, 800.0), 2, "a").value == math.inf
    with pytest.raises(ValueError, match="a loss must lie within 1,000,000 nats, got 1e"):
        Perplexity((1e308, 1e308), 2, "a")


def test_losses_are_summed_in_float64():
    """Logits of 0 but for one of k: the loss is log(e^k + 31) - k, worked out in float64 for each of 15 tokens.

    The logits are float32, and k is one of them exactly: nothing is rounded but the loss itself, by 2^-53 of log 32 per
    operation."""
    lm = tiny_lm()

    def known(tokens, cache=None):
        logits = torch.zeros(1, tokens.shape[1], VOCABULARY)
        logits[0, torch.arange(15), tokens[0, 1:]] = torch.arange(15) / 8
        return logits

    lm.forward = known
    expected = np.mean([math.log(math.exp(k / 8) + VOCABULARY - 1) - k / 8 for k in range(15)])
    assert perplexity(lm, some_tokens(32), window=16).losses == pytest.approx([expected] * 2, abs=1e-14)


@pytest.mark.parametrize(
    "change", [lambda lm: lm.train(), lambda lm: lm.blocks[1].feed_forward.train()], ids=["all of it", "a part"]
)
def test_a_model_in_training_mode_is_not_judged(change):
    lm = tiny_lm()
    change(lm)
    with pytest.raises(ValueError, match=r"in training mode; call lm.eval\(\) first"):
        perplexity(lm, some_tokens(32), window=16)


def test_windows_are_cut_in_order():
    parts = windows_of(some_tokens(50), 16)
    assert [tuple(part.shape) for part in parts] == [(1, 16)] * 3
    assert torch.equal(torch.cat(parts, dim=1)[0], some_tokens(50)[:48])
