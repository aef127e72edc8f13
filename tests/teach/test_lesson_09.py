"""Lesson 09's performance exercise: what is judged by structure, by meaning, and by the clock."""

import pytest

from mini_lib import native
from mini_lib.latency import Latency
from mini_lib.loops import matmul, nest
from teach.exercise import Case, Exercise
from teach.exercises.lesson_09 import racing
from teach.exercises.lesson_09.schedule import SCHEDULE
from teach.judge import judge

NAIVE = matmul(16, 32, 16)
VECTORS = NAIVE.reorder("m k n").split("n", 8).vectorize("n.i")
OUTER = "for m in range(4):\n    for n in range(4):\n"


def view_at(monkeypatch, answer, ratio):
    """What is seen of an answer that is so many times faster."""
    monkeypatch.setattr(racing, "speedup", lambda naive, one: ratio)
    return racing.schedule_view(answer)


class TestWhatIsSeen:
    def test_a_fast_schedule(self, monkeypatch):
        seen = view_at(monkeypatch, VECTORS, racing.WANTED)
        expected = {"kind": "fast", "sizes": [16, 32, 16], "ratio": racing.WANTED, "by": "clock", "cause": "slow"}
        assert seen == expected

    def test_a_clock_that_says_both_does_not_hide_the_cause(self, monkeypatch):
        gathers = NAIVE.reorder("n k m").split("m", 8).vectorize("m.i")
        lucky, usual = (view_at(monkeypatch, gathers, share * racing.WANTED) for share in (1.1, 0.4))
        right = view_at(monkeypatch, VECTORS, 2 * racing.WANTED)
        assert racing.compare_views(lucky, usual) is None
        assert racing.compare_views(lucky, right) is None
        assert "expected 10 times" in racing.compare_views(usual, right)
        assert racing.compare_views(view_at(monkeypatch, VECTORS, 1.0), right) is not None

    @pytest.mark.parametrize(
        "kind, answer",
        [
            ("unchanged", NAIVE),
            ("gathers", NAIVE.reorder("n k m").split("m", 8).vectorize("m.i")),
            ("gathers", NAIVE.layout("B", (1, 0)).reorder("m k n").split("n", 8).vectorize("n.i")),
            ("only unrolled", NAIVE.split("k", 4).unroll("k.i")),
            ("one sum", NAIVE.tile("m n k", 8)),
            ("one at a time", NAIVE.reorder("m k n")),
            ("one at a time", NAIVE.cache_write("C", at="n", scope="register")),
            ("slow", VECTORS),
        ],
    )
    def test_why_one_is_slow(self, monkeypatch, kind, answer):
        assert view_at(monkeypatch, answer, 0.9 * racing.WANTED)["kind"] == kind

    @pytest.mark.parametrize("answer", ["for m in range(4):", 3.0, {"kind": "fast"}, matmul])
    def test_what_is_no_nest(self, answer):
        assert racing.schedule_view(answer)["kind"] == "no nest"

    @pytest.mark.parametrize(
        "source",
        [
            f"{OUTER}        for k in range(4):\n            C[m, n] = A[m, k] * B[k, n]",
            f"{OUTER}        for k in range(3):\n            C[m, n] += A[m, k] * B[k, n]",
            f"{OUTER}        C[m, n] += A[m, n]",
        ],
        ids=("no sum", "one k too few", "no product"),
    )
    def test_what_computes_something_else(self, source):
        shapes = {name: (4, 4) for name in "ABC" if name in source}
        assert racing.schedule_view(nest(source, shapes=shapes))["kind"] == "another result"

    @pytest.mark.parametrize(
        "wrong", ["C[m, n] = A[m, k] * B[k, n]", "C[m, n] += A[m, k]", "C[m, n] -= A[m, k] * B[k, n]"]
    )
    def test_what_does_not_look_like_a_product(self, wrong):
        loops = "for m in range(4):\n    for n in range(4):\n        for k in range(4):\n            "
        shapes = {name: (4, 4) for name in "ABC" if name in wrong}
        assert not racing.looks_like_a_product(nest(loops + wrong, shapes=shapes))

    def test_rewritten_products_look_like_one(self):
        for answer in (SCHEDULE.reference, *SCHEDULE.also_correct):
            assert racing.looks_like_a_product(answer(matmul(16, 32, 16)).cache_read("B", at="k"))

    def test_doubles_are_no_shortcut(self):
        assert racing.schedule_view(matmul(4, 4, 4, dtype="f64"))["kind"] == "another result"


class TestTheClock:
    @pytest.fixture
    def clock(self, monkeypatch):
        """Attempts whose ratios are given in turn; the list of those that are left."""
        left = []

        def compare(calls, repeats, warmup):
            return {"naive": Latency((left.pop(0), 99.0)), "answer": Latency((1.0, 50.0))}

        monkeypatch.setattr(racing, "compare_latency", compare)
        monkeypatch.setattr(racing, "_prepared", lambda program: None)
        return left

    def test_the_fastest_runs_are_compared(self, clock):
        clock += [40.0]
        assert racing.speedup(NAIVE, NAIVE) == 40.0

    @pytest.mark.parametrize("ratio", [2.0, 40.0])
    def test_a_clear_ratio_is_measured_once(self, clock, ratio):
        clock += [ratio, 10.0, 10.0]
        assert racing.speedup(NAIVE, NAIVE) == ratio
        assert len(clock) == 2

    def test_near_the_limit_the_best_of_three_counts(self, clock):
        clock += [9.0, 10.5, 8.0, 12.0]
        assert racing.speedup(NAIVE, NAIVE) == 10.5
        assert clock == [12.0]


class TestTheVerdict:
    def test_another_size_does_not_pass(self, monkeypatch):
        monkeypatch.setattr(racing, "speedup", lambda naive, one: 50.0)
        found = judge(SCHEDULE, lambda nest: matmul(64, 128, 128).reorder("m k n"))
        assert found.state == "not yet" and "for other sizes" in found.text

    def test_a_slow_one_is_told_its_ratio(self, monkeypatch):
        # the reference must be seen as fast: only what reorders and does no more is slow here
        monkeypatch.setattr(racing, "speedup", lambda naive, one: 4.4 if len(one.loop_names) == 3 else 50.0)
        found = judge(SCHEDULE, lambda nest: nest.reorder("m k n"))
        assert "it is 4.4 times as fast as the naive order, expected 10 times" in found.text

    def test_nothing_returned(self):
        found = judge(SCHEDULE, lambda nest: None)
        assert found.text.endswith("For matmul(64, 128, 128) you returned None: did you forget `return`?")

    @pytest.mark.parametrize(
        "answer, kind",
        [(lambda nest: lambda: nest, "a function"), (lambda nest: [nest], "a list")],
        ids=["lambda", "list"],
    )
    def test_only_text_is_called_the_text_of_the_loops(self, answer, kind):
        found = judge(SCHEDULE, answer)
        assert found.says == "" and f"you returned {kind}, expected the rewritten nest" in found.example

    def test_what_the_library_says_of_a_nest_is_what_the_learner_reads(self):
        found = judge(SCHEDULE, lambda nest: nest.unroll("m").unroll("n").unroll("k"))
        assert "you returned a Nest, which cannot be used as the answer: ValueError: unrolling k writes" in found.text
        assert "'kind'" not in found.text

    def test_without_a_compiler_the_model_judges(self, monkeypatch):
        def none():
            raise native.NoCompiler("no C compiler works; install one")

        monkeypatch.setattr(native, "find_compiler", none)
        for answer in SCHEDULE.also_correct:
            found = judge(SCHEDULE, answer)
            assert found.state == "passed" and "no program can be compiled here" in found.text
        for mistake in SCHEDULE.mistakes:
            assert judge(SCHEDULE, mistake.wrong).mistake is mistake
        found = judge(SCHEDULE, lambda nest: nest.reorder("m k n"))
        assert found.state == "not yet" and "by the model it is" in found.text

    def test_what_is_passed_is_praised(self):
        asked = Exercise(
            "9.1",
            "Double",
            lambda x: 2 * x,
            [Case(1), Case(3)],
            [],
            function="double",
            praise=lambda values: f"The largest was {max(values)}.",
        )
        assert judge(asked, lambda x: x + x).message == "Right in 2 of 2 cases. The largest was 6."
