"""Chances by hand, and draws that are as frequent as these say; test_model_transformers.py has another oracle."""

import pytest
import torch
from scipy import stats

from mini_lib.llm.model.sampling import Sampling

LOGITS = torch.tensor([0.0, 3.0, 2.0, 1.0]).log()  # chances 0, 1/2, 1/3, 1/6; the first one is -infinity


@pytest.mark.parametrize(
    "sampling, expected",
    [
        (Sampling(), [0, 1, 0, 0]),
        (Sampling(temperature=1.0), [0, 1 / 2, 1 / 3, 1 / 6]),
        (Sampling(temperature=0.5), [0, 9 / 14, 4 / 14, 1 / 14]),  # squares
        (Sampling(temperature=1.0, top_k=2), [0, 3 / 5, 2 / 5, 0]),
        (Sampling(temperature=1.0, top_k=9), [0, 1 / 2, 1 / 3, 1 / 6]),
        (Sampling(temperature=1.0, top_p=0.4), [0, 1, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.6), [0, 3 / 5, 2 / 5, 0]),  # the first alone does not reach 0.6
        (Sampling(temperature=1.0, top_p=0.9), [0, 1 / 2, 1 / 3, 1 / 6]),
        # of the two that top_k leaves, the first has 3/5 and alone reaches 0.55 (of all it would have 1/2)
        (Sampling(temperature=1.0, top_k=2, top_p=0.55), [0, 1, 0, 0]),
    ],
    ids=str,
)
def test_chances_by_hand(sampling, expected):
    torch.testing.assert_close(sampling.probabilities(LOGITS), torch.tensor(expected).double(), rtol=1e-6, atol=0)


def test_of_equal_logits_the_first_ones_stay():
    assert Sampling(temperature=1.0, top_k=2).probabilities(torch.ones(4)).tolist() == [0.5, 0.5, 0, 0]
    assert Sampling().draw(torch.ones(4), torch.Generator()) == 0


def test_draws_are_as_frequent_as_their_chances():
    """Chi-square over 5 tokens: a right sampler fails at 1e-6 for one seed in a million, and this seed is fixed."""
    sampling, chance = Sampling(temperature=1.5, top_k=5), torch.Generator().manual_seed(0)
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, 3.0, -1.0, -2.0])
    drawn = torch.tensor([sampling.draw(logits, chance) for _ in range(4000)])
    counts, chances = torch.bincount(drawn, minlength=7), sampling.probabilities(logits)
    assert counts[5:].tolist() == [0, 0] and chances[5:].tolist() == [0, 0]
    expected = 4000 * chances[:5] / chances[:5].sum()
    assert stats.chisquare(counts[:5].numpy(), expected.numpy()).pvalue > 1e-6


def test_a_seed_says_what_is_drawn():
    logits, sampling = torch.zeros(1000), Sampling(temperature=1.0)
    first, again, other = (
        [sampling.draw(logits, chance) for _ in range(20)]
        for chance in (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
    )
    assert first == again != other


@pytest.mark.parametrize("temperature", [1e-10, 1e-300, 5e-324, 1e300])
def test_extreme_temperatures_stay_finite(temperature):
    logits = torch.tensor([1.0, 30.0, 30.0, -torch.inf])
    chances = Sampling(temperature).probabilities(logits)
    third = 1 / 3 if temperature > 1 else 0
    expected = [third, (1 - third) / 2, (1 - third) / 2, 0]
    torch.testing.assert_close(chances, torch.tensor(expected).double())


def test_a_share_of_1_leaves_all_in():
    """Summed in float32, the chances of 50,000 tokens would pass 1 before the last of them."""
    logits = torch.linspace(0, -1, 49_152)
    assert (Sampling(temperature=1.0, top_p=1.0).probabilities(logits) > 0).all()
    assert (Sampling(temperature=1.0, top_p=1 - 1e-9).probabilities(logits) > 0).all()


def test_what_is_wrong_is_refused():
    for values, error, message in (
        (
            {"temperature": -1.0},
            ValueError,
            "temperature must be a finite number of 0 or more, got -1.0; 0 takes the most",
        ),
        ({"temperature": "hot"}, TypeError, "temperature must be a finite number of 0 or more, got 'hot'"),
        ({"top_k": 0}, ValueError, "top_k must be a whole number of 1 or more, got 0; use None for all tokens"),
        ({"top_p": 0.0}, ValueError, r"top_p must lie in \(0, 1\], got 0.0; 1 leaves all tokens in"),
        ({"top_p": 90}, ValueError, r"top_p must lie in \(0, 1\], got 90"),
    ):
        with pytest.raises(error, match=message):
            Sampling(**values)
    for sampling in (Sampling(), Sampling(temperature=1.0)):
        for bad in (torch.nan, torch.inf):
            with pytest.raises(ValueError, match=f"the largest logit is {bad}; find out where it comes from"):
                sampling.draw(torch.tensor([1.0, bad, 2.0]), torch.Generator())
        with pytest.raises(ValueError, match="the largest logit is -inf"):
            sampling.draw(torch.full((3,), -torch.inf), torch.Generator())
        with pytest.raises(ValueError, match=r"logits must be \[vocabulary\], got \[1, 3\]; give those of one token"):
            sampling.draw(torch.zeros(1, 3), torch.Generator())


def test_a_share_that_is_just_reached_lets_nothing_more_in():
    two_halves = torch.zeros(2)
    assert Sampling(temperature=1.0, top_p=0.5).probabilities(two_halves).tolist() == [1, 0]
    assert Sampling(temperature=1.0, top_p=0.5001).probabilities(two_halves).tolist() == [0.5, 0.5]


def test_all_of_the_probability_is_everybody():
    """exp(-50) is 2e-22: added to 1 it is lost, so a sum up to here and a sum of all are the same float."""
    chances = Sampling(temperature=1.0, top_p=1.0).probabilities(torch.tensor([0.0, -50.0]))
    assert chances[1].item() == pytest.approx(1.93e-22, rel=1e-2)


def test_one_token_is_always_drawn():
    for sampling in (Sampling(), Sampling(1.0), Sampling(1.0, top_k=1), Sampling(1.0, top_p=0.01)):
        assert sampling.probabilities(torch.tensor([-3.0])).tolist() == [1]
        assert sampling.draw(torch.tensor([-3.0]), torch.Generator()) == 0


@pytest.mark.parametrize("shape", [(), (0,), (1, 3), (3, 1)])
def test_logits_of_another_shape_are_refused_at_every_temperature(shape):
    for sampling in (Sampling(), Sampling(temperature=0.7)):
        for ask in (sampling.probabilities, lambda logits, sampling=sampling: sampling.draw(logits, torch.Generator())):
            with pytest.raises(ValueError, match=r"logits must be \[vocabulary\], got"):
                ask(torch.zeros(shape))
