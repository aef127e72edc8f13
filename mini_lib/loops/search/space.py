"""The schedules of a search: a handful of choices, and the rewrites that they translate to."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import gcd

from mini_lib.loops.nest import Nest
from mini_lib.require import of_type, share, shown, whole

_MOST_COPIES = 64  # unrolled copies of the innermost code
PADDING = 16  # elements: a cache line of 4-byte numbers


@dataclass(frozen=True)
class Schedule:
    """The choices that make a nest, all by name, so that two schedules can be mixed choice by choice.

    - `vector`: the loop that is vectorized, and the number of lanes; None for none;
    - `tiles`: for each loop its tile size, 1 for none;
    - `order`: for each loop a place (0 to 1) for its outer part and one for its inner part; smaller is further out;
    - `unrolled`: how many of the innermost loops are written out, if they are short;
    - `registers`: 0 to work on the output in memory, 1 or 2 to keep the part of it that the innermost serial loop,
      or the innermost two, work on in registers;
    - `packed`: for each array that is read, how many loops are around its packed copy; 0 for no copy;
    - `padded`: the arrays whose rows are padded.
    """

    vector: tuple[str, int] | None
    tiles: tuple[tuple[str, int], ...]
    order: tuple[tuple[str, tuple[float, float]], ...]
    unrolled: int = 0
    registers: int = 0
    packed: tuple[tuple[str, int], ...] = ()
    padded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Space:
    """All schedules of loops that are nested directly around one statement.

    Raises:
        ValueError: the nest has another shape.

    >>> import random
    >>> from mini_lib.loops import matmul
    >>> space = Space(matmul(16, 16, 16))
    >>> space.loops, space.output, space.inputs
    (('m', 'n', 'k'), 'C', ('A', 'B'))
    >>> space.draw(random.Random(0)) == space.draw(random.Random(0))
    True
    """

    nest: Nest
    tile_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    lanes: tuple[int, ...] = (4, 8, 16)

    def __post_init__(self) -> None:
        of_type("nest", self.nest, Nest, fix="make one with nest(...), or take one such as matmul(64, 64, 64)")
        for name in ("tile_sizes", "lanes"):
            sizes = of_type(name, getattr(self, name), Sequence, fix="pass such as (4, 8, 16)")
            sizes = tuple(whole(f"each of {name}", size, low=1, fix="pass such as (4, 8, 16)") for size in sizes)
            object.__setattr__(self, name, sizes)
        leaves = self.nest.leaves
        if len(leaves) != 1 or not leaves[0].loops:
            raise ValueError(
                f"a space needs loops directly nested around one statement, got {len(leaves)} statements in "
                f"{self.nest.name}; search each part for itself, or rewrite by hand"
            )

    @property
    def loops(self) -> tuple[str, ...]:
        """The loops, outermost first."""
        return tuple(loop.name for loop in self.nest.leaves[0].loops)

    @property
    def output(self) -> str:
        """The array that the statement writes."""
        return self.nest.leaves[0].statement.buffer

    @property
    def inputs(self) -> tuple[str, ...]:
        """The arrays that it only reads."""
        statement = self.nest.leaves[0].statement
        return tuple(dict.fromkeys(load.buffer for load in statement.loads if load.buffer != self.output))

    def draw(self, rng: random.Random) -> Schedule:
        """A random schedule; it does not have to be legal.

        Raises:
            TypeError: `rng` is not a `random.Random`.
        """
        _need_rng(rng)
        return Schedule(**{one.name: self._choose(one.name, rng) for one in fields(Schedule)})

    def mutate(self, schedule: Schedule, rng: random.Random, probability: float) -> Schedule:
        """The schedule with each choice drawn again with a probability, and at least one.

        Raises:
            TypeError: `schedule` is not a schedule, `rng` is not a `random.Random`, or `probability` is not a number.
            ValueError: the schedule is for another nest, or the probability is outside [0, 1].
        """
        self._need_own("schedule", schedule)
        _need_rng(rng)
        probability = share("probability", probability, zero=True, fix="0.2 draws every fifth choice again")
        names = [one.name for one in fields(Schedule)]
        chosen = [name for name in names if rng.random() < probability] or [rng.choice(names)]
        for name in chosen:
            new, old = self._choose(name, rng), getattr(schedule, name)
            if name in ("tiles", "order", "packed") and new:  # only the entry of one loop or array
                at = rng.randrange(len(new))
                new = (*old[:at], new[at], *old[at + 1 :])
            schedule = replace(schedule, **{name: new})
        return schedule

    def cross(self, one: Schedule, two: Schedule, rng: random.Random) -> Schedule:
        """A schedule with each choice from one of two; tiles and places loop by loop.

        Raises:
            TypeError: `one` or `two` is not a schedule, or `rng` is not a `random.Random`.
            ValueError: a schedule is for another nest.
        """
        self._need_own("one", one)
        self._need_own("two", two)
        _need_rng(rng)
        mixed = {}
        for name in (field.name for field in fields(Schedule)):
            a, b = getattr(one, name), getattr(two, name)
            if name in ("tiles", "order", "packed"):
                mixed[name] = tuple(rng.choice(pair) for pair in zip(a, b, strict=True))
            else:
                mixed[name] = rng.choice((a, b))
        return Schedule(**mixed)

    def apply(self, schedule: Schedule) -> Nest:
        """The nest that a schedule makes.

        Raises:
            TypeError: `schedule` is not a schedule.
            IllegalRewrite: the nest would calculate something else.
            ValueError: the schedule is for another nest, or a rewrite does not fit, such as registers under a loop that
                is not unrolled.
        """
        self._need_own("schedule", schedule)
        nest = self.nest
        for array in schedule.padded:
            nest = nest.pad(array, axis=len(nest.buffer(array).shape) - 1, elements=PADDING)
        nest, order, vector = self._split(nest, schedule)
        if len(order) > 1:
            nest = nest.reorder(" ".join(order))
        if vector:
            nest = nest.vectorize(vector)
        nest, serial = _unroll(nest, [name for name in order if name != vector], schedule.unrolled)
        if not serial:
            raise ValueError("nothing is left to go round: unroll less")
        for array, depth in schedule.packed:
            if depth:
                nest = nest.cache_read(array, at=serial[min(depth, len(serial)) - 1])
        if schedule.registers:
            at = self._register_loop(nest, serial, schedule.registers)
            nest = nest.cache_write(self.output, at=at, scope="register")
        return nest

    def _need_own(self, name: str, schedule: object) -> None:
        """Raise TypeError for anything but a schedule, and ValueError for a schedule for another nest."""
        fix = "draw it from this space, with draw(rng)"
        of_type(name, schedule, Schedule, fix=fix)
        for loops in (schedule.tiles, schedule.order):
            if [loop for loop, _ in loops] != list(self.loops):
                raise ValueError(f"{name} must choose for the loops {', '.join(self.loops)}, got {shown(loops)}; {fix}")
        if schedule.packed and [array for array, _ in schedule.packed] != list(self.inputs):
            raise ValueError(
                f"{name} must choose for the inputs {', '.join(self.inputs)}, got {shown(schedule.packed)}; {fix}"
            )

    def _register_loop(self, nest: Nest, serial: list[str], depth: int) -> str:
        """The loop in which the output is kept in registers, if it can be: no loop inside may run over them."""
        if depth >= len(serial):
            raise ValueError("registers: no loop is left around the sums; unroll or register less")
        # copies are now next to the statement: look at the statement that writes the output
        statements = (leaf.statement for leaf in nest.leaves)
        index = next(one.index for one in statements if one.buffer == self.output)
        for name in serial[-depth:]:
            if any(name in subscript.names for subscript in index):
                raise ValueError(f"registers have no addresses, and {name} runs over them; unroll it")
        return serial[-1 - depth]

    def _split(self, nest: Nest, schedule: Schedule) -> tuple[Nest, list[str], str]:
        """Split loops into tiles and lanes; return the names in the wanted order, and the vector loop's name."""
        places, tiles = self._places(schedule), dict(schedule.tiles)
        order: list[tuple[float, str]] = []
        vector = ""
        for loop in self.loops:
            outer, inner = places[loop]
            name = loop
            if schedule.vector is not None and schedule.vector[0] == loop:
                nest = nest.split(loop, schedule.vector[1])
                vector, name = f"{loop}.i", f"{loop}.o"
            extent = next(one.extent for one in nest.leaves[0].loops if one.name == name) or 1
            tile = gcd(tiles[loop], extent)  # the part that is left besides the lanes
            if 1 < tile < extent:
                nest = nest.split(name, tile)
                order += [(outer, f"{name}.o"), (inner, f"{name}.i")]
            else:
                order.append((outer, name))
        names = [name for _, name in sorted(order)]
        return nest, [*names, vector] if vector else names, vector

    def _places(self, schedule: Schedule) -> dict[str, list[float]]:
        """The places of each loop's parts, the outer one first; loops of a sum keep their order among themselves.

        Floats do not allow another order of summation, so otherwise nearly every schedule of a nest with several such
        loops would be refused.
        """
        places = {loop: sorted(both) for loop, both in schedule.order}
        index = self.nest.leaves[0].statement.index
        sums = [loop for loop in self.loops if not any(loop in one.names for one in index)]
        in_order = iter(sorted(place for loop in sums for place in places[loop]))
        return places | {loop: [next(in_order), next(in_order)] for loop in sums}

    def _choose(self, name: str, rng: random.Random) -> object:
        """One choice at random."""
        if name == "vector":
            return rng.choice([None, *((loop, n) for loop in self.loops for n in self.lanes)])
        if name == "tiles":
            return tuple((loop, self._size(loop, rng)) for loop in self.loops)
        if name == "order":
            return tuple((loop, (rng.random(), rng.random())) for loop in self.loops)
        if name == "unrolled":
            return rng.choice((0, 0, 1, 2))
        if name == "registers":
            return rng.choice((0, 1, 2))
        if name == "packed":
            return tuple((array, rng.choice((0, 0, 0, 1, 2, 3))) for array in self.inputs)
        wide = [a for a in (*self.inputs, self.output) if len(self.nest.buffer(a).shape) > 1]
        return tuple(array for array in dict.fromkeys(wide) if rng.random() < 0.15)

    def _size(self, loop: str, rng: random.Random) -> int:
        extent = next(one.extent for one in self.nest.leaves[0].loops if one.name == loop) or 0
        fitting = [size for size in self.tile_sizes if size < extent and extent % size == 0]
        return rng.choice(fitting or [1])


def _need_rng(rng: object) -> None:
    """Raise TypeError for anything but a `random.Random`."""
    of_type("rng", rng, random.Random, fix="pass random.Random(0), say")


def _unroll(nest: Nest, order: list[str], count: int) -> tuple[Nest, list[str]]:
    """Write out the innermost loops of an order, if they are short; return the remaining ones."""
    copies = 1
    for name in reversed(order[len(order) - count :] if count else []):
        extents = {one.name: one.extent for one in nest.leaves[0].loops}
        copies *= extents[name] or _MOST_COPIES + 1
        if copies > _MOST_COPIES:
            break
        nest, order = nest.unroll(name), order[:-1]
    return nest, order
