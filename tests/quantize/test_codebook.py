"""k-means codebooks: Lloyd's two conditions, and the exact optimum where it can be found."""

import re
from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_lib.quantize import CodebookFormat, k_means, quantize

INITS = ("linear", "kmeans++")


def squared_error(weight, codes, codebook):
    return float((weight.double() - codebook.double()[codes]).square().sum())


def optimum(values, clusters):
    """The least squared error of any clustering: in one dimension clusters are runs of the sorted values."""
    values = sorted(values)

    @cache
    def cost(start, end):
        mean = sum(values[start:end]) / (end - start)
        return sum((value - mean) ** 2 for value in values[start:end])

    @cache
    def best(end, left):
        if left == 1:
            return cost(0, end)
        return min(best(start, left - 1) + cost(start, end) for start in range(left - 1, end))

    return best(len(values), clusters)


def test_by_hand():
    weight = torch.tensor([10.0, 0.0, 1.0, 9.0, 11.0])
    codes, codebook = k_means(weight, CodebookFormat(1))
    assert codebook.tolist() == [0.5, 10.0]  # linear start 0 and 11, cut at 5.5
    assert codes.tolist() == [1, 0, 0, 1, 1]


@pytest.mark.parametrize("init", INITS)
def test_separated_clusters_are_found_exactly(init):
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([-7.0, -1.0, 2.0, 9.0])
    weight = centres.repeat(50) + 0.1 * torch.randn(200, generator=generator)
    codes, codebook = k_means(weight, CodebookFormat(2, init))
    assert codes.tolist() == [0, 1, 2, 3] * 50
    for code in range(4):
        assert codebook[code] == weight[code::4].double().mean().float()


WEIGHTS = st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=40)


@pytest.mark.parametrize("init", INITS)
@given(values=WEIGHTS, bits=st.integers(1, 4))
@settings(max_examples=100)
def test_every_weight_is_nearest_and_every_centroid_is_a_mean(init, values, bits):
    weight = torch.tensor(values)
    codes, codebook = k_means(weight, CodebookFormat(bits, init))
    assert codebook.shape == (2**bits,) and (codebook.diff() >= 0).all()
    distance = (weight.double()[:, None] - codebook.double()).abs()
    assert torch.equal(distance.gather(1, codes.long()[:, None])[:, 0], distance.amin(dim=1))
    for code in codes.unique():
        mean = weight[codes == code].double().mean()
        # the centroid is the mean, rounded once to float32; its sum of at most 40 weights, each a multiple of
        # 2**-24 below 128, is exact in float64
        assert abs(codebook[code].double() - mean) <= 2.0**-24 * mean.abs()


@pytest.mark.parametrize("init", INITS)
@given(values=st.lists(st.floats(-100, 100, width=16), min_size=5, max_size=14, unique=True), bits=st.integers(1, 2))
@settings(max_examples=100)
def test_never_below_the_optimum_and_never_above_the_uniform_grid(init, values, bits):
    weight = torch.tensor(values)
    error = squared_error(weight, *k_means(weight, CodebookFormat(bits, init)))
    rounding = len(values) * (2.0**-24 * 100) ** 2  # the centroids are rounded to float32
    assert error >= optimum(values, 2**bits) * (1 - 1e-9)  # Python's sums: 1e-9 is 1e6 float64 roundings
    if init == "linear":  # it starts there, and Lloyd never goes up
        grid = torch.linspace(min(values), max(values), 2**bits, dtype=torch.float64)
        uniform = float((weight.double()[:, None] - grid).square().amin(dim=1).sum())
        assert error <= uniform * (1 + 1e-9) + rounding


@pytest.mark.parametrize("init", INITS)
def test_more_iterations_never_hurt(init):
    weight = torch.randn(2000, generator=torch.Generator().manual_seed(0)) ** 3  # heavy tails: empty clusters
    errors = [squared_error(weight, *k_means(weight, CodebookFormat(4, init, iterations=n))) for n in range(1, 40)]
    # the centroids are rounded to float32 at the end: each weight is off by at most 2**-24 of the largest more
    rounding = 2 * 2.0**-24 * float(weight.abs().max()) * (2000 * errors[0]) ** 0.5  # Cauchy-Schwarz
    assert all(after <= before + rounding for before, after in pairwise(errors))
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("bits", [1, 3, 6])
def test_no_line_of_the_table_is_wasted_on_an_outlier(init, bits):
    weight = torch.randn(4000, generator=torch.Generator().manual_seed(bits))
    weight[17] = 1000.0  # a linear start leaves all but two clusters empty
    codes, _ = k_means(weight, CodebookFormat(bits, init))
    assert codes.unique().tolist() == list(range(2**bits))


@pytest.mark.parametrize("init", INITS)
def test_few_distinct_weights_are_kept_exactly(init):
    weight = torch.tensor([[0.3, -1.0], [0.3, 7.0]])
    q = quantize(weight, CodebookFormat(4, init))
    assert torch.equal(q.dequantize(), weight)
    assert q.codes.tolist() == [[1, 0], [1, 2]]
    assert q.stored_bytes == 2 + 16 * 4  # the table is stored whole
    assert torch.equal(quantize(torch.zeros(5), CodebookFormat(2, init)).dequantize(), torch.zeros(5))


def test_kmeans_plus_plus_is_its_seed_and_nothing_else():
    weight = torch.randn(500, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    once = k_means(weight, CodebookFormat(4, "kmeans++", seed=1))[1]
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is not touched
    torch.manual_seed(456)
    assert torch.equal(k_means(weight, CodebookFormat(4, "kmeans++", seed=1))[1], once)
    assert not torch.equal(k_means(weight, CodebookFormat(4, "kmeans++", seed=2))[1], once)


def test_bytes_are_the_codes_and_the_table():
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert quantize(weight, CodebookFormat(3)).stored_bytes == 375 + 8 * 4
    assert quantize(weight, CodebookFormat(3, codebook_dtype=torch.float16)).stored_bytes == 375 + 8 * 2


def test_a_codebook_beats_the_grid_of_as_many_bits_on_bell_shaped_weights():
    from mini_lib.quantize import IntFormat, mse

    weight = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    for bits in (2, 3, 4):
        codebook = quantize(weight, CodebookFormat(bits)).dequantize()
        grid = quantize(weight, IntFormat(bits), mse).dequantize()
        assert (codebook - weight).square().mean() < (grid - weight).square().mean()


def test_extreme_weights_stay_finite():
    for size in (1e-45, 1e-30, 3e38):
        weight = torch.tensor([-size, 0.0, size, size / 2, size / 3])
        assert quantize(weight, CodebookFormat(1)).dequantize().isfinite().all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="weight is empty"):
        k_means(torch.zeros(0), CodebookFormat(4))
    with pytest.raises(ValueError, match="weight holds 2 NaN or infinite of 3 values"):
        k_means(torch.tensor([1.0, float("nan"), float("-inf")]), CodebookFormat(4))
    with pytest.raises(TypeError, match="weight must hold floats, got torch.uint8"):
        k_means(torch.zeros(3, dtype=torch.uint8), CodebookFormat(4))
    with pytest.raises(ValueError, match=re.escape("a centroid is as large as 1e+06, and torch.float16 ends at")):
        k_means(torch.tensor([1e6, 0.0]), CodebookFormat(4, codebook_dtype=torch.float16))
