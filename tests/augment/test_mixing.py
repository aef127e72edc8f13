"""Mixup and SamplePairing: labels and pictures in one proportion, by hand and by the law of the draws; bad input."""

import pytest
import torch
from drawn import generator, is_likely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.nn import functional as F

from mini_lib.augment import Chain, CutMix, Mixup, SamplePairing
from mini_lib.batch import Batch

COUNT = 4000


def flat(count=COUNT, dtype=torch.float32):
    """Pictures of one value each, their number in the batch; labels go through three classes in turn."""
    return Batch(torch.arange(count).to(dtype).view(-1, 1, 1, 1).expand(-1, 3, 2, 2), torch.arange(count) % 3)


# --- Mixup ---------------------------------------------------------------------------------------------------------


def test_a_picture_and_its_labels_are_mixed_in_one_proportion():
    """Pictures are one-hot in their 4 pixels as labels are in their classes: whatever is drawn, both must be equal."""
    labels = torch.arange(400) % 4
    batch = Mixup(1.0, classes=4)(Batch(F.one_hot(labels, 4).float().view(400, 1, 2, 2), labels), generator())
    assert torch.equal(batch.images.view(400, 4), batch.labels)
    assert batch.labels.dtype == torch.float32


def test_the_partner_is_a_permutation():
    """With a class of its own for each picture, the labels say who was mixed with whom: each is given away once."""
    count = 1000
    labels = Mixup(1.0, classes=count)(Batch(flat(count).images, torch.arange(count)), generator()).labels
    partners = labels.fill_diagonal_(0).max(dim=1)
    partners = partners.indices[partners.values > 0]
    assert len(partners) > count - 10 and len(partners.unique()) == len(partners)  # about one is its own partner


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_every_picture_draws_its_own_share_from_a_beta(alpha):
    """A Kolmogorov-Smirnov test of the shares of 1000 pictures against SciPy's distribution; the seed is fixed."""
    images, labels = flat(1000).images, torch.arange(1000)
    shares = Mixup(alpha, classes=1000)(Batch(images, labels), generator()).labels.diagonal()
    assert stats.kstest(shares.double().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_by_hand():
    """Whatever w is drawn for two pictures of values 10 and 20 that are partners: 20 - 10 w, and 10 + 10 w'."""
    batch = Batch(torch.tensor([10.0, 20.0]).view(2, 1, 1, 1), torch.tensor([1, 0]))
    for seed in range(8):
        mixed = Mixup(1.0, classes=2)(batch, generator(seed))
        weight = mixed.labels.gather(1, batch.labels[:, None]).squeeze(1)
        assert torch.allclose(mixed.labels.sum(dim=1), torch.ones(2))
        other = batch.images.flatten().flip(0)
        # float32 of values below 32: an ulp is 2^-19, and three operations round
        assert torch.allclose(
            mixed.images.flatten(), weight * batch.images.flatten() + (1 - weight) * other, atol=3 * 2**-19
        )


def test_bytes_are_rounded_to_the_nearest():
    images = torch.randint(256, (50, 3, 4, 4), generator=generator(), dtype=torch.uint8)
    labels = torch.arange(50) % 2
    of_bytes = Mixup(1.0, classes=2)(Batch(images, labels), generator(1))
    of_floats = Mixup(1.0, classes=2)(Batch(images.double(), labels), generator(1))
    assert of_bytes.images.dtype == torch.uint8 and torch.equal(of_bytes.labels, of_floats.labels)
    # half a level, and what float32 loses of values below 256: two operations of 2^-17 each
    assert (of_bytes.images.double() - of_floats.images).abs().max() <= 0.5 + 2**-16


def test_mixing_twice_mixes_the_shares():
    """Labels that are shares are mixed as they are: pictures equal to their labels stay so."""
    labels = torch.arange(400) % 4
    batch = Batch(F.one_hot(labels, 4).float().view(400, 1, 2, 2), labels)
    for second in (Mixup(1.0, classes=4), Chain(Mixup(0.4, classes=4), Mixup(1.0, classes=4))):
        twice = Chain(Mixup(1.0, classes=4), second)(batch, generator())
        assert torch.equal(twice.images.view(400, 4), twice.labels)
        assert ((twice.labels > 0).sum(dim=1) > 2).any()


def test_one_picture_has_only_itself():
    batch = Mixup(1.0, classes=3)(Batch(torch.ones(1, 1, 2, 2), torch.tensor([2])), generator())
    assert torch.equal(batch.images, torch.ones(1, 1, 2, 2)) and batch.labels.tolist() == [[0, 0, 1]]


# --- SamplePairing -------------------------------------------------------------------------------------------------


def test_pairing_takes_half_of_another_picture_and_keeps_the_labels():
    batch = flat(dtype=torch.float64)
    paired = SamplePairing()(batch, generator())
    assert torch.equal(paired.labels, batch.labels)
    partners = 2 * paired.images[:, 0, 0, 0] - batch.images[:, 0, 0, 0]
    assert torch.equal(partners.sort().values, batch.images[:, 0, 0, 0])  # a permutation, exact in halves
    assert is_likely((partners == batch.images[:, 0, 0, 0]).sum().item(), COUNT, 1 / COUNT)


@settings(max_examples=30)
@given(st.floats(0, 1), st.integers(0, 255), st.integers(0, 255))
def test_pairing_weighs_by_hand(weight, one, other):
    images = torch.tensor([one, other], dtype=torch.float64).view(2, 1, 1, 1)
    paired = SamplePairing(weight)(images, generator(seed=1)).flatten().tolist()
    swapped = [(1 - weight) * one + weight * other, (1 - weight) * other + weight * one]
    # The weight passes through float32: 2^-24 of it, times 255.
    assert paired == pytest.approx(swapped, abs=255 * 2**-23) or paired == pytest.approx([one, other], abs=255 * 2**-23)


# --- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [Mixup(0.5, classes=3), SamplePairing(0.3), CutMix(1.0, classes=3)], ids=repr)
def test_the_same_seed_gives_the_same_batch_and_nothing_else_is_touched(augment):
    images = torch.randint(256, (40, 1, 6, 6), generator=generator(), dtype=torch.uint8)
    batch, before, state = Batch(images, torch.arange(40) % 3), images.clone(), torch.get_rng_state()
    once, again, other = (augment(batch, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(once.images, again.images) and torch.equal(once.labels, again.labels)
    assert not torch.equal(once.images, other.images)
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(batch.labels, torch.arange(40) % 3)


@pytest.mark.parametrize("mixer", [Mixup, CutMix])
@pytest.mark.parametrize(
    "alpha, classes, error, says",
    [
        (0, 10, ValueError, "alpha must be a finite number above 0, got 0"),
        ("1", 10, TypeError, "alpha must be a finite number above 0, got '1'"),
        (
            1,
            1,
            ValueError,
            "classes must be a whole number of 2 or more, got 1; give the number of classes of the data",
        ),
        (1, 2.0, TypeError, "classes must be a whole number of 2 or more, got 2.0"),
    ],
)
def test_wrong_settings_say_what_to_do(mixer, alpha, classes, error, says):
    with pytest.raises(error) as caught:
        mixer(alpha, classes)
    assert says in str(caught.value)


@pytest.mark.parametrize("name, mixer", [("Mixup", Mixup(1, 3)), ("CutMix", CutMix(1, 3))])
def test_wrong_batches_say_what_to_do(name, mixer):
    images = torch.zeros(2, 1, 4, 4)
    for batch, error, says in (
        (images, TypeError, f"{name} mixes labels as it mixes pictures, so it needs a Batch, got Tensor; use Batch("),
        (Batch(images, torch.tensor([0, 3])), ValueError, f"{name} was made for labels from 0 to 2, got 3"),
        (
            Batch(images, torch.ones(2, 4) / 4),
            ValueError,
            f"{name} was made for 3 classes, got labels that are shares of",
        ),
        (Batch(images.long(), torch.tensor([0, 1])), TypeError, "pictures must be uint8"),
        (Batch(images[0], torch.tensor([0])), ValueError, "[N, 1 or 3 channels, height, width], got [1, 4, 4]"),
    ):
        with pytest.raises(error) as caught:
            mixer(batch, generator())
        assert says in str(caught.value)
    with pytest.raises(TypeError, match="generator must be a torch.Generator"):
        mixer(Batch(images, torch.tensor([0, 1])), None)


def test_a_weight_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"weight must lie in \[0, 1\], got 2; the paper takes the mean of both"):
        SamplePairing(2)
