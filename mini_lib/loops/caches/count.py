"""The number of a program's memory accesses, without running it."""

from mini_lib.loops.ir import Loop, Node, Program, Statement, need_program
from mini_lib.loops.meaning.walk import accesses, check_vector, has_lane_guard, iterate, lane_step, own_names


def count_accesses(program: Program) -> int:
    """The length of the program's trace: exact, and fast where loop bounds and guards are constant.

    A loop is stepped through only if a bound or a guard in it depends on its variable. For all other loops the count is
    multiplied.

    >>> from mini_lib.loops import matmul
    >>> count_accesses(matmul(m=512, n=512, k=512)) == 4 * 512**3
    True
    """
    need_program("program", program)
    return sum(_Counter(program).count(node, {}) for node in program.body)


class _Counter:
    """Counts below a node; `known` has the values of the variables that the count depends on."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.needs: dict[int, frozenset[str]] = {}
        self.done: dict[tuple[int, tuple[int, ...]], int] = {}

    def count(self, node: Node, known: dict[str, int]) -> int:
        wanted = tuple(known[name] for name in sorted(self._needs(node)))
        key = (id(node), wanted)
        if key not in self.done:
            self.done[key] = self._count(node, dict(known))
        return self.done[key]

    def _count(self, node: Node, known: dict[str, int]) -> int:
        if isinstance(node, Statement):
            if any(guard.value(known) < 0 for guard in node.guards):
                return 0
            return sum(self._in_memory(access.buffer) for access, _ in accesses(node))
        if node.kind == "vector":
            return self._count_lanes(node, known)
        inside = frozenset().union(*(self._needs(child) for child in node.body))
        if not inside & own_names(node):
            trips = _trips(node, known)
            return trips * sum(self.count(child, known) for child in node.body) if trips else 0
        total = 0
        for _ in iterate(node, known):
            total += sum(self.count(child, known) for child in node.body)
        return total

    def _count_lanes(self, loop: Loop, known: dict[str, int]) -> int:
        check_vector(loop)
        total = 0
        for statement in loop.body:
            if has_lane_guard(statement, loop):
                for _ in iterate(loop, known):
                    total += self._count(statement, known)
                continue
            if any(guard.value(known) < 0 for guard in statement.guards):
                continue
            for access, _ in accesses(statement):
                step = lane_step(loop, self.program.buffer(access.buffer).offset(access.index))
                lanes = 1 if step in (0, 1) else loop.extent or 0
                total += lanes * self._in_memory(access.buffer)
        return total

    def _in_memory(self, buffer: str) -> bool:
        return self.program.buffer(buffer).scope != "register"

    def _needs(self, node: Node) -> frozenset[str]:
        """The variables from outside that the count below a node depends on."""
        if id(node) not in self.needs:
            if isinstance(node, Statement):
                found = frozenset().union(*(guard.names for guard in node.guards))
            else:
                found = frozenset().union(*(self._needs(child) for child in node.body))
                bounds = (*node.start, *node.stop)
                if found & own_names(node):
                    bounds += tuple(bind.of for bind in node.binds)
                found = found.union(*(bound.names for bound in bounds)) - own_names(node)
            self.needs[id(node)] = found
        return self.needs[id(node)]


def _trips(loop: Loop, known: dict[str, int]) -> int:
    start = max(bound.value(known) for bound in loop.start)
    return max(0, min(bound.value(known) for bound in loop.stop) - start)
