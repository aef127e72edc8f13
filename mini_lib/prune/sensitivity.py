"""Sensitivity: how much accuracy the model loses when one layer is pruned and all others stay whole."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from mini_lib.columns import aligned
from mini_lib.data import Split
from mini_lib.fit import accuracy
from mini_lib.prune.checks import check_density
from mini_lib.prune.keep import Scope, keep_top
from mini_lib.prune.mask import apply_mask
from mini_lib.prune.scores import Scores, is_prunable, magnitude, prunable_weights
from mini_lib.require import callable_, checked, finite, of_type, share
from mini_lib.surgery import Where


@dataclass(frozen=True)
class LayerAccuracy:
    """The accuracy, in [0, 1], of a model in which only the weight `layer` is pruned to `density`.

    Raises:
        TypeError, ValueError: a number is not a share.
    """

    layer: str
    density: float
    accuracy: float

    def __post_init__(self) -> None:
        checked(self, "density", share, fix="0.2 keeps a fifth of the weights")
        checked(self, "accuracy", share, zero=True, fix="give a share such as 0.9")


@dataclass(frozen=True)
class Sensitivity:
    """The accuracies of a model with one layer pruned at a time, and `unpruned`, its accuracy with no layer pruned.

    Printed, it is a table of accuracies in percent: a row for each layer, a column for each density.

    Raises:
        ValueError: an accuracy lies outside [0, 1], there is no row, or a layer lacks a density that another one has.

    >>> rows = (LayerAccuracy("conv1.weight", 0.5, 0.88), LayerAccuracy("conv1.weight", 0.1, 0.4))
    >>> print(Sensitivity(rows, unpruned=0.9))
    pruned alone  100%   50%   10%
    conv1.weight  90.0  88.0  40.0
    """

    rows: tuple[LayerAccuracy, ...]
    unpruned: float

    def __post_init__(self) -> None:
        fix = "use sensitivity(model, validation)"
        given = of_type("rows", self.rows, Iterable, fix=fix)
        object.__setattr__(self, "rows", tuple(of_type("each row", row, LayerAccuracy, fix=fix) for row in given))
        if not self.rows:
            raise ValueError("rows must hold at least one LayerAccuracy, got none; use sensitivity(model, validation)")
        checked(self, "unpruned", share, zero=True, fix="give a share such as 0.9")
        found = [(row.layer, row.density) for row in self.rows]
        for pair in [(layer, density) for layer in self.layers for density in self.densities]:
            if found.count(pair) != 1:
                raise ValueError(
                    f"rows hold density {pair[1]:g} of {pair[0]!r} {found.count(pair)} times; "
                    "give each layer each density once"
                )

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.layer for row in self.rows))

    @property
    def densities(self) -> tuple[float, ...]:
        return tuple(dict.fromkeys(row.density for row in self.rows))

    def accuracy(self, layer: str, density: float) -> float:
        """Return the accuracy with only `layer` pruned to `density`.

        Raises:
            TypeError: `layer` is not a name, or `density` not a number.
            ValueError: this pair was not measured.
        """
        of_type("layer", layer, str, fix="take one of layers")
        density = finite("density", density, fix="take one of densities")
        for row in self.rows:
            if (row.layer, row.density) == (layer, density):
                return row.accuracy
        raise ValueError(
            f"density {density:g} of {layer!r} was not measured; there are {', '.join(self.layers)} at "
            f"{', '.join(f'{known:g}' for known in self.densities)}"
        )

    def __str__(self) -> str:
        shown = [density for density in self.densities if density < 1]
        lines = [("pruned alone", "100%", *(f"{100 * density:g}%" for density in shown))]
        for layer in self.layers:
            shares = (self.unpruned, *(self.accuracy(layer, density) for density in shown))
            lines.append((layer, *(f"{100 * share:.1f}" for share in shares)))
        return aligned(lines)


def sensitivity(
    model: nn.Module,
    validation: Split,
    densities: Iterable[float] = (0.5, 0.3, 0.2, 0.1, 0.05),
    score: Callable[[nn.Module], Scores] = magnitude,
    where: Where = is_prunable,
    scope: Scope = "layer",
    *,
    progress: Callable[[LayerAccuracy], None] | None = None,
) -> Sensitivity:
    """Prune one layer at a time to each of `densities`, without training, and measure the validation accuracy.

    `where(name, module)` chooses the layers, `score(model)` ranks their weights, `scope` is that of `keep_top` ("row":
    every output unit keeps equally many). `progress` is called after each measurement. The model stays as it is.

    Raises:
        TypeError: `validation` is not a Split.
        ValueError: a density is outside (0, 1] or given twice, there is none, a layer would be pruned to nothing, or
            `score` gives no scores for a layer.

    Source: S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", 2015, section 5.1
    and figure 6.

    This layer answers like the identity; without the weight of -1 it knows only the first of two pictures:

    >>> import torch
    >>> model = nn.Linear(2, 2, bias=False)
    >>> model.weight.data = torch.tensor([[0.0, -1.0], [-2.0, 0.0]])
    >>> print(sensitivity(model, Split(torch.eye(2), torch.tensor([0, 1])), densities=[0.5, 0.25]))
    pruned alone   100%    50%   25%
    weight        100.0  100.0  50.0
    """
    if not isinstance(validation, Split):
        raise TypeError(
            f"validation must be a data.Split, got {type(validation).__name__}; use data.Split(images, labels)"
        )
    callable_("score", score, fix="pass magnitude, say")
    if progress is not None:
        callable_("progress", progress, fix="pass a function of a LayerAccuracy, or None")
    if not isinstance(densities, Iterable):
        raise TypeError(f"densities must be several, got {densities!r}; write (0.5, 0.2), say")
    chosen = tuple(check_density(density) for density in densities)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"densities must be at least one, each given once, got {list(chosen)}")
    scores = of_type("score(model)", score(model), Mapping, fix="pass magnitude, say")
    rows = []
    for layer in prunable_weights(model, where):
        if layer not in scores:
            raise ValueError(
                f"score gives no scores for {layer!r}, which where chooses; "
                "give both the same where, as in score=lambda model: magnitude(model, where)"
            )
        for density in chosen:
            pruned = apply_mask(model, keep_top({layer: scores[layer]}, density, scope))
            rows.append(LayerAccuracy(layer, density, accuracy(pruned, validation)))
            if progress is not None:
                progress(rows[-1])
    return Sensitivity(tuple(rows), accuracy(model, validation))


def densities_for(result: Sensitivity, most_lost: float) -> dict[str, float]:
    """Return for each layer the lowest measured density at which it alone costs at most `most_lost` of accuracy.

    `most_lost` is a difference of shares: 0.01 is one point. A layer that costs more at every density stays whole, 1.0.
    The search goes down from the highest density and ends where the loss first exceeds the bound: a lower density that
    happens to do better is luck. Give the result to `keep_top_per_layer`.

    These losses hold for one pruned layer. The loss of all layers pruned together is not their sum, and nothing bounds
    it: each layer was measured with clean inputs, but then gets the errors of the layers before it, which may cancel or
    push a picture over an edge that neither error reaches alone. So prune all, measure again, and lower `most_lost` if
    the loss is too high.

    Raises:
        ValueError: `most_lost` lies outside [0, 1).

    >>> rows = (LayerAccuracy("a", 0.5, 0.89), LayerAccuracy("a", 0.2, 0.88), LayerAccuracy("b", 0.5, 0.7),
    ...         LayerAccuracy("b", 0.2, 0.6))
    >>> densities_for(Sensitivity(rows, unpruned=0.9), most_lost=0.02)
    {'a': 0.2, 'b': 1.0}
    """
    most_lost = share("most_lost", most_lost, zero=True, one=False, fix="0.01 lets a layer lose one point of accuracy")
    of_type("result", result, Sensitivity, fix="sensitivity(model, validation) gives it")
    chosen = {}
    for layer in result.layers:
        chosen[layer] = 1.0
        for density in sorted(result.densities, reverse=True):
            # 0.9 - 0.89 comes out above 0.01 by a rounding error; one picture of a million would be more than 1e-9
            if result.unpruned - result.accuracy(layer, density) > most_lost + 1e-9:
                break
            chosen[layer] = density
    return chosen
