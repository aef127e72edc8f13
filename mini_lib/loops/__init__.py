"""Loop nests: a schedule language whose rewrites are proved legal, checked by running, and compared with the hardware.

Make a nest with `nest` or take a kernel, rewrite it with its methods, run it, print it as C, time it, and simulate its
cache accesses. No torch. To read: `ir` (what a nest is), `rewrites` (how it can be changed), `legality` (when that is
allowed), `meaning` (what it computes), `codegen` (how it becomes C), `caches` (its accesses and misses), `machine` (how
long it takes), `memory` (where tensors are placed), `search` (finding a schedule).
"""

from mini_lib.loops.caches.cache import Cache, LevelStats, Trace, simulate_plain
from mini_lib.loops.caches.classify import MissKinds, classify
from mini_lib.loops.caches.count import count_accesses
from mini_lib.loops.caches.fast_cache import simulate_caches
from mini_lib.loops.caches.reuse import miss_ratio_curve, reuse_distances
from mini_lib.loops.caches.trace import misses, trace
from mini_lib.loops.codegen.emit import to_c
from mini_lib.loops.codegen.execute import compile_nest, time_native
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
from mini_lib.loops.legality.dependence import Dependence, dependences, show_dependences
from mini_lib.loops.legality.violation import IllegalRewrite, Violation, violation
from mini_lib.loops.machine.energy import HOROWITZ_45NM, Energy, EnergyTable, energy_j
from mini_lib.loops.machine.estimate import TimeEstimate, estimate_time
from mini_lib.loops.machine.mapping import UNITS, Mapping, MatrixUnit, Problem, best_mapping, conv2d_as_matmul, mappings
from mini_lib.loops.machine.model import MachineModel, measure_machine_model, this_machine
from mini_lib.loops.machine.pipeline import Span, double_buffered_s, pipelined_s, serial_s, timeline
from mini_lib.loops.meaning.interpret import random_arguments, run
from mini_lib.loops.memory.liveness import LiveRange, Step, chain, live_ranges, peak_live_bytes
from mini_lib.loops.memory.optimal import plan_optimal
from mini_lib.loops.memory.planner import Plan, plan, plan_best_fit, plan_greedy_by_size, plan_naive
from mini_lib.loops.nest import Nest, nest
from mini_lib.loops.rewrites.tensorize import Intrinsic
from mini_lib.loops.search.search import evolutionary_search, random_search
from mini_lib.loops.search.space import Space
