"""Is there a whole-number point? This question decides dependences and legality, and is answered exactly.

A system is a box of variables with equations and inequalities. Arithmetic on the box alone decides most systems; the
rest goes to an integer program over floats, whose answer is checked in exact arithmetic. Where numbers are so large
that floats might miss a point, the box is halved instead, in whole numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd

from mini_lib.loops.affine import Affine

LARGEST_FLOAT = 2**30  # floats hold larger numbers, but their rounding comes close to a solver's tolerance for 0
MOST_BOXES = 20_000  # halves examined before the question counts as too hard
ROUNDS = 8  # passes over the constraints before the box counts as tight enough


@dataclass(frozen=True)
class System:
    """Whole variables in a box, with expressions that must be 0 (`equal`) or at least 0 (`at_least`).

    >>> i, d = Affine((("i", 1),)), Affine((("d", 1),))
    >>> System({"i": (0, 7), "d": (-7, 7)}, at_least=(i + d, 7 - (i + d))).with_(equal=[d - 3]).equal
    (Affine(terms=(('d', 1),), constant=-3),)
    """

    ranges: Mapping[str, tuple[int, int]]
    equal: tuple[Affine, ...] = ()
    at_least: tuple[Affine, ...] = ()

    def with_(self, equal: tuple[Affine, ...] = (), at_least: tuple[Affine, ...] = ()) -> "System":
        """The same system with more constraints."""
        return System(self.ranges, (*self.equal, *equal), (*self.at_least, *at_least))

    def holds(self, point: Mapping[str, int]) -> bool:
        """Whether a point satisfies every range and every constraint, in exact whole-number arithmetic."""
        return (
            all(low <= point[name] <= high for name, (low, high) in self.ranges.items())
            and all(expression.value(point) == 0 for expression in self.equal)
            and all(expression.value(point) >= 0 for expression in self.at_least)
        )


def tighten(system: System, rounds: int = ROUNDS) -> System | None:
    """The same points in a smaller box, or None where there is certainly no point.

    Each constraint bounds each of its variables by the extremes of the others (Banerjee's test, applied to every
    variable), and in an equation the greatest common divisor of the coefficients must divide the constant.

    >>> o, i = Affine((("o", 16),)), Affine((("i", 1),))
    >>> box = {"o": (-31, 31), "i": (-15, 15)}
    >>> tighten(System(box, equal=(o + i,))).ranges         # 16 o = -i, and |i| < 16
    {'o': (0, 0), 'i': (0, 0)}
    >>> tighten(System(box, equal=(o + i * 2 + 1,))) is None        # even + 1 is never 0
    True

    Source: Banerjee, Loop Transformations for Restructuring Compilers (1993); Allen and Kennedy, Optimizing
    Compilers for Modern Architectures (2001), sections 3.3.1 (GCD) and 3.3.2 (Banerjee).
    """
    ranges = dict(system.ranges)
    if any(low > high for low, high in ranges.values()):
        return None
    rows = [(row.terms, row.constant) for row in system.at_least]
    for row in system.equal:
        rows += [(one.terms, one.constant) for one in (row, -row)]
    for _ in range(rounds):
        before = dict(ranges)
        if not all(_narrow(ranges, terms, constant) for terms, constant in rows):
            return None
        if ranges == before:
            break
    if not all(_divides(ranges, row) for row in system.equal):
        return None
    return replace(system, ranges=ranges)


def _narrow(ranges: dict[str, tuple[int, int]], terms: tuple[tuple[str, int], ...], constant: int) -> bool:
    """Shrink the ranges by `terms + constant >= 0`; False if no point of the box can satisfy it."""
    largest = constant
    for name, count in terms:
        largest += count * ranges[name][count > 0]
    if largest < 0:
        return False
    for name, count in terms:
        low, high = ranges[name]
        others = largest - count * (high if count > 0 else low)  # the largest sum of the others
        if count > 0:
            least = -(others // count)
            if least > low:
                ranges[name] = (least, high)
        else:
            most = others // -count
            if most < high:
                ranges[name] = (low, most)
    return True


def _divides(ranges: Mapping[str, tuple[int, int]], row: Affine) -> bool:
    """Whether `row == 0` passes the test of the greatest common divisor, with fixed variables substituted."""
    divisor, constant = 0, row.constant
    for name, count in row.terms:
        low, high = ranges[name]
        if low == high:
            constant += count * low
        else:
            divisor = gcd(divisor, count)
    return constant % divisor == 0 if divisor else constant == 0


def solve(system: System, smallest: tuple[Affine, ...] = ()) -> dict[str, int] | None:
    """A whole-number point of the system, or None where there is none.

    Among several points it takes one that minimizes the first expression of `smallest`, then the second, and so on.

    >>> i, j = Affine((("i", 1),)), Affine((("j", 1),))
    >>> box = {"i": (0, 9), "j": (0, 9)}
    >>> solve(System(box, equal=(i * 2 - j * 3,), at_least=(i - 1,)), smallest=(i,))
    {'i': 3, 'j': 2}
    >>> solve(System(box, equal=(i * 2 - j * 3,), at_least=(i - 1, 2 - i))) is None
    True
    """
    tight = tighten(system)
    if tight is None:
        return None
    point = _corner(tight)
    if point is None:
        point = _integer_program(tight, Affine())
    for goal in smallest if point is not None else ():
        best = _integer_program(tight, goal)
        if best is not None and goal.value(best) <= goal.value(point):
            point = best
        tight = tight.with_(equal=(goal - Affine((), goal.value(point)),))
    return point


def extremes(system: System, goal: Affine) -> tuple[int, int] | None:
    """The smallest and the largest value of an expression over the points of a system; None without points.

    >>> extremes(System({"i": (0, 7)}, at_least=(Affine((("i", 2),), -3),)), Affine((("i", -1),), 9))
    (2, 7)
    """
    tight = tighten(system)
    if tight is None:
        return None
    low, high = goal.extremes(tight.ranges)
    if low == high:  # the box fixes the value; is there a point?
        return (low, high) if solve(tight) is not None else None
    first, last = solve(tight, (goal,)), solve(tight, (-goal,))
    if first is None or last is None:
        return None
    return goal.value(first), goal.value(last)


def _corner(system: System) -> dict[str, int] | None:
    """The lowest corner of the box, or the highest, where it happens to be a point."""
    for end in (0, 1):
        point = {name: ends[end] for name, ends in system.ranges.items()}
        if system.holds(point):
            return point
    return None


def _integer_program(system: System, goal: Affine) -> dict[str, int] | None:
    """A point with the smallest `goal`, by branch and bound over floats; what it finds is checked exactly."""
    # imported here, so that a nest without an integer program does not wait for scipy
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    column = {
        name: number for number, name in enumerate(name for name, (low, high) in system.ranges.items() if low < high)
    }
    fixed = {name: low for name, (low, high) in system.ranges.items() if low == high}
    if not column:
        return fixed if system.holds(fixed) else None
    if max(_size(row, system.ranges) for row in (*system.equal, *system.at_least, goal)) > LARGEST_FLOAT:
        return _search(system, goal)
    rows, constants = [], []
    for row in (*system.equal, *system.at_least):
        line = np.zeros(len(column))
        constant = row.constant
        for name, count in row.terms:
            if name in column:
                line[column[name]] = count
            else:
                constant += count * fixed[name]
        rows.append(line)
        constants.append(-constant)
    most = [*constants[: len(system.equal)], *(np.inf for _ in system.at_least)]
    weight = np.array([goal.coefficient(name) for name in column], dtype=float)
    bounds = Bounds(*zip(*(system.ranges[name] for name in column), strict=True))
    constraints = [LinearConstraint(np.array(rows), constants, most)] if rows else []
    whole, exactly = np.ones(len(column)), {"mip_rel_gap": 0}
    found = milp(weight, integrality=whole, bounds=bounds, constraints=constraints, options=exactly)
    if found.status == 2:  # proved empty
        return None
    if found.x is not None:
        rounded = dict(zip(column, (round(value) for value in found.x), strict=True)) | fixed
        point = {name: rounded[name] for name in system.ranges}
        if system.holds(point):
            return point
    return _search(system, goal)


def _size(row: Affine, ranges: Mapping[str, tuple[int, int]]) -> int:
    return abs(row.constant) + sum(abs(count) * max(map(abs, ranges[name])) for name, count in row.terms)


def _search(system: System, goal: Affine) -> dict[str, int] | None:
    """A point with the smallest `goal`, in whole numbers only: slow but exact, for where floats cannot be trusted."""
    point = _halve(system)
    low = goal.extremes(system.ranges)[0]
    while point is not None and low < goal.value(point):
        middle = (low + goal.value(point)) // 2
        better = _halve(system.with_(at_least=(Affine((), middle) - goal,)))
        if better is None:
            low = middle + 1
        else:
            point = better
    return point


def _halve(system: System) -> dict[str, int] | None:
    """A point by halving the box."""
    waiting = [system]
    for _ in range(MOST_BOXES):
        if not waiting:
            return None
        tight = tighten(waiting.pop(), rounds=10 * ROUNDS)
        if tight is None:
            continue
        corner = _corner(tight)
        if corner is not None:
            return corner
        open_ = [(high - low, name) for name, (low, high) in tight.ranges.items() if low < high]
        if open_:
            name = min(open_)[1]
            low, high = tight.ranges[name]
            middle = (low + high) // 2
            halves = ((middle + 1, high), (low, middle))
            waiting += [replace(tight, ranges={**tight.ranges, name: half}) for half in halves]
    raise ValueError("the numbers of these loops are too large to be judged exactly; use smaller sizes or factors")
