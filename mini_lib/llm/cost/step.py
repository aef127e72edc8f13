"""The seconds of one step: each operator is compared with the limits of the device.

Source: Williams, Waterman, Patterson, "Roofline", CACM 2009; Pope et al., "Efficiently Scaling Transformer
Inference", 2022, section 2.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from mini_lib.columns import aligned
from mini_lib.llm.cost.architecture import Architecture
from mini_lib.llm.cost.device import Device, need_device
from mini_lib.llm.cost.efficiency import IDEAL, Efficiency, need_efficiency
from mini_lib.llm.cost.limits import bits, check_widths
from mini_lib.llm.cost.operators import Operator, operators
from mini_lib.llm.cost.roles import Role
from mini_lib.require import of_type, positive, whole


@dataclass(frozen=True)
class TimedOperator:
    """An operator with its seconds, and what it waits for: "compute", "memory" or "link"."""

    operator: Operator
    seconds: float
    bound: str


@dataclass(frozen=True)
class TimedStep:
    """One pass through the model, on one of the devices that share it.

    `overhead_s` is the time in which kernels are started and nothing is computed.
    """

    rows: tuple[TimedOperator, ...]
    overhead_s: float

    @cached_property
    def seconds(self) -> float:
        """The time from start to end.

        Raises:
            ValueError: it is infinite or 0, so the figures of the device are not those of a real one.
        """
        seconds = self.overhead_s + sum(row.seconds for row in self.rows)
        return positive("the seconds of a step", seconds, fix="check the device and the efficiency")

    @cached_property
    def flops(self) -> float:
        """The work of one device."""
        return sum(row.operator.flops for row in self.rows)

    @cached_property
    def bytes(self) -> float:
        """The traffic of one device."""
        return sum(row.operator.bytes for row in self.rows)

    @property
    def intensity(self) -> float:
        """FLOPs for each byte moved."""
        return self.flops / self.bytes

    @cached_property
    def shares_s(self) -> dict[str, float]:
        """The seconds spent waiting for each of "compute", "memory", "link" and "overhead"."""
        spent = defaultdict(float, overhead=self.overhead_s)
        for row in self.rows:
            spent[row.bound] += row.seconds
        return dict(spent)

    @property
    def bound(self) -> str:
        """The resource that most of the time is spent waiting for."""
        return max(self.shares_s, key=self.shares_s.__getitem__)

    def __str__(self) -> str:
        lines = [("operator", "calls", "GFLOP", "MB", "FLOP/B", "ms", "bound")]
        for row in self.rows:
            o = row.operator
            moved = o.link_bytes if o.role is Role.COLLECTIVE else o.bytes
            figures = (o.flops / 1e9, moved / 1e6, o.intensity, row.seconds * 1e3)
            lines.append((o.name, str(o.calls), *(f"{figure:.3g}" for figure in figures), row.bound))
        lines.append(("starting kernels", "", "", "", "", f"{self.overhead_s * 1e3:.3g}", "overhead"))
        figures = (self.flops / 1e9, self.bytes / 1e6, self.intensity, self.seconds * 1e3)
        lines.append(("all", "", *(f"{figure:.3g}" for figure in figures), self.bound))
        return aligned(lines, left=(0, len(lines[0]) - 1))


def step(
    architecture: Architecture,
    device: Device,
    *,
    batch: int = 1,
    new_tokens: int,
    context: float = 0,
    weight_bits: float = 16,
    kv_bits: float = 16,
    compute_bits: int = 16,
    tensor_parallel: int = 1,
    attention_parallel: str = "tensor",
    efficiency: Efficiency = IDEAL,
    decoding: bool | None = None,
) -> TimedStep:
    """Return the time of one step, operator by operator: the slower of its arithmetic and its traffic.

    `compute_bits` are those of the numbers that enter the matrix units. Weights of fewer bits are unpacked first, which
    costs `unpack_ops` each. A `decoding` step predicts from each of its new tokens: one, or the proposals of a draft.
    Otherwise they are a piece of a prompt, and only the last one predicts. By default a step is decoding if it has one
    new token.

    Raises:
        TypeError, ValueError: as `operators()`, or the device cannot multiply numbers of `compute_bits`, or not by
            weights of `weight_bits`.

    A decode step of Llama-2-7B alone reads the 13.2 GB of its matrices in 16 bits: 13.2e9 / 3.35e12 is at least 3.9 ms.

    >>> from mini_lib.llm.cost.devices import H100_SXM
    >>> from mini_lib.llm.cost.models import LLAMA_2_7B
    >>> alone = step(LLAMA_2_7B, H100_SXM, new_tokens=1)
    >>> round(alone.seconds * 1e3, 1), alone.bound
    (3.9, 'memory')
    """
    of_type("decoding", decoding, (bool, type(None)), fix="None decides by new_tokens")
    e, peak = need_efficiency(efficiency), need_device(device).matmul_peak(compute_bits)
    new_tokens = whole("new_tokens", new_tokens, low=1, fix="a decode step has 1")
    if decoding is None:
        decoding = new_tokens == 1
    check_widths(bits("weight_bits", weight_bits, fix="use 16, 8 or 4.5"), compute_bits)
    rows = operators(
        architecture,
        batch=batch,
        new_tokens=new_tokens,
        context=context,
        weight_bits=weight_bits,
        kv_bits=kv_bits,
        tensor_parallel=tensor_parallel,
        attention_parallel=attention_parallel,
        head_on="all" if decoding else "last",
    )
    reached = peak * (e.matmul_16 if compute_bits > 8 else e.matmul_8 if compute_bits > 4 else e.matmul_4)
    bandwidth = device.bandwidth_bytes_per_s * e.bandwidth
    unpacked = e.unpack_ops / device.vector_flops_per_s if weight_bits < compute_bits else 0.0
    half = device.matmul_peak(16) * e.matmul_16  # attention is computed in 16 bits

    def timed(o: Operator) -> TimedOperator:
        match o.role:
            case Role.COLLECTIVE:
                hops = 2 * (int(tensor_parallel) - 1)  # once round the ring to add up, once to hand out
                wait = o.calls * hops * e.collective_s
                return TimedOperator(o, wait + o.link_bytes / (device.link_bytes_per_s * e.link), "link")
            case Role.EMBEDDING | Role.ELEMENTWISE:
                return TimedOperator(o, e.unfused * o.bytes / bandwidth, "memory")
            case Role.ATTENTION:
                again = (1 + e.kv_reread * (o.group - 1)) / e.kv_bandwidth if decoding else 1
                compute, memory = o.flops / half, o.kv_bytes * again / bandwidth
            case _:  # a matrix product
                usable = reached * (e.experts if o.role is Role.EXPERT else 1)
                compute, memory = o.flops / usable, o.bytes / bandwidth + o.weights * unpacked
        return TimedOperator(o, max(compute, memory), "compute" if compute >= memory else "memory")

    launch = e.launch_s if decoding else e.prefill_launch_s
    return TimedStep(tuple(map(timed, rows)), architecture.layers * launch)
