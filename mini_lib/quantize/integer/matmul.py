"""Products of codes: the sums of a quantized layer, without a single float.

A code q stands for scale * (q - z). The scales can be taken out of the sum, which leaves a sum over whole numbers:

    sum (q_a - z_a) (q_w - z_w) = sum q_a q_w - z_w sum q_a - z_a sum q_w + k z_a z_w

The first term is the product that kernels are fast at, 8 bits times 8 bits into 32. The last two do not depend on the
input, so they are added to the bias once. The second does, and costs one more sum per row; a symmetric weight (z_w = 0)
does not need it. These functions are written to be read: they are exact, not fast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mini_lib.quantize.validate import fits, need_codes, need_whole_numbers

INT32_MAX = 2**31 - 1


def integer_matmul(
    inputs: Tensor,
    weights: Tensor,
    input_zero_point: int = 0,
    weight_zero_point: Tensor | int = 0,
    bias: Tensor | None = None,
) -> Tensor:
    """Return the accumulators of a linear layer: sum over k of (q_a - z_a) (q_w - z_w), plus the bias, in int32.

    Args:
        inputs: codes, integers [..., n, k].
        weights: codes, integers [..., out, k].
        input_zero_point: one for all inputs.
        weight_zero_point: one for all weights, or integers [..., out].
        bias: integers [..., out] in units of the accumulator, scale_a * scale_w.

    Raises:
        TypeError: the codes, a zero point or the bias are not whole numbers.
        ValueError: inputs and weights are empty or do not fit; or the sum could leave int32:
            k * 255 * 127 is below 2**31 up to k = 66,311.

    >>> inputs, weights = torch.tensor([[1, 2]]), torch.tensor([[3, 5]])
    >>> integer_matmul(inputs, weights, 1, 4)                    # (1-1) (3-4) + (2-1) (5-4); or 13 - 4*3 - 1*8 + 2*1*4
    tensor([[1]], dtype=torch.int32)

    Source: Jacob 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    section 2.3, equation 7.
    """
    for name, codes in (("inputs", inputs), ("weights", weights)):
        need_codes(name, codes)
        if codes.numel() == 0 or codes.shape[-1:] != inputs.shape[-1:]:
            raise ValueError(
                f"inputs {list(inputs.shape)} and weights {list(codes.shape)} do not fit; expected [..., n, k] and "
                "[..., out, k], not empty"
            )
    input_zero_point = _fitting("input_zero_point", input_zero_point, ())
    weight_zero_point = _fitting("weight_zero_point", weight_zero_point, weights.shape[:-1])
    bias = None if bias is None else _fitting("bias", bias, weights.shape[:-1])
    largest_bias = 0 if bias is None else max(-int(bias.min()), int(bias.max()))
    need_int32(
        inputs.shape[-1], _reach(inputs, input_zero_point), _reach(weights, weight_zero_point), bias=largest_bias
    )
    constants = constant_terms(weights, input_zero_point, weight_zero_point, bias)
    return accumulate(inputs, weights, constants, weight_zero_point)


def constant_terms(
    weights: Tensor, input_zero_point: int, weight_zero_point: Tensor | int = 0, bias: Tensor | None = None
) -> Tensor:
    """Return the terms that do not depend on the input, bias - z_a sum q_w + k z_a z_w, as int32 [..., out].

    Raises:
        TypeError: the codes, a zero point or the bias are not whole numbers.
        ValueError: they do not fit each other, or the result does not fit int32.

    >>> constant_terms(torch.tensor([[3, 5]]), 1, 4, torch.tensor([10]))              # 10 - 1 * 8 + 2 * 1 * 4
    tensor([10], dtype=torch.int32)

    Source: Jacob 2018, section 2.3, equations 7 and 8; Nagel 2021, section 2.3.
    """
    weights = need_codes("weights", weights).long()
    if not weights.dim():
        raise ValueError("weights must have an axis to sum over, got a single number; expected codes [..., out, k]")
    count, outputs = weights.shape[-1], weights.shape[:-1]
    z_a = _fitting("input_zero_point", input_zero_point, ())
    z_w = _fitting("weight_zero_point", weight_zero_point, outputs)
    bias = _fitting("bias", 0 if bias is None else bias, outputs)
    constants = count * z_a * z_w - z_a * weights.sum(dim=-1) + bias
    if constants.numel() and constants.abs().max() > INT32_MAX:
        raise ValueError(f"a constant term of {constants.abs().max()} does not fit int32; use fewer bits or inputs")
    return constants.to(torch.int32)


def accumulate(inputs: Tensor, weights: Tensor, constants: Tensor, weight_zero_point: Tensor | int = 0) -> Tensor:
    """Return sum q_a q_w - z_w sum q_a + constants (int32 [..., n, out]); the caller knows that nothing overflows.

    >>> accumulate(torch.tensor([[1, 2]]), torch.tensor([[3, 5]]), torch.tensor([10]), 4)            # 13 - 4 * 3 + 10
    tensor([[11]], dtype=torch.int32)
    """
    inputs, weights = inputs.to(torch.int32), weights.to(torch.int32)
    sums = inputs @ weights.mT + constants.to(torch.int32).unsqueeze(-2)
    if isinstance(weight_zero_point, int) and weight_zero_point == 0:
        return sums
    shift = torch.as_tensor(weight_zero_point, dtype=torch.int32)
    return sums - inputs.sum(dim=-1, keepdim=True, dtype=torch.int32) * (shift.unsqueeze(-2) if shift.dim() else shift)


def need_int32(count: int, input_reach: int, weight_reach: int, bias: int = 0, what: str = "the sum") -> None:
    """Make sure that no sum of `count` products, at any step on the way, can leave int32.

    The reaches are the largest magnitudes of a code and of its distance from the zero point. With a and w for them,
    |sum q_a q_w|, |sum q_a (q_w - z_w)| and |sum (q_a - z_a) (q_w - z_w)| are all at most count * a * w, and so is the
    constant part without the bias, |z_a sum (q_w - z_w)|.

    Raises:
        ValueError: count * a * w + bias is above 2**31 - 1.

    >>> need_int32(66_311, 255, 127)                    # 2,147,481,735
    >>> need_int32(66_312, 255, 127)
    Traceback (most recent call last):
    ValueError: the sum of 66312 products of up to 255 * 127, and a bias of up to 0, may reach 2147514120, beyond the \
2147483647 of an int32 accumulator; use fewer bits or inputs
    """
    reach = count * input_reach * weight_reach + bias
    if reach > INT32_MAX:
        raise ValueError(
            f"{what} of {count} products of up to {input_reach} * {weight_reach}, and a bias of up to {bias}, may "
            f"reach {reach}, beyond the {INT32_MAX} of an int32 accumulator; use fewer bits or inputs"
        )


def _fitting(name: str, value: Tensor | int, outputs: tuple[int, ...]) -> Tensor:
    """Return the value in int64, where products of 8-bit tensors do not wrap, if it is one number or one per output."""
    value = need_whole_numbers(name, value)
    fitting = fits(outputs, value.shape)
    if not (fitting or value.numel() == 1) or value.abs().max() > INT32_MAX:
        raise ValueError(
            f"{name} of shape {list(value.shape)} does not fit; give one int32, or one for each output {list(outputs)}"
        )
    return value if fitting else value.reshape(())


def _reach(codes: Tensor, zero_point: Tensor | int) -> int:
    codes = codes.long()
    shift = torch.as_tensor(zero_point).long()
    return int(torch.maximum(codes.abs(), (codes - (shift.unsqueeze(-1) if shift.dim() else shift)).abs()).max())
