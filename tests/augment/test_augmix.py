"""AugMix: what its chains draw, its weights against SciPy's distributions, pixels by hand, and bad input."""

from collections import Counter

import pytest
import torch
from drawn import Recorder, generator, is_likely, numbered
from scipy import stats

from mini_lib.augment import AUGMIX_OPERATIONS, AugMix
from mini_lib.augment.operations import identity, invert, rotate
from mini_lib.batch import Batch

COUNT = 6000


def drawn(seed=0, **settings):
    recorder = Recorder()
    AugMix(guard=recorder, **settings)(numbered(COUNT), generator(seed))
    return recorder.calls


def test_the_operations_are_those_of_the_paper():
    """Appendix C: not contrast, color, brightness, sharpness and cutout, which are like the corruptions of the test."""
    names = {"auto_contrast", "equalize", "posterize", "rotate", "solarize"}
    names |= {f"{kind}_{axis}" for kind in ("shear", "translate") for axis in "xy"}
    assert {one.name for one in AUGMIX_OPERATIONS} == names and len(AUGMIX_OPERATIONS) == 9


def test_chains_are_one_to_three_operations_long_and_each_picture_draws_its_own():
    """Of one chain: all have a first operation, two thirds a second, one third a third."""
    calls = drawn(width=1, operations=(invert,))
    assert [len(numbers) for _, _, numbers in calls[:1]] == [COUNT]
    assert is_likely(len(calls[1][2]), COUNT, 2 / 3) and is_likely(len(calls[2][2]), COUNT, 1 / 3)
    assert len(calls) == 3 and set(calls[2][2].tolist()) <= set(calls[1][2].tolist())


def test_a_depth_is_that_of_every_chain():
    times = Counter()
    for _, _, numbers in drawn(width=2, depth=4, operations=(invert, identity)):
        times.update(numbers.tolist())
    assert set(times.values()) == {8} and len(times) == COUNT


def test_every_operation_is_drawn_as_often():
    counts = Counter()
    for name, _, numbers in drawn(width=1, depth=1):
        counts[name] += len(numbers)
    for one in AUGMIX_OPERATIONS:
        assert is_likely(counts[one.name], COUNT, 1 / 9)


def test_strengths_are_even_up_to_the_severity():
    """Rotation by up to 30 degrees, of which severity 3 allows 0.3 to 9; half of them to the other side."""
    [(_, strengths, _)] = drawn(width=1, depth=1, operations=(rotate,))
    assert stats.kstest(strengths.abs().double().numpy(), stats.uniform(0.3, 8.7).cdf).pvalue > 1e-3
    assert is_likely((strengths < 0).sum().item(), COUNT, 1 / 2)


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_the_skip_and_the_weights_are_drawn_from_beta_and_dirichlet(alpha):
    """On black pictures, of which one chain inverts all: a pixel is 255 * (1 - m) w, with w that chain's weight.

    With one chain w = 1, and 1 - m is Beta(alpha, alpha). Pixels are rounded to 255ths, which moves the distribution by
    half a step times its density, 1.9 at most for these: 1.9 / 510 = 0.0037. The Kolmogorov distance of 6000 draws is
    below 1.95 / sqrt(6000) = 0.0252 but for one chance in 1000.
    """
    black = torch.zeros(COUNT, 1, 1, 1, dtype=torch.uint8)
    mixed = AugMix(width=1, depth=1, alpha=alpha, operations=(invert,))(black, generator()).flatten() / 255
    assert stats.kstest(mixed.numpy(), stats.beta(alpha, alpha).cdf).statistic < 0.0252 + 0.0037


def test_the_weights_of_the_chains_add_up_to_what_is_not_skipped():
    """Whatever the weights, three chains that do nothing give the picture back, and three that invert it are one."""
    pixels = torch.randint(256, (50, 3, 4, 4), generator=generator(), dtype=torch.uint8)
    assert torch.equal(AugMix(operations=(identity,))(pixels, generator()), pixels)
    three = AugMix(width=3, depth=1, operations=(invert,))(pixels, generator())
    skip = (three.double() - (255 - pixels.double())) / (2 * pixels.double() - 255)  # from m p + (1 - m)(255 - p)
    for picture, weight in zip(pixels, skip):
        far = (2 * picture.double() - 255).abs() > 51  # there a rounding by 1/2 level moves m by at most 1/102
        assert weight[far].max() - weight[far].min() < 2 / 102 + 1e-6


def test_chains_of_a_picture_differ():
    """Of three chains of depth 1, drawn from identity and invert, a black picture is 255 (1 - m) (w of the inverted):
    if all chains drew alike, as many as half of the pictures would be black; apart it is one in eight.
    """
    black = torch.zeros(COUNT, 1, 1, 1, dtype=torch.uint8)
    mixed = AugMix(depth=1, operations=(identity, invert))(black, generator())
    # besides the eighth, (1 - m) w < 1/510 rounds to 0: for w <= 1 and even m below 3 * (1 + ln 510) / 510 = 4.3%
    at_least, at_most = stats.binom.ppf(1e-6, COUNT, 1 / 8), stats.binom.isf(1e-6, COUNT, 1 / 8 + 0.043)
    assert at_least <= (mixed == 0).sum() <= at_most


def test_the_same_seed_gives_the_same_pictures_and_nothing_else_is_touched():
    images = torch.randint(256, (40, 3, 12, 12), generator=generator(), dtype=torch.uint8)
    batch, before, state = Batch(images, torch.arange(40)), images.clone(), torch.get_rng_state()
    once, again, other = (AugMix()(batch, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(once.images, again.images) and not torch.equal(once.images, other.images)
    assert once.images.dtype == torch.uint8 and torch.equal(once.labels, batch.labels)
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: AugMix(severity=0), ValueError, "severity must be a finite number above 0, got 0"),
        (lambda: AugMix(severity=11), ValueError, "severity must be a number from 0.1 to 10, got 11; try 3"),
        (lambda: AugMix(width=0), ValueError, "width must be a whole number of 1 or more, got 0"),
        (lambda: AugMix(depth=0), ValueError, "depth must be a whole number of 1 or more, got 0; None draws 1 to 3"),
        (lambda: AugMix(alpha=0), ValueError, "alpha must be a finite number above 0, got 0"),
        (lambda: AugMix(operations=()), ValueError, "operations must hold at least one operation"),
        (lambda: AugMix()(torch.zeros(1, 1, 2, 2), generator()), TypeError, "use Standardised(augment)"),
    ],
)
def test_wrong_settings_say_what_to_do(make, error, says):
    with pytest.raises(error) as caught:
        make()
    assert says in str(caught.value)
