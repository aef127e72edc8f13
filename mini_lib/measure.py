"""The cost of a model: what it holds, what it computes, what it stores, and how long it takes.

All measuring starts here, and here is the one table that every lesson uses.
The counting is in `costs.py`, the timing in `latency.py`.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from torch import nn

from mini_lib.columns import aligned, as_html
from mini_lib.costs import LayerCost, flops, layer_costs, macs, parameters, stored_bytes
from mini_lib.counting import Example, evaluating, example_inputs
from mini_lib.latency import Latency, compare_latency, latency, milliseconds, three_digits
from mini_lib.require import checked, not_negative, of_type, share, whole

__all__ = [
    "HEADERS",
    "Latency",
    "LayerCost",
    "Report",
    "Row",
    "compare_latency",
    "flops",
    "latency",
    "layer_costs",
    "macs",
    "parameters",
    "report",
    "stored_bytes",
]

#: What the cells of a row are, with their units.
HEADERS = ("model", "parameters", "MMAC", "KiB stored", "ms (median, p10-p90)", "accuracy %")


@dataclass(frozen=True)
class Row:
    """What one model costs: one row of the table.

    `macs` and the times are those of one pass over the example; `accuracy` is a fraction, or None
    where it was not measured.

    Raises:
        TypeError: a field is not a number.
        ValueError: a count or a time is negative, or `accuracy` is not between 0 and 1.

    >>> Row("tiny", 1000, 2_500_000, 4096, median_s=2e-3, low_s=1e-3, high_s=3e-3, accuracy=0.9).cells()
    ('tiny', '1,000', '2.50', '4.00', '2.00 (1.00-3.00)', '90.0')
    """

    name: str
    parameters: int
    macs: int
    stored_bytes: int
    median_s: float
    low_s: float
    high_s: float
    accuracy: float | None = None

    def __post_init__(self) -> None:
        for name in ("parameters", "macs", "stored_bytes"):
            checked(self, name, whole, low=0, fix="count it with mini_lib.measure")
        for name in ("median_s", "low_s", "high_s"):
            checked(self, name, not_negative, fix="time it with mini_lib.measure")
        if self.accuracy is not None:
            known = share(f"accuracy of {self.name!r}", self.accuracy, zero=True, fix="pass a fraction such as 0.9")
            object.__setattr__(self, "accuracy", known)

    def cells(self) -> tuple[str, ...]:
        """Return the row as it is shown, in the units of the table's headers."""
        mega_macs, kibibytes = self.macs / 1e6, self.stored_bytes / 1024
        return (
            self.name,
            f"{self.parameters:,}",
            f"{mega_macs:,.{three_digits(mega_macs)}f}",
            f"{kibibytes:,.{three_digits(kibibytes)}f}",
            milliseconds(self.median_s, self.low_s, self.high_s),
            "-" if self.accuracy is None else f"{100 * self.accuracy:.1f}",
        )


@dataclass(frozen=True)
class Report:
    """The table of costs: plain text when printed, an HTML table in a notebook.

    Raises:
        TypeError: a row is not a Row.
        ValueError: there is no row.

    >>> row = Row("tiny", parameters=10, macs=10, stored_bytes=2048, median_s=2e-3, low_s=1e-3, high_s=3e-3)
    >>> print(Report((row,)))
    model  parameters       MMAC  KiB stored  ms (median, p10-p90)  accuracy %
    tiny           10  0.0000100        2.00      2.00 (1.00-3.00)           -
    """

    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.rows, Iterable):
            raise TypeError(f"rows must be several Row, got {type(self.rows).__name__}; use report(models, example)")
        object.__setattr__(self, "rows", tuple(of_type("each row", row, Row, fix="use report") for row in self.rows))
        if not self.rows:
            raise ValueError("rows must hold at least one Row, got none; measure a model first")

    def lines(self) -> list[tuple[str, ...]]:
        """Return the table as cells of text, its headers first."""
        return [HEADERS, *(row.cells() for row in self.rows)]

    def __str__(self) -> str:
        return aligned(self.lines())

    def _repr_html_(self) -> str:
        return as_html(self.lines(), "What each model costs")


def report(
    models: Mapping[str, nn.Module],
    example: Example,
    accuracies: Mapping[str, float] | None = None,
    *,
    repeats: int = 30,
    warmup: int = 3,
) -> Report:
    """Measure models side by side on one example: every cost in one table.

    The models are timed in eval mode without gradients, in turns. `accuracies` holds a fraction for
    each model whose accuracy is known.

    Raises:
        TypeError: a model is not a module, or `example` is not made of tensors.
        ValueError: no model, an empty example, an accuracy for an unknown model or outside 0 to 1,
            `repeats` below 1 or `warmup` below 0.

    >>> import torch
    >>> table = report({"line": nn.Linear(4, 3)}, torch.zeros(1, 4), {"line": 0.5})
    >>> [(row.name, row.parameters, row.macs, row.stored_bytes, row.accuracy) for row in table.rows]
    [('line', 15, 12, 60, 0.5)]
    """
    accuracies = of_type("accuracies", {} if accuracies is None else accuracies, Mapping, fix="give them by model name")
    if not of_type("models", models, Mapping, fix="pass a dict such as {'dense': model}"):
        raise ValueError("models must name at least one model, got none; pass a dict such as {'dense': model}")
    unknown = sorted(set(accuracies) - set(models))
    if unknown:
        raise ValueError(f"accuracies names {unknown}, which are not in models {sorted(models)}; use the same names")
    counts = {name: (parameters(model), macs(model, example), stored_bytes(model)) for name, model in models.items()}
    inputs = example_inputs(example)
    with ExitStack() as stack:
        for model in models.values():
            stack.enter_context(evaluating(model))
        times = compare_latency(
            {name: partial(model, *inputs) for name, model in models.items()}, repeats=repeats, warmup=warmup
        )
    return Report(
        tuple(
            Row(name, *counts[name], time.median_s, time.low_s, time.high_s, accuracies.get(name))
            for name, time in times.items()
        )
    )
