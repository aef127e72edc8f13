"""Which names a cell takes from the cells before it, found scope by scope as Python itself finds them.

A lesson is its solution without the answers. A cell that no answer reaches does the same in both, so the tests run it
in the solution alone. This file says what an answer may reach; where it cannot be sure, it says that it may.
"""

from __future__ import annotations

import ast
import copy
import re
import symtable
from collections.abc import Iterator, Set

#: What may read a name that stands in a text. The line `%timeit twice(3)` is a call of `get_ipython`, too.
RUN_TEXT = {"get_ipython", "exec", "eval", "globals", "locals", "vars"}


def parsed(text: str) -> ast.Module | None:
    """The cell as Python, its IPython lines (`%`, `!`) translated; None where it is not (running it will say so)."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return ast.parse(TransformerManager().transform_cell(text))
    except SyntaxError:
        return None


def bound(tree: ast.Module) -> set[str]:
    """The notebook's names that the cell may bind: at its top level, or in a function that declares them global.

    >>> sorted(bound(ast.parse("import os.path\\nfor x in (1, 2):\\n    def f(y):\\n        global z\\n        z = y")))
    ['f', 'os', 'x', 'z']
    """
    top, *inner = _scopes(tree)
    symbols = [*top.get_symbols(), *(one for scope in inner for one in scope.get_symbols() if one.is_declared_global())]
    return {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}


def read_later(tree: ast.Module) -> set[str]:
    """The notebook's names that the cell's functions look up only when they are called.

    >>> sorted(read_later(ast.parse("a = b\\ndef f(c):\\n    return a + c")))
    ['a']
    """
    _, *inner = _scopes(tree)
    return {one.get_name() for scope in inner for one in scope.get_symbols() if one.is_global() and one.is_referenced()}


def needed(tree: ast.Module, names: Set[str]) -> tuple[set[str], set[str]]:
    """Of the names that earlier cells bound: those that the cell may read, and those that it does not bind anew.

    From where the cell has bound a name anew, it is its own. What an `if`, a loop, a `with` or a `try` binds counts
    only inside, since it may not happen.

    >>> needed(ast.parse("print(f(1)); f = 2; print(f)"), {"f", "g"}) == ({"f"}, {"g"})
    True
    >>> needed(ast.parse("f = 2; print(f)\\nif f:\\n    g = 3; print(g)"), {"f", "g"}) == (set(), {"g"})
    True
    >>> needed(ast.parse("def h(f):\\n    return f(g)"), {"f", "g"}) == ({"g"}, {"f", "g"})
    True
    """
    found: set[str] = set()
    return found, _walk(tree.body, set(names), found)


def _walk(body: list[ast.stmt], names: set[str], found: set[str]) -> set[str]:
    """Note in `found` what the statements may read of `names`; return the names that they are not sure to bind."""
    for node in body:
        head = copy.deepcopy(node)  # a compound statement without what it holds: its condition, its iterable
        for block in _blocks(head):
            block[:] = [ast.Pass()]
        found |= _read(head) & names
        for block in _blocks(node):
            _walk(block, names - _bound_by_head(node), found)
        names = names - _surely_bound(node)
    return names


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The statements that a compound statement may run: both ways of an `if`, the handlers of a `try`."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return  # a scope of its own, which is looked at as a whole
    for field in ("body", "orelse", "finalbody"):
        if isinstance(block := getattr(node, field, None), list) and block:
            yield block
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield from _blocks(part)


def _bound_by_head(node: ast.stmt) -> set[str]:
    """What a loop or a `with` binds before the statements in it run."""
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return _stored(node.target)
    return {name for item in getattr(node, "items", ()) if item.optional_vars for name in _stored(item.optional_vars)}


def _surely_bound(node: ast.stmt) -> set[str]:
    """What a statement binds whatever happens, unless it raises."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Import() | ast.ImportFrom():
            return bound(ast.Module([node], []))
        case ast.Assign():
            return {name for target in node.targets for name in _stored(target)}
        case ast.AnnAssign(value=ast.expr()):
            return _stored(node.target)
    return set()


def _stored(target: ast.expr) -> set[str]:
    return {one.id for one in ast.walk(target) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _read(node: ast.stmt) -> set[str]:
    """The notebook's names that a statement may look up, at once or when a function in it is called."""
    top, *inner = _scopes(node)
    symbols = [*top.get_symbols(), *(one for scope in inner for one in scope.get_symbols() if one.is_global())]
    read = {one.get_name() for one in symbols if one.is_referenced()}
    if read & RUN_TEXT:
        texts = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))
        read |= {word for text in texts for word in re.findall(r"\w+", text)}
    return read


def _scopes(node: ast.AST) -> list[symtable.SymbolTable]:
    """The scope of the notebook itself, then those of the functions, classes and comprehensions in it."""
    scopes = [symtable.symtable(ast.unparse(_Plain().visit(copy.deepcopy(node))), "cell", "exec")]
    for scope in scopes:
        scopes += scope.get_children()
    return scopes


class _Plain(ast.NodeTransformer):
    """`x += 1` as `x = x + 1`: Python's symbol table does not say that the former reads x."""

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.Assign:
        read = ast.BinOp(ast.parse(ast.unparse(node.target), mode="eval").body, node.op, node.value)
        return ast.copy_location(ast.Assign([node.target], read), node)
