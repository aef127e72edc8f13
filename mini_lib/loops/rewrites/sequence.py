"""Loops that follow each other: fusion, fission, peel."""

from dataclasses import replace

from mini_lib.loops.affine import affine
from mini_lib.loops.ir import Node, Program, Statement, all_loops, leaves
from mini_lib.loops.rewrites.rewriting import rewrite
from mini_lib.loops.rewrites.tree import (
    constant_bounds,
    move_homes,
    new_name,
    new_suffix,
    path_to,
    rename_buffer,
    rename_loops,
    replace_loop,
    require_serial,
    substitute,
)
from mini_lib.require import of_type, whole


@rewrite
def fusion(nest: Program, first: str, second: str) -> Program:
    """Merge two neighbouring loops with equally many iterations into one: each iteration runs both bodies.

    Before, and after `fusion("i", "j")`::

        for i in range(4):              for i in range(4):
            t[i] = 2 * x[i]                 t[i] = 2 * x[i]
        for j in range(4):                  y[i] = t[i] + 1
            y[j] = t[j] + 1

    An element that the first body writes is still in the cache, or in a register, when the second reads it. Compilers:
    loop fusion (Kennedy and McKinley, LCPC 1993). Deep learning compilers: operator fusion.

    Raises:
        ValueError: a loop is unknown, or the loops are not neighbours or differ in their number of iterations.
        IllegalRewrite: the second body would read an element before the first has written it.

    >>> from mini_lib.loops import pointwise_chain
    >>> print(pointwise_chain(4).fusion("i", "j"))
    for i in range(4):
        T[i] = X[i] * 2
        Y[i] = max(T[i] + 1, 0)
    """
    one, two = path_to(nest, first)[-1], path_to(nest, second)[-1]
    for loop in (one, two):
        require_serial(loop, "fusion")
    low, high = constant_bounds(one, "fusion")
    begin, end = constant_bounds(two, "fusion")
    if high - low != end - begin:
        raise ValueError(
            f"fusion: {first} has {high - low} iterations and {second} has {end - begin}; peel the longer one"
        )
    if one.binds or two.binds:
        raise ValueError("fusion: these are loops made by fuse; do the fusion before it")
    moved = substitute(two.body, {second: affine(first) + (begin - low)})
    merged = replace(one, body=(*one.body, *moved))

    def visit(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        if one in nodes and two in nodes:
            place = nodes.index(one)
            if place + 1 < len(nodes) and nodes[place + 1] == two:
                return (*nodes[:place], merged, *nodes[place + 2 :])
            raise ValueError(f"fusion: {second} must come right after {first}, with nothing between them")
        return tuple(node if isinstance(node, Statement) else replace(node, body=visit(node.body)) for node in nodes)

    after = replace(nest, body=visit(nest.body))
    if after.body == nest.body:
        raise ValueError(f"fusion: {first} and {second} are not in the same body; they must be neighbours")
    return move_homes(after, {second: first})


@rewrite
def fission(nest: Program, loop: str, after: str) -> Program:
    """Split one loop into two: the first runs the body up to and including `after`, the second runs the rest.

    Before, and after `fission("i", after="S0")`::

        for i in range(4):              for i in range(4):
            t[i] = 2 * x[i]                 t[i] = 2 * x[i]
            y[i] = t[i] + 1             for i.2 in range(4):
                                            y[i.2] = t[i.2] + 1

    Also: loop distribution. It makes nests of single statements, which can then be reordered.

    Args:
        after: the name of a statement, or of a loop in the body. Statements are named S0, S1, ... in the order of the
            text.

    Raises:
        ValueError: the loop is unknown, or `after` is not in its body or is the last there.
        IllegalRewrite: an early iteration of the second part feeds a late one of the first.

    >>> from mini_lib.loops import pointwise_chain
    >>> both = pointwise_chain(4).fusion("i", "j")
    >>> both.fission("i", after="S0").loop_names
    ('i', 'i.2')
    """
    old = path_to(nest, loop)[-1]
    require_serial(old, "fission")

    of_type("fission: after", after, str, fix="pass the name of a statement, such as 'S0'")

    def holds(node: Node) -> bool:
        return after in {node.name, *(leaf.statement.name for leaf in leaves((node,)))}

    places = [place for place, node in enumerate(old.body) if holds(node)]
    if not places or places[0] == len(old.body) - 1:
        names = [leaf.statement.name for leaf in leaves(old.body)]
        raise ValueError(
            f"fission: after={after!r} must be in the body of {loop} and not its last; it holds {', '.join(names)}"
        )
    if home := [buffer.name for buffer in nest.buffers if buffer.home == loop]:
        raise ValueError(f"fission: {home[0]} lives for one iteration of {loop}, so both parts must stay in it")
    cut = places[0] + 1
    name = new_name(set(nest.loop_names), f"{loop}.2")
    inner = {loop: affine(name)}
    binds = tuple(replace(bind, of=bind.of.substitute(inner)) for bind in old.binds)
    tail = replace(old, name=name, body=substitute(old.body[cut:], inner), binds=binds)
    return replace_loop(nest, loop, lambda _: (replace(old, body=old.body[:cut]), tail))


@rewrite
def peel(nest: Program, loop: str, count: int, *, end: bool = False) -> Program:
    """Move the first iterations of a loop (or the last) into a loop of their own.

    Before, and after `peel("i", 2)`::

        for i in range(10):             for i.p in range(2):
            y[i] = x[i]                     y[i.p] = x[i.p]
                                        for i in range(2, 10):
                                            y[i] = x[i]

    The remaining loop can be split evenly, without guards. Always legal. Compilers: loop peeling, index set splitting.

    Args:
        count: how many iterations to take out; 1 or more, and fewer than there are.
        end: take the last ones instead of the first.

    Raises:
        ValueError: the loop is unknown, its bounds are not numbers, or the count leaves nothing on one side.

    >>> from mini_lib.loops import transpose
    >>> transpose(10, 4).peel("m", 2, end=True).split("m", 4).loop_names
    ('m.o', 'm.i', 'n', 'm.p', 'n.p')
    """
    old = path_to(nest, loop)[-1]
    require_serial(old, "peel")
    low, high = constant_bounds(old, "peel")
    of_type("peel: end", end, (bool, int), fix="pass True or False")
    count = whole("peel: count", count, fix="it is the number of iterations to take out")
    if not 0 < count < high - low:
        raise ValueError(
            f"peel: count must be from 1 to {high - low - 1} for the {high - low} iterations of {loop}, got {count}"
        )
    middle = affine(high - count if end else low + count)
    first, last = replace(old, stop=(middle,)), replace(old, start=(middle,))
    kept, taken = (first, last) if end else (last, first)
    suffix = new_suffix(nest, taken, ".p")
    locals_ = [buffer for buffer in nest.buffers if buffer.home in {one.name for one in all_loops((taken,))}]
    [taken] = rename_loops((taken,), suffix)
    for buffer in locals_:  # a buffer that lives in an iteration gets a copy in the peeled loop
        own = replace(buffer, name=buffer.name + suffix, home=buffer.home + suffix)
        [taken] = rename_buffer((taken,), buffer.name, own.name)
        nest = replace(nest, buffers=(*nest.buffers, own))
    return replace_loop(nest, loop, lambda _: (kept, taken) if end else (taken, kept))
