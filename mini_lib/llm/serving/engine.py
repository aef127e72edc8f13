"""The event loop of continuous batching: from one change of the batch to the next.

Between two changes the batch stays the same for many steps, each a little longer than the one before since the contexts
grow. Their times form an arithmetic series, so the loop can jump over all of them at once and miss nothing.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf, nan, sqrt

import numpy as np

from mini_lib.llm.serving.arrivals import Request
from mini_lib.llm.serving.pool import BlockPool
from mini_lib.llm.serving.served import Served, Totals
from mini_lib.llm.serving.step_times import StepTimes


def steps_until(now_s: float, first_s: float, longer_s: float, until_s: float) -> int:
    """Return the smallest number of steps, at least one, that end at `until_s` or later.

    The first step takes `first_s`, and each later one takes `longer_s` more than the one before.

    Steps of 1, 3, 5, 7 s end at 1, 4, 9 and 16 s:

    >>> [steps_until(0.0, 1.0, 2.0, until) for until in (0.5, 1.0, 4.5, 9.0)]
    [1, 1, 3, 3]
    """
    wait_s = until_s - now_s
    linear = first_s - longer_s / 2
    # n * first + longer * n (n - 1) / 2 = wait, solved so that no digits cancel. Rounded to the nearest, since a whole
    # solution may come out slightly too large; where that rounds down, one step is missing
    steps = max(1, round(2 * wait_s / (linear + sqrt(linear * linear + 2 * longer_s * wait_s))))
    while now_s + _series(first_s, longer_s, steps) < until_s:
        steps += 1
    return steps


def _series(first_s: float, longer_s: float, steps: int) -> float:
    return steps * first_s + longer_s * (steps * (steps - 1) // 2)


class Engine:
    """The state of the service, and the loop that moves it from event to event.

    A sequence that holds all of its KV cache grows by one token in each decode step, like all others. So a counter of
    decode steps and the step at which the sequence ends describe it completely: no sequence has to be updated by
    itself.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        times: StepTimes,
        pool: BlockPool,
        max_batch: int,
        chunk_tokens: int | None,  # None: prompts are computed whole, with nothing else in the step
    ) -> None:
        count = len(requests)
        self.times, self.pool, self.max_batch, self.chunk_tokens = times, pool, max_batch, chunk_tokens
        self.arrival = [request.arrival_s for request in requests] + [inf]
        self.prompt = [request.prompt for request in requests]
        self.output = [request.output for request in requests]
        self.emitted = [0] * count  # tokens of a request when it last entered or left the batch
        self.start, self.first, self.finish = [nan] * count, [nan] * count, [nan] * count
        self.preemptions = [0] * count

        self.now = self.arrival[0]
        self.arrived = 0
        self.unfinished = count
        self.queue: deque[int] = deque()
        self.filling: int | None = None  # the request whose prompt is partly computed; it is already in the batch
        self.filled = 0  # the number of its tokens that are in the KV cache
        # in the order of entry: request -> the decode step that gives its last token
        self.decoding: dict[int, int] = {}
        self.ends: list[tuple[int, int]] = []  # (that step, request) as a heap; some have been preempted since
        self.step = 0

        self.busy_s = self.request_s = self.kv_token_s = 0.0
        self.in_system = 0
        self.decode_steps = self.decode_tokens = self.prefill_tokens = 0

    def run(self) -> Served:
        """Serve all requests."""
        while self.unfinished:
            if not self.queue and not self.decoding and self.filling is None:
                self._pass_time(self.arrival[self.arrived])
            if self.chunk_tokens is None and self._admissible(len(self.decoding), spare_blocks=0):
                request = self._admit()
                self._fill([(request, self._tokens(request))], together=False)
                continue
            self._make_room()
            chunks = self._chunks() if self.chunk_tokens is not None else []
            if chunks:
                self._fill(chunks, together=True)
            else:
                self._decode()
        layers, peak = self.pool.layers, self.pool.peak
        totals = Totals(
            self.busy_s,
            self.request_s,
            self.kv_token_s / layers,
            self.decode_steps,
            self.decode_tokens,
            self.prefill_tokens,
            peak // layers if peak % layers == 0 else peak / layers,
            self.pool.blocks // layers,
            self.pool.block_tokens,
        )
        times = map(np.array, (self.arrival[:-1], self.start, self.first, self.finish))
        return Served(*times, *map(np.array, (self.prompt, self.output, self.preemptions)), totals)

    def _tokens(self, request: int) -> int:
        """The tokens to compute before its next token: the prompt, and after a preemption also the tokens that it
        had."""
        return self.prompt[request] + self.emitted[request]

    def _admissible(self, batch: int, spare_blocks: int) -> bool:
        """Whether a request waits, and there is room for it in a batch of that size and in the KV cache."""
        if not self.queue or batch >= self.max_batch:
            return False
        return self.pool.fits(self._tokens(self.queue[0]), spare_blocks)

    def _admit(self) -> int:
        """Move the head of the queue into the batch, and give it the blocks of its prompt."""
        request = self.queue.popleft()
        self.pool.take(self._tokens(request))
        if self.preemptions[request] == 0:
            self.start[request] = self.now
        return request

    def _chunks(self) -> list[tuple[int, int]]:
        """Fill the rest of a step with prompts: (request, new tokens); the last one may be cut."""
        budget = self.chunk_tokens - len(self.decoding)
        others = self.pool.growth(1)  # the others grow in the same step; the blocks that they need are not given away
        chunks = []
        request = self.filling
        while budget:
            if request is None:
                if not self._admissible(len(self.decoding) + len(chunks), others):
                    break
                request = self._admit()
            new = min(budget, self._tokens(request) - (self.filled if request == self.filling else 0))
            chunks.append((request, new))
            budget -= new
            request = None
        return chunks

    def _make_room(self) -> None:
        """Send the newest back to the queue until the others can grow by a token. The oldest always can."""
        while self.pool.steps_that_fit(1) == 0:
            if self.filling is not None:
                request, self.filling = self.filling, None
                self.pool.give_back(self._tokens(request))
            else:
                request, end = self.decoding.popitem()
                self._leave(request, end)
                self.emitted[request] = self.output[request] - (end - self.step)
            self.queue.appendleft(request)
            self.preemptions[request] += 1

    def _fill(self, chunks: list[tuple[int, int]], together: bool) -> None:
        """Compute chunks of prompts in one step, alone or together with a decode step of the others."""
        batch = len(self.decoding) if together else 0
        filled = self.filled if chunks[0][0] == self.filling else 0
        new_tokens = sum(new for _, new in chunks)
        seconds = self.times.mixed(new_tokens, chunks[0][1] * filled, batch, self.pool.context, len(chunks))
        if batch:
            self._grow(1)
        self.busy_s += seconds
        kept = sum(self.pool.window.kept(self._tokens(request)) for request, _ in chunks)
        self.kv_token_s += seconds * (self.pool.held + kept)
        self.prefill_tokens += new_tokens
        self._pass_time(self.now + seconds)
        if batch:
            self._let_go()
        self.filling = None
        for request, new in chunks:
            tokens = self._tokens(request)
            if filled + new == tokens:
                self._first_token(request, tokens)
            else:  # only the last can be cut
                self.filling, self.filled = request, filled + new
            filled = 0

    def _first_token(self, request: int, tokens: int) -> None:
        """A prefill ends with a token. From now on the request decodes, unless this was its last token."""
        if self.emitted[request] == 0:
            self.first[request] = self.now
        self.emitted[request] += 1
        more = self.output[request] - self.emitted[request]
        if more == 0:
            self.pool.give_back(tokens)
            self._done(request)
            return
        self.decoding[request] = self.step + more
        heappush(self.ends, (self.step + more, request))
        self.pool.join(tokens)

    def _decode(self) -> None:
        """Make all steps up to the next change: an end, a full window, no more blocks, or an arrival that finds
        room."""
        while self.decoding.get(self.ends[0][1]) != self.ends[0][0]:
            heappop(self.ends)
        steps = self.pool.steps_that_fit(self.ends[0][0] - self.step)
        batch, layers = len(self.decoding), self.pool.layers
        context, growing = self.pool.context, self.pool.growing
        fixed_s, context_s = self.times.decode(batch)
        first_s, longer_s = fixed_s + context_s * context, context_s * growing
        if not self.queue and batch < self.max_batch and self.arrived < len(self.prompt):
            arrival = self.arrival[self.arrived]
            if self.now + _series(first_s, longer_s, steps) > arrival:
                steps = steps_until(self.now, first_s, longer_s, arrival)
        seconds = _series(first_s, longer_s, steps)
        # step k of these takes first_s + k * longer_s, and holds the context + growing * k tokens that it reads, and
        # the new ones, one in each layer of each sequence: sum the products
        once, twice = steps * (steps - 1) // 2, (steps - 1) * steps * (2 * steps - 1) // 6
        self.kv_token_s += seconds * (context + batch * layers) + growing * (first_s * once + longer_s * twice)
        self.busy_s += seconds
        self._grow(steps)
        self._pass_time(self.now + seconds)
        self._let_go()

    def _grow(self, steps: int) -> None:
        batch = len(self.decoding)
        self.pool.grow(steps)
        self.step += steps
        self.decode_steps += steps
        self.decode_tokens += batch * steps

    def _let_go(self) -> None:
        """End those that have all their tokens."""
        while self.ends and self.ends[0][0] <= self.step:
            end, request = heappop(self.ends)
            if self.decoding.get(request) == end:
                del self.decoding[request]
                self._leave(request, end)
                self._done(request)

    def _leave(self, request: int, end: int) -> None:
        tokens = self.prompt[request] + self.output[request] - 1 - (end - self.step)
        self.pool.leave(tokens)
        self.pool.give_back(tokens)

    def _done(self, request: int) -> None:
        self.finish[request] = self.now
        self.unfinished -= 1
        self.in_system -= 1

    def _pass_time(self, until_s: float) -> None:
        """Move the clock, add the requests that arrive meanwhile to the queue, and add up requests times seconds."""
        self.request_s += self.in_system * (until_s - self.now)
        while self.arrival[self.arrived] <= until_s:
            self.request_s += until_s - self.arrival[self.arrived]
            self.queue.append(self.arrived)
            self.arrived += 1
            self.in_system += 1
        self.now = until_s
