"""A program as text, loop by loop."""

from mini_lib.loops.affine import Affine
from mini_lib.loops.ir import Constant, Expression, Load, Loop, Node, Op, Program, Statement

MARKS = {"unrolled": "unrolled", "vector": "vectorized", "parallel": "parallel"}
STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2}


def show_program(program: Program) -> str:
    """The text of a program: its local buffers, then its loops, indented.

    >>> from mini_lib.loops import matmul
    >>> print(show_program(matmul(m=4, n=8, k=2)))
    for m in range(4):
        for n in range(8):
            for k in range(2):
                C[m, n] += A[m, k] * B[k, n]
    """
    lines = [
        f"{buffer.name} = {buffer.scope} {buffer.dtype}[{', '.join(map(str, buffer.shape))}]"
        for buffer in program.buffers
        if buffer.scope != "memory"
    ]
    for node in program.body:
        lines += show_node(node)
    return "\n".join(lines)


def show_node(node: Node, depth: int = 0) -> list[str]:
    """The lines of one loop or statement."""
    indent = "    " * depth
    if isinstance(node, Statement):
        return [indent + show_statement(node)]
    start, stop = show_bound("max", node.start), show_bound("min", node.stop)
    inside = stop if start == "0" else f"{start}, {stop}"
    mark = f"  # {MARKS[node.kind]}" if node.kind in MARKS else ""
    if node.intrinsic:
        mark = f"  # done by {node.intrinsic}"
    lines = [f"{indent}for {node.name} in range({inside}):{mark}"]
    for bind in node.binds:
        lines.append(f"{indent}    {bind.quotient}, {bind.remainder} = divmod({bind.of}, {bind.by})")
    for child in node.body:
        lines += show_node(child, depth + 1)
    return lines


def show_bound(function: str, bounds: tuple[Affine, ...]) -> str:
    """One bound, or the largest or smallest of several."""
    texts = [str(bound) for bound in bounds]
    return texts[0] if len(texts) == 1 else f"{function}({', '.join(texts)})"


def show_statement(statement: Statement) -> str:
    """A statement on one line, its guards before it."""
    target, value = statement.store, statement.value
    sign = "="
    if isinstance(value, Op) and value.name in "+-*/" and value.arguments[0] == target:
        sign, value = f"{value.name}=", value.arguments[1]
    text = f"{show_access(target)} {sign} {show_expression(value)}"
    if statement.guards:
        guards = " and ".join(show_guard(guard) for guard in statement.guards)
        text = f"if {guards}: {text}"
    return text


def show_guard(guard: Affine) -> str:
    """`guard >= 0` with its negative terms on the right, as a person would write it.

    >>> show_guard(Affine((("i.i", -1), ("i.o", -16)), 99))
    'i.i + 16*i.o < 100'
    """
    right = Affine(tuple(term for term in guard.terms if term[1] > 0), 0)
    left = right - guard + Affine((), guard.constant)  # the negative terms, turned around
    if right.is_constant:
        return f"{left} < {guard.constant + 1}"
    if left.is_constant:
        return f"{right} >= {-guard.constant}"
    return f"{left} <= {right + guard.constant}"


def show_access(access: Load) -> str:
    """`A[i, j + 1]`."""
    return f"{access.buffer}[{', '.join(str(subscript) for subscript in access.index)}]"


def show_expression(value: Expression, strength: int = 0) -> str:
    """An expression with no more parentheses than it needs."""
    if isinstance(value, Constant):
        return show_number(value.value)
    if isinstance(value, Load):
        return show_access(value)
    if value.name not in STRENGTH:
        inside = ", ".join(show_expression(argument) for argument in value.arguments)
        return f"{value.name}({inside})"
    own = STRENGTH[value.name]
    left, right = value.arguments
    if (
        value.name == "-" and str(getattr(left, "value", "")) == "-0.0"
    ):  # a minus before a value is read as -0.0 - value
        return f"-{show_expression(right, own + 2)}"
    text = f"{show_expression(left, own)} {value.name} {show_expression(right, own + 1)}"
    return f"({text})" if own < strength else text


def show_number(number: float) -> str:
    """A constant, with all its digits.

    >>> show_number(16777217), show_number(0.25), show_number(2.0)
    ('16777217', '0.25', '2')
    """
    short = f"{number:g}" if isinstance(number, float) else str(number)
    return short if float(short) == number or isinstance(number, int) else repr(number)


def show_loop_line(loop: Loop) -> str:
    """Only the line that opens a loop, as messages quote it."""
    return show_node(loop)[0].rstrip(":")
