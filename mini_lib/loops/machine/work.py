"""Instructions by kind, and how many cycles a core needs to issue them."""

from dataclasses import dataclass, fields

from mini_lib.loops.machine.model import MachineModel


@dataclass(frozen=True)
class Work:
    """Instructions by kind; `other` are those for addresses, counters, guards and jumps.

    >>> Work(loads=2, stores=1) * 3 + Work(other=2)
    Work(loads=6, stores=3, arithmetic=0, other=2)
    """

    loads: float = 0
    stores: float = 0
    arithmetic: float = 0
    other: float = 0

    def __add__(self, more: "Work") -> "Work":
        return Work(*(getattr(self, f.name) + getattr(more, f.name) for f in fields(self)))

    def __mul__(self, times: float) -> "Work":
        return Work(*(getattr(self, f.name) * times for f in fields(self)))

    @property
    def instructions(self) -> float:
        """The total number of instructions."""
        return self.loads + self.stores + self.arithmetic + self.other

    def cycles(self, machine: MachineModel) -> float:
        """The cycles that they take where none has to wait: the busiest of the machine's units decides.

        4 loads at 2 per cycle take 2 cycles, and 3 stores at 1 per cycle take 3:

        >>> Work(loads=4, stores=3, arithmetic=2).cycles(MachineModel(loads=2, stores=1, arithmetic=2))
        3.0
        """
        return max(
            self.loads / machine.loads,
            self.stores / machine.stores,
            self.arithmetic / machine.arithmetic,
            self.instructions / machine.issue,
        )
