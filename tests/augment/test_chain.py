"""One augmentation after the other, and on standardised pictures: lossless, refused where the unit is wrong."""

import pytest
import torch
from drawn import generator

from mini_lib.augment import AUTOAUGMENT_CIFAR10, Chain, Cutout, Mixup, Policy, Standardised, Step, SubPolicy
from mini_lib.augment.operations import invert
from mini_lib.batch import Batch
from mini_lib.data import PIXEL_MEAN, PIXEL_STD, fashion
from mini_lib.fit import fit

ALL_BYTES = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
INVERTED = Policy([SubPolicy(Step(invert, probability=1))])


def standardised(pixels, mean=PIXEL_MEAN, std=PIXEL_STD):
    return pixels.float().div_(255).sub_(mean).div_(std)


def as_they_are(batch, generator):
    return batch


@pytest.mark.parametrize("mean, std", [(PIXEL_MEAN, PIXEL_STD), (0.1307, 0.3081), (0, 1), (0.5, 0.25)])
def test_all_bytes_come_back_bit_for_bit(mean, std):
    images = standardised(ALL_BYTES, mean, std)
    assert torch.equal(Standardised(as_they_are, mean, std)(images, generator()), images)


@pytest.fixture(scope="module")
def clothes():
    return fashion().validation


def test_the_courses_pictures_come_back_bit_for_bit(clothes):
    images = clothes.images
    assert torch.equal(Standardised(as_they_are)(images, generator()), images)


def test_each_channel_may_have_its_own_mean_and_std():
    pixels = ALL_BYTES.expand(2, 3, 16, 16)
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    images = torch.stack([standardised(pixels[:, one], mean[one], std[one]) for one in range(3)], dim=1)
    changed = Standardised(INVERTED, mean, std)(images, generator())
    expected = torch.stack([standardised(255 - pixels[:, one], mean[one], std[one]) for one in range(3)], dim=1)
    assert torch.equal(changed, expected)


def test_the_policy_sees_bytes_and_draws_as_on_bytes():
    pixels = torch.randint(256, (30, 3, 8, 8), generator=generator(), dtype=torch.uint8)
    batch = Batch(standardised(pixels), torch.arange(30))
    changed = Standardised(AUTOAUGMENT_CIFAR10)(batch, generator(1))
    assert torch.equal(changed.images, standardised(AUTOAUGMENT_CIFAR10(pixels, generator(1))))
    assert torch.equal(changed.labels, batch.labels) and torch.equal(batch.images, standardised(pixels))
    double = Standardised(AUTOAUGMENT_CIFAR10)(batch.images.double(), generator(1))
    assert double.dtype == torch.float64


def test_a_chain_does_one_after_the_other_with_one_generator():
    pixels = torch.randint(256, (30, 1, 8, 8), generator=generator(), dtype=torch.uint8)
    chance = generator(5)
    by_hand = Cutout(3)(AUTOAUGMENT_CIFAR10(pixels, chance), chance)
    assert torch.equal(Chain(AUTOAUGMENT_CIFAR10, Cutout(3))(pixels, generator(5)), by_hand)


def test_mixed_labels_leave_a_chain_and_are_trained_on(clothes):
    augment = Chain(Standardised(INVERTED), Cutout(4), Mixup(0.4, classes=10))
    some = clothes.first(40)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    fitted = fit(net, some, some, epochs=1, seed=0, learning_rate=0.01, augment=augment)
    assert 0 < fitted.history[0].train_loss < 10
    assert augment(Batch(some.images, some.labels), generator()).labels.shape == (40, 10)


@pytest.mark.parametrize(
    "images, error, says",
    [
        (ALL_BYTES, TypeError, "Standardised takes standardised pictures in float32 or float64, got torch.uint8"),
        (standardised(ALL_BYTES).half(), TypeError, "in float32 or float64, got torch.float16"),
        (torch.zeros(1, 28, 28), ValueError, "got [1, 28, 28]"),
        (None, TypeError, "got NoneType"),
        (standardised(ALL_BYTES, 0.1307, 0.3081), ValueError, "not bytes standardised with mean 0.2859 and std 0.3531"),
        (standardised(ALL_BYTES) * 1.01, ValueError, "give the mean and std of this data"),
        (ALL_BYTES / 255, ValueError, "turned back, their pixels go from 72.90 to 162.94"),  # .2859 * 255, 0.639 * 255
        (
            (standardised(ALL_BYTES) + standardised(ALL_BYTES.flip(3))) / 2,
            ValueError,
            "mix pictures (Mixup, say) after",
        ),
        (standardised(ALL_BYTES).fill_(torch.nan), ValueError, "expected whole numbers from 0 to 255"),
    ],
)
def test_pictures_in_another_unit_are_refused(images, error, says):
    with pytest.raises(error) as caught:
        Standardised(INVERTED)(images, generator())
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: Chain(), ValueError, "a chain needs at least one augmentation, got none"),
        (
            lambda: Chain(INVERTED, 3),
            TypeError,
            "each part of a chain must be callable as augment(batch, generator), got",
        ),
        (lambda: Standardised(None), TypeError, "augment must be callable as augment(batch, generator), got None"),
        (lambda: Standardised(INVERTED, mean="grey"), TypeError, "mean must be a finite number, got 'g'"),
        (lambda: Standardised(INVERTED, mean=None), TypeError, "mean must be a finite number, got None"),
        (
            lambda: Standardised(INVERTED, std=(0.5, torch.nan)),
            ValueError,
            "std must be a finite number above 0, got nan",
        ),
        # Standardised so, grey pictures would silently become pictures of three channels.
        (
            lambda: Standardised(INVERTED, mean=(0.5,) * 3, std=(0.5,) * 3)(torch.ones(1, 1, 2, 2), generator()),
            ValueError,
            "mean and std must be one number, or one for each of 1 channels",
        ),
        (
            lambda: Standardised(lambda pixels, _: pixels / 255, 0.5, 0.5)(torch.ones(1, 1, 2, 2), generator()),
            TypeError,
            "an augmentation in Standardised must give uint8 pictures, got torch.float32",
        ),
        (
            lambda: Standardised(lambda pixels, _: None, 0.5, 0.5)(torch.ones(1, 1, 2, 2), generator()),
            TypeError,
            "must give uint8 pictures, got NoneType",
        ),
        (lambda: Standardised(INVERTED, std=0), ValueError, "std must be a finite number above 0, got 0; give that"),
        (
            lambda: Standardised(INVERTED)(torch.zeros(1, 1, 2, 2), None),
            TypeError,
            "generator must be a torch.Generator",
        ),
    ],
)
def test_wrong_settings_say_what_to_do(make, error, says):
    with pytest.raises(error) as caught:
        make()
    assert says in str(caught.value)
