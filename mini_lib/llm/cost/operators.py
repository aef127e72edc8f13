"""Every operator of one step as a row: its FLOPs, and the bytes that it must move.

Prefill and decode are one function of (new tokens, context): a prompt of 1000 is 1000 new tokens on an
empty context, the next word is 1 new token on a context of 1000, and a chunk is in between.

Source: Pope et al., "Efficiently Scaling Transformer Inference", 2022, sections 2 and 3; Narayanan et al.,
"Efficient Large-Scale Language Model Training on GPU Clusters", 2021, section 2.3 (tensor parallelism).
"""

from dataclasses import dataclass, replace
from math import ceil

from mini_lib.llm.cost import limits
from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, need_architecture
from mini_lib.llm.cost.kv_cache import kept_tokens, kv_numbers_per_token
from mini_lib.llm.cost.matrices import WeightMatrix, matrices
from mini_lib.llm.cost.parallel import check_tensor_parallel
from mini_lib.llm.cost.roles import Role
from mini_lib.require import of_type, one_of, whole

ACTIVATION_BYTES = 2  # engines keep activations in 16 bits between operators


@dataclass(frozen=True)
class Operator:
    """The work of one kind of operator in a step, over all its `calls`, on one device.

    `weights` counts the numbers stored in `weight_bytes`. `group` is how many query heads on this device share a KV
    head.
    """

    name: str
    role: Role
    calls: int
    flops: float = 0.0
    weights: float = 0.0
    weight_bytes: float = 0.0
    activation_bytes: float = 0.0
    kv_bytes: float = 0.0
    link_bytes: float = 0.0
    group: float = 1.0

    @property
    def bytes(self) -> float:
        """The bytes that must pass between memory and processor."""
        return self.weight_bytes + self.activation_bytes + self.kv_bytes

    @property
    def intensity(self) -> float:
        """FLOPs per byte moved."""
        return self.flops / self.bytes if self.bytes else 0.0


def operators(
    architecture: Architecture,
    *,
    batch: int = 1,
    new_tokens: int,
    context: float = 0,
    weight_bits: float = 16,
    kv_bits: float = 16,
    tensor_parallel: int = 1,
    attention_parallel: str = "tensor",
    causal: bool = True,
    head_on: str = "last",
) -> tuple[Operator, ...]:
    """Return the operators of one step: `batch` sequences, each with `new_tokens` after `context` cached ones.

    `causal=False` counts the masked half of the scores too, and `head_on="all"` the head for every token: a plain
    implementation computes both, and engines skip both.

    `attention_parallel="data"` distributes the sequences instead of the heads: each device holds the whole model except
    the experts, and computes attention for its part of the batch. The experts stay divided, and each layer of them
    exchanges once. A sequence is whole on one device. The rows are those of the fullest device, for which the others
    wait.

    Raises:
        TypeError, ValueError: a count or width is out of range, or the model does not allow the split.

    One token of Llama-3-8B without context takes two FLOPs for each of its 7,504,658,432 weights in matrices:

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> rows = operators(LLAMA_3_8B, new_tokens=1)
    >>> int(sum(row.flops for row in rows if row.weights)) == 2 * 7_504_658_432
    True
    """
    of_type("causal", causal, bool, fix="False counts the masked half too")
    a = need_architecture(architecture)
    batch = whole("batch", batch, low=1, fix="use 1 for a single user")
    new_tokens = whole("new_tokens", new_tokens, low=1, fix="a decode step has 1")
    context = limits.context("context", context, fix="use 0 for an empty cache")
    weight_bits = limits.bits("weight_bits", weight_bits, fix="use 16, 8 or 4.5")
    kv_bits = limits.bits("kv_bits", kv_bits, fix="use 16, 8 or 4")
    one_of("head_on", head_on, ("last", "all"), fix="engines compute the head of the last token")
    one_of("attention_parallel", attention_parallel, ("tensor", "data"), fix="'tensor' divides the heads")
    tensor_parallel = check_tensor_parallel(a, tensor_parallel, attention_parallel)
    tokens = batch * new_tokens
    # outside the experts, a device works on `own` sequences; `together` devices share each sequence
    own, together = (ceil(batch / tensor_parallel), 1) if attention_parallel == "data" else (batch, tensor_parallel)
    attention, unfolded = _attend(a, own, new_tokens, context, kv_bits, together, causal)
    # two norms and two additions read and write `hidden`; the activation reads its inputs and writes its output
    dense, mixed = _widths(a)
    inside = own * dense / together + batch * mixed / tensor_parallel
    touched = own * 8 * a.layers * a.hidden + inside * a.feed_forward.matrices
    looked_up = own * new_tokens * 2 * a.hidden * ACTIVATION_BYTES
    rows = [Operator("embedding", Role.EMBEDDING, 1, activation_bytes=looked_up)]
    for m in matrices(a):
        met, devices = (tokens, tensor_parallel) if m.role is Role.EXPERT else (own * new_tokens, together)
        match m.role:
            case Role.QKV:  # a device computes at least one KV head: with fewer heads than devices, each head is copied
                copied = max(0, devices - a.attention.kv_heads)
                m = replace(m, rows=m.rows + 2 * copied * a.attention.head_dim)
            case Role.UNFOLD if unfolded:  # the keys and values of the whole context are expanded again
                met = own * (new_tokens + context)
            case Role.ATTENTION_OUT:
                rows.append(attention)
            case Role.HEAD:
                small = new_tokens * touched * ACTIVATION_BYTES
                rows.append(Operator("norms, sums, activations", Role.ELEMENTWISE, a.layers, activation_bytes=small))
                rows += _exchange(a, own * new_tokens, tensor_parallel, attention_parallel)
                met = met if head_on == "all" else own
        rows.append(_multiply(m, met, weight_bits, devices))
    return tuple(rows)


def _widths(a: Architecture) -> tuple[int, int]:
    """The widths of the feed-forwards that a token passes, summed over the layers: of the dense ones, and of
    experts."""
    ff = a.feed_forward
    if not isinstance(ff, Experts):
        return a.layers * ff.width, 0
    return ff.dense_layers * ff.dense_width, a.expert_layers * (ff.active * ff.width + ff.shared_width)


def _multiply(m: WeightMatrix, tokens: float, weight_bits: float, devices: int) -> Operator:
    share = 1 if m.split == "none" else devices
    numbers = m.parameters / m.copies * _copies_met(m, tokens) / share
    inputs = m.columns / (devices if m.split == "columns" else 1)
    outputs = m.rows / (devices if m.split == "rows" else 1)
    return Operator(
        m.name,
        m.role,
        m.layers,
        flops=2 * tokens * m.visited_parameters / share,
        weights=numbers,
        weight_bytes=numbers * weight_bits / 8,
        activation_bytes=tokens * m.visited * m.layers * (inputs + outputs) * ACTIVATION_BYTES,
    )


def _copies_met(m: WeightMatrix, tokens: float) -> float:
    """How many of an operator's copies are visited by at least one token of the batch, if each chooses at random."""
    return m.copies * (1 - (1 - m.visited / m.copies) ** tokens) if m.visited < m.copies else m.copies


def _attend(
    a: Architecture, batch: float, new: int, context: float, kv_bits: float, devices: int, causal: bool
) -> tuple[Operator, bool]:
    """Scores and weighted sums, and whether the compressed vectors of latent attention are expanded for them."""
    at = a.attention
    cached = batch * kv_numbers_per_token(a) * kv_bits / 8 * kept_tokens(a, context + new)
    attention = Operator("attention", Role.ATTENTION, a.layers, kv_bytes=cached)
    if isinstance(at, Attention):
        pairs = batch * ((a.layers - at.windowed_layers) * _pairs(new, context, None, causal))
        pairs += batch * at.windowed_layers * _pairs(new, context, at.window, causal)
        local = max(at.kv_heads / devices, 1)  # with fewer KV heads than devices, each head is copied
        # scores and weighted sum: a MAC for each number of a head, twice
        flops = 4 * pairs * at.heads * at.head_dim / devices
        cached = cached * local / at.kv_heads
        return replace(attention, flops=flops, kv_bytes=cached, group=at.heads / devices / local), False
    # every device keeps the whole compressed cache
    pairs = batch * a.layers * _pairs(new, context, None, causal)
    per_head = at.heads / devices
    unfolded = 2 * pairs * per_head * (at.nope_dim + at.rope_dim + at.value_dim)
    unfolding = 2 * batch * context * a.layers * per_head * (at.nope_dim + at.value_dim) * at.kv_rank
    absorbed = 2 * pairs * per_head * (2 * at.kv_rank + at.rope_dim)
    # either expand the cached vectors into keys and values, or move that matrix to the side of the query: whichever is
    # less work
    if absorbed <= unfolded + unfolding:
        return replace(attention, name="attention, absorbed", flops=absorbed), False
    return replace(attention, name="attention, unfolded", flops=unfolded), True


def _pairs(new: int, context: float, window: int | None, causal: bool) -> float:
    """How many (query, key) pairs one head scores in one layer."""
    if not causal:
        return new * (context + new)
    if window is None or context + new <= window:
        return new * context + new * (new + 1) / 2
    growing = max(0.0, min(new, window - context))  # these tokens do not fill the window yet
    return growing * context + growing * (growing + 1) / 2 + (new - growing) * window


def _exchange(a: Architecture, own_tokens: int, devices: int, attention_parallel: str) -> tuple[Operator, ...]:
    if devices == 1:
        return ()
    if attention_parallel == "data":  # all to all: each token travels to the devices that hold its experts, and back
        calls = a.expert_layers
        others = (devices - 1) * (1 - (1 - 1 / devices) ** a.feed_forward.active) if calls else 0
        passed = calls * own_tokens * 2 * others * a.hidden * ACTIVATION_BYTES
        return (Operator("all-to-all", Role.COLLECTIVE, calls, link_bytes=passed),) if calls else ()
    calls = a.layers * (1 if a.parallel_block else 2)
    # a ring passes every number on 2 * (n - 1) / n times: once to add up, once to hand out
    passed = calls * own_tokens * a.hidden * ACTIVATION_BYTES * 2 * (devices - 1) / devices
    return (Operator("all-reduce", Role.COLLECTIVE, calls, link_bytes=passed),)
