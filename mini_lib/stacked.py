"""Nets of one shape, stacked: their weights lie side by side, so that one step trains all of them.

A small net leaves a processor waiting for the next small piece of work. A dozen of them, as one batched computation, do
not. The nets differ in their weights and in the data they see, and nothing passes from one to another.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from mini_lib.copying import need_module
from mini_lib.counting import evaluating
from mini_lib.data import Split
from mini_lib.require import of_type, whole
from mini_lib.tensor_checks import need_tensor

Stack = dict[str, Tensor]  # parameters (and buffers, where a net has some) of all nets by name, [nets, ...] each


def stack(states: Sequence[Mapping[str, Tensor]]) -> Stack:
    """Return the tensors of several nets stacked, by name: [nets, ...] each, without a gradient.

    Raises:
        TypeError: a state is not a mapping from names to tensors.
        ValueError: there is none, or they differ in names or shapes.

    >>> both = stack([{"bias": torch.tensor([1.0, 2.0])}, {"bias": torch.tensor([3.0, 4.0])}])
    >>> both["bias"], unstack(both, 1)["bias"]
    (tensor([[1., 2.],
            [3., 4.]]), tensor([3., 4.]))
    """
    if not isinstance(states, Sequence) or not states:
        raise ValueError("states must be those of one net or more, in a list; got none")
    fix = "give what each net holds, by name"
    shapes = [
        {name: need_tensor(name, tensor, floating=False, empty=True, fix=fix).shape for name, tensor in state.items()}
        for state in (of_type("each state", state, Mapping, fix=fix) for state in states)
    ]
    for number, other in enumerate(shapes):
        if other != shapes[0]:
            raise ValueError(f"net {number} holds other names or shapes than net 0; stack nets of one shape")
    return {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}


def unstack(stacked: Stack, net: int) -> dict[str, Tensor]:
    """Return a copy of the tensors of one of the nets, by name.

    Raises:
        TypeError: `stacked` is not such a mapping, or `net` is not a whole number.
        ValueError: there is no such net.

    >>> unstack({"weight": torch.tensor([[1.0], [2.0]])}, net=1)
    {'weight': tensor([2.])}
    """
    net = whole("net", net, low=0, high=_nets(stacked) - 1, fix="nets count from 0")
    return {name: tensor[net].detach().clone() for name, tensor in stacked.items()}


def losses_together(model: nn.Module, stacked: Stack, images: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each net on its own batch, [nets], in nats.

    `model` gives the shape and the mode; its own weights do not matter. images: [nets, N, ...]; labels: int64
    [nets, N], or shares [nets, N, classes]. A batch norm in training mode normalises each net by its own batch, and
    moves the running averages in `stacked`.

    The gradient of the sum of all losses gives each net the gradient of its own: no other loss depends on its weights.

    Raises:
        TypeError: `model` is not a module, or the others are not tensors.
        ValueError: some net has no batch, or the nets cannot be run on theirs.

    Net 0 gives the logits (0, 0), so each class has the probability 1/2; net 1 gives (ln 3, 0), so class 0 has 3/4:

    >>> stacked = {"weight": torch.tensor([[[1.0], [1.0]], [[3.0], [1.0]]]).log()}
    >>> losses = losses_together(nn.Linear(1, 2, bias=False), stacked, torch.ones(2, 1, 1), torch.tensor([[0], [0]]))
    >>> losses.neg().exp()
    tensor([0.5000, 0.7500])
    """
    need_module(model)
    for name, tensor in (("images", images), ("labels", labels)):
        count = _count(name, tensor, "give [nets, N, ...], a batch for each net")
        if count != _nets(stacked):
            raise ValueError(f"{name} are for {count} nets, and there are {_nets(stacked)}; give each net a batch")

    def loss_of_one(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, weights, (x,)), y)

    return _told(lambda: vmap(loss_of_one)(stacked, images, labels))


@torch.no_grad()
def accuracies_together(model: nn.Module, stacked: Stack, split: Split) -> list[float]:
    """Return the share of the pictures of `split`, in [0, 1], that each net gets right in evaluation mode.

    Raises:
        TypeError: `model` is not a module, or `split` not a Split.
        ValueError: the nets cannot be run on the pictures, or one gives NaN.

    >>> dots = Split(torch.tensor([[-1.0], [1.0], [2.0]]), torch.tensor([0, 1, 1]))
    >>> left_and_right = {"weight": torch.tensor([[[-1.0], [1.0]], [[1.0], [-1.0]]])}     # net 1 answers the opposite
    >>> accuracies_together(nn.Linear(1, 2, bias=False), left_and_right, dots)
    [1.0, 0.0]
    """
    need_module(model)
    of_type("split", split, Split, fix="use data.Split(images, labels)")
    correct = torch.zeros(_nets(stacked), dtype=torch.int64)
    logits_of = vmap(lambda weights, images: functional_call(model, weights, (images,)), in_dims=(0, None))
    with evaluating(model):
        for images, labels in zip(split.images.split(500), split.labels.split(500)):
            logits = _told(lambda images=images: logits_of(stacked, images))
            if logits.isnan().any():
                raise ValueError("a net gives NaN, so it has no accuracy; lower the learning rate")
            correct += (logits.argmax(dim=2) == labels).sum(dim=1)
    return [count / len(split) for count in correct.tolist()]


def _nets(stacked: Stack) -> int:
    if not of_type("stacked", stacked, Mapping, fix="stack(states) gives it"):
        raise ValueError("stacked holds nothing; stack(states) gives what nets hold")
    fix = "stack(states) gives it"
    first, *others = (_count(name, one, fix) for name, one in stacked.items())
    if any(count != first for count in others):
        raise ValueError(f"stacked must hold equally many nets in each tensor, got {sorted({first, *others})}; {fix}")
    return first


def _count(name: str, tensor: Tensor, fix: str) -> int:
    """How many nets a tensor [nets, ...] is for."""
    if not need_tensor(name, tensor, floating=False, fix=fix).dim():
        raise ValueError(f"{name} must have an axis for the nets, got shape []; {fix}")
    return len(tensor)


def _told(call: Callable[[], Tensor]) -> Tensor:
    """Make it a ValueError where torch cannot run many nets at once: other shapes or names, or a forward that draws."""
    try:
        return call()
    except (AttributeError, IndexError, RuntimeError, ValueError) as error:
        raise ValueError(f"the nets cannot be run as one: {error}") from error
