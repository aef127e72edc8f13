"""N of every M neighbours stay: zeros in a pattern that hardware can index with a few bits."""

from torch import Tensor

from mini_lib.prune.checks import check_scores
from mini_lib.prune.keep import keep_top
from mini_lib.prune.mask import Mask
from mini_lib.prune.scores import Scores
from mini_lib.require import whole


def keep_n_of_m(scores: Scores, n: int = 2, m: int = 4) -> Mask:
    """Return the mask that keeps the best `n` of every `m` neighbours along the inputs of each output.

    The inputs of an output are `weight[i].flatten()`: for a convolution [out, in, height, width] they run through the
    places of the first input channel, then of the next. Of equal scores the first stays.

    Raises:
        TypeError: a score is not a floating-point tensor, or n or m is not a whole number.
        ValueError: not 1 <= n <= m, scores that are NaN, or a layer whose number of inputs m does not divide.

    >>> import torch
    >>> keep_n_of_m({"w": torch.tensor([[1.0, 4.0, 3.0, 2.0], [5.0, 0.0, 0.0, 0.0]])})["w"]
    tensor([[False,  True,  True, False],
            [ True,  True, False, False]])

    Source: A. Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, section 3.
    """
    m = whole("m", m, low=1, fix="2 of 4 is the usual")
    n = whole("n", n, low=1, high=m, fix="2 of 4 is the usual")
    check_scores(scores)
    grouped = {name: _in_groups(name, score, m) for name, score in scores.items()}
    kept = keep_top(grouped, n / m, scope="row")
    return Mask({name: kept[name].reshape(score.shape) for name, score in scores.items()})


def _in_groups(name: str, score: Tensor, m: int) -> Tensor:
    inputs = score[0].numel() if score.dim() > 1 else 0
    if inputs == 0 or inputs % m:
        raise ValueError(
            f"m={m} does not divide the {inputs} inputs of {name!r} (shape {list(score.shape)}); use a divisor, or "
            "leave the layer out of the scores with where"
        )
    return score.reshape(-1, m)
