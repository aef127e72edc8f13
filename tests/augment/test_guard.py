"""A guard is kept: no step of a guarded policy goes beyond the limit of its class, whatever the policy draws."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.augment import (
    WIDE_OPERATIONS,
    AugMix,
    Guard,
    Operation,
    Policy,
    RandAugment,
    Step,
    SubPolicy,
    TrivialAugment,
    cutout,
    flip,
    identity,
    invert,
    posterize,
    rotate,
    solarize,
    translate_x,
)
from mini_lib.batch import Batch

CLASSES = 3


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def recorder(operation, seen):
    """The operation, which does nothing but note the strength and the class that is painted into each picture."""

    def note(images, strengths, *_):
        seen.extend(zip(images[:, 0, 0, 0].tolist(), strengths.tolist()))
        return images.clone()

    return replace(operation, pixels=note)


def batch_of(count, seed=0):
    labels = torch.randint(CLASSES, (count,), generator=chance(seed))
    return Batch(labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone(), labels)


def farther(operation, strength, limit):
    """Whether a strength lies farther from the harmless end than the limit, up to the rounding of float32."""
    if operation.signed:
        return abs(strength) > abs(limit) * (1 + 1e-6)
    low, high = operation.limits
    limit = min(max(limit, low), high)  # no strength lies beyond these, and so no stricter one can be asked for
    return {-1: strength < limit - 1e-4, 0: False, 1: strength > limit + 1e-4}[way(operation)]


def way(operation):
    return (operation.strongest > operation.weakest) - (operation.strongest < operation.weakest)


LIMITS = {"rotate": (180.0, 30.0, None), "posterize": (4.0, 6.0, 8.0), "invert": (None, 0.0, None), "solarize": 100.0}
OPERATIONS = (replace(rotate, strongest=180.0), posterize, invert, solarize)
POLICIES = {
    "Policy": lambda operations, guard: Policy(
        [
            SubPolicy(Step(one, probability=0.9, magnitude=m), Step(operations[0], probability=0.5, magnitude=9))
            for one in operations
            for m in (1, 9)
        ],
        guard=guard,
    ),
    "RandAugment": lambda operations, guard: RandAugment(3, 30, operations, guard=guard),
    "TrivialAugment": lambda operations, guard: TrivialAugment(operations, guard=guard),
}


@pytest.mark.parametrize("kind", POLICIES)
def test_no_step_goes_beyond_the_limit_of_its_class(kind):
    seen = {one.name: [] for one in OPERATIONS}
    operations = tuple(recorder(one, seen[one.name]) for one in OPERATIONS)
    POLICIES[kind](operations, Guard(LIMITS))(batch_of(2_000), chance(1))
    for one in OPERATIONS:
        assert seen[one.name]
        for label, strength in seen[one.name]:
            limit = LIMITS[one.name]
            limit = limit[label] if isinstance(limit, tuple) else limit
            assert limit is not None and not farther(one, strength, limit), (one.name, label, strength)
    # The guard does not simply forbid everything: each limit is reached, and both signs stay.
    turned = {label: [s for seen_label, s in seen["rotate"] if seen_label == label] for label in range(CLASSES)}
    assert (min(turned[0]), max(turned[0])) == (-180, 180) and (min(turned[1]), max(turned[1])) == (-30, 30)
    assert min(s for label, s in seen["posterize"] if label == 1) == 6
    assert {label for label, _ in seen["invert"]} == {1} and turned[2] == []


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*WIDE_OPERATIONS[1:], solarize]),
    st.lists(st.none() | st.floats(-50, 300, width=32), min_size=CLASSES, max_size=CLASSES),
    st.sampled_from(["cut", "rescale"]),
    st.integers(0, 2**31),
)
def test_limited_strengths_keep_sign_and_limit(operation, limits, beyond, seed):
    guard = Guard({operation.name: limits}, beyond=beyond)
    strengths = operation.strength(torch.rand(50, generator=chance(seed), dtype=torch.float64))
    strengths = strengths * (1 - 2 * torch.randint(2, (50,), generator=chance(seed))) if operation.signed else strengths
    labels = torch.randint(CLASSES, (50,), generator=chance(seed))
    limited, allowed = guard.limited(operation, strengths, labels)
    for label, before, after, may in zip(labels.tolist(), strengths.tolist(), limited.tolist(), allowed.tolist()):
        assert may == (limits[label] is not None)
        if may:
            assert not farther(operation, after, limits[label])
            if beyond == "cut" and not operation.whole:
                assert after == before or farther(operation, before, limits[label])
            assert after * before >= 0


def test_a_picture_that_must_not_be_changed_stays_to_the_last_pixel():
    pictures = torch.randint(256, (200, 1, 8, 8), generator=chance(), dtype=torch.uint8)
    labels = torch.arange(200) % 2
    guarded = RandAugment(2, 30, (rotate, invert), guard=Guard({"rotate": (0, None), "invert": (0, None)}))
    changed = guarded(Batch(pictures, labels), chance(1)).images
    assert torch.equal(changed[labels == 1], pictures[labels == 1])
    assert not torch.equal(changed[labels == 0], pictures[labels == 0])


def test_without_labels_the_strictest_class_counts():
    strengths = torch.tensor([170.0, -170.0])
    limited, allowed = Guard({"rotate": (180, 30, 90)}).limited(rotate, strengths)
    assert limited.tolist() == [30, -30] and allowed.all()
    _, allowed = Guard({"rotate": (180, None, 90)}).limited(rotate, strengths)
    assert not allowed.any()
    pictures = torch.randint(256, (50, 1, 4, 4), generator=chance(), dtype=torch.uint8)
    guard = Guard({"invert": (0, None, 0)})
    assert torch.equal(TrivialAugment((invert,), guard=guard)(pictures, chance()), pictures)


def test_of_a_mixed_picture_the_strictest_class_with_a_share_counts():
    shares = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])
    limited, allowed = Guard({"rotate": (180, 30, None)}).limited(rotate, torch.tensor([90.0, 90.0, 90.0]), shares)
    assert limited[0] == 30 and allowed.tolist() == [True, False, False]


def test_a_limit_between_two_whole_strengths_is_the_harmless_one():
    limited, _ = Guard({"posterize": 5.5}).limited(posterize, torch.tensor([4.0, 7.0]))
    assert limited.tolist() == [6, 7]


def test_rescaling_shrinks_the_range_to_the_limit():
    wide = replace(rotate, strongest=180.0)
    guard = Guard({"rotate": (90, 30, None)}, beyond="rescale")
    limited, allowed = guard.limited(wide, torch.tensor([180.0, -90.0, -60.0]), torch.tensor([0, 0, 1]))
    assert limited.tolist() == [90, -45, -10] and allowed.all()
    limited, allowed = guard.limited(rotate, torch.tensor([30.0, 30.0]), torch.tensor([0, 2]))
    assert limited[0] == 30 and allowed.tolist() == [True, False]  # a range within the limit stays as it is
    guard = Guard({"posterize": 6, "invert": 0}, beyond="rescale")
    assert guard.limited(posterize, torch.tensor([4.0, 5.0, 8.0]))[0].tolist() == [6, 7, 8]  # 6.5 bits: the harmless 7
    assert guard.limited(invert, torch.tensor([0.0]))[0].tolist() == [0]


def test_a_rescaled_policy_is_the_policy_with_the_narrower_range():
    batch = Batch(torch.randint(256, (300, 1, 8, 8), generator=chance(), dtype=torch.uint8), torch.zeros(300).long())
    narrow = TrivialAugment((rotate,))(batch, chance(1)).images
    guarded = TrivialAugment((replace(rotate, strongest=180.0),), guard=Guard({"rotate": (30,)}, beyond="rescale"))
    assert torch.equal(guarded(batch, chance(1)).images, narrow)


def test_identity_needs_no_limit_and_no_pictures_are_fine():
    guard = Guard({"rotate": (30, 30)})
    guard.check([identity, rotate])
    limited, allowed = guard.limited(rotate, torch.empty(0), torch.empty(0, dtype=torch.int64))
    assert len(limited) == len(allowed) == 0


# Bad input


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_a_policy_with_an_operation_that_has_no_limit_is_refused_when_it_is_made(make):
    message = "the guard has no limit for 'flip', only for rotate; measure it with label_safety, or leave"
    with pytest.raises(ValueError, match=message):
        make((flip, rotate), Guard({"rotate": 30}))


def test_a_guard_without_limits_says_so():
    with pytest.raises(ValueError, match=r"no limit for 'rotate', only for nothing; measure"):
        Guard({}).limited(rotate, torch.zeros(1))


def test_another_unit_is_refused():
    wide = next(one for one in WIDE_OPERATIONS if one.name == "translate_x")
    guard = Guard({"translate_x": 0.2}, {"translate_x": translate_x.unit})
    guard.check([translate_x])
    with pytest.raises(ValueError, match="limits translate_x in 'of the width', but this one counts in 'pixels'"):
        guard.check([wide])


@pytest.mark.parametrize("labels", [torch.tensor([0, 2]), torch.full((2, 3), 1 / 3)])
def test_a_label_without_a_limit_is_refused(labels):
    with pytest.raises(ValueError, match=r"limits for classes 0 to 1, got labels from 0 to 2; measure them for all"):
        Guard({"rotate": (30, 30)}).limited(rotate, torch.zeros(2), labels)


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        ({"rotate": "30"}, TypeError, "the limit of rotate must be a finite number, got '30'; None never applies"),
        ({"rotate": (30, True)}, TypeError, "the limit of rotate must be a finite number, got True"),
        ({"rotate": float("inf")}, ValueError, "the limit of rotate must be a finite number, got inf"),
        ({"rotate": ()}, ValueError, "every operation needs equally many limits per class, got {'rotate': 0}"),
        ({"rotate": (1, 2), "invert": (0,)}, ValueError, "got {'rotate': 2, 'invert': 1}; give one for each class"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Guard(limits)


@pytest.mark.parametrize("beyond", ["cut", "rescale"])
def test_a_limit_holds_for_a_range_that_begins_beyond_it(beyond):
    few_bits = replace(posterize, weakest=4.0, strongest=0.0)  # AugMix's; the limit was measured from 8 to 4 bits
    strengths, allowed = Guard({"posterize": 5}, beyond=beyond).limited(few_bits, torch.tensor([4.0, 3.0, 0.0]))
    assert strengths.tolist() == [5, 5, 5] and allowed.all()
    large = replace(cutout, weakest=0.2, strongest=0.5)
    strengths, _ = Guard({"cutout": 0.125}, beyond=beyond).limited(large, torch.tensor([0.2, 0.5]))
    assert strengths.tolist() == [0.125, 0.125]


def test_a_limit_weaker_than_the_weakest_leaves_pictures_as_they_are():
    policy = RandAugment(1, 30, (posterize, solarize), guard=Guard({"posterize": 20, "solarize": 300}))
    pictures = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(20, 1, 1, 1)
    assert torch.equal(policy(pictures, chance()), pictures)


def test_a_negative_label_is_no_class():
    with pytest.raises(ValueError, match=r"limits for classes 0 to 1, got labels from -1 to 0"):
        Guard({"rotate": (1, None)}).limited(rotate, torch.zeros(2), torch.tensor([0, -1]))


def test_equal_guards_have_equal_hashes_and_keep_no_dict_of_the_caller():
    units = {"rotate": "degrees"}
    guard = Guard({"rotate": [10, 20]}, units)
    units["rotate"] = "pixels"
    guard.check([rotate])
    assert hash(RandAugment(1, 3, (rotate,), guard)) == hash(RandAugment(1, 3, (rotate,), replace(guard)))


@pytest.mark.parametrize("make", [lambda: Guard([30]), lambda: Guard({"rotate": 30}, ["degrees"])])
def test_limits_that_name_no_operation_are_refused(make):
    with pytest.raises(TypeError, match=r"(limits|units) must be a dict by operation, got \["):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda guard: Policy([SubPolicy(Step(invert, probability=1))], guard),
        lambda guard: RandAugment(guard=guard),
        lambda guard: TrivialAugment(guard=guard),
        lambda guard: AugMix(guard=guard),
    ],
)
def test_limits_alone_are_no_guard(make):
    with pytest.raises(TypeError, match=r"guard must be a Guard, got {'rotate': 30}; use Guard\("):
        make({"rotate": 30})


def test_another_way_to_limit_is_refused():
    with pytest.raises(ValueError, match="beyond must be 'cut' or 'rescale', got 'clip'"):
        Guard({"rotate": 30}, beyond="clip")


def test_every_row_of_a_batch_may_be_forbidden():
    pictures = torch.randint(256, (9, 1, 4, 4), generator=chance(), dtype=torch.uint8)
    for operation in (rotate, posterize, invert):
        guard = Guard({operation.name: None})
        assert torch.equal(TrivialAugment((operation,), guard=guard)(pictures, chance()), pictures)


def test_an_operation_of_your_own_is_limited_too():
    darker = Operation("darker", lambda images, strengths: images, 0.0, 50.0)
    limited, _ = Guard({"darker": 20}).limited(darker, torch.tensor([10.0, 40.0]))
    assert limited.tolist() == [10, 20]
