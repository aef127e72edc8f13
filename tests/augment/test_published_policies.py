"""The published policies and strengths: equal to torchvision's tables, step by step, and kornia's where it has them."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import generator
from PIL import Image
from torchvision_support import import_torchvision

from mini_lib.augment import AUTOAUGMENT_CIFAR10, AUTOAUGMENT_IMAGENET, AUTOAUGMENT_SVHN, Policy, SubPolicy
from mini_lib.augment.operations import AUTOAUGMENT_OPERATIONS, RANDAUGMENT_OPERATIONS, WIDE_OPERATIONS

import_torchvision()
from torchvision.transforms import autoaugment as published  # noqa: E402

POLICIES = {
    published.AutoAugmentPolicy.CIFAR10: AUTOAUGMENT_CIFAR10,
    published.AutoAugmentPolicy.SVHN: AUTOAUGMENT_SVHN,
    published.AutoAugmentPolicy.IMAGENET: AUTOAUGMENT_IMAGENET,
}


def our_name(name):
    """ShearX -> shear_x."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def rows(policy):
    return [
        tuple((step.operation.name, step.probability, step.magnitude) for step in one.steps)
        for one in policy.sub_policies
    ]


@pytest.mark.parametrize("which", POLICIES, ids=lambda which: which.value)
def test_the_25_sub_policies_are_torchvisions(which):
    theirs = published.AutoAugment(which)._get_policies(which)
    assert len(theirs) == 25
    assert rows(POLICIES[which]) == [tuple((our_name(name), *numbers) for name, *numbers in row) for row in theirs]


@pytest.mark.parametrize("name", ["cifar10", "svhn", "imagenet"])
def test_the_25_sub_policies_are_kornias(name):
    """A third hand copied them from the paper."""
    from kornia.augmentation.auto.autoaugment import autoaugment

    theirs = getattr(autoaugment, f"{name}_policy")
    ours = rows(POLICIES[published.AutoAugmentPolicy(name)])
    assert ours == [tuple(tuple(step) for step in row) for row in theirs]


# --- what a magnitude means ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "theirs, ours, top, size",
    [
        (published.AutoAugment()._augmentation_space(10, (28, 40)), AUTOAUGMENT_OPERATIONS, 9, {"x": 40, "y": 28}),
        (published.RandAugment()._augmentation_space(31, (28, 40)), RANDAUGMENT_OPERATIONS, 30, {"x": 40, "y": 28}),
        (published.TrivialAugmentWide()._augmentation_space(31), WIDE_OPERATIONS, 30, {"x": 1, "y": 1}),
    ],
    ids=["auto", "rand", "trivial"],
)
def test_a_magnitude_means_what_it_means_in_torchvision(theirs, ours, top, size):
    ours = {one.name: one for one in ours}
    assert set(ours) - {"cutout"} == {our_name(name) for name in theirs}  # torchvision's AutoAugment has no cutout
    for name, (strengths, signed) in theirs.items():
        operation = ours[our_name(name)]
        assert operation.signed == signed, name
        pixels = size[operation.name[-1]] if operation.name.startswith("translate") else 1
        if strengths.ndim == 0:
            assert operation.weakest == operation.strongest == strengths
            continue
        assert len(strengths) == top + 1
        for magnitude, strength in enumerate(strengths.tolist()):
            # linspace and our tensors of shares are float32: four roundings of numbers up to 255
            assert operation.strength(magnitude / top) * pixels == pytest.approx(strength, abs=4 * 2**-16), name
            shares = torch.tensor([magnitude / top])
            assert operation.strength(shares).item() * pixels == pytest.approx(strength, abs=4 * 2**-16), name


# --- pixels --------------------------------------------------------------------------------------------------------


class OneSide:
    """A guard that turns every strength to one side, so that the drawn signs do not matter."""

    def __init__(self, sign):
        self.sign = sign

    def check(self, operations):
        pass

    def limited(self, operation, strengths, labels):
        return strengths.abs() * self.sign if operation.signed else strengths, torch.ones(len(strengths)).bool()


def by_torchvision(picture, sub_policy, sign):
    """A PIL picture after all steps, by torchvision's own `_apply_op`, each with its strength on one side.

    The strengths are ours, which the test above compares with torchvision's: PIL cuts a blend of two pictures down to
    whole grey levels, so that the last bit of a factor may decide one. A translation is theirs in pixels.
    """
    for step in sub_policy.steps:
        name = "".join(word.capitalize() for word in step.operation.name.split("_"))  # shear_x -> ShearX
        strength = step.operation.strength(torch.tensor([step.share])).item()
        if name.startswith("Translate"):
            side = picture.size["XY".index(name[-1])]
            strength = published.AutoAugment()._augmentation_space(10, (side, side))[name][0][step.magnitude].item()
        strength = sign * strength if step.operation.signed else strength
        picture = published._apply_op(picture, name, strength, published.InterpolationMode.NEAREST, None)
    return torch.from_numpy(np.array(picture)).view(*picture.size[::-1], -1).permute(2, 0, 1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("which", POLICIES, ids=lambda which: which.value)
def test_every_sub_policy_makes_the_pictures_that_torchvision_makes_with_pil(which, mode, sign):
    """Noise, and a smooth slope whose histogram has few values; all steps happen."""
    channels = 3 if mode == "RGB" else 1
    noise = torch.randint(256, (channels, 28, 28), generator=generator(), dtype=torch.uint8)
    slope = (torch.arange(28)[:, None] * 4 + torch.arange(28) * 3 + 20 * torch.arange(channels)[:, None, None]).byte()
    images = torch.stack([noise, slope])
    pil = [Image.fromarray(one.permute(1, 2, 0).squeeze(2).numpy(), mode) for one in images]
    for sub_policy in POLICIES[which].sub_policies:
        always = Policy([SubPolicy(*(replace(step, probability=1) for step in sub_policy.steps))], guard=OneSide(sign))
        expected = torch.stack([by_torchvision(one, sub_policy, sign) for one in pil])
        assert torch.equal(always(images, generator()), expected), sub_policy
