"""The answers of lesson 04 agree with the library, which was written and tested apart from them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mini_lib import knapsack, packing
from mini_lib.data import Split
from mini_lib.quantize import integer, mixed
from teach.exercises.lesson_04 import (
    PACKED_DOT,
    curvature,
    integers,
    machines,
    packed,
    requantizing,
    spending,
    suffering,
)
from teach.judge import judge

SEEDS = st.integers(0, 2**16)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(SEEDS, st.integers(1, 20), st.integers(0, 15))
def test_the_product_on_packed_codes_is_that_of_the_unpacked_weights(seed, pairs, zero_point):
    chance = generator(seed)
    codes = torch.randint(16, (2 * pairs,), generator=chance)
    x = torch.randint(-8, 9, (2 * pairs,), generator=chance) / 4  # sums of quarters are exact
    found = packed.packed_dot(packing.pack(codes, bits=4), x, 0.5, zero_point)
    assert float(found) == float((codes - zero_point).double() @ x.double()) / 2


def test_whoever_subtracts_in_bytes_is_told_so():
    def answer(packed, x, scale, zero_point):
        codes = torch.stack([packed % 16, packed // 16], 1).reshape(-1)
        return (((codes - zero_point) * x) * scale).sum()

    assert "a byte has no negative numbers" in judge(PACKED_DOT, answer).text


@given(SEEDS, st.integers(1, 50), st.integers(0, 255), st.integers(0, 255))
def test_the_cross_terms_are_those_of_the_integer_product(seed, count, zero_a, zero_b):
    a, b = torch.randint(256, (2, count), generator=generator(seed))
    expected = integer.integer_matmul(a[None], b[None], zero_a, zero_b)
    found = integers.without_zero_points(int(a @ b), int(a.sum()), int(b.sum()), count, zero_a, zero_b)
    assert found == int(expected)


@given(st.integers(-(2**20), 2**20), st.floats(1e-4, 0.5), st.integers(-100, 100))
def test_a_code_is_that_of_the_library_but_for_ties(accumulator, real, zero_point):
    multiplier, shift = (int(part) for part in integer.multiplier_and_shift(real))
    where = torch.tensor(accumulator, dtype=torch.int32), *integer.multiplier_and_shift(real)
    expected = int(integer.requantize(*where, zero_point, -128, 127))
    found = requantizing.requantize(accumulator, multiplier, 31 + shift, zero_point, -128, 127)
    tie = 2 * accumulator * multiplier % 2 ** (32 + shift) == 2 ** (31 + shift)
    assert found == expected or (tie and abs(found - expected) == 1)


@given(SEEDS, st.integers(1, 6), st.integers(2, 5))
def test_the_divergence_is_that_of_the_library(seed, images, classes):
    logits, changed = 3 * torch.randn(2, images, classes, generator=generator(seed))
    found = float(suffering.output_divergence(logits, changed))
    # Differences of logarithms below 32, each off by some units of 2**-24 of that: a few times 2**-19.
    assert math.isclose(found, mixed.kl_divergence(logits, changed), rel_tol=0, abs_tol=2.0**-17)


def test_a_trace_is_estimated_as_the_library_does_it():
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    images, labels = torch.randn(6, 3, generator=generator(0)), torch.tensor([0, 1, 0, 1, 1, 0])

    def loss(weight):
        return nn.functional.cross_entropy(images @ weight.view(2, 3).T, labels)

    hessian = torch.autograd.functional.hessian(loss, model[0].weight.detach().flatten())
    [estimate] = mixed.hessian_traces(model, Split(images, labels), probes=200, seed=0).values()
    signs = 2.0 * torch.randint(0, 2, (200, 6), generator=generator(1)) - 1
    ours = float(curvature.trace_estimate(curvature.TimesHessian(hessian), signs))
    # Both have the trace as their mean, and are off by a standard error each: six of them together is never seen.
    assert abs(ours - float(hessian.trace())) < 6 * estimate.standard_error
    assert abs(estimate.mean - float(hessian.trace())) < 6 * estimate.standard_error


@given(st.integers(1, 10**7), st.integers(1, 10**6), st.integers(1, 8))
def test_a_layer_takes_as_long_as_on_the_described_gpu(macs, weights, bits):
    gpu = mixed.INT4_INT8_GPU
    rates = {width: gpu.bit_macs_per_s / width for width in gpu.widths}
    found = machines.layer_seconds(macs, weights, bits, rates, gpu.bandwidth_bytes_per_s)
    width = gpu.runs_as(bits)
    expected = max(gpu.compute_s(macs, bits), gpu.memory_s(weights * width / 8))
    assert found == pytest.approx(expected, rel=1e-12)  # a handful of float64 roundings


@given(SEEDS)
def test_step_by_step_is_greedy_where_errors_fall_ever_more_slowly(seed):
    chance = generator(seed)
    layers, options = {}, {}
    for name in "abc":
        size = int(torch.randint(5, 60, (), generator=chance))
        falls = torch.rand(3, generator=chance).double().sort(descending=True).values.tolist()  # each step saves less
        errors = [sum(falls[at:]) for at in range(4)]
        layers[name] = [(bits, size * bits, error) for bits, error in zip((1, 2, 3, 4), errors)]
        options[name] = [knapsack.Option(*one) for one in layers[name]]
    least, most = (sum(row[at][1] for row in layers.values()) for at in (0, -1))
    budget = int(torch.randint(least, most + 1, (), generator=chance))
    taken = knapsack.greedy(options, budget)
    # The library leaves a layer where its next step does not fit; the exercise asks again, and comes to the same end,
    # since what is left only shrinks.
    assert spending.spend(layers, budget) == {name: option.value for name, option in taken.items()}
