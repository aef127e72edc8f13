"""Tensor trains as layers: a long product of small matrices in place of one large one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from mini_lib.factorize.low_rank.factorized import Factorized
from mini_lib.factorize.low_rank.parts import convolution, need_convolution, need_linear, parameter
from mini_lib.factorize.low_rank.tensors import whole_numbers
from mini_lib.factorize.low_rank.tt import tt_svd


class TensorTrainLinear(nn.Module):
    """A linear layer whose weight is a tensor train; the weight itself is never built.

    A feature is counted in digits, as hours and minutes count the time of day: the inputs have digits of sizes
    n_1 ... n_d, the outputs of sizes m_1 ... m_d. Core k turns digit k of the input into digit k of the output, and
    passes r_k numbers on to the next.

    Attributes:
        cores: d parameters, each a matrix [m_k * r_k, r_(k-1) * n_k].
        input_modes: the sizes n_1 ... n_d, whose product is `in_features`.
        output_modes: the sizes m_1 ... m_d, whose product is `out_features`.
    """

    def __init__(self, cores: Sequence[Tensor], like: nn.Linear) -> None:
        """Take cores of shape [r_(k-1), m_k, n_k, r_k]; type, device and bias are those of `like`."""
        super().__init__()
        self.output_modes = tuple(core.shape[1] for core in cores)
        self.input_modes = tuple(core.shape[2] for core in cores)
        self.out_features, self.in_features = math.prod(self.output_modes), math.prod(self.input_modes)
        matrices = [core.permute(1, 3, 0, 2).flatten(2).flatten(0, 1) for core in cores]
        self.cores = nn.ParameterList(parameter(matrix, like) for matrix in matrices)
        bias = like.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)

    def forward(self, input: Tensor) -> Tensor:
        state, to_come = input, self.in_features
        for core, size in zip(self.cores, self.input_modes, strict=True):
            to_come //= size
            # [rows and output digits so far, rank and digit that the core reads, input digits to come]
            state = core @ state.reshape(-1, core.shape[1], to_come)
        y = state.reshape(*input.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"output_modes={self.output_modes}, input_modes={self.input_modes}, bias={self.bias is not None}"


def tensor_train(
    layer: nn.Linear, output_modes: Sequence[int], input_modes: Sequence[int], ranks: Sequence[int]
) -> Factorized:
    """Factorize a linear layer into a tensor train over pairs of an output digit and an input digit.

    The m * n weights become the sum of r_(k-1) * m_k * n_k * r_k. The MACs fall by less, or not at all: each core runs
    once for every combination of the digits that it does not touch. So count them with `macs`.

    Args:
        layer: nn.Linear with a weight [m, n].
        output_modes: d sizes whose product is m.
        input_modes: d sizes whose product is n.
        ranks: d - 1 of them; see `tt_svd`, for a tensor of the sizes m_k * n_k.

    Raises:
        TypeError: `layer` is not an nn.Linear, or a size is not a whole number.
        ValueError: the sizes do not multiply to m or n, there are not as many output sizes as input sizes, or ranks are
            out of range.

    >>> found = tensor_train(nn.Linear(12, 6, bias=False), output_modes=(2, 3), input_modes=(3, 4), ranks=(2,))
    >>> found.parameters, found.dense_parameters                     # 1 * 2 * 3 * 2 + 2 * 3 * 4 * 1 and 6 * 12
    (36, 72)
    >>> found.layer
    TensorTrainLinear(
      output_modes=(2, 3), input_modes=(3, 4), bias=False
      (cores): ParameterList(
          (0): Parameter containing: [torch.float32 of size 4x3]
          (1): Parameter containing: [torch.float32 of size 3x8]
      )
    )

    Source: A. Novikov et al., "Tensorizing Neural Networks", 2015, section 4.
    """
    outputs, inputs = need_linear(layer).weight.shape
    output_modes = _modes(output_modes, outputs, "output_modes", "outputs")
    input_modes = _modes(input_modes, inputs, "input_modes", "inputs")
    if len(output_modes) != len(input_modes):
        raise ValueError(
            f"output_modes and input_modes must have equally many sizes, got {len(output_modes)} and "
            f"{len(input_modes)}; fill up with sizes of 1"
        )
    digits = len(output_modes)
    pairs = [place for digit in range(digits) for place in (digit, digits + digit)]  # m1, n1, m2, n2, ...
    tensor = layer.weight.detach().reshape(*output_modes, *input_modes).permute(pairs)
    sizes = [m * n for m, n in zip(output_modes, input_modes, strict=True)]
    found = tt_svd(tensor.reshape(sizes), ranks)
    cores = [
        core.reshape(core.shape[0], m, n, core.shape[2])
        for core, m, n in zip(found.cores, output_modes, input_modes, strict=True)
    ]
    return Factorized(TensorTrainLinear(cores, layer).train(layer.training), layer, tuple(ranks), found.error)


def tensor_train_conv(conv: nn.Conv2d, ranks: Sequence[int]) -> Factorized:
    """Factorize a convolution into a train over inputs, height, width and outputs: 1 x 1, K x 1, 1 x K, 1 x 1.

    It is CP's chain, except that the two middle convolutions go from all channels to all instead of channel by channel.
    The N * C * K^2 weights become C * r_1 + r_1 * K * r_2 + r_2 * K * r_3 + r_3 * N.

    Args:
        conv: nn.Conv2d with a weight [N, C, height, width].
        ranks: three; see `tt_svd`, for a tensor [C, height, width, N].

    Raises:
        TypeError: `conv` is not an nn.Conv2d.
        ValueError: it is grouped, a side of its kernel is 1, or ranks out of range.

    >>> tensor_train_conv(nn.Conv2d(8, 16, 3, stride=2, padding=1), ranks=(4, 5, 6)).layer
    Sequential(
      (0): Conv2d(8, 4, kernel_size=(1, 1), stride=(1, 1), bias=False)
      (1): Conv2d(4, 5, kernel_size=(3, 1), stride=(2, 1), padding=(1, 0), bias=False)
      (2): Conv2d(5, 6, kernel_size=(1, 3), stride=(1, 2), padding=(0, 1), bias=False)
      (3): Conv2d(6, 16, kernel_size=(1, 1), stride=(1, 1))
    )

    Source: I. Oseledets, "Tensor-train decomposition", 2011, algorithm 1, on the weight's four modes.
    """
    need_convolution(conv, two_sides=True)
    found = tt_svd(conv.weight.permute(1, 2, 3, 0), ranks)
    inputs, down, across, outputs = found.cores
    chain = nn.Sequential(
        convolution(inputs[0].T[:, :, None, None], conv),
        convolution(down.permute(2, 0, 1)[..., None], conv, axes=(0,)),
        convolution(across.permute(2, 0, 1)[:, :, None, :], conv, axes=(1,)),
        convolution(outputs[..., 0].T[:, :, None, None], conv, bias=conv.bias),
    )
    return Factorized(chain.train(conv.training), conv, tuple(ranks), found.error)


def _modes(modes: Sequence[int], size: int, name: str, what: str) -> tuple[int, ...]:
    modes = whole_numbers(name, modes, fix=f"their product is the {what}")
    product = math.prod(modes)
    if product != size:
        got = f"{' * '.join(map(str, modes)) or 'nothing'} = {product}"
        raise ValueError(f"{name} must be whole numbers whose product is the {size} {what}, got {got}")
    return modes
