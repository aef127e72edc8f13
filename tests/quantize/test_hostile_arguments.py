"""Hostile arguments: each gets a TypeError or ValueError of the house, and NaN is never turned into a number."""

import numpy as np
import pytest
import torch
from torch import nn

from mini_lib import packing
from mini_lib.fold import fold_pair
from mini_lib.quantize import (
    UNSIGNED_8_BITS,
    CodebookFormat,
    FloatFormat,
    IntFormat,
    LayerPair,
    MiniFloat,
    PerGroup,
    allocate,
    choose_qparams,
    constant_terms,
    correct_bias,
    from_codes,
    from_nf4_codes,
    gptq_weight,
    k_means,
    lsq_range,
    min_max,
    mse,
    multiplier_and_shift,
    nf4_codes,
    percentile,
    quantize,
    quantize_weights,
    quantize_weights_and_activations,
    requantize,
    rescaled,
    rung,
    to_codes,
)

ROWS, ONE, ZERO = torch.ones(2, 4), torch.tensor(1.0), torch.tensor(0)
NAN = torch.tensor([1.0, torch.nan])


def pair() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()


@pytest.mark.parametrize("call, says", [
    (lambda: to_codes(NAN, ONE, ZERO, -7, 7), "x holds NaN, for which there is no code"),
    (lambda: to_codes(ROWS, torch.tensor(0.0), ZERO, -7, 7), "every scale must be finite and at least 1.2e-38"),
    (lambda: to_codes(ROWS, torch.tensor(torch.nan), ZERO, -7, 7), "every scale must be finite"),
    (lambda: to_codes(ROWS, ONE, torch.tensor(9), -7, 7), "zero_point must be a code, -7 to 7"),
    (lambda: to_codes(ROWS, torch.ones(3), ZERO, -7, 7), r"do not broadcast against shape \[2, 4\]"),
    (lambda: to_codes([1.0], ONE, ZERO, -7, 7), r"x must be a tensor, got \[1.0\]"),
    (lambda: from_codes(None, ONE, ZERO), "codes must be a tensor, got None"),
    (lambda: from_codes(ROWS, ONE, ZERO), "codes must be codes, whole numbers, got torch.float32"),
    (lambda: min_max(NAN[None], IntFormat(4)), "rows holds 1 NaN or infinite of 2 values"),
    (lambda: min_max(ROWS, FloatFormat()), "fmt must be of type IntFormat"),
    (lambda: mse(ROWS, IntFormat(4), candidates=10**400), "candidates must be .* got a number of 401 digits"),
    (lambda: percentile(99)(ROWS, IntFormat(4), -ROWS), "counts must be .* none below 0"),
    (lambda: lsq_range(ROWS, IntFormat(4), torch.zeros(2, 4)), "counts must be .* one above in each row"),
    (lambda: choose_qparams(-1.0, 1.0, IntFormat(4)), "low must be a tensor, got -1.0"),
    (lambda: k_means(ROWS, IntFormat(4)), "fmt must be of type CodebookFormat"),
    (lambda: quantize(ROWS.to_sparse(), IntFormat(4)), "weight must be a dense tensor with values"),
    (lambda: quantize(ROWS.to("meta"), IntFormat(4)), "weight must be a dense tensor with values"),
    (lambda: quantize(ROWS, IntFormat(4), "mse"), "observer must be callable, got 'mse'"),
    (lambda: nf4_codes(ROWS, 0), "block_size must be a whole number of 1 or more, got 0"),
    (lambda: from_nf4_codes(torch.tensor([16]), ONE[None]), r"need 1 absmax, got 1 and the codes \[16\]"),
    (lambda: from_nf4_codes(torch.tensor([-1]), ONE[None]), "go from 0 to 15"),
    (lambda: MiniFloat(0, 3), "exponent_bits must be a whole number from 1 to 8, got 0"),
    (lambda: constant_terms(torch.tensor([[2**30, 2**30]]), 3), "a constant term of 6442450944 does not fit int32"),
    (lambda: constant_terms(torch.tensor([[1]]), 1, bias=torch.tensor([1, 2])), r"bias of shape \[2\] does not fit"),
    (lambda: multiplier_and_shift(None), "a multiplier must be a finite number, got None"),
    (lambda: requantize(*(torch.tensor([1], dtype=torch.int32),) * 2, torch.tensor([99]), 0, 0, 9), "shift must be"),
    (lambda: gptq_weight(ROWS, torch.eye(4), IntFormat(4), activation_order=None), "activation_order must be of type"),
    (lambda: rescaled(pair(), {LayerPair("0", "0"): torch.ones(4)}), "is not a pair of layers that follow each other"),
    (lambda: rescaled(pair(), {LayerPair("0", "2"): -torch.ones(4)}), "must be 4 numbers above 0"),
    (lambda: rescaled(pair(), {LayerPair("0", "2"): torch.ones(3)}), "must be 4 numbers above 0"),
    (lambda: allocate(None, {}, budget_bytes=9), "table must be of type CostTable, got None"),
    (lambda: fold_pair(nn.Linear(4, 4), nn.LayerNorm(4)), "norm must be of type BatchNorm1d"),
    (lambda: fold_pair(nn.Linear(4, 4), nn.BatchNorm2d(4).eval()), "BatchNorm2d normalises axis 1"),
    (lambda: packing.packed_bytes(-5, 4), "count must be a whole number of 0 or more, got -5"),
    (lambda: packing.packed_bytes(5, 0), "bits must be a whole number from 1 to 16, got 0"),
    (lambda: packing.packed_trit_bytes(-1), "count must be a whole number of 0 or more"),
    (lambda: packing.pack([1, 2], 4), r"codes must be a tensor, got \[1, 2\]"),
    (lambda: packing.unpack(torch.zeros(1, dtype=torch.uint8), 4, True), "count must be a whole number .* got True"),
    (lambda: packing.pack_mask(None), "mask must be a tensor, got None"),
    (lambda: quantize_weights_and_activations(None, rung(8), UNSIGNED_8_BITS, ROWS), "model must be an nn.Module"),
    (lambda: quantize_weights_and_activations(pair().double(), rung(8), UNSIGNED_8_BITS, ROWS),
     r"cannot be run on float32 \[2, 4\]: "),
    (lambda: correct_bias(pair(), quantize_weights(pair(), rung(8)), torch.ones(2, 3)),
     r"cannot be run on float32 \[1, 3\]: "),
])  # fmt: skip
def test_is_refused_by_the_house(call, says):
    with pytest.raises((TypeError, ValueError), match=says):
        call()


def test_whole_numbers_of_numpy_are_numbers_and_kept_as_pythons():
    assert type(IntFormat(np.int64(4)).bits) is int and type(PerGroup(np.int32(4)).size) is int
    assert type(CodebookFormat(np.int8(4)).bits) is int and rung(np.int64(4)) == rung(4)
    assert packing.packed_bytes(np.int8(100), np.int8(8)) == 100  # in int8, 800 would be 32


def test_the_largest_floats_stay_numbers():
    """The range of 2 * mean / sqrt(Qp) leaves float32, and no end of it is infinity or NaN."""
    low, high = lsq_range(torch.full((1, 8), 3e38), IntFormat(8))
    assert low.isfinite().all() and high.isfinite().all()


def test_what_is_read_back_is_not_the_memory_of_what_is_stored():
    q = quantize(ROWS, FloatFormat())
    q.dequantize().zero_()
    assert torch.equal(q.dequantize(), ROWS)
