"""What a token costs and how fast it comes, on paper: architectures and devices in, seconds, bytes and dollars out.

Begin with `estimate`, then `step` (one pass, operator by operator) and `operators` (its FLOPs and bytes).
"""

from mini_lib.llm.cost.architecture import Architecture as Architecture
from mini_lib.llm.cost.architecture import Attention as Attention
from mini_lib.llm.cost.architecture import Experts as Experts
from mini_lib.llm.cost.architecture import FeedForward as FeedForward
from mini_lib.llm.cost.architecture import LatentAttention as LatentAttention
from mini_lib.llm.cost.calibrate import check as check
from mini_lib.llm.cost.calibrate import fit as fit
from mini_lib.llm.cost.calibrate import median_error as median_error
from mini_lib.llm.cost.devices import DEVICES as DEVICES
from mini_lib.llm.cost.devices import Device as Device
from mini_lib.llm.cost.devices import find_device as find_device
from mini_lib.llm.cost.devices import measured_device as measured_device
from mini_lib.llm.cost.efficiency import BY_ENGINE as BY_ENGINE
from mini_lib.llm.cost.efficiency import IDEAL as IDEAL
from mini_lib.llm.cost.efficiency import TENSORRT_LLM as TENSORRT_LLM
from mini_lib.llm.cost.efficiency import Efficiency as Efficiency
from mini_lib.llm.cost.estimate import Estimate as Estimate
from mini_lib.llm.cost.estimate import estimate as estimate
from mini_lib.llm.cost.kv_cache import kv_bytes_per_token as kv_bytes_per_token
from mini_lib.llm.cost.kv_cache import kv_cache_bytes as kv_cache_bytes
from mini_lib.llm.cost.memory import largest_batch as largest_batch
from mini_lib.llm.cost.memory import memory as memory
from mini_lib.llm.cost.memory import weight_bytes as weight_bytes
from mini_lib.llm.cost.models import MODELS as MODELS
from mini_lib.llm.cost.models import find_model as find_model
from mini_lib.llm.cost.operators import operators as operators
from mini_lib.llm.cost.parameters import count_parameters as count_parameters
from mini_lib.llm.cost.published import halves as halves
from mini_lib.llm.cost.published import published_rows as published_rows
from mini_lib.llm.cost.published import read_rows as read_rows
from mini_lib.llm.cost.step import Step as Step
from mini_lib.llm.cost.step import step as step
from mini_lib.llm.cost.workload import Draft as Draft
from mini_lib.llm.cost.workload import Workload as Workload
