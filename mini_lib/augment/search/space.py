"""The choices of a search: operations, probabilities and magnitudes, encoded as whole numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mini_lib import require
from mini_lib.augment.operations import AUTOAUGMENT_OPERATIONS, Operation
from mini_lib.augment.operations.geometry import Warp
from mini_lib.augment.operations.operation import need_operation
from mini_lib.augment.pictures import need_generator
from mini_lib.augment.policy import TOP_MAGNITUDE, Policy, Step, SubPolicy, need_magnitude, need_policy


@dataclass(frozen=True)
class SearchSpace:
    """Sub-policies of `steps` steps, each an operation with a probability and a magnitude from these lists.

    A policy is encoded as *genes*: for each step of each sub-policy, the places of its operation, probability and
    magnitude in the lists. These are three numbers per step, counted from 0.

    Raises:
        TypeError: a list is not one, something other than an operation is among the operations, or a number is not one.
        ValueError: a list is empty or holds something twice, a number is out of range, or `steps` is below 1.

    >>> space = SearchSpace()                                              # AutoAugment's
    >>> space.choices, f"{space.size:.1e} sub-policies"                    # (15 * 11 * 10) ** 2
    ((15, 11, 10, 15, 11, 10), '2.7e+06 sub-policies')

    Source: E. Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", 2019, section 3.
    """

    operations: tuple[Operation, ...] = AUTOAUGMENT_OPERATIONS
    probabilities: tuple[float, ...] = tuple(tenth / 10 for tenth in range(11))
    magnitudes: tuple[float, ...] = tuple(range(10))
    steps: int = 2

    def __post_init__(self) -> None:
        for name in ("operations", "probabilities", "magnitudes"):
            values = tuple(require.of_type(name, getattr(self, name), (list, tuple, range), fix="give a list"))
            object.__setattr__(self, name, values)
        for operation in self.operations:
            need_operation(operation)
        for name, check in {"probabilities": _probability, "magnitudes": _magnitude}.items():
            object.__setattr__(self, name, tuple(check(one) for one in getattr(self, name)))
        for name in ("operations", "probabilities", "magnitudes"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(
                    f"{name} must be one or more different values, got {len(values)}, some twice or none; give each one"
                )
        require.checked(self, "steps", require.whole, low=1, fix="the papers have 2")

    @property
    def choices(self) -> tuple[int, ...]:
        """How many values each gene of a sub-policy can have."""
        return (len(self.operations), len(self.probabilities), len(self.magnitudes)) * self.steps

    @property
    def size(self) -> int:
        """How many sub-policies there are."""
        return math.prod(self.choices)

    def policy(self, genes: Sequence[int]) -> Policy:
        """Return the policy that genes encode.

        Raises:
            TypeError: they are not a list, or one is not a whole number.
            ValueError: there are not as many as whole sub-policies need, or one is out of range.
        """
        width, fix = len(self.choices), "it is a place in a list, counted from 0"
        require.of_type("genes", genes, (list, tuple), fix="give three numbers per step")
        if not genes or len(genes) % width:
            raise ValueError(f"a sub-policy has {width} genes here, got {len(genes)}; give whole sub-policies")
        genes = [
            require.whole("a gene", gene, low=0, high=self.choices[place % width] - 1, fix=fix)
            for place, gene in enumerate(genes)
        ]
        steps = [
            Step(self.operations[o], probability=self.probabilities[p], magnitude=self.magnitudes[m])
            for o, p, m in zip(genes[::3], genes[1::3], genes[2::3])
        ]
        return Policy([SubPolicy(*steps[i : i + self.steps]) for i in range(0, len(steps), self.steps)])

    def genes(self, policy: Policy) -> tuple[int, ...]:
        """Return the genes of a policy.

        Raises:
            TypeError: it is not a policy.
            ValueError: the policy has a step that is not in this space, or sub-policies of another length.
        """
        need_policy(policy)
        genes = []
        for one in policy.sub_policies:
            if len(one.steps) != self.steps:
                raise ValueError(f"sub-policies have {self.steps} steps here, got one of {len(one.steps)}")
            for step in one.steps:
                for name, values, value in (
                    ("operation", self.operations, step.operation),
                    ("probability", self.probabilities, step.probability),
                    ("magnitude", self.magnitudes, step.magnitude),
                ):
                    if value not in values:
                        shown = value.name if isinstance(value, Operation) else value
                        raise ValueError(f"the {name} {shown} of a policy is not in the search space; add it there")
                    genes.append(values.index(value))
        return tuple(genes)

    def random_policy(self, sub_policies: int, generator: torch.Generator) -> Policy:
        """Return a policy with each gene drawn uniformly from its values.

        Raises:
            TypeError: `sub_policies` is not a whole number, or the generator is not one.
            ValueError: `sub_policies` is below 1.
        """
        need_generator(generator)
        sub_policies = require.whole("sub_policies", sub_policies, low=1, high=2**14, fix="the papers have 5")
        return self.policy(
            [int(torch.randint(choices, (1,), generator=generator)) for choices in self.choices * sub_policies]
        )

    def neighbour(self, policy: Policy, generator: torch.Generator) -> Policy:
        """Return a policy that differs from this one in one gene; the gene and its new value are drawn uniformly.

        Raises:
            TypeError: it is not a policy, or the generator is not one.
            ValueError: the policy is not of this space, or the space has one value for each gene.
        """
        need_generator(generator)
        genes = list(self.genes(policy))
        free = [place for place in range(len(genes)) if self.choices[place % len(self.choices)] > 1]
        if not free:
            raise ValueError("a space with one value for each gene has no neighbours; give it more to choose from")
        place = free[int(torch.randint(len(free), (1,), generator=generator))]
        choices = self.choices[place % len(self.choices)]
        genes[place] = (genes[place] + int(torch.randint(1, choices, (1,), generator=generator))) % choices
        return self.policy(genes)

    @property
    def settings(self) -> dict[str, object]:
        """The contents of the space, as plain values."""
        return {
            "operations": [_said(one) for one in self.operations],
            "probabilities": self.probabilities,
            "magnitudes": self.magnitudes,
            "steps": self.steps,
        }


def need_space(space: object) -> SearchSpace:
    """Return a search space, after a check that it is one.

    Raises:
        TypeError: it is something else.
    """
    return require.of_type("space", space, SearchSpace, fix="use SearchSpace() for that of AutoAugment")


def _probability(value: object) -> float:
    return require.share("each of the probabilities", value, zero=True, fix="0.5 changes half of the pictures")


def _magnitude(value: object) -> float:
    return need_magnitude("each of the magnitudes", value, top=TOP_MAGNITUDE)


def _said(operation: Operation) -> str:
    said = f"{operation.name} {operation.weakest!r} to {operation.strongest!r} {operation.unit}"
    if isinstance(operation.pixels, Warp):
        said += f", {operation.pixels.interpolation}, filled with {operation.pixels.fill}"
    return said
