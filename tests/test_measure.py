"""The one report table: its numbers, its two forms, and what it leaves alone."""

import re
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from mini_lib import latency as timing
from mini_lib import measure
from mini_lib.measure import Report, Row, report

ROWS = (
    Row("dense", 61_050, 5_221_632, 245_696, 0.0125, 0.012, 0.0151, 0.9137),
    Row("<4 bits>", 61_050, 640, 32_000, 0.5, 0.25, 1.0),
)
HEADERS = ["model", "parameters", "MMAC", "KiB stored", "ms (median, p10-p90)", "accuracy %"]


class Probe(nn.Module):
    """Notes in which order, mode and gradient state it is called."""

    def __init__(self, name: str, notes: list[tuple[str, bool, bool]]) -> None:
        super().__init__()
        self.name, self.notes = name, notes
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.notes.append((self.name, self.training, torch.is_grad_enabled()))
        return self.linear(x)


def says(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_the_text_is_an_aligned_table() -> None:
    # 245,696 bytes / 1024 = 239.9375; 640 MACs are 0.000640 million.
    assert str(Report(ROWS)).splitlines() == [
        "model     parameters      MMAC  KiB stored  ms (median, p10-p90)  accuracy %",
        "dense         61,050      5.22         240      12.5 (12.0-15.1)        91.4",
        "<4 bits>      61,050  0.000640        31.2       500 (250-1,000)           -",
    ]


def test_the_html_is_a_table_that_a_screen_reader_can_follow() -> None:
    table = ElementTree.fromstring(Report(ROWS)._repr_html_())  # well-formed, or this raises
    assert table.tag == "table"
    assert table.findtext("caption") == "What each model costs"
    columns = table.findall("thead/tr/th")
    assert [column.text for column in columns] == HEADERS
    assert {column.get("scope") for column in columns} == {"col"}
    body = table.findall("tbody/tr")
    assert [[cell.text for cell in line] for line in body] == [list(row.cells()) for row in ROWS]
    assert [line[0].get("scope") for line in body] == ["row", "row"]
    assert body[1][0].text == "<4 bits>"  # a name is text, never markup


def test_report_measures_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks) / 4)  # each run lasts a quarter of a second
    table = report({"linear": nn.Linear(4, 3), "bare": nn.Linear(4, 2, bias=False)}, torch.zeros(2, 4), {"bare": 0.25})
    assert table.rows == (
        Row("linear", 15, 24, 60, 0.25, 0.25, 0.25, None),
        Row("bare", 8, 16, 32, 0.25, 0.25, 0.25, 0.25),
    )


def test_report_times_models_in_turns_as_they_are_used() -> None:
    notes: list[tuple[str, bool, bool]] = []
    models = {"a": Probe("a", notes), "b": Probe("b", notes)}
    models["b"].linear.eval()
    report(models, torch.zeros(1, 4), repeats=2, warmup=1)
    # Once each to count, then three turns, warmed from the second on; always in eval mode and without gradients.
    a, b = ("a", False, False), ("b", False, False)
    assert notes == [a, b, a, b, a, a, b, b, a, a, b, b]
    assert [m.training for model in models.values() for m in model.modules()] == [True, True, True, False]


def test_report_takes_a_model_of_several_inputs() -> None:
    attention, x = nn.MultiheadAttention(4, 1, bias=False, batch_first=True), torch.zeros(1, 3, 4)
    [row] = report({"attention": attention}, (x, x, x), repeats=1).rows
    # Four 4x4 projections of 3 rows, then 3 x 3 scores of 4 and 3 x 4 sums of 3.
    assert (row.parameters, row.macs) == (64, 4 * 48 + 36 + 36)


@pytest.mark.parametrize("accuracy", [-0.1, 91.37, float("nan")])
def test_an_accuracy_that_is_no_fraction_is_refused(accuracy: float) -> None:
    with pytest.raises(
        ValueError, match=says(f"accuracy of 'dense' must lie in [0, 1], got {accuracy}; pass a fraction such as 0.9")
    ):
        Row("dense", 1, 1, 1, 0.1, 0.1, 0.1, accuracy)


def test_bad_input_is_refused() -> None:
    model, x = nn.Linear(4, 3), torch.zeros(1, 4)
    with pytest.raises(ValueError, match=says("rows must hold at least one Row, got none; measure a model first")):
        Report(())
    with pytest.raises(
        ValueError, match=says("models must name at least one model, got none; pass a dict such as {'dense': model}")
    ):
        report({}, x)
    with pytest.raises(
        ValueError, match=says("accuracies names ['deep'], which are not in models ['dense']; use the same names")
    ):
        report({"dense": model}, x, {"deep": 0.5})
    with pytest.raises(TypeError, match=says("model must be an nn.Module, got function; pass the model itself")):
        report({"dense": lambda x: x}, x)
    with pytest.raises(
        ValueError, match=says("repeats must be a whole number of 1 or more, got 0; use 30 for a stable median")
    ):
        report({"dense": model}, x, repeats=0)


def test_everything_about_cost_is_found_here() -> None:
    assert all(hasattr(measure, name) for name in measure.__all__)
