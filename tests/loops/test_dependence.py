"""Dependences: textbook cases by hand, and every pair of accesses of small programs as the oracle."""

from collections import defaultdict
from itertools import combinations

import pytest
from enumeration import event_time, instances
from isl_support import draw

from mini_lib.loops import gauss_seidel, jacobi, matmul, nest, pointwise_chain
from mini_lib.loops.legality.dependence import dependences, show_dependences
from mini_lib.loops.legality.domain import READ, distinct_accesses, kind_of
from mini_lib.loops.show import show_access


def facts(program) -> set[tuple]:
    return {(one.kind, one.buffer, one.direction, one.distance) for one in dependences(program)}


@pytest.mark.parametrize("size", [4, 512])
def test_the_product_carries_its_sum_in_k(size):
    # each k reads and writes the C[m, n] of the k before
    assert facts(matmul(size, size, size)) == {
        (kind, "C", ("=", "=", "<"), (0, 0, 1)) for kind in ("flow", "anti", "output")
    }


def test_jacobi_has_none_and_the_sweep_in_place_has_one_for_each_neighbour():
    assert dependences(jacobi(8, 8)) == ()
    sweep = nest("""
for i in range(1, 7):
    for j in range(1, 7):
        A[i, j] = A[i - 1, j] + A[i, j - 1] + A[i + 1, j] + A[i, j + 1]
""")
    # the neighbours above and to the left are new already, those below and to the right are still old
    assert facts(sweep) == {
        ("flow", "A", ("<", "="), (1, 0)),
        ("flow", "A", ("=", "<"), (0, 1)),
        ("anti", "A", ("<", "="), (1, 0)),
        ("anti", "A", ("=", "<"), (0, 1)),
    }


def test_the_diagonal_turns_with_a_skew():
    program = gauss_seidel(8, 8)
    assert facts(program) == {("flow", "A", ("<", ">"), (1, -1))}
    # j.s = j + i moves by -1 + 1
    assert facts(program.skew("j", by="i")) == {("flow", "A", ("<", "="), (1, 0))}
    turned = program.skew("j", by="i").reorder("j.s i")
    assert facts(turned) == {("flow", "A", ("=", "<"), (0, 1))}


def test_distances_that_differ_have_no_number():
    """A[2 i] = A[i]: iteration 1 feeds 2, 2 feeds 4, 3 feeds 6: distances 1, 2, 3; 0 reads what it writes itself."""
    assert facts(nest("for i in range(8):\n    A[2 * i] = A[i]")) == {("flow", "A", ("<",), (None,))}


def test_a_split_sum_is_carried_by_both_parts():
    found = [one for one in dependences(matmul(4, 4, 8).split("k", 4)) if one.kind == "flow"]
    assert [(one.direction, one.distance) for one in found] == [
        (("=", "=", "<", "*"), (0, 0, 1, None)),  # from any k.i to any k.i of the next k.o
        (("=", "=", "=", "<"), (0, 0, 0, 1)),
    ]
    assert [one.carrier for one in found] == ["k.o", "k.i"]


def test_between_nests_there_is_no_loop_in_common():
    [found] = dependences(pointwise_chain(4))
    assert (found.kind, found.buffer, found.source, found.sink) == ("flow", "T", "S0", "S1")
    assert (found.loops, found.direction, found.carrier) == ((), (), None)
    fused = dependences(pointwise_chain(4).fusion("i", "j"))
    assert [(one.loops, one.direction, one.distance) for one in fused] == [(("i",), ("=",), (0,))]


def test_a_local_buffer_ties_only_the_iteration_that_made_it():
    program = matmul(4, 4, 4).reorder("n m k").cache_read("B", at="n")
    assert {one.carrier for one in dependences(program) if one.buffer == "B.scratch"} == {None}


def test_the_carrier_says_which_loops_may_run_in_any_order():
    found = dependences(matmul(4, 4, 4))
    assert [sum(one.carrier == loop for one in found) for loop in "mnk"] == [0, 0, 3]


def test_the_table_by_hand():
    assert show_dependences(gauss_seidel(8, 8)).splitlines() == [
        "kind  from        to                  loops  direction  distance",
        "flow  S0 A[i, j]  S0 A[i - 1, j + 1]  i, j   <, >       1, -1",
    ]
    assert show_dependences(jacobi(8, 8)) == "no dependences: every iteration may run at any time"
    assert str(dependences(gauss_seidel(8, 8))[0]) == (
        "flow   S0 A[i, j] -> S0 A[i - 1, j + 1]  (i, j): (<, >)  distance (1, -1)"
    )


@pytest.mark.parametrize("block", range(4))
def test_against_every_pair_of_accesses(block):
    for seed in range(30_000 + 40 * block, 30_040 + 40 * block):
        case = draw(seed)
        program = nest(case.text, dtype="u64")
        expected = by_pairs(program, case)
        found = {
            (one.kind, one.source, one.sink, one.accesses, one.carrier): (one.direction, one.distance)
            for one in dependences(program)
        }
        assert found == expected, case
        assert len(found) == len(dependences(program))


def by_pairs(program, case) -> dict[tuple, tuple]:
    """Direction and distance of each dependence, from the steps of all pairs of accesses to one element."""
    touched = defaultdict(list)
    for leaf, values, time in instances(program):
        for access in distinct_accesses(leaf.statement):
            index = tuple(subscript.value(values) for subscript in access.index)
            touched[access.buffer, index].append((event_time(time, access.phase), leaf, values, access))
    used = {
        (sentence.name, show): names(subscripts)
        for sentence in case.sentences
        for show, subscripts in shown(program, sentence)
    }
    steps = defaultdict(list)
    for events in touched.values():
        for one, two in combinations(sorted(events, key=lambda event: event[0]), 2):
            (_, leaf, values, first), (_, other, later, second) = one, two
            if first.phase == second.phase == READ:
                continue
            loops = [a.name for a, b in zip(leaf.loops, other.loops, strict=False) if a is b]
            distance = tuple(later[name] - values[name] for name in loops)
            if leaf is other and not any(distance):
                continue  # one iteration's own load and store
            carrier = next((name for name, step in zip(loops, distance, strict=True) if step), None)
            texts = show_access(first), show_access(second)
            source, sink = leaf.statement.name, other.statement.name
            moves = used[source, texts[0]] | used[sink, texts[1]]
            if carrier is not None and carrier not in moves and distance[loops.index(carrier)] != 1:
                continue  # the same again, further on
            steps[kind_of(first, second), source, sink, texts, carrier].append(distance)
    return {
        what: (
            tuple(sign(set(column)) for column in zip(*found, strict=True)),
            tuple(column[0] if len(set(column)) == 1 else None for column in zip(*found, strict=True)),
        )
        for what, found in steps.items()
    }


def shown(program, sentence):
    """The accesses of a drawn sentence, as the library writes them, with their subscripts as drawn."""
    [leaf] = [leaf for leaf in program.leaves if leaf.statement.name == sentence.name]
    drawn = [*sentence.reads, sentence.write]
    for access, (_, subscripts) in zip((*leaf.statement.loads, leaf.statement.store), drawn, strict=True):
        yield show_access(access), subscripts


def names(subscripts) -> set[str]:
    return {letter for letter in "".join(subscripts) if letter.isalpha()}


def sign(steps: set[int]) -> str:
    if steps == {0}:
        return "="
    return "<" if min(steps) > 0 else ">" if max(steps) < 0 else "*"
