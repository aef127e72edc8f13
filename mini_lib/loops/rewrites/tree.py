"""Small tools on the tree of loops, shared by all rewrites. None of them judges whether a rewrite is legal."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

from mini_lib.loops.affine import Affine, affine
from mini_lib.loops.ir import Buffer, Load, Loop, Node, Program, Statement, all_loops, leaves, map_loads
from mini_lib.loops.show import show_loop_line
from mini_lib.require import of_type, shown


def path_to(program: Program, name: str) -> tuple[Loop, ...]:
    """The loops from the outermost one down to the loop of this name, which is the last.

    Raises:
        ValueError: there is no such loop; the message lists the loops that exist.
    """
    of_type("a loop", name, str, fix=f"{program.name} has the loops {', '.join(program.loop_names)}")
    found = _path(program.body, name)
    if found is None:
        raise ValueError(
            f"there is no loop {shown(name)} in {program.name}; its loops are {', '.join(program.loop_names)}"
        )
    return found


def _path(body: tuple[Node, ...], name: str) -> tuple[Loop, ...] | None:
    for node in body:
        if isinstance(node, Loop):
            if node.name == name:
                return (node,)
            below = _path(node.body, name)
            if below is not None:
                return (node, *below)
    return None


def split_names(names: str) -> list[str]:
    """`"m n k"` as a list of names, each once.

    Raises:
        ValueError: there is no name, or one is there twice.

    >>> split_names("m n k")
    ['m', 'n', 'k']
    """
    listed = of_type("the loops", names, str, fix="pass their names, such as 'm n k'").replace(",", " ").split()
    if not listed or len(set(listed)) != len(listed):
        raise ValueError(f"name each loop once, with spaces between, such as 'm n k'; got {shown(names)}")
    return listed


def chain_between(program: Program, names: list[str]) -> tuple[tuple[Loop, ...], list[Loop]]:
    """The loops around, and the loops from the outermost to the innermost of the named ones.

    Raises:
        ValueError: they are not nested directly in each other, with nothing else in between.
    """
    paths = [path_to(program, name) for name in names]
    longest = max(paths, key=len)
    here = [loop.name for loop in longest]
    for name in names:
        if name not in here:
            raise ValueError(
                f"{name} is not around {longest[-1].name} nor inside it; only loops of one nest can be "
                "rewritten together. For neighbours see fusion"
            )
    first = min(here.index(name) for name in names)
    chain = list(longest[first:])
    for outer, inner in pairwise(chain):
        if len(outer.body) != 1:
            raise ValueError(
                f"`{show_loop_line(outer)}` holds more than `{show_loop_line(inner)}`: the loops must be nested "
                f"directly. Take the rest out first, with fission({outer.name!r}, after=...)"
            )
    return longest[:first], chain


def replace_loop(program: Program, name: str, build: Callable[[Loop], tuple[Node, ...]]) -> Program:
    """The program with one loop replaced by the nodes that `build` makes from it."""

    def visit(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        done: list[Node] = []
        for node in nodes:
            if isinstance(node, Statement):
                done.append(node)
            elif node.name == name:
                done += build(node)
            else:
                done.append(replace(node, body=visit(node.body)))
        return tuple(done)

    return replace(program, body=visit(program.body))


def replace_buffer(program: Program, new: Buffer) -> Program:
    """The program with a new buffer in place of the one of the same name."""
    return replace(program, buffers=tuple(new if one.name == new.name else one for one in program.buffers))


def move_homes(program: Program, moves: Mapping[str, str]) -> Program:
    """Local buffers with the new name of the loop in which they live."""
    homes = (replace(one, home=moves.get(one.home, one.home)) for one in program.buffers)
    return replace(program, buffers=tuple(homes))


def map_statements(nodes: tuple[Node, ...], change: Callable[[Statement], Statement]) -> tuple[Node, ...]:
    """The same tree with every statement changed."""
    return tuple(
        change(node) if isinstance(node, Statement) else replace(node, body=map_statements(node.body, change))
        for node in nodes
    )


def map_accesses(statement: Statement, change: Callable[[Load], Load]) -> Statement:
    """The same statement with its loads and its store changed."""
    store = change(statement.store)
    return replace(statement, buffer=store.buffer, index=store.index, value=map_loads(statement.value, change))


def rename_buffer(nodes: tuple[Node, ...], old: str, new: str) -> tuple[Node, ...]:
    """The same tree with one buffer in place of another."""

    def change(access: Load) -> Load:
        return Load(new, access.index) if access.buffer == old else access

    return map_statements(nodes, lambda one: map_accesses(one, change))


def substitute(nodes: tuple[Node, ...], values: Mapping[str, Affine]) -> tuple[Node, ...]:
    """The same tree with variables replaced by expressions: in subscripts, guards, bounds and origins."""

    def new(expression: Affine) -> Affine:
        return expression.substitute(values)

    def access(load: Load) -> Load:
        return Load(load.buffer, tuple(new(subscript) for subscript in load.index))

    def statement(one: Statement) -> Statement:
        changed = map_accesses(one, access)
        guards = tuple(new(guard) for guard in one.guards)
        origin = one.origin and tuple((name, new(value)) for name, value in one.origin)
        return replace(changed, guards=guards, origin=origin)

    def loop(one: Loop) -> Loop:
        return replace(
            one,
            start=tuple(new(start) for start in one.start),
            stop=tuple(new(stop) for stop in one.stop),
            binds=tuple(replace(bind, of=new(bind.of)) for bind in one.binds),
            body=substitute(one.body, values),
        )

    return tuple(statement(one) if isinstance(one, Statement) else loop(one) for one in nodes)


def rename_loops(nodes: tuple[Node, ...], suffix: str) -> tuple[Node, ...]:
    """A copy of the tree in which every loop and every bound variable has a name of its own."""

    def rename(node: Node) -> Node:
        if isinstance(node, Statement):
            return node
        renamed = {name: affine(name + suffix) for name in node.variables}
        body = substitute(node.body, renamed)
        binds = tuple(
            replace(
                bind, quotient=bind.quotient + suffix, remainder=bind.remainder + suffix, of=bind.of.substitute(renamed)
            )
            for bind in node.binds
        )
        return replace(node, name=node.name + suffix, binds=binds, body=rename_loops(body, suffix))

    return tuple(rename(node) for node in nodes)


def add_guards(nodes: tuple[Node, ...], guards: list[Affine]) -> tuple[Node, ...]:
    """The same tree with more guards before every statement; no guard is repeated."""
    if not guards:
        return nodes
    return map_statements(nodes, lambda one: replace(one, guards=tuple(dict.fromkeys((*one.guards, *guards)))))


def buffers_written(nodes: tuple[Node, ...]) -> set[str]:
    """The buffers that are written anywhere in these nodes."""
    return {leaf.statement.buffer for leaf in leaves(nodes)}


def buffers_read(nodes: tuple[Node, ...]) -> set[str]:
    """The buffers that are read anywhere in these nodes."""
    return {load.buffer for leaf in leaves(nodes) for load in leaf.statement.loads}


def new_name(taken: set[str], wanted: str) -> str:
    """The wanted name, followed if necessary by the smallest number from 2 on that makes it new."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    return name


def new_suffix(program: Program, copied: Loop, wanted: str) -> str:
    """The wanted suffix, if necessary with a number, so that all variables and buffers of a copied loop get new
    names."""
    names = {name for loop in all_loops(program.body) for name in loop.variables} | {b.name for b in program.buffers}
    copies = {name for loop in all_loops((copied,)) for name in loop.variables}
    copies |= {buffer.name for buffer in program.buffers if buffer.home in copies}
    suffix, number = wanted, 2
    while names & {name + suffix for name in copies}:
        suffix, number = f"{wanted}{number}", number + 1
    return suffix


def require_serial(loop: Loop, rewrite: str) -> None:
    """Raise ValueError if a loop has already been marked: marks come last."""
    if loop.kind != "serial" or loop.intrinsic:
        raise ValueError(
            f"{rewrite}: loop {loop.name} is {loop.intrinsic or loop.kind} already; "
            "change the order of loops first, and mark them afterwards"
        )


def constant_bounds(loop: Loop, rewrite: str) -> tuple[int, int]:
    """The first iteration, and the last plus one, of a loop whose bounds are numbers.

    Raises:
        ValueError: a bound depends on another loop.
    """
    if len(loop.start) > 1 or len(loop.stop) > 1 or loop.start[0].names or loop.stop[0].names:
        raise ValueError(
            f"{rewrite}: the bounds of `{show_loop_line(loop)}` depend on other loops; "
            "they must be numbers here. Do this before skewing or reordering"
        )
    return loop.start[0].constant, loop.stop[0].constant
