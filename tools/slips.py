"""The small changes that turn a right answer into one that a learner may well write.

`tools.mutants.every_change` breaks a module in ways that its tests should notice. An answer of a few lines has more
neighbours than these: a step is left out, `//` stands where `/` belongs, a value is rounded in another way, one name
stands for another, a branch is always taken. `slips` gives all of them.
"""

import ast
from collections.abc import Iterator

from tools.mutants import Change, every_change, reachable, remade

DIVISIONS = {ast.Div: ast.FloorDiv, ast.FloorDiv: ast.Div}
COMPARISONS = {ast.Eq: (ast.LtE, ast.GtE), ast.NotEq: (ast.Lt, ast.Gt), ast.LtE: (ast.GtE, ast.Eq), ast.GtE: (ast.Eq,)}
ROUNDINGS = ("round", "floor", "ceil", "trunc")
# What turns a value into another type, and not into another number: without it, an answer is as right.
CONVERSIONS = (
    *("numpy", "array", "asarray", "from_numpy", "astype", "double", "float", "float32", "float64", "long", "Fraction"),
    *("int32", "int64", "bool", "bool_", "tolist", "item", "list", "tuple", "stack", "contiguous"),
)
SYMMETRIC = ("min", "max", "minimum", "maximum", "transpose", "gcd", "lcm")  # the order of their arguments is free
LARGE = 1e5  # one more or less of a number like this is a rounding
SUMS = {"sum": "mean", "cumsum": "cumprod", "square": "abs", "abs": "square"}


def slips(tree: ast.Module) -> Iterator[Change]:
    """Each node that can be changed, the kind of change, and what stands there instead.

    >>> [ast.unparse(new) for _, kind, new in slips(ast.parse("def f(a, b): return a / b")) if kind == "term left out"]
    ['a']
    """
    yield from (change for change in every_change(tree) if _tells(*change))
    for node in reachable(tree):
        match node:
            case ast.BinOp():
                yield from _of_operator(node)
            case ast.Call():
                yield from _of_call(node)
            case ast.Compare():
                yield from _of_comparison(node)
            case ast.Constant(value=int(value) | float(value)) if abs(value) >= LARGE:
                yield from ((node, "constant", ast.Constant(other)) for other in (10 * value, value / 10))
            case ast.If(test=test) | ast.IfExp(test=test):
                yield from ((test, "branch always or never taken", ast.Constant(taken)) for taken in (True, False))
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                yield from _of_comprehension(node)
            case ast.Slice(lower=lower, upper=upper):
                if upper is not None:
                    yield node, "slice bound left out", remade(node, upper=None)
                if lower is not None:
                    yield node, "slice bound left out", remade(node, lower=None)
            case ast.Attribute(attr="T" | "mT", value=value):
                yield node, "step left out", value
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            yield from _of_names(function)


def _tells(node: ast.AST, kind: str, new: ast.AST | str) -> bool:
    """Whether a change changes what an answer returns by more than a rounding, as far as the kind says."""
    if kind == "arguments swapped":
        return _name(node) not in SYMMETRIC
    return not (kind == "constant" and isinstance(node, ast.Constant) and abs(node.value) >= LARGE)


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _of_operator(node: ast.BinOp) -> Iterator[Change]:
    if type(node.op) in DIVISIONS:
        yield node, "another division", remade(node, op=DIVISIONS[type(node.op)]())
    yield node, "term left out", node.left
    if isinstance(node.op, ast.Add | ast.Mult | ast.MatMult | ast.BitAnd | ast.BitOr):
        yield node, "term left out", node.right
    if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Pow | ast.MatMult):
        yield node, "operands swapped", remade(node, left=node.right, right=node.left)


def _of_call(node: ast.Call) -> Iterator[Change]:
    name = _name(node)
    if name in CONVERSIONS:
        return
    if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp):
        yield node, "step left out", node.args[0]
    if isinstance(node.func, ast.Attribute) and not (
        isinstance(node.func.value, ast.Name) and _module(node.func.value)
    ):
        yield node, "step left out", node.func.value
    if len(node.args) >= 2:
        for place in range(len(node.args)):
            yield node, "argument dropped", remade(node, args=node.args[:place] + node.args[place + 1 :])
            if name in ("min", "max", "minimum", "maximum"):
                yield node, "term left out", node.args[place]
    if isinstance(node.func, ast.Attribute):
        others = [other for other in ROUNDINGS if name in ROUNDINGS and other != name]
        for other in [*others, *([SUMS[name]] if name in SUMS else [])]:
            yield node, "another call", remade(node, func=remade(node.func, attr=other))
    elif name == "round" and len(node.args) == 1:
        whole = ast.Call(ast.Name("int"), node.args, [])
        yield node, "another call", whole
        yield (
            node,
            "another call",
            ast.UnaryOp(ast.USub(), ast.BinOp(ast.UnaryOp(ast.USub(), node.args[0]), ast.FloorDiv(), ast.Constant(1))),
        )


def _module(name: ast.Name) -> bool:
    return name.id in ("torch", "np", "math", "quantize", "itertools", "prune", "F", "nn", "loops")


def _of_comparison(node: ast.Compare) -> Iterator[Change]:
    for place, op in enumerate(node.ops):
        for other in COMPARISONS.get(type(op), ()):
            yield node, "comparison", remade(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
    if len(node.ops) > 1:
        yield node, "one of several conditions", remade(node, ops=node.ops[:1], comparators=node.comparators[:1])
        yield node, "one of several conditions", ast.Compare(node.comparators[0], node.ops[1:], node.comparators[1:])


def _of_comprehension(node: ast.expr) -> Iterator[Change]:
    for place, one in enumerate(node.generators):
        if one.ifs:
            kept = [*node.generators]
            kept[place] = remade(one, ifs=[])
            yield node, "condition left out", remade(node, generators=kept)
            yield from ((test, "condition negated", ast.UnaryOp(ast.Not(), test)) for test in one.ifs)


def _of_names(function: ast.FunctionDef) -> Iterator[Change]:
    """Each name that is read, and each other parameter or variable of the function."""
    parameters = [one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)]
    stored = [one.id for one in ast.walk(function) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
    names = list(dict.fromkeys(parameters + stored))
    for node in reachable(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
            yield from ((node, "another name", ast.Name(other)) for other in names if other != node.id)
