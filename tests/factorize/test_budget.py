"""One budget over all layers: against brute force, with costs counted on layers that are built, beside its control."""

import itertools
from math import floor

import pytest
import torch
from torch import nn

from mini_lib import data, fit, zoo
from mini_lib.costs import macs, parameters
from mini_lib.factorize.budget import allocate_ranks, cost_of_ranks, rank_options, uniform_ranks
from mini_lib.factorize.data_aware import output_svd
from mini_lib.factorize.low_rank import channel_svd, svd_linear
from mini_lib.factorize.moments import input_moments
from mini_lib.fold import fold_batch_norm
from mini_lib.second_moments import Moments
from mini_lib.surgery import swap

EXAMPLE = torch.zeros(1, 2, 8, 8)


def small_net() -> nn.Sequential:
    """Layers of every kind: strided and padded, without a bias, one that must be left alone, one that never pays."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.Conv2d(6, 8, (3, 1)),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 6),
        nn.Linear(6, 1),
    ).eval()


def built(model: nn.Module, ranks: dict[str, int]) -> nn.Module:
    moments = {name: one_input(model.get_submodule(name)) for name in ranks}
    return swap(model, {n: output_svd(model.get_submodule(n), moments[n], rank).layer for n, rank in ranks.items()})


def one_input(layer: nn.Module) -> Moments:
    size = layer.weight[0].numel()
    return Moments(torch.zeros(size), torch.eye(size), 100)


def test_options_cost_what_the_layers_cost():
    model = small_net()
    pay = {"0": 4, "3": 5, "6": 5}  # 6 x 18: 4 * 24 = 96 < 108; 8 x 18: 5 * 26 = 130 < 144; 6 x 32: 5 * 38 = 190 < 192
    for cost, count in (("macs", lambda net: macs(net, EXAMPLE)), ("parameters", parameters)):
        options = rank_options(model, EXAMPLE, cost=cost)
        assert [choice.value for choice in options["7"]] == [None]  # 1 x 6: 7 weights for 6
        assert list(options) == ["0", "3", "6", "7"]  # the grouped one cannot be chosen
        for name, choices in options.items():
            dense = choices[-1]
            assert (dense.value, dense.error) == (None, 0)
            for choice in choices[:-1]:
                saved = count(model) - count(built(model, {name: choice.value}))
                assert saved == dense.cost - choice.cost > 0
                assert cost_of_ranks(model, EXAMPLE, {name: choice.value}, cost=cost) == count(model) - saved
        # the new bias of the first layer, 6 parameters, does not change which ranks pay: 96 + 6 < 108
        assert {name: len(choices) - 1 for name, choices in options.items() if len(choices) > 1} == pay


def test_errors_are_those_of_the_weight_or_of_the_output():
    model = small_net()
    calibration = torch.randn(50, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    moments = input_moments(model, calibration)
    plain, aware = rank_options(model, EXAMPLE), rank_options(model, EXAMPLE, moments=moments)
    for name in ("0", "3", "6"):
        layer = model.get_submodule(name)
        for choice, other in zip(plain[name][:-1], aware[name][:-1], strict=True):
            make = svd_linear if isinstance(layer, nn.Linear) else channel_svd
            # the share is of float64 numbers in another order; a float32 layer would only show 1e-7 of it
            assert choice.error == pytest.approx(make(layer, choice.value).predicted_error ** 2, rel=1e-9)
            expected = output_svd(layer, moments[name], other.value).predicted_error ** 2
            assert other.error == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cost", ["macs", "parameters"])
def test_the_ranks_of_a_model_are_the_best_of_all(cost):
    model = small_net()
    options = rank_options(model, EXAMPLE, cost=cost)
    every = []
    for taken in itertools.product(*options.values()):
        ranks = {name: o.value for name, o in zip(options, taken, strict=True) if o.value is not None}
        every.append((cost_of_ranks(model, EXAMPLE, ranks, cost=cost), sum(o.error for o in taken)))
    least, whole = min(cost for cost, _ in every), max(cost for cost, _ in every)
    for budget in (least, least + 1, (2 * least + whole) // 3, (least + 2 * whole) // 3, whole - 1):
        ranks = allocate_ranks(model, EXAMPLE, **{f"budget_{cost}": budget})
        made = built(model, ranks)
        spent = macs(made, EXAMPLE) if cost == "macs" else parameters(made)
        assert spent == cost_of_ranks(model, EXAMPLE, ranks, cost=cost) <= budget
        error = sum(next(o.error for o in options[name] if o.value == ranks.get(name)) for name in options)
        assert error <= min(error for cost, error in every if cost <= budget) + 1e-9  # the solver's, as above
    assert allocate_ranks(model, EXAMPLE, **{f"budget_{cost}": whole}) == {}
    assert uniform_ranks(model, EXAMPLE, **{f"budget_{cost}": whole}) == {}


def test_errors_of_the_caller_decide():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).eval()
    harmless, harmful = [0.0] * 8, [5.0] * 8
    # rank 1 takes 16 MACs of 64: the layer that does not suffer is the one to cut
    example = torch.zeros(1, 8)
    assert allocate_ranks(model, example, budget_macs=80, errors={"0": harmless, "1": harmful}) == {"0": 1}
    assert allocate_ranks(model, example, budget_macs=80, errors={"0": harmful, "1": harmless}) == {"1": 1}


def test_inputs_decide_which_layer_is_cut():
    """Rank 1 takes 16 MACs of 64, and 80 are given. By the weights alone, the second layer is nearer to rank 1. But
    what the first one reads varies in one direction only, so rank 1 loses none of its output.
    """
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).eval()
    model[0].weight.data.copy_(torch.eye(8))
    model[1].weight.data.copy_(torch.diag(torch.tensor([4.0, *7 * [1.0]])))
    one_way, all_ways = torch.zeros(8, 8), torch.eye(8)
    one_way[2, 2] = 1.0
    moments = {"0": Moments(torch.zeros(8), one_way, 100), "1": Moments(torch.zeros(8), all_ways, 100)}
    example = torch.zeros(1, 8)
    assert allocate_ranks(model, example, budget_macs=80) == {"1": 1}
    assert allocate_ranks(model, example, budget_macs=80, moments=moments) == {"0": 1}


@pytest.mark.parametrize("cost", ["macs", "parameters"])
def test_uniform_ranks_are_one_fraction_filled_up(cost):
    model = zoo.lenet_300_100().eval()
    example = torch.zeros(1, 1, 28, 28)
    full = {"linear1": 300, "linear2": 100, "linear3": 10}

    def at(fraction: float) -> dict[str, int]:
        pays = {name: choices[-2].value for name, choices in options.items()}
        ranks = {name: max(1, floor(fraction * full[name] + 1e-9)) for name in full}
        return {name: rank for name, rank in ranks.items() if rank <= pays[name]}

    options = rank_options(model, example, cost=cost)
    whole = macs(model, example) if cost == "macs" else parameters(model)
    for share in (0.05, 0.1, 0.3, 0.5, 0.7, 0.9):
        budget = int(share * whole)
        ranks = uniform_ranks(model, example, **{f"budget_{cost}": budget})
        spent = cost_of_ranks(model, example, ranks, cost=cost)
        fractions = sorted({place / size for size in full.values() for place in range(1, size + 1)})
        fits = [f for f in fractions if cost_of_ranks(model, example, at(f), cost=cost) <= budget]
        largest, following = fits[-1], fractions[len(fits)]
        base = cost_of_ranks(model, example, at(largest), cost=cost)
        assert base <= spent <= budget
        # no layer is below the fraction, and none could take the step that the next fraction asks of it
        level = {name: ranks.get(name, full[name]) for name in full}
        assert all(level[name] >= at(largest).get(name, full[name]) for name in full)
        late = [name for name in full if at(following).get(name, full[name]) > level[name]]
        for name in late:
            more = {**ranks, name: ranks[name] + 1}
            if ranks[name] == options[name][-2].value:
                del more[name]
            assert cost_of_ranks(model, example, more, cost=cost) > budget


@pytest.fixture(scope="module")
def pictures():
    return data.fashion()


@pytest.mark.parametrize("seed", [0, 1])
def test_one_optimization_beats_one_fraction_on_held_out_pictures(seed, pictures):
    # Both are data-aware and cost no more than the budget: only the ranks differ.
    model = fold_batch_norm(zoo.load("small_cnn", seed))
    moments = input_moments(model, pictures.train.first(200).images)
    example = torch.zeros(1, 1, 28, 28)
    whole = macs(model, example)
    for share in (0.4, 0.6):
        budget = int(share * whole)
        accuracy = []
        for ranks in (
            allocate_ranks(model, example, budget_macs=budget, moments=moments),
            uniform_ranks(model, example, budget_macs=budget),
        ):
            made = swap(model, {n: output_svd(model.get_submodule(n), moments[n], r).layer for n, r in ranks.items()})
            assert 0.95 * budget < macs(made, example) <= budget
            accuracy.append(fit.accuracy(made, pictures.validation))
        assert accuracy[0] > accuracy[1] + 0.01, share


def test_a_budget_that_cannot_be_met_says_what_can():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(4, 4)).eval()
    example = torch.zeros(1, 8)

    def where(name: str, module: nn.Module) -> bool:
        return name in ("0", "1")

    # rank 1 of both: 16 + 12, and the third has 16
    for allocate in (allocate_ranks, uniform_ranks):
        with pytest.raises(ValueError, match=r"budget_macs of 43 cannot be met: .*still 44; give 44 or more"):
            allocate(model, example, budget_macs=43, where=where)
        assert allocate(model, example, budget_macs=44, where=where) == {"0": 1, "1": 1}
        # 16 + 8, 12 + 4 and 20 parameters
        with pytest.raises(ValueError, match=r"budget_parameters of 1 cannot be met: .*still 60"):
            allocate(model, example, budget_parameters=1, where=where)
        assert allocate(model, example, budget_parameters=60, where=where) == {"0": 1, "1": 1}
        with pytest.raises(ValueError, match="give exactly one of budget_macs and budget_parameters"):
            allocate(model, example)
        with pytest.raises(ValueError, match="give exactly one of budget_macs and budget_parameters"):
            allocate(model, example, budget_macs=1, budget_parameters=1)
        with pytest.raises(TypeError, match=r"budget_macs must be a whole number, got 0.5; round it down"):
            allocate(model, example, budget_macs=0.5)


def test_bad_options_say_why():
    model, example = small_net(), EXAMPLE
    with pytest.raises(ValueError, match=r"cost must be 'macs' or 'parameters', got 'bytes'"):
        rank_options(model, example, cost="bytes")
    with pytest.raises(ValueError, match=r"cost must be 'macs' or 'parameters', got 'bytes'"):
        cost_of_ranks(model, example, {}, cost="bytes")
    with pytest.raises(ValueError, match="where chooses no layer"):
        rank_options(model, example, where=lambda name, module: False)
    with pytest.raises(ValueError, match="layer '2' is a convolution in 6 groups"):
        rank_options(model, example, where=lambda name, module: name == "2")
    with pytest.raises(TypeError, match="layer '1': it is a ReLU"):
        rank_options(model, example, where=lambda name, module: name == "1")
    with pytest.raises(ValueError, match="moments holds nothing for layer '0'; add it, or leave the layer out"):
        rank_options(model, example, moments={})
    with pytest.raises(ValueError, match=r"errors of layer '0' has 7 numbers, expected 6: one for each rank"):
        rank_options(model, example, errors={"0": [1.0] * 7})
    with pytest.raises(ValueError, match=r"rank must be a whole number from 1 to 6, got 7; 6 is exact for layer '0'"):
        cost_of_ranks(model, example, {"0": 7})
    with pytest.raises(ValueError, match=r"ranks names layer 'conv', which the model does not have"):
        cost_of_ranks(model, example, {"conv": 1})
    model.add_module("spare", nn.Linear(4, 4))
    model.forward = lambda x: nn.Sequential(*list(model)[:-1])(x)
    with pytest.raises(ValueError, match="layer 'spare' did not run on the example"):
        rank_options(model, example)
    twins = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    twins[1].weight = twins[0].weight
    with pytest.raises(ValueError, match="layer '0' shares its weight with '1'"):
        rank_options(twins, torch.zeros(1, 4))
