"""An inner block of loops as one hardware instruction: intrinsics, and the check that a block matches."""

from dataclasses import dataclass, replace

from mini_lib.loops.affine import Affine
from mini_lib.loops.ir import Expression, Load, Loop, Op, Program, Statement, need_program
from mini_lib.loops.rewrites.tree import path_to, replace_loop, require_serial
from mini_lib.require import checked, of_type, positive


@dataclass(frozen=True)
class Intrinsic:
    """A hardware instruction, declared by the loops that it executes.

    `pattern` is a program of one perfect nest with one statement. `cycles` is the time of one call.

    Raises:
        ValueError: the pattern is not one nest of loops with constant bounds around one statement.

    >>> from mini_lib.loops import matmul
    >>> Intrinsic("mma 4x4x4", matmul(4, 4, 4), cycles=4).operations
    64
    """

    name: str
    pattern: Program
    cycles: float

    def __post_init__(self) -> None:
        checked(self, "name", of_type, kinds=str, fix="pass such as 'mma 4x4x4'")
        checked(self, "cycles", positive, fix="pass the cycles of one call")
        need_program("pattern", self.pattern)
        loops, _ = _perfect(self.pattern.body[0]) if len(self.pattern.body) == 1 else ([], None)
        if not loops or any(loop.extent is None for loop in loops):
            raise ValueError(
                f"{self.name}: the pattern must be one nest of loops with constant bounds around one statement"
            )

    @property
    def operations(self) -> int:
        """How many times one call executes its statement."""
        count = 1
        for loop in _perfect(self.pattern.body[0])[0]:
            count *= loop.extent
        return count


def tensorize(nest: Program, loop: str, intrinsic: Intrinsic) -> Program:
    """Let one hardware instruction execute a loop and everything inside it.

    The block must match the instruction's declaration: the same loops in the same order, the same statement, and
    subscripts that move in the same way. Before, and after `tensorize("m.i", mma)`::

        for m.i in range(4):                    for m.i in range(4):  # done by mma 4x4x4
            for n.i in range(4):                    ...
                for k.i in range(4):
                    C[...] += A[...] * B[...]

    Its meaning is still that of the loops that it replaces. TVM: `tensorize`.

    Raises:
        ValueError: the loop is unknown, or the block differs from the instruction; the message names the first
            difference.

    >>> from mini_lib.loops import matmul
    >>> mma = Intrinsic("mma 4x4x4", matmul(4, 4, 4), cycles=4)
    >>> print(matmul(8, 8, 8).tile("m n k", 4).tensorize("m.i", mma))
    for m.o in range(2):
        for n.o in range(2):
            for k.o in range(2):
                for m.i in range(4):  # done by mma 4x4x4
                    for n.i in range(4):
                        for k.i in range(4):
                            C[m.i + 4*m.o, n.i + 4*n.o] += A[m.i + 4*m.o, k.i + 4*k.o] * B[k.i + 4*k.o, n.i + 4*n.o]
    """
    of_type("tensorize: intrinsic", intrinsic, Intrinsic, fix="declare one with Intrinsic(name, pattern, cycles)")
    old = path_to(nest, loop)[-1]
    require_serial(old, "tensorize")
    have, statement = _perfect(old)
    want, pattern = _perfect(intrinsic.pattern.body[0])

    def refuse(what: str) -> ValueError:
        return ValueError(f"tensorize: {intrinsic.name} does not fit at {loop}: {what}")

    if statement is None:
        raise refuse("the block must be loops nested directly around one statement")
    shapes = [[one.extent for one in loops] for loops in (have, want)]
    if shapes[0] != shapes[1]:
        raise refuse(f"its loops run {shapes[1]} times, and the block's {shapes[0]}; tile to that size first")
    if statement.guards:
        raise refuse("the block has guards; peel off what does not fill a whole call")
    names = {one.name: other.name for one, other in zip(have, want, strict=True)}
    buffers: dict[str, str] = {}

    def same(one: Expression, other: Expression) -> None:
        if type(one) is not type(other):
            raise refuse("it computes another expression")
        if isinstance(one, Load):
            if buffers.setdefault(other.buffer, one.buffer) != one.buffer:
                raise refuse(f"{other.buffer} would be both {buffers[other.buffer]} and {one.buffer}")
            moves = [_moves(subscript, names) for subscript in one.index]
            wanted = [_moves(subscript, {w: w for w in names.values()}) for subscript in other.index]
            if [move for move in moves if move] != [move for move in wanted if move]:
                raise refuse(
                    f"subscripts of {one.buffer} move as {moves}, and the instruction's {other.buffer} as {wanted}"
                )
        elif isinstance(one, Op):
            if one.name != other.name:
                raise refuse(f"it computes {other.name}, and the block {one.name}")
            for left, right in zip(one.arguments, other.arguments, strict=True):
                same(left, right)
        elif one != other:
            raise refuse(f"its constant is {other.value}, and the block's {one.value}")

    same(statement.store, pattern.store)
    same(statement.value, pattern.value)
    return replace_loop(nest, loop, lambda one: (replace(one, intrinsic=intrinsic.name),))


def _perfect(node: Loop | Statement) -> tuple[list[Loop], Statement | None]:
    """The loops that are nested directly in each other, and the one statement inside; None if there are more."""
    loops: list[Loop] = []
    while isinstance(node, Loop):
        loops.append(node)
        if len(node.body) != 1:
            return loops, None
        node = node.body[0]
    return loops, node


def _moves(subscript: Affine, names: dict[str, str]) -> tuple[tuple[str, int], ...]:
    """How a subscript moves with the loops of the block, named as the instruction names them."""
    return tuple(sorted((names[name], count) for name, count in subscript.terms if name in names))
