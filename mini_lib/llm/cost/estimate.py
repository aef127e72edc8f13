"""The calculator: how fast, how much and how dear a workload is on a device.

Source: Pope et al., "Efficiently Scaling Transformer Inference", 2022; Huang et al., "GPipe", 2019, section 2.3
(pipelines); Agrawal et al., "Sarathi-Serve", 2024 (chunks); Leviathan et al., 2023 (drafts).
"""

from dataclasses import dataclass, replace
from math import ceil

from mini_lib.columns import aligned
from mini_lib.llm.cost.architecture import Architecture
from mini_lib.llm.cost.devices import Device
from mini_lib.llm.cost.efficiency import Efficiency
from mini_lib.llm.cost.memory import Memory, memory, what_would_fit
from mini_lib.llm.cost.step import Step, step
from mini_lib.llm.cost.workload import Workload


@dataclass(frozen=True)
class Estimate:
    """What `estimate()` found.

    `prefill` and `decode` are single steps, operator by operator (of one micro-batch, where the model is cut
    into stages; of the last chunk, where prompts are cut). `ttft_s` is the time to the first token,
    `tpot_s` the time for each token after it. Tokens a second count output tokens.
    """

    architecture: Architecture
    device: Device
    workload: Workload
    memory: Memory
    prefill: Step
    decode: Step
    ttft_s: float
    tpot_s: float
    usd_per_hour: float | None

    @property
    def total_s(self) -> float:
        """From the prompts to the last token."""
        return self.ttft_s + (self.workload.output - 1) * self.tpot_s

    @property
    def tokens_per_s(self) -> float:
        """Output tokens of all requests in a second, prompts included in the time."""
        return self.workload.batch * self.workload.output / self.total_s

    @property
    def tokens_per_s_per_device(self) -> float:
        """The same for each device: many tables count so."""
        return self.tokens_per_s / self.workload.devices

    @property
    def tokens_per_s_per_user(self) -> float:
        """How fast the words of one answer come, once they come."""
        return 1 / self.tpot_s

    @property
    def usd_per_million_input_tokens(self) -> float | None:
        """What the prompts cost to read, None where the device has no rent."""
        return self._usd(self.ttft_s, self.workload.prompt)

    @property
    def usd_per_million_output_tokens(self) -> float | None:
        """What the answers cost to write, None where the device has no rent."""
        return self._usd(self.total_s - self.ttft_s, self.workload.output - 1) if self.workload.output > 1 else None

    @property
    def usd_per_million_tokens(self) -> float | None:
        """Both together, for each token that goes in or out."""
        return self._usd(self.total_s, self.workload.prompt + self.workload.output)

    @property
    def joules_per_output_token(self) -> float | None:
        """The energy of a request shared among its output tokens, every device at its rated power: an upper bound.

        None where the power is not known.
        """
        if self.device.watts is None:
            return None
        return self.device.watts * self.workload.devices / self.tokens_per_s

    def _usd(self, seconds: float, tokens: int) -> float | None:
        if self.usd_per_hour is None:
            return None
        return self.usd_per_hour / 3600 * self.workload.devices * seconds / (self.workload.batch * tokens) * 1e6

    def __str__(self) -> str:
        w, devices = self.workload, self.workload.devices
        usd = [("USD a million tokens, in / out", f"{self.usd_per_million_input_tokens:.3g} / {self.usd_per_million_output_tokens or 0:.3g}")] if self.usd_per_hour is not None else []  # fmt: skip
        joules = self.joules_per_output_token
        energy = [] if joules is None else [("joules an output token", f"at most {joules:.3g}")]
        rows = [
            ("model, device", f"{self.architecture} on {devices} x {self.device}" if devices > 1 else f"{self.architecture} on {self.device}"),
            ("requests", f"{w.batch} x ({w.prompt} in + {w.output} out)"),
            ("memory a device", f"{self.memory.used_bytes / 2**30:.1f} of {self.memory.capacity_bytes / 2**30:.0f} GiB"),
            ("TTFT", f"{self.ttft_s * 1e3:.4g} ms, waits for {self.prefill.bound}"),
            ("TPOT", f"{self.tpot_s * 1e3:.4g} ms, waits for {self.decode.bound}"),
            ("output tokens/s, all / each user", f"{self.tokens_per_s:.4g} / {self.tokens_per_s_per_user:.4g}"),
            *usd,
            *energy,
        ]  # fmt: skip
        return aligned(rows, left=(0, 1))


def estimate(
    architecture: Architecture,
    device: Device,
    workload: Workload,
    efficiency: Efficiency,
    usd_per_hour: float | None = None,
) -> Estimate:
    """Return speed, memory and cost of `workload`.

    All requests start together, as in published tables; `mini_lib.llm.serving` has them arrive one by one.
    `usd_per_hour` is the rent of one device, the device's own list price if not given.

    Raises:
        TypeError, ValueError: a split that the model does not allow, or a negative rent.
        ValueError: it does not fit: by how much, and what would make it fit.
    """
    held = memory(architecture, device, workload)
    if not held.fits:
        changes = what_would_fit(architecture, device, workload)
        fix = f"it would fit with {' or '.join(changes)}" if changes else "no single change makes it fit; take a larger device or more of them"
        raise ValueError(
            f"{architecture} needs {held.used_bytes / 2**30:.1f} GiB on each {device}, got {held.capacity_bytes / 2**30:.1f} GiB: "
            f"{held.short_bytes / 2**30:.1f} GiB short; {fix}"
        )
    if usd_per_hour is not None and not 0 <= usd_per_hour < float("inf"):
        raise ValueError(f"usd_per_hour must be 0 or more, got {usd_per_hour}; leave it out for the list price")
    prefill, ttft_s = _prefill(architecture, device, workload, efficiency)
    decode, tpot_s = _decode(architecture, device, workload, efficiency)
    rent = device.usd_per_hour if usd_per_hour is None else usd_per_hour
    return Estimate(architecture, device, workload, held, prefill, decode, ttft_s, tpot_s, rent)


def _prefill(a: Architecture, device: Device, w: Workload, e: Efficiency) -> tuple[Step, float]:
    """The last step of the prompt, and the seconds of all of it."""
    micro_batches, batch = _micro_batches(w)
    chunk = w.prefill_chunk or w.prompt
    seconds = 0.0
    for start in range(w.cached_prompt, w.prompt, chunk):
        new = min(chunk, w.prompt - start)
        last = step(a, device, batch=batch, new_tokens=new, context=start, efficiency=e, **w.precision)
        seconds += _pipelined(last, device, a, w, batch * new, e) * (micro_batches + w.pipeline_parallel - 1)
    if w.draft is not None:  # the draft has to read the prompt too
        seconds += step(w.draft.architecture, device, batch=w.batch, new_tokens=w.prompt - w.cached_prompt, context=w.cached_prompt, efficiency=e, **w.precision).seconds  # fmt: skip
    return last, seconds


def _decode(a: Architecture, device: Device, w: Workload, e: Efficiency) -> tuple[Step, float]:
    """The step in the middle of the answer, and the seconds for each token of one request."""
    # the first step has the prompt as context, each later one a token more: their mean, exact as time is linear in it
    context = w.prompt + max(0, w.output - 2) / 2
    _, batch = _micro_batches(w)
    new = 1 if w.draft is None else w.draft.tokens + 1
    middle = step(a, device, batch=batch, new_tokens=new, context=context, efficiency=e, **w.precision)
    # a request comes round again when every stage has had its turn
    seconds = _pipelined(middle, device, a, w, batch * new, e) * w.pipeline_parallel
    if w.draft is None:
        return middle, seconds
    proposing = step(w.draft.architecture, device, batch=w.batch, new_tokens=1, context=context, efficiency=e, **w.precision)
    return middle, (seconds + w.draft.tokens * proposing.seconds) / w.draft.tokens_per_step


def _micro_batches(w: Workload) -> tuple[int, int]:
    """Into how many parts the batch is cut so that every stage has work, and the size of a part."""
    parts = min(w.batch, w.pipeline_parallel)
    return parts, ceil(w.batch / parts)


def _pipelined(whole: Step, device: Device, a: Architecture, w: Workload, tokens: int, e: Efficiency) -> float:
    """The seconds of one stage, and of handing its result on."""
    if w.pipeline_parallel == 1:
        return whole.seconds
    handed_on = tokens * a.hidden * 2 / (device.link_bytes_per_s * e.link) + e.collective_s
    return whole.seconds / w.pipeline_parallel + handed_on
