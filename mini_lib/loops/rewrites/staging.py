"""Copies close to where they are used: cache_read and cache_write."""

from dataclasses import replace

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Buffer, Load, Loop, Node, Program, Statement, leaves
from mini_lib.loops.rewrites.marks import LANES
from mini_lib.loops.rewrites.region import Region, accesses_of, region
from mini_lib.loops.rewrites.rewriting import restage
from mini_lib.loops.rewrites.tree import buffers_read, buffers_written, new_name, path_to, replace_loop
from mini_lib.loops.rewrites.written import is_overwritten, require_written
from mini_lib.require import one_of


@restage
def cache_read(nest: Program, buffer: str, at: str, scope: str = "scratch") -> Program:
    """Copy the part of a buffer that one iteration of a loop reads into a small local buffer, and read that.

    Before, and after `cache_read("B", at="n.o")`::

        for n.o in range(4):                            B.scratch = scratch f32[8, 16]
            for k in range(8):                          for n.o in range(4):
                for n.i in range(16):                       for B.scratch.0 in range(8):
                    ... B[k, n.i + 16*n.o]                      for B.scratch.1 in range(16):
                                                                    B.scratch[...] = B[...]
                                                            for k in range(8):
                                                                for n.i in range(16):
                                                                    ... B.scratch[k, n.i]

    The copy is contiguous, so it has no conflict misses and few pages. TVM: `cache_read`. Halide: `in` with
    `compute_at`. Libraries call it packing (Goto and van de Geijn, ACM TOMS 2008).

    Args:
        buffer: the buffer to copy from.
        at: the loop that makes a fresh copy in each iteration.
        scope: "scratch" (memory that the caches see) or "register" (no addresses: unroll the loops over it).

    Raises:
        ValueError: the buffer or the loop is unknown; the body does not read the buffer, or also writes it (then use
            cache_write); its accesses are not within one box; or a part that has not been written yet would be copied.

    >>> from mini_lib.loops import matmul
    >>> print(matmul(2, 2, 4).reorder("n m k").cache_read("B", at="n"))
    B.scratch = scratch f32[4, 1]
    for n in range(2):
        for B.scratch.0 in range(4):
            B.scratch[B.scratch.0, 0] = B[B.scratch.0, n]
        for m in range(2):
            for k in range(4):
                C[m, n] += A[m, k] * B.scratch[k, 0]
    """
    path = path_to(nest, at)
    nest.buffer(buffer)
    if buffer in buffers_written(path[-1].body):
        raise ValueError(
            f"cache_read: the body of {at} also writes {buffer}, and a copy would be out of date; use cache_write"
        )
    local, box = _local(nest, path, buffer, scope, "cache_read")
    require_written(nest, path, buffer, box, "cache_read")
    copies = _copy_loops(nest, path, buffer, local, box, into_local=True)
    return _stage(nest, path[-1], buffer, local, box, before=copies, after=())


@restage
def cache_write(nest: Program, buffer: str, at: str, scope: str = "scratch") -> Program:
    """Work on a local copy of the part of a buffer that one iteration of a loop writes, and copy it back at the end.

    Before, and after `cache_write("C", at="m", scope="register")`::

        for m in range(4):                          C.register = register f32[1]
            for k in range(8):                      for m in range(4):
                C[m] += A[m, k] * x[k]                  C.register[0] = C[m]
                                                        for k in range(8):
                                                            C.register[0] += A[m, k] * x[k]
                                                        C[m] = C.register[0]

    Now C is loaded and stored once for each m, and no longer for each k. Where an iteration writes all of its part
    before it reads any of it, nothing is copied in. TVM: `cache_write`. Halide: an update stage with `compute_at`.
    Compilers: scalar replacement, register tiling.

    Args:
        buffer, at, scope: as for cache_read.

    Raises:
        ValueError: the buffer or the loop is unknown; the body does not write the buffer; its accesses are not within
            one box; or a part that has not been written yet would be copied in.
        IllegalRewrite: the boxes of two iterations of a parallel loop overlap, so one copy would overwrite the other.

    >>> from mini_lib.loops import matmul
    >>> print(matmul(2, 2, 4).cache_write("C", at="n", scope="register"))
    C.register = register f32[1, 1]
    for m in range(2):
        for n in range(2):
            C.register[0, 0] = C[m, n]
            for k in range(4):
                C.register[0, 0] += A[m, k] * B[k, n]
            C[m, n] = C.register[0, 0]
    """
    path = path_to(nest, at)
    nest.buffer(buffer)
    if buffer not in buffers_written(path[-1].body):
        raise ValueError(f"cache_write: the body of {at} does not write {buffer}; use cache_read")
    local, box = _local(nest, path, buffer, scope, "cache_write")
    first: tuple[Node, ...] = ()
    if not is_overwritten(nest, path, buffer, box):
        require_written(nest, path, buffer, box, "cache_write")
        first = _copy_loops(nest, path, buffer, local, box, into_local=True)
    last = _copy_loops(nest, path, buffer, local, box, into_local=False)
    return _stage(nest, path[-1], buffer, local, box, before=first, after=last)


def _local(nest: Program, path: tuple[Loop, ...], buffer: str, scope: str, rewrite: str) -> tuple[Buffer, Region]:
    """The new buffer, as large as the box that one iteration touches."""
    original, loop = nest.buffer(buffer), path[-1]
    scope = one_of(f"{rewrite}: scope", scope, ("scratch", "register"), fix="use 'scratch' for memory")
    if loop.kind == "vector" or loop.intrinsic:
        raise ValueError(
            f"{rewrite}: {loop.name} is done all at once, so nothing can be copied inside it; choose a loop around it"
        )
    if original.home and original.home not in [one.name for one in path]:
        raise ValueError(
            f"{rewrite}: {buffer} is made anew in each iteration of {original.home}, and {loop.name} is not inside it; "
            f"choose {original.home}, or a loop inside it"
        )
    if buffer not in buffers_written(loop.body) | buffers_read(loop.body):
        raise ValueError(f"{rewrite}: the body of {loop.name} does not touch {buffer}")
    box = region(path, buffer)
    taken = {one.name for one in nest.buffers}
    name = new_name(taken, f"{buffer}.{scope}")
    return Buffer(name, box.size, original.dtype, scope=scope, home=loop.name), box


def _copy_loops(
    nest: Program, path: tuple[Loop, ...], buffer: str, local: Buffer, box: Region, *, into_local: bool
) -> tuple[Node, ...]:
    """The loops that copy the box from the buffer into the local one, or back."""
    back = "" if into_local else ".back"
    lanes = _lanes(path[-1], buffer) if local.scope == "register" else 0
    loops: list[Loop] = []
    inside: list[Affine] = []
    for axis, size in enumerate(local.shape):
        name = f"{local.name}.{axis}{back}"
        if size == 1:
            inside.append(Affine())
        elif axis == len(local.shape) - 1 and lanes and size % lanes == 0:
            inside.append(affine(f"{name}.i"))  # in whole vectors, as the body uses it
            if size > lanes:
                loops.append(_loop(f"{name}.o", size // lanes, "unrolled"))
                inside[-1] += affine(f"{name}.o") * lanes
            loops.append(_loop(f"{name}.i", lanes, "vector"))
        else:
            inside.append(affine(name))
            loops.append(_loop(name, size, "unrolled" if local.scope == "register" else "serial"))
    outside = tuple(start + one for start, one in zip(box.start, inside, strict=True))
    guards: list[Affine] = []  # where an uneven split lets the box reach beyond the array
    for axis, elements in enumerate(nest.buffer(buffer).shape):
        if box.low[axis] < 0:
            guards.append(outside[axis])
        if box.high[axis] >= elements:
            guards.append(elements - 1 - outside[axis])
    far, near = Load(buffer, outside), Load(local.name, tuple(inside))
    target, value = (near, far) if into_local else (far, near)
    name = f"{local.name}.{'in' if into_local else 'out'}"
    body: tuple[Node, ...] = (Statement(name, target.buffer, target.index, value, tuple(guards)),)
    for loop in reversed(loops):
        body = (replace(loop, body=body),)
    return body


def _loop(name: str, extent: int, kind: str) -> Loop:
    return Loop(name, (Affine(),), (affine(extent),), (), kind=kind)


def _lanes(loop: Loop, buffer: str) -> int:
    """How many neighbours along a buffer's last axis the vector loops inside take at once; 0 if none does."""
    for leaf, access in accesses_of(loop.body, buffer):
        inner = leaf.loops[-1] if leaf.loops else loop
        if inner.kind == "vector" and access.index[-1].coefficient(inner.name) == 1:
            return inner.extent if inner.extent in LANES else 0
    return 0


def _stage(
    nest: Program,
    loop: Loop,
    buffer: str,
    local: Buffer,
    box: Region,
    *,
    before: tuple[Node, ...],
    after: tuple[Node, ...],
) -> Program:
    body = box.staged(loop.body, buffer, local.name)
    names = {leaf.statement.name for leaf in leaves(nest.body)}
    if any(leaf.statement.name in names for leaf in leaves((*before, *after))):
        raise ValueError(f"{buffer} is staged in {local.name} at {loop.name} already")
    staged = replace(loop, body=(*before, *body, *after))
    nest = replace(nest, buffers=(*nest.buffers, local))
    return replace_loop(nest, loop.name, lambda _: (staged,))
