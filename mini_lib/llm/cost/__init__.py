"""The cost and the speed of a token, on paper: architectures and devices in, seconds, bytes and dollars out.

Begin with `estimate`, then `step` (one pass, operator by operator) and `operators` (its FLOPs and bytes).
"""

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, FeedForward, LatentAttention
from mini_lib.llm.cost.device import Device, measured_device
from mini_lib.llm.cost.devices import DEVICES, find_device
from mini_lib.llm.cost.efficiency import IDEAL, Efficiency
from mini_lib.llm.cost.engines import (
    ENGINE_2023,
    ENGINE_2025,
    ENGINES,
    GENERATION_2023,
    GENERATION_2025,
    GPT_FAST_2023,
    EngineProfile,
    find_engine,
)
from mini_lib.llm.cost.estimate import Estimate, estimate
from mini_lib.llm.cost.kv_cache import kv_bytes_per_token, kv_cache_bytes
from mini_lib.llm.cost.memory import largest_batch, memory, weight_bytes
from mini_lib.llm.cost.models import MODELS, find_model
from mini_lib.llm.cost.operators import operators
from mini_lib.llm.cost.parameters import count_parameters
from mini_lib.llm.cost.roles import Role
from mini_lib.llm.cost.step import TimedStep, step
from mini_lib.llm.cost.workload import Draft, Workload
