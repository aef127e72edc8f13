"""Continuous batching: which requests are computed when, and which wait.

After every step of the model the batch may change: finished requests leave, and waiting ones enter. The KV cache is
given out in blocks as the sequences grow; when it runs out, the newest request must leave.

Source: Yu et al., "Orca: A Distributed Serving System for Transformer-Based Generative Models", OSDI 2022, section 3
(iteration-level scheduling); Kwon et al., "Efficient Memory Management for Large Language Model Serving with
PagedAttention", SOSP 2023, section 4.5 (preemption by recomputation); Agrawal et al., "Taming Throughput-Latency
Tradeoff in LLM Inference with Sarathi-Serve", 2024, section 4 (chunked prefills).
"""

from collections.abc import Sequence

from mini_lib.llm.serving.arrivals import Request, check_requests
from mini_lib.llm.serving.engine import Engine
from mini_lib.llm.serving.pool import BlockPool
from mini_lib.llm.serving.served import Served
from mini_lib.llm.serving.step_times import StepTimes
from mini_lib.llm.serving.timing import Timing
from mini_lib.require import one_of, whole


def simulate(
    requests: Sequence[Request],
    timing: Timing,
    *,
    kv_tokens: int,
    block_tokens: int = 16,
    max_batch: int = 256,
    prefill: str = "first",
    chunk_tokens: int = 512,
) -> Served:
    """Return the times at which each request started, got its first token, and was done.

    Requests wait in one queue, first come, first served. The head of the queue enters when the batch is below
    `max_batch` and the blocks of its prompt are free. Its prompt is computed alone while all others wait
    (`prefill="first"`), or in chunks that share a step with the others' next tokens, at most `chunk_tokens` in all
    (`prefill="chunked"`). The prefill gives the first token, and each decode step gives one more to every request.
    Where no block is free for the growing contexts, the newest request goes back to the head of the queue, and later
    computes its prompt and its tokens so far again.

    Where the timing has a `window`, a sequence of t tokens takes blocks for all of them in each full layer, and for
    min(t, window) in each of the others. `kv_tokens` is the room in tokens that every layer keeps, as
    `kv_room_tokens()` gives.

    A last token is never read, so a request needs KV cache for prompt + output - 1 tokens.

    Raises:
        TypeError, ValueError: there are no requests or they are not in the order of arrival, a number is out of range,
            `prefill` is unknown, or the KV cache can never hold one of the requests.

    A prefill takes 1 s, and then there are two steps of 0.1 s. The second request waits 0.5 s until the first is
    prefilled, and the first waits 1 s for the second's prefill before both continue:

    >>> from mini_lib.llm.serving.timing import LinearTiming
    >>> timing = LinearTiming(decode_fixed_s=0.1, prefill_fixed_s=1.0)
    >>> served = simulate([Request(0.0, 8, 3), Request(0.5, 8, 3)], timing, kv_tokens=64)
    >>> served.ttft_s.round(6).tolist(), served.finish_s.round(6).tolist()
    ([1.0, 1.5], [2.2, 2.2])
    """
    requests = check_requests(requests)
    kv_tokens = whole(
        "kv_tokens", kv_tokens, low=1, fix="give the tokens that fit into the memory left beside the weights"
    )
    block_tokens = whole("block_tokens", block_tokens, low=1, high=65_536, fix="16 is usual")
    max_batch = whole("max_batch", max_batch, low=1, fix="use 1 to serve one after the other")
    chunk_tokens = whole("chunk_tokens", chunk_tokens, low=1, fix="512 is usual")
    one_of("prefill", prefill, ("first", "chunked"), fix="'first' lets new prompts stall the others")
    if prefill == "chunked" and chunk_tokens < max_batch:
        raise ValueError(
            f"chunk_tokens must be {max_batch} (max_batch) or more, got {chunk_tokens}; "
            "each sequence that decodes takes one token of a step, and the rest is for the chunk"
        )
    times = StepTimes(timing)
    pool = BlockPool(kv_tokens // block_tokens, block_tokens, times.window)
    for place, request in enumerate(requests):
        tokens = request.prompt + request.output - 1
        if pool.blocks_for(tokens) > pool.blocks:
            room, blocks = kv_tokens // block_tokens * block_tokens, pool.blocks_for(tokens)
            needed = tokens if times.window is None else -(-blocks * block_tokens // pool.layers)
            windows = "" if times.window is None else f" with the windows the room of {needed},"
            raise ValueError(
                f"requests[{place}] can never be served: prompt {request.prompt} + output {request.output} - 1 = "
                f"{tokens} tokens,{windows} but the KV cache holds {room} (in whole blocks of {block_tokens}), "
                f"{needed - room} too few; use kv_tokens={-(-blocks // pool.layers) * block_tokens} or shorter requests"
            )
    return Engine(requests, times, pool, max_batch, chunk_tokens if prefill == "chunked" else None).run()
