"""The published policies and strengths: equal to torchvision's tables, step by step, and kornia's where it has them."""

import re

import pytest
from torchvision_support import import_torchvision

from mini_lib.augment import AUTOAUGMENT_CIFAR10, AUTOAUGMENT_IMAGENET, AUTOAUGMENT_SVHN

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
