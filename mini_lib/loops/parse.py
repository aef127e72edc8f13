"""A nest from a small Python function or from text, written as ordinary loops."""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import (
    Buffer,
    Constant,
    Expression,
    Leaf,
    Load,
    Loop,
    Node,
    Op,
    Program,
    Statement,
    leaves,
    ranges,
)
from mini_lib.loops.legality.domain import domain
from mini_lib.loops.legality.feasible import extremes
from mini_lib.loops.meaning.types import why_untyped
from mini_lib.loops.reach import MAX_INT64, require_64_bits
from mini_lib.loops.syntax import quoted, syntax_tree, words_of
from mini_lib.require import of_type, whole

FUNCTIONS = {"max": 2, "min": 2, "exp": 1}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
WHOLE_NUMBERS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
SUPPORTED = (
    "a nest is made of `for name in range(...)`, `if` with affine comparisons, `X[i, j] = ...` and `X[i, j] += ...`"
)


def parse_program(
    source: str | Callable,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dtype: str | Mapping[str, str] = "f32",
    temporaries: Sequence[str] = (),
    **sizes: int,
) -> Program:
    """Read a program of loops from a Python function or from its text.

    Args:
        source: a function of the arrays and the sizes, or the text of loops.
        shapes: the shape of each array; where it is not given, the smallest that holds every subscript.
        dtype: one element type for all arrays, or one for each.
        temporaries: arrays that are not read after the nest.
        sizes: a whole number for each size that the text names.

    Raises:
        TypeError: the source is neither a text nor a Python function; an option is of another type.
        ValueError: the source has something other than loops, affine subscripts and assignments; a subscript leaves its
            array; a loop never runs; a name is used for two things; a size, a shape or a dtype is given for an unknown
            name; a statement cannot be calculated in its element type; or numbers exceed 64 bits. The message quotes
            the line.

    >>> program = parse_program("for i in range(n):\\n    y[i] = x[i] + x[i + 1]", n=4)
    >>> [(buffer.name, buffer.shape) for buffer in program.buffers]
    [('x', (5,)), ('y', (4,))]
    """
    fix = "pass the names of arrays, such as ('T',)"
    temporaries = (temporaries,) if isinstance(temporaries, str) else temporaries
    of_type("temporaries", temporaries, Iterable, fix=fix)
    temporaries = tuple(of_type("each of temporaries", one, str, fix=fix) for one in temporaries)
    shapes = {} if shapes is None else of_type("shapes", shapes, Mapping, fix="pass such as {'A': (64, 64)}")
    of_type("dtype", dtype, (str, Mapping), fix="pass 'f32', or one for each array, such as {'A': 'i8'}")
    sizes = {name: whole(f"size {name}", value, low=1, fix="pass such as n=64") for name, value in sizes.items()}
    tree = syntax_tree(source)
    name, order, body = "nest", [], tree.body
    if len(body) == 1 and isinstance(body[0], ast.FunctionDef):
        name = body[0].name
        order = [argument.arg for argument in body[0].args.args if argument.arg not in sizes]
        body = body[0].body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]  # a docstring
    reader = _Reader(sizes)
    nodes = tuple(node for line in body for node in reader.node(line, (), ()))
    if not reader.reach:
        raise ValueError(f"the text holds no assignment to an array element; {SUPPORTED}")
    names = [one for one in order if one in reader.reach]
    names += sorted(set(reader.reach) - set(names))
    words = words_of(tree)
    given = {*shapes, *temporaries, *(() if isinstance(dtype, str) else dtype)}
    for what, unknown, known in (
        ("an array", given - set(names), names),
        ("a size", set(sizes) - words, sorted(words - {"range", *FUNCTIONS, *names, *reader.names})),
    ):
        if unknown:
            listed = ", ".join(sorted(map(str, unknown)))
            raise ValueError(f"{listed} is not {what} of {name}; it has {', '.join(known) or 'none'}")
    buffers = tuple(
        Buffer(
            one,
            reader.shape(one, shapes.get(one)),
            dtype if isinstance(dtype, str) else dtype.get(one, "f32"),
            temporary=one in temporaries,
        )
        for one in names
    )
    dtypes = {buffer.name: buffer.dtype for buffer in buffers}
    for leaf in leaves(nodes):
        why = why_untyped(leaf.statement, dtypes)
        if why:
            raise ValueError(f"{reader.lines[leaf.statement.name]}: the statement {why}")
    return require_64_bits(Program(name, buffers, nodes))


class _Reader:
    """Turns syntax into loops and statements, and records the range of each array's subscripts."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.names: set[str] = set()  # a schedule refers to loops by name: each has its own
        self.statements = 0
        self.lines: dict[str, str] = {}  # each statement in the words of the text
        self.reach: dict[str, list[tuple[tuple[int, int], ...]]] = {}
        self.quotes: dict[str, list[str]] = {}

    def node(self, line: ast.stmt, loops: tuple[Loop, ...], guards: tuple[Affine, ...]) -> tuple[Node, ...]:
        if isinstance(line, ast.For):
            return (self.loop(line, loops, guards),)
        if isinstance(line, ast.If) and not line.orelse:
            inner = (*guards, *self.guards(line.test, loops))
            return tuple(node for one in line.body for node in self.node(one, loops, inner))
        if isinstance(line, ast.Assign) and len(line.targets) == 1:
            return (self.statement(line, line.targets[0], None, loops, guards),)
        if isinstance(line, ast.AugAssign) and type(line.op) in OPERATORS:
            sign = OPERATORS[type(line.op)]
            return (self.statement(line, line.target, sign, loops, guards),)
        raise self.error(line, SUPPORTED)

    def loop(self, line: ast.For, loops: tuple[Loop, ...], guards: tuple[Affine, ...]) -> Loop:
        call = line.iter
        is_range = isinstance(call, ast.Call) and ast.unparse(call.func) == "range"
        if not is_range or not isinstance(line.target, ast.Name) or line.orelse:
            raise self.error(line, "a loop is written `for name in range(stop)` or `range(start, stop)`")
        if len(call.args) not in (1, 2) or call.keywords:
            raise self.error(line, "a loop goes up by 1: multiply the subscript for larger steps")
        name = line.target.id
        if name in self.sizes or name in self.names or name in self.reach:
            raise self.error(line, f"{name} is used already; give the loop a name of its own")
        self.names.add(name)
        bounds = [self.affine(one, loops, "a bound") for one in call.args]
        start, stop = bounds if len(bounds) == 2 else (Affine(), bounds[0])
        loop = Loop(name, (start,), (stop,), ())
        low, high = ranges((*loops, loop))[name]
        if high < low:
            raise self.error(line, f"the loop {name} never runs: its range is from {start} to {stop}")
        inside = (*loops, loop)
        body = tuple(node for one in line.body for node in self.node(one, inside, guards))
        return Loop(name, (start,), (stop,), body)

    def guards(self, test: ast.expr, loops: tuple[Loop, ...]) -> tuple[Affine, ...]:
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            return tuple(guard for one in test.values for guard in self.guards(one, loops))
        if not isinstance(test, ast.Compare):
            raise self.error(test, "a guard is one or more comparisons, joined by `and`")
        sides = [self.affine(one, loops, "a guard") for one in (test.left, *test.comparators)]
        found: list[Affine] = []
        for left, sign, right in zip(sides, test.ops, sides[1:], strict=False):
            if isinstance(sign, (ast.Lt, ast.LtE)):
                found.append(right - left - int(isinstance(sign, ast.Lt)))
            elif isinstance(sign, (ast.Gt, ast.GtE)):
                found.append(left - right - int(isinstance(sign, ast.Gt)))
            elif isinstance(sign, ast.Eq):
                found += [left - right, right - left]
            else:
                raise self.error(test, "a guard compares with <, <=, >, >= or ==")
        return tuple(found)

    def statement(
        self, line: ast.stmt, target: ast.expr, update: str | None, loops: tuple[Loop, ...], guards: tuple[Affine, ...]
    ) -> Statement:
        if not isinstance(target, ast.Subscript):
            raise self.error(line, "only elements of arrays are assigned to, such as `C[i, j]`")
        store = self.access(target, loops, guards)
        value = self.expression(line.value, loops, guards)
        if update:
            value = Op(update, (store, value))
        name = f"S{self.statements}"
        self.statements += 1
        self.lines[name] = quoted(line)
        return Statement(name, store.buffer, store.index, value, guards)

    def expression(self, value: ast.expr, loops: tuple[Loop, ...], guards: tuple[Affine, ...]) -> Expression:
        if isinstance(value, ast.Constant) and type(value.value) in (int, float):
            return Constant(value.value)
        if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
            operand = self.expression(value.operand, loops, guards)
            # 0 - 0.0 would be 0.0, and -(0.0) is -0.0
            return Constant(-operand.value) if isinstance(operand, Constant) else Op("-", (Constant(-0.0), operand))
        if isinstance(value, ast.Subscript):
            return self.access(value, loops, guards)
        if isinstance(value, ast.BinOp) and type(value.op) in OPERATORS:
            sides = (value.left, value.right)
            arguments = tuple(self.expression(one, loops, guards) for one in sides)
            return Op(OPERATORS[type(value.op)], arguments)
        if isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in FUNCTIONS:
            name = ast.unparse(value.func).split(".")[-1]
            if len(value.args) == FUNCTIONS[name] and not value.keywords:
                arguments = tuple(self.expression(one, loops, guards) for one in value.args)
                return Op(name, arguments)
            raise self.error(value, f"{name} takes {FUNCTIONS[name]} arguments here")
        if isinstance(value, ast.Name) and value.id in self.sizes:
            return Constant(self.sizes[value.id])
        raise self.error(value, "a value is made of array elements, numbers, + - * /, max(a, b), min(a, b), exp(a)")

    def access(self, value: ast.Subscript, loops: tuple[Loop, ...], guards: tuple[Affine, ...]) -> Load:
        if not isinstance(value.value, ast.Name):
            raise self.error(value, "write all subscripts in one pair of brackets: `A[i, j]`")
        parts = value.slice.elts if isinstance(value.slice, ast.Tuple) else [value.slice]
        index = tuple(self.affine(part, loops, "a subscript") for part in parts)
        buffer = value.value.id
        if buffer in self.names or buffer in self.sizes:
            raise self.error(value, f"{buffer} is a loop or a size already; give the array a name of its own")
        box = tuple(self.extremes(subscript, loops, guards) for subscript in index)
        if None in box:
            raise self.error(value, "this line never runs: no iteration passes its bounds and guards")
        known = self.reach.setdefault(buffer, [])
        if known and len(known[0]) != len(box):
            raise self.error(value, f"{buffer} has {len(known[0])} subscripts elsewhere and {len(box)} here")
        for axis, (low, _) in enumerate(box):
            if low < 0:
                raise self.error(
                    value,
                    f"subscript {axis} of {buffer} reaches {low}, below its first element 0; "
                    "start the loop later or guard the line with `if`",
                )
        known.append(box)
        self.quotes.setdefault(buffer, []).append(ast.unparse(value))
        return Load(buffer, index)

    def extremes(
        self, subscript: Affine, loops: tuple[Loop, ...], guards: tuple[Affine, ...]
    ) -> tuple[int, int] | None:
        """The range of a subscript; None if the line never runs."""
        bounds = [bound for loop in loops for bound in (*loop.start, *loop.stop)]
        if not guards and all(bound.is_constant for bound in bounds):
            return subscript.extremes(ranges(loops))
        # loops or guards exclude corners of the box: compute it exactly
        line = Statement("", "", (), Constant(0), guards)
        return extremes(domain(Leaf(line, loops, ())), subscript)

    def affine(self, value: ast.expr, loops: tuple[Loop, ...], what: str) -> Affine:
        if isinstance(value, ast.Constant) and type(value.value) is int:
            if value.value > MAX_INT64:
                raise self.error(value, f"{what} must fit into 64 bits; use smaller numbers")
            return affine(value.value)
        if isinstance(value, ast.Name):
            if value.id in self.sizes:
                return affine(self.sizes[value.id])
            names = [loop.name for loop in loops]
            if value.id in names:
                return affine(value.id)
            raise self.error(
                value,
                f"{value.id} is neither a loop around this line ({', '.join(names) or 'none'}) "
                f"nor a size ({', '.join(self.sizes) or 'none'})",
            )
        if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
            return -self.affine(value.operand, loops, what)
        if isinstance(value, ast.BinOp) and type(value.op) in WHOLE_NUMBERS:
            left = self.affine(value.left, loops, what)
            right = self.affine(value.right, loops, what)
            if not isinstance(value.op, ast.Mult):
                return WHOLE_NUMBERS[type(value.op)](left, right)
            if left.is_constant or right.is_constant:
                factor = left.constant if left.is_constant else right.constant
                return (right if left.is_constant else left) * factor
        raise self.error(
            value,
            f"{what} must be affine (whole multiples of loop variables, plus a whole number), "
            f"and `{ast.unparse(value)}` is not; rewrite it with more loops or another array",
        )

    def shape(self, buffer: str, given: Sequence[int] | None) -> tuple[int, ...]:
        boxes = self.reach[buffer]
        if given is None:
            return tuple(max(box[axis][1] for box in boxes) + 1 for axis in range(len(boxes[0])))
        of_type(f"shapes[{buffer!r}]", given, Sequence, fix="pass such as (64, 64)")
        given = tuple(whole(f"shapes[{buffer!r}]", size, low=1, fix="pass such as (64, 64)") for size in given)
        if len(given) != len(boxes[0]):
            raise ValueError(f"{buffer} is used with {len(boxes[0])} subscripts, but shapes says {given}; use as many")
        for box, quote in zip(boxes, self.quotes[buffer], strict=True):
            for axis, (_, high) in enumerate(box):
                if high >= given[axis]:
                    raise ValueError(
                        f"{quote} reaches index {high} on axis {axis}, but {buffer} has only "
                        f"{given[axis]} elements there; shorten the loop or enlarge the array"
                    )
        return given

    def error(self, node: ast.AST, message: str) -> ValueError:
        return ValueError(f"{quoted(node)}: {message}")
