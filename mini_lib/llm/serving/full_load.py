"""Full load: more requests are waiting than find room, and the engine is never idle.

This is how published throughput is measured: all requests are queued at once, and in-flight batching admits the next
one as soon as another is done. In a static batch, finished requests wait for the last one; here each leaves at once and
makes room.

Source: Yu et al., "Orca: A Distributed Serving System for Transformer-Based Generative Models", OSDI 2022, section 3.
"""

from dataclasses import dataclass, replace

from mini_lib.llm.cost import Architecture, Device, Efficiency, Workload
from mini_lib.llm.cost.workload import need_workload
from mini_lib.llm.serving.arrivals import Request
from mini_lib.llm.serving.served import Served
from mini_lib.llm.serving.simulate import simulate
from mini_lib.llm.serving.timing import calculator_timing, kv_room_tokens
from mini_lib.llm.serving.window import window_of
from mini_lib.require import whole

KV_SHARE = 0.9
"""The share of the remaining memory that engines give to the KV cache (the default of TensorRT-LLM)."""

BLOCK_TOKENS = 16
CHUNK_TOKENS = 8192


@dataclass(frozen=True)
class FullLoad:
    """The throughput of a service that never waits for work.

    `batch` is the number of requests served at the same time, and `served` the simulator's record of each.
    """

    batch: int
    tokens_per_s: float
    served: Served


def full_load(
    architecture: Architecture,
    device: Device,
    workload: Workload,
    efficiency: Efficiency,
    *,
    rounds: int = 3,
    max_batch: int = 2048,
) -> FullLoad:
    """Return the output tokens per second of all devices, with `rounds` times as many requests as find room at once.

    Requests are those of `workload`; its batch is ignored. A request is admitted when there is room for all of its
    tokens, so that none is preempted, and its prompt is computed in chunks that share steps with the answers of others.
    `max_batch` is the limit of each scheduler: there is one for all devices, or one per device where the sequences are
    distributed.

    Raises:
        TypeError, ValueError: as `kv_room_tokens()` and `calculator_timing()`; or not even one request finds room.

    Nine tenths of 80 GiB minus 13.5 GB of weights and 0.7 GB of activations has room for 29.9 requests of 4095 tokens
    of 524,288 bytes, with a spare block each:

    >>> from mini_lib.llm.cost import IDEAL, find_device, find_model
    >>> llama, a100 = find_model("LLaMA-2-7B"), find_device("A100-SXM-80GB")
    >>> full_load(llama, a100, Workload(prompt=2048, output=2048), IDEAL).batch
    29
    """
    rounds = whole("rounds", rounds, low=1, fix="3 are enough to forget how it began")
    max_batch = whole("max_batch", max_batch, low=1, fix="2048 is usual")
    w = need_workload(workload)
    shards = w.tensor_parallel if w.attention_parallel == "data" else 1
    room = int(KV_SHARE * kv_room_tokens(architecture, device, w))
    window = window_of(architecture)
    needed = w.prompt + w.output - 1
    held = needed if window is None else window.kept(needed) / window.layers
    # per device, where a request is whole on one; a block of each request may be partly empty
    batch = shards * min(max_batch, int(room / shards / (held + BLOCK_TOKENS)))
    if batch < 1:
        raise ValueError(
            f"{architecture} leaves room for {room} tokens of KV cache on {device}, got requests of {needed}; "
            "use shorter requests, fewer bits or more devices"
        )
    served = simulate(
        [Request(0.0, w.prompt, w.output)] * (rounds * batch),
        calculator_timing(architecture, device, replace(w, batch=1), efficiency),
        kv_tokens=room,
        block_tokens=BLOCK_TOKENS,
        max_batch=batch,
        prefill="chunked",
        chunk_tokens=max(batch, CHUNK_TOKENS * shards),
    )
    return FullLoad(batch, rounds * batch * w.output / float(served.finish_s.max()), served)
