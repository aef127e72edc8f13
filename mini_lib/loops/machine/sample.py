"""The cache misses of a program without compiling it: its loops as a table, walked by C code that is compiled once.

`misses` writes each program out as C, which runs faster and takes a tenth of a second to compile. For a search that
looks briefly at hundreds of programs, this is faster. The counts are the same.
"""

import ctypes
from collections.abc import Callable, Mapping
from functools import cache

from mini_lib import native
from mini_lib.loops.affine import Affine
from mini_lib.loops.caches.cache import Cache, LevelStats, check_levels
from mini_lib.loops.caches.fast_cache import SOURCE, has_compiler, level_stats, new_state
from mini_lib.loops.caches.trace import default_bases, misses
from mini_lib.loops.ir import Loop, Node, Program, Statement
from mini_lib.loops.meaning.walk import accesses, check_vector, has_lane_guard, lane_step

# A table of whole numbers. An expression is: number of terms, constant, then (variable, coefficient) each.
# A loop: 0, length of all that follows, variable, number of starts, starts, of stops, stops, of binds,
# (quotient, remainder, by, expression) each, then its body. A statement: 1, length, number of guards, guards,
# number of accesses, (is it a write?, bytes, address) each.
_WALKER = """
static int64_t value(const int64_t **p, const int64_t *v) {
    int64_t terms = *(*p)++, sum = *(*p)++;
    for (; terms > 0; terms--, *p += 2) sum += v[(*p)[0]] * (*p)[1];
    return sum;
}
static void walk_nodes(cachesim *s, const int64_t *p, const int64_t *end, int64_t *v) {
    while (p < end) {
        int64_t is_statement = *p++, length = *p++;
        const int64_t *next = p + length;
        if (is_statement) {
            int64_t holds = 1;
            for (int64_t n = *p++; n > 0; n--) holds &= value(&p, v) >= 0;
            if (holds)
                for (int64_t n = *p++; n > 0; n--) {
                    int64_t is_write = *p++, bytes = *p++;
                    cachesim_touch(s, value(&p, v), bytes, (int)is_write);
                }
        } else {
            int64_t i = *p++, start = INT64_MIN, stop = INT64_MAX;
            for (int64_t n = *p++; n > 0; n--) { int64_t x = value(&p, v); if (x > start) start = x; }
            for (int64_t n = *p++; n > 0; n--) { int64_t x = value(&p, v); if (x < stop) stop = x; }
            for (v[i] = start; v[i] < stop; v[i]++) {
                const int64_t *q = p;
                for (int64_t n = *q++; n > 0; n--) {
                    int64_t quotient = *q++, remainder = *q++, by = *q++, x = value(&q, v);
                    v[remainder] = (x % by + by) % by;
                    v[quotient] = (x - v[remainder]) / by;
                }
                walk_nodes(s, q, next, v);
            }
        }
        p = next;
    }
}
void walk_table(cachesim *s, const int64_t *table, int64_t words, int64_t *variables) {
    walk_nodes(s, table, table + words, variables);
}
"""


def quick_misses(program: Program, *caches: Cache) -> tuple[LevelStats, ...]:
    """Return the same as `misses`: the counts of one to three levels of cache, sooner for a short program.

    Raises:
        ValueError: as `misses`.

    >>> from mini_lib.loops import matmul
    >>> level, = quick_misses(matmul(m=4, n=4, k=4), Cache(1024, ways=2))
    >>> level.references, level.misses                 # 64 * 4 accesses; A, B and C fill a line each
    (256, 3)
    """
    if not has_compiler():
        return misses(program, *caches)
    levels = check_levels(caches)
    state = new_state(levels)
    variables: dict[str, int] = {}
    bases = default_bases(program)
    words = [word for node in program.body for word in _node(node, program, bases, variables)]
    table = (ctypes.c_int64 * len(words))(*words)
    values = (ctypes.c_int64 * max(1, len(variables)))()
    _walker()(ctypes.c_void_p(state.ctypes.data), table, ctypes.c_int64(len(words)), values)
    return level_stats(state, levels)


@cache
def _walker() -> Callable[..., None]:
    walker = native.load(SOURCE + _WALKER, flags=("-O2",)).walk_table
    walker.restype = None
    return walker


def _node(node: Node, program: Program, bases: Mapping[str, int], variables: dict[str, int]) -> list[int]:
    if isinstance(node, Statement):
        return _statement(node, None, program, bases, variables)
    if node.kind == "vector":
        check_vector(node)
        words = (_lanes(child, node, program, bases, variables) for child in node.body)
        return [word for one in words for word in one]
    head = _head(node, variables)
    body = [word for child in node.body for word in _node(child, program, bases, variables)]
    return [0, len(head) + len(body), *head, *body]


def _head(loop: Loop, variables: dict[str, int]) -> list[int]:
    words = [_number(loop.name, variables)]
    for bounds in (loop.start, loop.stop):
        words += [len(bounds), *(w for bound in bounds for w in _affine(bound, variables))]
    words.append(len(loop.binds))
    for bind in loop.binds:
        names = (_number(bind.quotient, variables), _number(bind.remainder, variables))
        words += [*names, bind.by, *_affine(bind.of, variables)]
    return words


def _lanes(
    statement: Statement, loop: Loop, program: Program, bases: Mapping[str, int], variables: dict[str, int]
) -> list[int]:
    """A statement of a vector loop: all lanes load before any stores."""
    uneven = any(
        lane_step(loop, program.buffer(access.buffer).offset(access.index)) is None for access, _ in accesses(statement)
    )
    if not uneven and not has_lane_guard(statement, loop):
        return _statement(statement, loop, program, bases, variables)
    words = []
    for is_write in (False, True):  # lane by lane: its guard holds for only some of them
        body = _statement(statement, None, program, bases, variables, only=is_write)
        head = _head(loop, variables)
        words += [0, len(head) + len(body), *head, *body]
    return words


def _statement(
    statement: Statement,
    lanes: Loop | None,
    program: Program,
    bases: Mapping[str, int],
    variables: dict[str, int],
    *,
    only: bool | None = None,
) -> list[int]:
    first = {} if lanes is None else {lanes.name: lanes.start[0]}
    guards = [w for one in statement.guards for w in _affine(one.substitute(first), variables)]
    words: list[int] = []
    count = 0
    for access, is_write in accesses(statement):
        buffer = program.buffer(access.buffer)
        if buffer.scope == "register" or (only is not None and only != is_write):
            continue
        offset = buffer.offset(access.index)
        step = 0 if lanes is None else lane_step(lanes, offset)
        extent = 1 if lanes is None else lanes.extent or 1
        wide = extent if step == 1 else 1  # adjacent elements are one access
        for lane in range(1 if step in (0, 1) else extent):
            here = offset.substitute(first) + lane * (step or 0)
            address = here * buffer.element_bytes + bases[buffer.name]
            words += [int(is_write), wide * buffer.element_bytes, *_affine(address, variables)]
            count += 1
    inside = [len(statement.guards), *guards, count, *words]
    return [1, len(inside), *inside]


def _affine(value: Affine, variables: dict[str, int]) -> list[int]:
    terms = [word for name, count in value.terms for word in (_number(name, variables), count)]
    return [len(value.terms), value.constant, *terms]


def _number(name: str, variables: dict[str, int]) -> int:
    return variables.setdefault(name, len(variables))
