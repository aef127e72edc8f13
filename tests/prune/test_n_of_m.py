"""N of every M: by hand, against a sort of each group and torch's own sparsifier, and what is refused."""

import re
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mini_lib import zoo
from mini_lib.prune import apply_mask, magnitude
from mini_lib.prune.structure import keep_n_of_m
from tests.quantize.oracles import oracle


def test_two_of_four_by_hand():
    scores = {"w": torch.tensor([[1.0, 4, 3, 2, 0, 0, 0, 9], [5, 5, 5, 5, 3, 2, 1, 0]])}
    expected = [[False, True, True, False, True, False, False, True], [True, True, False, False] * 2]
    assert keep_n_of_m(scores)["w"].tolist() == expected


def test_a_convolution_counts_along_places_then_channels():
    # one output, two input channels of 1 x 2 places: the four neighbours are (0, 0), (0, 1), (1, 0), (1, 1)
    scores = {"w": torch.tensor([[[[4.0, 1.0]], [[2.0, 3.0]]]])}
    assert keep_n_of_m(scores)["w"].tolist() == [[[[True, False]], [[False, True]]]]
    assert keep_n_of_m(scores, 1, 2)["w"].tolist() == [[[[True, False]], [[False, True]]]]


@given(st.integers(1, 8), st.data(), st.integers(0, 2**16))
def test_every_group_keeps_its_best(m, data, seed):
    n = data.draw(st.integers(1, m))
    scores = torch.randint(0, 4, (3, 2 * m, 2), generator=torch.Generator().manual_seed(seed)).float()
    mask = keep_n_of_m({"w": scores}, n, m)["w"]
    assert mask.shape == scores.shape
    for kept, group in zip(mask.reshape(-1, m).tolist(), scores.reshape(-1, m).tolist()):
        assert [i for i in range(m) if kept[i]] == sorted(sorted(range(m), key=lambda i: (-group[i], i))[:n])


def test_two_of_four_equals_torch():
    weight = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Linear(16, 8))
    model[0].weight.data = weight.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says of itself that it will move elsewhere one day
        sparsifier = oracle("torch.ao.pruning").WeightNormSparsifier(1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
        sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
        sparsifier.step()
    expected = model[0].parametrizations.weight[0].mask.bool()
    assert torch.equal(keep_n_of_m({"0.weight": weight.abs()})["0.weight"], expected)


def test_the_share_of_a_whole_model_is_exact():
    model = zoo.load("lenet_300_100")
    mask = keep_n_of_m(magnitude(model))
    assert mask.density == 0.5 and mask.total == 784 * 300 + 300 * 100 + 100 * 10
    zeros = sum(int((weight == 0).sum()) for weight in apply_mask(model, mask).parameters() if weight.dim() > 1)
    assert zeros == mask.total // 2


LEAVE_OUT = "use a divisor, or leave the layer out of the scores with where"
BAD = (
    (f"m=4 does not divide the 9 inputs of 'conv1.weight' (shape [16, 1, 3, 3]); {LEAVE_OUT}", 2, 4),
    ("n must be a whole number from 1 to 4, got 5; 2 of 4 is the usual", 5, 4),
    ("n must be a whole number from 1 to 4, got 0; 2 of 4 is the usual", 0, 4),
    ("n must be a whole number from 1 to 4, got 2.0; 2 of 4 is the usual", 2.0, 4),
)  # fmt: skip


@pytest.mark.parametrize("message, n, m", BAD)
def test_bad_input_says_what_is_wrong(message, n, m):
    with pytest.raises(ValueError if type(n) is type(m) is int else TypeError, match=f"^{re.escape(message)}$"):
        keep_n_of_m(magnitude(zoo.small_cnn()), n, m)


def test_bad_scores_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"^m=4 does not divide the 0 inputs of 'b' \(shape \[4\]\)"):
        keep_n_of_m({"b": torch.ones(4)})
    with pytest.raises(ValueError, match="^the scores of 'w' hold NaN"):
        keep_n_of_m({"w": torch.full((1, 4), torch.nan)})
    with pytest.raises(TypeError, match="^the scores of 'w' must be a floating-point tensor, got torch.int64"):
        keep_n_of_m({"w": torch.ones(1, 4, dtype=torch.long)})
