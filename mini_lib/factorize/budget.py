"""Which rank for which layer, when the whole model has a budget: one optimization over all layers, with exact costs.

A rank saved in one layer pays for ranks in another, and a rank costs most where the image is large. So all layers are
decided together: each has a list of ranks with their cost and error, and `mini_lib.knapsack` takes one rank from each
list. The control uses the same fraction of the full rank everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from mini_lib.counting import Example
from mini_lib.factorize.data_aware import output_errors
from mini_lib.factorize.low_rank import rank_errors
from mini_lib.factorize.low_rank.tensors import check_rank
from mini_lib.factorize.moments import is_factorizable, matrix_layers, need_factorizable
from mini_lib.knapsack import Option, Options, exact, need_affordable
from mini_lib.measure import LayerCost, layer_costs
from mini_lib.plain import need_own
from mini_lib.require import not_negative, of_type, one_of, whole
from mini_lib.second_moments import Moments
from mini_lib.surgery import Where


def rank_options(
    model: nn.Module,
    example: Example,
    *,
    cost: str = "macs",
    moments: Mapping[str, Moments] | None = None,
    errors: Mapping[str, Sequence[float]] | None = None,
    where: Where = is_factorizable,
) -> dict[str, list[Option]]:
    """Return each chosen layer's options: leaving it alone, or a rank at which its two layers cost less than it does.

    Two layers of rank r take r * (out + k) weights instead of out * k, each used once per place. Parameters are those
    that `output_svd` makes, with a bias; for a layer without a bias, a plain SVD takes `out` parameters less.

    Args:
        model: with batch norm folded, where it has any.
        example: an input of the model, to count MACs by.
        cost: "macs" or "parameters".
        moments: of the layers' inputs; the errors are then those of `output_svd`. Without moments they are those of a
            plain SVD of the weight. Both are relative and squared: the share of the square that is lost.
        errors: your own, by layer name: one number for each rank from 1 on. 0 is no error, that of a layer left alone.
        where: picks the layers.

    Raises:
        TypeError: a chosen layer is neither nn.Linear nor nn.Conv2d.
        ValueError: `cost` is neither of the two words, no layer is chosen, or a chosen layer is a convolution in
            groups, does not run, shares its weight, has no moments or errors, or does not have one error per rank.

    2 x 3 weights: rank 1 takes 5 of 6 MACs and loses 1 of 1 + 4.

    >>> import torch
    >>> layer = nn.Linear(3, 2)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    >>> found = rank_options(nn.Sequential(layer), torch.zeros(1, 3))["0"]
    >>> [(option.value, option.cost, round(option.error, 6)) for option in found]
    [(1, 5, 0.2), (None, 6, 0.0)]
    """
    one_of("cost", cost, ("macs", "parameters"), fix="bytes go with the parameters")
    layers = _chosen(model, where)
    rows = {row.name: row for row in layer_costs(model, example)}
    options = {}
    for name, layer in layers.items():
        lost = _errors_of(name, layer, moments, errors)
        if len(lost) != _full_rank(layer):
            raise ValueError(
                f"errors of layer {name!r} has {len(lost)} numbers, expected {_full_rank(layer)}: one for each rank "
                "from 1 on"
            )
        prices, dense = _prices(rows[name], layer, cost), getattr(rows[name], cost)
        cheaper = [
            Option(rank, price, float(error))
            for rank, (price, error) in enumerate(zip(prices, lost, strict=True), start=1)
            if price < dense
        ]
        options[name] = [*cheaper, Option(None, dense, 0.0)]
    return options


def allocate_ranks(
    model: nn.Module,
    example: Example,
    *,
    budget_macs: int | None = None,
    budget_parameters: int | None = None,
    moments: Mapping[str, Moments] | None = None,
    errors: Mapping[str, Sequence[float]] | None = None,
    where: Where = is_factorizable,
) -> dict[str, int]:
    """Return the ranks of all layers with the least total error in a model of at most this cost.

    A layer that is better left alone is not in the result. The budget is for the whole model: the cost of the other
    layers is subtracted first. The other arguments are those of `rank_options`.

    Raises:
        TypeError: the budget is not a whole number; or as `rank_options`.
        ValueError: not exactly one budget is given, or it cannot be met; or as `rank_options`.

    The two layers have 6 and 6 MACs; 11 leave one of them alone. The first one loses nothing at rank 1.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]))
    >>> allocate_ranks(model, torch.zeros(1, 3), budget_macs=11)
    {'0': 1}
    """
    cost, budget = _one_budget(budget_macs, budget_parameters)
    options = rank_options(model, example, cost=cost, moments=moments, errors=errors, where=where)
    return _ranks(exact(options, _room(model, example, options, cost, budget)))


def uniform_ranks(
    model: nn.Module,
    example: Example,
    *,
    budget_macs: int | None = None,
    budget_parameters: int | None = None,
    where: Where = is_factorizable,
) -> dict[str, int]:
    """Return the control: the same fraction of the full rank in all layers, as large as the budget allows.

    A rank is the fraction rounded down, and at least 1; a layer that would cost more than before is left alone, and not
    in the result. What is left of the budget then goes to those layers whose fraction is nearest to the next rank.
    The arguments are those of `allocate_ranks`.

    Raises:
        TypeError, ValueError: as `allocate_ranks`.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))      # rank 2 costs 32, and rank 1 12
    >>> uniform_ranks(model, torch.zeros(1, 8), budget_macs=44)
    {'0': 2, '1': 1}
    """
    cost, budget = _one_budget(budget_macs, budget_parameters)
    full = {name: _full_rank(layer) for name, layer in _chosen(model, where).items()}
    nothing = {name: [0.0] * size for name, size in full.items()}
    options = rank_options(model, example, cost=cost, errors=nothing, where=where)
    room = _room(model, example, options, cost, budget) - sum(choices[0].cost for choices in options.values())
    # Steps up, each at the fraction at which it is reached; leaving a layer alone is the step past the last rank.
    level = dict.fromkeys(options, 0)
    steps = sorted(
        ((place + 1) / full[name], name, place) for name, choices in options.items() for place in range(1, len(choices))
    )
    for _, name, place in steps:
        more = options[name][place].cost - options[name][place - 1].cost
        # A layer that missed a step stays where it is; the others still take theirs.
        if level[name] == place - 1 and more <= room:
            level[name], room = place, room - more
    return _ranks({name: options[name][place] for name, place in level.items()})


def cost_of_ranks(model: nn.Module, example: Example, ranks: Mapping[str, int], *, cost: str = "macs") -> int:
    """Return the MACs or parameters of a model whose layers of these names are split at these ranks.

    Raises:
        TypeError: a layer is neither nn.Linear nor nn.Conv2d.
        ValueError: a rank is out of range, a layer does not exist or is a convolution in groups, or `cost` is neither
            of the two words.

    >>> import torch
    >>> cost_of_ranks(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)), torch.zeros(1, 8), {"0": 2})     # 32 + 32
    64
    """
    one_of("cost", cost, ("macs", "parameters"), fix="bytes go with the parameters")
    of_type("ranks", ranks, Mapping, fix="give the rank by layer name")
    rows = {row.name: row for row in layer_costs(model, example)}
    total = sum(getattr(row, cost) for name, row in rows.items() if name not in ranks)
    for name, rank in ranks.items():
        if name not in rows:
            raise ValueError(f"ranks names layer {name!r}, which the model does not have; it has {', '.join(rows)}")
        layer = model.get_submodule(name)
        need_factorizable(name, layer)
        total += _prices(rows[name], layer, cost)[check_rank(rank, _full_rank(layer), f"layer {name!r}") - 1]
    return total


def _chosen(model: nn.Module, where: Where) -> dict[str, nn.Module]:
    layers = matrix_layers(model, where)
    need_own(model, layers, attributes=("weight",))
    return layers


def _errors_of(
    name: str, layer: nn.Module, moments: Mapping[str, Moments] | None, errors: Mapping[str, Sequence[float]] | None
) -> list[float]:
    """The errors at ranks 1, 2, ...: those given, those of the output, or those of the weight."""
    for what, given in (("errors", errors), ("moments", moments)):
        if given is not None and name not in of_type(what, given, Mapping, fix="give them by layer name"):
            raise ValueError(f"{what} holds nothing for layer {name!r}; add it, or leave the layer out in where")
    if errors is not None:
        fix = "an error is 0 or more; smaller is better"
        given = of_type(f"errors of layer {name!r}", errors[name], Iterable, fix="give one number for each rank")
        return [not_negative(f"each error of layer {name!r}", float(one), fix=fix) for one in given]
    if moments is not None:
        return [error**2 for error in output_errors(layer, moments[name])]
    return rank_errors(layer.weight.flatten(1))[1:].square().tolist()


def _prices(row: LayerCost, layer: nn.Module, cost: str) -> list[int]:
    """The cost of the two layers together at the ranks 1, 2, ..., up to the full one."""
    rows, columns = layer.weight.shape[0], layer.weight[0].numel()
    if not row.macs:
        raise ValueError(f"layer {row.name!r} did not run on the example, so its cost is not known; leave it out")
    places = row.macs // (rows * columns)  # no remainder: each weight is used once per place, padding included
    factors = [rank * (rows + columns) for rank in range(1, _full_rank(layer) + 1)]
    return [places * weights for weights in factors] if cost == "macs" else [weights + rows for weights in factors]


def _room(model: nn.Module, example: Example, options: Options, cost: str, budget: int) -> int:
    """The part of the budget left for the layers with options, after a check that it is enough."""
    others = sum(getattr(row, cost) for row in layer_costs(model, example) if row.name not in options)
    least = sum(choices[0].cost for choices in options.values())
    need_affordable(others + least, budget, f"budget_{cost}")
    return budget - others


def _ranks(chosen: Mapping[str, Option]) -> dict[str, int]:
    return {name: option.value for name, option in chosen.items() if option.value is not None}


def _full_rank(layer: nn.Module) -> int:
    return min(layer.weight.shape[0], layer.weight[0].numel())


def _one_budget(budget_macs: int | None, budget_parameters: int | None) -> tuple[str, int]:
    if (budget_macs is None) == (budget_parameters is None):
        raise ValueError("give exactly one of budget_macs and budget_parameters")
    cost, budget = ("macs", budget_macs) if budget_macs is not None else ("parameters", budget_parameters)
    return cost, whole(f"budget_{cost}", budget, fix="round it down with int()")
