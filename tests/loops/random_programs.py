"""Random small programs, drawn by hypothesis: all kinds of loops, guards, bounds, strides."""

from hypothesis import assume
from hypothesis import strategies as st

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Buffer, Constant, DivMod, Load, Loop, Op, Program, Statement, ranges
from mini_lib.loops.meaning.types import why_untyped

OPERATIONS = ("+", "-", "*", "/", "max", "min", "exp")
WHOLE = ("+", "-", "*", "max", "min")  # what integers have


@st.composite
def programs(draw, dtypes=("i32",), operations=OPERATIONS, vectors=True, mixed=False):
    """A program of one or two nests over arguments X, Y and Z; subscripts are in bounds, and dtypes have the values.

    With `mixed`, each array has a dtype of its own.
    """
    dtype = draw(st.sampled_from(dtypes))
    if dtype.startswith("f"):
        kit = operations, (0, 1, 2, -3, 0.25)
    else:
        kit = [one for one in operations if one in WHOLE], (0, 1, 2, 100, 100 if dtype.startswith("u") else -3)
    count = draw(st.integers(1, 2))
    shapes = {}
    ranks = {name: draw(st.integers(1, 2)) for name in "XYZ"}
    body = tuple(_loop(draw, f"L{number}", (), shapes, ranks, kit, vectors) for number in range(count))
    buffers = []
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        strides = ()
        if len(shape) == 2 and draw(st.booleans()):  # by columns, or with a gap
            gap = draw(st.integers(0, 2))
            strides = draw(st.sampled_from([(1, shape[0] + gap), (shape[1] + gap, 1)]))
        own = draw(st.sampled_from(dtypes)) if mixed else dtype
        buffers.append(Buffer(name, shape, own, strides))
    program = Program("random", tuple(buffers), body)
    kinds = {buffer.name: buffer.dtype for buffer in buffers}
    assume(not any(why_untyped(leaf.statement, kinds) for leaf in program.leaves))
    return program


def _loop(draw, name, outer, shapes, ranks, kit, vectors):
    depth = len(outer)
    deepest = depth == 2 or (depth > 0 and draw(st.booleans()))
    kinds = ["serial", "unrolled"] + ["vector"] * (deepest and vectors)
    kind = draw(st.sampled_from(kinds))
    start = (Affine((), draw(st.integers(-2, 2))),)
    trips = draw(st.sampled_from([2, 4]) if kind == "vector" else st.integers(1, 4))
    stop = (start[0] + trips,)
    if outer and kind != "vector" and draw(st.booleans()):
        # a bound that moves with an outer loop
        stop = (*stop, affine(outer[0].name) + draw(st.integers(0, 3)))
    binds = ()
    if draw(st.integers(0, 3)) == 0:
        of = affine(name) * draw(st.integers(1, 2)) + draw(st.integers(-1, 3))
        binds = (DivMod(f"{name}.q", f"{name}.r", of, draw(st.integers(2, 3))),)
    loop = Loop(name, start, stop, (), kind, binds)
    around = (*outer, loop)
    if deepest:
        body = [_statement(draw, f"S{name}{at}", around, shapes, ranks, kit) for at in range(draw(st.integers(1, 2)))]
    else:
        body = [_loop(draw, f"{name}.i", around, shapes, ranks, kit, vectors)]
        if draw(st.booleans()):
            body.append(_statement(draw, f"S{name}", around, shapes, ranks, kit))
    return Loop(name, start, stop, tuple(body), kind, binds)


def _statement(draw, name, loops, shapes, ranks, kit):
    target = _access(draw, loops, shapes, ranks)
    value = _expression(draw, loops, shapes, ranks, kit, 2)
    if draw(st.booleans()):
        value = Op(draw(st.sampled_from("+-*")), (target, value))
    guards = ()
    if draw(st.integers(0, 2)) == 0:
        guards = (_affine(draw, loops) + draw(st.integers(-2, 4)),)
    return Statement(name, target.buffer, target.index, value, guards)


def _expression(draw, loops, shapes, ranks, kit, depth):
    operations, constants = kit
    choice = draw(st.integers(0, 4)) if depth else draw(st.integers(0, 1))
    if choice == 0:
        return Constant(draw(st.sampled_from(constants)))
    if choice == 1:
        return _access(draw, loops, shapes, ranks)
    name = draw(st.sampled_from(operations))
    arguments = 1 if name == "exp" else 2
    parts = [_expression(draw, loops, shapes, ranks, kit, depth - 1) for _ in range(arguments)]
    return Op(name, tuple(parts))


def _access(draw, loops, shapes, ranks):
    """An access in bounds: subscripts are moved to start at 0, and the buffer grows with them."""
    name = draw(st.sampled_from(sorted(ranks)))
    box, index = ranges(loops), []
    for axis in range(ranks[name]):
        subscript = _affine(draw, loops)
        low, high = subscript.extremes(box)
        index.append(subscript - low)
        shape = shapes.setdefault(name, [1] * ranks[name])
        shape[axis] = max(shape[axis], high - low + 1)
    return Load(name, tuple(index))


def _affine(draw, loops):
    variables = [loop.name for loop in loops]
    binds = [bind for loop in loops for bind in loop.binds]
    variables += [name for bind in binds for name in (bind.quotient, bind.remainder)]
    total = Affine()
    for variable in variables:
        total += affine(variable) * draw(st.sampled_from([0, 1, 1, -1, 2]))
    return total
