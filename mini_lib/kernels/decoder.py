"""decoder.c bound: the work of a decode step of a Llama-like model, apart from its matrix products.

Every function returns a call without arguments that reads some of the tensors it was given and writes the others, so a
plan is made once and costs about a microsecond per call. instructions: one of `instruction_sets()`, by default the
best. "torch" does the same in torch, "plain" in C without vectors, and all others in C with vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mini_lib.kernels.binding import bound, need_layout, thread_count
from mini_lib.kernels.layer_cache import LayerCache
from mini_lib.kernels.packed import TORCH, instruction_sets
from mini_lib.require import not_negative, of_type, one_of, whole

Call = Callable[[], None]

_FLOAT, _INT64 = (torch.float32,), (torch.int64,)
_MOST_OF_A_HEAD = 16_384  # numbers of q that share a head of keys: the kernel keeps some copies of them on the stack
_WIDEST = 8  # lanes of the longest vector in decoder.c


def bind_rms_norm(x: Tensor, weight: Tensor, y: Tensor, eps: float = 1e-5, *, instructions: str | None = None) -> Call:
    """Bind y = x / sqrt(mean(x²) + eps) · weight for each row of x: float32 [n, width], weight [width].

    Raises:
        TypeError, ValueError: as `need_layout`; eps is below 0; or this machine does not have these instructions.

    >>> y = torch.empty(1, 2)
    >>> bind_rms_norm(torch.tensor([[1.0, 7.0]]), torch.tensor([5.0, 10.0]), y, eps=0.0)()
    >>> y                                                            # sqrt((1 + 49) / 2) = 5
    tensor([[ 1., 14.]])

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019), equation 4.
    """
    rows, width = _norm_shape(x, weight, y, eps)
    if _defines(instructions) is None:
        return lambda: _into(y, F.rms_norm(x, (width,), weight, eps))
    return bound(
        "decoder.c",
        "rms_norm",
        (rows, width, x, weight, torch.tensor(float(eps), dtype=torch.float32), y),
        **_defines(instructions),
    )


def bind_add_rms_norm(
    x: Tensor, delta: Tensor, weight: Tensor, y: Tensor, eps: float = 1e-5, *, instructions: str | None = None
) -> Call:
    """Bind x += delta, then y = `rms_norm` of x: a residual and the norm after it. Shapes as for `bind_rms_norm`.

    Raises:
        TypeError, ValueError: as `bind_rms_norm`.

    >>> x, y = torch.tensor([[1.0, 3.0]]), torch.empty(1, 2)
    >>> bind_add_rms_norm(x, torch.tensor([[0.0, 4.0]]), torch.tensor([5.0, 10.0]), y, eps=0.0)()
    >>> x, y                                                         # sqrt((1 + 49) / 2) = 5
    (tensor([[1., 7.]]), tensor([[ 1., 14.]]))
    """
    rows, width = _norm_shape(x, weight, y, eps)
    need_layout("delta", delta, _FLOAT, (rows, width))
    if _defines(instructions) is None:
        return lambda: _into(y, F.rms_norm(x.add_(delta), (width,), weight, eps))
    arguments = (rows, width, x, delta, weight, torch.tensor(float(eps), dtype=torch.float32), y)
    return bound("decoder.c", "add_rms_norm", arguments, **_defines(instructions))


def bind_swiglu(row: Tensor, y: Tensor, *, instructions: str | None = None) -> Call:
    """Bind y = silu(gate) · up, float32 [n, width], where each row [2 · width] holds gate and then up.

    Raises:
        TypeError, ValueError: as `need_layout`; or this machine does not have these instructions.

    >>> y = torch.empty(1, 2)
    >>> bind_swiglu(torch.tensor([[0.0, 100.0, 5.0, 2.0]]), y)()     # silu(0) = 0, silu(100) = 100
    >>> y
    tensor([[  0., 200.]])

    Source: Shazeer, "GLU Variants Improve Transformer" (2020), section 2, without the product with W2.
    """
    rows, width = need_layout("y", y, _FLOAT, (None, None))
    need_layout("row", row, _FLOAT, (rows, 2 * width))
    if _defines(instructions) is None:
        return lambda: _into(y, F.silu(row[:, :width]) * row[:, width:])
    return bound("decoder.c", "swiglu", (rows, width, row, y), **_defines(instructions))


# --- attention -----------------------------------------------------------------------------------------------------


def bind_attend(
    row: Tensor,
    position: Tensor,
    cos: Tensor,
    sin: Tensor,
    cache: LayerCache,
    scratch: Tensor,
    out: Tensor,
    threads: int = 1,
    *,
    instructions: str | None = None,
) -> Call:
    """Bind the attention of one layer to one new token: turn q and k, put k and v into the cache, attend to it.

    row: float32 [(heads + 2 · kv_heads) · head_dim], the token's q, k and v, one head after the other.
    position: int64 [1], read by each call. Places 0 to position - 1 of the cache are the tokens before; k and v go to
        `position`. Where the cache has no such place, `out` is NaN and the cache stays as it is.
    cos, sin: float32 [room or more, head_dim / 2], of the angles by which the pairs (i, i + head_dim / 2) turn.
    scratch: float32, working memory for the call: `attend_scratch` or more. Layers may share it.
    out: float32 [heads · head_dim], softmax(q kᵀ / sqrt(head_dim)) v. A head of keys serves heads / kv_heads of q.
    threads: from 256 tokens on, each takes a part of the context; sums are then rounded in another order.

    Raises:
        TypeError, ValueError: as `need_layout`, a size does not fit, or this machine does not have these instructions.
        NoCompiler: there are two threads or more, and the compiler has no OpenMP.

    >>> cache, out = LayerCache.empty(1, 2, 2), torch.empty(2)
    >>> row, position = torch.tensor([0.0, 0, 0, 0, 3, 5]), torch.tensor([0])
    >>> cos, sin = torch.ones(2, 1), torch.zeros(2, 1)
    >>> attend = bind_attend(row, position, cos, sin, cache, attend_scratch(cache, heads=1), out)
    >>> attend()                                                     # the only token
    >>> row[4], position[0] = 4.0, 1
    >>> attend()                                                     # q = 0: the mean of (3, 5) and (4, 5)
    >>> out
    tensor([3.5000, 5.0000])
    """
    threads = thread_count(threads)
    of_type("cache", cache, LayerCache, fix="LayerCache.empty makes one")
    kv_heads, room, head_dim = len(cache.keys), cache.room, cache.head_dim
    (width,) = need_layout("out", out, _FLOAT, (None,))
    if not width or width % (kv_heads * head_dim):
        raise ValueError(
            f"out must hold a multiple of {kv_heads} heads of {head_dim} numbers, got {width} numbers; reshape it"
        )
    group = width // (kv_heads * head_dim)
    need_layout("row", row, _FLOAT, (width + 2 * kv_heads * head_dim,))
    need_layout("position", position, _INT64, (1,))
    for name, table in {"cos": cos, "sin": sin}.items():
        places, _ = need_layout(name, table, _FLOAT, (None, head_dim // 2))
        if places < room:
            raise ValueError(f"{name} must have an angle for each of {room} places, got {places}; make it longer")
    (numbers,) = need_layout("scratch", scratch, _FLOAT, (None,))
    least = _scratch_numbers(cache, width // head_dim, threads)
    if numbers < least:
        raise ValueError(f"scratch must hold {least} numbers or more, got {numbers}; attend_scratch makes it")
    if group * head_dim > _MOST_OF_A_HEAD:
        raise ValueError(
            f"{group} heads of {head_dim} numbers do not fit the stack; use at most {_MOST_OF_A_HEAD:,} numbers of q "
            "per head of keys"
        )
    defines = _defines(instructions)
    if defines is None:
        return partial(_attend_in_torch, row, position, cos, sin, cache, out)
    load = _WIDEST if cache.bits == 32 else 4 * _WIDEST  # numbers, or bytes of codes
    if cache.keys.shape[2] % load or (cache.bits != 32 and cache.group_size % load):
        defines = {"PLAIN": 1}  # a vector would not fill, or hold parts of two groups
    grids = (0, 0) if cache.bits == 32 else (cache.key_grid, cache.value_grid)
    arguments = (kv_heads, room, row, position, cos, sin, cache.keys, cache.values, *grids, scratch, out)
    sizes = {"HEAD_DIM": head_dim, "GROUP": group, "BITS": cache.bits}
    if cache.bits != 32:
        sizes["GROUP_SIZE"] = cache.group_size
    return bound("decoder.c", "attend", arguments, threads=threads, **defines, **sizes)


def attend_scratch(cache: LayerCache, heads: int, threads: int = 1) -> Tensor:
    """Return memory for `bind_attend`, float32: a score for each query head and place, and for each thread its sums.

    Raises:
        TypeError, ValueError: a number is not a whole number of 1 or more.

    >>> len(attend_scratch(LayerCache.empty(3, 2048, 64), heads=9))  # 9 · (2,048 + 64 + 10)
    19098
    """
    of_type("cache", cache, LayerCache, fix="LayerCache.empty makes one")
    heads = whole("heads", heads, low=1, high=2**16, fix="the heads of q")
    return torch.zeros(_scratch_numbers(cache, heads, thread_count(threads)))


def _scratch_numbers(cache: LayerCache, heads: int, threads: int) -> int:
    return heads * (cache.room + threads * (cache.head_dim + _WIDEST + 2))


def _attend_in_torch(row: Tensor, position: Tensor, cos: Tensor, sin: Tensor, cache: LayerCache, out: Tensor) -> None:
    here, kv_heads, head_dim = int(position), len(cache.keys), cache.head_dim
    if not 0 <= here < cache.room:
        out.fill_(torch.nan)
        return
    q, k, v = row.view(-1, head_dim).split([len(row) // head_dim - 2 * kv_heads, kv_heads, kv_heads])
    q, k = (_turned(x, cos[here], sin[here]) for x in (q, k))
    cache.write(here, k[:, None], v[:, None])
    keys, values = cache.read(here + 1)
    scores = q.view(kv_heads, -1, head_dim) @ keys.transpose(1, 2) / head_dim**0.5
    out.copy_((scores.softmax(-1) @ values).flatten())


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


# --- between Python and C ------------------------------------------------------------------------------------------


def _defines(instructions: str | None) -> dict[str, int] | None:
    """What is defined for the compiler, or None for torch."""
    here = instruction_sets()
    if instructions is not None:
        one_of("instructions", instructions, here, fix="the others are not in this processor, or need a compiler")
    chosen = instructions or here[0]
    return None if chosen == TORCH else {"PLAIN": 1} if chosen == "plain" else {}


def _norm_shape(x: Tensor, weight: Tensor, y: Tensor, eps: float) -> tuple[int, ...]:
    eps = not_negative("eps", eps, fix="1e-5 is usual")
    shape = need_layout("x", x, _FLOAT, (None, None))
    need_layout("weight", weight, _FLOAT, shape[1:])
    return need_layout("y", y, _FLOAT, shape)


def _into(y: Tensor, result: Tensor) -> None:
    y.copy_(result)
