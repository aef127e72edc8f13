"""Policies: what each picture draws and how often, by exact binomial bounds; a table, JSON, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import Recorder, generator, is_likely, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.augment import Policy, Step, SubPolicy, policy_from_json
from mini_lib.augment.operations import (
    AUTOAUGMENT_OPERATIONS,
    WIDE_OPERATIONS,
    equalize,
    identity,
    invert,
    operation_named,
    rotate,
    solarize,
    translate_x,
    warped_with,
)
from mini_lib.batch import Batch

COUNT = 20_000  # pictures of one batch


def pictures(count=6, channels=3, size=8, seed=0):
    return torch.randint(256, (count, channels, size, size), generator=generator(seed), dtype=torch.uint8)


def drawn(policy, count=COUNT, seed=0):
    """The calls of one batch: operation, strengths, numbers of the pictures."""
    recorder = Recorder()
    replace(policy, guard=recorder)(numbered(count), generator(seed))
    return recorder.calls


def some_policy():
    return Policy(
        [
            SubPolicy(Step(invert, probability=0.5), Step(rotate, probability=0.8, magnitude=4)),
            SubPolicy(Step(solarize, probability=0.3, magnitude=5)),
        ]
    )


# --- what each picture draws ---------------------------------------------------------------------------------------


def test_every_sub_policy_is_drawn_by_its_share_of_the_pictures_of_one_batch():
    magnitudes = [9 * number / 25 for number in range(1, 26)]  # tell the sub-policies apart
    policy = Policy([SubPolicy(Step(rotate, probability=1, magnitude=one)) for one in magnitudes])
    [(_, strengths, numbers)] = drawn(policy)
    assert len(numbers) == COUNT
    for magnitude in magnitudes:
        times = (strengths.abs() - 30 * magnitude / 9).abs().lt(1e-4).sum().item()
        assert is_likely(times, COUNT, 1 / 25)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_a_step_happens_with_its_probability(probability):
    [(_, _, numbers)] = drawn(Policy([SubPolicy(Step(invert, probability=probability))]))
    assert is_likely(len(numbers), COUNT, probability)


def test_a_probability_of_0_never_happens_and_of_1_always():
    assert drawn(Policy([SubPolicy(Step(invert, probability=0))])) == []
    [(_, _, numbers)] = drawn(Policy([SubPolicy(Step(invert, probability=1))]))
    assert len(numbers) == COUNT


def test_the_steps_of_a_sub_policy_are_drawn_apart():
    policy = Policy([SubPolicy(Step(invert, probability=0.5), Step(equalize, probability=0.5))])
    (_, _, first), (_, _, second) = drawn(policy)
    both = len(set(first.tolist()) & set(second.tolist()))
    assert is_likely(both, COUNT, 1 / 4)


def test_half_of_the_pictures_go_the_other_way_and_each_step_tosses_its_own_coin():
    step = Step(rotate, probability=1, magnitude=3)
    (_, first, _), (_, second, _) = drawn(Policy([SubPolicy(step, step)]))
    assert set(first.tolist()) == {-10.0, 10.0} == set(second.tolist())  # 30 * 3/9 degrees
    assert is_likely((first < 0).sum().item(), COUNT, 1 / 2)
    assert is_likely((first == second).sum().item(), COUNT, 1 / 2)


def test_a_sub_policy_of_fewer_steps_does_less():
    calls = drawn(some_policy())
    rotated = next(numbers for name, _, numbers in calls if name == "rotate")
    solarized = next(numbers for name, _, numbers in calls if name == "solarize")
    assert not set(rotated.tolist()) & set(solarized.tolist())  # no picture has both sub-policies


def test_pictures_that_drew_one_operation_are_changed_by_one_call():
    """Three sub-policies start with invert, each with a probability: one call, and one more for the second steps."""
    policy = Policy(
        [SubPolicy(Step(invert, probability=p), Step(rotate, probability=1, magnitude=2)) for p in (0.2, 0.5, 1)]
    )
    assert [name for name, _, _ in drawn(policy)] == ["invert", "rotate"]


def test_steps_happen_in_their_order():
    """solarize at 9 (threshold 0) inverts all; at 0 (threshold 255) only white. White: 255 -> 0, then 0 stays 0; the
    other way round it is 255 -> 0 -> 255 too, so take a policy that tells them apart: invert, then solarize at 0.
    Black 0 -> 255 -> 0; white 255 -> 0 -> 0. Solarize first: black 0 -> 0 -> 255; white 255 -> 0 -> 255.
    """
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    inverted, solarized = Step(invert, probability=1), Step(solarize, probability=1, magnitude=0)
    assert Policy([SubPolicy(inverted, solarized)])(black_and_white, generator()).flatten().tolist() == [0, 0]
    assert Policy([SubPolicy(solarized, inverted)])(black_and_white, generator()).flatten().tolist() == [255, 255]


def test_a_picture_is_changed_by_what_it_drew_and_no_other():
    images = pictures(count=50)
    recorder = Recorder()
    policy = Policy([SubPolicy(Step(invert, probability=0.5))], guard=recorder)
    changed = policy(Batch(images, torch.arange(50)), generator()).images
    [(_, _, numbers)] = recorder.calls
    expected = images.clone()
    expected[numbers] = 255 - images[numbers]
    assert 0 < len(numbers) < 50 and torch.equal(changed, expected)


# --- how it is called ----------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([1, 3]), st.integers(0, 5))
def test_the_same_seed_gives_the_same_pictures_and_nothing_else_is_touched(seed, channels, count):
    images = pictures(count, channels)
    before, state = images.clone(), torch.get_rng_state()
    once, again = (some_policy()(images, generator(seed)) for _ in range(2))
    assert torch.equal(once, again) and once.shape == images.shape and once.dtype == torch.uint8
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)
    if count:
        assert once.data_ptr() != images.data_ptr()


def test_a_batch_gives_a_batch_with_its_labels_and_a_tensor_gives_a_tensor():
    images, labels = pictures(), torch.arange(6)
    batch = some_policy()(Batch(images, labels), generator(3))
    assert torch.equal(batch.images, some_policy()(images, generator(3)))
    assert torch.equal(batch.labels, labels)


def test_the_labels_of_the_result_are_its_own():
    labels = torch.arange(6)
    batch = some_policy()(Batch(pictures(), labels), generator(3))
    batch.labels[0] = 5
    assert labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_mixed_labels_pass_through():
    shares = torch.full((6, 2), 0.5)
    assert torch.equal(some_policy()(Batch(pictures(), shares), generator()).labels, shares)


# --- a table and JSON ----------------------------------------------------------------------------------------------


def test_a_policy_prints_as_a_table():
    assert str(some_policy()) == (
        "   operation  probability  magnitude  operation  probability  magnitude\n"
        "1  invert             0.5          -  rotate             0.8          4\n"
        "2  solarize           0.3          5"
    )


@st.composite
def policies(draw):
    steps = st.builds(
        Step,
        st.sampled_from([*AUTOAUGMENT_OPERATIONS, *(one for one in WIDE_OPERATIONS if one.unit != "pixels")]),
        probability=st.floats(0, 1),
        magnitude=st.one_of(st.integers(0, 9), st.floats(0, 9)),
    )
    return Policy(draw(st.lists(st.lists(steps, min_size=1, max_size=3).map(lambda s: SubPolicy(*s)), min_size=1)))


@settings(max_examples=30)
@given(policies())
def test_json_gives_the_same_policy_back(policy):
    assert policy_from_json(policy.to_json()) == policy


def test_json_takes_the_numbers_of_numpy():
    step = Step(rotate, probability=np.float32(0.5), magnitude=np.int64(3))
    policy = Policy([SubPolicy(step, replace(step, operation=replace(rotate, strongest=np.float32(45))))])
    assert policy_from_json(policy.to_json()) == policy


def test_json_is_plain_data():
    assert some_policy().to_json() == '[[["invert", 0.5, null], ["rotate", 0.8, 4]], [["solarize", 0.3, 5]]]'


def test_json_says_what_an_operation_has_of_its_own():
    wide = replace(rotate, strongest=135.0)
    policy = Policy([SubPolicy(Step(wide, probability=1, magnitude=9), Step(rotate, probability=1, magnitude=9))])
    assert policy.to_json() == '[[["rotate", 1, 9, {"strongest": 135.0}], ["rotate", 1, 9]]]'


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: Step(rotate, probability=1.5, magnitude=1), ValueError, "probability must lie in [0, 1], got 1.5"),
        (lambda: Step(rotate, probability=True, magnitude=1), TypeError, "probability must be a number in [0, 1]"),
        (lambda: Step(rotate, probability=1, magnitude=10), ValueError, "magnitude must be a number from 0 to 9, got"),
        (lambda: Step(rotate, probability=1, magnitude=-1), ValueError, "magnitude must be a finite number of 0 or"),
        (lambda: Step(rotate, probability=1), ValueError, "rotate needs a magnitude, from 0 to 9, got none"),
        (lambda: Step(rotate, probability=1, magnitude="4"), TypeError, "magnitude must be a finite number"),
        (lambda: Step("rotate", probability=1, magnitude=4), TypeError, "got the name 'rotate'; use operation_named"),
        (
            lambda: Step("rotatte", probability=1, magnitude=4),
            TypeError,
            "operation must be an Operation, got the name 'rotatte'; use operation_named(name)",
        ),
        (
            lambda: Step(torch.rot90, probability=1, magnitude=4),
            TypeError,
            "operation must be an Operation, got <built",
        ),
        (lambda: SubPolicy(), ValueError, "a sub-policy needs at least one step, got none"),
        (lambda: SubPolicy([Step(invert, probability=1)]), TypeError, "use SubPolicy(Step(...), Step(...))"),
        (lambda: Policy([]), ValueError, "a policy needs at least one sub-policy, got none; for no augmentation use"),
        (lambda: Policy(SubPolicy(Step(invert, probability=1))), TypeError, "must be a list, got SubPolicy"),
        (lambda: Policy([Step(invert, probability=1)]), TypeError, "a policy is a list of sub-policies, got Step("),
        (lambda: replace(some_policy(), guard=Recorder()).to_json(), ValueError, "JSON holds no guard"),
        (
            lambda: Policy([SubPolicy(Step(warped_with(rotate, fill=9), probability=1, magnitude=1))]).to_json(),
            ValueError,
            "JSON cannot hold pixels of a changed rotate; keep this policy as code",
        ),
        (lambda: policy_from_json("{"), ValueError, "expected a policy as to_json writes it, got '{'"),
        (lambda: policy_from_json("3"), ValueError, "expected a policy as to_json writes it, got '3'"),
        (lambda: policy_from_json('[[["rotate", 1]]]'), ValueError, "expected a policy as to_json writes it"),
        (lambda: policy_from_json('[[["rotate", 1, 4, {"speed": 1}]]]'), ValueError, "a step may change weakest"),
        (
            lambda: policy_from_json('[[["rotatte", 1, 4]]]'),
            ValueError,
            "no operation is called 'rotatte'; the nearest are rotate",
        ),
        (lambda: policy_from_json('[[["rotate", 2, 4]]]'), ValueError, "probability must lie in [0, 1], got 2"),
        (lambda: policy_from_json(None), TypeError, "text must be of type str, got None; read the file first"),
        (lambda: policy_from_json("[" * 100_000), ValueError, "expected a policy as to_json writes it, got '[[["),
        (lambda: policy_from_json("\ufeff[]"), ValueError, "expected a policy as to_json writes it"),
        (
            lambda: policy_from_json('[[["rotate", 1, 4, {"name": "invert"}]]]'),
            ValueError,
            "a step may change weakest, strongest, unit, signed, whole of rotate, got ['name']; leave them out",
        ),
        *(
            (lambda given=given: policy_from_json(f'[[["rotate", 1, 4, {given}]]]'), error, says)
            for given, error, says in (
                ('{"pixels": 1}', ValueError, "got ['pixels']; leave them out"),
                ('{"draws": true}', ValueError, "got ['draws']; leave them out"),
                ('{"signed": 1}', ValueError, "signed must be of type bool, got 1"),
                ('{"unit": null}', ValueError, "unit must be of type str, got None"),
                ('{"strongest": "9"}', ValueError, "strongest of rotate must be a finite number, got '9'"),
                ("[1]", ValueError, "got [1]; leave them out"),
                ("7", ValueError, "expected a policy as to_json writes it"),
            )
        ),
        (lambda: policy_from_json("[]"), ValueError, "a policy needs at least one sub-policy"),
        (lambda: policy_from_json("[[]]"), ValueError, "a sub-policy needs at least one step"),
    ],
)
def test_a_wrong_policy_says_what_to_do(make, error, says):
    with pytest.raises(error) as caught:
        make()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "batch, error, says",
    [
        (torch.zeros(2, 1, 8, 8), TypeError, "must be uint8, 0 for black to 255 for white, got torch.float32; for"),
        (torch.zeros(2, 1, 8, 8), TypeError, "use Standardised(augment)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.int64), TypeError, "must be uint8"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), ValueError, "1 or 3 channels, height, width], got [2, 4, 8, 8]"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), ValueError, "got [2, 8, 8]; one picture alone is image.unsqueeze(0)"),
        (torch.zeros(2, 1, 0, 8, dtype=torch.uint8), ValueError, "got [2, 1, 0, 8]"),
        (pictures().numpy(), TypeError, "takes a Batch or a tensor of pictures, got ndarray"),
        (Batch(torch.zeros(2, 1, 8, 8), torch.zeros(2).long()), TypeError, "use Standardised(augment)"),
    ],
)
def test_wrong_pictures_say_what_to_do(batch, error, says):
    with pytest.raises(error) as caught:
        some_policy()(batch, generator())
    assert says in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 0])
def test_without_a_generator_nothing_is_drawn(wrong):
    with pytest.raises(TypeError, match="generator must be a torch.Generator, got (NoneType|int); use torch.Generator"):
        some_policy()(pictures(), wrong)


# --- a guard -------------------------------------------------------------------------------------------------------


class Forbids(Recorder):
    """Halves every strength, and keeps odd pictures as they are."""

    def limited(self, operation, strengths, labels):
        return strengths / 2, labels % 2 == 0


def test_a_guard_has_the_last_word():
    images = pictures(count=8)
    policy = Policy([SubPolicy(Step(solarize, probability=1, magnitude=0))], guard=Forbids())
    changed = policy(Batch(images, torch.arange(8)), generator()).images
    even = torch.where(images >= 255 / 2, 255 - images, images)  # solarize at 255 / 2
    assert torch.equal(changed[0::2], even[0::2]) and torch.equal(changed[1::2], images[1::2])


class Knows(Recorder):
    """Knows no operation."""

    def check(self, operations):
        raise ValueError(f"no limit for {', '.join(one.name for one in operations)}")


def test_a_guard_is_asked_about_the_operations_when_the_policy_is_made():
    with pytest.raises(ValueError, match="no limit for invert, rotate, solarize"):
        replace(some_policy(), guard=Knows())


def test_the_operation_that_does_nothing_does_nothing():
    images = pictures()
    assert torch.equal(Policy([SubPolicy(Step(identity, probability=1))])(images, generator()), images)
    assert operation_named("translate_x") == translate_x
