"""What a decode step does besides matrix products, in C and in torch, against float64 and torch's own layers."""

import gc
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mini_lib import native
from mini_lib.kernels import (
    LayerCache,
    attend_scratch,
    bind_add_rms_norm,
    bind_attend,
    bind_rms_norm,
    bind_swiglu,
    instruction_sets,
)

SETS = instruction_sets()
PATHS = [name for name in ("portable", "plain", "torch") if name in SETS]
EPS = 2.0**-24  # half a unit in the last place of float32


def chance(seed):
    return torch.Generator().manual_seed(seed)


# --- norms and SwiGLU ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@given(rows=st.integers(1, 3), width=st.integers(1, 70), seed=st.integers(0, 99), eps=st.sampled_from([0.0, 1e-5, 1.0]))
@settings(max_examples=25, deadline=None)
def test_norms(path, rows, width, seed, eps):
    """A square, the sum of `width` of them, the mean, eps, the root and 1 / root round; then two products.

    The relative error of the sum counts half, since its root is taken: at most (width / 2 + 6) EPS altogether.
    """
    x, delta, weight = (
        torch.randn(*shape, generator=chance(seed)) for shape in ((rows, width), (rows, width), (width,))
    )
    want = F.rms_norm(x.double(), (width,), weight.double(), eps)
    y, added = torch.full((2, rows, width), math.nan)
    bind_rms_norm(x, weight, y, eps, instructions=path)()
    assert (y - want).abs().le((width / 2 + 6) * EPS * want.abs()).all()
    before = x.clone()
    bind_add_rms_norm(x, delta, weight, added, eps, instructions=path)()
    assert torch.equal(x, before + delta)
    bind_rms_norm(x, weight, y, eps, instructions=path)()
    assert torch.equal(y, added)


@pytest.mark.parametrize("path", PATHS)
@given(rows=st.integers(1, 3), width=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_swiglu(path, rows, width, seed):
    """exp is off by 2e-7 at most, as decoder.c says: less than 4 EPS. 1 +, / and * add an EPS each."""
    row = torch.randn(rows, 2 * width, generator=chance(seed)) * 8
    y = torch.full((rows, width), math.nan)
    bind_swiglu(row, y, instructions=path)()
    gate, up = row.double().chunk(2, dim=1)
    want = gate / (1 + torch.exp(-gate)) * up
    assert (y - want).abs().le(7 * EPS * want.abs()).all()


@pytest.mark.parametrize("path", PATHS)
def test_exp_over_its_whole_range(path):
    """silu(-x) / -x is 1 / (1 + exp(x)): for x > 18 it is exp(-x) to 2^-26, and the product with up brings it to size.

    Beyond the range silu is 0 and x, to 2^-126 of x.
    """
    x = torch.linspace(18, 87, 100_003)
    y = torch.empty(1, len(x))
    bind_swiglu(torch.cat([-x, torch.exp(x.double()).float()])[None], y, instructions=path)()
    want = -x.double() / (1 + torch.exp(x.double())) * torch.exp(x.double()).float().double()
    relative = ((y[0] - want) / want).abs().max()
    assert relative <= 2e-7 + 3 * EPS
    far = torch.tensor([[-1e30, -200.0, -104.0, 0.0, 104.0, 200.0, 1e30, math.nan], [1.0] * 8])
    y = torch.empty(1, 8)
    bind_swiglu(far.view(1, 16), y, instructions=path)()
    assert (y - F.relu(far[:1]))[0, :7].abs().le(2.0**-126 * far[0, :7].abs()).all() and y[0, 7].isnan()


# --- attention -----------------------------------------------------------------------------------------------------


def tables(room, head_dim):
    angles = torch.arange(room)[:, None] * 10_000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)
    return angles.cos().contiguous(), angles.sin().contiguous()


def turned(x, cos, sin):
    """As transformers' Llama does it: x cos + rotate_half(x) sin."""
    a, b = x.chunk(2, dim=-1)
    return x * torch.cat([cos, cos], -1) + torch.cat([-b, a], -1) * torch.cat([sin, sin], -1)


def run(path, rows, heads, cache, angles, threads=1):
    """Feed tokens one after the other: [n, heads * head_dim]."""
    row, position, out = rows[0].clone(), torch.zeros(1, dtype=torch.int64), torch.empty(heads * cache.head_dim)
    scratch = attend_scratch(cache, heads, threads)
    attend = bind_attend(row, position, *angles, cache, scratch, out, threads, instructions=path)
    outs = []
    for place, one in enumerate(rows):
        row.copy_(one)
        position.fill_(place)
        attend()
        outs.append(out.clone())
    return torch.stack(outs)


def parts(rows, heads, kv_heads, head_dim, angles):
    """q, k, v in float64 [heads, n, head_dim], q and k turned."""
    q, k, v = rows.double().view(len(rows), -1, head_dim).transpose(0, 1).split([heads, kv_heads, kv_heads])
    cos, sin = (table[: len(rows)].double() for table in angles)
    return turned(q, cos, sin), turned(k, cos, sin), v


def bound(q, k, v, head_dim):
    """Of float32 against exact arithmetic, for each head and token.

    A score is a sum of head_dim products (and with codes, as many for the sum of q times the lowest value): it is off
    by at most (2 head_dim + 12) EPS of sum |q| |k|, the 12 for turning, scaling and the grid. That, and 4 EPS for exp,
    changes each weight by that share; so does the sum of weights, and the sums over tokens add 2 n + 8 EPS. All of it
    is a share of the largest |v|.
    """
    group = len(q) // len(k)
    size = (q.abs() @ k.abs().repeat_interleave(group, 0).transpose(1, 2)).amax(-1) / head_dim**0.5
    share = (2 * head_dim + 12) * EPS * size + (4 + 2 * k.shape[1] + 8) * EPS
    return (2 * share * v.abs().amax()).T.repeat_interleave(head_dim, 1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("group, head_dim", [(1, 2), (4, 6), (2, 16), (3, 64)])
@given(kv_heads=st.integers(1, 3), count=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_attention(path, group, head_dim, kv_heads, count, seed):
    heads, angles = kv_heads * group, tables(count, head_dim)
    rows = torch.randn(count, (heads + 2 * kv_heads) * head_dim, generator=chance(seed))
    cache = LayerCache.empty(kv_heads, count, head_dim)
    got = run(path, rows, heads, cache, angles)
    q, k, v = parts(rows, heads, kv_heads, head_dim, angles)
    want = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    assert (got - want.transpose(0, 1).flatten(1)).abs().le(bound(q, k, v, head_dim)).all()
    torch.testing.assert_close(cache.keys.double(), k, rtol=0, atol=4 * EPS * float(k.abs().max()))
    assert torch.equal(cache.values.double(), v)


CODED = [(8, 64, 32, 3), (4, 64, 32, 3), (4, 128, 64, 1), (8, 6, 3, 2), (4, 4, 2, 5)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bits, head_dim, group_size, group", CODED)
def test_a_cache_of_codes(bits, head_dim, group_size, group, path):
    """Codes bit for bit as torch quantizes them, and attention to what they stand for. 70 tokens: more than a block."""
    count, kv_heads = 70, 2
    heads = group * kv_heads
    angles = torch.ones(count, head_dim // 2), torch.zeros(count, head_dim // 2)  # turned by 0: keys stay as they are
    rows = torch.randn(count, (heads + 2 * kv_heads) * head_dim, generator=chance(bits + head_dim))
    cache, other = (LayerCache.empty(kv_heads, count + 3, head_dim, bits, group_size) for _ in range(2))
    for grid in (cache.key_grid, cache.value_grid):
        grid.fill_(math.nan)  # what lies behind the last token does not count
    angles = tuple(F.pad(table, (0, 0, 0, 3)) for table in angles)
    got = run(path, rows, heads, cache, angles)
    q, k, v = parts(rows, heads, kv_heads, head_dim, angles)
    other.write(0, k.float(), v.float())
    for name in ("keys", "values"):
        assert torch.equal(getattr(cache, name), getattr(other, name))
    for name in ("key_grid", "value_grid"):
        assert torch.equal(getattr(cache, name)[..., :count], getattr(other, name)[..., :count])
    k, v = (one.double() for one in other.read(count))
    want = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    # the codes count from the lowest value, so sums see |low| + |k - low|: at most three times the largest
    slack = 3 * bound(q, k.abs().amax() * torch.ones_like(k), v, head_dim)
    assert (got - want.transpose(0, 1).flatten(1)).abs().le(slack).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bits", [8, 4])
def test_codes_of_numbers_that_are_hard_to_round(bits, path):
    """Ties between two codes and between two halves, equal numbers, the smallest and the largest halves, zeros."""
    top = 2**bits - 1
    lines = [
        torch.arange(64) / 2 % top,
        torch.full((64,), 0.1),
        torch.zeros(64),
        torch.linspace(-(2.0**-24), 2.0**-24, 64),
        torch.linspace(-1e-7, top * 2.0**-24 * 1.5, 64),
        torch.linspace(-65504, 65504, 64),
        torch.linspace(2048, 2048 + 3, 64),
        -torch.linspace(1, 1 + 2.0**-10, 64),
        torch.linspace(-1e-40, 1e-40, 64),
    ]
    lines += list(torch.randn(60, 64, generator=chance(bits)) * 10.0 ** torch.linspace(-9, 4, 60)[:, None])
    values = torch.stack(lines)
    rows = torch.cat([torch.zeros(len(values), 256), values], dim=1)
    cache, other = (LayerCache.empty(1, len(values), 64, bits) for _ in range(2))
    run(path, rows, 3, cache, tables(len(values), 64))
    other.write(0, torch.zeros(1, len(values), 64), values[None])
    assert torch.equal(cache.values, other.values) and torch.equal(cache.value_grid, other.value_grid)


@pytest.mark.skipif(PATHS == ["torch"], reason="needs a compiler")
def test_vectors_of_four_lanes(monkeypatch):
    """Where the processor has no AVX, or is no x86: the same functions, without what this one has beyond the least."""
    monkeypatch.setattr(native, "native_flags", lambda: ("-O1",))
    test_a_cache_of_codes(8, 64, 32, 3, "portable")
    test_a_cache_of_codes(4, 64, 32, 3, "portable")
    test_swiglu("portable")
    test_norms("portable")


@pytest.mark.parametrize("bits, most", [(8, 1 / 510), (4, 1 / 30)])
def test_a_code_is_half_a_step_off_at_most(bits, most):
    """Half a step of range / (2^bits - 1), and 2^-11 of the largest number and of the range for the rounded grid."""
    cache = LayerCache.empty(2, 50, 64, bits, 32)
    x = torch.randn(2, 50, 64, generator=chance(0))
    cache.write(0, x, -x)
    keys, values = (one.unflatten(-1, (2, 32)) for one in cache.read(50))
    x = x.unflatten(-1, (2, 32))
    spread = x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)
    allowed = spread * (most + 2.0**-11) + x.abs().amax(-1, keepdim=True) * 2.0**-11
    assert (keys - x).abs().le(allowed).all() and (values + x).abs().le(allowed).all()


@pytest.mark.parametrize("path", PATHS)
def test_a_large_score_takes_all(path):
    """Scores of 1e4 and more: the largest is taken off before exp, so nothing overflows."""
    angles = torch.ones(3, 32), torch.zeros(3, 32)
    rows = torch.zeros(3, 5 * 64)
    rows[:, [0, 64, 128]], rows[:, 192], rows[:, 256:] = (
        1e3,
        torch.tensor([100.0, -100, 99]),
        torch.arange(3.0)[:, None],
    )
    assert not run(path, rows, 3, LayerCache.empty(1, 3, 64), angles).any()  # the first of three values is 0


@pytest.mark.skipif(PATHS == ["torch"] or not native.find_compiler().openmp, reason="needs OpenMP")
@pytest.mark.parametrize("bits", [32, 8])
def test_threads_have_parts_of_the_context(bits):
    """From 256 tokens on, in three parts of 85 to 87 tokens. q is small, so that all tokens count."""
    count, heads = 259, 6
    rows = torch.randn(count, 10 * 64, generator=chance(bits))
    rows[:, : heads * 64] /= 8
    angles = tables(count, 64)
    one, several = (LayerCache.empty(2, count, 64, bits) for _ in range(2))
    want = run(None, rows, heads, one, angles)
    got = run(None, rows, heads, several, angles, threads=3)
    assert torch.equal(one.keys, several.keys) and torch.equal(got[:255], want[:255])
    assert not torch.equal(got[255:], want[255:])
    q, k, v = parts(rows, heads, 2, 64, angles)
    slack = 6 * bound(q, k.abs().amax() * torch.ones_like(k), v, 64)  # each of the two is off by half of that
    assert (got - want).abs().le(slack).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bits", [32, 8, 4])
def test_a_position_outside_the_cache(bits, path):
    cache, out, position = LayerCache.empty(1, 4, 64, bits), torch.zeros(192), torch.tensor([4])
    row, table = torch.ones(5 * 64), torch.ones(4, 32)
    attend = bind_attend(row, position, table, table, cache, attend_scratch(cache, 3), out, instructions=path)
    for outside in (4, -1, 2**40):
        position.fill_(outside)
        out.zero_()
        attend()
        assert out.isnan().all()
        assert not any(part.any() for part in (cache.keys, cache.values))


def test_calls_keep_their_tensors_and_need_no_compiler(monkeypatch):
    def bindings():
        cache, row, position, out = LayerCache.empty(1, 2, 2), torch.ones(6), torch.tensor([0]), torch.zeros(2)
        cos, sin = torch.ones(2, 1), torch.zeros(2, 1)
        attend = bind_attend(row, position, cos, sin, cache, attend_scratch(cache, 1), out)
        x, y = torch.tensor([[3.0, 3.0]]), torch.zeros(1, 2)
        norm = bind_rms_norm(x, torch.ones(2), y, eps=0.0)
        gc.collect()
        _ = [torch.full((6,), 9.0) for _ in range(20)]
        for call in (attend, norm):
            assert call() is None
        return out.tolist(), y.tolist()

    expected = [1.0, 1.0], [[1.0, 1.0]]
    assert bindings() == expected

    def none():
        raise native.NoCompiler("no C compiler works")

    monkeypatch.setattr(native, "find_compiler", none)
    instruction_sets.cache_clear()
    try:
        assert bindings() == expected
    finally:
        instruction_sets.cache_clear()


# --- what is refused -----------------------------------------------------------------------------------------------

ONES, CACHE = torch.ones(2, 4), LayerCache.empty(2, 4, 4)
BYTES, HALVES = torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, 1, 2, 4, dtype=torch.float16)


def attention(**changes):
    given = {
        "row": torch.ones(24),
        "position": torch.zeros(1, dtype=torch.int64),
        "cos": torch.ones(4, 2),
        "sin": torch.ones(4, 2),
        "cache": CACHE,
        "scratch": torch.ones(36),
        "out": torch.ones(8),
    }
    return bind_attend(**given | changes)


@pytest.mark.parametrize("call, kind, message", [
    (lambda: bind_rms_norm(ONES, torch.ones(3), ONES), ValueError, "weight must have shape [4], got [3]"),
    (lambda: bind_rms_norm(ONES, torch.ones(4), torch.ones(4)), ValueError, "y must have shape [2, 4], got [4]"),
    (lambda: bind_rms_norm(ONES.double(), torch.ones(4), ONES), TypeError, "x must be torch.float32"),
    (lambda: bind_rms_norm(ONES, torch.ones(4), ONES, -1.0), ValueError, "eps must be a finite number of 0 or more"),
    (lambda: bind_rms_norm(ONES, torch.ones(4), ONES, instructions="sse9"), ValueError, "got 'sse9'; the others"),
    (lambda: bind_add_rms_norm(ONES, ONES[:1], torch.ones(4), ONES), ValueError, "delta must have shape [2, 4]"),
    (lambda: bind_swiglu(ONES, ONES), ValueError, "row must have shape [2, 8], got [2, 4]"),
    (lambda: bind_swiglu(torch.ones(8, 2).T, ONES), ValueError, "row must be contiguous on the CPU"),
    (lambda: attention(row=torch.ones(23)), ValueError, "row must have shape [24], got [23]"),
    (lambda: attention(out=torch.ones(7)), ValueError, "out must hold a multiple of 2 heads of 4 numbers, got 7"),
    (lambda: attention(position=torch.zeros(1)), TypeError, "position must be torch.int64"),
    (lambda: attention(cos=torch.ones(3, 2)), ValueError, "cos must have an angle for each of 4 places, got"),
    (lambda: attention(sin=torch.ones(4, 3)), ValueError, "sin must have shape [any, 2], got [4, 3]"),
    (lambda: attention(scratch=torch.ones(35)), ValueError, "scratch must hold 36 numbers or more"),
    (lambda: attention(threads=0), ValueError, "threads must be a whole number from 1 to 256, got 0"),
    (lambda: LayerCache(16, BYTES, BYTES), ValueError, "bits must be 32, 8 or 4, got 16"),
    (lambda: LayerCache(8, BYTES, BYTES.float()), TypeError, "values must be torch.uint8, got torch.float32"),
    (lambda: LayerCache(8, BYTES, BYTES, HALVES, group_size=4), TypeError, "value_grid must be torch.float16"),
    (lambda: LayerCache(4, BYTES, BYTES, HALVES, HALVES, 4), ValueError, "key_grid must have shape [2, 2, 2, 4]"),
    (lambda: LayerCache.empty(1, 1, 48, 8), ValueError, "group_size must divide head_dim (48)"),
    (lambda: LayerCache.empty(1, 1, 5), ValueError, "head_dim must be even, got 5"),
    (lambda: LayerCache.empty(0, 1, 4), ValueError, "kv_heads must be a whole number of 1 or more, got 0"),
    (lambda: CACHE.write(3, torch.ones(2, 2, 4), torch.ones(2, 2, 4)), ValueError, "first must be a whole number"),
    (lambda: CACHE.write(0, torch.ones(2, 2, 4), torch.ones(2, 1, 4)), ValueError, "values must have shape [2, 2, 4]"),
])  # fmt: skip
def test_what_does_not_fit_never_reaches_c(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()
