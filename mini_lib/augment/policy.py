"""An augmentation policy as in AutoAugment: sub-policies, of which each picture draws one, of steps that may happen.

A *step* is an operation with a probability and a magnitude. A *sub-policy* is a few steps, one after the other. A
*policy* is a list of sub-policies. Every picture draws for itself: which sub-policy it gets, whether each step happens,
and in which direction. One draw for a whole batch would show the model far fewer kinds of pictures per training step.

Source: E. Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data", 2019, section 3.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from mini_lib import require
from mini_lib.augment.each import StrengthLimit, change_each, need_guard
from mini_lib.augment.operations import Operation, operation_named
from mini_lib.augment.operations.operation import need_operation
from mini_lib.augment.pictures import on_images
from mini_lib.batch import Batch
from mini_lib.columns import aligned

TOP_MAGNITUDE = 9  # AutoAugment's magnitudes are 0 to 9: ten levels from an operation's weakest to its strongest


@dataclass(frozen=True)
class Step:
    """An operation, the probability that it happens to a picture, and its magnitude, 0 (weakest) to 9 (strongest).

    The magnitude of an operation without strength, such as invert, does not matter; leave it out.

    Raises:
        TypeError: `operation` is not an `Operation`, or a number is not one.
        ValueError: the probability is outside [0, 1], or the magnitude is outside [0, 9] or missing.
    """

    operation: Operation
    probability: float = field(kw_only=True)
    magnitude: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        need_operation(self.operation)
        require.checked(self, "probability", require.share, zero=True, fix="0.5 changes half of the pictures")
        if self.magnitude is not None:
            require.checked(self, "magnitude", need_magnitude, top=TOP_MAGNITUDE)
        elif self.operation.weakest != self.operation.strongest:
            raise ValueError(f"{self.operation.name} needs a magnitude, from 0 to {TOP_MAGNITUDE}, got none; try 4")

    @property
    def share(self) -> float:
        """The magnitude's place on the operation's scale, in [0, 1]."""
        return (self.magnitude or 0) / TOP_MAGNITUDE

    @property
    def cells(self) -> tuple[str, str, str]:
        """Operation, probability and magnitude, as the cells of a table."""
        magnitude = "-" if self.magnitude is None else f"{self.magnitude:g}"
        return self.operation.name, f"{self.probability:g}", magnitude


@dataclass(frozen=True, init=False)
class SubPolicy:
    """Steps that a picture goes through in this order; each happens with its own probability.

    Raises:
        TypeError: one of them is not a `Step`.
        ValueError: there is none.
    """

    steps: tuple[Step, ...]

    def __init__(self, *steps: Step) -> None:
        for step in steps:
            if not isinstance(step, Step):
                raise TypeError(f"a sub-policy is made of steps, got {step!r}; use SubPolicy(Step(...), Step(...))")
        if not steps:
            raise ValueError("a sub-policy needs at least one step, got none; use identity for one that does nothing")
        object.__setattr__(self, "steps", steps)


@dataclass(frozen=True)
class Policy:
    """Sub-policies of which each picture draws one, all equally likely.

    `policy(batch, generator)` returns a new `Batch`, or a new tensor for a tensor of pictures. Pictures are uint8
    [N, 1 or 3, height, width]. A `guard` limits strengths, by operation and class. `print(policy)` shows its steps.

    Raises:
        TypeError: something other than a `SubPolicy` is in it, or `guard` is not a guard; and from the call: the
            pictures are not uint8.
        ValueError: there is no sub-policy; and from the call: the pictures have another shape.

    >>> from mini_lib.augment.operations import invert
    >>> policy = Policy([SubPolicy(Step(invert, probability=1.0))])
    >>> policy(torch.tensor([[[[0, 255, 100]]]], dtype=torch.uint8), torch.Generator().manual_seed(0))
    tensor([[[[255,   0, 155]]]], dtype=torch.uint8)
    """

    sub_policies: tuple[SubPolicy, ...]
    guard: StrengthLimit | None = None

    def __post_init__(self) -> None:
        if isinstance(self.sub_policies, SubPolicy) or not isinstance(self.sub_policies, Sequence):
            raise TypeError(f"sub_policies must be a list, got {type(self.sub_policies).__name__}; use Policy([...])")
        for one in self.sub_policies:
            if not isinstance(one, SubPolicy):
                raise TypeError(f"a policy is a list of sub-policies, got {one!r} in it; use SubPolicy(Step(...))")
        if not self.sub_policies:
            raise ValueError("a policy needs at least one sub-policy, got none; for no augmentation use augment=None")
        object.__setattr__(self, "sub_policies", tuple(self.sub_policies))
        need_guard(self.guard, self.operations)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations of its steps, each once, in order of appearance."""
        return tuple(dict.fromkeys(step.operation for one in self.sub_policies for step in one.steps))

    def __call__(self, batch: Batch | Tensor, generator: torch.Generator) -> Batch | Tensor:
        """Return the batch with each picture changed by the steps that it drew."""
        return on_images(batch, generator, lambda images, labels: self._changed(images, labels, generator))

    def _changed(self, images: Tensor, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        operations = self.operations
        drawn = torch.randint(len(self.sub_policies), (len(images),), generator=generator)
        for place in range(max(len(one.steps) for one in self.sub_policies)):
            # Steps at the same place of their sub-policies are done together; a short sub-policy has none here.
            steps = [one.steps[place] if place < len(one.steps) else None for one in self.sub_policies]
            operation = torch.tensor([-1 if step is None else operations.index(step.operation) for step in steps])
            probability = torch.tensor([0.0 if step is None else step.probability for step in steps])
            share = torch.tensor([0.0 if step is None else step.share for step in steps])
            happens = torch.rand(len(images), generator=generator) < probability[drawn]
            which = operation[drawn].where(happens, -1)
            images = change_each(images, labels, operations, which, share[drawn], generator, self.guard)
        return images

    def __str__(self) -> str:
        longest = max(len(one.steps) for one in self.sub_policies)
        lines = [["", *("operation", "probability", "magnitude") * longest]]
        for number, one in enumerate(self.sub_policies, start=1):
            cells = [cell for step in one.steps for cell in step.cells]
            lines.append([str(number), *cells, *[""] * (3 * (longest - len(one.steps)))])
        return aligned(lines, left=range(1, 3 * longest + 1, 3))

    def to_json(self) -> str:
        """Return the policy as JSON: a list of sub-policies, which are lists of steps [name, probability, magnitude].

        If a step's operation differs from `operation_named(name)`, by a wider range, say, the difference comes last.

        Raises:
            ValueError: the policy has a guard, or an operation whose difference is not a plain value.
        """
        if self.guard is not None:
            raise ValueError("JSON holds no guard, and this policy has one; use replace(policy, guard=None).to_json()")
        return json.dumps([[_step_to_list(step) for step in one.steps] for one in self.sub_policies], default=float)


def policy_from_json(text: str) -> Policy:
    """Return the policy that `Policy.to_json` wrote.

    Raises:
        TypeError: it is not a string.
        ValueError: it is not a text that `to_json` wrote, names an unknown operation, changes a field that a step may
            not change, or a number is out of range.

    >>> print(policy_from_json('[[["rotate", 0.7, 2], ["invert", 0.5, null]]]'))
       operation  probability  magnitude  operation  probability  magnitude
    1  rotate             0.7          2  invert             0.5          -
    """
    require.of_type("text", text, str, fix="read the file first, with Path(...).read_text()")
    wanted = f"expected a policy as to_json writes it, got {text!r:.80}"
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, a number of thousands of digits, or nested too deeply
        raise ValueError(f"{wanted} ({error}); write it again") from error
    try:
        rows = [[_step_from_list(*step) for step in steps] for steps in read]
    except TypeError as error:
        raise ValueError(f"{wanted} ({error}); write it again") from error
    return Policy([SubPolicy(*steps) for steps in rows])


_MAY_DIFFER = ("weakest", "strongest", "unit", "signed", "whole")  # from the operation of that name


def _step_to_list(step: Step) -> list:
    usual = operation_named(step.operation.name)
    settings = {one.name: getattr(step.operation, one.name) for one in fields(usual)}
    other = {name: value for name, value in settings.items() if value != getattr(usual, name)}
    if not set(other) <= set(_MAY_DIFFER):
        raise ValueError(f"JSON cannot hold {', '.join(other)} of a changed {usual.name}; keep this policy as code")
    return [usual.name, step.probability, step.magnitude, *([other] if other else [])]


def _step_from_list(name: str, probability: float, magnitude: float | None, other: Mapping | None = None) -> Step:
    if unknown := set(other or {}) - set(_MAY_DIFFER):
        raise ValueError(f"a step may change {', '.join(_MAY_DIFFER)} of {name}, got {sorted(unknown)}; leave them out")
    return Step(replace(operation_named(name), **(other or {})), probability=probability, magnitude=magnitude)


def need_policy(policy: object) -> None:
    """Refuse anything but a policy.

    Raises:
        TypeError: it is something else.
    """
    require.of_type("policy", policy, Policy, fix="use Policy([SubPolicy(Step(rotate, probability=1, magnitude=4))])")


def need_magnitude(name: str, magnitude: object, *, top: int) -> float:
    """Return a magnitude, if it is a number from 0 to `top`.

    Raises:
        TypeError: it is not a number.
        ValueError: it is out of range.
    """
    fix = f"0 is the weakest and {top} the strongest"
    number = require.not_negative(name, magnitude, fix=fix)
    if number > top:
        raise ValueError(f"{name} must be a number from 0 to {top}, got {require.shown(number)}; {fix}")
    return number
