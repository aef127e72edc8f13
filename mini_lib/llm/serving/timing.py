"""The time of a step on the device: everything that the simulator has to know about a model."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from math import ceil
from typing import NamedTuple, Protocol

from mini_lib.llm.cost import Architecture, Device, Efficiency, Role, Workload, memory, step
from mini_lib.llm.cost.architecture import need_architecture
from mini_lib.llm.cost.device import need_device
from mini_lib.llm.cost.efficiency import need_efficiency
from mini_lib.llm.cost.kv_cache import kv_bytes_per_token
from mini_lib.llm.cost.limits import context as known_tokens
from mini_lib.llm.cost.memory import LARGEST_PASS_TOKENS, held_kv_bytes_per_token
from mini_lib.llm.cost.workload import need_workload
from mini_lib.llm.serving.window import Window, window_of
from mini_lib.require import checked, not_negative, of_type, whole


class Timing(Protocol):
    """The seconds of a decode step and of a prefill.

    A model whose layers have windows has an attribute `window`, a `Window`. Without that attribute, or if it is None,
    every layer keeps all tokens.
    """

    def decode_s(self, batch: int) -> tuple[float, float]:
        """Return (fixed_s, s_per_context_token) of a step in which `batch` sequences get one token each.

        The step takes fixed_s + s_per_context_token * (tokens in the KV cache of all of them together). With a window,
        a token counts as the share of layers that read it: of t tokens, a layer with a window of w reads at most w - 1,
        since the new token is in the window too.
        """

    def prefill_s(self, new_tokens: int, context: float) -> float:
        """Return the seconds to compute `new_tokens` of a prompt that already has `context` tokens in the KV cache.

        Where several prompts share a step, `context` is the mean over the new tokens, which is seldom a whole number.
        """


@dataclass(frozen=True)
class LinearTiming:
    """A device with linear times for each kind of step, to try the simulator and to work cases by hand.

    A decode step takes `decode_fixed_s` (reading the weights), `decode_sequence_s` for each sequence
    (arithmetic) and `decode_context_s` for each token in their KV caches (reading them). A prefill takes
    `prefill_fixed_s` and `prefill_token_s` for each new token. With a `window`, not all layers read every token.

    Raises:
        TypeError, ValueError: a time is not a finite number of 0 or more.

    Two sequences with 100 tokens of context together take 10 + 2 * 1 + 100 * 0.01 = 13 ms:

    >>> timing = LinearTiming(decode_fixed_s=0.010, decode_sequence_s=0.001, decode_context_s=0.00001)
    >>> fixed_s, context_s = timing.decode_s(2)
    >>> round(fixed_s + context_s * 100, 6)
    0.013
    """

    decode_fixed_s: float
    decode_sequence_s: float = 0.0
    decode_context_s: float = 0.0
    prefill_fixed_s: float = 0.0
    prefill_token_s: float = 0.0
    window: Window | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name != "window":
                checked(self, one.name, not_negative, fix="a step takes seconds")
        of_type("window", self.window, (Window, type(None)), fix="use Window(tokens=4096), or None")

    def decode_s(self, batch: int) -> tuple[float, float]:
        """Return (fixed_s, s_per_context_token) of a decode step of `batch` sequences.

        Raises:
            TypeError, ValueError: `batch` is not a whole number of 1 or more.
        """
        batch = whole("batch", batch, low=1, fix="a step serves somebody")
        return self.decode_fixed_s + self.decode_sequence_s * batch, self.decode_context_s

    def prefill_s(self, new_tokens: int, context: float) -> float:
        """Return the seconds for `new_tokens` of a prompt, whatever the context.

        Raises:
            TypeError, ValueError: `new_tokens` is not a whole number of 1 or more.
        """
        new_tokens = whole("new_tokens", new_tokens, low=1, fix="a piece of a prompt has tokens")
        return self.prefill_fixed_s + self.prefill_token_s * new_tokens


def calculator_timing(
    architecture: Architecture, device: Device, workload: Workload, efficiency: Efficiency
) -> "CalculatorTiming":
    """Return the calculator's times for this model on this device.

    Only the bits and the tensor parallelism of `workload` are used. The time of a decode step is linear in the tokens
    that it reads; a layer with a window reads no more than the window.

    Raises:
        TypeError: not an Architecture, a Device, a Workload and an Efficiency.
        ValueError: the workload has stages, a draft or a cached prompt, which the simulator does not know; or as
            `step()`.

    A decode step of 8 sequences with 1000 tokens each, by the calculator and by this linear time:

    >>> from mini_lib.llm.cost import IDEAL, find_device, find_model
    >>> llama, h100 = find_model("Llama-3-8B"), find_device("H100-SXM-80GB")
    >>> fixed_s, context_s = calculator_timing(llama, h100, Workload(), IDEAL).decode_s(8)
    >>> calculated = step(llama, h100, batch=8, new_tokens=1, context=1000, efficiency=IDEAL)
    >>> abs(fixed_s + context_s * 8000 - calculated.seconds) < 1e-9
    True
    """
    for name, value in {"pipeline_parallel": 1, "draft": None, "cached_prompt": 0}.items():
        if getattr(need_workload(workload), name) != value:
            raise ValueError(
                f"{name} must be {value} in the simulator, got {getattr(workload, name)}; use estimate() for it"
            )
    timing = CalculatorTiming(architecture, device, workload, efficiency)
    timing.decode_s(1)  # so that a split that the model does not allow is refused here
    return timing


@dataclass(frozen=True)
class CalculatorTiming:
    """The calculator as a `Timing`: see `calculator_timing()`."""

    architecture: Architecture
    device: Device
    workload: Workload
    efficiency: Efficiency
    _known: dict[tuple[int, int, int], "_Parts"] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        need_architecture(self.architecture)
        need_device(self.device)
        need_workload(self.workload)
        need_efficiency(self.efficiency)

    @property
    def window(self) -> Window | None:
        """Which layers keep only the last tokens."""
        return window_of(self.architecture)

    def decode_s(self, batch: int) -> tuple[float, float]:
        """Return (fixed_s, s_per_context_token) of a decode step of `batch` sequences.

        Raises:
            TypeError, ValueError: as `step()`.
        """
        batch = whole("batch", batch, low=1, fix="a step serves somebody")
        low, high, window = self.workload.prompt, self.workload.prompt + self.workload.output, self.window
        further = high - low
        if window is not None:  # from an empty to a full window, which holds one token fewer than it sees
            low, high = 0, window.tokens
            further = (window.kept(high) - window.windowed_layers) / window.layers or 1
        low_s, high_s = (self._timed(batch, 1, context).all_s for context in (low, high))
        context_s = (high_s - low_s) / (batch * further)
        return low_s - context_s * batch * low, context_s

    def prefill_s(self, new_tokens: int, context: float) -> float:
        """Return the seconds for `new_tokens` of a prompt after `context` others.

        Raises:
            TypeError, ValueError: as `step()`.
        """
        new_tokens = whole("new_tokens", new_tokens, low=1, fix="a piece of a prompt has tokens")
        return self._at(1, new_tokens, context, lambda parts: parts.all_s)

    def pass_s(self, tokens: int, new_tokens: int, context: float, prompts: int) -> float:
        """Return the seconds of a pass over `tokens`, of which `new_tokens` belong to pieces of `prompts` prompts.

        Each of these attends to `context` others on average, and to those before it in its own piece. The attention of
        the other tokens is not included: each of them continues an answer, and `decode_s` gives the time of that. The
        head is computed for the last token of each piece and for each answer. Where the sequences are distributed over
        devices, the fullest device decides.

        Raises:
            TypeError, ValueError: as `step()`; or `new_tokens` is more than `tokens`, or `prompts` more than
                `new_tokens`.
        """
        tokens = whole("tokens", tokens, low=1, fix="a pass has tokens")
        new_tokens = whole("new_tokens", new_tokens, low=1, high=tokens, fix="they are among the tokens of the pass")
        prompts = whole("prompts", prompts, low=1, high=new_tokens, fix="each piece of a prompt has a token")
        w, answers = self.workload, tokens - new_tokens
        devices = w.tensor_parallel if w.attention_parallel == "data" else 1
        pieces, others = ceil(prompts / devices), ceil(answers / devices)  # those of the fullest device
        own = -(-pieces * new_tokens // prompts) + others
        # experts are not distributed by sequence: they wait for the tokens of all devices
        seconds = self._timed(devices, own, 0).rest_s + self._timed(devices, -(-tokens // devices), 0).experts_s
        seconds += self._timed(devices * (pieces + others), 1, 0).head_s
        return seconds + self._at(prompts, -(-new_tokens // prompts), context, lambda parts: parts.attention_s)

    def _at(self, batch: int, new_tokens: int, context: float, part: Callable[["_Parts"], float]) -> float:
        """The seconds at any context, interpolated between two whole multiples of the grid.

        They lie on straight lines, except for a few kinks where attention changes from memory-bound to compute-bound.
        """
        context = known_tokens("context", context, fix="use 0 for an empty cache")
        below = int(context) // _GRID * _GRID
        share = (context - below) / _GRID
        seconds = part(self._timed(batch, new_tokens, below))
        return seconds + (share * (part(self._timed(batch, new_tokens, below + _GRID)) - seconds) if share else 0.0)

    def _timed(self, batch: int, new_tokens: int, context: int) -> "_Parts":
        key = batch, new_tokens, context
        if key not in self._known:
            timed = step(
                self.architecture,
                self.device,
                batch=batch,
                new_tokens=new_tokens,
                context=context,
                efficiency=self.efficiency,
                **self.workload.precision,
            )
            spent = dict.fromkeys(("attention", "experts", "head", "rest"), 0.0)
            for row in timed.rows:
                spent[_PART_OF.get(row.operator.role, "rest")] += row.seconds
            self._known[key] = _Parts(
                spent["attention"], spent["experts"], spent["head"], timed.overhead_s + spent["rest"]
            )
        return self._known[key]


class _Parts(NamedTuple):
    """The seconds of a step: of attention to the cache, of the experts, of the head, and of everything else."""

    attention_s: float
    experts_s: float
    head_s: float
    rest_s: float

    @property
    def all_s(self) -> float:
        return sum(self)


_PART_OF = {Role.ATTENTION: "attention", Role.UNFOLD: "attention", Role.EXPERT: "experts", Role.HEAD: "head"}


_GRID = 512  # tokens of context between two calls of the calculator


def kv_room_tokens(architecture: Architecture, device: Device, workload: Workload) -> int:
    """Return how many tokens of KV cache fit on the device next to the weights and the activations of the largest pass.

    A token counts as one where every layer keeps it. `simulate()` counts the tokens that each sequence keeps, so the
    room depends on neither the prompt, the output nor the batch of `workload`. The largest pass has
    `LARGEST_PASS_TOKENS` tokens, or those of the `prefill_chunk`. Where the sequences are distributed over devices, the
    result is the room of all of them together.

    Raises:
        TypeError: not an Architecture, a Device and a Workload.
        ValueError: not even one token fits (the message says how much memory is missing); or as `memory()`.

    On an H100, Llama-3-8B leaves 80 GiB - 16.06 GB - 0.74 GB for tokens of 131072 bytes:

    >>> from mini_lib.llm.cost import find_device, find_model
    >>> kv_room_tokens(find_model("Llama-3-8B"), find_device("H100-SXM-80GB"), Workload()) // 1000
    527
    """
    full = replace(need_workload(workload), batch=1, prompt=LARGEST_PASS_TOKENS, cached_prompt=0)
    held = memory(architecture, device, full)
    free_bytes = held.capacity_bytes - held.weights_bytes - held.activation_bytes
    devices = workload.tensor_parallel if workload.attention_parallel == "data" else 1
    token_bytes = held_kv_bytes_per_token(architecture, workload)
    if workload.draft is not None:  # on one device, for the tokens of all
        token_bytes += (devices - 1) * kv_bytes_per_token(workload.draft.architecture, workload.kv_bits)
    if free_bytes < token_bytes:
        short = (token_bytes - free_bytes) / 2**30
        raise ValueError(
            f"{architecture.name} leaves no room for a KV cache on {device.name}: {short:.2f} GiB short; "
            "use fewer weight_bits, more tensor_parallel, a prefill_chunk or a larger device"
        )
    return int(free_bytes / token_bytes) * devices
