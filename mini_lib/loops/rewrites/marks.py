"""How the iterations of a loop run: unroll, unroll-and-jam, vectorize, parallelize."""

from dataclasses import replace

from mini_lib.loops.ir import Loop, Program, Statement
from mini_lib.loops.rewrites.order import reorder, split
from mini_lib.loops.rewrites.rewriting import rewrite
from mini_lib.loops.rewrites.tree import path_to, replace_loop, require_serial, split_names

MOST_UNROLLED = 256
LANES = (2, 4, 8, 16, 32, 64)


@rewrite
def unroll(nest: Program, loops: str) -> Program:
    """Write out the iterations of loops one after the other, without counter and jump.

    Before, and after `unroll("i")`, in C::

        for (int i = 0; i < 2; i++)        y[0] = x[0];
            y[i] = x[i];                   y[1] = x[1];

    Always legal. Needed for loops over registers, since registers have no addresses. TVM: `unroll`. Halide: `unroll`.

    Raises:
        ValueError: a loop is unknown, its bounds are not numbers, or it has more than 256 iterations.

    >>> from mini_lib.loops import transpose
    >>> print(transpose(4, 2).unroll("n"))
    for m in range(4):
        for n in range(2):  # unrolled
            B[n, m] = A[m, n]
    """
    for name in split_names(loops):
        loop = path_to(nest, name)[-1]
        require_serial(loop, "unroll")
        if loop.extent is None or loop.extent > MOST_UNROLLED:
            raise ValueError(
                f"unroll: {name} has {loop.extent or 'a changing number of'} iterations; "
                f"at most {MOST_UNROLLED} are written out. Split it, and unroll the inner part"
            )
        nest = _mark(nest, name, "unrolled")
    return nest


@rewrite
def unroll_and_jam(nest: Program, loop: str, factor: int, *, guard: bool = False) -> Program:
    """Split a loop, move its inner part inside all others, and unroll it there.

    Before, and after `unroll_and_jam("m", 2)`, in C::

        for m in range(4):                  for m.o in range(2):
            for k in range(8):                  for k in range(8):
                y[m] += A[m, k] * x[k]              y[2*m.o]     += A[2*m.o, k]     * x[k]
                                                    y[2*m.o + 1] += A[2*m.o + 1, k] * x[k]

    The values that the copies share (here x[k]) can stay in a register. A vectorized loop stays innermost.
    Source: Callahan, Carr and Kennedy, "Improving register allocation for subscripted variables", PLDI 1990.

    Raises:
        ValueError: as for split; or the loops inside are not nested directly.
        IllegalRewrite: as for reorder.

    >>> from mini_lib.loops import matmul
    >>> matmul(4, 8, 2).unroll_and_jam("m", 2).loop_names
    ('m.o', 'n', 'k', 'm.i')
    """
    nest = split.unchecked(nest, loop, factor, guard=guard)
    inside = [path_to(nest, f"{loop}.i")[-1]]
    while isinstance(inside[-1].body[0], Loop):
        inside.append(inside[-1].body[0])
    names = [one.name for one in inside[1:] if one.kind == "serial"]
    if names:
        nest = reorder.unchecked(nest, " ".join([*names, f"{loop}.i"]))
    return unroll.unchecked(nest, f"{loop}.i")


@rewrite
def vectorize(nest: Program, loop: str) -> Program:
    """Run all iterations of an innermost loop at once: one instruction loads, adds or stores for all of them.

    Before, and after `vectorize("i")`, in C::

        for (int i = 0; i < 8; i++)        v8f t = *(v8f *)&x[0];
            y[i] = 2 * x[i];               *(v8f *)&y[0] = 2 * t;

    In each statement all lanes load before any lane stores. So an iteration may overwrite an element that an earlier
    one has read, but may not read one that an earlier one writes in the same statement. TVM: `vectorize`. Halide:
    `vectorize`.

    Raises:
        ValueError: the loop is unknown, holds other loops, or its number of iterations is not 2, 4, ... 64.
        IllegalRewrite: an iteration needs the result of another one.

    >>> from mini_lib.loops import reduction
    >>> reduction(8).vectorize("i")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    mini_lib.loops.legality.violation.IllegalRewrite: each iteration needs the sum that the one before it has stored
    """
    old = path_to(nest, loop)[-1]
    require_serial(old, "vectorize")
    if not all(isinstance(node, Statement) for node in old.body):
        raise ValueError(
            f"vectorize: {loop} holds other loops; reorder it to the innermost place, or split "
            "the innermost loop and vectorize that"
        )
    if home := [buffer.name for buffer in nest.buffers if buffer.home == loop]:
        raise ValueError(
            f"vectorize: {home[0]} is made anew in each iteration of {loop}, and lanes would share it; "
            "vectorize first, and make the copy in a loop around it"
        )
    if old.extent not in LANES:
        raise ValueError(
            f"vectorize: {loop} has {old.extent or 'a changing number of'} iterations, and a vector register "
            f"holds 2, 4, 8, 16, 32 or 64; split({loop!r}, 8) and vectorize {loop + '.i'!r}"
        )
    return _mark(nest, loop, "vector")


@rewrite
def parallelize(nest: Program, loop: str) -> Program:
    """Distribute the iterations of a loop over the cores, in no order.

    Before, and after `parallelize("m")`, in C::

        for (int m = 0; m < 64; m++)       #pragma omp parallel for
            ...                            for (int m = 0; m < 64; m++)
                                               ...

    TVM: `parallel`. Halide: `parallel`. OpenMP: `parallel for`.

    Raises:
        ValueError: the loop is unknown, or is inside a loop that is already parallel.
        IllegalRewrite: two iterations touch the same element, and one of them writes it.

    >>> from mini_lib.loops import matmul
    >>> print(matmul(4, 8, 2).parallelize("m"))
    for m in range(4):  # parallel
        for n in range(8):
            for k in range(2):
                C[m, n] += A[m, k] * B[k, n]
    """
    *around, old = path_to(nest, loop)
    require_serial(old, "parallelize")
    for one in around:
        if one.kind == "parallel":
            raise ValueError(f"parallelize: {loop} is inside {one.name}, which is parallel already; fuse the two first")
    return _mark(nest, loop, "parallel")


def _mark(nest: Program, name: str, kind: str) -> Program:
    return replace_loop(nest, name, lambda loop: (replace(loop, kind=kind),))
