"""Mixed precision: which layer deserves which bits, on which machine.

Here are the harm to each layer (`sensitivity`, `hessian`), its cost (`cost_table`, `measured`, `accelerators`), and the
choice under a budget (`allocate`, and the searches that measure whole models).
"""

from mini_lib.quantize.mixed.accelerators import BIT_SERIAL, INT4_INT8_GPU, Accelerator, accelerator_costs
from mini_lib.quantize.mixed.agent import search_rl
from mini_lib.quantize.mixed.allocate import Allocation, allocate
from mini_lib.quantize.mixed.cost_table import CostTable, WidthCost
from mini_lib.quantize.mixed.evaluations import Evaluations, OutOfEvaluations, search_random
from mini_lib.quantize.mixed.evolution import search_evolution
from mini_lib.quantize.mixed.hessian import TraceEstimate, hessian_traces, sensitivity_by_hessian
from mini_lib.quantize.mixed.measured import deploy, measure_costs, time_in_use
from mini_lib.quantize.mixed.sensitivity import (
    Sensitivities,
    sensitivity_by_bytes,
    sensitivity_by_kl,
    sensitivity_by_loss,
    sensitivity_by_output,
    sensitivity_by_weight,
)
from mini_lib.quantize.mixed.trials import Bits, Trials, kl_divergence
