"""Random small nests with rewrites, described twice: as text for the library, and as sets and maps for isl.

The description for isl is made here, from the random choices themselves. Nothing of it passes through the library.
"""

import random
from dataclasses import dataclass, replace

import islpy as isl

ARRAYS = "AB"


@dataclass(frozen=True)
class Sentence:
    """A statement as it was drawn: `write = reads`, with its loops as (name, low, high), high excluded."""

    name: str
    loops: tuple[tuple[str, int, int], ...]
    write: tuple[str, tuple[str, ...]]
    reads: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def text(self) -> str:
        def element(access):
            return f"{access[0]}[{', '.join(access[1])}]"

        number = int(self.name[1:])
        terms = [f"{3 + 2 * place + number} * {element(read)}" for place, read in enumerate(self.reads)]
        return f"{element(self.write)} = {' + '.join([*terms, str(number + 7)])}"


@dataclass(frozen=True)
class Step:
    """One rewrite: the call, and when each statement's iterations run after it.

    `times` has for each statement the tuple of isl expressions of its old loops; all are equally long. `parallel` is
    the place in it whose values come in no order; `vector` is the place of the lanes.
    """

    method: str
    arguments: tuple
    options: dict
    times: dict[str, tuple[str, ...]]
    parallel: int | None = None
    vector: int | None = None

    def __str__(self) -> str:
        options = [f"{key}={value!r}" for key, value in self.options.items()]
        return f"{self.method}({', '.join([*map(repr, self.arguments), *options])})"


@dataclass(frozen=True)
class Case:
    """A nest as text, its statements and times for isl, and the rewrites to try one after the other."""

    text: str
    sentences: tuple[Sentence, ...]
    times: dict[str, tuple[str, ...]]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join([self.text, *(f".{step}" for step in self.steps)])


# ---- drawing a case ----


@dataclass
class _Axis:
    """A loop while it is rewritten: its present name, its value in the old loops, its box, whether it is plain."""

    name: str
    value: str
    low: int
    high: int  # excluded
    plain: bool = True  # bounds are numbers


def draw(seed: int, scale: int = 1) -> Case:
    """A random case with at least one rewrite; the same seed gives the same case. Loops run 2 to 5 times `scale`."""
    rng = random.Random(seed)
    shapes = {"perfect": _perfect, "neighbours": _neighbours, "imperfect": _imperfect}
    while True:
        shape = rng.choice(("perfect",) * 7 + ("neighbours", "imperfect", "imperfect"))
        case = shapes[shape](rng, scale)
        if case.steps:
            return case


def _loops(rng: random.Random, names: str, scale: int) -> tuple[tuple[str, int, int], ...]:
    loops = []
    for name in names:
        low = rng.choice((0, 0, 0, 1))
        loops.append((name, low, low + rng.choice((2, 3, 4, 4, 5)) * scale))
    return tuple(loops)


def _sentences(rng: random.Random, places: list[tuple[tuple[str, int, int], ...]]) -> list[Sentence]:
    """Statements for these places, with subscripts that start at 0 for each array and axis."""
    axes = {array: rng.choice((1, 2, 2)) for array in ARRAYS}
    drawn = []
    for loops in places:
        names = [name for name, _, _ in loops]
        accesses = []
        for _ in range(rng.choice((2, 2, 3))):
            array = rng.choice(ARRAYS)
            accesses.append((array, [_subscript(rng, names) for _ in range(axes[array])]))
        if rng.random() < 0.4:  # in place
            accesses[1] = (accesses[0][0], [*accesses[0][1]])
            if rng.random() < 0.6:
                axis = rng.randrange(len(accesses[1][1]))
                counts, constant = accesses[1][1][axis]
                accesses[1][1][axis] = (counts, constant + rng.choice((-1, 1)))
        drawn.append((loops, accesses))
    lowest: dict[tuple[str, int], int] = {}
    for loops, accesses in drawn:
        for array, subscripts in accesses:
            for axis, (counts, constant) in enumerate(subscripts):
                least = constant + sum(
                    min(counts.get(name, 0) * low, counts.get(name, 0) * (high - 1)) for name, low, high in loops
                )
                lowest[array, axis] = min(lowest.get((array, axis), least), least)
    sentences = []
    for number, (loops, accesses) in enumerate(drawn):
        written = [
            (
                array,
                tuple(
                    _expression(counts, constant - lowest[array, axis])
                    for axis, (counts, constant) in enumerate(subscripts)
                ),
            )
            for array, subscripts in accesses
        ]
        sentences.append(Sentence(f"S{number}", loops, written[0], tuple(written[1:])))
    return sentences


def _subscript(rng: random.Random, names: list[str]) -> tuple[dict[str, int], int]:
    """A random affine subscript, as a count for each loop and a constant."""
    chance = rng.random()
    if chance < 0.1:
        return {}, rng.randint(-1, 1)
    counts = {rng.choice(names): rng.choice((1, 1, 1, 1, 1, 2, -1))}
    if chance > 0.75:
        counts.setdefault(rng.choice(names), rng.choice((1, 1, -1)))
    return counts, rng.randint(-1, 1)


def _expression(counts: dict[str, int], constant: int) -> str:
    """The same in letters, for both readers."""
    parts = [f"{count}*{name}" for name, count in sorted(counts.items())]
    return " + ".join([*parts, str(constant)]) if constant or not parts else " + ".join(parts)


def _text(loops: tuple[tuple[str, int, int], ...], body: list[str]) -> str:
    lines = [f"{'    ' * depth}for {name} in range({low}, {high}):" for depth, (name, low, high) in enumerate(loops)]
    return "\n".join([*lines, *("    " * len(loops) + line for line in body)])


def _perfect(rng: random.Random, scale: int) -> Case:
    """All statements in the innermost of one to three loops."""
    loops = _loops(rng, "ijk"[: rng.choice((1, 2, 2, 2, 3))], scale)
    sentences = _sentences(rng, [loops] * rng.choice((1, 1, 2, 3)))
    axes = [_Axis(name, name, low, high) for name, low, high in loops]
    case = Case(_text(loops, [sentence.text for sentence in sentences]), tuple(sentences), _times(axes, sentences), ())
    steps: list[Step] = []
    for _ in range(rng.choice((0, 0, 1, 1, 2))):  # without effect on the order
        _change_axes(rng, axes, sentences, steps)
    last = rng.choice(
        ("reorder",) * 5 + ("vectorize",) * 3 + ("parallelize", "fission", "fission", "jam", "peel", "both")
    )
    if last in ("reorder", "both", "vectorize") and len(axes) > 1:
        _reorder(rng, axes, sentences, steps)
    if last == "both" or last == "parallelize":
        _mark(rng, axes, sentences, steps, "parallelize")
    elif last == "vectorize":
        _mark(rng, axes, sentences, steps, "vectorize")
    elif last == "fission":
        _fission(rng, axes, sentences, steps)
    elif last == "jam":
        _jam(rng, axes, sentences, steps)
    elif last == "peel":
        _peel(rng, axes, sentences, steps)
    return replace(case, steps=tuple(steps))


def _times(axes: list[_Axis], sentences: list[Sentence]) -> dict[str, tuple[str, ...]]:
    return {sentence.name: (*(axis.value for axis in axes), str(place)) for place, sentence in enumerate(sentences)}


def _change_axes(rng: random.Random, axes: list[_Axis], sentences: list[Sentence], steps: list[Step]) -> None:
    """Split, skew or fuse: the order of iterations stays, the loops change."""
    kind = rng.choice(("split", "split", "skew", "skew", "fuse"))
    pairs = [place for place in range(len(axes) - 1) if axes[place].plain and axes[place + 1].plain]
    if kind == "skew" and len(axes) > 1:
        outer, inner = sorted(rng.sample(range(len(axes)), 2))
        factor = rng.choice((1, 1, 2, -1))
        by, axis = axes[outer], axes[inner]
        ends = (factor * by.low, factor * (by.high - 1))
        axes[inner] = _Axis(
            f"{axis.name}.s",
            f"({axis.value}) + {factor}*({by.value})",
            axis.low + min(ends),
            axis.high + max(ends),
            plain=False,
        )
        options = {"by": by.name} | ({"factor": factor} if factor != 1 else {})
        steps.append(Step("skew", (axis.name,), options, _times(axes, sentences)))
    elif kind == "fuse" and pairs:
        place = rng.choice(pairs)
        outer, inner = axes[place : place + 2]
        size = inner.high - inner.low
        value = f"{size}*(({outer.value}) - {outer.low}) + ({inner.value}) - {inner.low}"
        name = f"{outer.name}.{inner.name}"
        axes[place : place + 2] = [_Axis(name, value, 0, size * (outer.high - outer.low))]
        arguments = (f"{outer.name} {inner.name}",)
        steps.append(Step("fuse", arguments, {}, _times(axes, sentences)))
    elif kind == "split":
        _split_step(axes, rng.randrange(len(axes)), rng.choice((2, 2, 3)), sentences, steps)


def _split_step(axes: list[_Axis], place: int, factor: int, sentences: list[Sentence], steps: list[Step]) -> None:
    axis = axes[place]
    even = axis.plain and (axis.high - axis.low) % factor == 0
    _split(axes, place, factor)
    options = {} if even else {"guard": True}
    steps.append(Step("split", (axis.name, factor), options, _times(axes, sentences)))


def _split(axes: list[_Axis], place: int, factor: int) -> None:
    axis = axes[place]
    from_zero = f"(({axis.value}) - {axis.low})"
    rounds = -(-(axis.high - axis.low) // factor)
    axes[place : place + 1] = [
        _Axis(f"{axis.name}.o", f"floor({from_zero}/{factor})", 0, rounds),
        _Axis(f"{axis.name}.i", f"({from_zero} mod {factor})", 0, factor),
    ]


def _reorder(rng: random.Random, axes: list[_Axis], sentences: list[Sentence], steps: list[Step]) -> None:
    order = list(axes)
    while order == axes:
        rng.shuffle(order)
    axes[:] = order
    names = " ".join(axis.name for axis in axes)
    steps.append(Step("reorder", (names,), {}, _times(axes, sentences)))


def _mark(rng: random.Random, axes: list[_Axis], sentences: list[Sentence], steps: list[Step], method: str) -> None:
    if method == "vectorize":
        if not all(axis.plain for axis in axes):  # a vector loop has a fixed number of lanes
            return
        if axes[-1].high - axes[-1].low not in (2, 4):
            _split_step(axes, len(axes) - 1, rng.choice((2, 4)), sentences, steps)
        place = len(axes) - 1
    else:
        place = rng.randrange(len(axes))
    axis = axes[place]
    marked = {"vector" if method == "vectorize" else "parallel": place}
    steps.append(Step(method, (axis.name,), {}, _times(axes, sentences), **marked))


def _fission(rng: random.Random, axes: list[_Axis], sentences: list[Sentence], steps: list[Step]) -> None:
    """The innermost loop in two between statements, then perhaps the loop around it between these two."""
    if len(sentences) < 2:
        return
    cut = rng.randrange(1, len(sentences))
    after = sentences[cut - 1].name
    for depth in range(len(axes) - 1, max(-1, len(axes) - 1 - rng.choice((1, 2))), -1):
        values = [axis.value for axis in axes]
        times = {
            sentence.name: (*values[:depth], str(int(place >= cut)), *values[depth:], str(place))
            for place, sentence in enumerate(sentences)
        }
        steps.append(Step("fission", (axes[depth].name,), {"after": after}, times))
        after = axes[depth].name


def _jam(rng: random.Random, axes: list[_Axis], sentences: list[Sentence], steps: list[Step]) -> None:
    """Unroll and jam: the inner part of a split loop goes to the innermost place."""
    places = [place for place, axis in enumerate(axes[:-1]) if axis.plain]
    if not places or not all(axis.plain for axis in axes):
        return
    place, factor = rng.choice(places), 2
    axis = axes[place]
    even = (axis.high - axis.low) % factor == 0
    _split(axes, place, factor)
    axes.append(axes.pop(place + 1))
    options = {} if even else {"guard": True}
    steps.append(Step("unroll_and_jam", (axis.name, factor), options, _times(axes, sentences)))


def _peel(rng: random.Random, axes: list[_Axis], sentences: list[Sentence], steps: list[Step]) -> None:
    """Peel or unroll: the order stays as it is."""
    plain = [axis for axis in axes if axis.plain and axis.high - axis.low > 1]
    if not plain:
        return
    axis = rng.choice(plain)
    if rng.random() < 0.5 and axis.high - axis.low <= 256:
        steps.append(Step("unroll", (axis.name,), {}, _times(axes, sentences)))
    else:
        count = rng.randrange(1, axis.high - axis.low)
        options = {"end": True} if rng.random() < 0.5 else {}
        steps.append(Step("peel", (axis.name, count), options, _times(axes, sentences)))


def _neighbours(rng: random.Random, scale: int) -> Case:
    """Two nests that follow each other; their outer loops are fused, and perhaps taken apart again."""
    (_, low, high), *rest = _loops(rng, "ik"[: rng.choice((1, 2))], scale)
    shift = rng.choice((0, 0, 1))
    first = (("i", low, high), *rest)
    second = (("p", low + shift, high + shift), *_loops(rng, "q"[: rng.choice((0, 1))], scale))
    sentences = _sentences(rng, [first, second])
    text = "\n".join(_text(loops, [sentence.text]) for loops, sentence in zip((first, second), sentences, strict=True))

    def inner(loops: tuple) -> str:
        return loops[1][0] if len(loops) > 1 else "0"

    times = {"S0": ("0", "i", inner(first)), "S1": ("1", "p", inner(second))}
    fused = {"S0": ("i", "0", inner(first)), "S1": (f"p - {shift}", "1", inner(second))}
    steps = [Step("fusion", ("i", "p"), {}, fused)]
    if rng.random() < 0.3:
        steps.append(Step("parallelize", ("i",), {}, fused, parallel=0))
    elif rng.random() < 0.2:
        after = first[1][0] if len(first) > 1 else "S0"
        apart = {"S0": ("0", "i", inner(first)), "S1": ("1", f"p - {shift}", inner(second))}
        steps.append(Step("fission", ("i",), {"after": after}, apart))
    return Case(text, tuple(sentences), times, tuple(steps))


def _imperfect(rng: random.Random, scale: int) -> Case:
    """A statement before a loop, the loop, perhaps a statement after it; all in an outer loop."""
    outer, inner = _loops(rng, "ij", scale)
    both = (outer, inner)
    places = [(outer,), both] + ([(outer,)] if rng.random() < 0.5 else [])
    sentences = _sentences(rng, places)
    lines = _text((outer,), [sentences[0].text]) + "\n"
    lines += "\n".join("    " + line for line in _text((inner,), [sentences[1].text]).split("\n"))
    if len(sentences) > 2:
        lines += "\n    " + sentences[2].text
    times = {"S0": ("i", "0", "0"), "S1": ("i", "1", "j"), "S2": ("i", "2", "0")}
    times = {sentence.name: times[sentence.name] for sentence in sentences}
    kind = rng.choice(("parallel", "fission", "fission", "peel", "split"))
    if kind == "parallel":
        step = Step("parallelize", ("i",), {}, times, parallel=0)
    elif kind == "fission":
        after = rng.choice(["S0", "j"][: len(sentences) - 1])
        cut = {"S0": 1, "j": 2}[after]
        apart = {name: (str(int(place >= cut)), *times[name]) for place, name in enumerate(times)}
        step = Step("fission", ("i",), {"after": after}, apart)
    elif kind == "peel":
        step = Step("peel", ("i", 1), {}, times)
    else:
        step = Step("split", ("i", 2), {"guard": True}, times)
    return Case(lines, tuple(sentences), times, (step,))


# ---- the judgement of isl ----


class Judge:
    """What isl says of a case: its dependences, and which orders keep them.

    An event is one access in one iteration. It has its own isl space, such as `S0_r1[i, j]`.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.old = self._order(case.times)
        reads, writes = self._accesses()
        self.dependences = self._flow(writes, reads)  # flow
        self.dependences = self.dependences.union(self._flow(reads, writes))  # anti
        self.dependences = self.dependences.union(self._flow(writes, writes))  # output

    def accepts(self, step: Step) -> bool:
        """Whether every dependence goes from an earlier to a later time after a rewrite."""
        new = self._order(step.times, step.vector)
        moved = self.dependences.apply_domain(new).apply_range(new)  # from time to time
        length = len(next(iter(step.times.values()))) + (2 if step.vector is None else 1)
        return moved.is_subset(self._in_order(length, step.parallel))

    def orders(self, first: str, one: dict[str, int], second: str, two: dict[str, int]) -> bool:
        """Whether some access in one iteration must come before some access in another."""
        for source, _ in self._events(self._sentence(first)):
            for sink, _ in self._events(self._sentence(second)):
                pair = (
                    f"{{ {first}{source}[{', '.join(map(str, one.values()))}]"
                    f" -> {second}{sink}[{', '.join(map(str, two.values()))}] }}"
                )
                if isl.UnionMap(pair).is_subset(self.dependences):
                    return True
        return False

    def _sentence(self, name: str) -> Sentence:
        return next(sentence for sentence in self.case.sentences if sentence.name == name)

    def _flow(self, sources: isl.UnionMap, sinks: isl.UnionMap) -> isl.UnionMap:
        """All pairs that touch one element, the source before the sink in the old order."""
        info = isl.UnionAccessInfo.from_sink(sinks)
        info = info.set_may_source(sources).set_schedule_map(self.old)
        return info.compute_flow().get_may_dependence()

    def _accesses(self) -> tuple[isl.UnionMap, isl.UnionMap]:
        reads, writes = [], []
        for sentence in self.case.sentences:
            for number, (array, subscripts) in enumerate(sentence.reads):
                reads.append(self._map(sentence, f"_r{number}", f"{array}[{', '.join(subscripts)}]"))
            array, subscripts = sentence.write
            writes.append(self._map(sentence, "_w", f"{array}[{', '.join(subscripts)}]"))
        return isl.UnionMap(f"{{ {'; '.join(reads)} }}"), isl.UnionMap(f"{{ {'; '.join(writes)} }}")

    def _order(self, times: dict[str, tuple[str, ...]], vector: int | None = None) -> isl.UnionMap:
        """When each event runs: the iteration's time, then loads before the store; lanes come last."""
        maps = []
        for sentence in self.case.sentences:
            time = list(times[sentence.name])
            lane = [time.pop(vector)] if vector is not None else ["0"]
            for suffix, phase in self._events(sentence):
                target = f"[{', '.join([*time, str(phase), *lane])}]"
                maps.append(self._map(sentence, suffix, target))
        return isl.UnionMap(f"{{ {'; '.join(maps)} }}")

    @staticmethod
    def _events(sentence: Sentence) -> list[tuple[str, int]]:
        return [*((f"_r{number}", 0) for number in range(len(sentence.reads))), ("_w", 1)]

    @staticmethod
    def _map(sentence: Sentence, suffix: str, target: str) -> str:
        names = ", ".join(name for name, _, _ in sentence.loops)
        limits = " and ".join(f"{low} <= {name} < {high}" for name, low, high in sentence.loops)
        return f"{sentence.name}{suffix}[{names}] -> {target} : {limits}"

    @staticmethod
    def _in_order(length: int, parallel: int | None) -> isl.UnionMap:
        """All pairs of times, the first certainly before the second: the first place that differs decides."""
        one = [f"a{number}" for number in range(length)]
        two = [f"b{number}" for number in range(length)]
        ways = [
            " and ".join([*(f"a{outer} = b{outer}" for outer in range(place)), f"a{place} < b{place}"])
            for place in range(length)
            if place != parallel
        ]
        return isl.UnionMap(f"{{ [{', '.join(one)}] -> [{', '.join(two)}] : {' or '.join(ways)} }}")
