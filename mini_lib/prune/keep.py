"""From scores to a mask: keep the best, an exact number of them."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from mini_lib.prune.checks import check_density, check_scores
from mini_lib.prune.mask import Mask
from mini_lib.prune.scores import Scores
from mini_lib.require import of_type, one_of, whole

Scope = Literal["global", "layer", "row"]


def keep_top(
    scores: Scores, density: float, scope: Scope = "global", *, among: Mask | None = None, at_least: int = 0
) -> Mask:
    """Return the mask that keeps the best-scored share `density` of the weights.

    `scope` says which weights compete: all of them ("global"), those of one tensor ("layer"), or those of one output
    unit, `weight[i]` ("row"). Of n competitors exactly round(density * n) stay; of equal scores the first wins. With
    `among`, only weights that this mask keeps can stay, while n counts all weights as before. At least `at_least`
    weights of every layer stay: a global scope, which could otherwise empty a small layer, takes them from the others.
    The other scopes raise a share that is too small for that many.

    Raises:
        TypeError: a score is not a floating-point tensor, or `at_least` is not a whole number.
        ValueError: `density` outside (0, 1], an unknown scope, scores that are NaN, a layer pruned to nothing, or
            `among` keeps fewer weights than asked for, or `at_least` is more than there are.

    Two of four stay; the equal 2.0s compete and the first wins:

    >>> keep_top({"w": torch.tensor([[2.0, 3.0], [2.0, 1.0]])}, density=0.5)["w"]
    tensor([[ True,  True],
            [False, False]])
    >>> keep_top({"w": torch.tensor([[2.0, 3.0], [2.0, 1.0]])}, density=0.5, scope="row")["w"]
    tensor([[False,  True],
            [ True, False]])
    """
    density, at_least = _checked(scores, density, scope, among, at_least)
    # Weights that are already pruned rank last, even after a score of minus infinity.
    out = {
        name: torch.zeros_like(score, dtype=torch.bool) if among is None else ~among[name]
        for name, score in scores.items()
    }
    if scope == "global":
        kept = _keep_globally(scores, out, density, at_least)
    else:
        kept = {
            name: _keep_in_rows(_rows(scores[name], scope), _rows(out[name], scope), density, at_least)
            for name in scores
        }
    tensors = {name: kept[name].reshape(scores[name].shape) for name in scores}
    _check_kept(tensors, out, density, scope)
    return Mask(tensors)


def keep_top_per_layer(
    scores: Scores, densities: Mapping[str, float], scope: Scope = "layer", *, among: Mask | None = None
) -> Mask:
    """Return the mask that keeps the best-scored share of each layer, with its own density per layer.

    Exactly round(density * n) of a layer's n weights stay, the first of equal scores; with scope "row" the weights of
    each output unit compete. `densities` names every weight that is scored, as `densities_for` gives them; 1.0 leaves a
    layer whole.

    Raises:
        TypeError: a score is not a floating-point tensor.
        ValueError: the names differ, or one layer's density is refused as by `keep_top`.

    >>> scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([4.0, 3.0])}
    >>> mask = keep_top_per_layer(scores, {"a": 1.0, "b": 0.5})
    >>> mask["a"], mask["b"]
    (tensor([True, True]), tensor([ True, False]))
    """
    of_type("densities", densities, Mapping, fix="densities_for gives them by name")
    check_scores(scores)
    if set(densities) != set(scores):
        raise ValueError(
            f"densities are given for {_listed(densities)}, but the scores are of {_listed(scores)}; "
            "give one density for each, 1.0 for a layer that stays whole"
        )
    _check_among(scores, among)
    layers = {
        name: keep_top(
            {name: scores[name]}, densities[name], scope, among=None if among is None else Mask({name: among[name]})
        )
        for name in scores
    }
    return Mask({name: mask[name] for name, mask in layers.items()})


def _rows(tensor: Tensor, scope: Scope) -> Tensor:
    """The tensor as a matrix in which the weights of a row compete."""
    return tensor.reshape(1 if scope == "layer" else len(tensor), -1)


def _keep_in_rows(scores: Tensor, out: Tensor, density: float, at_least: int) -> Tensor:
    """Keep round(density * columns) weights per row, or as many as all rows together need to reach `at_least`."""
    order = _best_first(scores, out)
    count = max(round(density * scores.shape[1]), math.ceil(at_least / len(scores)))
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order[:, :count], True)


def _keep_globally(scores: Scores, out: dict[str, Tensor], density: float, at_least: int) -> dict[str, Tensor]:
    """Keep exactly round(density * n) of all weights, the best `at_least` of each layer first."""
    layers = [(score.reshape(1, -1), out[name].reshape(1, -1)) for name, score in scores.items()]
    first = torch.cat([_keep_in_rows(*layer, 0, at_least)[0] for layer in layers])
    everything = torch.cat([score.double() for score, _ in layers], dim=1)
    order = _best_first(everything, torch.cat([out for _, out in layers], dim=1))[0]
    order = torch.cat([order[first[order]], order[~first[order]]])  # the reserved weights, then the rest
    kept = torch.zeros_like(first).index_fill_(0, order[: round(density * len(first))], True)
    return dict(zip(scores, kept.split([score.numel() for score in scores.values()])))


def _best_first(scores: Tensor, out: Tensor) -> Tensor:
    """The columns of each row from best to worst, equals in their order, and pruned weights after all others."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    return order.gather(1, out.gather(1, order).to(torch.uint8).argsort(dim=1, stable=True))


def _checked(scores: Scores, density: float, scope: str, among: Mask | None, at_least: int) -> tuple[float, int]:
    density = check_density(density)
    one_of("scope", scope, get_args(Scope), fix="'global' ranks all weights together")
    check_scores(scores)
    _check_among(scores, among)
    at_least = whole("at_least", at_least, low=0, fix="1 keeps a layer alive")
    for name, score in scores.items():
        left = score.numel() if among is None else int(among[name].sum())
        if at_least > left:
            raise ValueError(
                f"at_least={at_least} is more than the {left} weights that {name!r} has left; use a smaller one"
            )
    total = sum(score.numel() for score in scores.values())
    if scope == "global" and at_least * len(scores) > round(density * total):
        raise ValueError(
            f"at_least={at_least} in each of {len(scores)} layers does not fit into the {round(density * total)} of "
            f"{total} weights that density {density:g} keeps; use a smaller at_least or a higher density"
        )
    return density, at_least


def _check_among(scores: Scores, among: Mask | None) -> None:
    if among is None:
        return
    of_type("among", among, Mask, fix="keep_top gives one")
    if set(among) != set(scores):
        raise ValueError(
            f"among masks {_listed(among)}, but the scores are of {_listed(scores)}; "
            "score the weights that the mask is for"
        )
    for name in among:
        if among[name].shape != scores[name].shape:
            raise ValueError(
                f"among has shape {list(among[name].shape)} for {name!r}, but its scores have "
                f"{list(scores[name].shape)}; score the model that the mask belongs to"
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"


def _check_kept(kept: Mapping[str, Tensor], out: Mapping[str, Tensor], density: float, scope: str) -> None:
    """Raise an error for a layer that lost everything, or was asked for more weights than it still had."""
    for name, tensor in kept.items():
        if (tensor & out[name]).any():
            competing = kept if scope == "global" else [name]
            asked = sum(int(kept[one].sum()) for one in competing)
            left = sum(int((~out[one]).sum()) for one in competing)
            what = {"global": "", "layer": f" of {name!r}", "row": f" of {name!r}, as many in each row"}[scope]
            raise ValueError(
                f"density {density:g} (scope {scope!r}) asks for {asked} weights{what}, but `among` keeps {left}, and "
                "a pruned weight does not come back; use a lower density"
            )
        if not tensor.any():
            raise ValueError(
                f"density {density:g} (scope {scope!r}) would prune {name!r} to nothing: 0 of {tensor.numel()} weights "
                "stay; use a higher density or at_least=1"
            )
