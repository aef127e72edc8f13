"""The operations that the published methods choose from, with the ranges of their strengths, and a look-up by name."""

from dataclasses import replace
from difflib import get_close_matches

from mini_lib.augment.operations.blend import brightness, color, contrast, sharpness
from mini_lib.augment.operations.cutout import cutout
from mini_lib.augment.operations.geometry import (
    flip,
    rotate,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
    wide_translate_x,
    wide_translate_y,
)
from mini_lib.augment.operations.operation import Operation
from mini_lib.augment.operations.tone import (
    auto_contrast,
    equalize,
    identity,
    invert,
    posterize,
    solarize,
    solarize_add,
)
from mini_lib.require import of_type, shown

# Ekin D. Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data", 2018, table 6, without SamplePairing,
# which needs a second picture. Pixels of its 331 x 331 pictures are given here as shares of the side.
AUTOAUGMENT_OPERATIONS = (
    shear_x, shear_y, translate_x, translate_y, rotate, brightness, color, contrast, sharpness, posterize, solarize,
    auto_contrast, equalize, invert, cutout,
)  # fmt: skip

# Ekin D. Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2019,
# section 3.
RANDAUGMENT_OPERATIONS = (
    identity, shear_x, shear_y, translate_x, translate_y, rotate, brightness, color, contrast, sharpness, posterize,
    solarize, auto_contrast, equalize,
)  # fmt: skip

# Samuel G. Müller and Frank Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", 2021: the
# wide ranges.
WIDE_OPERATIONS = (
    identity,
    replace(shear_x, strongest=0.99),
    replace(shear_y, strongest=0.99),
    wide_translate_x,
    wide_translate_y,
    replace(rotate, strongest=135.0),
    replace(brightness, strongest=0.99),
    replace(color, strongest=0.99),
    replace(contrast, strongest=0.99),
    replace(sharpness, strongest=0.99),
    replace(posterize, strongest=2.0),
    solarize,
    auto_contrast,
    equalize,
)

_ALL = {one.name: one for one in (*AUTOAUGMENT_OPERATIONS, identity, flip, solarize_add)}


def operation_named(name: str) -> Operation:
    """Return the operation of this name, with the range of AutoAugment.

    Raises:
        TypeError: it is not a string.
        ValueError: there is none; the message lists the nearest names.

    >>> operation_named("rotate").strongest
    30.0
    >>> operation_named("rotatte")
    Traceback (most recent call last):
    ValueError: no operation is called 'rotatte'; the nearest are rotate
    """
    of_type("name", name, str, fix="'rotate' is one")
    if name in _ALL:
        return _ALL[name]
    near = get_close_matches(name.lower(), _ALL, n=3)
    known = f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(sorted(_ALL))}"
    raise ValueError(f"no operation is called {shown(name)}; {known}")
