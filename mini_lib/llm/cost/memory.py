"""What has to lie in the memory of each device, and the largest batch that fits."""

from dataclasses import dataclass, replace

from mini_lib.llm.cost.architecture import Architecture, Attention
from mini_lib.llm.cost.devices import Device
from mini_lib.llm.cost.kv_cache import kv_cache_bytes
from mini_lib.llm.cost.matrices import matrices
from mini_lib.llm.cost.parallel import check_pipeline_parallel, check_tensor_parallel
from mini_lib.llm.cost.parameters import count_parameters
from mini_lib.llm.cost.workload import Workload


@dataclass(frozen=True)
class Memory:
    """The bytes on each device, at the moment when every request has its last token.

    >>> full = Memory(weights_bytes=60e9, kv_bytes=30e9, activation_bytes=1e9, capacity_bytes=80e9)
    >>> full.fits, full.short_bytes / 1e9
    (False, 11.0)
    """

    weights_bytes: float
    kv_bytes: float
    activation_bytes: float
    capacity_bytes: float

    @property
    def used_bytes(self) -> float:
        """All of it."""
        return self.weights_bytes + self.kv_bytes + self.activation_bytes

    @property
    def fits(self) -> bool:
        """Whether it all lies in the memory of the device."""
        return self.used_bytes <= self.capacity_bytes

    @property
    def short_bytes(self) -> float:
        """How much is missing; 0 where it fits."""
        return max(0.0, self.used_bytes - self.capacity_bytes)


def weight_bytes(architecture: Architecture, weight_bits: float = 16) -> float:
    """Return the stored bytes: the matrices in `weight_bits`, embedding, norms and biases in 16.

    A tied embedding is the head, and is stored like it.

    Llama-3-8B in 4 bits: 7.50e9 weights in matrices of half a byte, and .53e9 others of two.

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> round(weight_bytes(LLAMA_3_8B, 4) / 1e9, 2)
    4.8
    """
    counted = count_parameters(architecture)
    return counted.matmul * weight_bits / 8 + (counted.total - counted.matmul) * 2


def memory(architecture: Architecture, device: Device, workload: Workload) -> Memory:
    """Return the bytes that `workload` needs on each device.

    Raises:
        ValueError: a split that the model does not allow.

    Source: Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention", 2023, section 3.
    """
    w = workload
    check_tensor_parallel(architecture, w.tensor_parallel)
    check_pipeline_parallel(architecture, w.pipeline_parallel)
    at = architecture.attention
    # with fewer KV heads than devices each is copied; a compressed cache is whole on every device
    share = min(w.tensor_parallel, at.kv_heads) if isinstance(at, Attention) else 1
    stages = w.pipeline_parallel
    at_once = min(w.batch * (w.prompt - w.cached_prompt), w.prefill_chunk or _LIMIT)
    widest = max(m.rows for m in matrices(architecture)[:-1])
    weights = weight_bytes(architecture, w.weight_bits) / w.tensor_parallel / stages
    cache = kv_cache_bytes(architecture, w.batch, w.prompt + w.output, w.kv_bits) / share / stages
    if w.draft is not None:
        weights += weight_bytes(w.draft.architecture, w.weight_bits) / w.tensor_parallel
        cache += kv_cache_bytes(w.draft.architecture, w.batch, w.prompt + w.output, w.kv_bits) / w.tensor_parallel
    return Memory(weights, cache, at_once * (4 * architecture.hidden + widest) * 2.0, device.memory_bytes)


_LIMIT = 8192  # engines do not take more prompt tokens than this into one pass


def largest_batch(architecture: Architecture, device: Device, workload: Workload) -> int:
    """Return the largest batch of `workload` that fits, 0 where not even one request does.

    >>> from mini_lib.llm.cost.devices import A100_SXM_80GB
    >>> from mini_lib.llm.cost.models import LLAMA_2_7B
    >>> largest_batch(LLAMA_2_7B, A100_SXM_80GB, Workload(prompt=2048, output=2048))
    33
    """
    low, high = 0, 1
    while memory(architecture, device, replace(workload, batch=high)).fits:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if memory(architecture, device, replace(workload, batch=middle)).fits else (low, middle)
    return low


def what_would_fit(architecture: Architecture, device: Device, workload: Workload) -> tuple[str, ...]:
    """Return single changes of `workload` that would make it fit on this device, in words; empty if it fits already or none does."""
    if memory(architecture, device, workload).fits:
        return ()
    changes = []
    batch = largest_batch(architecture, device, workload)
    if batch:
        changes.append(f"batch {batch}")
    for name, choices in (("weight_bits", (8, 4)), ("kv_bits", (8, 4)), ("tensor_parallel", (2, 4, 8, 16))):
        for choice in choices:
            if (choice > getattr(workload, name)) != (name == "tensor_parallel") or choice == getattr(workload, name):
                continue
            try:
                good = memory(architecture, device, replace(workload, **{name: choice})).fits
            except ValueError:  # a split that this model does not allow
                continue
            if good:
                changes.append(f"{name} {choice}")
                break
    return tuple(changes)
