"""Loop nests: a schedule language that is legal by proof, checked by running, held against the hardware.

Make a nest with `nest` or take a kernel, rewrite it with its methods, run it, print it as C, time it, and ask what the
caches see. No torch.
"""

from mini_lib.loops.cache import Cache, LevelStats, Trace, simulate_plain
from mini_lib.loops.classify import MissKinds, classify
from mini_lib.loops.count import count_accesses
from mini_lib.loops.dependence import Dependence, dependences, show_dependences
from mini_lib.loops.emit import to_c
from mini_lib.loops.energy import HOROWITZ_45NM, Energy, EnergyTable, energy_j
from mini_lib.loops.execute import compile_nest, time_native
from mini_lib.loops.fast_cache import simulate
from mini_lib.loops.interpret import random_arguments, run
from mini_lib.loops.kernels import (
    conv2d,
    depthwise_conv2d,
    gauss_seidel,
    jacobi,
    matmul,
    mttkrp,
    pointwise_chain,
    reduction,
    softmax,
    transpose,
)
from mini_lib.loops.legality import IllegalRewrite, Violation, violation
from mini_lib.loops.liveness import LiveRange, Step, chain, live_ranges, peak_live_bytes
from mini_lib.loops.mapping import (
    UNITS,
    Mapping,
    MatrixUnit,
    Problem,
    best_mapping,
    conv2d_as_matmul,
    mappings,
)
from mini_lib.loops.nest import Nest, nest
from mini_lib.loops.optimal import plan_optimal
from mini_lib.loops.pipeline import (
    Span,
    bound_s,
    double_buffered_s,
    pipelined_s,
    serial_s,
    steady_state_s,
    timeline,
)
from mini_lib.loops.planner import Plan, plan, plan_best_fit, plan_greedy_by_size, plan_naive
from mini_lib.loops.reuse import miss_ratio_curve, reuse_distances
from mini_lib.loops.rewrites.tensorize import Intrinsic
from mini_lib.loops.trace import misses, trace

__all__ = [
    "HOROWITZ_45NM",
    "UNITS",
    "Cache",
    "Dependence",
    "Energy",
    "EnergyTable",
    "IllegalRewrite",
    "Intrinsic",
    "LevelStats",
    "LiveRange",
    "Mapping",
    "MatrixUnit",
    "MissKinds",
    "Nest",
    "Plan",
    "Problem",
    "Span",
    "Step",
    "Trace",
    "Violation",
    "best_mapping",
    "bound_s",
    "chain",
    "classify",
    "compile_nest",
    "conv2d",
    "conv2d_as_matmul",
    "count_accesses",
    "dependences",
    "depthwise_conv2d",
    "double_buffered_s",
    "energy_j",
    "gauss_seidel",
    "jacobi",
    "live_ranges",
    "mappings",
    "matmul",
    "miss_ratio_curve",
    "misses",
    "mttkrp",
    "nest",
    "peak_live_bytes",
    "pipelined_s",
    "plan",
    "plan_best_fit",
    "plan_greedy_by_size",
    "plan_naive",
    "plan_optimal",
    "pointwise_chain",
    "random_arguments",
    "reduction",
    "reuse_distances",
    "run",
    "serial_s",
    "show_dependences",
    "simulate",
    "simulate_plain",
    "softmax",
    "steady_state_s",
    "time_native",
    "timeline",
    "to_c",
    "trace",
    "transpose",
    "violation",
]
