"""The worth of a weight: scores, from which a mask is made. The higher a score, the longer the weight stays.

All scores here look at a weight only, or at a weight and its gradient. Those that look at a layer's inputs are in
`second_order`.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parametrize

from mini_lib.counting import evaluating
from mini_lib.data import Split
from mini_lib.fit import need_classes
from mini_lib.require import callable_, of_type, whole
from mini_lib.surgery import Where, find

Scores = Mapping[str, Tensor]  # parameter name, such as "conv1.weight" -> a score for each of its weights


def is_prunable(name: str, module: nn.Module) -> bool:
    """Return whether the weight of `module` is pruned by default: those of linear layers and convolutions are.

    Biases and batch norms stay: they are few, and each acts on a whole channel.

    >>> is_prunable("linear", nn.Linear(2, 2)), is_prunable("norm", nn.BatchNorm2d(2))
    (True, False)
    """
    return isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d))


def prunable_weights(model: nn.Module, where: Where = is_prunable) -> dict[str, nn.Parameter]:
    """Return the weights that `where(name, module)` chooses, by parameter name, each once.

    Raises:
        TypeError: `model` is not a module, or `where` cannot be called.
        ValueError: no layer is chosen, or a chosen layer has no weight, or a weight that `masked` has made.

    >>> list(prunable_weights(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))))
    ['0.weight', '2.weight']
    """
    weights: dict[str, nn.Parameter] = {}
    for name, module in find(model, where):
        if parametrize.is_parametrized(module, "weight"):
            raise ValueError(
                f"the weight of layer {name!r} is masked already, or parametrized; score baked(model), and give the "
                "mask as `among`"
            )
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter):
            raise ValueError(
                f"layer {name!r} ({type(module).__name__}) has no weight of its own to prune; leave it out in where"
            )
        if weight.is_meta:
            raise ValueError(f"the weight of layer {name!r} lies on the meta device, which holds no values")
        if not any(weight is other for other in weights.values()):
            weights[weight_name(name)] = weight
    if not weights:
        raise ValueError(
            "where chooses no layer of the model; the default, is_prunable, takes linear layers and convolutions"
        )
    return weights


def weight_name(layer: str) -> str:
    """Return the parameter name of a layer's weight; the model itself is the layer "".

    >>> weight_name("conv1"), weight_name("")
    ('conv1.weight', 'weight')
    """
    return f"{layer}.weight" if layer else "weight"


def magnitude(model: nn.Module, where: Where = is_prunable) -> dict[str, Tensor]:
    """Score each weight by its size, |w|.

    Source: S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", 2015, section 3.

    >>> layer = nn.Linear(3, 1)
    >>> layer.weight.data = torch.tensor([[0.5, -2.0, 0.0]])
    >>> magnitude(layer)["weight"]
    tensor([[0.5000, 2.0000, 0.0000]])
    """
    return {name: weight.detach().abs() for name, weight in prunable_weights(model, where).items()}


def random_scores(model: nn.Module, seed: int, where: Where = is_prunable) -> dict[str, Tensor]:
    """Score each weight by chance, uniform in [0, 1): the control of every other score.

    >>> first, again = (random_scores(nn.Linear(3, 2), seed=7)["weight"] for _ in range(2))
    >>> torch.equal(first, again)
    True
    """
    chance = torch.Generator().manual_seed(whole("seed", seed, fix="the same seed gives the same scores"))
    return {name: torch.rand(weight.shape, generator=chance) for name, weight in prunable_weights(model, where).items()}


def gradient_times_weight(model: nn.Module, split: Split, where: Where = is_prunable) -> dict[str, Tensor]:
    """Score each weight by |g * w|: to first order, how much the loss would change if the weight became 0.

    g is the gradient of the mean cross-entropy over `split`, in evaluation mode: give it some training pictures.
    On a model that was never trained this is SNIP's score (without its division by the sum, which changes no order).

    Source: N. Lee, T. Ajanthan, P. Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", 2019,
    section 4.1.

    With logits (w, 0), the gradient of the loss for class 0 is sigmoid(w) - 1; at w = 2 that is -0.1192, times 2:

    >>> model = nn.Linear(1, 2, bias=False)
    >>> model.weight.data = torch.tensor([[2.0], [0.0]])
    >>> gradient_times_weight(model, Split(torch.ones(1, 1), torch.tensor([0])))["weight"].round(decimals=4)
    tensor([[0.2384],
            [0.0000]])
    """
    return {name: (gradient * weight).abs() for name, (gradient, weight) in _gradients(model, split, where).items()}


def movement(
    model: nn.Module,
    split: Split,
    train_step: Callable[[nn.Module, Split], nn.Module],
    *,
    steps: int,
    where: Where = is_prunable,
) -> dict[str, Tensor]:
    """Score each weight by how far training pushes it away from zero: the sum of -g * w over `steps` steps.

    A large weight on its way to zero scores low; a small one that grows scores high. `train_step(model, split)` makes
    one step on a copy and returns it; the scores are summed before each.

    Raises:
        TypeError: `steps` is not a whole number, or `train_step` returns no model.
        ValueError: `steps` is below 1.

    Source: V. Sanh, T. Wolf, A. Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", 2020, section 4.

    A step that changes nothing adds the same twice, and the sign stays: here g = sigmoid(2) - 1 = -0.1192 again,
    so 2 * 0.1192 * 2:

    >>> model = nn.Linear(1, 2, bias=False)
    >>> model.weight.data = torch.tensor([[2.0], [0.0]])
    >>> one = Split(torch.ones(1, 1), torch.tensor([0]))
    >>> movement(model, one, lambda model, split: model, steps=2)["weight"].round(decimals=4)
    tensor([[0.4768],
            [0.0000]])
    """
    steps = whole("steps", steps, low=1, fix="ten or more show where the weights go")
    callable_("train_step", train_step, fix="pass a function (model, split) -> model after one step")
    totals = {name: torch.zeros_like(weight) for name, weight in prunable_weights(model, where).items()}
    for _ in range(steps):
        for name, (gradient, weight) in _gradients(model, split, where).items():
            totals[name] -= gradient * weight
        model = train_step(model, split)
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"train_step must return the model after its step, got {type(model).__name__}; "
                "let it change a copy and return that"
            )
    return totals


def _gradients(model: nn.Module, split: Split, where: Where) -> dict[str, tuple[Tensor, Tensor]]:
    """For each chosen weight the gradient of the mean loss over a split, and the weight itself.

    The loss is that of evaluation mode. Nothing is left in the model, and a frozen weight has its gradient, too.
    """
    of_type("split", split, Split, fix="pass some training pictures: data.Split(images, labels)")
    need_classes(model, split)
    weights = {name: weight.detach().requires_grad_() for name, weight in prunable_weights(model, where).items()}
    with evaluating(model), torch.enable_grad():
        loss = F.cross_entropy(functional_call(model, weights, (split.images,)), split.labels)
        # a weight that the loss does not depend on has gradient zero
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
    return {name: (gradient, weights[name].detach()) for name, gradient in zip(weights, gradients)}
