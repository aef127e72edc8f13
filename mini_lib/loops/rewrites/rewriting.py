"""The steps of every rewrite: record the origin of each statement, rebuild the tree, judge the result, clean up."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from mini_lib.loops.affine import affine
from mini_lib.loops.ir import Node, Program, Statement
from mini_lib.loops.legality.violation import require_legal
from mini_lib.loops.reach import require_64_bits
from mini_lib.loops.rewrites.tree import map_statements


def rewrite(transform: Callable) -> Callable:
    """Turn a transformation into a method that refuses to swap two accesses that depend on each other.

    The transformation gets a program whose statements know their own iteration (`origin`), and rebuilds the tree.
    `method.unchecked` is the transformation itself, for rewrites that consist of several others and are judged once, at
    the end.
    """

    @wraps(transform)
    def method(nest: Program, *arguments, **options) -> Program:
        after = transform(begin(nest), *arguments, **options)
        require_legal(nest, require_64_bits(after), spoken(transform.__name__, arguments, options))
        return settle(after)

    method.unchecked = transform
    return method


def restage(transform: Callable) -> Callable:
    """Turn a transformation that adds copies into a method; its own conditions keep the meaning of the copies.

    These conditions do not cover loops that are already parallel or vectors: so all accesses, including those of the
    copies, are judged once more against these marks.
    """

    @wraps(transform)
    def method(nest: Program, *arguments, **options) -> Program:
        after = transform(nest, *arguments, **options)
        require_legal(require_64_bits(after), begin(after), spoken(transform.__name__, arguments, options))
        return after

    return method


def spoken(name: str, arguments: tuple, options: dict) -> str:
    """The call as the learner wrote it."""
    parts = [repr(one) for one in arguments] + [f"{key}={one!r}" for key, one in options.items()]
    return f"{name}({', '.join(parts)})"


def begin(program: Program) -> Program:
    """The program with every statement's iteration recorded in terms of the variables around it."""

    def visit(node: Node, names: tuple[str, ...]) -> Node:
        if isinstance(node, Statement):
            return replace(node, origin=tuple((name, affine(name)) for name in names))
        return replace(node, body=tuple(visit(child, (*names, *node.variables)) for child in node.body))

    return replace(program, body=tuple(visit(node, ()) for node in program.body))


def settle(program: Program) -> Program:
    """The program without origins, and with a unique name for each statement."""
    taken: set[str] = set()

    def own_name(one: Statement) -> Statement:
        name, number = one.name, 2
        while name in taken:
            name, number = f"{one.name}.{number}", number + 1
        taken.add(name)
        return replace(one, name=name, origin=None)

    return replace(program, body=map_statements(program.body, own_name))
