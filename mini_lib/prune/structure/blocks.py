"""Whole blocks of a weight stay or go: fewer positions to store, and inside a block a kernel stays dense."""

from typing import Literal

from torch import Tensor

from mini_lib.prune.checks import check_scores
from mini_lib.prune.keep import keep_top
from mini_lib.prune.mask import Mask
from mini_lib.prune.scores import Scores
from mini_lib.require import of_type, one_of, whole


def keep_blocks(
    scores: Scores,
    density: float,
    block: tuple[int, int] = (4, 4),
    scope: Literal["layer", "global"] = "layer",
    *,
    at_least: int = 0,
) -> Mask:
    """Return the mask that keeps the share `density` of the blocks, those with the largest sum of scores.

    A block is `block[0]` neighbouring outputs by `block[1]` neighbouring inputs, where the inputs of an output are
    `weight[i].flatten()`. Of the n blocks of a layer (scope "layer") or of all layers ("global") exactly round(density
    * n) stay; of equal blocks the first, row by row. At least `at_least` blocks of each layer stay.

    Raises:
        TypeError: a score is not a floating-point tensor, or a side of the block is not a whole number.
        ValueError: `density` outside (0, 1], an unknown scope, scores that are NaN, a block that does not divide a
            layer, or a layer pruned to nothing.

    >>> import torch
    >>> keep_blocks({"w": torch.tensor([[1.0, 1.0, 3.0, 0.0], [1.0, 1.0, 0.0, 0.0]])}, density=0.5, block=(2, 2))["w"]
    tensor([[ True,  True, False, False],
            [ True,  True, False, False]])

    Source: S. Gray, A. Radford, D. Kingma, "GPU Kernels for Block-Sparse Weights", 2017, section 2.
    """
    block = two_sides(block)
    one_of("scope", scope, ("layer", "global"), fix="'layer' keeps the share in every layer")
    check_scores(scores)
    sums = {name: _block_sums(name, score, *block) for name, score in scores.items()}
    kept = keep_top(sums, density, scope, at_least=at_least)
    return Mask({name: _widen(kept[name], *block).reshape(score.shape) for name, score in scores.items()})


def _block_sums(name: str, score: Tensor, height: int, width: int) -> Tensor:
    rows, columns = len(score), score[0].numel() if score.dim() > 1 else 0
    if columns == 0 or rows % height or columns % width:
        raise ValueError(
            f"blocks of {height} x {width} do not divide {name!r}, {rows} outputs by {columns} inputs; use sides that "
            "do, or leave the layer out of the scores with where"
        )
    # in float64: the sum of a block in half precision would round, or overflow
    return score.double().reshape(rows // height, height, columns // width, width).sum((1, 3))


def two_sides(block: tuple[int, int]) -> tuple[int, int]:
    """Return the two sides of a block.

    Raises:
        TypeError, ValueError: they are not two whole numbers of 1 or more.

    >>> two_sides((4, 8))
    (4, 8)
    """
    fix = "(4, 4) is 4 outputs by 4 inputs"
    if len(of_type("block", block, (tuple, list), fix=fix)) != 2:
        raise ValueError(f"block must be two numbers, got {block!r}; {fix}")
    height, width = (whole("each side of block", side, low=1, fix=fix) for side in block)
    return height, width


def _widen(kept: Tensor, height: int, width: int) -> Tensor:
    return kept.repeat_interleave(height, 0).repeat_interleave(width, 1)
