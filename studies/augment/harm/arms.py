"""The augmentations that are compared: digits turned further and further, a strong affine change, single operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mini_lib.augment import (
    AUTOAUGMENT_OPERATIONS,
    Chain,
    Guard,
    Operation,
    Policy,
    Step,
    SubPolicy,
    TrivialAugment,
    color,
    flip,
    rotate,
    shear_x,
    solarize_add,
    translate_x,
    translate_y,
)
from mini_lib.augment.policy import TOP_MAGNITUDE
from mini_lib.batch import Augment

NONE = "none"
MILD, STRONG = "mild affine", "strong affine"
TURN = replace(rotate, strongest=180.0)  # a full turn, in both directions
ANGLES = (15.0, 30.0, 90.0, 180.0)
BY_HAND = "180 degrees, but 6 and 9 up to 30"
BY_HAND_CUT = "180 degrees, but 6 and 9 cut at 30"

# Grey pictures have no colour; digits turned further than AutoAugment's 30 degrees are the subject of this study.
STRENGTHS: tuple[tuple[Operation, tuple[float, ...]], ...] = (
    *(
        (one, (0.5, 1.0) if one.weakest != one.strongest else (1.0,))
        for one in AUTOAUGMENT_OPERATIONS
        if one not in (color, rotate)
    ),
    (solarize_add, (0.5, 1.0)),
    (flip, (1.0,)),
    (TURN, (15 / 180, 30 / 180, 90 / 180, 1.0)),
)


# Operations that are tried again with more labels and longer training: is the cause the operation, or the short
# training?
CONTROLLED = ("flip", "invert", "rotate 15")


def up_to(operation: Operation, strongest: float | None = None, guard: Guard | None = None) -> Augment:
    """Return an augmentation that applies an operation to each picture, at any strength up to `strongest`."""
    return TrivialAugment((operation if strongest is None else replace(operation, strongest=strongest),), guard=guard)


def affine(degrees: float, shear: float, shift: float) -> Augment:
    """Return an augmentation that turns, slants and shifts each picture, each by any amount up to the given one."""
    return Chain(up_to(rotate, degrees), up_to(shear_x, shear), up_to(translate_x, shift), up_to(translate_y, shift))


AFFINE: Mapping[str, Augment | None] = {NONE: None, MILD: affine(10.0, 0.1, 0.1), STRONG: affine(30.0, 0.3, 0.2)}


def named(operation: Operation, strength: float) -> str:
    """Return the name of an operation with its strength, as the tables show it.

    >>> named(rotate, 15.0), named(flip, 0.0)
    ('rotate 15', 'flip')
    """
    return operation.name if operation.weakest == operation.strongest else f"{operation.name} {strength:.3g}"


def single_operations() -> Mapping[str, Policy]:
    """Return a policy for each operation and strength: half of the pictures get it, at exactly this strength.

    >>> print(single_operations()["rotate 90"])
       operation  probability  magnitude
    1  rotate             0.5        4.5
    """
    return {
        named(operation, operation.strength(share)): Policy(
            [SubPolicy(Step(operation, probability=0.5, magnitude=share * TOP_MAGNITUDE))]
        )
        for operation, shares in STRENGTHS
        for share in shares
    }


def turning(guards: Mapping[str, Guard]) -> Mapping[str, Augment | None]:
    """Return the ways to turn digits: not at all, up to an angle, or up to 180 degrees with a guard."""
    limits = {"rotate": tuple(30.0 if digit in (6, 9) else 180.0 for digit in range(10))}
    return {
        NONE: None,
        **{f"up to {angle:g} degrees": up_to(rotate, angle) for angle in ANGLES},
        BY_HAND: up_to(TURN, guard=Guard(limits, beyond="rescale")),
        BY_HAND_CUT: up_to(TURN, guard=Guard(limits)),
        **{name: up_to(TURN, guard=guard) for name, guard in guards.items()},
    }
