"""The calculator: speed, memory and cost of a workload on a device.

Source: Pope et al., "Efficiently Scaling Transformer Inference", 2022; Huang et al., "GPipe", 2019, section 2.3
(pipelines); Agrawal et al., "Sarathi-Serve", 2024 (chunks); Leviathan et al., 2023 (drafts).
"""

from dataclasses import dataclass
from math import ceil

from mini_lib.columns import aligned
from mini_lib.llm.cost.architecture import Architecture
from mini_lib.llm.cost.device import Device
from mini_lib.llm.cost.efficiency import Efficiency, need_efficiency
from mini_lib.llm.cost.engines import EngineProfile
from mini_lib.llm.cost.memory import DeviceMemory, memory, what_would_fit
from mini_lib.llm.cost.operators import ACTIVATION_BYTES
from mini_lib.llm.cost.roles import Role
from mini_lib.llm.cost.step import TimedStep, step
from mini_lib.llm.cost.workload import Workload
from mini_lib.require import not_negative


@dataclass(frozen=True)
class Estimate:
    """The result of `estimate()`.

    `prefill` and `decode` are single steps, operator by operator (of one micro-batch, where the model is cut
    into stages; of the last chunk, where prompts are cut). `ttft_s` is the time to the first token,
    `tpot_s` the time per token after it. Tokens per second count output tokens.

    `extrapolates` lists, in words, the parts of the workload that lie outside the rows that `engine` was fitted to; it
    is empty if none do.

    The two prices divide the rent of the whole run: prompts at the one price and answers at the other add up to the
    rent of the devices. The first token of an answer comes with the prompt.
    """

    architecture: Architecture
    device: Device
    workload: Workload
    memory: DeviceMemory
    prefill: TimedStep
    decode: TimedStep
    ttft_s: float
    tpot_s: float
    usd_per_hour: float | None
    engine: str = ""
    extrapolates: tuple[str, ...] = ()

    @property
    def total_s(self) -> float:
        """From the prompts to the last token."""
        return self.ttft_s + (self.workload.output - 1) * self.tpot_s

    @property
    def tokens_per_s(self) -> float:
        """Output tokens of all requests per second; the time includes the prompts."""
        return self.workload.batch * self.workload.output / self.total_s

    @property
    def tokens_per_s_per_device(self) -> float:
        """The same per device, as many tables count."""
        return self.tokens_per_s / self.workload.devices

    @property
    def tokens_per_s_per_user(self) -> float:
        """The speed of one answer after its first token."""
        return 1 / self.tpot_s

    @property
    def usd_per_million_input_tokens(self) -> float | None:
        """The cost of reading the prompts; None where the device has no rent."""
        return self._usd(self.ttft_s, self.workload.prompt)

    @property
    def usd_per_million_output_tokens(self) -> float | None:
        """The cost of writing the answers; None where the device has no rent."""
        return self._usd(self.total_s - self.ttft_s, self.workload.output)

    @property
    def usd_per_million_tokens(self) -> float | None:
        """Both together, per token that goes in or out."""
        return self._usd(self.total_s, self.workload.prompt + self.workload.output)

    @property
    def joules_per_output_token(self) -> float | None:
        """The energy of a request per output token, with every device at its rated power: an upper bound.

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
        prices = (self.usd_per_million_input_tokens, self.usd_per_million_output_tokens)
        joules, held = self.joules_per_output_token, self.memory
        rows = [
            ("model, device", f"{self.architecture} on {f'{devices} x ' if devices > 1 else ''}{self.device}"),
            ("requests", f"{w.batch} x ({w.prompt} in + {w.output} out)"),
            ("memory per device", f"{held.used_bytes / 2**30:.1f} of {held.capacity_bytes / 2**30:.0f} GiB"),
            ("TTFT", f"{self.ttft_s * 1e3:.4g} ms, waits for {self.prefill.bound}"),
            ("TPOT", f"{self.tpot_s * 1e3:.4g} ms, waits for {self.decode.bound}"),
            ("output tokens/s, all / each user", f"{self.tokens_per_s:.4g} / {self.tokens_per_s_per_user:.4g}"),
        ]
        if None not in prices:
            rows.append(("USD per million tokens, in / out", " / ".join(f"{price:.3g}" for price in prices)))
        if joules is not None:
            rows.append(("joules per output token", f"at most {joules:.3g}"))
        if self.engine:
            rows.append(("engine", self.engine))
        if self.extrapolates:
            rows.append(("extrapolates", "; ".join(self.extrapolates)))
        return aligned(rows, left=(0, 1))


def estimate(
    architecture: Architecture,
    device: Device,
    workload: Workload,
    efficiency: Efficiency,
    usd_per_hour: float | None = None,
) -> Estimate:
    """Return speed, memory and cost of `workload`.

    All requests start together, as in published tables; in `mini_lib.llm.serving` they arrive one by one.
    `usd_per_hour` is the rent of one device; the default is the device's list price.

    Raises:
        TypeError: not an Architecture, a Device, a Workload and an Efficiency.
        TypeError, ValueError: a split that the model does not allow, or a negative rent.
        ValueError: it does not fit; the message says by how much, and what would make it fit.
    """
    need_efficiency(efficiency)
    held = memory(architecture, device, workload)
    if not held.fits:
        changes = what_would_fit(architecture, device, workload)
        fix = (
            f"it would fit with {' or '.join(changes)}"
            if changes
            else "no single change makes it fit: combine fewer bits, more devices and smaller batches"
        )
        raise ValueError(
            f"{architecture} needs {held.used_bytes / 2**30:.1f} GiB on each {device}, "
            f"got {held.capacity_bytes / 2**30:.1f} GiB: {held.short_bytes / 2**30:.1f} GiB short; {fix}"
        )
    if usd_per_hour is not None:
        usd_per_hour = not_negative("usd_per_hour", usd_per_hour, fix="leave it out for the list price")
    prefill, ttft_s = _prefill(architecture, device, workload, efficiency)
    decode, tpot_s = _decode(architecture, device, workload, efficiency)
    rent = device.usd_per_hour if usd_per_hour is None else usd_per_hour
    name, beyond = "", ()
    if isinstance(efficiency, EngineProfile):
        name, beyond = efficiency.name, efficiency.beyond(device, workload)
    return Estimate(architecture, device, workload, held, prefill, decode, ttft_s, tpot_s, rent, name, beyond)


def _prefill(a: Architecture, device: Device, w: Workload, e: Efficiency) -> tuple[TimedStep, float]:
    """The last step of the prompt, and the seconds of the whole prompt."""
    parts, batch = _micro_batches(w)
    new = w.prompt - w.cached_prompt
    chunk = w.prefill_chunk or new
    seconds, drain_s = 0.0, 0.0
    for start in range(w.cached_prompt, w.prompt, chunk):
        tokens = min(chunk, w.prompt - start)
        last = step(
            a, device, batch=batch, new_tokens=tokens, context=start, efficiency=e, decoding=False, **w.precision
        )
        through_s, beat_s = _stages(last, device, a, w, batch * tokens, e)
        seconds += parts * beat_s
        drain_s = max(drain_s, through_s - beat_s)
    seconds += drain_s  # when the first stage is done with the last piece, that piece still has the other stages to go
    if w.draft is not None:  # the draft must read the prompt too
        seconds += _draft_step(device, w, e, new, w.cached_prompt, decoding=False)
    return last, seconds


def _decode(a: Architecture, device: Device, w: Workload, e: Efficiency) -> tuple[TimedStep, float]:
    """The step in the middle of the answer, and the seconds per token of one request."""
    # the first step has the prompt as context, each later one a token more; the mean is exact, as time is linear in it
    context = w.prompt + max(0, w.output - 2) / 2
    parts, batch = _micro_batches(w)
    new = 1 if w.draft is None else w.draft.tokens + 1
    middle = step(a, device, batch=batch, new_tokens=new, context=context, efficiency=e, decoding=True, **w.precision)
    # a request's next turn comes when it has passed all stages, and each stage has served the others
    through_s, beat_s = _stages(middle, device, a, w, batch * new, e)
    seconds = max(through_s, parts * beat_s)
    if w.draft is None:
        return middle, seconds
    proposing_s = w.draft.tokens * _draft_step(device, w, e, 1, context, decoding=True)
    return middle, (seconds + proposing_s) / w.draft.tokens_per_step


def _draft_step(device: Device, w: Workload, e: Efficiency, new: int, context: float, decoding: bool) -> float:
    """The seconds of one step of the draft, on one device."""
    bits = w.precision | {"tensor_parallel": 1}
    return step(
        w.draft.architecture,
        device,
        batch=w.batch,
        new_tokens=new,
        context=context,
        efficiency=e,
        decoding=decoding,
        **bits,
    ).seconds


def _micro_batches(w: Workload) -> tuple[int, int]:
    """The number of parts into which the batch is cut so that every stage has work, and the size of the largest."""
    size = ceil(w.batch / w.pipeline_parallel)
    return ceil(w.batch / size), size


def _stages(
    whole: TimedStep, device: Device, a: Architecture, w: Workload, tokens: int, e: Efficiency
) -> tuple[float, float]:
    """The seconds of a micro-batch through all stages, and in the slowest: the last, which has as many layers as any.

    Layers of experts come last, and each takes longer than a dense one.
    """
    if w.pipeline_parallel == 1:
        return whole.seconds, whole.seconds
    hand_on_s = tokens * a.hidden * ACTIVATION_BYTES / (device.link_bytes_per_s * e.link) + e.collective_s
    layers = ceil(a.layers / w.pipeline_parallel)
    experts = min(layers, a.expert_layers)

    def share(role: Role, calls: int) -> float:
        if role in (Role.EMBEDDING, Role.HEAD):
            return float(role is Role.HEAD)
        if a.expert_layers and (role is Role.EXPERT or calls == a.expert_layers < a.layers):  # these, or their exchange
            return experts / a.expert_layers
        if a.expert_layers and role is Role.MLP:
            return (layers - experts) / calls
        return layers / a.layers

    inside_s = sum(row.seconds * share(row.operator.role, row.operator.calls) for row in whole.rows)
    slowest_s = inside_s + whole.overhead_s * layers / a.layers + hand_on_s
    return whole.seconds + (w.pipeline_parallel - 1) * hand_on_s, slowest_s
