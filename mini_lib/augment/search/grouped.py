"""Which nets can be trained as one: those that compute the same in a group as alone, and draw nothing by themselves."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mini_lib.augment.pictures import logits_of
from mini_lib.copying import need_module
from mini_lib.counting import evaluating
from mini_lib.data import Split
from mini_lib.fit import need_classes
from mini_lib.stacked import Stack, losses_together, stack

# A module that draws by itself would draw the same for all children, or from the global random state.
_DRAWS = (nn.modules.dropout._DropoutNd, nn.RReLU, nn.FractionalMaxPool2d)
_TRIED = 8  # pictures
# Sums in another order differ in the last of seven digits, and a few layers increase that only a little; another
# function differs within the first three digits.
_SAME = 1e-3


def need_one_group(nets: Sequence[nn.Module], train: Split, validation: Split) -> None:
    """Refuse nets that would compute something else as one group than each computes alone.

    The group is tried on a few pictures, and its outputs are compared with each net's own. This finds a net that
    differs from the group for any reason: a hook, a `forward` of its own or another setting.

    Raises:
        TypeError: one of them is not a module.
        ValueError: a net has weights of other shapes than the first, cannot take the pictures, has too few classes,
            draws by itself, cannot be called for all at once, or gives another output alone than in the group.
    """
    for net in nets:
        need_module(net)
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in nets]
    if any(one != shapes[0] for one in shapes):
        raise ValueError("`build` makes nets of different shapes for different seeds; only equal ones can be grouped")
    for name, module in nets[0].named_modules():
        if isinstance(module, _DRAWS):
            raise ValueError(_draws(f"{name or 'the net'} is a {type(module).__name__}, which"))
        if "forward" in vars(module):
            raise ValueError(
                f"{name or 'the net'} has a forward of its own, which holds on to one net's weights; write a class"
            )
    some = torch.arange(_TRIED) % len(train)
    images, labels = train.images[some], train.labels[some]
    alone = [logits_of(net, images) for net in nets]
    need_classes(nets[0], train, validation)
    together = stack([net.state_dict() for net in nets])
    shape = _trying(copy.deepcopy, nets[0])  # a group leaves traces in the net that it calls
    first, again = (_trying(_losses, shape, together, images, labels) for _ in range(2))
    if not torch.equal(first.isnan(), again.isnan()) or not torch.equal(first.nan_to_num(), again.nan_to_num()):
        raise ValueError(_draws("the net's `forward`"))
    for number, (expected, got) in enumerate(zip(alone, _trying(_logits, shape, together, images))):
        if ((got - expected).abs() > _SAME * (1 + expected.abs().max())).any():
            raise ValueError(
                f"net {number} gives another output in a group than alone: it differs from the first in more than its "
                "weights, or has hooks or a `forward` that hold on to weights; let `build` make plain nets"
            )


def _trying(call: Callable[..., Tensor], *arguments: object) -> Tensor:
    try:
        return call(*arguments)
    except (RuntimeError, TypeError, ValueError) as error:
        if "random" in str(error):
            raise ValueError(_draws("the net's `forward`")) from error
        raise ValueError(f"nets of this kind cannot be trained as one: {error}; let `build` make plain nets") from error


def _losses(net: nn.Module, stacked: Stack, images: Tensor, labels: Tensor) -> Tensor:
    """The losses of one step in training mode, which leave the stack as it is."""
    own = {name: tensor.clone() for name, tensor in stacked.items()}
    count = len(next(iter(own.values())))
    return losses_together(net.train(), own, *(x.expand(count, *x.shape) for x in (images, labels)))


def _logits(net: nn.Module, stacked: Stack, images: Tensor) -> Tensor:
    with evaluating(net):
        return vmap(lambda weights: functional_call(net, weights, (images,)))(stacked)


def _draws(what: str) -> str:
    return f"{what} draws by itself, and children have one generator each, for their augmentation; use a net without it"
