"""The possible splits of a model over devices."""

from mini_lib.llm.cost.architecture import Architecture, Attention, Experts, need_architecture
from mini_lib.require import whole


def check_tensor_parallel(architecture: Architecture, devices: int, attention_parallel: str = "tensor") -> int:
    """Return `devices` if the heads and widths of `architecture` can be divided evenly among that many.

    With `attention_parallel="data"` only the experts are divided, and a model without experts allows every number.

    Raises:
        TypeError: not an Architecture, or `devices` is not a whole number.
        ValueError: it is below 1, or does not divide the heads, the experts or a width; the message lists splits that
            work.

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> check_tensor_parallel(LLAMA_3_8B, 3)
    Traceback (most recent call last):
    ValueError: tensor_parallel 3 does not divide the 32 heads of LLaMA-3-8B; use 1, 2, 4, 8, 16 or 32
    """
    devices = whole("tensor_parallel", devices, low=1, fix="use 1 for a single device")
    can_share = _can_share_experts if attention_parallel == "data" else _can_share
    if not can_share(need_architecture(architecture), devices):
        parts_of = _parts_of_experts if attention_parallel == "data" else _parts
        parts = [what for what, count in parts_of(architecture) if count % devices] or ["groups of heads"]
        good = [n for n in range(1, 65) if can_share(architecture, n)]
        choice = " or ".join(filter(None, (", ".join(map(str, good[:-1])), str(good[-1]))))
        raise ValueError(
            f"tensor_parallel {devices} does not divide the {parts[0]} of {architecture.name}; use {choice}"
        )
    return devices


def check_pipeline_parallel(architecture: Architecture, stages: int) -> int:
    """Return `stages` if each of that many devices in a row can hold at least one layer.

    Raises:
        TypeError: not an Architecture, or `stages` is not a whole number.
        ValueError: it is below 1, or there are fewer layers.

    >>> from mini_lib.llm.cost.models import LLAMA_3_8B
    >>> check_pipeline_parallel(LLAMA_3_8B, 40)
    Traceback (most recent call last):
    ValueError: pipeline_parallel 40 is more than the 32 layers of LLaMA-3-8B; a stage holds at least one layer
    """
    stages = whole("pipeline_parallel", stages, low=1, fix="use 1 for a single stage")
    if stages > need_architecture(architecture).layers:
        raise ValueError(
            f"pipeline_parallel {stages} is more than the {architecture.layers} layers of {architecture.name}; "
            "a stage holds at least one layer"
        )
    return stages


def _can_share(a: Architecture, devices: int) -> bool:
    if isinstance(a.attention, Attention):
        kv_heads = a.attention.kv_heads
        if kv_heads % devices and devices % kv_heads:  # with fewer KV heads than devices, all are copied equally often
            return False
    return all(count % devices == 0 for _, count in _parts(a))


def _parts(a: Architecture) -> list[tuple[str, int]]:
    ff = a.feed_forward
    widths = [ff.width, ff.dense_width, ff.shared_width] if isinstance(ff, Experts) else [ff.width]
    return [
        (f"{a.attention.heads} heads", a.attention.heads),
        *((f"feed-forward width {width}", width) for width in widths if width),
    ]


def _can_share_experts(a: Architecture, devices: int) -> bool:
    """Whether the experts of every layer can be divided evenly: by whole experts, or by equal parts of each one."""
    if not isinstance(ff := a.feed_forward, Experts):
        return True
    return ff.shared_width % devices == 0 and (ff.count % devices == 0 or ff.width % devices == 0)


def _parts_of_experts(a: Architecture) -> list[tuple[str, int]]:
    ff = a.feed_forward
    shared = [(f"feed-forward width {ff.shared_width}", ff.shared_width)] if ff.shared_width else []
    return [(f"{ff.count} experts", ff.count), *shared]
