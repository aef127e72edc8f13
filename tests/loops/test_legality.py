"""Legality: cases known by hand, the plain enumeration of all accesses, real sizes, messages."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from enumeration import event_time, instances, violation_by_enumeration, violations_by_enumeration
from isl_support import draw

from mini_lib.loops import IllegalRewrite, Nest, gauss_seidel, matmul, nest, reduction, softmax
from mini_lib.loops.affine import affine
from mini_lib.loops.ir import Buffer, Constant, Load, Loop, Program, Statement
from mini_lib.loops.legality.domain import variables
from mini_lib.loops.legality.violation import AT_ONCE, PARTED, SWAPPED, UNORDERED, violation
from mini_lib.loops.rewrites.rewriting import begin

DIAGONAL = """
for i in range(1, n):
    for j in range(n - 1):
        A[i, j] = A[i - 1, j + 1]
"""


def forced(program: Nest, method: str, *arguments, **options) -> Nest:
    """A rewrite that nobody has judged, origins still in it."""
    return getattr(Nest, method).unchecked(begin(program), *arguments, **options)


# ---- by hand ----


@pytest.mark.parametrize("size", [4, 512])
def test_distance_one_minus_one(size):
    """A[i, j] = A[i - 1, j + 1]: the order of the text is legal, interchange is not, after a skew it is."""
    before = nest(DIAGONAL, n=size)
    assert violation(before, before) is None
    found = violation(before, forced(before, "reorder", "j i"))
    # the first that is read again in time: A[1, 1], by the next i one j earlier, which now comes first
    assert found.first.iteration == {"i": 1, "j": 1}
    assert found.second.iteration == {"i": 2, "j": 0}
    assert found.element == ("A", (1, 1))
    assert (found.kind, found.why) == ("flow", SWAPPED)
    skewed = before.skew("j", by="i")
    assert violation(skewed, forced(skewed, "reorder", "j.s i")) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A[i] = A[i + 1]", None),  # read before it is overwritten
        ("A[i + 1] = A[i]", AT_ONCE),  # needs what the lane before has stored
        ("A[0] = B[i]", None),  # lanes store in order: the last one wins
        ("A[0] = A[0] + B[i]", AT_ONCE),
        ("A[i] = B[i]\n    B[i + 1] = A[i]", AT_ONCE),  # statement by statement: B too late
        ("A[i] = B[i]\n    C[i] = A[i]", None),
        ("A[i] = B[i + 1]\n    B[i] = C[i]", None),  # all of B is read before any of it is written
        ("A[i] = B[i]\n    B[i + 1] = C[i]", AT_ONCE),  # and should have been written before
    ],
)
def test_a_vector_loop_reads_all_lanes_before_it_writes_statement_by_statement(text, why):
    before = nest(f"for i in range(8):\n    {text}")
    after = forced(before, "vectorize", "i")
    found = violation(before, after)
    assert (found.why if found else None) == why
    by_hand = violation_by_enumeration(before, after)
    assert (by_hand.why if by_hand else None) == why


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        ("A[i] = B[i + 1] + B[i]", True),
        ("A[i] = A[i + 1]", False),
        ("A[2 * i] = A[2 * i + 1]", True),  # even and odd never meet
        ("A[2 * i] = A[i]", False),
        ("A[0] = B[i]", False),  # which one would be last?
        ("A[i] = A[i] + 1", True),
    ],
)
def test_a_parallel_loop_may_share_only_what_nobody_writes(text, legal):
    before = nest(f"for i in range(8):\n    {text}")
    found = violation(before, forced(before, "parallelize", "i"))
    assert (found is None) == legal
    assert legal or found.why == UNORDERED


@pytest.mark.parametrize(
    ("first", "second", "legal"),
    [
        ("T[i] = X[i]", "Y[j] = T[j]", True),
        ("T[i] = X[i]", "Y[j] = T[j + 1]", False),  # not there yet
        ("T[i + 1] = X[i]", "Y[j] = T[j]", True),  # there since the iteration before
        ("X[i] = T[i + 1]", "T[j] = Y[j]", True),  # overwritten one iteration after
        ("X[i] = T[i]", "T[j + 1] = Y[j]", False),  # overwritten one iteration before
    ],
)
def test_fusion_of_two_loops(first, second, legal):
    before = nest(f"for i in range(8):\n    {first}\nfor j in range(8):\n    {second}")
    assert (violation(before, forced(before, "fusion", "i", "j")) is None) == legal


def test_statements_without_loops_can_be_swapped_too():
    buffers = (Buffer("A", (1,)),)
    zero = (affine(0),)
    first = Statement("S0", "A", zero, Constant(1.0))
    second = Statement("S1", "A", zero, Constant(2.0))
    before = Program("two", buffers, (first, second))
    found = violation(before, replace(before, body=(second, first)))
    assert (found.kind, found.element) == ("output", ("A", (0,)))
    assert (found.first.statement, found.second.statement) == ("S0", "S1")
    assert violation(before, before) is None


# ---- messages ----


@pytest.mark.parametrize(
    ("program", "method", "arguments", "message"),
    [
        (
            nest(DIAGONAL, n=4), "reorder", ("j i",),
            ("reorder('j i') is illegal: iteration i=2, j=0 of \"A[i, j] = A[i - 1, j + 1]\" reads A[1, 1], "
            "which i=1, j=1 writes; the new order would run the reader first. Keep the order, or skew first."),
        ),
        (
            nest("for i in range(4):\n    A[i] = A[i + 1]"), "parallelize", ("i",),
            ("parallelize('i') is illegal: iteration i=1 of \"A[i] = A[i + 1]\" writes A[1], which i=0 reads "
            "before; a parallel loop has no order, so the writer may run first. Parallelize another loop."),
        ),
        (
            reduction(8), "vectorize", ("i",),
            ("vectorize('i') is illegal: iteration i=1 of \"s[0] += x[i]\" reads s[0], which i=0 writes; "
            "a vector loop does each statement for all iterations at once, reads before writes, so the reader "
            "would come first. Vectorize another loop."),
        ),
        (
            nest("for i in range(4):\n    T[i] = X[i]\nfor j in range(4):\n    T[j + 1] = Y[j]"),
            "fusion", ("i", "j"),
            ("fusion('i', 'j') is illegal: iteration j=0 of \"T[j + 1] = Y[j]\" writes T[1], which iteration i=1 "
            'of "T[i] = X[i]" writes before; the new order would run the second first. Keep the order, or skew '
            "first."),
        ),
    ],
)  # fmt: skip
def test_the_message_names_both_iterations_and_the_element(program, method, arguments, message):
    with pytest.raises(IllegalRewrite) as caught:
        getattr(program, method)(*arguments)
    assert str(caught.value) == message


def test_the_error_carries_the_iterations_and_the_element():
    with pytest.raises(ValueError, match="reorder") as caught:
        gauss_seidel(8, 8).reorder("j i")
    assert isinstance(caught.value, IllegalRewrite)
    assert (caught.value.first, caught.value.second) == ({"i": 1, "j": 1}, {"i": 2, "j": 0})
    assert caught.value.element == ("A", (1, 1))


def test_a_statement_from_nowhere_is_refused():
    before = nest("for i in range(4):\n    A[i] = B[i]")
    other = nest("for i in range(4):\n    A[i] = B[i]\n    C[i] = B[i]")
    with pytest.raises(ValueError, match="statement S1 is not in the program before the rewrite, which has S0"):
        violation(before, other)


def test_an_origin_in_variables_that_are_not_there_is_refused():
    before = nest("for i in range(4):\n    A[i] = B[i]")
    statement = replace(before.leaves[0].statement, origin=(("i", affine("z")),))
    after = replace(before, body=(replace(before.body[0], body=(statement,)),))
    with pytest.raises(ValueError, match="origin of i in statement S0 is z, but around it are only i"):
        violation(before, after)


# ---- against the enumeration ----


@pytest.mark.parametrize("block", range(4))
def test_the_integer_programs_agree_with_looking_at_every_pair(block):
    """On random nests: the same verdict, and what is named is one of the pairs that lose their order."""
    verdicts = Counter()
    for seed in range(10_000 + 50 * block, 10_050 + 50 * block):
        case = draw(seed)
        now = nest(case.text, dtype="u64")
        for step in case.steps:
            after = forced(now, step.method, *step.arguments, **step.options)
            agree(now, after, f"{case} at {step}")
            verdicts[violation(now, after) is None] += 1
            if violation(now, after):
                break
            now = getattr(now, step.method)(*step.arguments, **step.options)
    assert min(verdicts[True], verdicts[False]) > 5


def agree(before: Program, after: Program, what: str) -> None:
    found, all_found = violation(before, after), violations_by_enumeration(before, after)
    assert (found is None) == (not all_found), what
    if found:
        assert key(found) in [key(one) for one in all_found], what


def key(found) -> tuple:
    first, second = ((one.statement, tuple(one.iteration.items())) for one in (found.first, found.second))
    return first, second, found.element, found.kind, found.why


@pytest.mark.parametrize("seed", range(24))
def test_local_buffers_agree_with_looking_at_every_pair(seed):
    """Tiles of a product with local copies, then any order of loops, marks and cuts, legal or not."""
    rng = random.Random(seed)
    now = matmul(4, 4, 4).split("m", 2).split("k", 2)
    names = ["m.o", "m.i", "n", "k.o", "k.i"]
    rng.shuffle(names)
    outer, inner = sorted((names.index("k.o"), names.index("k.i")))
    names[outer], names[inner] = "k.o", "k.i"  # the sums stay in their order
    now = now.reorder(" ".join(names))
    for method, buffer in rng.sample([("cache_read", "A"), ("cache_read", "B"), ("cache_write", "C")], 2):
        try:
            now = getattr(now, method)(buffer, at=rng.choice(names))
        except ValueError:
            continue  # this copy cannot be made there
    tried = 0
    for method in ("parallelize", "reorder", "fission", "split", "peel"):
        for loop in now.loop_names:
            options = {"parallelize": (), "split": (2,), "peel": (1,)}
            if method == "reorder":
                arguments = (f"{rng.choice(now.loop_names)} {loop}",)
            elif method == "fission":
                arguments = (loop, rng.choice(now.leaves).statement.name)
            else:
                arguments = (loop, *options[method])
            try:
                after = forced(now, method, *arguments)
            except ValueError:
                continue
            tried += 1
            agree(now, after, f"{now}\n{method} {arguments}")
    assert tried > 5


def test_local_copies_may_differ_between_parallel_iterations():
    now = matmul(8, 8, 8).reorder("n m k").cache_read("B", at="n")
    assert violation(now, forced(now, "parallelize", "n")) is None
    shared = replace(now, buffers=tuple(replace(one, home="") for one in now.buffers))
    found = violation(shared, forced(shared, "parallelize", "n"))
    assert (found.element[0], found.why) == ("B.scratch", UNORDERED)


def test_a_local_copy_must_stay_one_copy():
    """T lives for one i: moved into the j loop it would be a new T in each j, without what the last j left."""
    text = "for i in range(2):\n    for j in range(4):\n        T[0] = T[0] + X[i, j]"
    source = nest(text, temporaries=("T",))
    outer, inner = (
        replace(
            source,
            buffers=tuple(
                replace(one, scope="scratch", temporary=False, home=home) if one.name == "T" else one
                for one in source.buffers
            ),
        )
        for home in "ij"
    )
    assert violation(outer, outer) is None
    found = violation(outer, inner)
    assert found.why == PARTED
    assert "T would be a new buffer by then" in found.message("this")
    assert violation_by_enumeration(outer, inner).why == PARTED


def test_copies_that_become_one_must_not_mix():
    """A T for each i, then one T for all: X[1] would be in it before Y[0] is made of X[0]."""
    text = "for i in range(2):\n    T[0] = X[i]\n    Y[i] = T[0]"
    source = nest(text, temporaries=("T",))

    def with_home(program: Program, home: str) -> Program:
        local = (
            replace(one, scope="scratch", temporary=False, home=home) if one.name == "T" else one
            for one in program.buffers
        )
        return replace(program, buffers=tuple(local))

    before = with_home(source, "i")
    assert violation(before, with_home(source, "")) is None  # one T, but one after the other
    after = with_home(forced(source, "fission", "i", after="S0"), "")
    found = violation(before, after)
    assert (found.kind, found.why) == ("anti", SWAPPED)
    assert (found.first.iteration, found.second.iteration) == ({"i": 0}, {"i": 1})
    assert key(found) in [key(one) for one in violations_by_enumeration(before, after)]


def test_doing_a_statement_twice_is_seen_where_it_matters():
    once = nest("A[0] = A[0] + 1")
    assert violation(once, replace(once, body=once.body * 2)).kind == "anti"
    harmless = nest("A[0] = B[0] + 1")
    assert violation(harmless, replace(harmless, body=harmless.body * 2)) is None


# ---- every instance once ----


def test_rewrites_run_every_old_iteration_exactly_once():
    """Judged by order alone, a rewrite might lose or repeat work; none does."""
    for seed in range(20_000, 20_150):
        case = draw(seed)
        now = nest(case.text, dtype="u64")
        for step in case.steps:
            after = forced(now, step.method, *step.arguments, **step.options)
            wanted = Counter((leaf.statement.name, tuple(values.items())) for leaf, values, _ in instances(now))
            around = {leaf.statement.name: variables(leaf.loops) for leaf in now.leaves}
            done = Counter()
            for leaf, values, _ in instances(after):
                origin = dict(leaf.statement.origin)
                name = leaf.statement.name
                done[name, tuple((one, origin[one].value(values)) for one in around[name])] += 1
            assert done == wanted, f"{case} at {step}"
            assert set(wanted.values()) == {1}
            try:
                now = getattr(now, step.method)(*step.arguments, **step.options)
            except IllegalRewrite:
                break


def test_times_go_from_the_outside_in():
    """By hand: in `for i: S0; for j: S1`, the second iteration of S1 at i = 1 has the time 0, 1, 1, 1, 0."""
    program = nest("for i in range(2):\n    A[i] = 1\n    for j in range(2):\n        B[i, j] = A[i]")
    times = [(leaf.statement.name, tuple(number for number, _ in time)) for leaf, _, time in instances(program)]
    assert times[:3] == [("S0", (0, 0, 0)), ("S1", (0, 0, 1, 0, 0)), ("S1", (0, 0, 1, 1, 0))]
    assert times[-1] == ("S1", (0, 1, 1, 1, 0))
    assert event_time(((0, "place"), (2, "vector"), (1, "place")), 0)[-1] == (2, "lane")


# ---- real sizes ----


def test_a_product_of_512_is_scheduled_as_the_experts_do():
    now = matmul(512, 512, 512).tile({"m": 4, "n": 16}).split("k", 128)
    now = now.reorder("k.o n.o m.o k.i m.i n.i").unroll("m.i").vectorize("n.i")
    now = now.cache_write("C", at="m.o", scope="register").cache_read("B", at="n.o")
    assert now.parallelize("n.o").loop_names[:3] == ("k.o", "n.o", "B.scratch.0")
    with pytest.raises(IllegalRewrite) as caught:
        now.parallelize("k.o")
    assert caught.value.element[0] == "C"


def test_the_rows_of_a_softmax_become_one_loop():
    now = softmax(512, 512)
    for other in "bdegi":
        now = now.fusion("a", other)
    assert now.parallelize("a").loop_names == ("a", "c", "f", "h", "j")
    with pytest.raises(IllegalRewrite, match="H"):
        now.parallelize("c")  # the running maximum


def test_a_loop_around_two_statements_keeps_what_is_carried():
    """Only the last of 512 x 512 iterations is in conflict, and it is found."""
    body = (
        Statement("S0", "A", (affine("i") * 512 + affine("j"),), Constant(1.0)),
        Statement("S1", "B", (affine("i"), affine("j")), Load("A", (affine(512 * 512 - 1),))),
    )
    buffers = (Buffer("A", (512 * 512,)), Buffer("B", (512, 512)))
    zero, end = (affine(0),), (affine(512),)
    before = Program("late", buffers, (Loop("i", zero, end, (Loop("j", zero, end, body),)),))
    found = violation(before, Nest.parallelize.unchecked(begin(before), "i"))
    assert found.first.iteration == {"i": 0, "j": 0}
    assert found.second.iteration == {"i": 511, "j": 511}
    assert found.element == ("A", (512 * 512 - 1,))
