"""When a producer runs: compute_at puts it inside the loop that uses it; double_buffer one iteration ahead."""

from dataclasses import replace

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import DivMod, Load, Loop, Node, Program, leaves
from mini_lib.loops.rewrites.region import accesses_of, region
from mini_lib.loops.rewrites.rewriting import restage
from mini_lib.loops.rewrites.tree import (
    add_guards,
    buffers_read,
    buffers_written,
    constant_bounds,
    map_accesses,
    map_statements,
    path_to,
    rename_loops,
    replace_buffer,
    replace_loop,
    require_serial,
    substitute,
)


@restage
def compute_at(nest: Program, producer: str, consumer: str) -> Program:
    """Compute the part that an iteration of a consumer's loop needs just before its use, in a buffer of that size.

    Before, and after `compute_at("i", "j")`::

        for i in range(9):              T = scratch f32[2]
            T[i] = 2 * X[i]             for j in range(8):
        for j in range(8):                  for i in range(2):
            Y[j] = T[j] + T[j + 1]              T[i] = 2 * X[i + j]
                                            Y[j] = T[0] + T[1]

    This takes less memory, and values are used while they are still in a near cache; but values that two iterations
    need are computed twice. Halide: `compute_at`. TVM: `compute_at`. Source: Ragan-Kelley et al., "Halide", PLDI 2013.

    Args:
        producer: the outermost loop of the nest that writes the intermediate buffer.
        consumer: the loop, in a later nest, that computes the buffer's part in each iteration.

    Raises:
        ValueError: a loop is unknown; the producer writes more than one buffer, or one that is not declared temporary,
            or its subscripts are not plain loops; or another statement in between reads the buffer or writes the
            producer's inputs.

    >>> from mini_lib.loops import nest
    >>> chain = nest('''
    ... for i in range(9):
    ...     T[i] = 2 * X[i]
    ... for j in range(8):
    ...     Y[j] = T[j] + T[j + 1]
    ... ''', temporaries=["T"])
    >>> print(chain.compute_at("i", "j"))
    T = scratch f32[2]
    for j in range(8):
        for i in range(2):
            T[i] = 2 * X[i + j]
        Y[j] = T[0] + T[1]
    """
    source, path = path_to(nest, producer)[-1], path_to(nest, consumer)
    if path[-1].kind == "vector" or path[-1].intrinsic:
        raise ValueError(
            f"compute_at: {consumer} is done all at once, so nothing can be computed inside it; choose a loop around it"
        )
    outputs = buffers_written((source,))
    if len(outputs) != 1:
        raise ValueError(
            f"compute_at: {producer} writes {', '.join(sorted(outputs))}; it must write one buffer. Use fission first"
        )
    [name] = outputs
    _require_only_use(nest, source, path[-1], name)
    buffer = nest.buffer(name)
    if not buffer.temporary:
        raise ValueError(
            f"compute_at: {name} would no longer be whole after the nest; declare it with temporaries=({name!r},) "
            "if nobody reads it then"
        )
    box = region(path, name)
    axes = _plain_axes(source, name)
    shift: dict[str, Affine] = {}
    sizes: dict[str, int] = {}
    guards: list[Affine] = []
    for axis, loop in enumerate(axes):
        offset = next(iter(accesses_of((source,), name)))[1].index[axis] - affine(loop)
        shift[loop] = affine(loop) + box.start[axis] - offset
        sizes[loop] = box.size[axis]
        low, high = constant_bounds(path_to(nest, loop)[-1], "compute_at")
        if box.low[axis] < low + offset.constant:
            guards.append(shift[loop] - low)
        if box.high[axis] >= high + offset.constant:
            guards.append(high - 1 - shift[loop])
    moved = _shrink(substitute((source,), shift), sizes)
    moved = add_guards(moved, guards)
    body = box.staged((*moved, *path[-1].body), name, name)
    local = replace(buffer, shape=box.size, strides=(), scope="scratch", temporary=False, home=consumer)
    without = replace_loop(replace_buffer(nest, local), producer, lambda _: ())
    return replace_loop(without, consumer, lambda loop: (replace(loop, body=body),))


def _require_only_use(nest: Program, source: Loop, consumer: Loop, name: str) -> None:
    """Check that only the source writes the buffer, only the consumer reads it, and the inputs do not change."""
    inside = {id(leaf.statement) for leaf in leaves((source,))}
    using = {id(leaf.statement) for leaf in leaves(consumer.body)}
    after = False
    for leaf in leaves(nest.body):
        statement = leaf.statement
        if id(statement) in inside:
            if id(statement) in using:
                raise ValueError(f"compute_at: {source.name} is inside {consumer.name} already")
            after = True
            continue
        touched = {statement.buffer, *(load.buffer for load in statement.loads)}
        if name in touched and (id(statement) not in using or statement.buffer == name or not after):
            raise ValueError(
                f"compute_at: {statement.name} also uses {name}, and not inside {consumer.name} after {source.name}; "
                "a part of it would be missing there"
            )
        if after and statement.buffer in buffers_read((source,)) - {name}:
            raise ValueError(
                f"compute_at: {statement.name} writes {statement.buffer}, which {source.name} reads; "
                "computed later, it would read the new values"
            )


def _plain_axes(source: Loop, name: str) -> list[str]:
    """For each axis of the buffer, the producer's loop that runs along it."""
    patterns = {access.index for _, access in accesses_of((source,), name)}
    loops = {loop.name for leaf in leaves((source,)) for loop in leaf.loops}
    if len(patterns) == 1:
        [index] = patterns
        names = [one.terms[0][0] for one in index if len(one.terms) == 1 and one.terms[0][1] == 1]
        if len(names) == len(index) == len(set(names)) and set(names) <= loops:
            return names
    raise ValueError(
        f"compute_at: each axis of {name} must be reached by one loop of its own, always in the same way, "
        f"such as {name}[i, j]; here it is not"
    )


def _shrink(nodes: tuple[Node, ...], sizes: dict[str, int]) -> tuple[Node, ...]:
    """The producer's loops, each with as many iterations as its axis of the box has elements."""
    done: list[Node] = []
    for node in nodes:
        if isinstance(node, Loop):
            if node.name in sizes:
                stop = (affine(sizes[node.name]),)
                node = replace(node, start=(Affine(),), stop=stop, kind="serial")
            node = replace(node, body=_shrink(node.body, sizes))
        done.append(node)
    return tuple(done)


@restage
def double_buffer(nest: Program, loop: str, buffer: str) -> Program:
    """Fetch the next iteration's part while this iteration works on its own part: two slots take turns.

    Before, and after `double_buffer("t", "X.scratch")`::

        for t in range(4):                  fetch X(0) into slot 0
            fetch X(t) into the scratch     for t in range(4):
            work on the scratch                 fetch X(t + 1) into slot 1 - t % 2, if there is one
                                                work on slot t % 2

    On hardware that can copy while it computes, an iteration takes max(fetch, work) instead of fetch + work. On a CPU
    the two still share one core, and the prefetcher is what hides latency. TVM: `double_buffer_scope`.

    Args:
        loop: the loop that makes the copy in each iteration.
        buffer: the scratch buffer that cache_read made there.

    Raises:
        ValueError: a name is unknown; the scratch is not filled by a copy at the start of the loop's body; or the body
            changes the source of the copy.

    >>> from mini_lib.loops import pointwise_chain
    >>> row = pointwise_chain(8).split("i", 4).cache_read("X", at="i.o").double_buffer("i.o", "X.scratch")
    >>> print(row)
    X.scratch = scratch f32[2, 4]
    for X.scratch.0.first in range(4):
        X.scratch[0, X.scratch.0.first] = X[X.scratch.0.first]
    for i.o in range(2):
        i.o.turn, i.o.slot = divmod(i.o, 2)
        for X.scratch.0 in range(4):
            if i.o < 1: X.scratch[-i.o.slot + 1, X.scratch.0] = X[X.scratch.0 + 4*i.o + 4]
        for i.i in range(4):
            T[i.i + 4*i.o] = X.scratch[i.o.slot, i.i] * 2
    for j in range(8):
        Y[j] = max(T[j] + 1, 0)
    """
    path = path_to(nest, loop)
    old, local = path[-1], nest.buffer(buffer)
    require_serial(old, "double_buffer")
    low, high = constant_bounds(old, "double_buffer")
    copy, rest = old.body[:1], old.body[1:]
    if local.scope == "memory" or local.home != loop or buffers_written(copy) != {buffer} or not rest:
        raise ValueError(
            f"double_buffer: {buffer} must be a local copy that is filled first thing in each iteration of {loop}; "
            f"make it with cache_read(..., at={loop!r})"
        )
    if buffer in buffers_written(rest) or buffers_read(copy) & buffers_written(rest):
        raise ValueError(
            f"double_buffer: the body of {loop} changes what {buffer} is copied from, or {buffer} itself; "
            "fetched ahead, it would be out of date"
        )
    turn, slot = f"{loop}.turn", f"{loop}.slot"

    def in_slot(nodes: tuple[Node, ...], which: Affine) -> tuple[Node, ...]:
        def change(access: Load) -> Load:
            return Load(buffer, (which, *access.index)) if access.buffer == buffer else access

        return map_statements(nodes, lambda one: map_accesses(one, change))

    first = rename_loops(in_slot(substitute(copy, {loop: affine(low)}), Affine()), ".first")
    first = map_statements(first, lambda one: replace(one, name=f"{one.name}.first"))
    ahead = substitute(copy, {loop: affine(loop) + 1})
    ahead = add_guards(in_slot(ahead, 1 - affine(slot)), [high - 2 - affine(loop)])
    bind = DivMod(turn, slot, affine(loop) - low, 2)
    body = (*ahead, *in_slot(rest, affine(slot)))
    after = replace(old, binds=(*old.binds, bind), body=body)
    home = path[-2].name if len(path) > 1 else ""
    wide = replace(local, shape=(2, *local.shape), strides=(), home=home)
    return replace_loop(replace_buffer(nest, wide), loop, lambda _: (*first, after))
