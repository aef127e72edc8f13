"""Slips that the text of a function shows, whatever it returns: `return` inside a loop, `^` for a power.

They are looked for where the source is known, beside the learner's function, and cross to the judge as names.
"""

import ast
from collections.abc import Callable, Iterator
from typing import Any

from teach.written import body_of

IN_LOOP, XOR = "return in a loop", "^"
SAYS = {
    IN_LOOP: "`return` is inside the loop: the function ends in its first pass. Move it after the loop.",
    XOR: "`^` is exclusive or in Python; a power is `**`.",
}


def slips_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the slips that a function's own text shows; none where its source is not known.

    >>> slips_of(len)
    ()
    """
    body = body_of(function)
    if body is None:
        return ()
    found = {IN_LOOP: any(_ends_at_once(loop) for loop in _loops(body)), XOR: any(map(_is_power, _nodes(body)))}
    return tuple(name for name, is_there in found.items() if is_there)


def _loops(body: list[ast.stmt]) -> Iterator[ast.For | ast.While]:
    """The loops that every call comes to: not those under a condition, nor in a function of the function."""
    for statement in body:
        if isinstance(statement, (ast.For, ast.While)):
            yield statement
            yield from _loops(statement.body)
        elif isinstance(statement, ast.With):
            yield from _loops(statement.body)


def _ends_at_once(loop: ast.For | ast.While) -> bool:
    """Whether a pass that does something ends in `return`, on every way through it: no search, which may go on."""
    if len(loop.body) < 2 or not isinstance(loop.body[-1], ast.Return) or loop.body[-1].value is None:
        return False
    return not any(isinstance(node, (ast.Continue, ast.Break, ast.Yield)) for node in _nodes(loop.body))


def _is_power(node: ast.AST) -> bool:
    """Whether `^` stands where people mean a power: x ^ 2, x ^ 3, 2 ^ n, 10 ^ n. Masks and bits are left alone."""
    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, ast.BitXor) and _number(node.value) in (2, 3)
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.BitXor):
        return False
    return _number(node.right) in (2, 3) or _number(node.left) in (2, 10)


def _number(node: ast.expr) -> float | None:
    plain = isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
    return node.value if plain else None


def _nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        yield from ast.walk(statement)
