"""A cell's text as Python's syntax tree, read as IPython reads it: magics, `!`, `?`, prompts, a cell that is indented.

A magic that times or profiles code becomes that code. All others become calls of `get_ipython()`, which does little
where submissions are graded: see `teach.grading.shell`.
"""

import ast
import warnings

# Magics that run the code after them.
RUNS = {"time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "snakeviz", "pyinstrument"}


def tree_of(text: str) -> ast.Module:
    """The syntax tree of a cell; its lines are those of the text.

    >>> print(ast.unparse(tree_of("%time x = 1 + 1\\n%matplotlib inline")))
    x = 1 + 1
    get_ipython().run_line_magic('matplotlib', 'inline')

    Raises:
        SyntaxError: it is not Python, nor IPython's Python.
        ValueError: it holds null characters.
        MemoryError, RecursionError: it is nested too deeply for Python's parser.
    """
    try:
        return _parse(text)
    except SyntaxError as error:
        try:
            return _Runs().visit(_parse_for_ipython(text))
        except SyntaxError:
            raise error from None  # about the text that the learner wrote


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as "invalid escape sequence": the learner's own affair
        return ast.parse(text)


def _parse_for_ipython(text: str) -> ast.Module:
    from IPython.core.inputtransformer2 import TransformerManager

    bare = text.lstrip("\n\r\t \f")
    bare = bare if bare.startswith("%%") else _without_first_empty_lines(text)
    try:
        tree = _parse(TransformerManager().transform_cell(bare))
    except RuntimeError as error:  # it gives up after 500 magics
        raise SyntaxError(str(error)) from None
    return ast.increment_lineno(tree, text[: len(text) - len(bare)].count("\n"))


def _without_first_empty_lines(text: str) -> str:
    lines = text.splitlines(keepends=True)
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    return "".join(lines[first:])


class _Runs(ast.NodeTransformer):
    """Puts the code that a magic runs in its place."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        return _code_of(node.value) or self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | list[ast.stmt]:
        """`x = %time f()`, and `x = %timeit -o f()`, which gives what it measured."""
        code = _code_of(node.value)
        if not (code and isinstance(code[-1], ast.Expr)):
            return node
        *before, last = code
        node.value = _timed(last.value, node.value) if _gives_times(node.value) else last.value
        return [*before, node]


def _gives_times(call: ast.Call) -> bool:
    """Whether the call of a magic is one of `%timeit` with the option -o."""
    name, line = (constant.value for constant in call.args[:2])
    return call.func.attr == "run_line_magic" and name == "timeit" and "-o" in line.split()


def _timed(value: ast.expr, call: ast.Call) -> ast.expr:
    """`get_ipython().timed(get_ipython().clock(), value)`, in the place of a call."""
    ask = ast.parse("get_ipython().timed(get_ipython().clock())", mode="eval").body
    for node in ast.walk(ask):
        ast.copy_location(node, call)
    ask.args.append(value)
    return ask


def _keeps(line: str) -> list[ast.stmt]:
    """`out = get_ipython().captured()` for the line of a `%%capture out`."""
    names = [word for word in line.split() if word.isidentifier()]
    return ast.parse(f"{names[0]} = get_ipython().captured()").body if names else []


def _code_of(node: ast.expr) -> list[ast.stmt]:
    """The statements that a call of a magic runs; none where it is not such a call, or runs nothing."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr="run_line_magic"),
            args=[ast.Constant(value=str(name)), ast.Constant(value=str(line))],
        ) if name in RUNS:
            return _placed(_statements(line), node.lineno)
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr="run_cell_magic"),
            args=[ast.Constant(value=str(name)), ast.Constant(value=str(line)), ast.Constant(value=str(body))],
        ) if name in RUNS:
            tree = tree_of(body)
            tree.body += _keeps(line) if name == "capture" else []
            ast.increment_lineno(tree, node.lineno)
            return tree.body or [ast.copy_location(ast.Pass(), node)]
    return []


def _statements(line: str) -> list[ast.stmt]:
    """The code in a magic's line, after its options: those of `-n 10 f(x)` have values that nothing tells from code."""
    words, is_option = line, False
    while words:
        is_option = is_option or words.startswith("-")
        if not words.startswith("-"):
            try:
                return _parse(words).body
            except SyntaxError:
                if not is_option:
                    return []
        words = words.partition(" ")[2].lstrip()
    return []


def note_empty_names(empty: set[str], tree: ast.Module) -> None:
    """Adds to `empty` the names that are to hold what a command or a magic gives: nothing, where cells are graded.

    Takes out of it those that the cell gives another value.

    >>> empty = {"home", "old"}
    >>> note_empty_names(empty, tree_of("files = !ls\\nhome = 5\\nx = %time f()"))
    >>> sorted(empty)
    ['files', 'old']
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            match node.value:
                case ast.Call(func=ast.Attribute(attr="getoutput" | "run_line_magic" | "run_cell_magic")):
                    empty |= names
                case _:
                    empty -= names


def _placed(code: list[ast.stmt], line: int) -> list[ast.stmt]:
    for statement in code:
        ast.increment_lineno(statement, line - 1)
    return code
