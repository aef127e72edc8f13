"""Nets of one shape, stacked: their weights lie side by side, so that one step trains all of them.

A small net leaves a processor waiting for the next small piece of work. A dozen of them, as one batched computation,
do not. The nets differ in their weights and in what they see, and nothing passes from one to another.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from mini_lib.counting import evaluating
from mini_lib.data import Split

Stack = dict[str, Tensor]  # parameters (and buffers, where a net has some) of all nets by name, [nets, ...] each


def stack(states: Sequence[Mapping[str, Tensor]]) -> Stack:
    """Return what several nets hold, by name, as one: tensors [nets, ...] without a gradient.

    >>> both = stack([{"bias": torch.tensor([1.0, 2.0])}, {"bias": torch.tensor([3.0, 4.0])}])
    >>> both["bias"], unstack(both, 1)["bias"]
    (tensor([[1., 2.],
            [3., 4.]]), tensor([3., 4.]))
    """
    return {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}


def unstack(stacked: Stack, net: int) -> dict[str, Tensor]:
    """Return a copy of what one of the nets holds, by name."""
    return {name: tensor[net].detach().clone() for name, tensor in stacked.items()}


def losses_together(model: nn.Module, stacked: Stack, images: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each net on its own batch, [nets], in nats.

    `model` gives the shape and the mode; its own weights do not matter. images: [nets, N, ...]; labels: int64
    [nets, N], or shares [nets, N, classes]. A batch norm in training mode normalises each net by its own batch, and
    moves the running averages in `stacked`.

    The gradient of the sum of all losses gives each net the gradient of its own: no other loss depends on its weights.
    """

    def loss_of_one(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, weights, (x,)), y)

    return vmap(loss_of_one)(stacked, images, labels)


@torch.no_grad()
def accuracies_together(model: nn.Module, stacked: Stack, split: Split) -> list[float]:
    """Return the share of the pictures of `split`, in [0, 1], that each net gets right in evaluation mode."""
    correct = torch.zeros(len(next(iter(stacked.values()))), dtype=torch.int64)
    logits_of = vmap(lambda weights, images: functional_call(model, weights, (images,)), in_dims=(0, None))
    with evaluating(model):
        for images, labels in zip(split.images.split(500), split.labels.split(500)):
            correct += (logits_of(stacked, images).argmax(dim=2) == labels).sum(dim=1)
    return [count / len(split) for count in correct.tolist()]
