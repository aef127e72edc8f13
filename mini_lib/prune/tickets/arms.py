"""The arms of a study: where a net starts, and with which mask. A ticket means nothing without its controls.

The hypothesis says that this mask and these initial weights belong together. So each control changes one thing and
keeps the rest:

    ticket      mask found by pruning, its own initial weights
    reinit      the same mask, other initial weights
    shuffled    the same initial weights, as many kept in each layer, at other places
    random      the same initial weights, as many kept in all, anywhere
    late        a ticket whose weights go back to step k instead of the start
    lr_rewind   a ticket that keeps its trained weights; only the learning rate starts again

Sources: J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis", 2019, section 2 (ticket, reinit, random);
J. Frankle et al., "Stabilizing the Lottery Ticket Hypothesis", 2019, section 3 (late);
A. Renda, J. Frankle, M. Carbin, "Comparing Rewinding and Fine-tuning in Neural Network Pruning", 2020 (lr_rewind).
"""

from typing import Literal

import torch

from mini_lib.prune.keep import keep_top
from mini_lib.prune.mask import Mask
from mini_lib.require import of_type, whole

Arm = Literal["ticket", "reinit", "shuffled", "random", "late", "lr_rewind"]
CHAINS = ("ticket", "late", "lr_rewind")  # these find their own masks, round by round
CONTROLS = ("reinit", "shuffled", "random")  # these take the ticket's mask, or its counts


def shuffled_mask(mask: Mask, seed: int) -> Mask:
    """Return a mask that keeps the same number of weights per layer, at newly drawn places.

    Raises:
        TypeError: `mask` is not a mask, or `seed` not a whole number.

    >>> mask = Mask({"a": torch.arange(100) < 30, "b": torch.arange(10) < 9})
    >>> [(layer.name, layer.kept) for layer in shuffled_mask(mask, seed=0).layers()]
    [('a', 30), ('b', 9)]
    """
    chance = _chance(mask, seed)
    return Mask(
        {
            name: keep.flatten()[torch.randperm(keep.numel(), generator=chance)].reshape(keep.shape)
            for name, keep in mask.tensors.items()
        }
    )


def random_mask(mask: Mask, seed: int) -> Mask:
    """Return a mask that keeps the same total number of weights, with every place equally likely.

    Every layer keeps at least one weight: a net in which a layer keeps none knows nothing.

    Raises:
        TypeError: `mask` is not a mask, or `seed` not a whole number.

    >>> mask = Mask({"a": torch.arange(1000) < 300, "b": torch.arange(100) < 90})
    >>> drawn = random_mask(mask, seed=0)
    >>> drawn.kept == mask.kept, drawn.layers()[1].kept < 60                  # about 390 / 1100 of each
    (True, True)
    """
    chance = _chance(mask, seed)
    scores = {name: torch.rand(keep.shape, generator=chance) for name, keep in mask.tensors.items()}
    return keep_top(scores, mask.density, at_least=1)


def _chance(mask: Mask, seed: int) -> torch.Generator:
    of_type("mask", mask, Mask, fix="pass the ticket's mask")
    return torch.Generator().manual_seed(whole("seed", seed, fix="the same seed draws the same places"))
