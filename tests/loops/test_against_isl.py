"""Rewrites are accepted exactly when isl's dependences allow them, and what is accepted computes the same bits."""

import ctypes
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from isl_support import Case, Judge, Sentence, Step, draw

from mini_lib import native
from mini_lib.loops import IllegalRewrite, Nest, nest
from mini_lib.loops.codegen.emit import function_lines, function_name, header_lines
from mini_lib.loops.codegen.values import Prelude
from mini_lib.loops.meaning.interpret import random_arguments, run
from mini_lib.loops.rewrites.rewriting import begin, settle

CASES = 1250  # 2,000 rewrites, since most nests have more than one
CASES_AT_REAL_SIZE = 60
BATCH = 200  # functions in one C file
# these leave the order of iterations as it is
ALWAYS_LEGAL = {"split", "fuse", "skew", "unroll", "peel"}


@dataclass(frozen=True)
class Verdict:
    """One rewrite of one case: what isl says, what the library says, and the nests before and after."""

    seed: int
    case: Case
    step: Step
    by_isl: bool
    refusal: IllegalRewrite | None
    before: Nest
    after: Nest | None


def judge(seed: int, scale: int = 1) -> list[Verdict]:
    """The rewrites of a case one after the other, up to the first that is refused."""
    case = draw(seed, scale)
    isl_judge = Judge(case)
    verdicts: list[Verdict] = []
    now = nest(case.text, dtype="u64")
    for step in case.steps:
        by_isl, after, refusal = isl_judge.accepts(step), None, None
        try:
            after = getattr(now, step.method)(*step.arguments, **step.options)
        except IllegalRewrite as error:
            refusal = error
        verdicts.append(Verdict(seed, case, step, by_isl, refusal, now, after))
        if after is None:
            break
        now = after
    return verdicts


@cache
def verdicts() -> tuple[Verdict, ...]:
    return tuple(verdict for seed in range(CASES) for verdict in judge(seed))


def disagreements(found) -> list[str]:
    return [
        f"seed {one.seed}: {one.step} isl={one.by_isl} refused={one.refusal}\n{one.case}"
        for one in found
        if one.by_isl != (one.refusal is None)
    ]


def test_a_rewrite_is_accepted_exactly_when_isl_accepts_it():
    assert len(verdicts()) >= 2000
    assert disagreements(verdicts()) == []


def test_the_cases_are_neither_all_legal_nor_all_illegal():
    cases = {one.seed: one.refusal is not None for one in verdicts()}
    share = sum(cases.values()) / len(cases)
    print(f"{len(verdicts())} rewrites of {len(cases)} nests, {share:.0%} of the nests end with a refusal")
    counts = Counter((one.step.method, one.refusal is None) for one in verdicts())
    for method, accepted in sorted(counts):
        print(f"{method:15} {'accepted' if accepted else 'refused ':8} {counts[method, accepted]:5}")
    assert 0.3 <= share <= 0.7
    methods = {method for method, _ in counts}
    assert {(method, True) for method in methods} <= set(counts)
    assert {method for method in methods if not counts[method, False]} == ALWAYS_LEGAL
    assert methods - ALWAYS_LEGAL == {"reorder", "fission", "fusion", "parallelize", "vectorize", "unroll_and_jam"}


def test_the_answer_is_exact_at_real_sizes_too():
    found = [verdict for seed in range(CASES_AT_REAL_SIZE) for verdict in judge(seed, scale=100)]
    assert disagreements(found) == []
    assert len({one.refusal is None for one in found}) == 2


def test_a_refusal_names_two_iterations_that_depend_on_each_other_for_isl_too():
    # the first rewrite of a case is refused in the loops of the text, which isl knows
    refused = [one for one in verdicts()[:1000] if one.refusal and one.step == one.case.steps[0]]
    assert len(refused) > 50
    for one in refused:
        first, second = one.refusal.violation.first, one.refusal.violation.second
        assert Judge(one.case).orders(first.statement, first.iteration, second.statement, second.iteration)


def test_every_accepted_rewrite_is_bit_exact_under_the_interpreter():
    for one in verdicts():
        if one.after is not None:
            assert_same(one, run(one.after, **arguments(one)))


def test_every_accepted_rewrite_is_bit_exact_in_compiled_c():
    accepted = [one for one in verdicts() if one.after is not None]
    assert len(accepted) > 1000
    for start in range(0, len(accepted), BATCH):
        batch = accepted[start : start + BATCH]
        library = compile_together([one.after for one in batch])
        for number, one in enumerate(batch):
            assert_same(one, call(library, one.after, number, arguments(one)))


def test_the_comparison_of_bits_sees_an_illegal_rewrite():
    """Forced through, most illegal reorders change the result; not all, since some only swap what nobody reads."""
    refused = [one for one in verdicts() if one.refusal and one.step.method == "reorder"][:100]
    changed = 0
    for one in refused:
        forced = settle(Nest.reorder.unchecked(begin(one.before), *one.step.arguments))
        changed += any(
            not np.array_equal(value, original(one)[name]) for name, value in run(forced, **arguments(one)).items()
        )
    assert changed > len(refused) / 2


def arguments(one: Verdict) -> dict[str, np.ndarray]:
    return random_arguments(one.before, seed=one.seed)


@cache
def original_by_seed(seed: int) -> dict[str, np.ndarray]:
    program = nest(draw(seed).text, dtype="u64")
    return run(program, **random_arguments(program, seed=seed))


def original(one: Verdict) -> dict[str, np.ndarray]:
    return original_by_seed(one.seed)


def assert_same(one: Verdict, results: dict[str, np.ndarray]) -> None:
    expected = original(one)
    assert results.keys() == expected.keys()
    for name, value in results.items():
        assert value.dtype == np.uint64
        np.testing.assert_array_equal(value, expected[name], err_msg=f"{one.seed}\n{one.case}")


def compile_together(programs: list[Nest]) -> ctypes.CDLL:
    """One library for many programs, each with a prefix to its names."""
    prelude = Prelude()
    functions = [
        "\n".join(function_lines(program, prelude, prefix=f"n{number}_")) for number, program in enumerate(programs)
    ]
    source = "\n".join([*header_lines(prelude), *functions, ""])
    return native.load(source, flags=("-O1",), openmp=native.find_compiler().openmp)


def call(library: ctypes.CDLL, program: Nest, number: int, arrays: dict) -> dict[str, np.ndarray]:
    """Run one of the functions on copies of the arrays, and return the outputs."""
    copies = {buffer.name: arrays[buffer.name].copy() for buffer in program.arguments}
    function = library[function_name(program, f"n{number}_")]
    function.restype = None
    function(*(ctypes.c_void_p(copy.ctypes.data) for copy in copies.values()))
    return {name: copies[name] for name in program.outputs}


@pytest.mark.parametrize(
    ("times", "accepted"),
    [
        ({"S0": ("i", "j", "0")}, True),
        ({"S0": ("j", "i", "0")}, False),  # distance (1, -1): interchange turns it around
        ({"S0": ("i + j", "i", "0")}, True),  # after the skew it is (0, 1)
    ],
)
def test_the_judge_itself_knows_the_case_of_the_textbook(times, accepted):
    loops = (("i", 1, 5), ("j", 0, 4))
    sentence = Sentence("S0", loops, ("A", ("i", "j")), (("A", ("i + -1", "j + 1")),))
    case = Case("", (sentence,), {"S0": ("i", "j", "0")}, ())
    assert Judge(case).accepts(Step("reorder", (), {}, times)) is accepted
