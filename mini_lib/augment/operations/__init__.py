"""Operations on pictures: uint8 [N, 1 or 3, height, width] in and out, each picture with a strength of its own."""

from mini_lib.augment.operations.blend import brightness, color, contrast, sharpness
from mini_lib.augment.operations.cutout import Cover, cutout
from mini_lib.augment.operations.geometry import (
    Warp,
    flip,
    rotate,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
    warped_with,
)
from mini_lib.augment.operations.operation import Operation
from mini_lib.augment.operations.tables import (
    AUTOAUGMENT_OPERATIONS,
    RANDAUGMENT_OPERATIONS,
    WIDE_OPERATIONS,
    operation_named,
)
from mini_lib.augment.operations.tone import (
    auto_contrast,
    equalize,
    identity,
    invert,
    posterize,
    solarize,
    solarize_add,
)
