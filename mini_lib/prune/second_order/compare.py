"""Methods to prune a layer, compared: the output error of each at the same density."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mini_lib.calibration import Calibration, per_weight
from mini_lib.prune.keep import Scope, keep_top
from mini_lib.prune.scores import is_prunable
from mini_lib.prune.second_order.brain_surgeon import refit
from mini_lib.prune.second_order.inputs import input_second_moments, layers_of
from mini_lib.prune.second_order.sparse_gpt import best, check_choice, sparse_gpt_weight
from mini_lib.require import one_of
from mini_lib.second_moments import output_error
from mini_lib.surgery import Where


@dataclass(frozen=True)
class LayerError:
    """The relative squared output error of one layer after one method, see `output_error`."""

    layer: str
    method: str
    output_error: float


@torch.no_grad()
def compare_methods(
    model: nn.Module,
    calibration: Calibration,
    density: float | None = None,
    *,
    n_of_m: tuple[int, int] | None = None,
    where: Where = is_prunable,
    scope: Scope = "row",
    block: int = 128,
    damp: float = 0.01,
) -> tuple[LayerError, ...]:
    """Return the output error of each layer under five methods, pruned alone in the otherwise dense model.

    "magnitude" and "Wanda" only choose a mask. "magnitude, refit" and "Wanda, refit" give the same mask its best
    weights. "SparseGPT" chooses a mask and moves the weights. So the first two differ only in the mask, and the share
    of SparseGPT's mask in its result can be separated from that of its update. Refitting solves one system of equations
    per row, which suits small models.

    Args:
        model: a model in eval mode; the argument stays as it is.
        calibration: a batch of inputs or an iterable of batches, [N, ...]; training images, never test ones.
        density: the share of each layer's weights that stays.
        n_of_m: (2, 4) keeps two of each four neighbours. Give this or `density`.
        where: picks linear layers, and convolutions in one or two dimensions.
        scope: which weights compete in the two masks at a density: "row", as in Wanda, or "layer". SparseGPT always
            ranks a block of columns over all rows.
        block, damp: as in `sparse_gpt`; refitting has the same damping.

    Returns:
        A row for each layer and method, layer by layer in the order of the model.

    Raises:
        TypeError, ValueError: as `sparse_gpt`; or the scope is neither "row" nor "layer", or a layer's output is zero.

    The second input is the first with another sign, so the output is 3 - 1 = 2 times the second. Without the weight 1
    it is 3 times, an error of 1 in 2, squared 0.25. Refitted, or by SparseGPT, the 3 becomes 2.

    >>> model = nn.Sequential(nn.Linear(2, 1)).eval()
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, 3.0]]))
    >>> for row in compare_methods(model, torch.tensor([[-1.0, 1.0], [1.0, -1.0]]), density=0.5):
    ...     print(row.layer, row.method, round(row.output_error, 3))
    0 magnitude 0.25
    0 Wanda 0.25
    0 magnitude, refit 0.0
    0 Wanda, refit 0.0
    0 SparseGPT 0.0

    Source: the three methods side by side, for language models: M. Sun et al., "A Simple and Effective Pruning Approach
    for Large Language Models", 2024, section 4. There, by perplexity at half the weights, Wanda comes close to
    SparseGPT.
    """
    one_of("scope", scope, ("row", "layer"), fix="each layer is pruned alone here")
    layers, rows = layers_of(model, where), []
    moments = input_second_moments(model, calibration, where)
    for name, layer in layers.items():
        weight = layer.weight.detach()
        strengths = moments[name].diagonal(dim1=-2, dim2=-1).sqrt()
        scores = {"magnitude": weight.abs(), "Wanda": weight.abs() * per_weight(weight, strengths)}
        try:
            density, n_of_m, block = check_choice(weight[0].numel(), weight.numel(), density, n_of_m, block)
            masks = {method: _mask(score, density, n_of_m, scope) for method, score in scores.items()}
            after = {method: weight * mask for method, mask in masks.items()}
            for method, mask in masks.items():
                after[f"{method}, refit"] = refit(weight, mask, moments[name], damp=damp)
            after["SparseGPT"] = sparse_gpt_weight(
                weight, moments[name], density=density, n_of_m=n_of_m, block=block, damp=damp
            )[0]
            for method, pruned in after.items():
                rows.append(LayerError(name, method, output_error(weight, pruned, moments[name])))
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
    return tuple(rows)


def _mask(score: Tensor, density: float | None, n_of_m: tuple[int, int] | None, scope: Scope) -> Tensor:
    if n_of_m is None:
        return keep_top({"weight": score}, density, scope)["weight"]
    return best(score.reshape(-1, n_of_m[1]), n_of_m[0]).reshape(score.shape)
