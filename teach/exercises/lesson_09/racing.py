"""What a schedule of a matrix product is worth: the same result? how many times faster? and if not, why not?

Both programs are compiled alike and timed in turns in one process, so that a machine that slows down slows both.
"""

from typing import Any

import numpy as np

from mini_lib import native
from mini_lib.latency import compare_latency
from mini_lib.loops import Nest, matmul
from mini_lib.loops.codegen.execute import compile_nest
from mini_lib.loops.ir import Load, Op, Program, Statement, all_loops
from mini_lib.loops.machine.estimate import core_cycles
from mini_lib.loops.machine.model import MachineModel
from teach.words import a

WANTED = 10.0  # times faster than the naive order
NEAR = 1.5  # a ratio within this factor of WANTED is measured again
MOST_ATTEMPTS = 3
REPEATS = 7


def can_compile() -> bool:
    """Whether programs can be compiled and timed here. Not so while submissions are graded: they start no program."""
    try:
        native.find_compiler()
    except native.NoCompiler:
        return False
    return True


def schedule_view(answer: Any) -> dict[str, Any]:
    """A returned schedule as plain data: its kind, its sizes, how many times faster it is, and who says so.

    The kind is "fast", or what is wrong: "no nest", "another result", "unchanged", "gathers", "only unrolled",
    "one sum", "one at a time", "slow". The clock says how many times; where nothing can be compiled, a model does.
    """
    seen = {"kind": "another result", "sizes": [], "ratio": 0.0, "by": "clock" if can_compile() else "model"}
    if not isinstance(answer, Program):
        return seen | {"kind": "no nest", "what": type(answer).__name__}
    naive = _naive(answer)
    if naive is None:
        return seen
    seen["sizes"] = [*naive.buffer("C").shape, naive.buffer("A").shape[1]]
    if answer == naive:
        return seen | {"kind": "unchanged", "ratio": 1.0}
    timed = seen["by"] == "clock"
    if not (computes_a_product(answer) if timed else looks_like_a_product(answer)):
        return seen
    ratio = speedup(naive, answer) if timed else predicted_speedup(naive, answer)
    cause = _why_slow(naive, answer)
    return seen | {"kind": "fast" if ratio >= WANTED else cause, "ratio": ratio, "cause": cause}


def compare_views(got: Any, expected: dict[str, Any]) -> str | None:
    """None where two schedules are of one kind and for the same sizes, else what is to be said of the first."""
    # A named cause can be read off the loops. The clock decides only who passes: near the limit it may say both.
    same = (
        got["kind"] in ("fast", expected["kind"]) or got.get("cause", "slow") == expected.get("cause", "fast") != "slow"
    )
    if same and got["sizes"] == expected["sizes"] and got.get("what") == expected.get("what"):
        return None
    if got["kind"] == "no nest":
        return f"you returned {a(got['what'])}, expected the rewritten nest"
    if got["kind"] == "another result":
        return "the nest that you returned does not compute `C += A @ B` any more"
    if got["kind"] == "unchanged":
        return "you returned the original nest"
    if got["sizes"] != expected["sizes"]:
        return "you returned a nest for other sizes: rewrite the one that is passed"
    return f"{_times(got)} as fast as the naive order, expected {WANTED:g} times"


def _times(seen: dict[str, Any]) -> str:
    if seen["by"] == "model":
        return f"no program can be compiled here, and by the model it is {seen['ratio']:.1f} times"
    return f"it is {seen['ratio']:.1f} times"


def praise(values: list[dict[str, Any]]) -> str:
    """What a passed check adds: the speed that was measured."""
    ratios = " and ".join(f"{value['ratio']:.0f}" for value in values)
    if values[0]["by"] == "model":
        return f"Predicted, since no program can be compiled here: {ratios} times as fast as the naive order."
    return f"Measured just now: {ratios} times as fast as the naive order."


def speedup(naive: Program, answer: Program) -> float:
    """How many times faster an answer is; near the limit the best of three attempts counts.

    The fastest of a few runs in turns is compared: other programs only ever make a run longer, and the naive order
    has bad runs of its own, where the processor guesses wrong about a sum that was stored just before.
    """
    calls = {"naive": _prepared(naive), "answer": _prepared(answer)}
    best = 0.0
    for _ in range(MOST_ATTEMPTS):
        times = compare_latency(calls, repeats=REPEATS, warmup=1)
        best = max(best, min(times["naive"].times_s) / min(times["answer"].times_s))
        if not WANTED / NEAR <= best <= WANTED * NEAR:
            break
    return best


def computes_a_product(answer: Program) -> bool:
    """Whether the compiled program adds A @ B to C, on small whole numbers, which float32 adds exactly in any order."""
    generator = np.random.default_rng(0)
    arrays = {one.name: generator.integers(-4, 5, one.shape).astype(np.float32) for one in answer.arguments}
    expected = arrays["C"] + arrays["A"] @ arrays["B"]
    return bool(np.array_equal(compile_nest(answer, flags=_flags())(**arrays)["C"], expected))


def predicted_speedup(naive: Program, answer: Program) -> float:
    """How many times faster an answer is on a common core with all data in its first cache; nothing is run."""
    machine = MachineModel()
    return core_cycles(naive, machine) / core_cycles(answer, machine)


def looks_like_a_product(answer: Program) -> bool:
    """Whether one statement adds a product of two elements to its target, and all others are copies; nothing is run."""
    sums = [leaf.statement for leaf in answer.leaves if not isinstance(leaf.statement.value, Load)]
    if len(sums) != 1 or not isinstance(sums[0].value, Op) or sums[0].value.name != "+":
        return False
    target, product = sums[0].value.arguments
    factors = product.arguments if isinstance(product, Op) and product.name == "*" else ()
    return target == sums[0].store and len(factors) == 2 and all(isinstance(one, Load) for one in factors)


def _flags() -> tuple[str, ...]:
    """-O1 leaves the order of loops alone; the rest lets vectors be as wide as the machine has them."""
    return ("-O1", *native.native_flags()[1:])


def _prepared(program: Program) -> Any:
    arrays = {one.name: np.full(one.shape, 2.0**-20, np.float32) for one in program.arguments}
    return compile_nest(program, flags=_flags()).prepare(**arrays).run


def _naive(answer: Program) -> Nest | None:
    """The product that has arguments of these shapes; None where they are not those of a product."""
    shapes = {one.name: one.shape for one in answer.arguments}
    if set(shapes) != {"A", "B", "C"} or any(len(shape) != 2 for shape in shapes.values()):
        return None
    (m, n), (_, k) = shapes["C"], shapes["A"]
    if shapes["A"] != (m, k) or shapes["B"] != (k, n) or {one.dtype for one in answer.arguments} != {"f32"}:
        return None
    return matmul(m, n, k)


def _why_slow(naive: Program, answer: Program) -> str:
    loops = list(all_loops(answer.body))
    if any(_gathers(answer, loop.name, node) for loop in loops if loop.kind == "vector" for node in loop.body):
        return "gathers"
    order = tuple(dict.fromkeys(name.split(".")[0] for name in answer.loop_names))
    kinds = {loop.kind for loop in loops}
    if kinds == {"serial", "unrolled"} and order == naive.loop_names:
        return "only unrolled"
    leaf = answer.leaves[-1]
    innermost = leaf.loops[-1].name
    target = leaf.statement.store
    if kinds == {"serial"} and not any(innermost in index.names for index in target.index):
        return "one sum" if answer.buffer(target.buffer).scope == "memory" else "one at a time"
    return "slow" if "vector" in kinds else "one at a time"


def _gathers(program: Program, lane: str, statement: Statement) -> bool:
    """Whether the lanes of a vector loop lie apart in memory."""
    touched = (*statement.loads, statement.store)
    steps = [program.buffer(access.buffer).offset(access.index).coefficient(lane) for access in touched]
    return any(step not in (0, 1) for step in steps)
