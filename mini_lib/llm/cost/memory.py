"""The memory that a workload needs on each device, and the largest batch that fits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from mini_lib.llm.cost.architecture import Architecture, Attention, need_architecture
from mini_lib.llm.cost.device import Device, need_device
from mini_lib.llm.cost.devices import DEVICES
from mini_lib.llm.cost.kv_cache import kv_bytes_per_token, kv_cache_bytes
from mini_lib.llm.cost.limits import bits
from mini_lib.llm.cost.matrices import matrices
from mini_lib.llm.cost.operators import ACTIVATION_BYTES
from mini_lib.llm.cost.parallel import check_pipeline_parallel, check_tensor_parallel
from mini_lib.llm.cost.parameters import count_parameters
from mini_lib.llm.cost.roles import Role
from mini_lib.llm.cost.workload import Workload, check_draft, need_workload


@dataclass(frozen=True)
class DeviceMemory:
    """The bytes on each device when every request has its last token.

    >>> full = DeviceMemory(weights_bytes=60e9, kv_bytes=30e9, activation_bytes=1e9, capacity_bytes=80e9)
    >>> full.fits, full.short_bytes / 1e9
    (False, 11.0)
    """

    weights_bytes: float
    kv_bytes: float
    activation_bytes: float
    capacity_bytes: float

    @property
    def used_bytes(self) -> float:
        """The sum of all parts."""
        return self.weights_bytes + self.kv_bytes + self.activation_bytes

    @property
    def fits(self) -> bool:
        """Whether it fits into the memory of the device."""
        return self.used_bytes <= self.capacity_bytes

    @property
    def short_bytes(self) -> float:
        """The bytes that are missing; 0 where it fits."""
        return max(0.0, self.used_bytes - self.capacity_bytes)


def weight_bytes(architecture: Architecture, weight_bits: float = 16) -> float:
    """Return the stored bytes: the matrices in `weight_bits`; embedding, norms and biases in 16 bits.

    A tied embedding is the head, and is stored like it.

    Raises:
        TypeError, ValueError: not an Architecture, or `weight_bits` is not a number above 0.

    Llama-3-8B in 4 bits: 7.50e9 weights in matrices at half a byte each, and .53e9 others at two bytes.

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> round(weight_bytes(LLAMA_3_8B, 4) / 1e9, 2)
    4.8
    """
    counted = count_parameters(architecture)
    weight_bits = bits("weight_bits", weight_bits, fix="use 16, 8 or 4.5")
    return counted.matmul * weight_bits / 8 + (counted.total - counted.matmul) * 2


def memory(architecture: Architecture, device: Device, workload: Workload) -> DeviceMemory:
    """Return the bytes that `workload` needs on the fullest device.

    That device is in the stage with the most layers, and holds the draft. Nothing is reserved for the driver or for
    gaps between allocations: engines leave a few hundred megabytes for them.

    Raises:
        TypeError: not an Architecture, a Device and a Workload.
        ValueError: a split that the model does not allow, or a draft of another vocabulary.

    Two stages of LLaMA-3-8B: 16 layers of 218,112,000 weights each and the embedding, of 128,256 x 4096, at two bytes
    per weight. (The other stage has the head, equally large, and the last norm.)

    >>> from mini_lib.llm.cost.devices import A100_SXM_80GB
    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> half = memory(LLAMA_3_8B, A100_SXM_80GB, Workload(pipeline_parallel=2)).weights_bytes
    >>> abs(half - (16 * 218_112_000 + 128_256 * 4096) * 2) < 4096 * 2
    True

    Source: Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention", 2023,
    section 3.
    """
    a, w, room = need_architecture(architecture), need_workload(workload), need_device(device).memory_bytes
    check_tensor_parallel(a, w.tensor_parallel, w.attention_parallel)
    check_pipeline_parallel(a, w.pipeline_parallel)
    check_draft(a, w.draft)
    layers = ceil(a.layers / w.pipeline_parallel)
    weights = _held_weight_bytes(a, w, layers)
    # a sequence is whole on one device, or has a part on each
    own, together = (ceil(w.batch / w.tensor_parallel), 1) if _by_sequence(w) else (w.batch, w.tensor_parallel)
    cache = _held_kv_bytes(a, w, own) * layers / a.layers / _cache_shares(a, w)
    if w.draft is not None:  # small, so that splitting it would cost more than it saves
        weights += weight_bytes(w.draft.architecture, w.weight_bits)
        cache += _held_kv_bytes(w.draft.architecture, w, w.batch)
    new = w.prompt - w.cached_prompt
    at_once = min(own * min(new, w.prefill_chunk or new), LARGEST_PASS_TOKENS)
    inside = [m for m in matrices(a) if m.role is not Role.HEAD]
    widest = max(m.rows * m.visited / (together if m.split == "rows" else 1) for m in inside)
    return DeviceMemory(weights, cache, at_once * (4 * a.hidden + widest) * ACTIVATION_BYTES, room)


LARGEST_PASS_TOKENS = 8192
"""The most prompt tokens that engines take into one pass."""


def held_kv_bytes_per_token(architecture: Architecture, workload: Workload) -> float:
    """Return the bytes that one more token adds on the fullest device, while it fits in every window.

    Raises:
        TypeError: not an Architecture and a Workload.
        ValueError: a split that the model does not allow, or a draft of another vocabulary.

    Two devices share the 8 KV heads of LLaMA-3-8B, and 16 hold each of them twice. Where the sequences are distributed
    over the devices, the device of this sequence holds the whole token:

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> [held_kv_bytes_per_token(LLAMA_3_8B, Workload(tensor_parallel=n)) for n in (1, 2, 16)]
    [131072.0, 65536.0, 16384.0]
    >>> held_kv_bytes_per_token(LLAMA_3_8B, Workload(tensor_parallel=2, attention_parallel="data"))
    131072.0
    """
    a, w = need_architecture(architecture), need_workload(workload)
    check_tensor_parallel(a, w.tensor_parallel, w.attention_parallel)
    check_pipeline_parallel(a, w.pipeline_parallel)
    check_draft(a, w.draft)
    layers = ceil(a.layers / w.pipeline_parallel)
    drafted = 0.0 if w.draft is None else kv_bytes_per_token(w.draft.architecture, w.kv_bits)
    return kv_bytes_per_token(a, w.kv_bits) * layers / a.layers / _cache_shares(a, w) + drafted


def _by_sequence(w: Workload) -> bool:
    """Whether the sequences are distributed over the devices, so that each is whole on one of them."""
    return w.attention_parallel == "data"


def _cache_shares(a: Architecture, w: Workload) -> int:
    """The number of devices that divide the cache of one sequence in one layer."""
    if _by_sequence(w):
        return 1
    # with fewer KV heads than devices, each head is copied; a compressed cache is whole on every device
    return min(w.tensor_parallel, a.attention.kv_heads) if isinstance(a.attention, Attention) else 1


def _held_weight_bytes(a: Architecture, w: Workload, layers: int) -> float:
    """The weights of `layers` layers on one device, with one end of the model where it is cut into stages."""
    counted, experts = count_parameters(a), min(layers, a.expert_layers)
    bits, held, devices = w.weight_bits, 0.0, 1 if _by_sequence(w) else w.tensor_parallel
    for m in matrices(a):
        if m.role is not Role.HEAD:
            here = layers - experts if m.role is Role.MLP else min(m.layers, layers)
            shared = w.tensor_parallel if m.role is Role.EXPERT else devices
            held += m.parameters / m.layers * here / (1 if m.split == "none" else shared)
    if isinstance(a.attention, Attention):  # with fewer KV heads than devices, each device has one
        copies = max(0, devices - a.attention.kv_heads)
        held += 2 * copies / devices * a.attention.head_dim * a.hidden * layers
    head, table = (a.vocabulary * a.hidden * width / 8 / devices for width in (bits, 16))
    table = 0 if a.tied else table
    ends = head + table if layers == a.layers else max(head, table)
    vectors = counted.total - counted.matmul - (0 if a.tied else counted.embedding)  # norms and biases, on each device
    return held * bits / 8 + ends + vectors * 2 * layers / a.layers


def _held_kv_bytes(a: Architecture, w: Workload, batch: int) -> float:
    """The caches of `batch` requests; the part that they share is kept once."""
    own = kv_cache_bytes(a, batch, w.prompt - w.cached_prompt + w.output, w.kv_bits)
    return own + kv_cache_bytes(a, 1, w.cached_prompt, w.kv_bits)


def largest_batch(architecture: Architecture, device: Device, workload: Workload) -> int:
    """Return the largest batch of `workload` that fits, 0 where not even one request does.

    Raises:
        TypeError: not an Architecture, a Device and a Workload.
        ValueError: a split that the model does not allow, or a draft of another vocabulary.

    80 GiB minus 13.5 GB of weights and 0.6 GB of activations has room for 33.4 requests of 4096 tokens of 524,288
    bytes:

    >>> from mini_lib.llm.cost.devices import A100_SXM_80GB
    >>> from mini_lib.llm.cost.models import LLAMA_2_7B
    >>> largest_batch(LLAMA_2_7B, A100_SXM_80GB, Workload(prompt=2048, output=2048))
    33
    """
    need_workload(workload)

    def fits(batch: int) -> bool:
        return memory(architecture, device, replace(workload, batch=batch)).fits

    high = 1
    while fits(high):  # this ends, since every request has a cache of its own
        high *= 2
    return _largest(fits, 0, high)


def what_would_fit(architecture: Architecture, device: Device, workload: Workload) -> tuple[str, ...]:
    """Return single changes, in words, each of which would make `workload` fit; none if it already fits.

    Prompts and answers are cut to no less than half, and the suggested device is the smallest listed one that suffices.

    Raises:
        TypeError: not an Architecture, a Device and a Workload.
        ValueError: a split that the model does not allow, or a draft of another vocabulary.

    140 GB of weights do not fit into 80 GiB. In 4 bits they do:

    >>> from mini_lib.llm.cost.devices import A100_SXM_80GB
    >>> from mini_lib.llm.cost.models import LLAMA_3_70B
    >>> what_would_fit(LLAMA_3_70B, A100_SXM_80GB, Workload())
    ('weight_bits 8', 'tensor_parallel 2', 'pipeline_parallel 2', 'device H200-SXM-141GB')
    """
    if memory(architecture, device, workload).fits:
        return ()

    def fits(on: Device = device, **change: int) -> bool:
        try:
            return memory(architecture, on, replace(workload, **change)).fits
        except ValueError:  # a split that this model does not allow, or a prompt shorter than its cached part
            return False

    changes = []
    for name, share in (("batch", 0), ("prompt", 2), ("output", 2)):
        asked = getattr(workload, name)
        least = ceil(asked / share) if share else 1
        most = _largest(lambda n, name=name: fits(**{name: n}), least - 1, asked)
        if most >= least:
            changes.append((name, most))
    for name in ("weight_bits", "kv_bits"):
        changes += [(name, n) for n in (8, 4) if n < getattr(workload, name) and fits(**{name: n})][:1]
    for name in ("tensor_parallel", "pipeline_parallel"):
        changes += [(name, n) for n in (2, 4, 8, 16) if n > getattr(workload, name) and fits(**{name: n})][:1]
    able = [d for d in DEVICES if workload.compute_bits in d.matmul_flops_per_s and fits(d)]
    changes += [("device", min(able, key=lambda d: d.memory_bytes))] if able else []
    return tuple(f"{name} {choice}" for name, choice in changes)


def _largest(good: Callable[[int], bool], low: int, high: int) -> int:
    """The largest good number from `low` up; `low` is assumed to be good, and `high` is known not to be."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low
