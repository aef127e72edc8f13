"""What a learner's function is, as it was written: still the stub, without a `return`, under another name."""

import ast
import dis
import functools
import inspect
import itertools
import textwrap
from collections.abc import Callable
from typing import Any, Literal


def innermost(function: Any) -> Any:
    """Return the function under its decorators and partial applications."""
    function = inspect.unwrap(function)
    return innermost(function.func) if isinstance(function, functools.partial) else function


def code_of(function: Any) -> Any:
    """Return the code of a function, or of a class's `__init__`; None if it is built in."""
    function = innermost(function)
    if isinstance(function, type):
        function = function.__init__
    return getattr(getattr(function, "__func__", function), "__code__", None)


def is_stub(function: Callable[..., Any]) -> bool:
    """Return whether the body is `raise NotImplementedError` and nothing else, a docstring aside.

    >>> def scale(w):
    ...     '''To be written.'''
    ...     raise NotImplementedError("yours")
    >>> is_stub(scale), is_stub(len)
    (True, False)
    """
    code = code_of(function)
    if code is None:
        return False
    body = body_of(function)
    if body is None:  # no source: from the instructions, which have lost what follows the raise
        names = set(code.co_names) | set(code.co_varnames[code.co_argcount + code.co_kwonlyargcount :])
        return names <= {"NotImplementedError", "args", "kwargs"} and returns(function) != "always"
    return len(body) == 1 and isinstance(body[0], ast.Raise)


def ends_in_raise(function: Callable[..., Any]) -> bool:
    """Return whether the last statement of a function is a `raise`; True where its source is not known."""
    body = body_of(function)
    return body is None or isinstance(body[-1], ast.Raise)


def body_of(function: Callable[..., Any]) -> list[ast.stmt] | None:
    """Return the statements of a function but for its docstring; None where its source is not known.

    >>> body_of(len) is None
    True
    """
    try:
        [node] = ast.parse(textwrap.dedent(inspect.getsource(code_of(function)))).body
    except (OSError, TypeError, ValueError, SyntaxError, IndexError):
        return None
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    with_docstring = ast.get_docstring(node, clean=False) is not None
    return node.body[1:] if with_docstring else node.body


def returns(function: Callable[..., Any]) -> Literal["always", "sometimes", "never"]:
    """Return whether the paths through a function return a value; a path that ends in an exception does not count.

    `return None`, written out, is a value where the source is known.

    >>> def forgets(w):
    ...     scale = max(w)
    >>> def half(w):
    ...     if w:
    ...         return max(w)
    >>> returns(forgets), returns(half), returns(max)
    ('never', 'sometimes', 'always')
    """
    code = code_of(function)
    if code is None or isinstance(innermost(function), type):
        return "always"
    steps = list(dis.get_instructions(code))
    if any(step.opname in ("RETURN_GENERATOR", "YIELD_VALUE") for step in steps):
        return "always"
    ends = [_nothing(before, step) for before, step in itertools.pairwise(steps) if step.opname.startswith("RETURN_")]
    if ends and (not any(ends) or _says_none(body_of(function))):
        return "always"
    return "never" if all(ends) else "sometimes"


def _says_none(body: list[ast.stmt] | None) -> bool:
    """Whether each path of a function that gives back None says so."""
    if body is None or _comes_to_its_end(body):
        return False
    return all(node.value for statement in body for node in ast.walk(statement) if isinstance(node, ast.Return))


def _comes_to_its_end(body: list[ast.stmt]) -> bool:
    """Whether these statements may be left at their end; True where that is not plain to see."""
    last = body[-1]
    if isinstance(last, ast.If):
        return not last.orelse or _comes_to_its_end(last.body) or _comes_to_its_end(last.orelse)
    return not isinstance(last, (ast.Return, ast.Raise))


def _nothing(before: dis.Instruction, step: dis.Instruction) -> bool:
    """Whether an instruction that returns gives back None as written: by `return`, or at the end of the body."""
    constant = step if step.opname == "RETURN_CONST" else before
    return constant.opname in ("RETURN_CONST", "LOAD_CONST") and constant.argval is None


def another_name(function: Callable[..., Any], name: str) -> str:
    """Return the name under which a function was written, where it is not `name`; "" for a lambda.

    >>> another_name(len, "size"), another_name(len, "len"), another_name(lambda w: w, "size")
    ('len', '', '')
    """
    function = innermost(function)
    written = getattr(function, "__name__", "")
    inside = "<locals>" in getattr(function, "__qualname__", "")  # such as what a decorator makes: a name nobody knows
    return "" if inside or written in (name, "<lambda>") else written


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the parameters as they were written: names, with their defaults.

    >>> parameters_of(lambda w, bits=4: 0)
    ('w', 'bits=4')
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(str(parameter.replace(annotation=parameter.empty)) for parameter in parameters)


def can_be_called(function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> bool:
    """Return whether a function's parameters take these arguments."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # some built-in functions have no signature
        return True
    return True
