"""The order of loops: reorder, split, tile, fuse, skew."""

from collections.abc import Mapping
from dataclasses import replace

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import DivMod, Loop, Node, Program, ranges
from mini_lib.loops.rewrites.rewriting import rewrite
from mini_lib.loops.rewrites.tree import (
    add_guards,
    chain_between,
    constant_bounds,
    move_homes,
    path_to,
    replace_loop,
    require_serial,
    split_names,
    substitute,
)
from mini_lib.require import of_type, whole


@rewrite
def reorder(nest: Program, order: str) -> Program:
    """Put loops of one nest into another order; loops that are not named stay where they are.

    Before, and after `reorder("k n")`::

        for m in range(4):                         for m in range(4):
            for n in range(8):                         for k in range(2):
                for k in range(2):                         for n in range(8):
                    C[m, n] += A[m, k] * B[k, n]               C[m, n] += A[m, k] * B[k, n]

    A bound that depends on a loop which is now further in becomes a bound of that loop, or a guard.
    TVM: `reorder`. Halide: `reorder` (which names the innermost first). Compilers: loop interchange.

    Args:
        order: names of two or more loops, outermost first, such as "k n".

    Raises:
        ValueError: a loop is unknown or already marked, or the loops are not nested directly.
        IllegalRewrite: two iterations that depend on each other would be swapped.

    >>> from mini_lib.loops import matmul
    >>> matmul(4, 8, 2).reorder("k m").loop_names
    ('k', 'n', 'm')
    """
    names = split_names(order)
    outer, chain = chain_between(nest, names)
    for loop in chain:
        if loop.name in names:
            require_serial(loop, "reorder")
    by_name = {loop.name: loop for loop in chain}
    next_name = iter(names)
    new = [by_name[next(next_name)] if loop.name in names else loop for loop in chain]
    # a buffer that lives for one iteration of all these loops still does
    nest = move_homes(nest, {chain[-1].name: new[-1].name})
    return replace_loop(nest, chain[0].name, lambda _: (_rebuild(outer, chain, new),))


def _rebuild(outer: tuple[Loop, ...], old: list[Loop], new: list[Loop]) -> Node:
    """Nest loops in a new order, with each bound where all variables that it needs are known."""
    box = ranges((*outer, *old))
    known = set(ranges(outer))
    waiting = [bind for loop in old for bind in loop.binds]
    constraints: list[Affine] = []  # each is >= 0, and waits for a loop further in
    built: list[Loop] = []
    for loop in new:
        start = [bound for bound in loop.start if bound.names <= known]
        stop = [bound for bound in loop.stop if bound.names <= known]
        constraints += [affine(loop.name) - bound for bound in loop.start if bound not in start]
        constraints += [bound - 1 - affine(loop.name) for bound in loop.stop if bound not in stop]
        low, high = box[loop.name]
        start, stop = start or [affine(low)], stop or [affine(high + 1)]
        known.add(loop.name)
        for constraint in list(constraints):
            count = constraint.coefficient(loop.name)
            if constraint.names <= known and abs(count) == 1:
                rest = constraint - affine(loop.name) * count
                side, bound = (start, -rest) if count == 1 else (stop, rest + 1)
                if bound not in side:
                    side.append(bound)
                constraints.remove(constraint)
        placed = []
        for bind in waiting:
            if bind.of.names <= known:
                placed.append(bind)
                known |= {bind.quotient, bind.remainder}
        waiting = [bind for bind in waiting if bind not in placed]
        built.append(replace(loop, start=tuple(start), stop=tuple(stop), binds=tuple(placed)))
    body = add_guards(old[-1].body, constraints)
    for loop in reversed(built):
        body = (replace(loop, body=body),)
    return body[0]


@rewrite
def split(nest: Program, loop: str, factor: int, *, guard: bool = False) -> Program:
    """Cut a loop into an outer and an inner one: `i` becomes `i.o` and `i.i`, the inner with `factor` iterations.

    Before, and after `split("i", 4)`::

        for i in range(8):          for i.o in range(2):
            y[i] = x[i]                 for i.i in range(4):
                                            y[i.i + 4*i.o] = x[i.i + 4*i.o]

    The order of iterations stays the same: this is always legal. TVM: `split`. Halide: `split`. Also: strip mining.

    Args:
        factor: the number of iterations of the inner loop.
        guard: allow a factor that does not divide, and skip the iterations beyond the end with an `if`.

    Raises:
        TypeError: the factor is not a whole number.
        ValueError: the loop is unknown, the factor is below 1, or it does not divide and `guard` is False.

    >>> from mini_lib.loops import transpose
    >>> print(transpose(4, 6).split("n", 4, guard=True))
    for m in range(4):
        for n.o in range(2):
            for n.i in range(4):
                if n.i + 4*n.o < 6: B[n.i + 4*n.o, m] = A[m, n.i + 4*n.o]
    """
    path = path_to(nest, loop)
    old = path[-1]
    require_serial(old, "split")
    of_type("split: guard", guard, (bool, int), fix="pass True or False")
    factor = whole("split: factor", factor, low=1, fix="it is the number of iterations of the inner loop")
    low, high = ranges(path)[loop]
    count = high - low + 1
    even = old.extent is not None and count % factor == 0 and old.start[0].is_constant
    if not even and not guard:
        divisors = [one for one in range(2, min(count, 65)) if count % one == 0]
        fix = f"use a divisor such as {divisors[-3:]}" if divisors else "peel some off first"
        raise ValueError(
            f"split: {factor} does not divide the {count} iterations of {loop}; {fix}, "
            "or say guard=True to skip what lies beyond the end"
        )
    outer, inner = f"{loop}.o", f"{loop}.i"
    index = affine(outer) * factor + affine(inner) + low
    guards: list[Affine] = []
    if not even:
        guards = [index - b for b in old.start if not b.is_constant]
        guards += [b - 1 - index for b in old.stop if not b.is_constant or count % factor]
    body = add_guards(substitute(old.body, {loop: index}), guards)
    binds = tuple(replace(bind, of=bind.of.substitute({loop: index})) for bind in old.binds)
    inside = Loop(inner, (Affine(),), (affine(factor),), body, binds=binds)
    outside = Loop(outer, (Affine(),), (affine(-(-count // factor)),), (inside,))
    return move_homes(replace_loop(nest, loop, lambda _: (outside,)), {loop: inner})


@rewrite
def tile(nest: Program, loops: str | Mapping[str, int], size: int | None = None, *, guard: bool = False) -> Program:
    """Split several loops of a nest, and put all outer parts outside all inner parts.

    Before, and after `tile("m n", 2)`::

        for m in range(4):              for m.o in range(2):
            for n in range(4):              for n.o in range(2):
                B[n, m] = A[m, n]               for m.i in range(2):
                                                    for n.i in range(2):
                                                        B[n.i + 2*n.o, m.i + 2*m.o] = A[...]

    TVM: `tile`. Halide: `tile`. Compilers: tiling, blocking (Wolf and Lam, PLDI 1991).

    Args:
        loops: the names of loops that are nested directly, outermost first; or a mapping from name to tile size.
        size: the size of a tile along each loop, where `loops` is only names.

    Raises:
        ValueError: as for split and reorder.
        IllegalRewrite: as for reorder.

    >>> from mini_lib.loops import matmul
    >>> matmul(8, 8, 8).tile({"m": 2, "n": 4}).loop_names
    ('m.o', 'n.o', 'm.i', 'n.i', 'k')
    """
    if isinstance(loops, str):
        if size is None:
            raise ValueError(f"tile: say how large, such as tile({loops!r}, 16)")
        loops = dict.fromkeys(split_names(loops), size)
    of_type("tile: loops", loops, Mapping, fix="pass names, or a size for each name")
    chain_between(nest, split_names(" ".join(map(str, loops))))
    for name, factor in loops.items():
        nest = split.unchecked(nest, name, factor, guard=guard)
    parts = [f"{name}.o" for name in loops] + [f"{name}.i" for name in loops]
    return reorder.unchecked(nest, " ".join(parts))


@rewrite
def fuse(nest: Program, loops: str) -> Program:
    """Make directly nested loops into one: `m` and `n` become `m.n`, in the same order.

    Before, and after `fuse("m n")`::

        for m in range(4):              for m.n in range(32):
            for n in range(8):              m, n = divmod(m.n, 8)
                B[n, m] = A[m, n]           B[n, m] = A[m, n]

    A longer loop is easier to distribute over cores. TVM: `fuse`. Halide: `fuse`. Also: collapse, coalescing.

    Raises:
        ValueError: the loops are not nested directly in this order, or their bounds are not numbers.

    >>> from mini_lib.loops import transpose
    >>> transpose(4, 8).fuse("m n").loop_names
    ('m.n',)
    """
    names = split_names(loops)
    _, chain = chain_between(nest, names)
    if [loop.name for loop in chain] != names or len(names) < 2:
        raise ValueError(
            f"fuse: {loops!r} must name two or more loops that follow each other, outermost first; "
            f"here they are {' '.join(loop.name for loop in chain)!r}. Reorder first"
        )
    inner = chain[-1]
    require_serial(inner, "fuse")
    for outer in reversed(chain[:-1]):
        require_serial(outer, "fuse")
        inner = _fuse_pair(outer, inner)
    fused = inner
    moves = {chain[-1].name: fused.name}
    return move_homes(replace_loop(nest, chain[0].name, lambda _: (fused,)), moves)


def _fuse_pair(outer: Loop, inner: Loop) -> Loop:
    first, last = constant_bounds(outer, "fuse")
    begin, end = constant_bounds(inner, "fuse")
    name = f"{outer.name}.{inner.name}"
    bind = DivMod(outer.name, inner.name, affine(name), end - begin)
    shift = {outer.name: affine(outer.name) + first, inner.name: affine(inner.name) + begin}
    later = (*outer.binds, *inner.binds)
    binds = (bind, *(replace(one, of=one.of.substitute(shift)) for one in later))
    body = substitute(inner.body, shift)
    stop = affine((last - first) * (end - begin))
    return Loop(name, (Affine(),), (stop,), body, binds=binds)


@rewrite
def skew(nest: Program, loop: str, by: str, factor: int = 1) -> Program:
    """Make a loop start later in each iteration of an outer one: `j` becomes `j.s = j + factor * i`.

    Before, and after `skew("j", by="i")`::

        for i in range(4):                    for i in range(4):
            for j in range(8):                    for j.s in range(i, i + 8):
                A[i, j] = ...                         A[i, j.s - i] = ...

    The order stays the same: this is always legal, and it turns distances: (1, -1) becomes (1, 0), after which the
    loops may be interchanged. Source: Wolfe, "Loop skewing: the wavefront method revisited", IJPP 1986.

    Raises:
        ValueError: the loop is unknown, or `by` is not a loop around it.

    >>> from mini_lib.loops import transpose
    >>> print(transpose(2, 3).skew("n", by="m"))
    for m in range(2):
        for n.s in range(m, m + 3):
            B[-m + n.s, m] = A[m, -m + n.s]
    """
    path = path_to(nest, loop)
    of_type("skew: by", by, str, fix="pass the name of a loop around it")
    if by not in [one.name for one in path[:-1]]:
        path_to(nest, by)
        raise ValueError(f"skew: {by} is not a loop around {loop}; skew an inner loop by an outer one")
    old = path[-1]
    require_serial(old, "skew")
    factor = whole("skew: factor", factor, fix="1 lets the loop start one later each time")
    shift, name = affine(by) * factor, f"{loop}.s"
    inverse = {loop: affine(name) - shift}
    binds = tuple(replace(bind, of=bind.of.substitute(inverse)) for bind in old.binds)
    new = Loop(
        name,
        tuple(start + shift for start in old.start),
        tuple(stop + shift for stop in old.stop),
        substitute(old.body, inverse),
        binds=binds,
    )
    return move_homes(replace_loop(nest, loop, lambda _: (new,)), {loop: name})
