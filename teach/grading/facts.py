"""What can be told of a cell without running it: the names it binds and uses, the exercises it checks.

Learners' cells are looked at in a child: what makes Python's parser slow or crash then harms only that submission.
"""

import ast
import json
import symtable
import warnings
from dataclasses import dataclass

from teach.grading.cells import tree_of


@dataclass(frozen=True)
class Facts:
    """What a cell's text says.

    binds        names that running it gives a value
    uses         global names that it reads, functions inside it included, before it gives them a value itself
    checks       exercises that it calls `check` on
    only_checks  there is nothing else in it
    """

    binds: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    checks: tuple[str, ...] = ()
    only_checks: bool = False

    def to_json(self) -> str:
        """The facts as text."""
        return json.dumps([sorted(self.binds), sorted(self.uses), self.checks, self.only_checks])

    @classmethod
    def from_json(cls, text: str) -> "Facts":
        """The facts from the text that `to_json` wrote."""
        binds, uses, checks, only_checks = json.loads(text)
        return cls(frozenset(binds), frozenset(uses), tuple(checks), only_checks)


def facts_of(text: str) -> Facts:
    """The facts of one cell; no facts where it is not Python.

    >>> found = facts_of("from math import pi\\ndef area(r): return pi * square(r)")
    >>> sorted(found.binds), sorted(found.uses)
    (['area', 'pi'], ['square'])
    >>> facts_of('check("2.1")').checks
    ('2.1',)
    """
    try:
        tree = tree_of(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "invalid escape sequence": the learner's own affair
            table = _table(text, tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Facts()
    calls = {id(node): _checked(node) for node in ast.walk(tree)}
    checks = tuple(found for found in calls.values() if found)
    alone = bool(checks) and all(isinstance(line, ast.Expr) and calls[id(line.value)] for line in tree.body)
    scopes = [table, *_inner(table)]
    binds = {name for scope in scopes for name in _bound(scope, scope is table)}
    uses = {name for scope in scopes for name in _read(scope, scope is table)} - {"get_ipython"}
    own = _first_lines(tree, ast.Store)
    read = _first_lines(tree, ast.Load)
    uses = {name for name in uses if not own.get(name, 10**9) < read.get(name, 0)}
    if any(alias.name == "*" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names):
        binds.add("*")
    return Facts(frozenset(binds), frozenset(uses), checks, alone)


def _table(text: str, tree: ast.Module) -> symtable.SymbolTable:
    try:
        return symtable.symtable(text, "<cell>", "exec")
    except SyntaxError:  # IPython's Python
        return symtable.symtable(ast.unparse(tree), "<cell>", "exec")


def _checked(node: ast.AST) -> str | None:
    """The exercise of a call `check("2.1", ...)`, or None."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check" and node.args):
        return None
    first = node.args[0]
    return first.value.strip() if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _first_lines(tree: ast.Module, context: type[ast.expr_context]) -> dict[str, int]:
    """The first line where each name is read (anywhere), or is given a value (outside functions)."""
    lines: dict[str, int] = {}
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda))
        if context is ast.Load or not inside:
            left += ast.iter_child_nodes(node)
        names = [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, context) else []
        if context is ast.Store:
            names += [node.name] if inside and not isinstance(node, ast.Lambda) else []
            names += [
                alias.asname or alias.name.split(".")[0]
                for alias in getattr(node, "names", [])
                if isinstance(alias, ast.alias)
            ]
        for name in names:
            lines[name] = min(node.lineno, lines.get(name, node.lineno))
    return lines


def _inner(table: symtable.SymbolTable) -> list[symtable.SymbolTable]:
    return [scope for child in table.get_children() for scope in (child, *_inner(child))]


def _bound(scope: symtable.SymbolTable, top: bool) -> list[str]:
    symbols = [s for s in scope.get_symbols() if s.is_assigned() or s.is_imported()]
    return [s.get_name() for s in symbols if top or s.is_declared_global()]


def _read(scope: symtable.SymbolTable, top: bool) -> list[str]:
    return [s.get_name() for s in scope.get_symbols() if s.is_referenced() and (top or s.is_global())]
