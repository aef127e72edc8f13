"""Augmentation: operations on pictures, policies, label safety, and the search for a policy."""

from mini_lib.augment.augmix import AUGMIX_OPERATIONS, AugMix
from mini_lib.augment.boxes import CutMix, Cutout
from mini_lib.augment.chain import Chain, Standardised
from mini_lib.augment.each import StrengthLimit, change_each
from mini_lib.augment.guard import Guard, Limit
from mini_lib.augment.mixing import Mixup, SamplePairing
from mini_lib.augment.operations import (
    AUTOAUGMENT_OPERATIONS,
    RANDAUGMENT_OPERATIONS,
    WIDE_OPERATIONS,
    Cover,
    Operation,
    Warp,
    auto_contrast,
    brightness,
    color,
    contrast,
    cutout,
    equalize,
    flip,
    identity,
    invert,
    operation_named,
    posterize,
    rotate,
    sharpness,
    shear_x,
    shear_y,
    solarize,
    solarize_add,
    translate_x,
    translate_y,
    warped_with,
)
from mini_lib.augment.policy import Policy, Step, SubPolicy, policy_from_json
from mini_lib.augment.published import AUTOAUGMENT_CIFAR10, AUTOAUGMENT_IMAGENET, AUTOAUGMENT_SVHN
from mini_lib.augment.random_policies import RandAugment, TrivialAugment
from mini_lib.augment.safety import LabelSafety, label_safety
