"""RandAugment and TrivialAugment: what each picture draws and how often, and bad input."""

from dataclasses import replace

import pytest
import torch
from drawn import Recorder, generator, is_likely, numbered

from mini_lib.augment import RandAugment, TrivialAugment
from mini_lib.augment.operations import WIDE_OPERATIONS, invert, rotate
from mini_lib.batch import Batch

COUNT = 20_000


def drawn(policy, seed=0):
    recorder = Recorder()
    replace(policy, guard=recorder)(numbered(COUNT), generator(seed))
    return recorder.calls


@pytest.mark.parametrize("policy", [RandAugment(count=1), TrivialAugment()], ids=["rand", "trivial"])
def test_every_operation_is_drawn_by_its_share_of_the_pictures_of_one_batch(policy):
    calls = drawn(policy)
    assert sorted(name for name, _, _ in calls) == sorted(one.name for one in policy.operations)  # one call for each
    assert sorted(torch.cat([numbers for _, _, numbers in calls]).tolist()) == list(range(COUNT))
    for _, _, numbers in calls:
        assert is_likely(len(numbers), COUNT, 1 / len(policy.operations))


def test_randaugment_draws_count_times_and_may_draw_an_operation_again():
    calls = drawn(RandAugment(count=2, operations=(invert, rotate)))
    assert [name for name, _, _ in calls] == ["invert", "rotate"] * 2
    first, second = calls[0][2].tolist(), calls[2][2].tolist()
    assert is_likely(len(set(first) & set(second)), COUNT, 1 / 4)  # inverted twice: 1/2 * 1/2


@pytest.mark.parametrize("magnitude", [0, 9, 14.5, 30])
def test_randaugment_has_one_magnitude_of_30_and_a_sign_for_each_picture(magnitude):
    [(_, strengths, _)] = drawn(RandAugment(count=1, magnitude=magnitude, operations=(rotate,)))
    assert (strengths.abs() - 30 * magnitude / 30).abs().max() <= 30 * 2**-23  # float32
    if magnitude:
        assert is_likely((strengths < 0).sum().item(), COUNT, 1 / 2)


def test_trivialaugment_draws_a_magnitude_and_a_sign_for_each_picture():
    [wide] = [one for one in WIDE_OPERATIONS if one.name == "rotate"]
    [(_, strengths, _)] = drawn(TrivialAugment(operations=(wide,)))
    levels = strengths.abs() / 135 * 30
    assert (levels - levels.round()).abs().max() < 1e-4
    for level in range(31):
        assert is_likely((levels.round() == level).sum().item(), COUNT, 1 / 31)
    turned = strengths[strengths != 0]
    assert is_likely((turned < 0).sum().item(), len(turned), 1 / 2)


@pytest.mark.parametrize("policy", [RandAugment(), TrivialAugment()], ids=["rand", "trivial"])
def test_the_same_seed_gives_the_same_pictures_and_nothing_else_is_touched(policy):
    images = torch.randint(256, (40, 3, 12, 12), generator=generator(), dtype=torch.uint8)
    before, state, labels = images.clone(), torch.get_rng_state(), torch.arange(40)
    once, again, other = (policy(Batch(images, labels), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(once.images, again.images) and not torch.equal(once.images, other.images)
    assert torch.equal(once.images, policy(images, generator(1))) and torch.equal(once.labels, labels)
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: RandAugment(count=0), ValueError, "count must be a whole number of 1 or more, got 0"),
        (lambda: RandAugment(magnitude=31), ValueError, "magnitude must be a number from 0 to 30, got 31"),
        (lambda: RandAugment(magnitude=None), TypeError, "magnitude must be a finite number of 0 or more, got None"),
        (lambda: RandAugment(operations=()), ValueError, "operations must hold at least one operation, got none"),
        (lambda: TrivialAugment(operations=()), ValueError, "operations must hold at least one operation, got none"),
        (lambda: TrivialAugment(operations=("rotate",)), TypeError, "got the name 'rotate'"),
        (
            lambda: TrivialAugment(operations=rotate),
            TypeError,
            "operations must be a list of operations, got Operation",
        ),
        (lambda: TrivialAugment()(torch.zeros(1, 1, 2, 2), generator()), TypeError, "use Standardised(augment)"),
    ],
)
def test_wrong_settings_say_what_to_do(make, error, says):
    with pytest.raises(error) as caught:
        make()
    assert says in str(caught.value)
