"""The kernel that moves pictures, with and without a compiler. tests/augment compares it with PIL."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mini_lib import native
from mini_lib.kernels import mirrored, warp, warp_nearest


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    sides=st.tuples(*[st.integers(1, 40)] * 2),
    channels=st.sampled_from([1, 3]),
    count=st.integers(0, 5),
    fill=st.sampled_from([0, 128, 255]),
)
def test_torch_and_c_fetch_the_same_pixels(seed, sides, channels, count, fill):
    random = torch.Generator().manual_seed(seed)
    pictures = torch.randint(256, (count, channels, *sides), dtype=torch.uint8, generator=random)
    matrix = torch.rand(6, count, dtype=torch.float64, generator=random) * 4 - 2
    matrix[[2, 5]] *= 20
    assert torch.equal(warp_nearest(pictures, matrix, fill), warp._warped_by_torch(pictures, matrix, fill))
    assert torch.equal(mirrored(pictures), pictures.flip(3))
    assert torch.equal(mirrored(pictures.transpose(2, 3)), pictures.transpose(2, 3).flip(3))


def test_without_a_compiler(monkeypatch):
    def none():
        raise native.NoCompiler("none")

    monkeypatch.setattr(native, "find_compiler", none)
    monkeypatch.setattr(warp, "_compiled", warp._compiled.__wrapped__)
    turned = torch.tensor([[0.0], [1], [0], [-1], [0], [2]], dtype=torch.float64)  # (x, y) comes from (y, 2 - x)
    picture = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).view(1, 1, 2, 2)
    assert warp_nearest(picture, turned, 0).flatten().tolist() == [3, 1, 4, 2]
    assert mirrored(picture).flatten().tolist() == [2, 1, 4, 3]


def test_places_far_away_do_not_wrap_round():
    """2 * 4096 + 2 * 4096 + 8192 pixels are 3/4 of what 32 bits hold. -8192 takes the last pixel to the first place."""
    picture = torch.ones(1, 1, 1, 4096, dtype=torch.uint8)
    for far in (-8192.0, 8192.0):
        matrix = torch.tensor([[2], [2], [far], [2], [2], [far]], dtype=torch.float64)
        warped = warp_nearest(picture, matrix, 9)
        assert torch.equal(warped, warp._warped_by_torch(picture, matrix, 9))
        assert (warped == 1).flatten().nonzero().flatten().tolist() == ([4095] if far < 0 else [])


def test_what_it_refuses():
    matrix = torch.zeros(6, 1, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"pictures must be torch.uint8, got torch.float32"):
        warp_nearest(torch.zeros(1, 1, 2, 2), matrix, 0)
    with pytest.raises(TypeError, match=r"pictures must be torch.uint8, got torch.float32"):
        mirrored(torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"pictures must have shape \[any, any, any, any\], got \[2, 2\]"):
        mirrored(torch.zeros(2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"matrix must have shape \[6, 2\], got \[6, 1\]"):
        warp_nearest(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), matrix, 0)
    with pytest.raises(ValueError, match=r"fill must be a whole number from 0 to 255, got 300"):
        warp_nearest(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), matrix, 300)
    for place, number in ((0, 2.5), (2, 8193.0), (5, torch.nan)):
        far = matrix.index_fill(0, torch.tensor(place), number)
        with pytest.raises(ValueError, match=rf"c and f in \[-8192, 8192\], got up to .*{number}.*; places must fit"):
            warp_nearest(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), far, 0)
    with pytest.raises(ValueError, match=r"must be 4096 or less, got 4097; scale it down"):
        warp_nearest(torch.zeros(1, 1, 1, 4097, dtype=torch.uint8), matrix, 0)
