"""What every rewrite goes through: remember where instances come from, rebuild the tree, judge, tidy up."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from mini_lib.loops.affine import affine
from mini_lib.loops.ir import Node, Program, Statement
from mini_lib.loops.legality.violation import require_legal


def rewrite(transform: Callable) -> Callable:
    """Make a method of a transformation: refuse it where it would swap two accesses that depend on each other.

    The transformation gets a program whose statements know their own iteration (`origin`), and rebuilds the tree.
    `method.unchecked` is the transformation itself, for rewrites that are made of others and judged once, at the end.
    """

    @wraps(transform)
    def method(nest: Program, *arguments, **options) -> Program:
        after = transform(begin(nest), *arguments, **options)
        require_legal(nest, after, spoken(transform.__name__, arguments, options))
        return settle(after)

    method.unchecked = transform
    return method


def restage(transform: Callable) -> Callable:
    """Make a method of a transformation that adds copies of its own, whose meaning its own conditions keep.

    What it cannot see are the loops that are parallel or vectors already: all accesses, those of the copies too, are
    judged once more against these marks.
    """

    @wraps(transform)
    def method(nest: Program, *arguments, **options) -> Program:
        after = transform(nest, *arguments, **options)
        require_legal(after, begin(after), spoken(transform.__name__, arguments, options))
        return after

    return method


def spoken(name: str, arguments: tuple, options: dict) -> str:
    """The call as the learner wrote it."""
    parts = [repr(one) for one in arguments] + [f"{key}={one!r}" for key, one in options.items()]
    return f"{name}({', '.join(parts)})"


def begin(program: Program) -> Program:
    """The program with every statement's iteration written down in the variables around it."""

    def visit(nodes: tuple[Node, ...], names: tuple[str, ...]) -> tuple[Node, ...]:
        done: list[Node] = []
        for node in nodes:
            if isinstance(node, Statement):
                done.append(replace(node, origin=tuple((name, affine(name)) for name in names)))
            else:
                done.append(replace(node, body=visit(node.body, (*names, *node.variables))))
        return tuple(done)

    return replace(program, body=visit(program.body, ()))


def settle(program: Program) -> Program:
    """The program without origins, each statement with a name of its own."""
    taken: set[str] = set()

    def visit(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        done: list[Node] = []
        for node in nodes:
            if isinstance(node, Statement):
                name, number = node.name, 2
                while name in taken:
                    name, number = f"{node.name}.{number}", number + 1
                taken.add(name)
                done.append(replace(node, name=name, origin=None))
            else:
                done.append(replace(node, body=visit(node.body)))
        return tuple(done)

    return replace(program, body=visit(program.body))
