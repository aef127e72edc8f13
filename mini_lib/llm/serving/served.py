"""The record of a service: the times of each request, and the totals of the event loop.

Source: Little, "A Proof for the Queuing Formula: L = lambda W", Operations Research, 1961.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mini_lib.require import finite, not_negative, one_of, positive, share

_TIMES = ("wait_s", "ttft_s", "tpot_s", "latency_s")


@dataclass(frozen=True)
class Totals:
    """The totals of the event loop: seconds of work, and areas under curves over time.

    `request_s` is the area under the number of requests that are waiting or being served, and `kv_token_s` the area
    under the number of tokens in the KV cache. `prefill_tokens` includes the tokens that are computed again after a
    preemption. The blocks are of `block_tokens` tokens. Where layers have windows, a token or a block counts as the
    share of the layers that hold it, so `peak_kv_blocks` does not have to be a whole number: times `block_tokens` and
    the bytes of a token in every layer (`kv_bytes_per_token()`) it gives the peak of the bytes taken.
    """

    busy_s: float
    request_s: float
    kv_token_s: float
    decode_steps: int
    decode_tokens: int
    prefill_tokens: int
    peak_kv_blocks: float
    kv_blocks: int
    block_tokens: int


@dataclass(frozen=True)
class Served:
    """The times of each request (arrays in the order of arrival), and the totals of the loop.

    `start_s` is the time when a request's prefill first began, and `preemptions` how often it was sent back to the
    queue.
    """

    arrival_s: np.ndarray
    start_s: np.ndarray
    first_token_s: np.ndarray
    finish_s: np.ndarray
    prompt: np.ndarray
    output: np.ndarray
    preemptions: np.ndarray
    totals: Totals

    @cached_property
    def wait_s(self) -> np.ndarray:
        """Seconds in the queue before anything was computed."""
        return self.start_s - self.arrival_s

    @cached_property
    def ttft_s(self) -> np.ndarray:
        """Time to first token: from the arrival."""
        return self.first_token_s - self.arrival_s

    @cached_property
    def tpot_s(self) -> np.ndarray:
        """Time per output token after the first; not a number where there is only one."""
        more = self.output - 1
        return np.divide(self.finish_s - self.first_token_s, more, out=np.full(len(more), np.nan), where=more > 0)

    @cached_property
    def latency_s(self) -> np.ndarray:
        """From the arrival to the last token."""
        return self.finish_s - self.arrival_s

    def percentile(self, times: str, percent: float, warm_up: float = 0.0) -> float:
        """Return the time that `percent` of the requests do not exceed, without the first share `warm_up` of them.

        `times` is "wait_s", "ttft_s", "tpot_s" or "latency_s". Requests of one token have no tpot_s and are left out;
        where no request has one, the result is not a number.

        Raises:
            TypeError: `percent` or `warm_up` is not a number.
            ValueError: unknown times, `percent` is outside [0, 100], or `warm_up` is outside [0, 1).

        >>> from mini_lib.llm.serving import LinearTiming, Request, simulate
        >>> alone = simulate([Request(0.0, 8, 5)], LinearTiming(0.1, prefill_fixed_s=2.0), kv_tokens=16)
        >>> alone.percentile("ttft_s", 50), round(alone.percentile("tpot_s", 99), 6)
        (2.0, 0.1)
        """
        one_of("times", times, _TIMES, fix="TTFT is the time to the first token")
        percent = not_negative("percent", percent, fix="50 is the median")
        if percent > 100:
            raise ValueError(f"percent must lie in [0, 100], got {percent}; 50 is the median")
        kept = getattr(self, times)[self.skipped(warm_up) :]
        kept = kept[~np.isnan(kept)]
        return float(np.percentile(kept, percent)) if len(kept) else float("nan")

    def skipped(self, warm_up: float) -> int:
        """Return how many requests the share `warm_up` leaves out, since the service was still filling up.

        Raises:
            TypeError: `warm_up` is not a number.
            ValueError: `warm_up` is outside [0, 1).
        """
        warm_up = share("warm_up", warm_up, zero=True, one=False, fix="0.1 leaves out the first tenth")
        return int(warm_up * len(self.arrival_s))

    @cached_property
    def duration_s(self) -> float:
        """From the first arrival to the last token of all."""
        return float(self.finish_s.max() - self.arrival_s[0])

    @property
    def _time_s(self) -> float:
        """The duration that rates are computed by."""
        return positive("duration_s", self.duration_s, fix="give the timing a prefill that takes time")

    @property
    def tokens_per_s(self) -> float:
        """Output tokens of all requests together, over the whole duration.

        Raises:
            ValueError: the whole run took no time; the same holds for every other rate.
        """
        return float(self.output.sum() / self._time_s)

    def tokens_per_s_between(self, begin_s: float, end_s: float) -> float:
        """Return the output tokens per second of the requests that were done in this window.

        Raises:
            TypeError: a time is not a number.
            ValueError: the window has no length.
        """
        begin_s, end_s = (finite(name, at, fix="give seconds") for name, at in (("begin_s", begin_s), ("end_s", end_s)))
        if not begin_s < end_s:
            raise ValueError(
                f"begin_s must be before end_s ({end_s}), got {begin_s}; give a window with requests in it"
            )
        done = (self.finish_s > begin_s) & (self.finish_s <= end_s)
        return float(self.output[done].sum() / (end_s - begin_s))

    @property
    def utilization(self) -> float:
        """The share of the duration in which the device computed."""
        return self.totals.busy_s / self._time_s

    @property
    def mean_batch(self) -> float:
        """Sequences in a decode step, on average over the steps; 0 where there was none."""
        return self.totals.decode_tokens / self.totals.decode_steps if self.totals.decode_steps else 0.0

    @property
    def kv_occupancy(self) -> float:
        """The share of the KV cache that held tokens, on average over the duration."""
        return self.totals.kv_token_s / (self.totals.kv_blocks * self.totals.block_tokens * self._time_s)

    @property
    def kv_peak(self) -> float:
        """The largest share of the blocks that was ever taken."""
        return self.totals.peak_kv_blocks / self.totals.kv_blocks

    @property
    def recomputed_tokens(self) -> int:
        """Tokens that went through a prefill again, since a preemption had dropped their KV cache."""
        return int(self.totals.prefill_tokens - self.prompt.sum())

    @property
    def mean_in_system(self) -> float:
        """Requests waiting or being served, on average over time, as the event loop counted them: Little's L."""
        return self.totals.request_s / self._time_s

    @property
    def little_error(self) -> float:
        """How far L is from lambda W, as a share of it: arrivals per second times the mean latency of the requests.

        The two sides are measured separately: L by counting requests over time, W from each request's two time stamps.
        Over a period that starts and ends empty they must agree.
        """
        expected = len(self.arrival_s) / self._time_s * float(self.latency_s.mean())
        return abs(self.mean_in_system / expected - 1)
