"""A schedule: one policy after another while a net is trained, such as weak ones first and strong ones later."""

from dataclasses import dataclass

import torch

from mini_lib import require
from mini_lib.batch import Augment, Batch


@dataclass(frozen=True)
class PolicySchedule:
    """Policies in the order in which they are used, each for the same share of the training.

    Raises:
        TypeError: `policies` is not a list, or one of them cannot be called.
        ValueError: there is no policy.

    A schedule does not know how far a training is; `begin` returns an augmentation that counts its batches:

        steps = epochs * math.ceil(len(train) / batch_size)
        fit(model, train, validation, epochs=epochs, batch_size=batch_size, ..., augment=schedule.begin(steps))

    Source: D. Ho et al., "Population Based Augmentation", 2019, section 3.
    """

    policies: tuple[Augment, ...]

    def __post_init__(self) -> None:
        require.of_type("policies", self.policies, (list, tuple), fix="give one for each part of the training")
        object.__setattr__(self, "policies", tuple(self.policies))
        for one in self.policies:
            require.callable_("each policy of a schedule", one, fix="use a Policy, say")
        if not self.policies:
            raise ValueError("a schedule needs at least one policy, got none; give one for each part of the training")

    def at(self, step: int, steps: int) -> Augment:
        """Return the policy of step `step`, counted from 0, of a training of `steps` steps.

        Raises:
            TypeError: one of them is not a whole number.
            ValueError: there is no such step.

        >>> weak, strong = (lambda batch, generator: batch), (lambda batch, generator: batch)
        >>> [PolicySchedule((weak, strong)).at(step, steps=10) is strong for step in (4, 5)]
        [False, True]
        """
        steps = require.whole("steps", steps, low=1, fix="count the batches of the whole training")
        step = require.whole("step", step, low=0, high=steps - 1, fix=f"this training ends with step {steps - 1}")
        return self.policies[step * len(self.policies) // steps]

    def begin(self, steps: int) -> Augment:
        """Return an augmentation for one training of `steps` batches, which it counts; begin one for each training.

        Raises:
            TypeError: `steps` is not a whole number.
            ValueError: it is below 1; and from the augmentation: it got more batches, as in a second training.
        """
        steps = require.whole("steps", steps, low=1, fix="epochs times batches per epoch")
        done = 0

        def augment(batch: Batch, generator: torch.Generator) -> Batch:
            nonlocal done
            if done == steps:
                raise ValueError(
                    f"this schedule was begun for {steps} steps, got one more; give schedule.begin(...) the steps of "
                    "the whole training (epochs times batches per epoch), and call it again for each training"
                )
            done += 1
            return self.at(done - 1, steps)(batch, generator)

        return augment
