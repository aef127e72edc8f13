"""Checks of the arguments of every pruning method: scores and a density."""

from collections.abc import Mapping

from torch import Tensor

from mini_lib.require import of_type, share
from mini_lib.tensor_checks import need_tensor


def check_scores(
    scores: Mapping[str, Tensor], none: str = "scores hold no weight; make them with magnitude(model), say"
) -> None:
    """Make sure that there are scores, and that each has a rank; `none` is the message where there are none.

    Raises:
        TypeError: `scores` is not a mapping, or those of a weight are not a floating-point tensor.
        ValueError: there are none, or those of a weight are empty or hold NaN.

    >>> import torch
    >>> check_scores({"w": torch.tensor([1, 2])})
    Traceback (most recent call last):
    TypeError: the scores of 'w' must be a floating-point tensor, got torch.int64; use scores.float()
    """
    of_type("scores", scores, Mapping, fix="make them with magnitude(model), say")
    if not scores:
        raise ValueError(none)
    for name, score in scores.items():
        if not isinstance(score, Tensor) or not score.is_floating_point():
            got = score.dtype if isinstance(score, Tensor) else type(score).__name__
            raise TypeError(f"the scores of {name!r} must be a floating-point tensor, got {got}; use scores.float()")
        need_tensor(f"the scores of {name!r}", score, empty=True, fix="make them with magnitude(model), say")
        if not score.numel():
            raise ValueError(f"the scores of {name!r} are empty, so nothing of it could stay; leave the layer out")
        if score.isnan().any():
            raise ValueError(f"the scores of {name!r} hold NaN, which has no rank; find the layer that went to NaN")


def check_density(density: float, name: str = "density") -> float:
    """Return a density, called `name` in messages, if it is a share above 0.

    Raises:
        TypeError: it is not a number.
        ValueError: it lies outside (0, 1].

    >>> check_density(20)
    Traceback (most recent call last):
    ValueError: density must lie in (0, 1], got 20; 0.2 keeps a fifth of the weights
    """
    return share(name, density, fix="0.2 keeps a fifth of the weights")
