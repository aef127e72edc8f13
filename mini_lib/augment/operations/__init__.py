"""Operations on pictures."""

from mini_lib.augment.operations.stub import (
    AUTOAUGMENT_OPERATIONS,
    RANDAUGMENT_OPERATIONS,
    WIDE_OPERATIONS,
    Operation,
    auto_contrast,
    brightness,
    color,
    contrast,
    equalize,
    identity,
    invert,
    operation_named,
    posterize,
    rotate,
    sharpness,
    shear_x,
    shear_y,
    solarize,
    translate_x,
    translate_y,
)
