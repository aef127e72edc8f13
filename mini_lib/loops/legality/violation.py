"""Does a rewrite keep the meaning? It does if every two accesses that touch one element keep their order.

The meaning of a program is given by its text, read from top to bottom with loops in their order. A rewrite may move
iterations freely, with one exception: of two accesses to the same element, at least one of them a store, the earlier
must stay the earlier. A local buffer is new in each iteration of its home loop; iterations that shared a copy must
still share one. Whether two iterations break this rule is a question about whole numbers, asked for each pair of
accesses, each loop that may order them in the old program, and each loop that may reverse them in the new one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Leaf, Program, need_program
from mini_lib.loops.legality.domain import (
    Access,
    IterationPairs,
    conflicts,
    iteration_pairs,
    kind_of,
    same_copy,
    same_element,
    shared_loops,
    variables,
)
from mini_lib.loops.legality.feasible import System, solve, tighten
from mini_lib.loops.meaning.walk import accesses
from mini_lib.loops.show import show_statement

SWAPPED, UNORDERED, AT_ONCE = "swapped", "unordered (parallel)", "at once (vector)"
PARTED = "in another copy (local)"


@dataclass(frozen=True)
class Iteration:
    """One iteration of a statement: its name, its text, and the value of each variable around it."""

    statement: str
    text: str
    iteration: dict[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.iteration.items()) or "()"


@dataclass(frozen=True)
class Violation:
    """Two iterations, in their old order, that touch one element and lose that order.

    `element` is (buffer, index); `kind` is "flow" (the first writes, the second reads), "anti" (reads, writes) or
    "output" (both write); `why` is "swapped", "unordered (parallel)", "at once (vector)" or "in another copy (local)".
    """

    first: Iteration
    second: Iteration
    element: tuple[str, tuple[int, ...]]
    kind: str
    why: str

    def message(self, rewrite: str) -> str:
        """The refusal in words, for a rewrite in the user's own notation."""
        buffer, index = self.element
        place = f"{buffer}[{', '.join(map(str, index))}]"
        texts = (self.first.text, self.second.text)
        one = f'iteration {self.first} of "{texts[0]}"'
        two = f'iteration {self.second} of "{texts[1]}"'
        other = f"{self.first}" if texts[0] == texts[1] else one
        if self.kind == "flow":
            shared, runner = f"{two} reads {place}, which {other} writes", "reader"
        elif self.kind == "anti":
            shared, runner = f"{two} writes {place}, which {other} reads before", "writer"
        else:
            shared, runner = f"{two} writes {place}, which {other} writes before", "second"
        end = {
            SWAPPED: f"the new order would run the {runner} first. Keep the order, or skew first.",
            UNORDERED: f"a parallel loop has no order, so the {runner} may run first. Parallelize another loop.",
            AT_ONCE: "a vector loop does each statement for all iterations at once, reads "
            f"before writes, so the {runner} would come first. Vectorize another loop.",
            PARTED: f"but {buffer} would be a new buffer by then. Make the local copy last.",
        }[self.why]
        return f"{rewrite} is illegal: {shared}; {end}"


class IllegalRewrite(ValueError):
    """A rewrite that would change what the program computes.

    `first` and `second` are the iterations, in their old order, that would lose this order; `element` is the one that
    they share.
    """

    def __init__(self, rewrite: str, violation: Violation) -> None:
        super().__init__(violation.message(rewrite))
        self.violation = violation
        self.first = violation.first.iteration
        self.second = violation.second.iteration
        self.element = violation.element


def require_legal(before: Program, after: Program, rewrite: str) -> None:
    """Accept only a legal rewrite; `rewrite` is its text, for the message.

    Raises:
        IllegalRewrite: two iterations that share an element would lose their order.
    """
    found = violation(before, after)
    if found:
        raise IllegalRewrite(rewrite, found)


def violation(before: Program, after: Program) -> Violation | None:
    """A pair of iterations that share an element and lose their order, or None.

    The statements of `after` carry `origin`: the variables of `before` in terms of those of `after`. Loops of `before`
    count as serial, whatever their kind, since their marks were judged when they were made. The answer is exact at any
    size. The pair is a small one: both iterations are as early as the conflict allows.

    Raises:
        ValueError: a statement of `after` is not in `before`, or its origin does not fit.

    Source: Allen and Kennedy, Optimizing Compilers for Modern Architectures (2001), theorem 2.2 (a reordering that
    preserves every dependence preserves the meaning); Feautrier 1992, "Some efficient solutions to the affine
    scheduling problem, part II", section 2 (time as a vector of loops).
    """
    need_program("before", before)
    need_program("after", after)
    old = {leaf.statement.name: leaf for leaf in before.leaves}
    moved = [_Moved.of(leaf, old) for leaf in after.leaves]
    homes = tuple({buffer.name: buffer.home for buffer in program.buffers} for program in (before, after))
    for one in moved:
        for two in moved:
            found = _between(one, two, homes)
            if found:
                return found
    return None


@dataclass(frozen=True)
class _Moved:
    """A statement in its new place and its old one, its old variables in terms of the new, and its new buffer names."""

    old: Leaf
    new: Leaf
    origin: dict[str, Affine]
    buffers: dict[str, str]

    @staticmethod
    def of(leaf: Leaf, old: dict[str, Leaf]) -> "_Moved":
        name = leaf.statement.name
        if name not in old:
            raise ValueError(
                f"statement {name} is not in the program before the rewrite, which has "
                f"{', '.join(old)}; a moved statement keeps its name"
            )
        around = variables(leaf.loops)
        given = dict(leaf.statement.origin or ())
        origin = {name: given.get(name, affine(name)) for name in variables(old[name].loops)}
        for variable, value in origin.items():
            if not value.names <= set(around):
                raise ValueError(
                    f"the origin of {variable} in statement {name} is {value}, but around it are "
                    f"only {', '.join(around)}; say {variable} in those"
                )
        pairs = zip(accesses(old[name].statement), accesses(leaf.statement), strict=True)
        return _Moved(old[name], leaf, origin, {then.buffer: now.buffer for (then, _), (now, _) in pairs})


def _between(one: _Moved, two: _Moved, homes: tuple[dict[str, str], dict[str, str]]) -> Violation | None:
    """A violation with its first iteration in one statement and its second in the other."""
    both = list(conflicts(one.old.statement, two.old.statement))
    if not both:
        return None
    # the change of the old variables between the two iterations
    new = iteration_pairs(one.new, two.new)
    then = IterationPairs(
        new.system,
        {name: value.substitute(new.first) for name, value in one.origin.items()},
        {name: value.substitute(new.second) for name, value in two.origin.items()},
    )
    empty: set[tuple] = set()  # a load and a store of the same element lead to the same question
    for first, second in both:
        same = same_element(first, second, then)
        if tighten(new.system.with_(equal=same)) is None:
            continue
        for copy, lost in _copies(one, two, first, second, then, new, homes):
            touching = tighten(new.system.with_(equal=(*same, *copy)))
            if touching is None:
                continue
            for level, earlier in enumerate(_earlier(one, two, first, second, then)):
                ordered = earlier and tighten(touching.with_(*earlier))
                if ordered is None:
                    continue
                for constraints, why in lost:
                    question = (same, copy, level, constraints)
                    if question in empty:
                        continue
                    system = ordered.with_(*constraints)
                    if solve(system) is not None:
                        return _witness(one, two, first, second, then, system, why)
                    empty.add(question)
    return None


Constraints = tuple[tuple[Affine, ...], tuple[Affine, ...]]  # equal, at_least


def _levels(names: list[str], steps: IterationPairs) -> Iterator[tuple[tuple[Affine, ...], Affine]]:
    """For each shared loop: the steps of those outside it, all to be 0, and its own step."""
    for depth, name in enumerate(names):
        yield tuple(steps.step(outer) for outer in names[:depth]), steps.step(name)


def _earlier(
    one: _Moved, two: _Moved, first: Access, second: Access, then: IterationPairs
) -> Iterator[Constraints | None]:
    """The ways in which the first access can come before the second in the old program; None if there is none."""
    shared = shared_loops(one.old, two.old)
    names = [loop.name for loop in one.old.loops[:shared]]
    for outer, step in _levels(names, then):
        yield outer, (step - 1,)
    places = (one.old.positions[shared:], first.phase), (two.old.positions[shared:], second.phase)
    yield (tuple(then.step(name) for name in names), ()) if places[0] < places[1] else None


def _copies(
    one: _Moved,
    two: _Moved,
    first: Access,
    second: Access,
    then: IterationPairs,
    new: IterationPairs,
    homes: tuple[dict[str, str], dict[str, str]],
) -> Iterator[tuple[tuple[Affine, ...], list[tuple[Constraints, str]]]]:
    """When two accesses mean the same place, before or after the rewrite, and what must not be true then."""
    lost = list(_lost(one.new, two.new, first, second, new))
    old_copy = same_copy(homes[0][first.buffer], one.old, two.old, then)
    names = one.buffers[first.buffer], two.buffers[second.buffer]
    new_copy = same_copy(homes[1][names[0]], one.new, two.new, new) if names[0] == names[1] else None
    if old_copy is not None:
        parted: list[tuple[Constraints, str]] = []
        if new_copy is None:
            parted = [(((), ()), PARTED)]
        for step in new_copy or ():
            parted += [(((), (step - 1,)), PARTED), (((), (-step - 1,)), PARTED)]
        yield old_copy, lost + parted
    if new_copy is not None and new_copy != old_copy:
        yield new_copy, lost


def _lost(
    one: Leaf, two: Leaf, first: Access, second: Access, new: IterationPairs
) -> Iterator[tuple[Constraints, str]]:
    """The ways in which the first access can fail to come before the second in the new program."""
    shared = shared_loops(one, two)
    loops = one.loops[:shared]
    place = (one.positions[shared:], first.phase), (two.positions[shared:], second.phase)
    for loop, (outer, step) in zip(loops, _levels([loop.name for loop in loops], new), strict=True):
        if loop.kind == "parallel":
            yield (outer, (-step - 1,)), UNORDERED
            yield (outer, (step - 1,)), UNORDERED
        elif loop.kind == "vector":
            # statement by statement, in each all loads before all stores, in each the lanes in order
            if place[0] > place[1]:
                yield (outer, ()), AT_ONCE
            elif place[0] == place[1]:
                yield (outer, (-step - 1,)), SWAPPED
            return
        else:
            yield (outer, (-step - 1,)), SWAPPED
    if place[0] > place[1]:
        yield (tuple(new.step(loop.name) for loop in loops), ()), SWAPPED


def _witness(
    one: _Moved, two: _Moved, first: Access, second: Access, then: IterationPairs, system: System, why: str
) -> Violation:
    """The violation in a system that has points, its first iteration the earliest."""
    point = solve(system, smallest=(*then.first.values(), *then.second.values()))
    instances = []
    for moved, values in ((one, then.first), (two, then.second)):
        iteration = {name: value.value(point) for name, value in values.items()}
        statement = moved.old.statement
        instances.append(Iteration(statement.name, show_statement(statement), iteration))
    index = tuple(subscript.value(instances[0].iteration) for subscript in first.index)
    return Violation(*instances, (first.buffer, index), kind_of(first, second), why)
