"""The syntax tree of a function or a text; text that Python cannot read, or nested too deeply, is refused."""

import ast
import inspect
import textwrap
from collections.abc import Callable

from mini_lib.require import shown

DEEPEST = 100  # levels of a syntax tree; the stack of Python has room for about a thousand calls


def syntax_tree(source: str | Callable) -> ast.Module:
    """The syntax tree of a function or a text.

    Raises:
        TypeError, ValueError: it is neither, or it is not the text of a program.
    """
    if not isinstance(source, str):
        try:
            source = inspect.getsource(source)
        except (TypeError, OSError):
            raise TypeError(
                f"source must be a text or a function of Python with its text, got {shown(source)}; "
                "pass the loops as a text"
            ) from None
    try:
        tree = ast.parse(textwrap.dedent(source))
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        why = getattr(error, "msg", "") or str(error) or "it is nested too deeply"
        raise ValueError(
            f"{line}the text must be Python, and cannot be read ({why}); write it as Python has it"
        ) from None
    deep, rows = 0, [tree]
    while rows:
        rows = [child for node in rows for child in ast.iter_child_nodes(node)]
        deep += 1
        if deep > DEEPEST:
            raise ValueError(f"the text is nested more than {DEEPEST} levels deep; use shorter lines, or fewer loops")
    return tree


def words_of(tree: ast.Module) -> set[str]:
    """All names in it, including those of parameters."""
    nodes = list(ast.walk(tree))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {n.arg for n in nodes if isinstance(n, ast.arg)}


def quoted(node: ast.AST) -> str:
    """The line of a part of the tree, as messages quote it."""
    line = ast.unparse(node).splitlines()[0]
    return f"line {node.lineno}, `{line if len(line) < 200 else line[:200] + ' ...'}`"
