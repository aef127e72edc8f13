"""Blocks: by hand, against sums written as loops, and what is refused."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mini_lib import zoo
from mini_lib.prune import keep_top, magnitude
from mini_lib.prune.structure import keep_blocks

TWO_BY_TWO = {"w": torch.tensor([[1.0, 1.0, 3.0, 0.0], [1.0, 1.0, 0.0, 0.0]])}  # sums 4 and 3


def test_by_hand():
    assert keep_blocks(TWO_BY_TWO, 0.5, (2, 2))["w"].tolist() == [[True, True, False, False]] * 2
    rows = keep_blocks(TWO_BY_TWO, 0.5, (1, 2))["w"].tolist()  # sums 2, 3; 2, 0: the first 2 before the second
    assert rows == [[True, True, True, True], [False] * 4]
    columns = keep_blocks(TWO_BY_TWO, 0.5, (2, 1))["w"].tolist()  # sums 2, 2, 3, 0
    assert columns == [[True, False, True, False]] * 2


def test_global_scope_and_at_least():
    scores = {"small": torch.ones(2, 2), "large": torch.full((4, 4), 9.0)}
    with pytest.raises(ValueError, match="'small' to nothing"):
        keep_blocks(scores, 0.8, (2, 2), "global")
    mask = keep_blocks(scores, 0.8, (2, 2), "global", at_least=1)
    assert [row.kept for row in mask.layers()] == [4, 12] and not mask["large"][2:, 2:].any()


@given(st.integers(1, 3), st.integers(1, 3), st.floats(0.3, 1), st.integers(0, 2**16))
def test_the_best_blocks_stay_exactly_that_many(height, width, density, seed):
    """Whole numbers, so that sums are exact in any order."""
    scores = torch.randint(0, 4, (2 * height, 3, width), generator=torch.Generator().manual_seed(seed)).float()
    matrix = scores.flatten(1)
    places = [(row, column) for row in range(0, 2 * height, height) for column in range(0, 3 * width, width)]
    sums = [
        sum(float(matrix[row + i, column + j]) for i in range(height) for j in range(width)) for row, column in places
    ]
    best = sorted(range(6), key=lambda i: (-sums[i], i))[: round(density * 6)]
    expected = torch.zeros_like(matrix, dtype=torch.bool)
    for row, column in (places[i] for i in best):
        expected[row : row + height, column : column + width] = True
    assert torch.equal(keep_blocks({"w": scores}, density, (height, width))["w"], expected.reshape(scores.shape))


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_blocks_of_one_are_weights(scope):
    scores = magnitude(zoo.load("small_cnn"))
    assert keep_blocks(scores, 0.3, (1, 1), scope) == keep_top(scores, 0.3, scope)


LEAVE_OUT = "use sides that do, or leave the layer out of the scores with where"
BAD = (
    (f"blocks of 4 x 4 do not divide 'conv1.weight', 16 outputs by 9 inputs; {LEAVE_OUT}", {"density": 0.5}),
    ("density must lie in (0, 1], got 0; 0.2 keeps a fifth of the weights", {"density": 0, "block": (1, 1)}),
    ("scope must be 'layer' or 'global', got 'row'; 'layer' keeps the share in every layer",
     {"density": 1, "scope": "row"}),
    ("each side of block must be a whole number of 1 or more, got 0; (4, 4) is 4 outputs by 4 inputs",
     {"density": 1, "block": (0, 4)}),
    ("block must be two numbers, got (4,); (4, 4) is 4 outputs by 4 inputs",
     {"density": 1, "block": (4,)}),
)  # fmt: skip


@pytest.mark.parametrize("message, settings_", BAD)
def test_bad_input_says_what_is_wrong(message, settings_):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        keep_blocks(magnitude(zoo.small_cnn()), **settings_)


def test_a_layer_pruned_to_nothing_is_named():
    with pytest.raises(ValueError, match=r"^density 0.1 \(scope 'layer'\) would prune 'w' to nothing"):
        keep_blocks(TWO_BY_TWO, 0.1, (2, 2))
